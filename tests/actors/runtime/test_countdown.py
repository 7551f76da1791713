"""A span of time that can be put off, and that does not run while the event loop is blocked."""

import asyncio
from collections.abc import Callable

import pytest

from tests.fakes import VirtualClock, settle
from turnkeeper.actors.runtime import Countdown
from turnkeeper.actors.runtime.countdown import LEAST_HELD


class Bell:
    """Counts down 40 virtual seconds, and notes when it rang."""

    def __init__(self, clock: VirtualClock, held: Callable[[], bool] = lambda: False) -> None:
        self._clock = clock
        self.countdown = Countdown(asyncio.get_running_loop(), 40.0, self._ring, held)
        self.rung: list[float] = []

    def _ring(self) -> None:
        self.rung.append(round(self._clock.elapsed, 3))


async def test_it_rings_once_when_its_time_has_passed(clock: VirtualClock) -> None:
    bell = Bell(clock)
    await clock.advance(39.9)
    assert bell.rung == []
    await clock.advance(1000)
    assert bell.rung == [40]


@pytest.mark.parametrize("moment", [1, 10, 25, 39])
async def test_it_counts_from_the_moment_in_which_it_was_put_off_last(
    clock: VirtualClock, moment: float
) -> None:
    bell = Bell(clock)
    for _ in range(3):
        await clock.advance(moment)
        bell.countdown.put_off()
    await clock.advance(1000)
    assert bell.rung == [3 * moment + 40]


async def test_putting_it_off_sets_no_alarm(clock: VirtualClock) -> None:
    loop = asyncio.get_running_loop()
    bell, alarms = Bell(clock), len(loop._scheduled)  # type: ignore[attr-defined]
    for _ in range(1000):
        bell.countdown.put_off()
    assert len(loop._scheduled) == alarms  # type: ignore[attr-defined]
    bell.countdown.stop()


async def test_once_it_was_stopped_it_never_rings(clock: VirtualClock) -> None:
    bell = Bell(clock)
    await clock.advance(15)
    bell.countdown.stop()
    await clock.advance(1000)
    assert bell.rung == []


@pytest.mark.parametrize("moment", [0, 5, 10, 35])
@pytest.mark.parametrize("span", [20, 39, 41, 10_000])
async def test_while_the_loop_is_blocked_it_does_not_run(
    clock: VirtualClock, moment: float, span: float
) -> None:
    """It cannot see for how long the loop had run before that since its last look: up to a quarter."""
    bell = Bell(clock)
    await clock.advance(moment)
    clock.jump(span)
    await settle()
    assert bell.rung == []
    await clock.advance(1000)
    (rung,) = bell.rung
    assert 40 + span <= rung <= 40 + span + 10


async def test_a_look_that_is_hardly_late_changes_nothing(clock: VirtualClock) -> None:
    bell = Bell(clock)
    await clock.advance(9.9)
    clock.jump(1)
    await clock.advance(1000)
    assert bell.rung == [40]


async def test_what_was_put_off_during_a_block_counts_from_there(clock: VirtualClock) -> None:
    bell = Bell(clock)
    clock.jump(100)
    bell.countdown.put_off()
    clock.jump(50)
    await clock.advance(1000)
    assert bell.rung == [190]


async def test_time_before_it_was_put_off_does_not_count_twice(clock: VirtualClock) -> None:
    bell = Bell(clock)
    await clock.advance(8)
    bell.countdown.put_off()
    clock.jump(100)
    await clock.advance(1000)
    assert bell.rung == [148]


async def test_as_long_as_something_holds_it_it_does_not_ring(clock: VirtualClock) -> None:
    held = True
    bell = Bell(clock, lambda: held)
    await clock.advance(1005)
    assert bell.rung == []
    held = False
    await clock.advance(1000)
    (rung,) = bell.rung
    assert 1045 <= rung <= 1055


async def test_it_may_be_put_off_exactly_by_what_held_it(clock: VirtualClock) -> None:
    held = True
    bell = Bell(clock, lambda: held)
    await clock.advance(1005)
    held = False
    bell.countdown.put_off()
    await clock.advance(1000)
    assert bell.rung == [1045]


async def test_while_it_is_held_it_looks_seldom_however_short_its_span_is(clock: VirtualClock) -> None:
    looks = 0

    def held() -> bool:
        nonlocal looks
        looks += 1
        return True

    Countdown(asyncio.get_running_loop(), 0.05, lambda: None, held)
    await clock.advance(10)
    assert looks <= 10 / LEAST_HELD + 2


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.1, 0.25, 3.0])
async def test_what_lets_go_of_it_has_it_ring_in_time(clock: VirtualClock, moment: float) -> None:
    held, rung = True, list[float]()
    countdown = Countdown(asyncio.get_running_loop(), 0.05, lambda: rung.append(clock.elapsed), lambda: held)
    await clock.advance(moment)
    held = False
    countdown.let_go()
    await clock.advance(0.0499)
    assert rung == []
    await clock.advance(0.0002)
    countdown.let_go()
    await clock.advance(10)
    assert rung == [pytest.approx(moment + 0.05, abs=0.0002)], "once"


async def test_letting_go_of_one_that_was_put_off_counts_from_then(clock: VirtualClock) -> None:
    bell = Bell(clock)
    await clock.advance(35)
    bell.countdown.let_go()
    await clock.advance(1000)
    assert bell.rung == [75]


async def test_a_short_one_rings_also_on_a_loop_that_is_always_a_little_late(clock: VirtualClock) -> None:
    rung: list[float] = []
    Countdown(asyncio.get_running_loop(), 0.05, lambda: rung.append(clock.elapsed))
    for _ in range(10):
        await clock.advance(0.0105)
        clock.jump(0.01)
        await settle()
    assert len(rung) == 1
