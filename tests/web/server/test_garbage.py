"""The garbage collector of `turnkeeper serve` (G8)."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import virtual_time
from turnkeeper.web.server import garbage
from turnkeeper.web.server.garbage import EVERY, GROWN_OLD, MANY, SOME, Garbage, calm_the_collector


class Collector:
    """Stands in for Python's."""

    def __init__(self) -> None:
        self.grown_old = 0
        self.objects = 0
        self.looks = 0

    def get_count(self) -> tuple[int, int, int]:
        return 0, 0, self.grown_old // GROWN_OLD

    def collect(self) -> None:
        self.looks += 1
        self.grown_old = 0

    def get_objects(self) -> range:
        return range(self.objects)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    collector = Collector()
    monkeypatch.setattr(garbage, "gc", collector)
    return collector


@pytest.fixture
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as `pytest_collection_finish` had left it


@pytest.mark.usefixtures("as_before")
def test_the_collector_looks_at_old_objects_by_itself_no_more_but_still_at_young_ones() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    calm_the_collector()
    old = gc.get_stats()[2]["collections"]
    found = gc.get_stats()[0]["collected"] + gc.get_stats()[1]["collected"]
    held = [[] for _ in range(40 * GROWN_OLD)]
    for _ in range(2 * garbage.YOUNG):
        Cycle()
    assert gc.get_stats()[2]["collections"] == old
    assert gc.get_stats()[0]["collected"] + gc.get_stats()[1]["collected"] > found
    assert gc.get_count()[2] >= 30, "by which it is known that many have grown old"
    assert len(held) == 40 * GROWN_OLD


def test_the_howto_names_what_the_server_sets() -> None:
    howto = Path(__file__).parents[3] / "docs" / "howto" / "mount.md"
    setting = f"gc.set_threshold({garbage.YOUNG:_}, {garbage.LOOKS}, {garbage.NEVER:_})"
    assert setting in " ".join(howto.read_text().split())


@pytest.mark.parametrize(
    ("grown_old", "at_rest", "looks"),
    [
        (SOME - GROWN_OLD, True, 0),
        (SOME, True, 1),
        (SOME, False, 0),
        (MANY, False, 0),
        (MANY + GROWN_OLD, False, 1),
    ],
)
async def test_old_objects_are_looked_at_when_no_turn_runs_or_when_there_may_be_many_to_free(
    collector: Collector, grown_old: int, at_rest: bool, looks: int
) -> None:
    async with virtual_time():
        kept = Garbage(asyncio.get_running_loop(), lambda: at_rest)
        kept.start()
        collector.grown_old = grown_old
        await asyncio.sleep(3 * EVERY + 1)
        kept.stop()
        assert collector.looks == looks


async def test_the_more_lives_the_more_may_grow_old_before_turns_are_held_up(collector: Collector) -> None:
    async with virtual_time():
        kept = Garbage(asyncio.get_running_loop(), lambda: False)
        kept.start()
        collector.objects = 3 * MANY
        collector.grown_old = 2 * MANY
        await asyncio.sleep(EVERY + 1)
        assert collector.looks == 1
        collector.grown_old = 2 * MANY
        await asyncio.sleep(EVERY + 1)
        assert collector.looks == 1
        collector.grown_old = 3 * MANY + GROWN_OLD
        await asyncio.sleep(EVERY + 1)
        assert collector.looks == 2
        kept.stop()


async def test_at_rest_old_objects_are_looked_at_when_a_quarter_as_many_have_grown_old(
    collector: Collector,
) -> None:
    async with virtual_time():
        kept = Garbage(asyncio.get_running_loop(), lambda: True)
        kept.start()
        collector.objects = 8 * SOME
        collector.grown_old = SOME
        await asyncio.sleep(EVERY + 1)
        assert collector.looks == 1
        collector.grown_old = 2 * SOME - GROWN_OLD
        await asyncio.sleep(EVERY + 1)
        assert collector.looks == 1
        collector.grown_old = 2 * SOME
        await asyncio.sleep(EVERY + 1)
        assert collector.looks == 2
        kept.stop()


async def test_once_it_is_stopped_nothing_is_considered(collector: Collector) -> None:
    async with virtual_time():
        kept = Garbage(asyncio.get_running_loop(), lambda: True)
        kept.start()
        kept.stop()
        kept.stop()
        collector.grown_old = 2 * MANY
        await asyncio.sleep(2 * EVERY)
        assert collector.looks == 0
