"""Plain functions that a turn runs in threads."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from tests.fakes import names, opened, settle, waiting
from turnkeeper.actors.model.exceptions import (
    AgentExited,
    EventNotJson,
    InvalidRequest,
    LoopClosed,
    ReservedEvent,
    TurnFailed,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.records import StillRunning
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn, current
from turnkeeper.actors.turn.work.threads import Call

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0
#: As long as a thread takes on a busy machine, this is no time.
GRACE = 0.05


class Work:
    """A function for a thread, which runs until the test lets it go, or until it sees that it is to stop."""

    def __init__(self, looks: bool = True) -> None:
        self.started = asyncio.Event()
        self.seen = threading.Event()
        self.go = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._looks = looks

    def __call__(self, turn: Turn) -> str:
        self._loop.call_soon_threadsafe(self.started.set)
        while not self.go.wait(0.001):
            if turn.cancel_requested:
                self.seen.set()
                if self._looks:
                    break
        return "worked"


async def result_of(registry: SessionRegistry) -> Any:
    return await (await registry.send("s1", "hello")).result()


# -- What comes back --------------------------------------------------------------------------------


variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")


async def test_it_returns_what_the_function_returns_in_a_thread_of_the_turns() -> None:
    def work(one: int, *, two: int) -> Any:
        return one, two, threading.current_thread().name, current.get(), variable.get()

    async def agent(turn: Turn) -> bool:
        variable.set(3)
        return await turn.in_thread(work, 1, two=2) == (1, 2, "turnkeeper-turns", turn, 3)

    async with opened(agent) as registry:
        assert await result_of(registry) is True


@pytest.mark.parametrize("error", [KeyError("x"), asyncio.CancelledError(), StopIteration(5)])
async def test_it_raises_what_the_function_raises(error: BaseException) -> None:
    def work() -> None:
        raise error

    async def agent(turn: Turn) -> str:
        try:
            await turn.in_thread(work)
        except BaseException as raised:  # noqa: BLE001
            return type(raised.__cause__ or raised).__name__
        return "nothing"

    async with opened(agent) as registry:
        assert await result_of(registry) == type(error).__name__


async def test_a_function_that_would_end_the_process_ends_its_turn() -> None:
    """G14."""

    async def agent(turn: Turn) -> None:
        await turn.in_thread(exit, 3)

    async with opened(agent) as registry:
        with pytest.raises(TurnFailed, match="system_exit") as failed:
            await result_of(registry)
        assert isinstance(failed.value.__cause__, AgentExited)
        assert isinstance(failed.value.__cause__.__cause__, SystemExit)


# -- What it may do in the thread -------------------------------------------------------------------


async def test_events_are_published_in_order_and_before_the_call_returns() -> None:
    def work(turn: Turn) -> None:
        for n in range(50):
            turn.emit("word", n)
        turn.set_title("from a thread")

    async def agent(turn: Turn) -> None:
        await turn.in_thread(work, turn)
        turn.emit("after")

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await result_of(registry)
        events = [event for event in waiting(stream) if event.name in ("word", "after")]
        assert [event.data for event in events] == [*range(50), None]
        assert (await registry.sessions()).sessions[0].title == "from a thread"
        stream.close()


@pytest.mark.parametrize(
    ("event", "data", "error"), [("turn.mine", None, ReservedEvent), ("word", object(), EventNotJson)]
)
async def test_what_is_refused_is_refused_in_the_thread(event: str, data: Any, error: Any) -> None:
    def work(turn: Turn) -> str:
        with pytest.raises(error):
            turn.emit(event, data)
        return "refused"

    async def agent(turn: Turn) -> str:
        return await turn.in_thread(work, turn)

    async with opened(agent) as registry:
        assert await result_of(registry) == "refused"


async def test_a_thread_that_emits_more_than_its_turn_may_is_stopped_there() -> None:
    def work(turn: Turn) -> None:
        while True:
            turn.emit("word")

    async def agent(turn: Turn) -> None:
        await turn.in_thread(work, turn)

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", policy={"max_events": 5})
        end = await receipt.ended()
        assert end.reason is not None
        assert (end.status, end.reason.code) == ("cancelled", "budget_exceeded")


async def test_any_other_thread_is_the_wrong_one() -> None:
    def work(turn: Turn) -> str:
        with pytest.raises(WrongThread):
            turn.emit("word")
        with pytest.raises(WrongThread):
            turn.set_title("title")
        return "refused"

    async def agent(turn: Turn) -> str:
        await turn.in_thread(int)
        return await asyncio.to_thread(work, turn)

    async with opened(agent) as registry:
        assert await result_of(registry) == "refused"


async def test_a_thread_whose_loop_is_closed_learns_that() -> None:
    class Home:
        loop = asyncio.new_event_loop()
        thread = None

    call = Call(lambda: None, lambda call: None, Home())
    Home.loop.close()
    with pytest.raises(LoopClosed):
        call.on_loop(lambda: None)
    call()()  # and reports its end to nothing


# -- Cancels ----------------------------------------------------------------------------------------


async def test_a_stop_is_answered_when_the_thread_has_returned() -> None:
    """G3, G13: the function sees that it is to stop."""
    work = Work()

    async def agent(turn: Turn) -> str:
        return await turn.in_thread(work, turn)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await work.started.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert work.seen.is_set()


async def test_cancelling_only_the_wait_is_heard_when_the_thread_has_returned() -> None:
    """The turn was not asked to stop: only this call is not wanted any more."""
    work = Work()

    async def agent(turn: Turn) -> Any:
        call = asyncio.ensure_future(turn.in_thread(work, turn))
        await work.started.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return work.seen.is_set(), turn.cancel_requested, await turn.in_thread(lambda: turn.cancel_requested)

    async with opened(agent) as registry:
        assert await result_of(registry) == (True, False, False)


async def test_a_thread_that_outlasts_the_grace_has_its_turn_given_up_until_it_returns() -> None:
    """G6, G13: what it says then is refused, and its place in the pool is taken until then."""
    work, late = Work(looks=False), []

    def stubborn(turn: Turn) -> None:
        work(turn)
        try:
            turn.emit("word")
        except TurnOver as error:
            late.append(error)

    async def agent(turn: Turn) -> Any:
        return await turn.in_thread(stubborn if turn.text == "stubborn" else lambda _turn: "other", turn)

    async with opened(agent, cancel_grace=GRACE, max_threads=2) as registry:
        receipt = await registry.send("s1", "stubborn")
        await work.started.wait()
        answer = await registry.cancel("s1")
        assert answer.turn is not None
        assert (answer.verdict, answer.turn.still_running) == (Verdict.UNRESPONSIVE, StillRunning(threads=1))
        assert await result_of(registry) == "other"
        work.go.set()
        while (record := await registry.turn("s1", receipt.turn_id)).ended_late is None:
            await asyncio.sleep(0)
        assert record.ended_late.outcome == "cancelled"
        assert len(late) == 1


async def test_a_thread_that_a_turn_leaves_behind_is_waited_for() -> None:
    """G13."""
    work = Work()

    async def agent(turn: Turn) -> str:
        tasks.append(asyncio.ensure_future(turn.in_thread(work, turn)))
        await work.started.wait()
        return "done"

    tasks: list[asyncio.Future[str]] = []
    async with opened(agent) as registry:
        assert await result_of(registry) == "done"
        assert work.seen.is_set()
        assert await tasks[0] == "worked"


async def test_a_turn_that_waits_for_a_thread_is_stopped_at_once() -> None:
    """G13: it has none to wait for."""
    work = Work(looks=False)

    async def agent(turn: Turn) -> str:
        return await turn.in_thread(work, turn)

    async with opened(agent, max_threads=1) as registry:
        await registry.send("s1", "holds it")
        await work.started.wait()
        await registry.send("s2", "waits")
        await settle()
        assert (await registry.cancel("s2")).verdict is Verdict.CANCELLED
        work.go.set()


@pytest.mark.parametrize("what", [None, 7, asyncio.sleep])
async def test_what_is_no_plain_function_is_refused(what: Any) -> None:
    async def agent(turn: Turn) -> Any:
        with pytest.raises(InvalidRequest) as refused:
            await turn.in_thread(what)
        return refused.value.field

    async with opened(agent) as registry:
        assert await result_of(registry) == "function"


async def test_none_is_begun_off_the_loop_or_when_the_turn_is_over() -> None:
    turns: list[Turn] = []

    def elsewhere(turn: Turn) -> str:
        with pytest.raises(WrongThread):
            asyncio.run(turn.in_thread(int))
        return "refused"

    async def agent(turn: Turn) -> str:
        turns.append(turn)
        return await asyncio.to_thread(elsewhere, turn)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        assert await result_of(registry) == "refused"
        with pytest.raises(TurnOver):
            await turns[0].in_thread(int)
        assert "turn.completed" in names(waiting(stream))
        stream.close()
