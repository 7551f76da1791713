"""A registry that runs one agent for one turn, with a conversation to start from."""

import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.agent import Agent, AnyAgent, LoadContext, SaveContext
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.winding.hooks import OnInterrupt, OnTurnEnd

#: The names of the session, its user, its turn and its agent.
SESSION: Final = "session"
USER: Final = "user"
TURN: Final = "turn"
AGENT: Final = "agent"
_FIRST: Final = "first"
#: More events than a turn in a test emits in one step.
_MANY: Final = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a turn begins: what was said before it, and how the registry is made.

    ``agents`` are others, by their names, to which it may send. The hooks are the host's: they are not called
    for what was said before. Raises `InvalidRequest` where there are both messages and a ``load_context``,
    which brings them.
    """

    user: str = USER
    messages: Sequence[Any] = ()
    data: Mapping[str, Any] | None = None
    agents: Mapping[str, AnyAgent] | None = None
    settings: Settings | None = None
    load_context: LoadContext | None = None
    save_context: SaveContext | None = None
    on_interrupt: OnInterrupt | None = None
    on_turn_end: OnTurnEnd | None = None

    def __post_init__(self) -> None:
        if self.load_context is not None and (self.messages or self.data):
            raise InvalidRequest("load_context brings the conversation: leave out messages and data")
        if not {AGENT, _FIRST}.isdisjoint(self.agents or {}):
            raise InvalidRequest(f"agents called {AGENT!r} and {_FIRST!r} are the kit's own", field="agents")

    @asynccontextmanager
    async def registry(self, agent: AnyAgent) -> AsyncGenerator[SessionRegistry, None]:
        """An open registry whose agent `AGENT` this is, in whose `SESSION` all of that was said."""
        first = Agent(self._say, record=False)
        registry = SessionRegistry(
            {AGENT: agent, _FIRST: first, **(self.agents or {})},
            settings=_settings(self.settings),
            load_context=self.load_context,
            save_context=self.save_context,
            on_interrupt=self.on_interrupt,
            on_turn_end=_but_for_the_first(self.on_turn_end),
        )
        async with registry:
            if self.messages or self.data:
                receipt = await registry.send(SESSION, _FIRST, user=self.user, agent=_FIRST, turn_id=_FIRST)
                await receipt.result()
            yield registry

    async def _say(self, turn: Turn) -> None:
        turn.context.messages.extend(self.messages)
        turn.context.data.update(self.data or {})


def _but_for_the_first(hook: OnTurnEnd | None) -> OnTurnEnd | None:
    """The hook, but not for the turn that says what the conversation begins with. Raises `InvalidRequest`."""
    if hook is None:
        return None
    check_function(hook, "on_turn_end", "a record")
    return lambda record: None if record.turn_id == _FIRST else hook(record)


def _settings(settings: Settings | None) -> Settings:
    """These settings, but no reader is cut off, and the loop, whose time may jump, is not watched."""
    return dataclasses.replace(settings or Settings(), slow_loop=0, subscriber_buffer=_MANY, log_events=_MANY)
