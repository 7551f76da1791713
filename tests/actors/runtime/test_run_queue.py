import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import Any, cast

import pytest

from turnkeeper.actors.runtime import run_queue
from turnkeeper.actors.runtime.promise import ActorLoopClosed
from turnkeeper.actors.runtime.run_queue import (
    MESSAGES_PER_ACTOR,
    MESSAGES_PER_PASS,
    Mail,
    Mailbox,
    ReplyTo,
    RunQueue,
)


class Box(Mailbox):
    """A mailbox that writes down what it was given."""

    def __init__(self, name: str = "box", log: list[Any] | None = None) -> None:
        super().__init__()
        self.name = name
        self.log: list[Any] = [] if log is None else log

    def _handle(self, message: Any, reply_to: ReplyTo) -> None:
        self.log.append((self.name, message))
        if callable(message):
            message()

    def _turn_away(self, mail: Any) -> None:
        self.log.append((self.name, "turned away", mail[0]))

    def _loop_has_closed(self) -> None:
        self.log.append((self.name, "closed"))


async def test_messages_are_handled_in_the_order_they_were_put() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    for n in range(1000):
        queue.put(box, (n, None))
    while len(box.log) < 1000:
        await asyncio.sleep(0)

    assert [n for _, n in box.log] == list(range(1000))


async def test_nothing_is_handled_before_put_has_returned() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    queue.put(box, (1, None))

    assert box.log == []
    await asyncio.sleep(0)
    assert box.log == [("box", 1)]


async def test_an_idle_mailbox_keeps_nothing() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    for n in range(3):
        queue.put(box, (n, None))
    await asyncio.sleep(0)

    assert box._mail is None


async def test_ten_thousand_messages_to_one_do_not_hold_up_another() -> None:
    log: list[Any] = []
    queue, flooded, other = RunQueue.of(asyncio.get_running_loop()), Box("flooded", log), Box("other", log)
    for n in range(10_000):
        queue.put(flooded, (n, None))
    queue.put(other, ("hello", None))
    await asyncio.sleep(0)

    assert log.index(("other", "hello")) == MESSAGES_PER_ACTOR


async def test_the_loop_gets_to_other_things_between_two_passes() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    for n in range(3 * MESSAGES_PER_PASS):
        queue.put(box, (n, None))
    passes = []
    while len(box.log) < 3 * MESSAGES_PER_PASS:
        await asyncio.sleep(0)
        passes.append(len(box.log))

    assert passes == [MESSAGES_PER_PASS, 2 * MESSAGES_PER_PASS, 3 * MESSAGES_PER_PASS]


async def test_a_message_put_by_a_handler_is_handled_in_the_same_pass() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    queue.put(box, (lambda: queue.put(box, ("second", None)), None))
    await asyncio.sleep(0)

    assert box.log[1:] == [("box", "second")]


async def test_each_threads_messages_keep_their_order() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()

    def send(name: int) -> None:
        for n in range(500):
            queue.put(box, ((name, n), None))

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    own = 0
    while len(box.log) < 2000 + own or own < 500:
        if own < 500:
            queue.put(box, (("loop", own), None))
            own += 1
        await asyncio.sleep(0)
    for thread in threads:
        thread.join()

    for name in (*range(4), "loop"):
        assert [m[1] for _, m in box.log if m[0] == name] == list(range(500))


@pytest.mark.blocks_the_loop("joins a thread")
async def test_what_a_thread_put_earlier_is_handled_earlier_than_what_the_loop_puts_now() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()

    def send() -> None:
        for n in range(3):
            queue.put(box, (n, None))

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    queue.put(box, ("loop", None))
    await asyncio.sleep(0)

    assert [m for _, m in box.log] == [0, 1, 2, "loop"]


@pytest.mark.blocks_the_loop("joins a thread")
async def test_mail_from_a_thread_that_comes_after_the_end_is_turned_away() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    thread = threading.Thread(target=queue.put, args=(box, ("late", None)))
    thread.start()
    thread.join()
    box._stopped = True
    await asyncio.sleep(0)

    assert box.log == [("box", "turned away", "late")]


async def test_handlers_do_not_see_the_context_variables_of_the_sender() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    queue, box, seen = RunQueue.of(asyncio.get_running_loop()), Box(), list[str]()
    variable.set("the sender's")
    queue.put(box, (lambda: seen.append(variable.get()), None))
    await asyncio.sleep(0)

    assert seen == ["none"]


def test_mail_put_before_the_loop_runs_is_handled_when_it_does() -> None:
    loop, box = asyncio.new_event_loop(), Box()
    RunQueue.of(loop).put(box, (1, None))
    loop.run_until_complete(asyncio.sleep(0))
    RunQueue.of(loop).put(box, (2, None))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert box.log == [("box", 1), ("box", 2)]


