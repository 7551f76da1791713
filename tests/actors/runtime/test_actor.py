"""An actor on an event loop: its life, its failures, and Pykka's other ways in."""

import asyncio
import gc
import logging
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import pykka
import pytest
from pykka.messages import ProxySetAttr

from tests.actors.runtime.children import Child, Registered, in_thread, started
from turnkeeper.actors.runtime import (
    ActorLoopClosed,
    AsyncioActor,
    AsyncioFuture,
    AsyncioRef,
    BlockingCallOnLoop,
    LoopClosed,
    ReplyTo,
    forward,
)


@pytest.fixture
def thread_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# -- stopping and failing ------------------------------------------------------------------------------


async def test_a_stop_lets_earlier_messages_be_handled_and_answers_later_ones() -> None:
    ref, log = started()
    earlier = ref.ask("earlier", block=False)
    stopped, again = ref.stop(block=False), ref.stop(block=False)
    later = ref.ask("later", block=False)

    assert await earlier == "earlier"
    assert await stopped is await again is True
    with pytest.raises(pykka.ActorDeadError, match="stopped before handling"):
        await later
    assert log == ["earlier", "on_stop"]


async def test_a_dead_actor_refuses_in_each_way() -> None:
    ref, _ = started()
    await ref.stop(block=False)

    assert not ref.is_alive()
    assert await ref.stop(block=False) is False
    assert await in_thread(ref.stop) is False
    with pytest.raises(pykka.ActorDeadError, match=f"Child \\({ref.actor_urn}\\) not found"):
        ref.tell("anything")
    with pytest.raises(pykka.ActorDeadError):
        await ref.ask("anything", block=False)
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


@pytest.mark.blocks_the_loop("joins a thread")
async def test_messages_from_threads_that_arrive_after_the_end_are_answered() -> None:
    ref, _ = started()
    future = await in_thread(ref.ask, "crossing", block=False)
    stopped = ref.stop(block=False)  # put after it, handled after it
    assert await future == "crossing"
    assert await stopped is True

    ref, _ = started()
    late: list[Any] = []
    thread = threading.Thread(target=lambda: late.append(ref.ask("late", block=False)))

    def die() -> None:
        thread.start()
        thread.join()
        raise KeyError

    ref.tell(die)
    while not late:
        await asyncio.sleep(0)
    with pytest.raises(pykka.ActorDeadError):
        await late[0]


async def test_a_failure_without_an_asker_ends_the_actor_through_on_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ref, log = started()
    error = KeyError("without an asker")
    ref.tell(error)
    waiting = ref.ask("waiting", block=False)

    with pytest.raises(pykka.ActorDeadError):
        await waiting
    assert log == [error, ("on_failure", error)]
    assert not ref.is_alive()
    assert f"Unhandled exception in {ref}:" in caplog.text


async def test_a_stop_from_within_a_handler_lets_the_rest_be_handled_first() -> None:
    ref, log = started()
    actor = ref._actor
    assert actor is not None
    ref.tell(actor.stop)
    ref.tell("already here")
    ended = ref.actor_stopped
    assert not ended.is_set()
    assert await in_thread(ended.wait, 60)

    assert log == [actor.stop, "already here", "on_stop"]
    assert ended.wait()


async def test_actor_stopped_can_be_waited_for_with_a_timeout() -> None:
    ref, _ = started()

    assert await in_thread(ref.actor_stopped.wait, 0.001) is False


async def test_on_start_runs_before_the_first_message_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []

    class Starts(AsyncioActor):
        registered = False

        def on_start(self) -> None:
            log.append("on_start")
            if "fail" in log:
                raise KeyError("on_start")

        def on_receive(self, message: Any) -> Any:
            log.append(message)

    ref = Starts.start()
    assert log == []
    await ref.ask("first", block=False)
    assert log == ["on_start", "first"]
    log.append("fail")
    ref = Starts.start()
    with pytest.raises(pykka.ActorDeadError):
        await ref.ask("second", block=False)
    assert "second" not in log


async def test_messages_to_itself_in_the_constructor_wait_for_the_start() -> None:
    log: list[Any] = []

    class Eager(AsyncioActor):
        registered = False

        def __init__(self) -> None:
            super().__init__()
            self.actor_ref.tell("first")
            self.early = self.actor_ref.ask("second", block=False)

        def on_start(self) -> None:
            log.append("on_start")

        def on_receive(self, message: Any) -> Any:
            log.append(message)
            return message

    proxy = Eager.start().proxy()
    assert await (await proxy.early) == "second"
    assert log == ["on_start", "first", "second"]


async def test_a_constructor_that_forgets_super_gets_a_clear_error() -> None:
    class Forgetful(AsyncioActor):
        def __init__(self) -> None:
            pass

    with pytest.raises(AssertionError, match="super"):
        Forgetful.start()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_an_exception_that_ends_the_process_stops_all_actors_and_goes_on(end: type[BaseException]) -> None:
    refs: list[AsyncioRef[Any]] = []
    futures: list[AsyncioFuture[Any]] = []

    async def main() -> None:
        refs.extend([Registered.start(), Registered.start()])
        futures.append(refs[0].ask(end(), block=False))
        await asyncio.Event().wait()

    with pytest.raises(end):
        asyncio.run(main())
    assert [ref.is_alive() for ref in refs] == [False, False]
    assert pykka.ActorRegistry.get_all() == []
    with pytest.raises(pykka.ActorDeadError):
        futures[0].get()


