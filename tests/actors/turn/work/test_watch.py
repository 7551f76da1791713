"""Processes that are looked after together."""

import asyncio

import pytest

from turnkeeper.actors.turn.work import watch
from turnkeeper.actors.turn.work.group import Table
from turnkeeper.actors.turn.work.watch import Watch


class One:
    """Is looked after until it was seen so many times."""

    def __init__(self, over: Watch, times: int, *, may_be_gone: bool = True) -> None:
        self._over = over
        self.left = times
        self.may_be_gone = may_be_gone
        self.gone = asyncio.Event()

    def look(self, table: Table) -> None:
        self.left -= 1
        if not self.left:
            self._over.end(self)
            self.gone.set()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []

    class Counted(Table):
        def __init__(self) -> None:
            made.append(1)

    monkeypatch.setattr(watch, "Table", Counted)
    return made


async def test_many_are_looked_after_with_one_reading_at_a_time(readings: list[int]) -> None:
    over = Watch(asyncio.get_running_loop())
    many = [One(over, 3) for _ in range(100)]
    for each in many:
        over.begin(each)
    await asyncio.gather(*(each.gone.wait() for each in many))
    assert len(readings) == 3


async def test_all_that_is_stopped_in_one_pass_of_the_loop_has_one_reading(readings: list[int]) -> None:
    over = Watch(asyncio.get_running_loop())
    assert over.table() is over.table()
    await asyncio.sleep(0)
    over.table()
    assert len(readings) == 2


async def test_nothing_is_read_while_none_may_be_gone(readings: list[int]) -> None:
    over = Watch(asyncio.get_running_loop())
    idle, busy = One(over, 1, may_be_gone=False), One(over, 1)
    over.begin(idle)
    await asyncio.sleep(4 * watch.FIRST_LOOK)
    assert not readings
    over.begin(busy)
    await busy.gone.wait()
    assert (len(readings), idle.left) == (1, 1)
    over.end(idle)
