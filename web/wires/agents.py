"""The agents, as the clients of wires name them."""

from collections.abc import Iterable
from typing import Final

from turnkeeper.actors.model.exceptions import UnknownAgent
from turnkeeper.actors.policy.layers import MAX_NAME
from turnkeeper.actors.registry.front import SessionRegistry

#: Stands for the default agent, whatever its name is: many clients demand a name.
DEFAULT: Final = "default"
#: How many agents a text names at most.
_MOST_NAMED: Final = 5


def agent_of(registry: SessionRegistry, model: str | None) -> str:
    """The name of the agent that a client's ``model`` means; without one, the default agent's.

    Raises `UnknownAgent`.
    """
    agents = registry.agents
    if model is None or model == DEFAULT:
        return agents[0]
    if model not in agents:
        text = f"there is no model {model[:MAX_NAME]!r} here; there are: {listed(agents)}"
        raise UnknownAgent(text, field="model")
    return model


def listed(agents: Iterable[str]) -> str:
    """Some of these agents' names, and how many more there are."""
    names = [name[:MAX_NAME] for name in agents]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
