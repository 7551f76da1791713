"""Whatever a disk does between two decisions, a session is what its log says, and no asker waits in vain.

Sends, cancels, closes and titles come at random moments while appends are late, refused, or answered one by
one, and questions about forgotten turns are answered late; agents emit, write, fail, protect a step and
ignore being cancelled meanwhile. ``INTERLEAVINGS=1000`` plays a thousand times.
"""

import asyncio
import os
import random
from collections.abc import Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.actors.registry.durable.planted import BUGS, ROOM
from tests.fakes import VirtualClock, opened, settle, waiting
from tests.planting import Bug, changed
from turnkeeper.actors.events.event import END_NAMES, Event
from turnkeeper.actors.journal.contract import Tail
from turnkeeper.actors.journal.durable import durable
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.records import SessionId, TurnRecord
from turnkeeper.actors.model.words import CancelCode, OnRestart, is_terminal
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.receipt import Receipt
from turnkeeper.actors.session.states import Idle, Memory
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn

PLAYS = range(int(os.environ.get("INTERLEAVINGS", "40")))
SESSIONS = ("s1", "s2")
TURNS = ("a", "b", "c")
#: Of how many turns each session has a memory.
KEPT = 3
ENDS = frozenset(END_NAMES.values())
#: The turns that were cancelled in a step that must not be interrupted, which none takes long enough for.
CUT: list[str] = []


async def agent(turn: Turn) -> Any:
    """Does what the message says."""
    match turn.text:
        case "emit":
            for n in range(5):
                turn.emit("delta", {"text": f"{n} "})
                await asyncio.sleep(0.1)
        case "write":
            turn.context.messages = [*turn.context.messages[-1:], turn.turn_id]
            turn.context.data["last"] = turn.turn_id
        case "fail":
            raise ValueError("it fails")
        case "clean up":
            try:
                await asyncio.sleep(3.0)
            finally:
                turn.emit("cleaned")
                await asyncio.sleep(0.5)
        case "protect":
            await asyncio.sleep(0.2)
            async with turn.uninterruptible():
                try:
                    await asyncio.sleep(1.5)
                except asyncio.CancelledError:
                    CUT.append(turn.turn_id)
                    raise
            await asyncio.sleep(1.0)
        case "ignore":
            for _ in range(3):
                try:
                    await asyncio.sleep(4.0)
                except asyncio.CancelledError:
                    turn.emit("ignored") if not turn.over else None
    return {"of": turn.turn_id}


def played(journal: MemoryJournal) -> AbstractAsyncContextManager[SessionRegistry]:
    """A registry with that agent under each policy, and this journal."""
    agents = {policy: Agent(agent, on_restart=policy) for policy in OnRestart}
    return opened(agents, journal=journal, cancel_grace=2.0, idle_ttl=3_600.0, kept_turns=KEPT)


class Play:
    """Does something at random, again and again."""

    def __init__(
        self, seed: int, registry: SessionRegistry, journal: SlowJournal, clock: VirtualClock
    ) -> None:
        self._random = random.Random(seed)
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self.asked: list[asyncio.Task[Any]] = []
        #: The turns that were acknowledged, and those of them that the log did not have then.
        self.acknowledged: list[Receipt] = []
        self.premature: list[Receipt] = []
        #: Those whose end was said, as it was.
        self.ended: list[tuple[SessionId, TurnRecord]] = []

    async def act(self) -> None:
        """Do one thing."""
        deeds = [self._send] * 6 + [self._cancel] * 3 + [self._disk] * 4 + [self._wait] * 4
        deeds += [self._title, self._close] if self._random.random() < 0.2 else []
        await self._random.choice(deeds)()
        await settle(self._random.choice((0, 1, 3, 30)))

    def _ask(self, question: Coroutine[Any, Any, Any]) -> None:
        self.asked.append(asyncio.create_task(question))

    async def _send(self) -> None:
        pick = self._random.choice
        self._ask(
            self._acknowledged(
                self._registry.send(
                    pick(SESSIONS),
                    pick(("quick", "emit", "write", "fail", "clean up", "protect", "protect", "ignore")),
                    agent=pick(tuple(OnRestart)),
                    turn_id=pick((None, None, *TURNS)),
                    strategy=pick(("interrupt", "interrupt", "reject")),
                    timeout=pick((None, None, 1.0)),
                    wait=pick((True, False)),
                )
            )
        )

    async def _acknowledged(self, sending: Coroutine[Any, Any, Receipt]) -> Receipt:
        receipt = await sending
        self.acknowledged.append(receipt)
        if await MemoryJournal.turn(self._journal, receipt.session_id, receipt.turn_id) is None:
            self.premature.append(receipt)
        if not receipt.repeated:
            record = await receipt.ended()
            self.ended.append((receipt.session_id, record))
        return receipt

    async def _cancel(self) -> None:
        pick = self._random.choice
        turn_id, wait = pick((None, None, *TURNS)), pick((True, False))
        code = pick((CancelCode.USER_REQUEST, CancelCode.POLICY))
        self._ask(self._registry.cancel(pick(SESSIONS), turn_id, wait=wait, code=code))

    async def _title(self) -> None:
        self._ask(self._registry.set_title(self._random.choice(SESSIONS), "A title"))

    async def _close(self) -> None:
        self._ask(self._registry.close(self._random.choice(SESSIONS)))

    async def _disk(self) -> None:
        match self._random.choice(("hold", "one", "all", "down", "up", "up", "ask", "answer", "answer")):
            case "hold":
                self._journal.hold()
            case "one":
                self._journal.let_go(min(1, len(self._journal.held)))
            case "all":
                self._journal.let_go()
            case "down":
                self._journal.is_down = True
            case "up":
                self._journal.is_down = False
            case "ask":
                self._journal.hold_answers()
            case "answer":
                self._journal.let_answer()

    async def _wait(self) -> None:
        await self._clock.advance(self._random.choice((0.05, 0.3, 1.0, 2.5)))

    async def rest(self) -> None:
        """The disk is well again, all comes to its end, and each asker has been answered."""
        self._journal.is_down = False
        self._journal.let_go()
        self._journal.let_answer()
        await self._clock.advance(60.0)
        assert all(each.done() for each in self.asked)
        for each in self.asked:
            error = each.exception()
            assert error is None or isinstance(error, SessionError)