def test_a_closed_loop_refuses_from_every_thread_also_with_mail_waiting() -> None:
    loop, box = asyncio.new_event_loop(), Box()
    queue = RunQueue.of(loop)

    loop.call_soon(queue.put, box, (1, None))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    with pytest.raises(ActorLoopClosed):
        queue.put(box, (2, None))
    refused: list[bool] = []

    def send() -> None:
        with pytest.raises(ActorLoopClosed):
            queue.put(box, (3, None))
        refused.append(True)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert refused
    assert ("box", "closed") in box.log


def test_a_loop_that_closes_while_a_thread_puts_refuses() -> None:
    class ClosesWhenAsked(asyncio.SelectorEventLoop):
        def is_closed(self) -> bool:
            closed = super().is_closed()
            if not closed and armed:
                armed.clear()
                self.close()
            return closed

    armed: list[bool] = []
    loop, box = ClosesWhenAsked(), Box()
    queue = RunQueue.of(loop)
    armed.append(True)

    with pytest.raises(ActorLoopClosed, match="moment"):
        queue.put(box, (1, None))


async def test_a_put_by_the_garbage_collector_in_the_middle_of_a_put_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue, box, armed = RunQueue.of(asyncio.get_running_loop()), Box(), [True]

    class Collecting(deque[Any]):
        """Making one starts a garbage collection, and a finaliser that it calls puts."""

        def __init__(self, *args: Any) -> None:
            if armed and armed.pop():
                queue.put(box, ("from a finaliser", None))
            super().__init__(*args)

    monkeypatch.setattr(run_queue, "deque", Collecting)
    for n in range(3):
        queue.put(box, (n, None))
    await asyncio.sleep(0)

    assert [message for _, message in box.log] == [0, "from a finaliser", 1, 2]


async def test_each_loop_has_one_run_queue_and_it_goes_when_the_loop_goes() -> None:
    loop = asyncio.get_running_loop()
    assert RunQueue.of(loop) is (queue := RunQueue.of(loop))

    other = asyncio.new_event_loop()
    box = Box()
    box._queue = RunQueue.of(other)
    assert box._queue is RunQueue.of(other) is not queue
    other.close()
    gone = weakref.ref(other)
    del other, box
    gc.collect()
    assert gone() is None


def test_an_interrupt_in_a_handler_leaves_the_others_their_mail() -> None:
    loop, log = asyncio.new_event_loop(), list[Any]()
    queue, one, other = RunQueue.of(loop), Box("one", log), Box("other", log)

    def interrupt() -> None:
        raise KeyboardInterrupt

    for box, message in (one, 1), (one, interrupt), (one, 2), (other, 3):
        queue.put(box, (message, None))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(0))
    for _ in range(2):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert [entry for entry in log if entry[1] is not interrupt] == [("one", 1), ("other", 3), ("one", 2)]


async def test_mail_before_the_start_is_kept() -> None:
    box = Box()
    box._queue.put(box, (1, None))
    box._queue.put(box, (2, None))

    assert list(cast("deque[Mail]", box._mail)) == [(1, None), (2, None)]


# -- At once ------------------------------------------------------------------------------------------


async def test_what_is_put_now_is_handled_before_put_has_returned_with_all_that_follows_from_it() -> None:
    log = list[Any]()
    queue, one, other = RunQueue.of(asyncio.get_running_loop()), Box("one", log), Box("other", log)
    queue.put_now(one, (lambda: queue.put(other, ("passed on", None)), None))

    assert [name for name, _ in log] == ["one", "other"]
    assert one._mail is other._mail is None


async def test_what_is_put_now_waits_behind_all_mail_that_was_put_before() -> None:
    log = list[Any]()
    queue, one, other = RunQueue.of(asyncio.get_running_loop()), Box("one", log), Box("other", log)
    # What the first is to pass on must come before what the sender puts now where that is passed on to.
    queue.put(one, (lambda: queue.put(other, ("first", None)), None))
    queue.put_now(one, (lambda: queue.put(other, ("second", None)), None))
    queue.put_now(other, ("third", None))
    assert log == []
    await asyncio.sleep(0)

    assert [message for name, message in log if name == "other"] == ["third", "first", "second"]


@pytest.mark.blocks_the_loop("joins a thread")
async def test_what_is_put_now_waits_behind_what_a_thread_put_earlier() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    thread = threading.Thread(target=queue.put, args=(box, ("thread's", None)))
    thread.start()
    thread.join()
    queue.put_now(box, ("loop's", None))
    assert box.log == []
    await asyncio.sleep(0)

    assert [message for _, message in box.log] == ["thread's", "loop's"]


