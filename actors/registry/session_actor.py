"""SessionActor: performs what the session decides. It owns the one task and the subscribers."""

import asyncio
from contextvars import copy_context
from types import TracebackType
from typing import Any, Final, assert_never

from turnkeeper.actors.events.event import END_NAMES, QUEUED, STARTED, Event, end_event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.readers import Readers, beginning
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.metrics.meter import (
    STALE_REPORTS,
    SUBSCRIBER_OVERFLOW,
    TURN_CANCELLED,
    TURN_COMPLETED,
    TURN_FAILED,
    TURN_INTERRUPTED,
    TURN_TIMED_OUT,
    TURN_UNRESPONSIVE,
    UNRESPONSIVE,
)
from turnkeeper.actors.model.exceptions import SessionError, SessionLost, ShuttingDown, UnknownTurn
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    GetSession,
    GetTurn,
    SessionEnded,
    SessionFailed,
    Shut,
    Sleep,
    Slept,
    Stop,
    Submit,
    Subscribe,
    Tick,
    TurnEnd,
    TurnEnded,
    Unsubscribe,
)
from turnkeeper.actors.model.records import (
    TERMINAL,
    Raised,
    Stopped,
    StreamEnd,
    TurnId,
    TurnRecord,
    TurnStatus,
)
from turnkeeper.actors.runtime import AsyncioActor, AsyncioRef, ReplyTo, answer, answer_foreign, refuse
from turnkeeper.actors.session.consequences import ENDS
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    Effect,
    EndTurn,
    Quarantine,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
    addressees,
)
from turnkeeper.actors.session.machine import after_failure, step
from turnkeeper.actors.session.states import Closed, Idle, State
from turnkeeper.actors.session.views import find_turn, owed_answers, state_name, view, was_superseded
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.run import begin, outcome_of, raised
from turnkeeper.actors.turn.turn import Turn

from .recovery import missing_terminal_events, when_ended
from .shared import Shared, logger

LOST = "the session's actor failed; the session starts anew"
#: What counts the turns that have ended, by their terminal status.
TURNS_ENDED: Final = {
    TurnStatus.COMPLETED: TURN_COMPLETED,
    TurnStatus.FAILED: TURN_FAILED,
    TurnStatus.CANCELLED: TURN_CANCELLED,
    TurnStatus.TIMED_OUT: TURN_TIMED_OUT,
    TurnStatus.INTERRUPTED: TURN_INTERRUPTED,
    TurnStatus.UNRESPONSIVE: TURN_UNRESPONSIVE,
}
#: What changes a session: the messages that `step` takes. A `Tick` is completed first.
DECIDED_BY_THE_SESSION: frozenset[type[Any]] = frozenset({Submit, TurnEnded, Stop, Shut})


