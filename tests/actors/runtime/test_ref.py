"""A reference to an actor: telling and asking, from the loop and from threads."""

import asyncio
from typing import Any, assert_type

import pykka
import pytest

from tests.actors.runtime.children import Child, GetLength, in_thread, started
from turnkeeper.actors.runtime import (
    AsyncioFuture,
    BlockingCallOnLoop,
    ask,
)


async def test_an_ask_on_the_loop_is_awaited() -> None:
    ref, _ = started()

    assert await ref.ask("hello", block=False) == "hello"


async def test_an_ask_from_a_thread_blocks_until_the_reply_is_there() -> None:
    ref, _ = started()

    assert await in_thread(ref.ask, "hello") == "hello"
    assert await in_thread(ref.ask, "hello", timeout=60) == "hello"


async def test_asks_from_many_threads_are_each_answered_with_their_own() -> None:
    ref, _ = started()

    def many(name: int) -> list[Any]:
        futures = [ref.ask((name, n), block=False) for n in range(200)]
        return [future.get(timeout=60) for future in futures]

    answers = await asyncio.gather(*(in_thread(many, name) for name in range(4)))
    assert answers == [[(name, n) for n in range(200)] for name in range(4)]


async def test_the_reply_has_the_querys_type() -> None:
    ref, _ = started()
    future = ask(ref, GetLength("four"))
    assert_type(future, AsyncioFuture[int])
    length = await future
    assert_type(length, int)
    assert_type(await ref.ask(GetLength("four"), block=False), int)

    assert length == 4


async def test_a_tell_is_handled_later_and_in_order() -> None:
    ref, log = started()
    for n in range(100):
        ref.tell(n)
    assert log == []
    await ref.ask("last", block=False)

    assert log == [*range(100), "last"]


async def test_a_handler_that_raises_answers_its_asker_and_goes_on() -> None:
    ref, log = started()

    with pytest.raises(KeyError, match="mine"):
        await ref.ask(KeyError("mine"), block=False)
    with pytest.raises(KeyError, match="mine"):
        await in_thread(ref.ask, KeyError("mine"))
    assert await ref.ask("still here", block=False) == "still here"
    assert not any(isinstance(entry, tuple) for entry in log)


async def test_abandoning_an_ask_leaves_the_actor_to_its_work() -> None:
    ref, log = started()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await ref.ask("wanted, then not", block=False)
    await ref.ask("next", block=False)

    assert log == ["wanted, then not", "next"]


async def test_a_blocking_call_on_the_loop_raises_before_anything_is_sent() -> None:
    ref, log = started()

    with pytest.raises(BlockingCallOnLoop, match=r"await ref\.ask\(\.\.\., block=False\)"):
        ref.ask("never")
    with pytest.raises(BlockingCallOnLoop, match=r"await ref\.stop\(\.\.\., block=False\)"):
        ref.stop()
    proxy = ref.proxy()
    with pytest.raises(BlockingCallOnLoop):
        proxy.attribute = 1
    await ref.ask("sent", block=False)
    assert log == ["sent"]
    assert ref.is_alive()


async def test_a_message_that_may_come_too_late_is_sent_if_it_does_not() -> None:
    ref, log = started()
    assert ref.tell_if_alive("in time")
    await ref.stop(block=False)
    assert not ref.tell_if_alive("too late")
    assert log == ["in time", "on_stop"]


def test_a_message_for_an_actor_whose_loop_is_closed_is_not_sent() -> None:
    loop = asyncio.new_event_loop()
    ref = Child.start_on(loop)
    loop.close()
    assert not ref.tell_if_alive("too late")


# -- At once ------------------------------------------------------------------------------------------


async def test_what_is_asked_now_is_answered_at_once() -> None:
    ref, log = started()
    future = ref.ask_now(GetLength("four"))
    assert_type(future, AsyncioFuture[int])

    assert future.get(timeout=0) == 4
    assert len(log) == 1


async def test_what_is_told_now_is_handled_at_once_unless_the_actor_has_stopped() -> None:
    ref, log = started()
    assert ref.tell_if_alive("hello", now=True)
    assert log == ["hello"]
    await ref.stop(block=False)

    assert not ref.tell_if_alive("too late", now=True)
    assert log == ["hello", "on_stop"]


async def test_what_a_handler_raises_at_once_is_the_answer_and_the_actor_goes_on() -> None:
    ref, _ = started()
    with pytest.raises(KeyError):
        await ref.ask_now(KeyError())  # type: ignore[arg-type]

    assert ref.ask_now("hello").get(timeout=0) == "hello"  # type: ignore[arg-type]


async def test_what_a_handler_raises_at_once_without_an_asker_fails_the_actor_and_not_the_sender() -> None:
    ref, log = started()
    error = KeyError()
    assert ref.tell_if_alive(error, now=True)

    assert log == [error, ("on_failure", error)]
    assert not ref.is_alive()


async def test_a_stopped_actor_answers_what_it_is_asked_now() -> None:
    ref, _ = started()
    await ref.stop(block=False)

    with pytest.raises(pykka.ActorDeadError):
        await ref.ask_now("too late")  # type: ignore[arg-type]
