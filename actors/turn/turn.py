"""Turn: what the host's coroutine is given, and how that coroutine is run."""

import asyncio
import inspect
import threading
from collections.abc import Coroutine
from contextlib import aclosing
from contextvars import ContextVar
from types import CoroutineType
from typing import Any, Protocol

from turnkeeper.actors.events.event import RESERVED_NAMES, RESERVED_PREFIX, to_json
from turnkeeper.actors.model.exceptions import (
    ContextLoadFailed,
    ContextNotCopyable,
    ContextSaveFailed,
    EventNotJson,
    InvalidRequest,
    NotAnAgent,
    ReservedEvent,
    TurnkeeperError,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.records import (
    Epoch,
    Outcome,
    Raised,
    Reason,
    Returned,
    SessionId,
    Stopped,
    TurnId,
    TurnSpec,
)
from turnkeeper.actors.registry.shared import Agent, Household, LoadContext, SaveContext

from .context import Context, clear_cancel, flag_cancel

MAX_EVENT_NAME = 200
#: The turn whose task (or a task started by it) is running.
current: ContextVar["Turn | None"] = ContextVar("turnkeeper_turn", default=None)


class Publisher(Protocol):
    """Where a turn's events go."""

    @property
    def household(self) -> Household:
        """What the session shares with all others."""
        ...

    def publish(self, turn: "Turn", name: str, text: str) -> None:
        """Append an event of this turn to the session's log."""
        ...


class Turn:
    """One run of the host's coroutine, for one message."""

    __slots__ = (
        "_context",
        "_message",
        "_publisher",
        "cancel_requested",
        "epoch",
        "first_event_at",
        "n",
        "over",
        "owner",
        "reason",
        "spec",
    )

    def __init__(self, spec: TurnSpec, epoch: Epoch, owner: str, publisher: Publisher) -> None:
        self.spec = spec
        self.epoch = epoch
        #: Whose session this is; the turn's `user` may be an admin.
        self.owner = owner
        self._publisher = publisher
        self._message = spec.message
        self._context: Any = None
        #: Whether somebody asked this turn to stop. Other threads may read it.
        self.cancel_requested = False
        #: Why, once it was asked.
        self.reason: Reason | None = None
        #: The number of the last event.
        self.n = 0
        #: When the agent emitted its first event.
        self.first_event_at: float | None = None
        #: Whether the turn has let go of its session.
        self.over = False

    @property
    def message(self) -> Any:
        """What was sent, as it was sent, or what the `pre_process_msg` stages made of it."""
        return self._message

    @property
    def text(self) -> str:
        """The message as text: its text parts joined."""
        return text_of(self._message)

    @property
    def session_id(self) -> SessionId:
        """The session this turn holds."""
        return self.spec.session_id

    @property
    def turn_id(self) -> TurnId:
        """The turn's own id (``task_id`` over HTTP)."""
        return self.spec.turn_id

    @property
    def user(self) -> str:
        """Who sent the message."""
        return self.spec.user

    @property
    def agent(self) -> str:
        """The name of the agent that runs."""
        return self.spec.agent

    @property
    def max_iterations(self) -> int | None:
        """What the caller of `send_message_to_agent` allowed; ``None`` if nobody said."""
        return None if self.spec.options is None else self.spec.options.max_iterations

    @property
    def context(self) -> Any:
        """The conversation: this turn's own copy, kept at its end if the turn still holds the session.

        A context that the caller brought is used as it is. Raises `TurnOver` after the turn's end and
        `ContextNotCopyable`.
        """
        if self._context is None:
            if self.over:
                raise TurnOver(f"turn {self.turn_id} is over: its context is closed")
            brought = None if self.spec.options is None else self.spec.options.context
            if brought is not None:
                self._context = brought
            else:
                contexts = self._publisher.household.contexts
                try:
                    self._context = contexts.copy_for(self.session_id, self.owner, self.agent)
                except Exception as error:
                    raise ContextNotCopyable("the session's context cannot be copied") from error
            if self.cancel_requested:
                flag_cancel(self._context)
        elif self.over:
            raise TurnOver(f"turn {self.turn_id} is over: its context is closed")
        return self._context

    def emit(self, event: str, data: Any = None) -> None:
        """Publish an event. Synchronous, and never waits for readers.

        Raises `TurnOver` once the turn is over, `ReservedEvent` for a name of turnkeeper's own,
        `EventNotJson` for data that JSON cannot say or that is larger than ``log_bytes``, and
        `WrongThread` off the loop's thread (use ``loop.call_soon_threadsafe(turn.emit, ...)`` there).
        """
        household = self._publisher.household
        if threading.get_ident() != household.thread:
            raise WrongThread("emit belongs on the loop: loop.call_soon_threadsafe(turn.emit, event, data)")
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: nothing more of it is published")
        check_event_name(event)
        text = to_json(data)
        most = household.settings.log_bytes
        if len(text) > most:
            raise EventNotJson(f"the data takes {len(text)} characters, more than {most}")
        if self.first_event_at is None:
            self.first_event_at = household.clock()
        self._publisher.publish(self, event, text)

    async def checkpoint(self) -> None:
        """Let a cancellation through here; raise CancelledError if one was asked and swallowed.

        Cancelling it is its purpose.
        """
        await asyncio.sleep(0)
        if self.cancel_requested:
            raise asyncio.CancelledError

    async def run_stages(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """Run the stages of that name, each with what the one before returned, and return the last one's.

        Without any, that is ``data``. Raises `StageFailed`, and `InvalidRequest` for data that is no dict. No
        stage begins once the turn was asked to stop; cancelling it cancels the one that runs.
        """
        if not isinstance(data, dict):
            raise InvalidRequest("stages are given a dict", field="data")
        pipeline = self._publisher.household.pipeline
        return data if pipeline is None else await pipeline.run(name, data, self)

    # -- what others do to it -----------------------------------------------------------------------

    def replace_message(self, message: Any) -> None:
        """Give the agent another message than the one that was sent."""
        self._message = message

    def ask_to_stop(self, reason: Reason) -> None:
        """Note that a cancel was asked, where code that reads flags looks for it."""
        self.reason = reason
        self.cancel_requested = True
        if self._context is not None:
            flag_cancel(self._context)

    @property
    def has_context(self) -> bool:
        """Whether anybody has looked at the context: who has not cannot have changed it."""
        return self._context is not None

    def take_context(self) -> Context | None:
        """The context to keep, if this turn changed the session's own one."""
        context = self._context
        return context if isinstance(context, Context) and not self._brought else None

    @property
    def _brought(self) -> bool:
        return self.spec.options is not None and self.spec.options.context is not None

    def belongs_to(self, household: Household | None) -> bool:
        """Whether this is a turn of that registry."""
        return self._publisher.household is household

    def bring(self, context: Any) -> None:
        """Use what the host's ``load_context`` gave."""
        self._context = context

    def __repr__(self) -> str:
        return f"<Turn {self.turn_id} of {self.session_id}, epoch {self.epoch}>"


def text_of(message: Any) -> str:
    """A message's text: the message itself, or its parts of type ``text`` joined."""
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        texts = (part.get("text") for part in message if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return ""


def check_event_name(name: Any) -> None:
    """Raise `ReservedEvent` for a name that is ours, or that a stream cannot carry."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_EVENT_NAME or not name.isprintable():
        raise ReservedEvent(f"an event name has 1 to {MAX_EVENT_NAME} printable characters")
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX):
        raise ReservedEvent(f"{name!r} is an event of turnkeeper's own")


def begin(agent: Agent, turn: Turn, household: Household) -> "asyncio.Future[Any]":
    """Start the turn's task.

    One that a plain function has started itself is taken as it is: a task around it that is cancelled before
    its first step would leave it running.
    """
    current.set(turn)
    work = _coroutine_of(agent, turn, household)
    return work if isinstance(work, asyncio.Future) else household.loop.create_task(work)


def _coroutine_of(
    agent: Agent, turn: Turn, household: Household
) -> "Coroutine[Any, Any, Any] | asyncio.Future[Any]":
    """What the turn's task runs: the agent's own coroutine where nothing stands around it."""
    brought = turn.spec.options is not None and turn.spec.options.context is not None
    if brought:
        clear_cancel(turn.context)
    elif household.load_context is not None or household.save_context is not None:
        return _run(agent, turn, household.load_context, household.save_context)
    answer: Any = agent(turn)
    if isinstance(answer, CoroutineType):
        return answer
    ours = isinstance(answer, asyncio.Future) and answer.get_loop() is household.loop
    return answer if ours else finish(answer, turn)


async def _run(agent: Agent, turn: Turn, load: LoadContext | None, save: SaveContext | None) -> Any:
    if load is not None:
        try:
            context = await load(turn.session_id, turn.owner)
        except Exception as error:
            raise ContextLoadFailed("load_context raised") from error
        if context is not None:
            clear_cancel(context)
            turn.bring(context)
    try:
        result = await finish(agent(turn), turn)
    finally:
        if save is not None and not turn.over:
            try:
                await save(turn.context)
            except Exception as error:
                raise ContextSaveFailed("save_context raised") from error
    return result


async def finish(answer: Any, turn: Turn) -> Any:
    """Run what the agent answered to its end: publish what a generator yields, await anything else."""
    if inspect.isasyncgen(answer):
        async with aclosing(answer) as items:
            async for item in items:
                if isinstance(item, str):
                    turn.emit("delta", {"text": item})
                elif isinstance(item, tuple) and len(item) == 2:
                    turn.emit(item[0], item[1])
                else:
                    raise NotAnAgent("an async generator yields texts, or pairs of an event and its data")
        return None
    if inspect.isawaitable(answer):
        return await answer
    raise NotAnAgent("an agent is a coroutine function or an async generator function")


def raised(error: BaseException) -> Raised:
    """What the coroutine raised, with the code its turn ends with."""
    # A host may derive its own errors from ours, and give them codes of its own kind.
    code = getattr(type(error), "code", None) if isinstance(error, TurnkeeperError) else None
    return Raised(error, code.lower() if isinstance(code, str) else "agent_error")


def outcome_of(task: "asyncio.Future[Any]") -> Outcome:
    """How a finished task ended."""
    if task.cancelled():
        return Stopped()
    error = task.exception()
    return Returned(task.result()) if error is None else raised(error)
