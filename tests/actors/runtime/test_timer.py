"""One alarm on an event loop that can be moved."""

import asyncio

from tests.fakes import VirtualClock
from turnkeeper.actors.runtime import Timer


class Bell:
    """Notes when it was rung, in virtual seconds."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.timer = Timer(self._loop, self._ring)
        self.rung: list[float] = []

    def _ring(self) -> None:
        self.rung.append(round(self._clock.elapsed, 3))

    def set(self, seconds: float) -> None:
        """Ring in so many seconds."""
        self.timer.set(self._loop.time() + seconds)


async def test_it_rings_once_at_the_moment_it_was_set_to(clock: VirtualClock) -> None:
    bell = Bell(clock)
    bell.set(2)
    await clock.advance(10)
    assert bell.rung == [2]


async def test_it_rings_at_the_earliest_of_the_moments_it_was_set_to(clock: VirtualClock) -> None:
    for moments in ((3, 1, 2), (1, 3), (2, 1)):
        bell = Bell(clock)
        began = clock.elapsed
        for moment in moments:
            bell.set(moment)
        await clock.advance(10)
        assert bell.rung == [round(began + 1, 3)]


async def test_it_can_be_set_again_once_it_has_rung_also_while_it_rings(clock: VirtualClock) -> None:
    loop, rung = asyncio.get_running_loop(), list[float]()

    def ring() -> None:
        rung.append(round(clock.elapsed, 3))
        if len(rung) < 3:
            timer.set(loop.time() + 1)

    timer = Timer(loop, ring)
    timer.set(loop.time() + 1)
    await clock.advance(10)
    assert rung == [1, 2, 3]


async def test_a_timer_that_was_cancelled_rings_only_if_it_is_set_again(clock: VirtualClock) -> None:
    bell = Bell(clock)
    bell.timer.cancel()
    bell.set(1)
    bell.timer.cancel()
    await clock.advance(5)
    assert bell.rung == []
    bell.set(1)
    await clock.advance(5)
    assert bell.rung == [6]
