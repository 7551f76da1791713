"""Performs the effects of a session's decisions: the one place where a session touches the world."""

import logging
from functools import partial
from typing import Any, Final, assert_never

from turnkeeper.actors.events.event import (
    END_NAMES,
    INTERRUPTED,
    QUEUED,
    Event,
    cut_off_event,
    edited_event,
    end_event,
    places_event,
    started_event,
)
from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.events.log import reached
from turnkeeper.actors.metrics.meter import (
    CHILDREN_STARTED,
    MESSAGES_ELIDED,
    RESULTS_LEFT_OUT,
    RESULTS_NOT_KEPT,
    STALE_REPORTS,
    UNRESPONSIVE,
    Meter,
)
from turnkeeper.actors.model.exceptions import SessionError, TooMuchKept, TurnkeeperError
from turnkeeper.actors.model.logger import about, logger
from turnkeeper.actors.model.messages import KeptTooMuch, Tick, TurnEnd
from turnkeeper.actors.model.records import (
    Outcome,
    Raised,
    SessionId,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.words import TERMINAL, OnRestart, StreamEnd, TurnStatus
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, Timer, answer_foreign, is_awaited, refuse
from turnkeeper.actors.session.consequences import ENDS
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    AskSlot,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    EditWaiting,
    Effect,
    EndAttempt,
    EndTurn,
    HoldCancel,
    LeaveSlot,
    MoveWaiting,
    NoteCancel,
    NoteClosed,
    NoteEarlyCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Refuse,
    Reply,
    ReplyPlaced,
    SetTimer,
    StartTurn,
    StopWork,
    WindUp,
)
from turnkeeper.actors.session.record import unstarted
from turnkeeper.actors.session.refusals import shutting_down
from turnkeeper.actors.session.states import Closed, State
from turnkeeper.actors.session.views import owed_answers, was_superseded
from turnkeeper.actors.turn.guard.guard import Guard
from turnkeeper.actors.turn.guard.terms import terms_of
from turnkeeper.actors.turn.running import RunningTurns
from turnkeeper.actors.turn.turn import Turn, go_on_from
from turnkeeper.actors.turn.waiters import Waiters
from turnkeeper.actors.turn.winding.published import text_in
from turnkeeper.actors.turn.winding.winding_up import WindingUp

from .admitting.slots import Slots
from .recovery import missing_terminal_events
from .shared import Shared
from .turns.left import Left, keep, left_by, left_cut_off
from .turns.winding import cut, wind_up


def count_end(meter: Meter, record: TurnRecord) -> None:
    """Count the end of a turn, and how long its parts took."""
    head, started_at, ended_at = record.head, record.started_at, record.ended_at
    figures = meter.agents[head.agent]
    if record.superseded_by is not None:
        figures.superseded += 1
    if record.extras is not None and record.usage is not None:
        for kind, count in record.usage.kinds.items():
            figures.tokens[kind] += count
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


def _end_without_turn(record: TurnRecord, kept: str | None) -> Event:
    """The event that ends a turn of which no coroutine runs here: it has an id if the turn was started."""
    if record.epoch is not None and record.status is TurnStatus.INTERRUPTED:
        return cut_off_event(record, kept)
    return Event(END_NAMES[record.status], record.epoch, 0, None, record)


def _announcement(effect: AnnounceQueued | AnnouncePlaces, state: State, shared: Shared) -> Event:
    """The event that says that a turn waits, or which ones do."""
    if type(effect) is AnnouncePlaces:
        return places_event(shared.slots.shown(state))
    return Event(QUEUED, None, 0, None, unstarted(effect.spec, TurnStatus.QUEUED, effect.queued_at))


def _publish_edit(effect: EditWaiting, shared: Shared, feed: Feed) -> None:
    if effect.by is not None:  # else another message has joined it, and the end of that one's turn says so
        feed.append(edited_event(effect.spec, effect.by, shared.max_shown_part, shared.max_shown))


def publish_ends(shared: Shared, feed: Feed, before: State, left: State) -> None:
    """Publish what is missing of the turns that end with a session's actor, which had failed ``before`` that.

    Where there is a journal, it says that once it is read again.
    """
    for record, event in missing_terminal_events(before, left, reached(feed.log)):
        feed.append(event)
        if event.name == INTERRUPTED:
            count_end(shared.meter, record)
            log_end(left.memory.home.session_id, record, None)


def _refuse(effect: Refuse, state: State, shared: Shared) -> None:
    shared.count_refusal(effect.error)
    if isinstance(effect.error, TooMuchKept):
        shared.report(KeptTooMuch(state.memory.home.owner))
    refuse(effect.to, effect.error)


def _about_slot(effect: AskSlot | ReplyPlaced, slots: Slots, actor: AsyncioRef[Any], feed: Feed) -> None:
    if type(effect) is AskSlot:
        slots.ask(effect.ticket, effect.claim, actor)
        if feed.reader_count:
            slots.places.watch(effect.ticket, effect.claim.user, actor)
    elif type(effect) is ReplyPlaced:
        if effect.to is not None:
            effect.to.set(slots.placed(effect.answer, effect.ticket))
    else:
        assert_never(effect)