class SessionActor(AsyncioActor):
    """One session, living. Only the registry knows it; everyone else goes through the registry."""

    registered = False

    def __init__(
        self, shared: Shared, registry: AsyncioRef[Any], state: State, log: EventLog | None = None
    ) -> None:
        super().__init__()
        self.shared = shared
        self._registry = registry
        self._state = state
        self._log = EventLog() if log is None else log
        self._turn: Turn | None = None
        self._task: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Most sessions have none of these, and an empty dict costs 64 bytes.
        self._quarantined: dict[asyncio.Future[Any], Turn] | None = None
        self._waiting: dict[TurnId, list[ReplyTo]] | None = None
        self._readers: Readers | None = None

    # -- Messages -------------------------------------------------------------------------------------

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        """Handle one message of the registry's, of a reader's, or of our own task and timer."""
        if type(message) in DECIDED_BY_THE_SESSION:
            self._step(message, reply_to)
            return
        match message:
            case Subscribe():
                self._subscribe(message, reply_to)
            case Unsubscribe():
                self._unsubscribe(message.subscription)
            case GetSession():
                answer(reply_to, view(self._state, len(self._readers or ()), self._first_event_at()))
            case GetTurn():
                answer(reply_to, self._find(message.turn_id))
            case AwaitTurn():
                self._await_turn(message, reply_to)
            case Tick():
                self._step(Tick(self._first_event_at()), reply_to)
            case Sleep():
                self._sleep()
            case _:
                super().on_message(message, reply_to)

    def _step(self, message: Any, reply_to: ReplyTo) -> None:
        shared = self.shared
        before, now = self._state, shared.clock()
        after, effects = step(before, message, now, reply_to)
        if after is not before:
            self._state = after
            # Before any answer: whoever is answered finds the directory up to date. Written here and not
            # by a report to the registry: a report is believed when it arrives, which is after the next step.
            shared.directory.report(self._actor_ref, after, now)
            if type(after) is Closed:
                self._forget_timer()  # when very many close at once, their ticks would hold up the others
                shared.contexts.forget(after.memory.home.session_id)
                self._report(SessionEnded(self._actor_ref, after.memory.home.session_id))
            if logger.isEnabledFor(10):
                logger.debug(
                    "session %s: %s -> %s on %s",
                    after.memory.home.session_id,
                    state_name(before),
                    state_name(after),
                    type(message).__name__,
                )
        try:
            for effect in effects:
                if type(effect) is Reply:
                    if effect.to is not None:
                        effect.to.set(effect.answer)
                else:
                    self._perform(effect)
        except Exception:
            # Half of it is done, so the state is not to be believed. With its asker answered, what is
            # raised here ends the actor as a whole instead of being the answer of one.
            for to in (reply_to, *addressees(effects)):
                refuse(to, SessionLost(LOST))
            raise

    def on_stop(self) -> None:
        """Leave nobody waiting: before its deadline a shutdown has seen to that, at its deadline we do."""
        self._abandon(ShuttingDown("the server is shutting down"), StreamEnd.SHUTDOWN)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """A handler of ours raised: leave nothing running and nobody waiting."""
        left = after_failure(self._state, self.shared.clock())
        failed = SessionFailed(self._actor_ref, left.memory.home.session_id, left, self._log)
        try:
            for event in missing_terminal_events(self._state, left, self._log.last):
                self._append(event)
        finally:
            self._abandon(SessionLost(LOST), StreamEnd.SESSION_LOST)
            grace = 0.0 if self._turn is None else self._turn.spec.grace
            when_ended(self._task, grace, lambda: self._report(failed))

    def _report(self, message: Any) -> None:
        """Tell the registry, unless it has stopped before us."""
        if self._registry.is_alive():
            self._registry.tell(message)

    def _abandon(self, error: SessionError, end: StreamEnd) -> None:
        self._forget_timer()
        orphaned_tasks = self.shared.orphaned_tasks
        tasks = dict(self._quarantined or {})
        if self._turn is not None and self._task is not None:
            tasks[self._task] = self._turn
        for task, turn in tasks.items():
            turn.over = turn.cancel_requested = True
            task.cancel()
            orphaned_tasks.add(task)
            task.add_done_callback(orphaned_tasks.discard)
        waiting = [to for tos in (self._waiting or {}).values() for to in tos]
        for to in (*waiting, *owed_answers(self._state)):
            refuse(to, error)
        self._close_streams(end)

    # -- Effects --------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case StartTurn():
                self._start_turn(effect)
            case EndTurn():
                self._end_turn(effect)
            case CancelTurn():
                self._cancel_turn(effect)
            case SetTimer():
                self._set_timer(effect.at)
            case AnnounceQueued():
                self._append(Event(QUEUED, None, 0, None, effect.record))
            case Refuse():
                refuse(effect.to, effect.error)
            case CloseStreams():
                self._close_streams(effect.end)
            case Quarantine():
                self._quarantine()
            case Reply():
                answer(effect.to, effect.answer)
            case CountStale():
                self.shared.meter.count(STALE_REPORTS)
            case _:
                assert_never(effect)

    def _start_turn(self, effect: StartTurn) -> None:
        shared = self.shared
        spec = effect.spec
        turn = self._turn = Turn(spec, effect.epoch, self._state.memory.home.owner, shared, self)
        # Published first: an eager task runs before create_task returns.
        self._append(Event(STARTED, effect.epoch, 0, None, spec))
        # In a copy from the start: a plain function may set context variables before it returns its
        # coroutine, and would set them for the turns of all.
        try:
            self._task = copy_context().run(
                begin,
                shared.agents[spec.agent],
                turn,
                shared.loop,
                shared.load_context,
                shared.save_context,
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the turn
            outcome = Stopped() if isinstance(error, asyncio.CancelledError) else raised(error)
            self._tell(TurnEnded(effect.epoch, outcome, turn.first_event_at))
            return
        self._task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Future[Any]") -> None:
        """The end of a turn is a message. Synchronous: nothing can come between."""
        outcome = outcome_of(task)  # looked at in any case, or asyncio complains of an error nobody saw
        quarantined = self._quarantined
        turn = self._turn if quarantined is None else quarantined.pop(task, self._turn)
        if turn is None or self._actor_ref._stopped:
            return
        self._actor_ref.tell(TurnEnded(turn.epoch, outcome, turn.first_event_at))

    def _end_turn(self, effect: EndTurn) -> None:
        record = effect.record
        end = TurnEnd(record, effect.outcome)
        self.shared.meter.count(TURNS_ENDED[record.status])
        turn = self._turn
        if record.epoch is None or turn is None:
            self._append(Event(END_NAMES[record.status], source=record))
        else:
            turn.over = True
            turn.n += 1
            if effect.outcome is not None:
                if turn.has_context:
                    self._keep_context(turn)
                self._turn = self._task = None
            self._append(end_event(end, turn.n, self.shared.settings.log_bytes))
            if isinstance(effect.outcome, Raised):
                logger.error("turn %s failed", record.turn_id, exc_info=effect.outcome.error)
        if effect.ended_to is not None:
            answer_foreign(effect.ended_to, end)
        if self._waiting is not None:
            for to in self._waiting.pop(record.turn_id, ()):
                answer(to, end)
        if self._readers is not None and was_superseded(record):
            self._readers.end_superseded(ENDS[record.status].stream)

    def _keep_context(self, turn: Turn) -> None:
        context: Context | None = turn.take_context()
        if isinstance(self._state, Closed):
            return  # whoever closed the session wants its conversation forgotten
        if context is not None and self.shared.load_context is None:
            self.shared.contexts.keep(turn.session_id, context, f"{turn.epoch}-{turn.n}")

    def _cancel_turn(self, effect: CancelTurn) -> None:
        turn, task = self._turn, self._task
        if turn is not None:
            turn.ask_to_stop(effect.reason)
        if task is not None:
            task.cancel(str(effect.reason.code))

    def _quarantine(self) -> None:
        turn, task = self._turn, self._task
        self._turn = self._task = None
        self.shared.meter.count(UNRESPONSIVE)
        if turn is not None and task is not None:
            if self._quarantined is None:
                self._quarantined = {}
            self._quarantined[task] = turn
            logger.warning("turn %s did not stop and is quarantined", turn)

    def _set_timer(self, at: float) -> None:
        """See to a `Tick` at that moment or before: the session asks again if it came too early."""
        shared = self.shared
        due = shared.loop.time() + max(0.0, at - shared.clock())
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = shared.loop.call_at(due, self._on_timer)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._tell(Tick())

    def _tell(self, message: Any) -> None:
        if not self._actor_ref._stopped:
            self._actor_ref.tell(message)

    # -- Turns that somebody asks for -----------------------------------------------------------------

    def _find(self, turn_id: str) -> TurnRecord:
        record = find_turn(self._state, turn_id, self._first_event_at())
        if record is None:
            raise UnknownTurn(f"no turn {turn_id!r} in this session")
        return record

    def _first_event_at(self) -> float | None:
        """When the turn that holds the session emitted its first event, if it did."""
        return None if self._turn is None else self._turn.first_event_at

    def _await_turn(self, message: AwaitTurn, reply_to: ReplyTo) -> None:
        record = self._find(message.turn_id)
        if record.status in TERMINAL:
            answer(reply_to, TurnEnd(record, None))
            return
        if self._waiting is None:
            self._waiting = {}
        self._waiting.setdefault(record.turn_id, []).append(reply_to)

    # -- Events and readers ---------------------------------------------------------------------------

    def publish(self, turn: Turn, name: str, text: str) -> None:
        """Append an agent's event. The turn has checked that it may."""
        turn.n += 1
        self._append(Event(name, turn.epoch, turn.n, text))

    def _append(self, event: Event) -> None:
        settings = self.shared.settings
        self._log.append(event, settings.log_events, settings.log_bytes)
        if self._readers is not None:
            self._readers.published(self._log.head)

    def _subscribe(self, message: Subscribe, reply_to: ReplyTo) -> None:
        position, prelude = beginning(self._log, self._state, message.cursor)
        subscription = Subscription(
            self._log,
            position,
            prelude,
            self.shared.settings.subscriber_buffer,
            self._on_reader_gone,
            self._on_overflow,
            close_on_superseded=message.close_on_superseded,
        )
        if isinstance(self._state, Closed):
            subscription.end(StreamEnd.SESSION_CLOSED)
        else:
            if self._readers is None:
                self._readers = Readers(self.shared.loop)
            self._readers.add(subscription)
            self._count_readers()
        answer(reply_to, subscription)

    def _on_reader_gone(self, reader: Subscription) -> None:
        if self._readers is not None and reader in self._readers:
            self._tell(Unsubscribe(reader))

    def _on_overflow(self) -> None:
        self.shared.meter.count(SUBSCRIBER_OVERFLOW)

    def _unsubscribe(self, reader: Subscription) -> None:
        if self._readers is not None and reader in self._readers:
            self._readers.remove(reader)
            if not self._readers:
                self._readers = None
            self._count_readers()

    def _count_readers(self) -> None:
        shared, home = self.shared, self._state.memory.home
        count = len(self._readers or ())
        shared.directory.followed(self._actor_ref, home.session_id, count, shared.clock())

    def _close_streams(self, end: StreamEnd) -> None:
        if self._readers is not None:
            self._readers.end(end)

    # -- Sleep ----------------------------------------------------------------------------------------

    def _sleep(self) -> None:
        """Go to sleep if there is nothing to do: hand over what is to be remembered, and stop."""
        state = self._state
        busy = self._readers or self._quarantined or self._waiting or not self.actor_inbox.empty()
        if busy or not isinstance(state, Idle | Closed):
            self._report(Slept(self._actor_ref, state.memory.home.session_id, None, None))
            return
        self._log.forget_all_but_last()
        self._report(Slept(self._actor_ref, state.memory.home.session_id, state, self._log))
        self._stop()
