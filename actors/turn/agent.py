"""What a host hands to a registry: agents with their policies, functions, and whether one is of its kind."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, Unpack

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.functions import check_callable, check_function, refuse_generators
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.said import PolicyFields, said
from turnkeeper.actors.session.settings import flag

from .turn import Turn

#: What runs for each turn: ``async def agent(turn)`` or an async generator function, which run on the loop,
#: or ``def agent(turn)`` or a generator function, which run in a thread.
AgentFunction: TypeAlias = Callable[[Turn[Any]], Any]
#: Called with the id of a session that is not known; answers which user may open it, or ``None``: any.
OwnerOf: TypeAlias = Callable[[SessionId], str | Awaitable[str | None] | None]
#: Called with the session and the user whose session it is; returns the turn's context, or ``None``.
LoadContext: TypeAlias = Callable[[SessionId, str], Awaitable[Any]]
#: Called with the turn's context at its end; also with ``turn_id`` and ``attempt`` if it has parameters of
#: these names.
SaveContext: TypeAlias = Callable[..., Awaitable[None]]
#: The same as it is called: with the turn's context, its id and its attempt.
SaveTurn: TypeAlias = Callable[[Any, TurnId, int], Awaitable[None]]
#: The parameters of a ``save_context`` that say for which turn it is called, if it has them.
_KEY = ("turn_id", "attempt")


class Agent:
    """A function that runs turns, with its policy. A bare function is an agent with the usual one.

    ``policy`` are the fields in which its turns are run otherwise than the settings say, such as
    ``on_restart="continue"`` or ``cancel_grace=30``: those of `PolicyFields`. ``record``: whether what is
    said is kept of a turn that does not write ``context.messages`` itself; ``None``: as the setting of that
    name says. ``takes`` are the types of the parts that a message to it may have, such as ``("text",
    "image_url")``, where a text is a part of the type ``text``; ``None``: what the class of the function says
    in an attribute of that name, and else any. A plain function, of ``def``, runs in a thread; with
    ``on_loop`` it is called on the loop, and returns what is to be awaited. Raises `InvalidRequest`.
    """

    __slots__ = ("function", "on_loop", "policy", "record", "takes")

    def __init__(
        self,
        function: AgentFunction,
        *,
        record: bool | None = None,
        on_loop: bool = False,
        takes: Iterable[str] | None = None,
        **policy: Unpack[PolicyFields],
    ) -> None:
        self.function = function
        self.on_loop = flag(on_loop, "on_loop")
        said(Layer.AGENT, None, policy)
        self.policy: PolicyFields = policy
        self.record = record if record is None else flag(record, "record")
        said_by_class = getattr(type(function), "takes", None)
        self.takes = part_types(said_by_class if takes is None else takes)

    def saying(self, more: PolicyFields, takes: Iterable[str] | None = None) -> "Agent":
        """The same agent, of which more is said, field by field. Raises `InvalidRequest`."""
        policy: PolicyFields = {**self.policy, **more}
        takes = self.takes if takes is None else takes
        return Agent(self.function, record=self.record, on_loop=self.on_loop, takes=takes, **policy)

    def __repr__(self) -> str:
        words = [f"{name}={value!r}" for name, value in self.policy.items()]
        return f"<Agent {', '.join((repr(self.function), *words))}>"


def part_types(takes: Any) -> tuple[str, ...] | None:
    """The types of the parts that an agent takes, or ``None`` for any. Raises `InvalidRequest`."""
    if takes is None:
        return None
    types = tuple(takes) if isinstance(takes, Iterable) and not isinstance(takes, str) else ()
    if not types or not all(isinstance(each, str) and each for each in types):
        raise InvalidRequest("takes must be types of parts, such as text and image_url", field="takes")
    return types


#: What a host registers.
AnyAgent: TypeAlias = Agent | AgentFunction


def agent_of(agent: AnyAgent) -> Agent:
    """The agent itself, or the one that a bare function is."""
    return agent if isinstance(agent, Agent) else Agent(agent)


def check_agent(name: str, agent: object) -> None:
    """Raise `InvalidRequest` for what no turn could ever run."""
    function = agent.function if isinstance(agent, Agent) else agent
    check_callable(function, "agents", f"agent {name!r}", "one turn")
    if isinstance(agent, Agent) and agent.on_loop:
        refuse_generators(function, "agents", f"agent {name!r}")


def keyed(save: SaveContext) -> SaveTurn:
    """A host's ``save_context``, to be called with the turn that it is called for."""
    names = _key_of(save)

    def call(context: Any, turn_id: TurnId, attempt: int) -> Awaitable[None]:
        key = {"turn_id": turn_id, "attempt": attempt}
        return save(context, **{name: key[name] for name in names})

    return call


def _key_of(save: object) -> tuple[str, ...]:
    """Which parts of the turn's key it has a parameter for, beside its first one."""
    try:
        _, *parameters = inspect.signature(save, follow_wrapped=False).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(each.name for each in parameters if each.name in _KEY and each.kind in named)


def check_save(save: object) -> None:
    """Raise `InvalidRequest` for a ``save_context`` that cannot be called."""
    check_function(save, "save_context", "a context", names=_key_of(save))
