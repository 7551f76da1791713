"""Performs the effects of a session's decisions: the one place where a session touches the world."""

import logging
from contextvars import copy_context
from functools import partial
from typing import Any, Final, assert_never

from turnkeeper.actors.events.event import (
    END_NAMES,
    INTERRUPTED,
    QUEUED,
    STARTED,
    Event,
    cut_off_event,
    end_event,
    places_event,
    started_event,
)
from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.metrics.meter import (
    MESSAGES_ELIDED,
    RESULTS_LEFT_OUT,
    RESULTS_NOT_KEPT,
    ROLLBACK_HOOKS_FAILED,
    ROLLBACK_HOOKS_OVERDUE,
    STALE_REPORTS,
    UNRESPONSIVE,
    Meter,
)
from turnkeeper.actors.model.about import about
from turnkeeper.actors.model.exceptions import SessionError, TooMuchKept, TurnkeeperError
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import KeptTooMuch, Tick, TurnEnd, WoundUp
from turnkeeper.actors.model.records import (
    Outcome,
    Raised,
    Returned,
    SessionId,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TERMINAL, OnRestart, StreamEnd, TurnStatus
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, Timer, answer_foreign, is_awaited, refuse
from turnkeeper.actors.session.consequences import ENDS
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    EditWaiting,
    Effect,
    EndAttempt,
    EndTurn,
    MoveWaiting,
    NoteCancel,
    NoteClosed,
    NoteEarlyCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
    WindUp,
)
from turnkeeper.actors.session.record import unstarted
from turnkeeper.actors.session.refusals import shutting_down
from turnkeeper.actors.session.states import Closed, State
from turnkeeper.actors.session.views import owed_answers, queue_of, was_superseded
from turnkeeper.actors.turn import recorder
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.guard.guard import Guard
from turnkeeper.actors.turn.guard.terms import terms_of
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.recorder import DELTA, Said, recorded
from turnkeeper.actors.turn.running import RunningTurns
from turnkeeper.actors.turn.turn import Turn, current, go_on_from, reply_of
from turnkeeper.actors.turn.undo.hooks import Hook, UndoneTurn
from turnkeeper.actors.turn.undo.unwinding import Unwinding
from turnkeeper.actors.turn.waiters import Waiters

from .recovery import missing_terminal_events
from .shared import Shared


def count_end(meter: Meter, record: TurnRecord) -> None:
    """Count the end of a turn, and how long its parts took."""
    head, started_at, ended_at = record.head, record.started_at, record.ended_at
    figures = meter.agents[head.agent]
    if record.superseded_by is not None:
        figures.superseded += 1
    if started_at is None or ended_at is None:
        figures.end(record.status, head.strategy)
        return
    figures.end(record.status, head.strategy, ended_at - started_at)
    if record.queued_at is not None:
        figures.queue_wait.observe(started_at - head.submitted_at)
    if record.first_event_at is not None:
        figures.first_event.observe(record.first_event_at - head.submitted_at)
    if record.cancellation is not None:
        figures.cancel_latency.observe(ended_at - record.cancellation.asked_at)


def _end_level(status: TurnStatus) -> int:
    match status:
        case TurnStatus.COMPLETED | TurnStatus.CANCELLED | TurnStatus.TIMED_OUT | TurnStatus.MERGED:
            return logging.INFO
        case TurnStatus.INTERRUPTED | TurnStatus.UNRESPONSIVE:
            return logging.WARNING
        case TurnStatus.FAILED:
            return logging.ERROR  # or less, if that was expected
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"a turn that is {status} has not ended")
        case _:
            assert_never(status)


#: How grave the end of a turn is, by its terminal status.
END_LEVELS: Final = {status: _end_level(status) for status in TERMINAL}


