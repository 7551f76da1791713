"""What an onlooker knows of how turns are run: what the layers said when each send was handled."""

from collections.abc import Callable, Iterable
from typing import Any

from turnkeeper.actors.model.exceptions import TurnkeeperError
from turnkeeper.actors.model.messages import Accepted, Send, SetPolicy
from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.base import base, for_later, resolve
from turnkeeper.actors.policy.said import Said, default, over, said
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.slots import waits_for_a_moment


class Policies:
    """What the layers say while sends are on their way. ``say`` is called with what is wrong."""

    def __init__(self, settings: Settings, agents: Iterable[str], say: Callable[[str], object]) -> None:
        # From these alone it is worked out anew each time: the registry keeps what they come to.
        self._settings = self._default = default(settings)
        self._agents = {name: said(Layer.AGENT, name, {}) for name in agents}
        self._users: dict[str | None, Said] = {}
        self._say = say
        #: The sends that are on their way, each with the policies that held before the last change.
        self._held: dict[int, tuple[Send, list[Policy]]] = {}

    def sent(self, number: int, send: Send) -> None:
        """A send is put."""
        self._held[number] = send, []

    def changed(self, message: SetPolicy) -> None:
        """A layer says something else from now on."""
        for send, held in self._held.values():
            held.extend(self._of(send))
        new = said(message.layer, message.name, message.fields)
        match message.layer:
            case Layer.DEFAULT:
                self._default = over(new, self._settings)
            case Layer.AGENT:
                self._agents[message.name or ""] = new
            case _:
                self._users[message.name] = new

    def answered(self, number: int, answer: Any) -> None:
        """A send is answered: its turn is run as the layers said when it was handled."""
        send, held = self._held.pop(number)
        if isinstance(answer, Accepted) and not answer.repeated:
            due, policy = [*held, *self._of(send)], answer.own_policy or STANDARD
            if policy not in due:
                self._say(f"{send} is run by {policy}, and not by one of {due}")

    def _of(self, send: Send) -> list[Policy]:
        """The policy of a send that is handled now, if it may say what it says."""
        asked = {**(send.policy or {}), "strategy": send.strategy, "turn_timeout": send.timeout}
        try:
            agent, user = send.agent or "default", send.asker.user
            of_user = (self._users[user],) if user in self._users else ()
            policy = resolve(base(agent, self._default, self._agents[agent], *of_user), asked)
        except TurnkeeperError:
            return []
        return [for_later(policy) if waits_for_a_moment(policy, send.after or None) else policy]
