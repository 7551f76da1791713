"""Turn: what the host's coroutine is given."""

import asyncio
from contextvars import ContextVar
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from turnkeeper.actors.events.event import Event, check_name
from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.metrics.meter import EVENTS_TOO_LARGE, REPLIES_CUT_OFF
from turnkeeper.actors.model.exceptions import (
    AgentError,
    EventNotJson,
    TurnOver,
    WaitsForItself,
)
from turnkeeper.actors.model.messages import TaskExited
from turnkeeper.actors.model.records import Epoch, Reason, TurnSpec

from .abilities.calling import Calling
from .abilities.host import Stages as Stages
from .abilities.host import TurnHost as TurnHost
from .abilities.own import Own
from .abilities.sections import Sectioned
from .abilities.sending import Sending
from .abilities.specified import text_of as text_of
from .abilities.usage import Metered
from .abilities.working import Working
from .changes import Changes
from .context import OwnContext, clear_cancel, flag_cancel
from .guard.guard import Guard
from .recorder import DELTA, Reply, Said, recorded

if TYPE_CHECKING:
    # Its default is for the type checkers, which bring this module along: `Turn` alone is `Turn[Any]`.
    from typing_extensions import TypeVar as _TypeVar

    C = _TypeVar("C", default=Any)
else:
    C = TypeVar("C")


#: The turn whose task (or a task started by it) is running.
current: ContextVar["Turn | None"] = ContextVar("turnkeeper_turn", default=None)


