"""What a host hands to a registry: agents with their policies, functions, and whether one is of its kind."""

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import OnRestart
from turnkeeper.actors.session.settings import flag

from .turn import Turn

#: What runs for each turn: ``async def agent(turn)``, or an async generator function.
AgentFunction: TypeAlias = Callable[[Turn[Any]], Awaitable[Any] | AsyncIterable[Any]]
#: Called with the id of a session that is not known; answers which user may open it, or ``None``: any.
OwnerOf: TypeAlias = Callable[[SessionId], str | Awaitable[str | None] | None]
#: Called with the session and the user whose session it is; returns the turn's context, or ``None``.
LoadContext: TypeAlias = Callable[[SessionId, str], Awaitable[Any]]
#: Called with the turn's context at its end.
SaveContext: TypeAlias = Callable[[Any], Awaitable[None]]


class Agent:
    """A function that runs turns, with its policies. A bare function is an agent with the usual ones.

    ``on_restart`` is what becomes of a turn whose process has ended while it ran, where there is a journal: a
    word of `OnRestart`. ``record``: whether what is said is kept of a turn that does not write
    ``context.messages`` itself; ``None``: as the setting of that name says. Raises `InvalidRequest`.
    """

    __slots__ = ("function", "on_restart", "record")

    def __init__(
        self, function: AgentFunction, *, on_restart: str = OnRestart.INTERRUPT, record: bool | None = None
    ) -> None:
        self.function = function
        self.on_restart = _on_restart_named(on_restart)
        self.record = record if record is None else flag(record, "record")

    def __repr__(self) -> str:
        return f"<Agent {self.function!r}, on_restart={self.on_restart}>"


#: What a host registers.
AnyAgent: TypeAlias = Agent | AgentFunction


def agent_of(agent: AnyAgent) -> Agent:
    """The agent itself, or the one that a bare function is."""
    return agent if isinstance(agent, Agent) else Agent(agent)


def _on_restart_named(name: Any) -> OnRestart:
    try:
        return OnRestart(name)
    except ValueError:
        raise InvalidRequest(
            f"on_restart must be one of: {', '.join(OnRestart)}", field="on_restart"
        ) from None


def check_agent(name: str, agent: object) -> None:
    """Raise `InvalidRequest` for what no turn could ever run. Whether it is async shows when it is called."""
    function = agent.function if isinstance(agent, Agent) else agent
    _check(function, "agents", f"agent {name!r}", "one turn")


def check_function(function: object, field: str, *arguments: str) -> None:
    """Raise `InvalidRequest` for what cannot be called with these arguments, or answers with a generator."""
    _check(function, field, field, *arguments)
    if inspect.isasyncgenfunction(function):
        raise InvalidRequest(f"{field} is an async generator function: it must return", field=field)


def _check(function: object, field: str, what: str, *arguments: str) -> None:
    if inspect.isclass(function):
        raise InvalidRequest(f"{what} is a class: pass an instance", field=field)
    if not callable(function):
        raise InvalidRequest(f"{what} cannot be called", field=field)
    if _is_plain_generator(function):
        raise InvalidRequest(f"{what} is a generator function that is not async", field=field)
    if not takes(function, len(arguments)):
        raise InvalidRequest(f"{what} cannot be called with {' and '.join(arguments)}", field=field)


def takes(function: Any, count: int) -> bool:
    """Whether it can be called with so many arguments by position. One that does not tell is believed."""
    try:
        # Of a decorated function it is the decorator's that is called.
        inspect.signature(function, follow_wrapped=False).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin without a signature
    return True


def _is_plain_generator(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    called = function if inspect.isroutine(function) else type(function).__call__
    # What `types.coroutine` has decorated can be awaited.
    awaitable = getattr(getattr(called, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE
    return inspect.isgeneratorfunction(called) and not awaitable
