"""How long answers are waited for, with one alarm for all of them."""

import asyncio
from typing import Any

import pytest

from tests.actors.runtime.children import GetLength
from tests.fakes import VirtualClock
from turnkeeper.actors.runtime import AsyncioActor, AsyncioRef, Patience, ReplyTo


class Slow(AsyncioActor):
    """Keeps the addresses that it is asked from."""

    registered = False

    def __init__(self) -> None:
        super().__init__()
        self.askers: list[Any] = []

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        self.askers.append(reply_to)


def slow() -> tuple[AsyncioRef[Slow], list[Any]]:
    ref = Slow.start()
    actor = ref._actor_weakref()
    assert actor is not None
    return ref, actor.askers


async def test_an_answer_that_comes_in_time_is_the_answer(clock: VirtualClock) -> None:
    ref, askers = slow()
    asked = asyncio.create_task(Patience(lambda: 5, late=-1).ask(ref, GetLength("hello")))
    await clock.advance(4)
    askers[0].set(7)

    assert await asked == 7


async def test_what_the_actor_raises_in_time_is_raised(clock: VirtualClock) -> None:
    ref, askers = slow()
    asked = asyncio.create_task(Patience(lambda: 5, late=-1).ask(ref, GetLength("hello")))
    await clock.advance(4)
    askers[0].set_exception((KeyError, KeyError("no"), None))

    with pytest.raises(KeyError, match="no"):
        await asked


async def test_each_wait_ends_after_its_own_time_whichever_others_have_ended(clock: VirtualClock) -> None:
    ref, askers = slow()
    patience, ended = Patience(lambda: 5, late=-1), list[tuple[str, int, float]]()

    async def ask(name: str) -> None:
        answer = await patience.ask(ref, GetLength(name))
        ended.append((name, answer, round(clock.elapsed, 3)))

    asking = []
    for name in ("first", "answered", "third", "last"):
        asking.append(asyncio.create_task(ask(name)))
        await clock.advance(1)
    askers[1].set(7)
    await asyncio.gather(*asking)

    assert ended == [("answered", 7, 4), ("first", -1, 5), ("third", -1, 7), ("last", -1, 8)]


async def test_an_answer_or_a_refusal_that_comes_too_late_does_no_harm(clock: VirtualClock) -> None:
    ref, askers = slow()
    patience = Patience(lambda: 5, late=-1)

    assert await asyncio.gather(*(patience.ask(ref, GetLength(each)) for each in "ab")) == [-1, -1]
    askers[0].set(7)
    askers[1].set_exception((KeyError, KeyError("no"), None))
    asked = asyncio.create_task(patience.ask(ref, GetLength("c")))
    await clock.advance(1)
    askers[2].set(8)
    assert await asked == 8


async def test_a_wait_that_is_given_up_leaves_nothing_behind(clock: VirtualClock) -> None:
    ref, askers = slow()
    patience = Patience(lambda: 5, late=-1)
    asked = asyncio.create_task(patience.ask(ref, GetLength("hello")))
    await clock.advance(1)
    asked.cancel()
    await asyncio.wait([asked])

    assert asked.cancelled()
    assert not patience._waits
    askers[0].set(7)
    await clock.advance(10)


async def test_how_long_is_asked_anew_for_each_wait(clock: VirtualClock) -> None:
    ref, _ = slow()
    spans = iter((5, 9, 2))
    patience = Patience(lambda: next(spans), late=-1)
    began = clock.elapsed
    first, second, third = (asyncio.create_task(patience.ask(ref, GetLength(each))) for each in "abc")

    await first
    assert round(clock.elapsed - began, 3) == 5
    await asyncio.gather(second, third)  # a shorter one that was asked since ends with the one before it
    assert round(clock.elapsed - began, 3) == 9


async def test_one_that_may_take_longer_has_a_time_of_its_own_and_holds_up_no_other(
    clock: VirtualClock,
) -> None:
    ref, askers = slow()
    patience, began = Patience(lambda: 5, late=-1), clock.elapsed

    async def ask(more: float) -> tuple[int, float]:
        answer = await patience.ask(ref, GetLength("a"), lambda: more)
        return answer, round(clock.elapsed - began, 3)

    asking = [asyncio.create_task(ask(more)) for more in (30, 0, 30)]
    await clock.advance(1)
    askers[2].set(7)
    assert await asyncio.gather(*asking) == [(-1, 35), (-1, 5), (7, 1)]
