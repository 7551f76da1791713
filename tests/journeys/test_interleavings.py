"""A living registry under messages in any order: whatever comes in the same pass, the guarantees hold.

Hypothesis makes up batches of messages and deeds. A batch is put without waiting for anything, some of its
messages by a thread; then the house comes to rest and the onlooker compares what it says with what he knows.
At the end, with all sorts of things under way, the registry is stopped.
"""

import asyncio
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fakes import settle, virtual_time
from tests.journeys.onlooker import ADA, BOB, Onlooker
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Cancel,
    Cleanup,
    Close,
    GetSession,
    GetTurn,
    Send,
    Shutdown,
    Subscribe,
)
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.session.settings import Settings

GRACE = 2.0
HOUSE = Settings(
    cancel_grace=GRACE,
    idle_ttl=60,
    turn_retention=600,
    shutdown_deadline=4,
    kept_turns=4,
    unresponsive_per_session=2,
    log_events=12,
    subscriber_buffer=8,
)
DOINGS = (
    "wait",
    "wait",
    "return",
    "raise",
    "chat",
    "swallow",
    "swallow",
    "stubborn",
    "stubborn",
    "answer",
    "break",
)

sessions = st.sampled_from(["s1", "s1", "s2"])
turn_ids = st.sampled_from(["t1", "t2", "t3"])
which = st.integers(0, 3)
seldom = st.integers(0, 3).map(lambda n: n == 3)


class Put(NamedTuple):
    """A message, put on the loop or by a thread."""

    message: Any
    thread: bool


class Deed(NamedTuple):
    """Something that is no message: what happens, and to which of those to whom it can."""

    what: str
    which: int


def cancels(asker: Asker) -> st.SearchStrategy[Any]:
    return st.builds(Cancel, sessions, st.none() | turn_ids, st.just(asker), st.booleans())


def questions(asker: Asker) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(GetTurn, sessions, turn_ids, st.just(asker)),
        st.builds(AwaitTurn, sessions, turn_ids, st.just(asker)),
        st.builds(GetSession, sessions, st.just(asker)),
    )


sends = st.builds(
    Send,
    sessions,
    st.fixed_dictionaries({"do": st.sampled_from(DOINGS)}),
    st.just(ADA),
    st.sampled_from([None, None, "generator", "plain"]),
    st.sampled_from([None, None, "reject"]),
    st.none() | turn_ids,
    st.sampled_from([None, None, 3.0]),
    st.booleans(),
)
cursors = st.sampled_from([None, "0", "last", "5-5", "99999999999999-0", "nonsense"])
#: What comes often stands here often.
messages = st.sampled_from(
    [
        *[sends] * 6,
        *[cancels(ADA)] * 3,
        *[questions(ADA)] * 2,
        *[st.builds(Subscribe, sessions, cursors, st.just(ADA), st.booleans())] * 2,
        cancels(BOB) | questions(BOB),
        st.builds(Cleanup, st.just(ADA)),
        st.builds(Close, sessions, st.just(ADA)),
    ]
).flatmap(lambda strategy: strategy)
deeds = st.builds(
    Deed, st.sampled_from(["finish", "fail", "emit", "leave", "cancel it", "jump", "crash"]), which
)
batches = st.lists(
    st.builds(Put, messages, seldom) | st.builds(Put, messages, st.just(False)) | deeds,
    min_size=2,
    max_size=10,
)
spans = st.sampled_from([0.0, 0.0, 1.0, GRACE + 0.1, 70.0, 700.0])
scripts = st.lists(st.tuples(batches, spans), min_size=2, max_size=6)


class Play:
    """One script, played to a registry with an onlooker."""

    def __init__(self, onlooker: Onlooker, registry: SessionRegistry, clock: Any) -> None:
        self.onlooker = onlooker
        self.registry = registry
        self.clock = clock

    def put(self, batch: list[Put | Deed]) -> None:
        for each in batch:
            if isinstance(each, Put):
                self.onlooker.ask(self.filled_in(each.message), thread=each.thread)
            else:
                self.do(each)

    def filled_in(self, message: Any) -> Any:
        """The message with what only the moment knows."""
        if isinstance(message, Send):
            given = message.session_id, message.message, ADA, message.agent, message.strategy, message.turn_id
            return Send(*given, message.timeout, message.wait, AsyncioFuture())
        if isinstance(message, Subscribe) and message.cursor == "last":
            last = [each.last for each in self.onlooker.readers if each.session == message.session_id]
            cursor = last[-1].id if last and last[-1] is not None else "0"
            return Subscribe(message.session_id, cursor, ADA, message.close_on)
        return message

    def do(self, deed: Deed) -> None:
        match deed.what:
            case "jump":
                self.clock.jump((1.0, GRACE, 70.0, 700.0)[deed.which])
            case "crash":
                self.onlooker.crash(("s1", "s1", "s1", "s2")[deed.which])
            case "leave":
                for reader in self.onlooker.readers[deed.which : deed.which + 1]:
                    reader.subscription.close()
            case _:
                for run in self.onlooker.living[deed.which : deed.which + 1]:
                    turn = run.turn
                    if deed.what == "emit" and not turn.over:
                        turn.emit("word", deed.which)
                    elif deed.what == "cancel it":
                        self.onlooker.ask(Cancel(turn.session_id, turn.turn_id, ADA))
                    else:
                        run.say("done" if deed.what == "finish" else OSError("as the deed says"))


async def play(script: list[tuple[list[Put | Deed], float]], last: list[Put | Deed], drain: bool) -> None:
    async with virtual_time() as clock:
        onlooker = Onlooker(clock, GRACE)
        agents = {
            "default": onlooker.coroutine,
            "generator": onlooker.generator,
            "plain": onlooker.plain,
        }
        registry = onlooker.registry = SessionRegistry(agents, settings=HOUSE)
        await registry.start()
        here = Play(onlooker, registry, clock)
        try:
            for batch, span in script:
                here.put(batch)
                await settle()
                await clock.advance(span)
                await onlooker.check()
            here.put(last)
            if drain:
                onlooker.ask(Shutdown())
                await clock.advance(1.0)
                here.put(last)
            await registry.stop()
            await onlooker.check_the_end()
        finally:
            await registry.stop()
            await onlooker.release()


@pytest.mark.blocks_the_loop("it waits for a thread to have put its message")
@settings(
    max_examples=200,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scripts, batches, st.booleans())
def test_whatever_comes_together_the_guarantees_hold(
    script: list[tuple[list[Put | Deed], float]], last: list[Put | Deed], drain: bool
) -> None:
    """G1 to G4, G6, G7, G10, G12."""
    asyncio.run(play(script, last, drain))
