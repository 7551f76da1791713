"""Turn: what the host's coroutine is given."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from turnkeeper.actors.events.event import Event, check_name
from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.metrics.meter import EVENTS_TOO_LARGE, REPLIES_CUT_OFF, Meter
from turnkeeper.actors.model.exceptions import (
    AgentError,
    EventNotJson,
    InvalidRequest,
    TurnOver,
    WaitsForItself,
    WrongThread,
)
from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.model.messages import TaskExited
from turnkeeper.actors.model.records import Epoch, Reason, SessionId, TurnId, TurnSpec
from turnkeeper.actors.model.value import replace

from .context import OwnContext, clear_cancel, flag_cancel
from .context_store import ContextStore
from .guard.guard import Guard
from .recorder import DELTA, Reply, Said
from .undo.hooks import Hook, Undo

if TYPE_CHECKING:
    # Its default is for the type checkers, which bring this module along: `Turn` alone is `Turn[Any]`.
    from typing_extensions import TypeVar as _TypeVar

    C = _TypeVar("C", default=Any)
else:
    C = TypeVar("C")

H = TypeVar("H", bound=Hook)

#: The turn whose task (or a task started by it) is running.
current: ContextVar["Turn | None"] = ContextVar("turnkeeper_turn", default=None)


class Stages(Protocol):
    """The stages that an agent may run."""

    def run(self, name: str, data: dict[str, Any], turn: "Turn", /) -> Awaitable[dict[str, Any]]:
        """Run the stages of that name, each with what the one before returned."""
        ...


class TurnHost(Protocol):
    """What a turn needs of the registry it runs in."""

    @property
    def thread(self) -> int:
        """The thread of the event loop."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Returns the time, in Unix seconds."""
        ...

    @property
    def max_event_size(self) -> int:
        """How many characters the data of one event may take."""
        ...

    @property
    def contexts(self) -> ContextStore:
        """The conversations of all sessions."""
        ...

    @property
    def most_recorded(self) -> int:
        """How many bytes are kept of a reply that a turn does not keep itself."""
        ...

    @property
    def meter(self) -> Meter:
        """Where refused events and replies that are too long are counted."""
        ...

    @property
    def stages(self) -> Stages:
        """The registry's stages."""
        ...

    def set_title(self, session_id: SessionId, title: str, /) -> None:
        """Give a session a title."""
        ...

    def report(self, message: Any) -> None:
        """Send the registry a report."""
        ...


class _Specified:
    """What a turn knows from the send that it is for."""

    __slots__ = ("spec",)
    spec: TurnSpec

    @property
    def message(self) -> Any:
        """What was sent, the parts of a list as dicts, or what the `pre_process_msg` stages made of it."""
        return self.spec.message

    @property
    def text(self) -> str:
        """The message as text: its text parts joined."""
        return text_of(self.spec.message)

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
        """What the caller of `send_message_to_agent` allowed; ``None`` if it said nothing."""
        return None if self.spec.options is None else self.spec.options.max_iterations

    @property
    def brought_context(self) -> Any:
        """The context that the caller brought, to be used as it is; ``None`` if it brought none."""
        return None if self.spec.options is None else self.spec.options.context

    def replace_message(self, message: Any) -> None:
        """Give the agent another message than the one that was sent."""
        self.spec = replace(self.spec, message=message)


class _Undoable(_Specified):
    """What a turn knows of its being undone."""

    __slots__ = ("undo",)
    _host: TurnHost
    over: bool
    undo: Undo | None

    def on_rollback(self, hook: H) -> H:
        """Have this function called if the turn is undone, because a message was sent that rolls it back.

        It is called without arguments, and may be a coroutine function. The one registered last is called
        first, once the turn has stopped; all together have ``wind_grace`` seconds. Can be a decorator. It is
        lost with the process: the ``on_rollback`` of a registry is not. Raises `InvalidRequest`, `TurnOver`
        once the turn has ended or is being undone, and `WrongThread` off the loop's thread.
        """
        if get_ident() != self._host.thread:
            text = "on_rollback belongs on the loop: loop.call_soon_threadsafe(turn.on_rollback, hook)"
            raise WrongThread(text)
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: nothing will undo it")
        check_function(hook, "on_rollback")
        self.own_undo.hooks.append(hook)
        return hook

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    @property
    def own_undo(self) -> Undo:
        """What is to be done to undo it."""
        if self.undo is None:
            self.undo = Undo()
        return self.undo

    def is_awaited_by_itself(self, host: TurnHost | None, session_id: str, turn_id: str | None) -> bool:
        """Whether this turn, if it waited for that turn (or any turn) of the session, waited for itself."""
        undone = self.undo is not None and self.undo.runs  # it still holds its session
        same = self._host is host and self.spec.session_id == session_id and (undone or not self.over)
        return same and turn_id in (None, self.spec.turn_id)