@pytest.mark.parametrize("seed", PLAYS)
async def test_a_session_is_what_its_log_says(seed: int, clock: VirtualClock) -> None:
    CUT.clear()
    journal = SlowJournal()
    async with played(journal) as registry:
        play = Play(seed, registry, journal, clock)
        for _ in range(60):
            await play.act()
        await play.rest()
        assert not play.premature
        assert not CUT
        for session in map(SessionId, SESSIONS):
            await check(registry, journal, session)


@pytest.mark.parametrize("seed", PLAYS)
async def test_a_kill_loses_nothing_that_was_acknowledged(seed: int, clock: VirtualClock) -> None:
    journal = SlowJournal()
    async with played(journal) as registry:
        play = Play(seed, registry, journal, clock)
        for _ in range(10 + seed % 50):
            await play.act()
        found, acknowledged, ended = journal.after_a_kill(), list(play.acknowledged), list(play.ended)
        await play.rest()
    async with played(found) as registry:
        await clock.advance(60.0)
        for receipt in acknowledged:
            record = await registry.turn(receipt.session_id, receipt.turn_id)
            assert is_terminal(record.status)
        for session, record in ended:
            left = await registry.turn(session, record.turn_id)
            assert (left.status, left.ended_at, left.error) == (record.status, record.ended_at, record.error)
        for session in map(SessionId, SESSIONS):
            await check(registry, found, session)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_of_the_list_can_still_be_planted(bug: Bug) -> None:
    """Whether it is found takes minutes to say: ``python -m tests.actors.registry.durable.planted``."""
    compile(changed(bug, ROOM), bug.file, "exec")


async def check(registry: SessionRegistry, journal: MemoryJournal, session: SessionId) -> None:
    """What is in memory is what would be loaded."""
    entry = registry.directory.entries.get(session)
    settings = registry.settings
    tail = Tail(
        settings.log_events,
        settings.log_bytes,
        settings.conversation_messages,
        settings.conversation_bytes,
        settings.limits,
    )
    loaded = await journal.load(session, tail)
    if entry is None:
        return
    if loaded is None:
        assert entry.state == Idle(Memory(entry.state.memory.home)), "a session without a log"
        return
    assert loaded.durable == durable(entry.state)
    turns = [turn.turn_id for turn in (await journal.turns(session, None, 100)).turns]
    assert len(turns) == len(set(turns)), "a turn id stands for one turn"
    said = await registry.messages(session)
    assert said.messages == tuple(loaded.kept.transcript.messages)
    assert said.cursor == loaded.kept.cursor
    stream = await registry.subscribe(session, after="0")
    events = waiting(stream)
    stream.close()
    assert seen(events) == seen(loaded.events)
    ids = [(event.epoch, event.n) for event in events if event.epoch is not None]
    assert ids == sorted(set(ids)), "no id is given twice, and each is larger than the one before"
    ended = [event.turn_id for event in events if event.name in ENDS and not event.data.get("will_continue")]
    assert len(ended) == len(set(ended)), "a turn has one end"


def seen(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """What a reader sees of each that has an id."""
    return [(event.name, event.id, event.json) for event in events if event.id is not None]
