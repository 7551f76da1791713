"""All that a registry's host says about how turns are run, and what it comes to. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from turnkeeper.actors.model.exceptions import InvalidRequest, TooManyPolicies, UnknownAgent
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.session.settings import Settings

from .base import Base, base
from .said import Said, default, over, said

#: How much of a name that no agent has is repeated in the refusal.
MAX_NAME = 200


def unknown_agent(name: Any, field: str = "agent") -> UnknownAgent:
    """The refusal of a name that no agent has; ``field`` is what it was given as."""
    return UnknownAgent(f"no agent is called {str(name)[:MAX_NAME]!r}", field=field)


class Layers:
    """The settings, what is said about agents and what about users: each can be said anew.

    What they come to is worked out once for each agent, and once more for each user about whom something is
    said: little is kept, however many users there are.
    """

    def __init__(
        self, settings: Settings, agents: Mapping[str, Said], users: Mapping[str, Said], default_agent: str
    ) -> None:
        self.default_agent = default_agent
        self._settings = self._default = default(settings)
        self._agents = dict(agents)
        self._users = dict(users)
        self._most_users = settings.max_user_policies
        if len(users) > self._most_users:
            raise InvalidRequest(f"at most {self._most_users} users may have a policy", field="users")
        #: The longest ``cancel_grace`` that any layer says, and the longest ``wind_grace``, together.
        self.longest_grace = 0.0
        #: By the agent's name; the default one also by none.
        self._of_agents: dict[str | None, Base] = {}
        self._of_users: dict[tuple[str, str], Base] = {}
        self._work_out()

    @property
    def default(self) -> Said:
        """What holds by default, about every field."""
        return self._default

    @property
    def agents(self) -> Mapping[str, Said]:
        """What is said about each agent."""
        return self._agents

    @property
    def users(self) -> Mapping[str, Said]:
        """What is said about each user of whom something is said."""
        return self._users

    def base(self, agent: Any, user: str | None = None) -> Base:
        """What holds for the sends of this user, or of most, to this agent, or to the default one.

        Raises `UnknownAgent`.
        """
        try:
            found = self._of_agents[agent]
        except (KeyError, TypeError):
            raise unknown_agent(agent) from None
        if not self._users or user is None or user not in self._users:
            return found
        name = found.agent
        known = self._of_users.get((name, user))
        if known is None:
            known = base(name, self._default, self._agents[name], self._users[user])
            self._of_users[name, user] = known
        return known

    def say(self, layer: Layer, name: str | None, fields: Any) -> Said:
        """From now on this layer says this and nothing else; the default one, above what the settings say.

        Raises `InvalidRequest`, `UnknownAgent` and `TooManyPolicies`; then nothing has changed.
        """
        new = said(layer, name, fields)
        self.say_all([new])
        return self._default if layer is Layer.DEFAULT else new

    def say_all(self, news: Iterable[Said]) -> None:
        """The same, of several layers at once: each says this and nothing else."""
        default, agents, users = self._default, dict(self._agents), dict(self._users)
        for new in news:
            match new.layer:
                case Layer.DEFAULT:
                    _refuse_name(new.name, new.layer)
                    default = over(new, self._settings)
                case Layer.AGENT:
                    if new.name is None or new.name not in agents:
                        raise unknown_agent(new.name, "name")
                    agents[new.name] = new
                case Layer.USER:
                    if not isinstance(new.name, str):
                        raise InvalidRequest("name must be that of a user", field="name")
                    users[new.name] = new
                    if new == Said(Layer.USER, new.name, {}):
                        del users[new.name]
                case Layer.REQUEST:
                    raise InvalidRequest("what a send says is said by the send", field="layer")
                case _:
                    assert_never(new.layer)
        if len(users) > self._most_users:
            raise TooManyPolicies(f"at most {self._most_users} users may have a policy")
        self._default, self._agents, self._users = default, agents, users
        self._work_out()

    def _work_out(self) -> None:
        every = (self._default, *self._agents.values(), *self._users.values())
        graces = "cancel_grace", "wind_grace"
        self.longest_grace = sum(
            max(each.fields[grace] for each in every if grace in each.fields) for grace in graces
        )
        self._of_users.clear()
        self._of_agents = {name: base(name, self._default, each) for name, each in self._agents.items()}
        self._of_agents[None] = self._of_agents[self.default_agent]


def _refuse_name(name: str | None, layer: Layer) -> None:
    if name is not None:
        raise InvalidRequest(f"the layer {layer} has no names", field="name")
