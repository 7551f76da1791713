"""What is answered to those who ask how turns are run, or say it anew. Pure."""

from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest, ScopeMissing
from turnkeeper.actors.model.messages import GetPolicy, PolicyView, SetPolicy
from turnkeeper.actors.model.words import Layer

from .layers import Layers


def set_policy(layers: Layers, message: SetPolicy) -> None:
    """Have a layer say something else from now on.

    Raises `ScopeMissing`, `InvalidRequest`, `UnknownAgent` and `TooManyPolicies`; then nothing has changed.
    """
    if not message.asker.sees_all:
        raise ScopeMissing("only an admin says how turns are run")
    layers.say(_layer_named(message.layer), message.name, message.fields)


def policy_view(layers: Layers, message: GetPolicy, owner: str) -> PolicyView:
    """What holds for the sends of this user, whose session it is. Raises `UnknownAgent`."""
    found = layers.base(message.agent, owner)
    return PolicyView(found.agent, owner, found.policy, found.may)


def _layer_named(name: Any) -> Layer:
    try:
        return Layer(name)
    except ValueError:
        raise InvalidRequest(f"layer must be one of: {', '.join(Layer)}", field="layer") from None