class Turn(_Undoable, Generic[C]):
    """One run of the host's coroutine, for one message.

    Where the type of the context is known, an agent's parameter may say so: ``turn: Turn[Context]``.
    """

    __slots__ = (
        "_context",
        "_feed",
        "_host",
        "_records",
        "_said",
        "attempt",
        "began",
        "cancel_requested",
        "epoch",
        "exited",
        "first_event_at",
        "guard",
        "n",
        "over",
        "owner",
        "partial",
        "reason",
    )

    def __init__(
        self,
        spec: TurnSpec,
        epoch: Epoch,
        owner: str,
        host: TurnHost,
        feed: Feed,
        records: bool = True,
        attempt: int = 1,
    ) -> None:
        """``records``: whether what is said is kept of it if it does not keep that itself."""
        self.spec = spec
        self.epoch = epoch
        #: How often it was started, this time included: more than once only after a restart.
        self.attempt = attempt
        #: Whose session this is; the turn's `user` may be an admin.
        self.owner = owner
        self._host = host
        self._feed = feed
        self._records = records
        self._context: Any = None
        self._said: Said | None = None  # until the first delta
        #: If its agent continues after a restart: the text of its ``delta`` events so far that are kept.
        self.partial = ""
        #: Whether this turn was asked to stop. Other threads may read it.
        self.cancel_requested = False
        #: Why, once it was asked.
        self.reason: Reason | None = None
        #: The number of the last event.
        self.n = 0
        #: Whether the agent's own function was entered, after all that the host has put before it.
        self.began = False
        #: When the agent emitted its first event.
        self.first_event_at: float | None = None
        #: What one of its tasks raised that would have ended the process: the turn ends with it.
        self.exited: AgentError | None = None
        #: Whether nothing more of it is published: it has let go of its session, or is being undone.
        self.over = False
        #: What holds it to its terms; ``None`` where there are none.
        self.guard: Guard | None = None
        #: What is to be done to undo it, if anything is.
        self.undo: Undo | None = None

    @property
    def context(self) -> C:
        """The conversation: this turn's own copy, kept at its end if the turn still holds the session.

        A context that the caller brought is used as it is. Raises `TurnOver` after the turn's end.
        """
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: its context is closed")
        if self._context is None:
            brought = self.brought_context
            if brought is not None:
                self._context = brought
            else:
                self._context = self._host.contexts.context_for(self.session_id, self.owner, self.agent)
            if self.cancel_requested:
                flag_cancel(self._context)
        context: C = self._context
        return context

    def emit(self, event: str, data: Any = None) -> None:
        """Publish an event. Synchronous, and never waits for readers.

        Raises `TurnOver` once the turn is over, `ReservedEvent` for a name of turnkeeper's own,
        `EventNotJson` for data that is not JSON or is larger than ``log_bytes``, and
        `WrongThread` off the loop's thread (use ``loop.call_soon_threadsafe(turn.emit, ...)`` there).
        Raises CancelledError beyond ``max_events`` or ``max_event_bytes``: the turn is cancelled for that.
        What it emits while it cleans up is published still, up to a little more.
        """
        host = self._host
        if get_ident() != host.thread:
            raise WrongThread("emit belongs on the loop: loop.call_soon_threadsafe(turn.emit, event, data)")
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: nothing more of it is published")
        check_name(event)
        text = to_json(data)
        if len(text) > host.max_event_size:
            raise _too_large(len(text), host)
        if self.guard is not None and not self.guard.admits(self.n, text):
            return
        if self.first_event_at is None:
            self.first_event_at = host.clock()
        self.n += 1
        feed, emitted = self._feed, Event(event, self.epoch, self.n, text)
        feed.append(emitted)
        if feed.outbox is not None:
            feed.outbox.add(emitted)
        if event == DELTA and self._records:
            (self._said or _listen(self)).hear(data)

    def set_title(self, title: str) -> None:
        """Give the session this title, in lists of sessions. Synchronous.

        Without it the title is made of the first message. Raises `InvalidRequest` for an empty one,
        `TitleTooLong`, `TurnOver` once the turn is over, and `WrongThread` off the loop's thread.
        """
        if get_ident() != self._host.thread:
            text = "set_title belongs on the loop: loop.call_soon_threadsafe(turn.set_title, title)"
            raise WrongThread(text)
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: its session's title stays as it is")
        self._host.set_title(self.session_id, title)

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
            raise InvalidRequest("data must be a dict", field="data")
        return await self._host.stages.run(name, data, self)

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    def ask_to_stop(self, reason: Reason) -> None:
        """Note that a cancel was asked, where code that reads flags looks for it."""
        self.reason = reason
        self.cancel_requested = True
        if self._context is not None:
            flag_cancel(self._context)

    def end_with(self, error: AgentError) -> None:
        """End as failed with this error: a task or callback of this turn's would have ended the process."""
        self._host.report(TaskExited(self.session_id, self.epoch, error))

    def close(self) -> int:
        """Publish and keep nothing of it any more; return the number of the event that ends it."""
        self.over = True
        if self.guard is not None:
            self.guard.rest()
            self.guard = None
        self.n += 1
        return self.n

    @property
    def last_event_id(self) -> str:
        """The id of its last event."""
        return f"{self.epoch}-{self.n}"

    @property
    def own_context(self) -> OwnContext | None:
        """Its copy of the session's own context, if anything has looked at it."""
        context = self._context
        return context if type(context) is OwnContext and self.brought_context is None else None

    def runs_in(self, host: TurnHost) -> bool:
        """Whether it is a turn of this registry's."""
        return self._host is host

    def bring(self, context: Any) -> None:
        """Use what the host's ``load_context`` gave, without flags of an earlier turn."""
        clear_cancel(context)
        if self.cancel_requested:
            flag_cancel(context)
        self._context = context

    def __repr__(self) -> str:
        return f"<Turn {self.turn_id} of {self.session_id}, epoch {self.epoch}>"


