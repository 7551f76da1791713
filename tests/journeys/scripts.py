"""Scripts of what may come to a registry in any order, made up by Hypothesis, and how they are played."""

import asyncio
import dataclasses
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

from tests.fakes import VirtualClock, virtual_time
from tests.journeys.letters import OF_LINES, OF_WORK
from tests.journeys.onlooker import ADA, BOB, ROOT, SESSIONS, End, Onlooker
from tests.journeys.runs import hold
from tests.journeys.witness import witnessed
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Cancel,
    ChangeQueued,
    Cleanup,
    Close,
    GetSession,
    GetTurn,
    Send,
    Subscribe,
)
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.work.pool import Pool

#: How many scripts one test plays, and how many are played in all.
A_TEST, ALL = 100, int(os.environ.get("INTERLEAVINGS") or 100)
TESTS = -(-ALL // A_TEST)
SEED = int(os.environ.get("SEED") or (secrets.randbelow(10**9) if TESTS > 1 else 0))

GRACE = 2.0
HOUSE = Settings(
    cancel_grace=GRACE,
    idle_ttl=60,
    turn_retention=600,
    shutdown_deadline=4,
    slow_loop=0,
    kept_turns=4,
    unresponsive_per_session=2,
    wind_grace=1.5,
    queue_limit=4,
    log_events=12,
    subscriber_buffer=8,
)
#: The same with so little room that sends and streams are refused.
FULL_HOUSE = dataclasses.replace(HOUSE, max_in_flight=1, max_streams=2, max_kept=1_500)
#: The same with turns that may neither emit much, nor be silent or without a reader for long.
STRICT_HOUSES = (
    dataclasses.replace(HOUSE, max_events=40, stall_timeout=5.0),
    dataclasses.replace(HOUSE, on_disconnect="cancel", abandon_after=8.0),
)
#: More than a log keeps, more than a turn may emit in a strict house, and more than the readers' lags are
#: looked at after.
FLOOD = 70
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
    "exit",
)

sessions = st.sampled_from([SESSIONS[0], *SESSIONS])
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
    st.sampled_from(DOINGS).map(lambda do: [{"text": do, "do": do}]),
    st.just(ADA),
    st.sampled_from([None, None, "generator", "plain"]),
    st.sampled_from([None, None, "reject"]),
    st.none() | turn_ids,
    st.sampled_from([None, None, 3.0]),
    st.booleans(),
)
cursors = st.sampled_from([None, "0", "last", "5-5", "99999999999999-0", "nonsense"])
#: What comes often stands here often.
MESSAGES: list[st.SearchStrategy[Any]] = [
    *[sends] * 6,
    *[cancels(ADA)] * 3,
    *[questions(ADA)] * 2,
    *[st.builds(Subscribe, sessions, cursors, st.just(ADA), st.sampled_from(CloseOn))] * 2,
    cancels(BOB) | questions(BOB),
    st.builds(Subscribe, sessions, cursors, st.just(BOB)),
    st.builds(Cleanup, st.just(ADA)),
    st.builds(Close, sessions, st.just(ADA)),
    st.builds(Close, sessions, st.just(ROOT), free=st.just(True)),
]
DEEDS = (
    "finish",
    "fail",
    "emit",
    "emit",
    "flood",
    "exit",
    "cancel it",
    "leave",
    "cut",
    "hold",
    "go on",
    "jump",
    "crash",
)


def batches_of(
    messages: list[st.SearchStrategy[Any]], deeds: tuple[str, ...]
) -> st.SearchStrategy[list[Put | Deed]]:
    """What may come in the same pass."""
    some = st.sampled_from(messages).flatmap(lambda strategy: strategy)
    deed = st.builds(Deed, st.sampled_from(deeds), which)
    put = st.builds(Put, some, seldom) | st.builds(Put, some, st.just(False))
    return st.lists(put | deed, min_size=2, max_size=10)


batches = batches_of(MESSAGES, DEEDS)
#: Letters of all kinds, among which those about turns that wait come most often: in every other script.
ALL_MESSAGES = [*MESSAGES[::3], *OF_LINES]
batches_with_lines = batches_of(ALL_MESSAGES, DEEDS)
#: The same with turns that begin something beside their coroutines.
MESSAGES_OF_WORK = [*MESSAGES[::2], *OF_WORK, *OF_LINES[::5]]
batches_with_work = batches_of(MESSAGES_OF_WORK, (*DEEDS, "return", "return"))
spans = st.sampled_from([0.0, 0.0, 1.0, GRACE + 0.1, 70.0, 700.0])
short_spans = st.sampled_from([0.0, 0.0, 0.0, 1.0, GRACE + 0.1, 4.0, 100.0])
#: Some of these end between the two cancels of a turn, and between the second one and its end.
spans_of_work = st.sampled_from([0.0, 0.0, 0.5, 1.5, 1.5, GRACE + 0.1, 4.0, 100.0])
#: Whether the registry is drained before it is stopped, and within how many seconds.
drains = st.sampled_from([None, HOUSE.shutdown_deadline, 0.5])
houses = st.sampled_from([HOUSE, FULL_HOUSE, *STRICT_HOUSES])


