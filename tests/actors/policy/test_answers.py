"""What is answered about policies."""

from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest, ScopeMissing, UnknownAgent
from turnkeeper.actors.model.messages import GetPolicy, PolicyView, SetPolicy
from turnkeeper.actors.model.policy import Decided
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.answers import policy_view, set_policy
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.policy.said import said
from turnkeeper.actors.session.fields import OPEN
from turnkeeper.actors.session.settings import Settings


def layers() -> Layers:
    return Layers(Settings(), {"coder": said(Layer.AGENT, "coder", {"deny": ["strategy"]})}, {}, "coder")


def view(found: Layers, agent: str | None = None) -> PolicyView:
    return policy_view(found, GetPolicy("s1", agent), "ada")


def test_the_answer_says_what_holds_and_what_a_send_may_set() -> None:
    found = layers()
    set_policy(found, SetPolicy(Layer.USER, "ada", {"queue_limit": 3}))
    shown = view(found)
    assert (shown.agent, shown.user) == ("coder", "ada")
    assert shown.policy.decided("queue_limit") == Decided(3, Layer.USER, "ada")
    assert shown.may_be_set == OPEN - {"strategy"}


def test_an_agent_that_there_is_not_has_no_policy() -> None:
    with pytest.raises(UnknownAgent):
        view(layers(), "nobody")


def test_only_an_admin_says_how_turns_are_run() -> None:
    found = layers()
    with pytest.raises(ScopeMissing):
        set_policy(found, SetPolicy(Layer.USER, "ada", {"queue_limit": 3}, Asker("ada")))
    assert view(found).policy.queue_limit == 32
    set_policy(found, SetPolicy(Layer.USER, "ada", {"queue_limit": 3}, Asker("root", sees_all=True)))
    assert view(found).policy.queue_limit == 3


@pytest.mark.parametrize("layer", ["nobody", None, 1, Layer.REQUEST])
def test_a_layer_that_cannot_be_said_is_refused(layer: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        set_policy(layers(), SetPolicy(layer, None, {}))
    assert caught.value.field == "layer"
