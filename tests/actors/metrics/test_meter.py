"""How often what happened: every counter is a constant with its name and its meaning."""

import re

import pytest

from turnkeeper.actors.metrics import meter
from turnkeeper.actors.metrics.meter import COUNTERS, STALE_REPORTS, TURN_FAILED, Counter, Meter


def test_what_happened_is_counted_under_its_name_and_what_never_did_is_left_out() -> None:
    counted = Meter()
    for counter in (TURN_FAILED, STALE_REPORTS, TURN_FAILED):
        counted.count(counter)
    assert counted.counts() == {"turn.failed": 2, "stale_reports_total": 1}


def test_the_counts_are_those_of_the_moment() -> None:
    counted = Meter()
    before = counted.counts()
    counted.count(TURN_FAILED)
    assert before == {}


def test_every_counter_is_listed_and_has_a_name_of_its_own() -> None:
    constants = [each for each in vars(meter).values() if isinstance(each, Counter)]
    assert list(COUNTERS) == constants
    assert len({counter.name for counter in COUNTERS}) == len(COUNTERS)


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
def test_a_counter_says_what_it_counts_in_a_sentence(counter: Counter) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", counter.help)