def log_end(session_id: SessionId, record: TurnRecord, outcome: Outcome | None) -> None:
    """Log the end of a turn: one record, with the traceback of an error that was not expected."""
    raised = outcome.error if isinstance(outcome, Raised) else None
    expected = isinstance(raised, TurnkeeperError) and raised.expected
    level = logging.WARNING if expected else END_LEVELS[record.status]
    ended_at = record.submitted_at if record.ended_at is None else record.ended_at
    ms = (ended_at - record.submitted_at) * 1000.0
    text = "turn %s of session %s ended as %s after %.1f ms"
    what: list[object] = [record.turn_id, session_id, record.status, ms]
    verdict = None
    if record.cancellation is not None:
        verdict = ENDS[record.status].verdict
        text += ", %.1f ms after its cancel: %s"
        reason, asked_at = record.cancellation.reason, record.cancellation.asked_at
        what += [(ended_at - asked_at) * 1000.0, reason.code]
        if reason.by is not None:
            text += " by %s"
            what.append(reason.by)
    if record.error is not None:
        text += ": %s"
        what.append(record.error.code)
    if expected:
        text += ": %s"
        what.append(_said(raised))
    fields = about(session_id, record.head, status=record.status, verdict=verdict, ms=ms)
    logger.log(level, text, *what, exc_info=None if expected else raised, extra=fields)


def _said(error: BaseException | None) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  the text of a host's own error may raise anything
        return type(error).__name__


@value
class Left:
    """What a turn leaves at its end.

    That is the number of the event that ends it, and what it has made of the conversation that it was given,
    if anything of that is to be kept.
    """

    n: int
    given: Kept | None = None
    changes: Changes | None = None


def _left_by(shared: Shared, turn: Turn, record: TurnRecord, outcome: Outcome | None, state: State) -> Left:
    """Close the turn. It leaves no conversation where the host keeps that, it is undone, or to be forgotten.

    Without an outcome the turn was given up: what it has changed is refused, and what it has published is
    recorded all the same.
    """
    n = turn.n if turn.over else turn.close()
    if record.rollback is not None:
        return Left(n)
    context = turn.own_context
    if shared.load_context is not None or (type(state) is Closed and state.for_good is not None):
        return Left(n)
    reply = reply_of(turn, outcome.result if type(outcome) is Returned else None)
    if reply is None and (context is None or outcome is None):
        return Left(n)
    if context is None:
        context = shared.contexts.context_for(turn.session_id, turn.owner, turn.agent)
    said = context.kept.transcript
    changes = Changes(said.count) if outcome is None else context.changes()
    if reply is not None:
        stopped = record.status is not TurnStatus.COMPLETED
        error = None if record.error is None else record.error.code
        changes = recorded(changes, said.messages, turn.message, reply, stopped=stopped, error=error)
    return Left(n, context.kept, changes)


def _said_before(log: EventLog, turn_id: TurnId, on_restart: OnRestart, most: int) -> str:
    """The text that a turn has published, as far as it is kept: in its last attempt, or all if it goes on."""
    said = Said(most)
    first = log.started_at(turn_id)
    # Where its first event is no longer kept, nothing is of what came before it.
    for event in log.read(log.first if first is None else first, log.head):
        if event.name == STARTED and on_restart is not OnRestart.CONTINUE:
            said = Said(most)
        elif event.name == DELTA and event.epoch is not None:
            said.hear(event.data)
    return said.text


def _left_cut_off(shared: Shared, log: EventLog, spec: TurnSpec, record: TurnRecord, state: State) -> Left:
    """What a turn leaves whose process is gone: its message, and what it had published of its reply."""
    closed = type(state) is Closed and state.for_good is not None
    undone = record.rollback is not None
    if shared.load_context is not None or closed or undone or not shared.records.get(record.agent, False):
        return Left(0)
    home = state.memory.home
    given = shared.contexts.context_for(home.session_id, home.owner, record.agent).kept
    said = Said(shared.most_recorded)
    on_restart = spec.policy.on_restart
    said.hear({"text": _said_before(log, record.turn_id, on_restart, shared.max_event_size)})
    reply, before = recorder.Reply(said, None, shared.most_recorded), given.transcript
    changes = recorded(Changes(before.count), before.messages, spec.message, reply, stopped=True)
    return Left(0, given, changes)


def _keep(shared: Shared, left: Left, state: State, cursor: str) -> None:
    """Keep the conversation as a turn leaves it; ``cursor`` is the id of the event that ends the turn."""
    if left.changes is not None and left.given is not None and type(state) is not Closed:
        shared.contexts.apply(state.memory.home.session_id, left.given, left.changes, cursor)


def _end_without_turn(record: TurnRecord, kept: str | None) -> Event:
    """The event that ends a turn of which no coroutine runs here: it has an id if the turn was started."""
    if record.epoch is not None and record.status is TurnStatus.INTERRUPTED:
        return cut_off_event(record, kept)
    return Event(END_NAMES[record.status], record.epoch, 0, None, record)