class Turn(Calling, Sectioned, Metered, Working, Sending, Generic[C]):
    """One run of the host's coroutine, for one message.

    Where the type of the context is known, an agent's parameter may say so: ``turn: Turn[Context]``.
    """

    __slots__ = (
        "_context",
        "_feed",
        "_host",
        "_records",
        "attempt",
        "began",
        "epoch",
        "exited",
        "first_event_at",
        "guard",
        "n",
        "over",
        "owner",
        "partial",
        "reason",
        "stop_asked",
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
        #: Whether the text of its ``delta`` events is remembered.
        self._hears = records
        self._context: Any = None
        self._said: Said | None = None  # until the first delta
        #: If its agent continues after a restart: the text of its ``delta`` events so far that are kept.
        self.partial = ""
        #: Whether this turn was asked to stop.
        self.stop_asked = False
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
        #: Whether nothing more of it is published: it has let go of its session, or what its end runs is run.
        self.over = False
        #: What holds it to its terms; ``None`` where there are none.
        self.guard: Guard | None = None
        #: What it has that most turns do not, if it has anything of that.
        self.own: Own | None = None

    @property
    def context(self) -> C:
        """The conversation: this turn's own copy, kept at its end if the turn still holds the session.

        A context that the caller brought is used as it is. Raises `TurnOver` after the turn's end, except in
        its `on_cancel` hooks.
        """
        if self.over and (self.own is None or not self.own.context_is_open):
            raise TurnOver(f"turn {self.turn_id} is over: its context is closed")
        if self._context is None:
            brought = self.brought_context
            if brought is not None:
                self._context = brought
            else:
                self._context = self._host.contexts.context_for(self.session_id, self.owner, self.agent)
            if self.stop_asked:
                flag_cancel(self._context)
        context: C = self._context
        return context

    @property
    def cancel_requested(self) -> bool:
        """Whether this turn was asked to stop, or the call of `in_thread` that runs here. For any thread."""
        return self.stop_asked or (self.own is not None and self.call_is_cancelled)

    def emit(self, event: str, data: Any = None) -> None:
        """Publish an event. Synchronous, and never waits for readers.

        Raises `TurnOver` once the turn is over, `ReservedEvent` for a name of turnkeeper's own,
        `EventNotJson` for data that is not JSON or is larger than ``log_bytes``, and
        `WrongThread` off the loop's thread (use ``loop.call_soon_threadsafe(turn.emit, ...)`` there), but for
        `in_thread`: there it returns once the event is published.
        Raises CancelledError beyond ``max_events`` or ``max_event_bytes``, but not in a critical section: the
        turn is cancelled for that. What it emits while it cleans up is published still, up to a little more.
        """
        if get_ident() != self._host.thread:
            what = "emit belongs on the loop: loop.call_soon_threadsafe(turn.emit, event, data)"
            self.for_thread(what, partial(self.emit, event, data))
            return
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: nothing more of it is published")
        check_name(event)
        self.publish(event, data)

    def publish(self, event: str, data: Any) -> None:
        """Publish an event, whatever its name: on the loop's thread, while the turn is not over."""
        host, text = self._host, to_json(data)
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
        if event == DELTA and self._hears:
            (self._said or _listen(self)).hear(data)

    async def checkpoint(self) -> None:
        """Let a cancellation through here; raise CancelledError if one was asked and swallowed.

        Cancelling it is its purpose. In a critical section it raises nothing for a cancel that waits.
        """
        await asyncio.sleep(0)
        if self.cancel_requested:
            raise asyncio.CancelledError

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    @property
    def is_inside(self) -> bool:
        """Whether this is called in a task of the turn's, or one that such a task has started."""
        return current.get() is self

    def ask_to_stop(self, reason: Reason) -> None:
        """Note that a cancel was asked, where code that reads flags looks for it."""
        if self.own is not None:
            self.hold_no_more()
        self.reason = reason
        self.stop_asked = True
        if self._context is not None:
            flag_cancel(self._context)

    def end_with(self, error: AgentError) -> None:
        """End as failed with this error: a task or callback of this turn's would have ended the process."""
        self._host.report(TaskExited(self.session_id, self.epoch, error))

    def close(self) -> int:
        """Publish and keep nothing of it any more; return the number of the event that ends it."""
        self.over = True
        if self.own is not None and self.own.branch is not None:
            self.own.branch.stop()  # what it has sent for after its coroutine had ended
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

    def bring(self, context: Any) -> None:
        """Use what the host's ``load_context`` gave, without flags of an earlier turn."""
        clear_cancel(context)
        if self.stop_asked:
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
    if turn._hears:
        _listen(turn).hear({"text": partial})


def reply_of(turn: Turn, result: Any) -> Reply | None:
    """What is to be recorded of what a turn said, with the ``result`` that it came to.

    ``None`` where nothing is: no agent has seen its message, the caller has brought the context, or the turn
    has written ``context.messages`` itself.
    """
    if not turn._records or not turn.began or turn.brought_context is not None:
        return None
    host, context = turn._host, turn.own_context
    if context is not None and context.has_written:
        return None
    reply = Reply(turn._said, result, host.most_recorded)
    if not reply.is_whole:
        host.meter.count(REPLIES_CUT_OFF)
    return reply


def write_down(turn: Turn, result: Any, *, stopped: bool, error: str | None) -> None:
    """Put what is to be recorded of it into its context now, as it would be kept at its end."""
    reply = reply_of(turn, result)
    if reply is None:
        return
    messages = turn.context.messages
    before = Changes(len(messages))
    changes = recorded(before, messages, turn.message, reply, stopped=stopped, error=error)
    turn.context.messages = [*messages[: changes.keep], *changes.add]


def _too_large(size: int, host: TurnHost) -> EventNotJson:
    host.meter.count(EVENTS_TOO_LARGE)
    return EventNotJson(f"the data takes {size} characters, more than {host.max_event_size}")


def is_stopping() -> bool:
    """Whether this is the code of a turn that was asked to stop."""
    turn = current.get()
    return turn is not None and turn.cancel_requested


def refuse_to_wait_for_itself(
    host: TurnHost | None, session_id: str, turn_id: str | None = None, instead: str | None = None
) -> None:
    """Raise `WaitsForItself` in a turn that would wait for its own end; ``instead`` is what helps."""
    turn = current.get()
    if turn is not None and turn.is_awaited_by_itself(host, session_id, turn_id):
        raise WaitsForItself("this turn would wait for its own end" + (f": {instead}" if instead else ""))