def _about_turn(effect: HoldCancel | StopWork | NoteUndo, turns: RunningTurns) -> None:
    if type(effect) is HoldCancel:
        turns.hold_cancel()
    elif type(effect) is StopWork:
        turns.stop_work(again=effect.again)
    elif type(effect) is NoteUndo:
        turns.wish_undone()
    else:
        assert_never(effect)


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
    if shared.hooks is not None:
        turn.heed(shared.hooks)
    if spec.head.parent is not None:
        shared.tree.started(spec)
        shared.meter.count(CHILDREN_STARTED)
    on_restart = spec.policy.on_restart
    if effect.attempt > 1 and on_restart is OnRestart.CONTINUE:
        go_on_from(turn, text_in(feed.log, turn.turn_id, on_restart, shared.max_event_size))
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
    terms = terms_of(turn.spec.policy, turn.attempt)
    if terms is None:
        return None
    stop, is_read = partial(performer.turns.stop, turn), partial(has_reader, performer, turn.spec)
    return Guard(
        terms, shared.loop, shared.meter, stop, lambda: turn.is_inside and not turn.in_section, is_read
    )


def has_reader(performer: "Performer", spec: TurnSpec) -> bool:
    """Whether there is a reader of this turn, or an asker that waits for its end."""
    if performer.feed.has_reader_of(spec.turn_id) or is_awaited(spec.ended_to):
        return True
    waiters = performer._waiters
    return waiters is not None and waiters.wait_for(spec.turn_id)


class Performer:
    """The hands of one session, and what they hold: running turns, events, a timer, waiting askers."""

    __slots__ = ("_actor", "_sealed", "_shared", "_timer", "_waiters", "_winding", "feed", "turns")

    def __init__(self, shared: Shared, actor: AsyncioRef[Any], feed: Feed) -> None:
        self._shared = shared
        self._actor = actor
        # Most sessions never have these.
        self._timer: Timer | None = None
        self._waiters: Waiters | None = None
        #: What runs at the end of the turn that has stopped.
        self._winding: WindingUp | None = None
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
            elif type(effect) is CancelTurn:
                self.turns.cancel(effect.reason, again=effect.again)
            elif type(effect) is SetTimer:
                self._set_timer(effect.at)
            elif type(effect) is CloseStreams:
                _close_streams(self.feed, effect.end, state)
            elif type(effect) is LeaveSlot:
                self._shared.slots.leave(effect.ticket)
            elif type(effect) is AnnounceQueued or type(effect) is AnnouncePlaces:
                self.feed.append(_announcement(effect, state, self._shared))
            elif type(effect) is Refuse:
                _refuse(effect, state, self._shared)
            elif type(effect) is EndAttempt:
                self._end_attempt(effect)
            elif type(effect) is Quarantine:
                self._shared.meter.count(UNRESPONSIVE)
                self.turns.quarantine()
            elif type(effect) is WindUp:
                turn = self.turns.turn
                self._winding = wind_up(effect, state, self._shared, self.feed, turn, self._actor)
            elif type(effect) is CutWinding:
                self._cut_winding()
            elif type(effect) is AskSlot or type(effect) is ReplyPlaced:
                _about_slot(effect, self._shared.slots, self._actor, self.feed)
            elif type(effect) is HoldCancel or type(effect) is StopWork or type(effect) is NoteUndo:
                _about_turn(effect, self.turns)
            elif type(effect) is EditWaiting:
                _publish_edit(effect, self._shared, self.feed)
            elif type(effect) is CountStale:
                self._shared.meter.count(STALE_REPORTS)
            elif (
                type(effect) is NoteCancel
                or type(effect) is MoveWaiting
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
        self.turns.start(turn, shared.functions[spec.head.agent], shared.loop, load, save, shared.around)

    def _end_turn(self, effect: EndTurn, state: State) -> None:
        record, outcome = effect.record, effect.outcome
        end = TurnEnd(record, outcome)
        count_end(self._shared.meter, record)
        turn = self.turns.turn
        if effect.anew or record.epoch is None or turn is None:
            if effect.anew and self._sealed is not None:
                keep(self._shared, self._sealed, state, f"{record.epoch}-0")
                self._sealed = None
            self.feed.append(_end_without_turn(record, self.cut_off() if effect.anew else None))
        else:
            left, self._sealed, self._winding = self._sealed, None, None
            if left is None:
                left = left_by(self._shared, turn, record, outcome, state)
            if left.changes is not None:
                keep(self._shared, left, state, turn.last_event_id)
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
        turn, last = self.turns.turn, reached(self.feed.log)
        if turn is not None and not turn.over:
            turn.close()
        return None if last is None else last.id

    def _cut_winding(self) -> None:
        if self._winding is not None:
            cut(self._winding, self.turns.turn, self._shared.meter)
            self._winding = None

    def seal(self, effect: EndTurn, state: State) -> Left | None:
        """Its end is decided: nothing more is published of the turn that this ends; what it leaves.

        ``None`` for a turn that does not run here. May be called again for the same turn.
        """
        turn = self.turns.turn
        if effect.spec is not None and effect.anew:
            self._sealed = left_cut_off(self._shared, self.feed.log, effect.spec, effect.record, state)
            return self._sealed
        if turn is None or effect.record.epoch != turn.epoch:
            return None
        self._sealed = left_by(self._shared, turn, effect.record, effect.outcome, state)
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