def _announcement(effect: AnnounceQueued | AnnouncePlaces, state: State) -> Event:
    """The event that says that a turn waits, or which ones do."""
    if type(effect) is AnnouncePlaces:
        return places_event(queue_of(state))
    return Event(QUEUED, None, 0, None, unstarted(effect.spec, TurnStatus.QUEUED, effect.queued_at))


def publish_ends(shared: Shared, feed: Feed, before: State, left: State) -> None:
    """Publish what is missing of the turns that end with a session's actor, which had failed ``before`` that.

    Where there is a journal, it says that once it is read again.
    """
    for record, event in missing_terminal_events(before, left, feed.log.last):
        feed.append(event)
        if event.name == INTERRUPTED:
            count_end(shared.meter, record)
            log_end(left.memory.home.session_id, record, None)


def _refuse(effect: Refuse, state: State, shared: Shared) -> None:
    shared.count_refusal(effect.error)
    if isinstance(effect.error, TooMuchKept):
        shared.report(KeptTooMuch(state.memory.home.owner))
    refuse(effect.to, effect.error)


def _close_streams(feed: Feed, end: StreamEnd, state: State) -> None:
    feed.end(end)
    if type(state) is Closed and state.for_good is not None:
        # Streams that the end of a turn leaves open end with its session; at a shutdown, with the server.
        feed.end(StreamEnd.SESSION_CLOSED)


def _turn_of(effect: StartTurn, state: State, shared: Shared, feed: Feed) -> Turn:
    """The turn that starts; if it goes on, with what it had said before."""
    spec, name = effect.spec, effect.spec.head.agent
    turn = Turn(
        spec, effect.epoch, state.memory.home.owner, shared, feed, shared.records[name], effect.attempt
    )
    on_restart = spec.policy.on_restart
    if effect.attempt > 1 and on_restart is OnRestart.CONTINUE:
        go_on_from(turn, _said_before(feed.log, turn.turn_id, on_restart, shared.max_event_size))
    return turn


def _start_of(effect: StartTurn, shared: Shared) -> Event:
    """The event that a turn was started."""
    most_of_part, most = shared.max_shown_part, shared.max_shown
    event, elided = started_event(effect.spec, effect.epoch, most_of_part, most, effect.attempt)
    if elided:
        shared.meter.count(MESSAGES_ELIDED)
    return event


def _guard_of(turn: Turn, shared: Shared, performer: "Performer") -> Guard | None:
    """What holds a turn to its terms; ``None`` where there are none, as in the standard policy."""
    terms = terms_of(turn.spec.policy)
    if terms is None:
        return None
    stop, is_read = partial(performer.turns.stop, turn), partial(_is_read, performer, turn.spec)
    return Guard(terms, shared.loop, shared.meter, stop, lambda: current.get() is turn, is_read)


def _is_read(performer: "Performer", spec: TurnSpec) -> bool:
    """Whether there is a reader of the session, or an asker that waits for the end of this turn."""
    if performer.feed.is_read or is_awaited(spec.ended_to):
        return True
    waiters = performer._waiters
    return waiters is not None and waiters.wait_for(spec.turn_id)


def wind_up(
    effect: WindUp, state: State, shared: Shared, turn: Turn | None, actor: AsyncioRef[Any]
) -> Unwinding | None:
    """Run the hooks of the registry, and those of the ``turn``, if it runs in this process."""
    host, hooks, spec, epoch = shared.on_rollback, list[Hook](), effect.spec, effect.epoch
    if host is not None:
        undone = UndoneTurn(
            spec.session_id,
            spec.head.turn_id,
            state.memory.home.owner,
            spec.head.user,
            spec.head.agent,
            spec.message,
            effect.status,
            effect.reason,
            effect.attempt,
        )
        hooks.append(partial(host, undone))
    if turn is not None and turn.epoch == epoch:
        turn.close()
        turn.own_undo.runs = True
        hooks += turn.own_undo.hooks
    if not hooks:
        actor.tell_if_alive(WoundUp(epoch))
        return None

    def report(failed: int) -> None:
        if failed:
            shared.meter.count(ROLLBACK_HOOKS_FAILED, failed)
        actor.tell_if_alive(WoundUp(epoch, failed), now=True)

    name = f"turn {spec.head.turn_id} of session {spec.session_id}"
    context = copy_context()
    context.run(current.set, turn)
    unwinding = Unwinding(name, hooks, report, shared.loop, context)
    # It is held there until it has ended, whatever its session makes of it.
    shared.orphaned_tasks.add(unwinding.task)
    unwinding.task.add_done_callback(shared.orphaned_tasks.discard)
    return unwinding


