"""What a turn may use up, beside its time."""

import pytest

from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.words import OnDisconnect
from turnkeeper.actors.turn.guard.terms import COME_BACK, Terms, terms_of

CANCEL = OnDisconnect.CANCEL


def test_by_default_there_is_nothing_to_watch() -> None:
    assert terms_of(STANDARD) is None


@pytest.mark.parametrize(
    ("policy", "terms"),
    [
        (Policy(max_events=3), Terms(max_events=3)),
        (Policy(max_event_bytes=4), Terms(max_event_bytes=4)),
        (Policy(max_tokens=5), Terms(max_tokens=5)),
        (Policy(stall_timeout=5), Terms(stall_timeout=5)),
        (Policy(on_disconnect=CANCEL, abandon_after=6), Terms(abandon_after=6)),
        (Policy(stall_timeout=5, on_disconnect=CANCEL), Terms(stall_timeout=5, abandon_after=30)),
    ],
)
def test_each_is_watched_that_has_a_bound(policy: Policy, terms: Terms) -> None:
    assert terms_of(policy) == terms


def test_how_long_a_turn_may_be_without_a_reader_counts_only_where_it_is_cancelled_for_that() -> None:
    assert terms_of(Policy(abandon_after=6)) is None


def test_the_readers_of_a_turn_that_goes_on_after_a_restart_have_time_to_come_back() -> None:
    assert terms_of(Policy(on_disconnect=CANCEL, abandon_after=0.05), 2) == Terms(abandon_after=COME_BACK)
    assert terms_of(Policy(on_disconnect=CANCEL, abandon_after=60), 2) == Terms(abandon_after=60)
    assert terms_of(STANDARD, 2) is None