async def test_any_other_base_exception_stops_all_actors_and_answers_the_asker() -> None:
    class Odd(BaseException):
        pass

    one, other = Registered.start(), Registered.start()
    with pytest.raises(pykka.ActorDeadError):
        await one.ask(Odd(), block=False)
    await in_thread(other.actor_stopped.wait, 10)

    assert not one.is_alive()
    assert not other.is_alive()


async def test_a_cancelled_error_in_a_handler_does_not_look_like_a_cancelled_asker() -> None:
    ref, log = started()

    with pytest.raises(RuntimeError, match="CancelledError") as caught:
        await ref.ask(asyncio.CancelledError(), block=False)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert await ref.ask("alive", block=False) == "alive"
    ref.tell(asyncio.CancelledError())
    await in_thread(ref.actor_stopped.wait, 10)
    assert "on_failure" in log[-1]


async def test_logs_say_what_pykkas_say(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pykka")
    ref, _ = started()
    with pytest.raises(KeyError):
        await ref.ask(KeyError(), block=False)
    await ref.stop(block=False)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", f"Starting {ref}"),
        ("INFO", f"Exception returned from {ref} to caller:"),
        ("DEBUG", f"Stopped {ref}"),
    ]


# -- answers that come later ---------------------------------------------------------------------------


class Later(AsyncioActor):
    """Keeps the reply addresses until it is asked to answer."""

    registered = False

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[ReplyTo] = []

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        if message == "answer and raise":
            assert reply_to is not None
            reply_to.set("answered")
            raise KeyError("after the answer")
        if isinstance(message, BaseException):
            raise message
        if message == "now":
            for each in self.waiting:
                assert each is not None
                each.set("later")
        else:
            self.waiting.append(reply_to)


async def test_an_actor_may_answer_later() -> None:
    ref = Later.start()
    futures = [ref.ask("?", block=False) for _ in range(3)]
    ref.tell("now")

    assert [await future for future in futures] == ["later"] * 3


async def test_what_on_message_raises_before_it_answered_is_the_answer() -> None:
    ref = Later.start()

    with pytest.raises(KeyError):
        await ref.ask(KeyError(), block=False)
    assert ref.is_alive()


async def test_what_on_message_raises_after_it_answered_is_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ref = Later.start()

    assert await ref.ask("answer and raise", block=False) == "answered"
    assert not ref.is_alive()
    assert "after the answer" in caplog.text


async def test_a_forwarded_message_is_answered_to_its_first_asker() -> None:
    behind, log = started()

    class Front(AsyncioActor):
        registered = False

        def on_message(self, message: Any, reply_to: ReplyTo) -> None:
            forward(behind, message, reply_to)

    front = Front.start()
    assert await front.ask("hello", block=False) == "hello"
    assert await in_thread(front.ask, "from a thread") == "from a thread"
    front.tell("sent")
    with pytest.raises(KeyError):
        await front.ask(KeyError("behind"), block=False)
    assert "sent" in log


async def test_forwarding_takes_actors_too_and_answers_for_a_dead_one() -> None:
    ref, _ = started()
    actor = ref._actor
    assert actor is not None
    alive, dead = AsyncioFuture[Any](), AsyncioFuture[Any]()
    forward(actor, "hello", alive)
    assert await alive == "hello"
    await ref.stop(block=False)
    forward(actor, "hello", dead)
    with pytest.raises(pykka.ActorDeadError):
        await dead
    with pytest.raises(pykka.ActorDeadError):
        forward(actor, "hello", None)


# -- Pykka's other ways in -----------------------------------------------------------------------------


async def test_a_proxys_attributes_and_calls_are_awaited() -> None:
    ref, log = started()
    proxy = ref.proxy()

    assert await proxy.on_receive(3) == 3
    assert await proxy.log == [3]
    assert await proxy.actor_urn == ref.actor_urn
    await ref.ask(ProxySetAttr(("log",), []), block=False)
    assert await proxy.log == []
    proxy.on_receive.defer(4)
    await proxy.log
    assert log == [3]  # the old list; the deferred call went to the new one


async def test_only_registered_actors_are_in_pykkas_registry() -> None:
    child, _ = started()
    ref = Registered.start()
    assert pykka.ActorRegistry.get_all() == [ref]
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
    assert await in_thread(pykka.ActorRegistry.stop_all) == [True]
    assert pykka.ActorRegistry.get_all() == []
    assert child.is_alive()


async def test_stop_all_on_the_loop_is_refused_blocking_and_can_be_awaited() -> None:
    Registered.start()

    with pytest.raises(BlockingCallOnLoop):
        pykka.ActorRegistry.stop_all()
    futures = pykka.ActorRegistry.stop_all(block=False)
    assert [await future for future in futures] == [True]


