"""A living registry under messages in any order: whatever comes in the same pass, the guarantees hold.

Hypothesis makes up batches of messages and deeds. A batch is put without waiting for anything, some of its
messages by a thread; then all comes to rest, and the onlooker compares what the registry says with what he
knows. At the end, with all sorts of things under way, the registry is stopped.

An ordinary run plays a few scripts, the same ones each time. ``INTERLEAVINGS=1000`` plays a thousand others,
and names the seed with which the same thousand are played again: ``INTERLEAVINGS=1000 SEED=...``. CI takes
the seed from the commit. A script is played in the same way everywhere: nothing in it depends on the machine.
"""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import settle
from tests.journeys.onlooker import TINY, Onlooker
from tests.journeys.planted import BUGS, ROOM
from tests.journeys.scripts import (
    HOUSE,
    TESTS,
    Deed,
    Play,
    Put,
    again,
    batches,
    batches_with_lines,
    batches_with_work,
    drains,
    houses,
    played,
    short_spans,
    spans,
    spans_of_work,
    stage,
)
from tests.planting import Bug, changed
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings


def scripts_of(batches: st.SearchStrategy[Any], spans: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """Batches, each with a span after it, and the last one, amid which the registry is stopped."""
    return st.tuples(st.lists(st.tuples(batches, spans), min_size=2, max_size=6), batches)


with_lines = scripts_of(batches_with_lines, short_spans)
with_work = scripts_of(batches_with_work, spans_of_work)
scripts = scripts_of(batches, spans) | with_lines | with_work


async def play(
    script: list[tuple[list[Put | Deed], float]],
    last: list[Put | Deed],
    drain: float | None,
    house: Settings,
    *,
    hears: bool,
) -> None:
    """``hears``: the host has a hook for the end of every turn."""
    wrong: list[str] = []
    async with stage(wrong.append) as clock:
        onlooker = Onlooker(clock, house, wrong)
        registry = onlooker.registry = SessionRegistry(
            onlooker.agents.by_name(),
            settings=house,
            on_rollback=onlooker.agents.undo,
            on_turn_end=onlooker.agents.end if hears else None,
        )
        onlooker.lines.hears_ends = hears
        await registry.start()
        here = Play(onlooker)
        try:
            for batch, span in script:
                here.put(batch)
                await settle()
                await clock.advance(span)
                await onlooker.check()
            here.put(last)
            onlooker.lines.stops = True
            if drain is not None:
                async with asyncio.timeout(drain + TINY):
                    await registry.drain(drain)
                assert not registry.accepting
                here.put(last)
            async with asyncio.timeout(HOUSE.shutdown_deadline + TINY):
                await registry.stop()
            await onlooker.check_the_end()
        finally:
            await registry.stop()
            await onlooker.release()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_of_the_list_can_still_be_planted(bug: Bug) -> None:
    """Whether a play finds it takes minutes to say: ``python -m tests.journeys.planted``."""
    compile(changed(bug, ROOM), bug.file, "exec")


@pytest.mark.blocks_the_loop("it waits for a thread to have put its message")
@pytest.mark.timeout(1200)  # what fails is made short, which takes its time
@pytest.mark.parametrize("number", range(TESTS))
def test_whatever_comes_together_the_guarantees_hold(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """G1 to G8, G10, G12, G14."""
    for name in ("pykka", "turnkeeper"):
        caplog.set_level(logging.CRITICAL, name)  # thousands of failures that are part of the play

    @played(number)
    @given(scripts, drains, houses, st.booleans())
    def plays(
        script: tuple[list[tuple[list[Put | Deed], float]], list[Put | Deed]],
        drain: float | None,
        house: Settings,
        hears: bool,
    ) -> None:
        asyncio.run(play(*script, drain, house, hears=hears))

    try:
        plays()
    except BaseException as error:
        error.add_note(f"The same scripts again: {again('test_interleavings')}")
        raise
