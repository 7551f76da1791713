"""What one layer says."""

from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import Layer, Strategy
from turnkeeper.actors.policy.said import MAX_FIELD, Said, default, of_users, over, said
from turnkeeper.actors.session.fields import FIELDS
from turnkeeper.actors.session.settings import Settings


def test_what_a_layer_says_is_checked_to_the_values_themselves() -> None:
    of_coder = said(Layer.AGENT, "coder", {"strategy": "reject", "cancel_grace": 30, "turn_timeout": None})
    assert of_coder == Said(
        Layer.AGENT, "coder", {"strategy": Strategy.REJECT, "cancel_grace": 30.0, "turn_timeout": None}
    )
    assert of_coder.allow is None


def test_which_fields_a_send_may_set_is_said_apart() -> None:
    of_ada = said(Layer.USER, "ada", {"allow": ["priority"], "deny": ("strategy",), "max_in_flight": 2})
    assert (of_ada.fields, of_ada.allow, of_ada.deny) == ({"max_in_flight": 2}, {"priority"}, {"strategy"})
    assert said(Layer.USER, "ada", {"allow": []}).allow == frozenset()


@pytest.mark.parametrize(
    "name", ["patience", "marks", "timeout", "multitask_strategy", "", 1, None, "x" * 999]
)
def test_a_field_that_there_is_not_is_refused_and_named(name: Any) -> None:
    with pytest.raises(InvalidRequest, match="a policy has no field") as caught:
        said(Layer.AGENT, None, {name: 1})
    assert caught.value.field == str(name)[:MAX_FIELD]


@pytest.mark.parametrize("fields", [None, [], "strategy", 1, [("strategy", "reject")]])
def test_what_is_no_mapping_is_no_policy(fields: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        said(Layer.AGENT, None, fields)
    assert caught.value.field == "policy"


def test_the_settings_say_something_about_every_field() -> None:
    of_all = default(Settings(cancel_grace=2, multitask_strategy="reject"))
    assert set(of_all.fields) == set(FIELDS)
    assert (of_all.layer, of_all.name, of_all.allow, of_all.deny) == (Layer.DEFAULT, None, None, frozenset())
    assert (of_all.fields["cancel_grace"], of_all.fields["strategy"]) == (2.0, Strategy.REJECT)


def test_the_settings_say_what_sends_may_set() -> None:
    of_all = default(Settings(policy_allow="priority,on_restart", policy_deny=" strategy "))
    assert (of_all.allow, of_all.deny) == ({"priority", "on_restart"}, {"strategy"})


def test_one_saying_stands_over_another_field_by_field() -> None:
    below = said(Layer.AGENT, "coder", {"cancel_grace": 1, "queue_limit": 2, "deny": ["strategy"]})
    above = said(Layer.AGENT, "coder", {"cancel_grace": 3, "allow": ["priority"]})
    both = over(above, below)
    assert both.fields == {"cancel_grace": 3.0, "queue_limit": 2}
    assert (both.allow, both.deny) == ({"priority"}, {"strategy"})
    assert over(below, above).allow == {"priority"}


def test_users_are_named_where_what_is_said_about_them_is_wrong() -> None:
    assert of_users(None) == {}
    assert of_users({"ada": {"queue_limit": 1}})["ada"] == Said(Layer.USER, "ada", {"queue_limit": 1})
    with pytest.raises(InvalidRequest, match="user 'ada': queue_limit must be a whole number") as caught:
        of_users({"bob": {}, "ada": {"queue_limit": -1}})
    assert caught.value.field == "queue_limit"


@pytest.mark.parametrize("users", [[], "ada", {1: {}}, 3])
def test_users_are_a_mapping_of_names(users: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        of_users(users)
    assert caught.value.field == "users"