async def test_a_threading_actor_can_ask_and_be_asked() -> None:
    ref, _ = started()

    class Worker(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return ref.ask(message)

    worker = Worker.start()
    joined = AsyncioFuture[int]()
    joined.set(0)
    assert await joined.join(worker.ask("there and back", block=False)) == [0, "there and back"]
    await in_thread(worker.stop)


async def test_an_envelope_put_into_the_inbox_is_handled_as_pykka_does() -> None:
    ref, log = started()

    class Envelope:
        message, reply_to = "by hand", AsyncioFuture[Any]()

    inbox = ref.actor_inbox
    assert inbox.empty()
    inbox.put(Envelope)
    assert not inbox.empty()
    assert await Envelope.reply_to == "by hand"
    assert log == ["by hand"]


@pytest.mark.parametrize("name", ["on_message", "on_receive", "on_start", "on_stop", "on_failure"])
def test_a_coroutine_function_as_a_handler_is_refused_where_it_is_written(name: str) -> None:
    async def handler(*args: Any) -> None:
        pass

    with pytest.raises(TypeError, match=name):
        type("Waits", (AsyncioActor,), {name: handler})


# -- loops and threads ---------------------------------------------------------------------------------


def test_without_a_loop_the_error_says_what_to_do() -> None:
    with pytest.raises(LoopClosed, match=r"Child\.start_on\(loop, \.\.\.\)"):
        Child.start()


def test_an_actor_is_started_on_a_loop_of_another_thread(thread_loop: asyncio.AbstractEventLoop) -> None:
    ref = Child.start_on(thread_loop)
    assert ref.ask(threading.get_ident) != threading.get_ident()
    assert ref.stop() is True
    assert ref.stop() is False


async def test_an_actor_on_another_threads_loop_is_awaited(thread_loop: asyncio.AbstractEventLoop) -> None:
    ref = Child.start_on(thread_loop)

    assert await ref.ask("over there", block=False) == "over there"
    assert await ref.ask("mapped", block=False).map(str.upper) == "MAPPED"
    assert await ref.stop(block=False) is True


def test_a_second_loop_in_the_same_thread_works_as_the_first() -> None:
    async def main() -> AsyncioRef[Registered]:
        ref = Registered.start()
        assert await ref.ask("hello", block=False) == "hello"
        return ref

    first, second = asyncio.run(main()), asyncio.run(main())
    for ref in first, second:
        assert not ref.is_alive()
        assert ref.stop() is False
    assert pykka.ActorRegistry.get_all() == []


def test_an_actor_whose_loop_is_closed_refuses_in_each_way() -> None:
    async def main() -> list[AsyncioRef[Child]]:
        return [Child.start() for _ in range(4)]

    one, two, three, four = asyncio.run(main())
    with pytest.raises(ActorLoopClosed) as caught:
        one.tell("hello")
    assert isinstance(caught.value, pykka.ActorDeadError)
    assert isinstance(caught.value, LoopClosed)
    with pytest.raises(ActorLoopClosed):
        two.ask("hello")
    with pytest.raises(pykka.ActorDeadError):
        two.ask("hello")
    assert three.stop() is False
    future = AsyncioFuture[Any]()
    forward(four, "hello", future)
    with pytest.raises(ActorLoopClosed):
        future.get()
    assert one.actor_stopped.wait(60)


def test_an_actor_is_not_started_on_a_closed_loop() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    with pytest.raises(LoopClosed, match="closed"):
        Registered.start_on(loop)
    assert pykka.ActorRegistry.get_all() == []


def test_mail_left_in_a_closed_loop_is_answered_at_the_next_put() -> None:
    loop = asyncio.new_event_loop()
    ref = Child.start_on(loop)
    futures: list[AsyncioFuture[Any]] = []
    loop.call_soon(lambda: futures.extend([ref.ask("never", block=False), ref.stop(block=False)]))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    with pytest.raises(ActorLoopClosed):
        futures[0].get()
    with pytest.raises(ActorLoopClosed):
        ref.tell("anything")
    with pytest.raises(pykka.ActorDeadError, match="stopped before handling"):
        futures[0].get()
    assert futures[1].get() is True


# -- size ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="a figure for CPython")
async def test_an_idle_actor_takes_less_than_400_bytes() -> None:
    class Bare(AsyncioActor):
        registered = False

    refs: list[Any] = [Bare.start() for _ in range(100)]  # so that what is made once is made
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    refs += [Bare.start() for _ in range(2000)]
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert taken / 2000 < 400


async def test_a_stopped_actor_is_let_go_at_once_also_by_its_ref() -> None:
    ref, _ = started()
    actor = weakref.ref(ref._actor)
    gc.disable()
    try:
        await ref.stop(block=False)
        assert actor() is None
        assert str(ref).startswith("Child (urn:uuid:")
    finally:
        gc.enable()


async def test_an_actor_without_a_ref_goes_when_its_mail_is_handled() -> None:
    ref, log = started()
    actor = weakref.ref(ref._actor)
    ref.tell("last")
    del ref
    gc.collect()
    assert actor() is not None
    await asyncio.sleep(0)
    assert log == ["last"]
    gc.collect()
    assert actor() is None
