"""All that a host says, and what it says anew."""

from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    TooManyPolicies,
    TurnkeeperError,
    UnknownAgent,
)
from turnkeeper.actors.model.policy import Decided
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.policy.said import Said, of_users, said
from turnkeeper.actors.session.settings import Settings


def layers(users: Any = None, **set_to: Any) -> Layers:
    agents = {name: said(Layer.AGENT, name, fields) for name, fields in AGENTS.items()}
    return Layers(Settings(**set_to), agents, of_users(users), "default")


AGENTS: dict[str, dict[str, Any]] = {"default": {}, "coder": {"cancel_grace": 30, "queue_limit": 5}}


def grace(found: Layers, agent: str = "coder", user: str = "ada") -> Decided:
    return found.base(agent, user).policy.decided("cancel_grace")


def test_users_about_whom_nothing_is_said_share_what_is_said_about_their_agent() -> None:
    found = layers({"ada": {"cancel_grace": 3}})
    assert found.base("coder", "bob") is found.base("coder", "eve") is found.base("coder")
    assert found.base("coder", "ada") is found.base("coder", "ada") is not found.base("coder")
    assert grace(found) == Decided(3.0, Layer.USER, "ada")
    assert grace(found, user="bob") == Decided(30.0, Layer.AGENT, "coder")
    assert grace(found, "default", "bob") == Decided(5.0, Layer.DEFAULT)


@pytest.mark.parametrize("agent", ["", "nobody", "Coder", 1, [], {}, "x" * 100_000])
def test_an_agent_that_there_is_not_has_no_policy(agent: Any) -> None:
    with pytest.raises(UnknownAgent) as caught:
        layers().base(agent, "ada")
    assert len(str(caught.value)) < 300


def test_without_a_name_the_default_agent_is_meant() -> None:
    found = layers()
    assert found.base(None, "ada") is found.base("default")
    assert found.base(None).agent == "default"


def test_what_is_said_anew_replaces_what_that_layer_said_before() -> None:
    found = layers({"ada": {"cancel_grace": 3}})
    assert found.say(Layer.AGENT, "coder", {"cancel_grace": 7}) == Said(
        Layer.AGENT, "coder", {"cancel_grace": 7.0}
    )
    assert grace(found, user="bob") == Decided(7.0, Layer.AGENT, "coder")
    assert found.base("coder").policy.queue_limit == 32
    found.say(Layer.USER, "ada", {"queue_limit": 1})
    assert grace(found) == Decided(7.0, Layer.AGENT, "coder")
    assert found.base("coder", "ada").policy.decided("queue_limit") == Decided(1, Layer.USER, "ada")


def test_the_default_layer_is_said_above_the_settings() -> None:
    found = layers(cancel_grace=2, turn_timeout=9)
    found.say(Layer.DEFAULT, None, {"cancel_grace": 1})
    assert grace(found, "default") == Decided(1.0, Layer.DEFAULT)
    found.say(Layer.DEFAULT, None, {"turn_timeout": None})
    assert grace(found, "default") == Decided(2.0, Layer.DEFAULT)
    assert found.base("default").policy.turn_timeout is None


def test_what_has_been_handed_out_stays_as_it_was() -> None:
    found = layers()
    before = found.base("coder", "ada")
    found.say(Layer.AGENT, "coder", {})
    assert before.policy.cancel_grace == 30
    assert grace(found) == Decided(5.0, Layer.DEFAULT)


@pytest.mark.parametrize(
    ("layer", "name", "fields", "error"),
    [
        (Layer.USER, "ada", {"cancel_grace": 1, "patience": 2}, "INVALID_REQUEST"),
        (Layer.USER, "ada", {"cancel_grace": 1, "queue_limit": -1}, "INVALID_REQUEST"),
        (Layer.USER, None, {"cancel_grace": 1}, "INVALID_REQUEST"),
        (Layer.DEFAULT, "ada", {"cancel_grace": 1}, "INVALID_REQUEST"),
        (Layer.DEFAULT, None, None, "INVALID_REQUEST"),
        (Layer.REQUEST, None, {"cancel_grace": 1}, "INVALID_REQUEST"),
        (Layer.AGENT, "nobody", {"cancel_grace": 1}, "UNKNOWN_AGENT"),
        (Layer.AGENT, None, {"cancel_grace": 1}, "UNKNOWN_AGENT"),
    ],
)
def test_what_is_wrong_is_refused_as_a_whole(layer: Layer, name: str | None, fields: Any, error: str) -> None:
    found = layers()
    before = found.base("coder", "ada").policy
    with pytest.raises(TurnkeeperError) as caught:
        found.say(layer, name, fields)
    assert caught.value.code == error
    assert not isinstance(caught.value, UnknownAgent) or caught.value.field == "name"
    assert found.base("coder", "ada").policy == before


def test_only_so_many_users_have_a_policy_of_their_own() -> None:
    """G8."""
    found = layers({"ada": {"cancel_grace": 1}}, max_user_policies=2)
    found.say(Layer.USER, "bob", {"cancel_grace": 1})
    with pytest.raises(TooManyPolicies) as caught:
        found.say(Layer.USER, "eve", {"cancel_grace": 1})
    assert caught.value.code == "TOO_MANY_POLICIES"
    found.say(Layer.USER, "bob", {"cancel_grace": 2})
    found.say(Layer.USER, "ada", {})  # of whom nothing is said any more
    found.say(Layer.USER, "eve", {"cancel_grace": 1})
    with pytest.raises(InvalidRequest, match="at most 1 users"):
        layers({"ada": {}, "bob": {}}, max_user_policies=1)


def test_the_longest_grace_is_that_of_all_layers() -> None:
    found = layers({"ada": {"cancel_grace": 3}})
    assert found.longest_grace == 35
    found.say(Layer.USER, "ada", {"cancel_grace": 40})
    assert found.longest_grace == 45
    found.say(Layer.USER, "ada", {})
    found.say(Layer.AGENT, "coder", {})
    assert found.longest_grace == 10
