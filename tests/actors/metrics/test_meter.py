"""How often what happened: every counter is a constant with its name and its meaning."""

import re

import pytest

from turnkeeper.actors.metrics import meter
from turnkeeper.actors.metrics.meter import COUNTERS, GAPS, STALE_REPORTS, Counter, Meter


def test_what_happened_is_counted_under_its_name_and_what_never_did_is_left_out() -> None:
    counted = Meter()
    for counter in (GAPS, STALE_REPORTS, GAPS):
        counted.count(counter)
    assert counted.counts() == {"gaps_total": 2, "stale_reports_total": 1}


def test_the_ends_of_turns_are_counts_by_their_status_whatever_their_agents_and_strategies() -> None:
    counted = Meter(["coder", "writer"])
    for agent, status, strategy in (
        ("coder", "failed", "interrupt"),
        ("coder", "failed", "reject"),
        ("writer", "failed", "interrupt"),
        ("writer", "completed", "interrupt"),
    ):
        counted.agents[agent].end(status, strategy)
    counted.agents["coder"].superseded = counted.agents["writer"].superseded = 2
    assert counted.counts() == {"turn.failed": 3, "turn.completed": 1, "superseded_total": 4}


def test_the_agents_that_there_are_stand_there_from_the_beginning() -> None:
    assert list(Meter(["coder", "writer"]).agents) == ["coder", "writer"]


def test_a_refusal_is_counted_by_its_code() -> None:
    counted = Meter()
    for code in ("NOT_FOUND", "SESSION_BUSY", "NOT_FOUND"):
        counted.refuse(code)
    assert counted.refusals == {"NOT_FOUND": 2, "SESSION_BUSY": 1}


def test_the_counts_are_those_of_the_moment() -> None:
    counted = Meter()
    before = counted.counts()
    counted.count(GAPS)
    assert before == {}


def test_every_counter_is_listed_and_has_a_name_of_its_own() -> None:
    constants = [each for each in vars(meter).values() if isinstance(each, Counter)]
    assert list(COUNTERS) == constants
    assert len({counter.name for counter in COUNTERS}) == len(COUNTERS)


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
def test_a_counter_says_what_it_counts_in_a_sentence(counter: Counter) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", counter.help)
