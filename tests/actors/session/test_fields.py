"""The fields of a policy, and what each may be."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.words import Layer, Strategy
from turnkeeper.actors.policy.said import ALLOW, DENY, PolicyFields
from turnkeeper.actors.session.fields import FIELDS, OPEN, known_fields, seconds, whole
from turnkeeper.actors.session.settings import Settings

BOUNDS = {"cancel_grace", "turn_timeout", "stall_timeout"}


def test_the_table_has_all_fields_and_no_other() -> None:
    assert [*FIELDS] == [each.name for each in fields(Policy) if each.name != "marks"]
    assert {*FIELDS, ALLOW, DENY} == set(get_type_hints(PolicyFields))
    assert {field.setting for field in FIELDS.values()} <= {each.name for each in fields(Settings)}


@pytest.mark.parametrize("name", FIELDS)
def test_what_the_settings_say_by_default_is_the_standard(name: str) -> None:
    field = FIELDS[name]
    standard = getattr(STANDARD, name)
    assert field.check(getattr(Settings(), field.setting), name) == standard
    assert field.check(standard, name) == standard


def test_a_send_may_only_narrow_the_bounds_that_it_may_set() -> None:
    assert {name for name, field in FIELDS.items() if field.tighten} >= BOUNDS
    assert {"strategy", "on_disconnect", *BOUNDS} <= OPEN


def test_what_is_the_hosts_alone_is_not_open_to_sends() -> None:
    guarded = {"priority", "queue_limit", "max_in_flight", "who_may_stop", "on_restart"}
    assert not guarded & OPEN
    assert all(FIELDS[name].highest is Layer.USER for name in guarded)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("odd", [-1, math.nan, math.inf, "", "soon", True, [], {}, object(), 1e12])
def test_a_value_that_a_field_cannot_have_is_refused_and_named(name: str, odd: Any) -> None:
    with pytest.raises(InvalidRequest, match="called") as caught:
        FIELDS[name].check(odd, "called")
    assert caught.value.field == "called"


@pytest.mark.parametrize("name", FIELDS)
def test_only_what_may_be_without_a_bound_may_be_none(name: str) -> None:
    if getattr(STANDARD, name) is None:
        assert FIELDS[name].check(None, name) is None
    else:
        with pytest.raises(InvalidRequest):
            FIELDS[name].check(None, name)


def test_a_word_is_checked_to_its_member() -> None:
    check = FIELDS["strategy"].check
    assert check("reject", "strategy") is check(Strategy.REJECT, "strategy") is Strategy.REJECT


def test_a_span_is_a_number_within_a_week() -> None:
    assert seconds(0, "x") == 0.0
    assert type(seconds(1, "x")) is float
    with pytest.raises(InvalidRequest, match="x must be a number of seconds above 0 to 604800"):
        seconds(0, "x", above=0.0)
    with pytest.raises(InvalidRequest, match="x must not be negative"):
        seconds(-0.5, "x")


def test_a_whole_number_keeps_to_its_bounds() -> None:
    assert whole(3, "x", 3, 3) == 3
    with pytest.raises(InvalidRequest, match="x must be a whole number from 3 to 4"):
        whole(5, "x", 3, 4)
    with pytest.raises(InvalidRequest, match=r"x must be a whole number from 3$"):
        whole(2, "x", 3)


@pytest.mark.parametrize("names", ["priority", 3, None, ["patience"], [1], [["priority"]]])
def test_names_of_fields_are_a_list_of_names_that_there_are(names: Any) -> None:
    assert known_fields(("priority", "strategy"), "allow") == {"priority", "strategy"}
    with pytest.raises(InvalidRequest, match="allow must be names of: strategy, ") as caught:
        known_fields(names, "allow")
    assert caught.value.field == "allow"


@pytest.mark.parametrize(
    ("check", "name", "code"),
    [
        (lambda: FIELDS["priority"].check("urgent", "priority"), "priority", "UNKNOWN_PRIORITY"),
        (lambda: FIELDS["priority"].check(["normal"], "priority"), "priority", "UNKNOWN_PRIORITY"),
        (lambda: FIELDS["max_in_flight"].check(0, "max_in_flight"), "max_in_flight", "INVALID_CAP"),
        (lambda: FIELDS["max_of_agent"].check(-1, "max_of_agent"), "max_of_agent", "INVALID_CAP"),
        (lambda: Settings(max_waiting_in_all=0), "max_waiting_in_all", "INVALID_CAP"),
        (lambda: seconds(math.inf, "after_seconds"), "after_seconds", "INVALID_DELAY"),
        (lambda: FIELDS["strategy"].check("urgent", "strategy"), "strategy", "INVALID_REQUEST"),
        (lambda: FIELDS["queue_limit"].check(-1, "queue_limit"), "queue_limit", "INVALID_REQUEST"),
    ],
)
def test_some_fields_are_refused_by_a_code_of_their_own(
    check: Callable[[], object], name: str, code: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check()
    assert (caught.value.code, caught.value.field) == (code, name)
