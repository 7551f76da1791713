"""The same scripts, played to a registry whose journal is slow, down for a while, or not its own alone.

By script the journal holds appends and lets some of them land, or all; it is down; another process appends;
an answer comes twice. Whatever comes together, nothing is done, said or published before it is in the log,
and once the journal works again all is as it has to be. At the end the registry is stopped in the middle of
that, and another one finds in the journal what this one said.
"""

import asyncio
import logging
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.journal.slow import SlowJournal
from tests.fakes import settle
from tests.journeys.journal_onlooker import JournalOnlooker
from tests.journeys.onlooker import ADA, SESSIONS, TINY
from tests.journeys.planted import ROOM
from tests.journeys.planted_journal import BUGS
from tests.journeys.scripts import (
    ALL_MESSAGES,
    DEEDS,
    HOUSE,
    MESSAGES,
    TESTS,
    Deed,
    Play,
    Put,
    again,
    batches_of,
    drains,
    houses,
    played,
    sessions,
    short_spans,
    spans,
    stage,
)
from tests.planting import Bug, changed
from turnkeeper.actors.model.messages import SetTitle
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.turn import Turn

titles = st.builds(SetTitle, sessions, st.sampled_from(["one", "another"]), st.just(ADA))
TROUBLE = ("stall", "one lands", "all land", "break down", "come back", "intrude", "repeat")
ALL_DEEDS = (*DEEDS, *TROUBLE, *TROUBLE)
batches = batches_of([*MESSAGES, titles], ALL_DEEDS)
batches_with_lines = batches_of([*ALL_MESSAGES, titles], ALL_DEEDS)
#: Whether the journal works again before all is looked at.
mends = st.booleans()


def scripts_of(batches: st.SearchStrategy[Any], spans: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """Batches, each with a span after it, and the last one, amid which the registry is stopped."""
    return st.tuples(st.lists(st.tuples(batches, spans, mends), min_size=2, max_size=6), batches)


with_lines = scripts_of(batches_with_lines, short_spans)
scripts = scripts_of(batches, spans) | with_lines


class JournalPlay(Play):
    """One script, played to a registry with a journal."""

    def __init__(self, onlooker: JournalOnlooker) -> None:
        super().__init__(onlooker)
        self.onlooker: JournalOnlooker = onlooker

    def do(self, deed: Deed) -> None:
        onlooker, session = self.onlooker, SESSIONS[deed.which % 2]
        match deed.what:
            case "stall":
                onlooker.stall()
            case "one lands":
                onlooker.land(1)
            case "all land":
                onlooker.land()
            case "break down":
                onlooker.break_down(is_gone=deed.which == 0)
            case "come back":
                onlooker.come_back()
            case "intrude":
                onlooker.intrude(SESSIONS[0], deed.which)
            case "repeat":
                onlooker.repeat(session)
            case _:
                super().do(deed)


async def play(
    script: list[tuple[list[Put | Deed], float, bool]],
    last: list[Put | Deed],
    drain: float | None,
    house: Settings,
    *,
    lands_late: bool,
) -> None:
    wrong: list[str] = []
    async with stage(wrong.append) as clock:
        journal = SlowJournal(clock=time.time)
        onlooker = JournalOnlooker(clock, house, journal, wrong)
        agents = onlooker.agents.by_name()
        registry = onlooker.registry = SessionRegistry(
            agents, settings=house, journal=journal, on_rollback=onlooker.agents.undo
        )
        await registry.start()
        here = JournalPlay(onlooker)
        try:
            for batch, span, mended in script:
                here.put(batch)
                await settle()
                await clock.advance(span)
                if onlooker.in_trouble and mended:
                    await onlooker.mend()
                if onlooker.in_trouble:
                    await onlooker.check_in_trouble()
                else:
                    await onlooker.check()
            here.put(last)
            onlooker.lines.stops = True
            if drain is not None:
                async with asyncio.timeout(drain + TINY):
                    await registry.drain(drain)
                assert not registry.accepting
                here.put(last)
            async with asyncio.timeout(HOUSE.shutdown_deadline + TINY):
                stopping = asyncio.create_task(registry.stop())
                await onlooker.check_the_shutdown()
                await stopping
            await onlooker.check_the_end()
            journal.is_down = journal.is_gone = False
            if lands_late:
                journal.let_go()
            journal.lose()
            started: list[Turn] = []

            async def at_once(turn: Turn) -> Any:
                started.append(turn)
                return turn.attempt

            second = SessionRegistry(dict.fromkeys(agents, at_once), settings=house, journal=journal)
            await onlooker.check_another_life(second, started)
        finally:
            await registry.stop()
            await onlooker.release()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_of_the_list_can_still_be_planted(bug: Bug) -> None:
    """Whether a play finds it takes minutes to say: ``python -m tests.journeys.planted_journal``."""
    compile(changed(bug, ROOM), bug.file, "exec")


@pytest.mark.blocks_the_loop("it waits for a thread to have put its message")
@pytest.mark.timeout(1200)  # what fails is made short, which takes its time
@pytest.mark.parametrize("number", range(TESTS))
def test_whatever_becomes_of_the_journal_the_guarantees_hold(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """G1 to G8, G10, G11, G12, G14."""
    for name in ("pykka", "turnkeeper"):
        caplog.set_level(logging.CRITICAL, name)  # thousands of failures that are part of the play

    @played(number)
    @given(scripts, drains, houses, st.booleans())
    def plays(
        script: tuple[list[tuple[list[Put | Deed], float, bool]], list[Put | Deed]],
        drain: float | None,
        house: Settings,
        lands_late: bool,
    ) -> None:
        asyncio.run(play(*script, drain, house, lands_late=lands_late))

    try:
        plays()
    except BaseException as error:
        error.add_note(f"The same scripts again: {again('test_journal_interleavings')}")
        raise