class Performer:
    """The hands of one session, and what they hold: running turns, events, a timer, waiting askers."""

    __slots__ = ("_actor", "_sealed", "_shared", "_timer", "_unwinding", "_waiters", "feed", "turns")

    def __init__(self, shared: Shared, actor: AsyncioRef[Any], feed: Feed) -> None:
        self._shared = shared
        self._actor = actor
        # Most sessions never have these.
        self._timer: Timer | None = None
        self._waiters: Waiters | None = None
        #: What runs to undo the turn that has stopped.
        self._unwinding: Unwinding | None = None
        #: What the turn leaves whose end is decided, until that is done.
        self._sealed: Left | None = None
        self.feed = feed
        self.turns = RunningTurns(actor)

    @property
    def max_event_size(self) -> int:
        """How many characters the data of one event may take."""
        return self._shared.max_event_size

    @property
    def busy(self) -> bool:
        """Whether there are readers, askers that wait for a turn, or quarantined turns that still run."""
        return bool(self.feed.is_read or self.turns.quarantined or self._waiters)

    def perform(self, effects: tuple[Effect, ...], state: State) -> None:
        """Do what was decided, in order. ``state`` is the one that was decided along with it."""
        for effect in effects:
            # By type, as in `step`.
            if type(effect) is Reply:
                if effect.to is not None:
                    effect.to.set(effect.answer)
            elif type(effect) is StartTurn:
                self._start_turn(effect, state)
            elif type(effect) is EndTurn:
                self._end_turn(effect, state)
            elif type(effect) is EndAttempt:
                self._end_attempt(effect)
            elif type(effect) is CancelTurn:
                self.turns.cancel(effect.reason, again=effect.again)
            elif type(effect) is SetTimer:
                self._set_timer(effect.at)
            elif type(effect) is AnnounceQueued or type(effect) is AnnouncePlaces:
                self.feed.append(_announcement(effect, state))
            elif type(effect) is Refuse:
                _refuse(effect, state, self._shared)
            elif type(effect) is CloseStreams:
                _close_streams(self.feed, effect.end, state)
            elif type(effect) is Quarantine:
                self._shared.meter.count(UNRESPONSIVE)
                self.turns.quarantine()
            elif type(effect) is WindUp:
                self._unwinding = wind_up(effect, state, self._shared, self.turns.turn, self._actor)
            elif type(effect) is CutWinding:
                self._cut_winding()
            elif type(effect) is NoteUndo:
                self.turns.wish_undone()
            elif type(effect) is CountStale:
                self._shared.meter.count(STALE_REPORTS)
            elif (
                type(effect) is NoteCancel
                or type(effect) is MoveWaiting
                or type(effect) is EditWaiting
                or type(effect) is NoteEarlyCancel
                or type(effect) is NoteLateEnd
                or type(effect) is NoteClosed
            ):
                pass  # all that there is to do is to keep it
            else:
                assert_never(effect)

    # -- Turns ------------------------------------------------------------------------------------------

    def _start_turn(self, effect: StartTurn, state: State) -> None:
        shared, spec = self._shared, effect.spec
        turn = _turn_of(effect, state, shared, self.feed)
        turn.guard = None if spec.head.own_policy is None else _guard_of(turn, shared, self)
        # Published first: an eager task runs before the call that starts it returns.
        self.feed.append(_start_of(effect, shared))
        load, save = shared.load_context, shared.save_context
        agent = shared.agents[spec.head.agent]
        self.turns.start(turn, agent.function, shared.loop, load, save, shared.around)

    def _end_turn(self, effect: EndTurn, state: State) -> None:
        record, outcome = effect.record, effect.outcome
        end = TurnEnd(record, outcome)
        count_end(self._shared.meter, record)
        turn = self.turns.turn
        if effect.anew or record.epoch is None or turn is None:
            if effect.anew and self._sealed is not None:
                _keep(self._shared, self._sealed, state, f"{record.epoch}-0")
                self._sealed = None
            self.feed.append(_end_without_turn(record, self.cut_off() if effect.anew else None))
        else:
            left, self._sealed = self._sealed, None
            if left is None:
                left = _left_by(self._shared, turn, record, outcome, state)
            if left.changes is not None:
                _keep(self._shared, left, state, turn.last_event_id)
            if outcome is not None:
                self.turns.turn = self.turns.task = None
            event, left_out = end_event(end, left.n, self._shared.max_event_size)
            if left_out:
                self._shared.meter.count(RESULTS_LEFT_OUT)
            if record.result is not None and record.result.left_out:
                self._shared.meter.count(RESULTS_NOT_KEPT)
            self.feed.append(event)
        if effect.ended_to is not None:
            answer_foreign(effect.ended_to, end)
        if self._waiters is not None:
            self._waiters.answer(end)
        if self.feed.readers is not None and was_superseded(record):
            self.feed.end(ENDS[record.status].stream, superseded=True)
        # Last: a host's log filter that raises takes no event and no answer with it.
        if logger.isEnabledFor(END_LEVELS[record.status]):
            log_end(state.memory.home.session_id, record, outcome)

    def _end_attempt(self, effect: EndAttempt) -> None:
        """The turn is over in this process only, and leaves nothing in the conversation."""
        self.feed.append(cut_off_event(effect.record, self.cut_off(), from_start=effect.from_start))
        if effect.outcome is not None:
            self.turns.turn = self.turns.task = None
        error = shutting_down()
        refuse(effect.ended_to, error)
        if self._waiters is not None:
            self._waiters.refuse(error)

    def cut_off(self) -> str | None:
        """It is decided that a turn is cut off: nothing more is published of it; the id of its last event.

        May be called again for the same turn.
        """
        turn, last = self.turns.turn, self.feed.log.last
        if turn is not None and not turn.over:
            turn.close()
        return None if last is None else last.id

    def _cut_winding(self) -> None:
        if self._unwinding is not None:
            self._shared.meter.count(ROLLBACK_HOOKS_OVERDUE, self._unwinding.cut())
            self._shared.meter.count(ROLLBACK_HOOKS_FAILED, self._unwinding.failed)
            self._unwinding = None

    def seal(self, effect: EndTurn, state: State) -> Left | None:
        """Its end is decided: nothing more is published of the turn that this ends; what it leaves.

        ``None`` for a turn that does not run here. May be called again for the same turn.
        """
        turn = self.turns.turn
        if effect.spec is not None and effect.anew:
            self._sealed = _left_cut_off(self._shared, self.feed.log, effect.spec, effect.record, state)
            return self._sealed
        if turn is None or effect.record.epoch != turn.epoch:
            return None
        self._sealed = _left_by(self._shared, turn, effect.record, effect.outcome, state)
        return self._sealed

    def wait_for(self, turn_id: TurnId, to: ReplyTo) -> None:
        """Answer this one when the turn ends, which is in flight or waits."""
        if self._waiters is None:
            self._waiters = Waiters()
        self._waiters.add(turn_id, to)

    # -- The timer --------------------------------------------------------------------------------------

    def _set_timer(self, at: float) -> None:
        """Send a `Tick` at that moment or before: the session sets the timer again if it came too early."""
        shared = self._shared
        if self._timer is None:
            self._timer = Timer(shared.loop, self._tick)
        self._timer.set(at - shared.zero)

    def _tick(self) -> None:
        self._actor.tell_if_alive(Tick())

    def forget_timer(self) -> None:
        """Send no `Tick` any more."""
        if self._timer is not None:
            self._timer.cancel()

    # -- The end ----------------------------------------------------------------------------------------

    def abandon(self, state: State, error: SessionError, end: StreamEnd) -> None:
        """The actor is gone: cancel every turn, answer every asker, end every stream."""
        self.forget_timer()
        self.turns.abandon(self._shared.orphaned_tasks)
        self._cut_winding()
        if self._waiters is not None:
            self._waiters.refuse(error)
        for to in owed_answers(state):
            refuse(to, error)
        self.feed.end(end)