def _listen(turn: Turn) -> Said:
    said = turn._said = Said(turn._host.most_recorded)
    return said


def go_on_from(turn: Turn, partial: str) -> None:
    """The turn continues what it had said in earlier attempts, and its reply begins with that."""
    turn.partial = partial
    if turn._records:
        _listen(turn).hear({"text": partial})


def reply_of(turn: Turn, result: Any) -> Reply | None:
    """What is to be recorded of what a turn said, with the ``result`` that it came to.

    ``None`` where nothing is: no agent has seen its message, the caller has brought the context, or the turn
    has written ``context.messages`` itself.
    """
    host, context = turn._host, turn.own_context
    if not turn._records or not turn.began or turn.brought_context is not None:
        return None
    if context is not None and context.has_written:
        return None
    reply = Reply(turn._said, result, host.most_recorded)
    if not reply.is_whole:
        host.meter.count(REPLIES_CUT_OFF)
    return reply


def _too_large(size: int, host: TurnHost) -> EventNotJson:
    host.meter.count(EVENTS_TOO_LARGE)
    return EventNotJson(f"the data takes {size} characters, more than {host.max_event_size}")


def refuse_to_wait_for_itself(
    host: TurnHost | None, session_id: str, turn_id: str | None = None, instead: str | None = None
) -> None:
    """Raise `WaitsForItself` in a turn that would wait for its own end; ``instead`` is what helps."""
    turn = current.get()
    if turn is not None and turn.is_awaited_by_itself(host, session_id, turn_id):
        raise WaitsForItself("this turn would wait for its own end" + (f": {instead}" if instead else ""))


def text_of(message: Any) -> str:
    """A message's text: the message itself, or its parts of type ``text`` joined."""
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        texts = (part.get("text") for part in message if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return ""
