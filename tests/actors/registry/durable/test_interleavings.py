"""Whatever a disk does between two decisions, a session is what its log says, and no asker waits in vain.

Sends, cancels, closes and titles come at random moments while appends are late, refused, or answered one by
one; agents emit, write, fail and ignore being cancelled meanwhile.
"""

import asyncio
import random
from collections.abc import Coroutine, Iterable
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import VirtualClock, opened, settle, waiting
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.journal.contract import Tail
from turnkeeper.actors.journal.durable import durable
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.receipt import Receipt
from turnkeeper.actors.turn.turn import Turn

SESSIONS = ("s1", "s2")
TURNS = ("a", "b", "c")
GRACE = 2.0


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
        case "ignore":
            for _ in range(3):
                try:
                    await asyncio.sleep(4.0)
                except asyncio.CancelledError:
                    turn.emit("ignored") if not turn.over else None
    return {"of": turn.turn_id}


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
        #: The turns that were acknowledged before the log had them.
        self.premature: list[Receipt] = []

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
                    pick(("quick", "emit", "write", "fail", "clean up", "ignore")),
                    turn_id=pick((None, None, *TURNS)),
                    strategy=pick(("interrupt", "interrupt", "reject")),
                    timeout=pick((None, None, 1.0)),
                    wait=pick((True, False)),
                )
            )
        )

    async def _acknowledged(self, sending: Coroutine[Any, Any, Receipt]) -> Receipt:
        receipt = await sending
        if await self._journal.turn(receipt.session_id, receipt.turn_id) is None:
            self.premature.append(receipt)
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
        match self._random.choice(("hold", "one", "all", "down", "up", "up")):
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

    async def _wait(self) -> None:
        await self._clock.advance(self._random.choice((0.05, 0.3, 1.0, 2.5)))

    async def rest(self) -> None:
        """The disk is well again, and all comes to its end."""
        self._journal.is_down = False
        self._journal.let_go()
        await self._clock.advance(60.0)


@pytest.mark.parametrize("seed", range(40))
async def test_a_session_is_what_its_log_says(seed: int, clock: VirtualClock) -> None:
    journal = SlowJournal()
    async with opened(agent, journal=journal, cancel_grace=GRACE, idle_ttl=3_600.0) as registry:
        play = Play(seed, registry, journal, clock)
        for _ in range(60):
            await play.act()
        await play.rest()
        assert all(each.done() for each in play.asked)
        assert not play.premature
        for each in play.asked:
            error = each.exception()
            assert error is None or isinstance(error, SessionError)
        for session in map(SessionId, SESSIONS):
            await check(registry, journal, session)


async def check(registry: SessionRegistry, journal: SlowJournal, session: SessionId) -> None:
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
    if entry is None or loaded is None:
        assert entry is None or loaded is not None, "a session without a log"
        return
    assert loaded.durable == durable(entry.state)
    said = await registry.messages(session)
    assert said.messages == tuple(loaded.kept.transcript.messages)
    assert said.cursor == loaded.kept.cursor
    stream = await registry.subscribe(session, after="0")
    assert seen(waiting(stream)) == seen(loaded.events)
    stream.close()


def seen(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """What a reader sees of each that has an id."""
    return [(event.name, event.id, event.json) for event in events if event.id is not None]