def again(test: str) -> str:
    """How the same scripts are played again."""
    return f"INTERLEAVINGS={ALL} SEED={SEED} make test ARGS=tests/journeys/{test}.py"


def played(number: int) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Play as many scripts as one test does, those of that number."""

    def of(play: Callable[[], None]) -> Callable[[], None]:
        few = settings(
            max_examples=A_TEST,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        return seed(SEED + number)(few(play))

    return of


#: The loop's time and the Unix time at which each play begins.
BEGAN, ZERO = 1_000.0, 1_800_000_000.0


@asynccontextmanager
async def stage(say: Callable[[str], object]) -> AsyncIterator[VirtualClock]:
    """Where a script is played, and the same one in the same way: without the machine's clocks and dice.

    ``say`` is called with what is wrong about a step of a session's.
    """
    drawn = itertools.count(1)
    async with virtual_time(BEGAN) as clock:
        with (
            patch.object(time, "time", lambda: ZERO + clock.time()),
            patch.object(secrets, "token_hex", lambda size: f"{next(drawn):0{2 * size}x}"),
            patch.object(Pool, "run", hold),
            witnessed(say),
        ):
            yield clock


class Play:
    """One script, played to a registry with an onlooker."""

    def __init__(self, onlooker: Onlooker) -> None:
        self.onlooker = onlooker

    def put(self, batch: list[Put | Deed]) -> None:
        for each in batch:
            if isinstance(each, Deed):
                self.do(each)
            elif (getattr(each.message, "turn_id", None) or "").startswith("#"):
                # It is about one that waits: once the registry has what was put before it.
                asyncio.get_running_loop().call_soon(self._put_soon, each)
            else:
                self.put_message(each)

    def _put_soon(self, put: Put) -> None:
        """Put it, unless the registry has stopped meanwhile: who asks then is not answered by it."""
        if self.onlooker.registry.ref.is_alive():
            self.put_message(put)

    def put_message(self, put: Put) -> None:
        self.onlooker.ask(self.filled_in(put.message), thread=put.thread)

    def filled_in(self, message: Any) -> Any:
        """The message with what only the moment knows."""
        if isinstance(message, Send):
            parts = message.message
            if message.turn_id is None and message.key is None:
                # What has a name may come twice, and is the same then.
                parts = [{**part, "text": f"{len(self.onlooker.ends)}"} for part in parts]
            # An admin opens none of the sessions: they are ada's.
            asker = message.asker if message.session_id in self.onlooker.known_sessions else ADA
            return replace(message, message=parts, asker=asker, ended_to=End())
        if isinstance(message, Cancel | ChangeQueued) and (message.turn_id or "").startswith("#"):
            waiting = self.onlooker.lines.waiting(message.session_id)
            number = int((message.turn_id or "#0")[1:])
            turn_id = waiting[number % len(waiting)].turn_id if waiting else "t1"
            return replace(message, turn_id=turn_id)
        if isinstance(message, Subscribe) and message.cursor == "last":
            last = [each.last for each in self.onlooker.readers if each.session == message.session_id]
            cursor = last[-1].id if last and last[-1] is not None else "0"
            return replace(message, cursor=cursor)
        return message

    def do(self, deed: Deed) -> None:
        match deed.what:
            case "jump":
                self.onlooker.jump((1.0, GRACE, 70.0, 700.0)[deed.which])
            case "crash":
                self.onlooker.crash(("s1", "s1", "s1", "s2")[deed.which])
            case "leave" | "cut" | "hold" | "go on":
                self.do_to_reader(deed)
            case _:
                self.do_to_run(deed)

    def do_to_reader(self, deed: Deed) -> None:
        there = [each for each in self.onlooker.readers if not each.gone]
        for reader in there[deed.which : deed.which + 1]:
            match deed.what:
                case "leave":
                    reader.leave()
                case "cut":
                    reader.cut()
                case "hold":
                    reader.hold()
                case _:
                    reader.go_on()

    def do_to_run(self, deed: Deed) -> None:
        for run in self.onlooker.living[deed.which : deed.which + 1]:
            turn = run.turn
            match deed.what:
                case "emit" | "flood":
                    for _ in range(1 if deed.what == "emit" else FLOOD):
                        if not turn.over:
                            turn.emit("word", deed.which)
                    if not turn.cancel_requested:
                        run.heard_at = self.onlooker.now
                case "exit":
                    self.onlooker.exit(run)
                case "return":
                    run.return_from_thread()
                case "cancel it":
                    self.onlooker.ask(Cancel(turn.session_id, turn.turn_id, ADA))
                case _:
                    run.say("done" if deed.what == "finish" else OSError("as the deed says"))