@pytest.mark.blocks_the_loop("joins a thread")
async def test_what_another_thread_puts_now_is_handled_on_the_loops_thread() -> None:
    queue, box, threads = RunQueue.of(asyncio.get_running_loop()), Box(), list[int]()
    thread = threading.Thread(
        target=queue.put_now, args=(box, (lambda: threads.append(threading.get_ident()), None))
    )
    thread.start()
    thread.join()
    assert box.log == []
    while not box.log:
        await asyncio.sleep(0)

    assert threads == [threading.get_ident()]


async def test_no_handler_runs_inside_another_one() -> None:
    log = list[Any]()
    queue, one, other = RunQueue.of(asyncio.get_running_loop()), Box("one", log), Box("other", log)

    def handler() -> None:
        queue.put_now(one, ("its own", None))
        queue.put_now(other, ("another's", None))
        log.append("the handler's end")

    for put in queue.put_now, queue.put:
        put(one, (handler, None))
        await asyncio.sleep(0)
        assert log[1:] == ["the handler's end", ("one", "its own"), ("other", "another's")]
        log.clear()


async def test_handlers_at_once_do_not_see_the_context_variables_of_the_sender_either() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    queue, box, seen = RunQueue.of(asyncio.get_running_loop()), Box(), list[str]()
    variable.set("the sender's")
    queue.put_now(box, (lambda: seen.append(variable.get()), None))

    assert seen == ["none"]


async def test_the_loop_makes_a_pass_before_more_is_handled_at_once_than_in_a_pass() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()
    for n in range(2 * MESSAGES_PER_PASS):
        queue.put_now(box, (n, None))
    assert len(box.log) == MESSAGES_PER_PASS
    while len(box.log) < 2 * MESSAGES_PER_PASS:
        await asyncio.sleep(0)
    assert [n for _, n in box.log] == list(range(2 * MESSAGES_PER_PASS))

    queue.put_now(box, ("at rest again", None))
    assert box.log[-1] == ("box", "at rest again")


async def test_what_follows_from_a_message_put_now_is_bounded_as_well() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()

    def again() -> None:
        queue.put(box, (again, None))

    queue.put_now(box, (again, None))
    assert len(box.log) == MESSAGES_PER_PASS


def test_an_interrupt_in_a_handler_at_once_leaves_the_others_their_mail() -> None:
    loop, log = asyncio.new_event_loop(), list[Any]()
    queue, one, other = RunQueue.of(loop), Box("one", log), Box("other", log)

    def interrupt() -> None:
        queue.put(other, ("passed on", None))
        raise KeyboardInterrupt

    async def sends() -> None:
        await asyncio.sleep(0)  # the queue learns where its loop runs
        with pytest.raises(KeyboardInterrupt):
            queue.put_now(one, (interrupt, None))
        assert log[2:] == []
        await asyncio.sleep(0)
        assert log[2:] == [("other", "passed on")]
        queue.put_now(one, ("at rest again", None))
        assert log[-1] == ("one", "at rest again")

    queue.put(one, ("first", None))
    loop.run_until_complete(sends())
    loop.close()


def test_a_closed_loop_refuses_what_is_put_now() -> None:
    loop, box = asyncio.new_event_loop(), Box()
    queue = RunQueue.of(loop)
    queue.put(box, (1, None))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    with pytest.raises(ActorLoopClosed):
        queue.put_now(box, (2, None))
    assert box.log == [("box", 1), ("box", "closed")]


async def test_mail_before_the_start_is_kept_also_if_it_is_put_now() -> None:
    box = Box()
    box._queue.put_now(box, (1, None))

    assert list(cast("deque[Mail]", box._mail)) == [(1, None)]


async def test_a_message_put_now_for_which_the_stack_has_no_room_leaves_the_queue_at_rest() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()

    def put(depth: int) -> None:
        if depth:
            put(depth - 1)
        else:
            queue.put_now(box, ("deep", None))

    for depth in reversed(range(sys.getrecursionlimit())):
        try:
            put(depth)
        except RecursionError:
            queue.put_now(box, ("after", None))
            assert box.log[-1] == ("box", "after")
        else:
            break
    assert box.log[-1] == ("box", "deep")


@pytest.mark.blocks_the_loop("joins a thread")
async def test_a_thread_whose_stack_has_no_room_leaves_the_way_in_open() -> None:
    queue, box = RunQueue.of(asyncio.get_running_loop()), Box()

    def put(depth: int) -> None:
        if depth:
            put(depth - 1)
        else:
            queue.put(box, ("deep", None))

    def send() -> None:
        for depth in reversed(range(sys.getrecursionlimit())):
            with suppress(RecursionError):
                put(depth)
        queue.put(box, ("after", None))

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    for _ in range(100):
        await asyncio.sleep(0)
    assert box.log[-1] == ("box", "after")
