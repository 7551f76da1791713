"""What layers come to: field by field, for all combinations of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.model.exceptions import InvalidRequest, PolicyNotAllowed
from turnkeeper.actors.model.policy import Decided
from turnkeeper.actors.model.words import (
    Layer,
    OnDisconnect,
    OnFull,
    OnRestart,
    Priority,
    Strategy,
    WhoMayStop,
)
from turnkeeper.actors.policy.base import Base, base, resolve
from turnkeeper.actors.policy.said import Said, default, said
from turnkeeper.actors.session.fields import FIELDS, OPEN, SENDABLE
from turnkeeper.actors.session.settings import Settings

SPANS = st.integers(1, 99)
LIMITS = st.none() | SPANS
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "strategy": st.sampled_from(list(Strategy)),
    "cancel_grace": SPANS,
    "turn_timeout": LIMITS,
    "stall_timeout": LIMITS,
    "wind_grace": SPANS,
    "max_hold": SPANS,
    "queue_limit": SPANS,
    "on_full": st.sampled_from(list(OnFull)),
    "collapse_parts": st.integers(2, 99),
    "collapse_window": SPANS,
    "priority": st.sampled_from(list(Priority)),
    "max_in_flight": SPANS,
    "max_events": LIMITS,
    "max_event_bytes": LIMITS,
    "max_tokens": LIMITS,
    "on_disconnect": st.sampled_from(list(OnDisconnect)),
    "abandon_after": SPANS,
    "on_restart": st.sampled_from(list(OnRestart)),
    "who_may_stop": st.sampled_from(list(WhoMayStop)),
}
POLICIES = st.fixed_dictionaries({}, optional=VALUES)
NAMES = st.none() | st.sets(st.sampled_from(SENDABLE))


def layer(kind: Layer, name: str | None, fields: dict[str, Any], allow: Any = None, deny: Any = ()) -> Said:
    more: dict[str, Any] = {} if allow is None else {"allow": allow}
    return said(kind, name, {**fields, **more, "deny": deny})


def settings(fields: dict[str, Any]) -> Said:
    return default(Settings(**{FIELDS[name].setting: value for name, value in fields.items()}))


def of(agent: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **set_to: Any) -> Base:
    of_agent, of_user = said(Layer.AGENT, "coder", agent or {}), said(Layer.USER, "ada", user or {})
    return base("coder", default(Settings(**set_to)), of_agent, of_user)


# -- The host ---------------------------------------------------------------------------------------


@given(of_all=POLICIES, of_agent=POLICIES, of_user=POLICIES)
def test_each_field_is_what_the_highest_layer_says_that_says_it(
    of_all: dict[str, Any], of_agent: dict[str, Any], of_user: dict[str, Any]
) -> None:
    agent, user = layer(Layer.AGENT, "coder", of_agent), layer(Layer.USER, "ada", of_user)
    policy = base("coder", settings(of_all), agent, user).policy
    for name in FIELDS:
        if name in of_user:
            expected = Decided(of_user[name], Layer.USER, "ada")
        elif name in of_agent:
            expected = Decided(of_agent[name], Layer.AGENT, "coder")
        else:
            expected = Decided(
                of_all.get(name, getattr(base("coder", settings({})).policy, name)), Layer.DEFAULT
            )
        assert policy.decided(name) == expected


@given(allows=st.lists(NAMES, min_size=3, max_size=3), denies=st.lists(NAMES, min_size=3, max_size=3))
def test_no_layer_widens_what_a_send_may_set(
    allows: list[set[str] | None], denies: list[set[str] | None]
) -> None:
    standard = settings({})
    of_all = Said(
        Layer.DEFAULT,
        None,
        standard.fields,
        None if allows[0] is None else frozenset(allows[0]),
        frozenset(denies[0] or ()),
    )
    agent = layer(Layer.AGENT, "coder", {}, allows[1], denies[1] or ())
    user = layer(Layer.USER, "ada", {}, allows[2], denies[2] or ())
    may = base("coder", of_all, agent, user).may
    for name in FIELDS:
        said_so = [allow for allow in allows if allow is not None]
        allowed = bool(said_so) and all(name in allow for allow in said_so)
        denied = any(name in (deny or ()) for deny in denies)
        assert (name in may) == ((name in OPEN or allowed) and not denied)


# -- A send -----------------------------------------------------------------------------------------


@given(of_agent=POLICIES, of_user=POLICIES, request=POLICIES)
def test_a_send_replaces_words_and_only_narrows_bounds(
    of_agent: dict[str, Any], of_user: dict[str, Any], request: dict[str, Any]
) -> None:
    all_names = SENDABLE
    agent = layer(Layer.AGENT, "coder", of_agent, all_names)
    below = base("coder", settings({}), agent, layer(Layer.USER, "ada", of_user))
    policy = resolve(below, request)
    for name, field in FIELDS.items():
        held, asked = below.policy.decided(name), request.get(name)
        if asked is None:
            expected = held
        elif field.tighten and held.value is not None and asked > held.value:
            expected = held._replace(capped=asked)
        else:
            expected = Decided(asked, Layer.REQUEST)
        assert policy.decided(name) == expected


def test_a_bound_that_a_send_would_widen_stays_and_the_answer_can_say_so() -> None:
    policy = resolve(of({"turn_timeout": 60}), {"turn_timeout": 600})
    assert policy.decided("turn_timeout") == Decided(60.0, Layer.AGENT, "coder", 600.0)
    assert [*policy.capped] == ["turn_timeout"]


def test_a_bound_that_there_is_not_may_be_set_by_a_send() -> None:
    assert resolve(of(), {"turn_timeout": 600}).decided("turn_timeout") == Decided(600.0, Layer.REQUEST)


def test_a_bound_that_a_send_repeats_is_its_own() -> None:
    policy = resolve(of({"turn_timeout": 60}), {"turn_timeout": 60})
    assert policy.decided("turn_timeout") == Decided(60.0, Layer.REQUEST)


@pytest.mark.parametrize("name", sorted(set(SENDABLE) - OPEN))
def test_what_is_the_hosts_alone_a_send_may_set_only_if_a_layer_allows_it(name: str) -> None:
    value = getattr(of().policy, name)
    with pytest.raises(PolicyNotAllowed) as caught:
        resolve(of(), {name: value})
    assert (caught.value.code, caught.value.field) == ("POLICY_NOT_ALLOWED", name)
    assert resolve(of({"allow": [name]}), {name: value}).decided(name).layer is Layer.REQUEST
    with pytest.raises(PolicyNotAllowed):
        resolve(of({"allow": [name]}, {"allow": []}), {name: value})


def test_what_a_layer_denies_no_send_may_set_and_it_is_called_as_the_send_calls_it() -> None:
    with pytest.raises(PolicyNotAllowed, match="multitask_strategy may not be set") as caught:
        resolve(of({"deny": ["strategy"]}), {"strategy": "reject"})
    assert caught.value.field == "multitask_strategy"


def test_a_send_that_says_nothing_shares_what_the_host_says() -> None:
    below = of({"cancel_grace": 3})
    assert resolve(below, {}) is resolve(below, {"turn_timeout": None}) is below.policy


def test_a_turn_keeps_nothing_of_the_standard_policy() -> None:
    assert of().kept is None
    assert of(cancel_grace=2).kept is not None
    assert of({"cancel_grace": 5}).kept is not None  # it is the agent's word


@pytest.mark.parametrize("request_", [{"patience": 1}, {1: 2}, {"marks": ()}])
def test_a_field_that_there_is_not_is_refused(request_: dict[Any, Any]) -> None:
    with pytest.raises(InvalidRequest, match="a policy has no field"):
        resolve(of(), request_)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("turn_timeout", 0, "timeout"),
        ("strategy", "queue", "multitask_strategy"),
        ("stall_timeout", "5", "stall_timeout"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused_as_the_send_calls_it(
    name: str, value: Any, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        resolve(of(), {name: value})
    assert (caught.value.code, caught.value.field) == ("INVALID_REQUEST", field)
