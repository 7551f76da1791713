"""What an onlooker may demand of a session, step by step: guarantees G1 to G4, G6 and G8 as checks.

The monitor gets each message and the effects that `step` answered with. From these alone it keeps its own
facts (who holds the session, who waits, who asked what, which moment comes next), and it asks two questions:
is each effect allowed, and has all happened that had to. The session's states are looked at only to see that
they say the same and that a refusal changed nothing.
The exhaustive search and the state machine of Hypothesis both use it.
"""

from typing import Any, NoReturn, assert_never

from tests.actors.session.courses import Courses, cleared_by, comes_due, course_of
from tests.actors.session.facts import (
    Asked,
    Early,
    Facts,
    Fled,
    Rung,
    Section,
    Waits,
    Winds,
    claim_of,
    may_stop,
    said_by_both,
    taker_of,
    waits_for_a_moment,
    without_sender,
)
from turnkeeper.actors.model.exceptions import HoldRefused, SessionBusy, StageFailed
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    Granted,
    Hold,
    Rearrange,
    Recover,
    ReplyAddress,
    SessionView,
    Shut,
    Stop,
    Submit,
    Superseded,
    Tick,
    TurnEnded,
    TurnReturned,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    KeptResult,
    LateEnd,
    Outcome,
    Raised,
    Reason,
    Returned,
    Stopped,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import (
    TERMINAL,
    CancelCode,
    MoveTo,
    OnRestart,
    Place,
    Rollback,
    SessionState,
    Strategy,
    TurnStatus,
    Verdict,
    WaitsFor,
)
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
from turnkeeper.actors.session.line import Line
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import Closed, EarlyCancel, Ending, Held, Limits, Running, State
from turnkeeper.actors.session.views import line_of, state_name

LATE_STATUS = {
    Returned: TurnStatus.COMPLETED,
    Raised: TurnStatus.FAILED,
    Stopped: TurnStatus.CANCELLED,
}
CLOSE_TEXTS: dict[str, set[TurnStatus | None]] = {
    "Task cancelled": {TurnStatus.CANCELLED},
    "Task unresponsive": {TurnStatus.UNRESPONSIVE},
    "Task finished": {
        TurnStatus.COMPLETED,
        TurnStatus.FAILED,
        TurnStatus.TIMED_OUT,
        TurnStatus.INTERRUPTED,
    },
    "Session closed": {None},
}
#: The verdict that a waiting asker gets of a turn that ended as this.
VERDICTS = {
    TurnStatus.COMPLETED: Verdict.FINISHED_FIRST,
    TurnStatus.FAILED: Verdict.FINISHED_FIRST,
    TurnStatus.TIMED_OUT: Verdict.FINISHED_FIRST,
    TurnStatus.INTERRUPTED: Verdict.FINISHED_FIRST,
    TurnStatus.CANCELLED: Verdict.CANCELLED,
    TurnStatus.UNRESPONSIVE: Verdict.UNRESPONSIVE,
}
#: The reasons of a Stop that a person pressed: it ends the streams.
PRESSED = {CancelCode.USER_REQUEST, CancelCode.ADMIN}
#: How many critical sections a turn may be in.
MOST = 32
#: The strategies that take the place of a turn.
TAKES_OVER = {Strategy.INTERRUPT, Strategy.ROLLBACK}


class Broken(AssertionError):
    """A guarantee does not hold."""


def observe(
    facts: Facts,
    before: State,
    message: Message,
    now: float,
    to: ReplyAddress | None,
    after: State,
    effects: tuple[Effect, ...],
) -> Facts:
    """The facts after this step. Raises `Broken` when the step broke a guarantee."""
    return _Step(facts, before, message, now, to, after, effects).check()


def observe_failure(
    facts: Facts,
    before: State,
    now: float,
    first_event_at: float,
    after: State,
    owed: list[ReplyAddress | None],
) -> Facts:
    """The facts after the session's actor failed. Raises `Broken` for what is lost that must not be.

    ``after`` is what is left of the session, ``owed`` are the askers that are still to be answered. The turn
    in flight, if there is one, had begun and emitted its first event at that moment.
    """

    def broken(what: str) -> NoReturn:
        raise Broken(f"{what}\n  the actor failed\n  after {after}\n  before {before}")

    ended = [fled.record for fled in facts.fled]
    ended += [facts.waited(turn, TurnStatus.INTERRUPTED, now) for turn in facts.line]
    senders = [turn.spec.ended_to for turn in facts.line]
    if facts.holder is not None:
        partly = Rollback.PARTLY if facts.undo else None
        interrupted = facts.held(TurnStatus.INTERRUPTED, now, None, first_event_at, began=True)
        ended.append(interrupted if partly is None else replace(interrupted, rollback=partly))
        senders.append(facts.holder.ended_to)
    waits = [*senders, *(asked.to for asked in facts.asked)]
    if sorted(id(to) for to in owed if to is not None) != sorted(id(to) for to in waits if to is not None):
        broken("G3: an asker is forgotten")
    memory = after.memory
    if isinstance(after, Closed) != (facts.state() is SessionState.CLOSED):
        broken("a failure closes or opens a session")
    kept = _left(facts.kept, ended, now, after, broken)
    if memory.quarantined or memory.last_epoch < facts.last_epoch:
        broken("G7: an epoch that was drawn may come again")
    if _slot(before) != _slot_in(facts) or memory.last_ticket < facts.last_ticket:
        broken("G8: a slot is not given back, or a ticket that was drawn may come again")
    return Facts(
        over=facts.epoch if facts.holder is not None else facts.over,
        last_epoch=facts.last_epoch,
        last_ticket=facts.last_ticket,
        kept=kept,
        early=facts.early,
        shut=isinstance(after, Closed),
        shutdown=facts.shutdown and isinstance(after, Closed),
        for_good=facts.for_good if isinstance(after, Closed) else None,
    )


def _left(
    kept: tuple[TurnRecord, ...], ended: list[TurnRecord], now: float, after: State, broken: Any
) -> tuple[TurnRecord, ...]:
    """What is kept of these records, oldest first: the newest, and of those all that are young enough."""
    left = after.memory.records
    if not ended:
        if left != kept:
            broken("records come or go although no turn has ended")
        return kept
    limits = after.memory.home.limits
    most = (*kept, *ended)[-limits.kept_turns :]
    young = [
        record for record in most if record.ended_at is None or record.ended_at >= now - limits.turn_retention
    ]
    if left != tuple(record for record in most if record in left):
        broken("G8: other records are kept than the newest, each as its turn ended")
    if any(record not in left for record in (*young, *ended[-1:])):
        broken("a record is forgotten too early")
    if len(left) > 1 and left[0] not in young and left[0] not in ended:
        broken("G8: a record is kept for too long")
    return left


class _Step:
    """One step under examination. ``was`` are the facts before it, ``facts`` those so far."""

    def __init__(
        self,
        was: Facts,
        before: State,
        message: Message,
        now: float,
        to: ReplyAddress | None,
        after: State,
        effects: tuple[Effect, ...],
    ) -> None:
        self.was = was
        self.facts = was.copy()
        self.before = before
        self.message = message
        self.now = now
        self.to = to
        self.after = after
        self.effects = effects
        self.ended: dict[TurnId, EndTurn] = {}
        self.remembered: list[TurnRecord] = []
        self.cancels = 0
        self.closes = 0
        self.notes: list[Effect] = []
        self.refused: type | None = None
        self.starts: TurnId | None = None
        #: The turn that waited for a moment which has come, and how often the places are announced.
        self.placed = comes_due(was, message, now)
        self.announced = 0
        self.edited = False
        #: The turn that the message of another one has joined.
        self.taker: TurnId | None = None
        self.repeated = False
        #: Whether what its end runs has been cut short.
        self.cut_short = False
        #: The turn that was cut off and will be run again.
        self.cut: TurnSpec | None = None
        #: The tickets that are given back and those that are drawn, and who is sent where its turn stands.
        self.left: list[Ticket] = []
        self.drawn: list[AskSlot] = []
        self.placing: list[ReplyPlaced] = []

    def check(self) -> Facts:
        self._receive()
        for effect in self.effects:
            self._effect(effect)
        self._message_has_had_its_effect()
        self._slot_takes_its_course()
        self._line_takes_its_course()
        for each in self.placing:
            self._was_placed(each)
        self._all_is_noted()
        self._all_is_remembered()
        self._all_is_consistent()
        self._all_are_answered()
        return self.facts

    def _broken(self, what: str) -> NoReturn:
        raise Broken(f"{what}\n  message {self.message}\n  effects {self.effects}\n  before {self.before}")

    # -- The message ------------------------------------------------------------------------------------

    def _receive(self) -> None:
        message, facts = self.message, self.facts
        if isinstance(message, Shut) and not self._shuts_down() and facts.for_good is None:
            facts.for_good = message.reason
        if self.was.leaves_by_itself and self._asks_it_to_stop():
            facts.cause, facts.asked_at = self._reason(), self.now
            if facts.cause.code is not CancelCode.SHUTDOWN:
                facts.lasting = Cancellation(facts.cause, self.now)
        if isinstance(message, Unhold) and self._is_holder(message.epoch):
            left = facts.sections if facts.rung is None else facts.in_time(self.now)
            facts.sections = tuple([each for each in left if each.number != message.number])
        if isinstance(message, Tick):
            facts.timer = None
        elif isinstance(message, Recover):
            if facts.asked:
                self._broken("an asker of another process")
        elif self.to is not None and not isinstance(message, TurnReturned | TurnEnded | WoundUp | Granted):
            about, cleared = None, tuple[TurnId, ...]()
            if isinstance(message, Submit):
                about = message.spec.turn_id
            elif isinstance(message, Rearrange):
                about = message.turn_id
            elif isinstance(message, Stop):
                about = message.turn_id
                meant = facts.holder or facts.front
                if about is None and meant is not None:
                    about = meant.turn_id
                cleared = cleared_by(facts, message, self._home().owner)
            facts.asked = (*facts.asked, Asked(self.to, type(message), about, self.now, cleared))

    def _asks_it_to_stop(self) -> bool:
        """Whether this message asks the turn in flight to stop."""
        message, was = self.message, self.was
        if isinstance(message, Tick):
            return self.placed is not None and self.placed.spec.strategy in TAKES_OVER
        if isinstance(message, Shut):
            return True
        if not isinstance(message, Submit | Stop | Rearrange):
            return False
        if was.refusal(message, self.now, self._limits(), self._home().owner) is not None:
            return False
        if isinstance(message, Stop):
            return message.turn_id is None or self._holds(message.turn_id)
        if isinstance(message, Rearrange):
            return message.to is MoveTo.NOW
        over = was.repeated(message) is not None or self._early(message.spec) is not None
        later = waits_for_a_moment(message, self.now)
        return message.strategy in TAKES_OVER and not over and not later

    # -- The effects --------------------------------------------------------------------------------------

    def _effect(self, effect: Effect) -> None:
        match effect:
            case StartTurn():
                self._started(effect)
            case CancelTurn():
                self._cancelled(effect)
            case HoldCancel():
                self._held_back(effect)
            case StopWork():
                self._work_is_stopped(effect)
            case EndTurn():
                self._ended(effect)
            case EndAttempt():
                self._cut_off(effect)
            case Quarantine():
                self._quarantined(effect)
            case AnnounceQueued():
                self._queued(effect)
            case MoveWaiting():
                self._moved(effect)
            case EditWaiting():
                self._edited(effect)
            case AnnouncePlaces():
                self.announced += 1
            case AskSlot():
                self.drawn.append(effect)
                if len(self.drawn) > 1 or (self.was.ticket is not None and self.was.ticket not in self.left):
                    self._broken("G8: a session has two tickets")
            case LeaveSlot():
                if effect.ticket in self.left:
                    self._broken("G8: a slot is given back twice")
                self.left.append(effect.ticket)
            case ReplyPlaced(answer=Accepted(repeated=True)):
                self._was_placed(effect)
            case ReplyPlaced():
                self.placing.append(effect)
            case Reply():
                self._replied(effect.to, effect.answer)
            case Refuse():
                self._was_refused(effect)
            case SetTimer():
                self.facts.timer = effect.at
            case CloseStreams():
                self._closed_streams(effect)
            case CountStale():
                self._counted_stale()
            case WindUp():
                self._winds_up(effect)
            case CutWinding():
                self.cut_short = True
                if effect.epoch != self.was.epoch or self.was.winds is None:
                    self._broken("G6: what does not run is cut short")
            case NoteUndo() | NoteCancel() | NoteEarlyCancel() | NoteLateEnd() | NoteClosed():
                self.notes.append(effect)
            case _:
                assert_never(effect)

    def _started(self, effect: StartTurn) -> None:
        facts, spec, message = self.facts, effect.spec, self.message
        if facts.holder is not None:
            self._broken(f"G1: {spec.turn_id} starts while {facts.holder.turn_id} holds the session")
        if facts.shut:
            self._broken("a turn starts in a session that was closed")
        self.starts = spec.turn_id
        queued_at, attempt = None, 1
        waited = facts.waits(spec.turn_id)
        if waited is not None and waited.spec == spec:
            queued_at, attempt = waited.since, waited.attempt
            self._waiting_starts(waited)
            facts.leaves(spec.turn_id)
        elif not (isinstance(message, Submit) and message.spec is spec):
            self._broken(f"G2: {spec.turn_id} starts, which was not sent or has ended")
        elif self._early(spec):
            self._broken(f"G4: {spec.turn_id} starts although its cancel came before it")
        if facts.live(spec.turn_id):
            self._broken(f"G2: {spec.turn_id} starts a second time")
        if effect.epoch <= facts.last_epoch:
            self._broken("G7: the epoch does not grow")
        if (effect.started_at, effect.queued_at, effect.attempt) != (self.now, queued_at, attempt):
            self._broken(f"{spec.turn_id} does not start as it does")
        facts.holder = spec
        facts.epoch = facts.last_epoch = effect.epoch
        facts.queued_at = queued_at
        facts.attempt = attempt
        facts.started_at = self.now
        facts.deadline = None if spec.timeout is None else self.now + spec.timeout
        facts.cause = facts.delivered_at = facts.again_at = facts.rung = None
        facts.sections = ()
        facts.pressed, facts.lasting = False, None
        facts.undo, facts.winds, facts.by = False, None, None

    def _waiting_starts(self, turn: Waits) -> None:
        """A turn that waited starts: it may be its first attempt, or another one."""
        if turn.attempt == 1:
            return
        if turn.attempt > self._limits().attempts:
            self._broken("G11: one attempt too many")
        if turn is self.was.front and self.was.asks:
            return  # its time came when it asked
        if not isinstance(self.message, Tick) or turn.not_before is None or self.now < turn.not_before:
            self._broken("G11: another attempt before its time")

    def _cancelled(self, effect: CancelTurn) -> None:
        facts, message = self.facts, self.message
        self.cancels += 1
        if facts.holder is None or effect.epoch != facts.epoch:
            self._broken(f"G4: epoch {effect.epoch} is cancelled, which does not hold the session")
        if isinstance(message, Stop) and message.turn_id not in {None, facts.holder.turn_id}:
            self._broken(f"G4: a Stop aimed at {message.turn_id} hits {facts.holder.turn_id}")
        if not self._may_stop(facts.holder):
            self._broken(f"{facts.holder.turn_id} is stopped by a user who may not")
        was_held = facts.rung is Rung.HELD
        if facts.rung is None and facts.winds is None:
            grace = self._asked_first(facts.holder)
            if facts.in_time(self.now) and not self._forces():
                self._broken("G13: a cancel is delivered in a critical section")
            self._begins_to_climb(grace)
        elif was_held:
            self._may_be_delivered()
            facts.delivered_at = self.now
            self._begins_to_climb(facts.grace)
        elif facts.cause is None:
            self._broken("a turn is cancelled that was not asked to stop")
        else:
            self._climbs()
            facts.again_at = self.now
        if effect.reason != facts.cause:
            self._broken("the coroutine is cancelled for another reason than the first")
        of_first = facts.holder.turn_id, facts.asked_at, facts.again_at is not None, was_held
        if (effect.turn_id, effect.asked_at, effect.again, effect.held) != of_first:
            self._broken("the coroutine is cancelled otherwise than it is")

    def _begins_to_climb(self, grace: float) -> None:
        facts = self.facts
        facts.rung, facts.sections = Rung.FIRST, ()
        facts.half = self.now + grace / 2
        facts.end = self.now + grace

    def _climbs(self) -> None:
        facts = self.facts
        if not isinstance(self.message, Tick) or facts.rung is not Rung.FIRST or self.now < facts.half:
            self._broken("G6: a second cancel that the ladder does not have")
        facts.rung = Rung.SECOND
        if self.now >= facts.end:
            # The loop was blocked past the whole ladder: its second half still has its length.
            facts.end = self.now + (facts.end - facts.half)

    def _forces(self) -> bool:
        """Whether this message waits for no critical section."""
        return isinstance(self.message, Stop) and self.message.force

    def _may_be_delivered(self) -> None:
        """A cancel that has waited for critical sections: they are over, or their time is up."""
        facts, message = self.facts, self.message
        over = isinstance(message, Unhold) and not facts.sections
        up = isinstance(message, Tick) and self.now >= self.was.held_until
        if not (over or up or self._forces() or isinstance(message, TurnReturned)):
            self._broken("G13: a cancel is delivered in a critical section")

    def _held_back(self, effect: HoldCancel) -> None:
        """A cancel waits for critical sections: for as long as each of them was granted, and no longer."""
        facts, message, holder = self.facts, self.message, self.facts.holder
        self.cancels += 1
        if holder is None or facts.rung is not None or facts.winds is not None:
            self._broken("G13: a cancel is held back that is not, or not for the first time")
        if not self._may_stop(holder):
            self._broken(f"{holder.turn_id} is stopped by a user who may not")
        facts.grace = self._asked_first(holder)
        facts.sections, facts.rung = facts.in_time(self.now), Rung.HELD
        if not facts.sections or self._forces():
            self._broken("G13: a cancel is held back by nothing")
        if isinstance(message, Shut) and message.grace is not None:
            self._holds_for_less(message.grace)
        if effect != HoldCancel(holder.turn_id, facts.epoch, facts.cause, self.now):
            self._broken("a cancel is held back otherwise than it is")

    def _holds_for_less(self, grace: float) -> None:
        """A shutdown leaves critical sections half of its grace, and the ladder the other half."""
        facts, until = self.facts, self.now + grace / 2
        facts.sections = tuple([each._replace(until=min(each.until, until)) for each in facts.sections])
        facts.grace = min(facts.grace, grace / 2)

    def _work_is_stopped(self, effect: StopWork) -> None:
        """What a turn has begun is stopped, and its coroutine has returned by itself."""
        facts, message, holder = self.facts, self.message, self.facts.holder
        self.cancels += 1
        if holder is None or effect.epoch != facts.epoch or facts.cause is not None:
            self._broken("G13: what a turn has begun is stopped, and no turn has returned by itself")
        if facts.rung is None and isinstance(message, TurnReturned) and message.epoch == facts.epoch:
            self._begins_to_climb(holder.grace)
        else:
            self._climbs()
        if effect.again is not (facts.rung is Rung.SECOND):
            self._broken("G13: what a turn has begun is not stopped as it is")

    def _asked_first(self, holder: TurnSpec) -> float:
        """The turn in flight is asked to stop, by what may ask that: the grace it has."""
        facts, message = self.facts, self.message
        if isinstance(message, Rearrange) and message.to is not MoveTo.NOW:
            self._broken("a turn that is only moved cancels")
        if isinstance(message, Submit) and message.strategy not in TAKES_OVER:
            self._broken("a send that must not interrupt cancels")
        interrupted = self.placed is not None and self.placed.spec.strategy in TAKES_OVER
        timed_out = facts.deadline is not None and self.now >= facts.deadline
        if isinstance(message, Tick) and not (interrupted or timed_out):
            self._broken("a turn is cancelled whose time is not up")
        grace = holder.grace
        if isinstance(message, Shut) and message.grace is not None:
            grace = min(grace, message.grace)
        facts.cause = self._reason()
        facts.lasting = (
            None if facts.cause.code is CancelCode.SHUTDOWN else Cancellation(facts.cause, self.now)
        )
        facts.asked_at = self.now
        return grace

    def _reason(self) -> Reason:
        """Why this message cancels what it cancels."""
        match self.message:
            case Submit(spec=spec):
                return Reason(CancelCode.SUPERSEDED, spec.user)
            case Stop(reason=reason) | Shut(reason=reason):
                return reason
            case Rearrange(by=by):
                return Reason(CancelCode.SUPERSEDED, by)
            case Tick():
                if self.placed is not None:
                    return Reason(CancelCode.SUPERSEDED, self.placed.spec.user)
                return Reason(CancelCode.TIMEOUT)
            case TurnReturned() | TurnEnded() | WoundUp() | Granted() | Recover() | Hold() | Unhold():
                return self._broken("what is no wish cancels a turn")
            case _:
                assert_never(self.message)

    def _ended(self, effect: EndTurn) -> None:
        facts, record, message = self.facts, effect.record, self.message
        if record.turn_id in self.ended or record.status not in TERMINAL or record.ended_at != self.now:
            self._broken(f"G2: not one terminal status, but {record.status} again or not now")
        self.ended[record.turn_id] = effect
        if facts.holder is not None and facts.holder.turn_id == record.turn_id:
            self._holder_ended(effect, facts.holder)
            return
        if record.status is TurnStatus.MERGED:
            self._merged(effect)
            return
        interrupted = isinstance(message, Recover) and record.status is TurnStatus.INTERRUPTED
        if not (record.status is TurnStatus.CANCELLED or interrupted) or effect.outcome is not None:
            self._broken("G2: a turn that never started ends otherwise than cancelled")
        waited = facts.waits(record.turn_id)
        if waited is not None:
            self._waiting_ended(effect, waited)
        elif isinstance(message, Submit) and message.spec.turn_id == record.turn_id:
            self._born_dead(effect, message.spec)
        else:
            self._broken(f"G2: {record.turn_id} ends, which neither ran nor waited")

    def _has_ended(self, effect: EndTurn, spec: TurnSpec, truth: TurnRecord) -> None:
        if effect.record != truth:
            self._broken(f"the record of its end is not the truth, which is\n  {truth}")
        if effect.ended_to is not spec.ended_to:
            self._broken(f"G3: the sender of {spec.turn_id} is not answered when its turn has ended")

    def _anew(self, effect: EndTurn | EndAttempt) -> Epoch:
        """The epoch that was drawn for this event alone: after a cut no id is given twice."""
        facts, epoch = self.facts, effect.record.epoch
        if epoch is None or epoch <= max(facts.last_epoch, facts.epoch if facts.holder is not None else 0):
            self._broken(f"G7: an event of a turn that was cut off in epoch {epoch}")
        facts.last_epoch = epoch
        return epoch

    def _runs_again(self, spec: TurnSpec, attempt: int) -> bool:
        """Whether a turn that was cut off in that attempt has to be started again."""
        limits = self._limits()
        said = spec.policy.on_restart in (OnRestart.CONTINUE, OnRestart.RERUN)
        again = said and spec.agent in limits.agents
        return again and attempt < limits.attempts

    def _cut_off(self, effect: EndAttempt) -> None:
        facts, message, holder = self.facts, self.message, self.facts.holder
        if holder is None or facts.lasting is not None:
            self._broken("G11: a turn is to be run again that does not run, or whose cancel was asked")
        if not self._runs_again(holder, facts.attempt) or not self._limits().durable:
            self._broken(f"G11: {holder.turn_id} is run again against its policy")
        if facts.winds is not None:
            self._broken("G11: a turn is run again although what its end runs was run")
        report = self._report()
        if report is not None:
            if not isinstance(report.outcome, Stopped) or effect.outcome is not report.outcome:
                self._broken("G11: a turn is run again that has ended")
        elif effect.outcome is not None:
            self._broken("G11: the outcome of a coroutine that nothing is known of")
        if not isinstance(message, Recover) and not (facts.shutdown and facts.for_good is None):
            self._broken("G11: a turn is handed over without a shutdown")
        epoch, sender = self._anew(effect), holder.ended_to
        facts.over = facts.epoch
        again = Waits(without_sender(holder), facts.queued_at, facts.attempt + 1)
        facts.front, facts.holder = again, None
        if effect.record != facts.waited(again, TurnStatus.QUEUED) or effect.record.epoch != epoch:
            self._broken("G11: not the record of a turn that waits for its next attempt")
        from_start = holder.policy.on_restart is OnRestart.RERUN
        if effect.at != self.now or effect.ended_to is not sender or effect.from_start is not from_start:
            self._broken("G11: a turn is cut off otherwise than it is")
        self.cut = holder

    def _holder_ended(self, effect: EndTurn, holder: TurnSpec) -> None:
        facts, record, message = self.facts, effect.record, self.message
        error = None
        if self.was.winds is not None:
            self._wound_up_ended(effect, holder, self.was.winds)
            return
        if isinstance(message, Recover):
            self._holder_interrupted(effect, holder, message)
            return
        if effect.anew:
            self._broken("G7: an epoch of its own for the end of a turn that runs here")
        report = self._report()
        end = message if report is None else report
        if not isinstance(end, TurnEnded | Tick):
            self._broken("G2: a turn ends whose coroutine has not")
        if facts.undo or end.winds:
            self._broken("G13: a turn ends before that has been run which its end runs")
        if self._goes_on_elsewhere(None if report is None else report.outcome):
            self._broken("G11: a turn ends that is to go on after the shutdown")
        if report is not None:
            if report.epoch != facts.epoch:
                self._broken("G2: a stale report is believed")
            status = self._status(report.outcome)
            if effect.outcome is not report.outcome or record.status is not status:
                self._broken(f"G2: {record.status} is not how the turn ended")
            if status is TurnStatus.FAILED:
                error = _error(report.outcome)
            facts.over = facts.epoch
        elif record.status is not TurnStatus.UNRESPONSIVE:
            self._broken("G2: a turn ends whose coroutine has not")
        elif not self._at_end():
            self._broken("G6: given up before the end of its ladder")
        elif effect.outcome is not None:
            self._broken("G6: the outcome of a coroutine that still runs")
        result = _kept(effect.outcome, self._limits())
        known = end.first_event_at, end.began, result, None, end.extras
        self._has_ended(effect, holder, facts.held(record.status, self.now, error, *known))
        if report is not None:
            facts.holder = None
            self.remembered.append(record)

    def _report(self) -> TurnEnded | None:
        """The end of the turn in flight that this message reports: at the end of its ladder a tick may."""
        message = self.message
        if isinstance(message, TurnEnded):
            return message
        return message.ended if isinstance(message, Tick) and self._at_end() else None

    def _at_end(self) -> bool:
        """Whether the turn in flight is given up now, if it has not ended."""
        was = self.was
        climbs = was.holder is not None and was.winds is None and was.rung is Rung.SECOND
        return isinstance(self.message, Tick) and climbs and self.now >= was.end

    def _goes_on_elsewhere(self, outcome: Outcome | None) -> bool:
        """Whether the turn in flight is to be run again after the shutdown that has stopped it like this."""
        facts = self.facts
        if facts.holder is None or not (outcome is None or isinstance(outcome, Stopped)):
            return False
        handed = facts.shutdown and facts.for_good is None and facts.lasting is None
        return self._limits().durable and handed and self._runs_again(facts.holder, facts.attempt)

    def _winds_up(self, effect: WindUp) -> None:
        """A turn has stopped, or was given up, and now that is run which its end runs."""
        facts, message, holder = self.facts, self.message, self.facts.holder
        if holder is None or facts.winds is not None:
            self._broken("what its end runs is run of no turn, or twice")
        report, status = self._report(), TurnStatus.UNRESPONSIVE
        winds, outcome, first_event_at, began, extras = facts.undo, None, None, None, None
        if isinstance(message, Recover):
            status, winds, extras = TurnStatus.INTERRUPTED, winds or message.winds, message.extras
            facts.over = facts.epoch
            if facts.lasting is None and self._runs_again(holder, facts.attempt):
                self._broken("G11: what its end runs is run of a turn that is run again")
        elif report is not None and report.epoch == facts.epoch:
            status, outcome, winds = self._status(report.outcome), report.outcome, winds or report.winds
            first_event_at, began, extras = report.first_event_at, report.began, report.extras
            facts.over = facts.epoch
        elif isinstance(message, Tick) and self._at_end():
            winds = winds or message.winds
            first_event_at, began, extras = message.first_event_at, message.began, message.extras
        else:
            self._broken("G6: what its end runs is run of a turn that has not stopped")
        if not winds or self._goes_on_elsewhere(outcome):
            self._broken("what its end runs is run of a turn where there is nothing, or that goes on")
        error = _error(outcome) if outcome is not None and status is TurnStatus.FAILED else None
        result = _kept(outcome, self._limits())
        known = error, first_event_at, began, result, None, extras
        if effect != WindUp(holder, facts.held(status, self.now, *known), undo=facts.undo):
            self._broken("what its end runs is run otherwise than it is")
        until = self.now + holder.policy.wind_grace
        until = until if facts.by is None else min(until, facts.by)
        facts.winds = Winds(until, status, outcome, first_event_at, began, extras)
        facts.rung, facts.sections = None, ()

    def _wound_up_ended(self, effect: EndTurn, holder: TurnSpec, winds: Winds) -> None:
        """What the end of a turn runs has been run, as far as there was time."""
        facts, message = self.facts, self.message
        if isinstance(message, WoundUp) and message.epoch == facts.epoch:
            rollback = Rollback.PARTLY if message.failed else Rollback.DONE
        elif isinstance(message, Tick) and self.now >= winds.until and self.cut_short:
            rollback = Rollback.PARTLY
        else:
            self._broken("G13: a turn ends before that has been run which its end runs")
        if effect.outcome is not winds.outcome or effect.record.status is not winds.status:
            self._broken("G2: not how the turn ended")
        error = _error(winds.outcome) if winds.status is TurnStatus.FAILED and winds.outcome else None
        before = facts.epoch
        if winds.status is TurnStatus.INTERRUPTED:
            # What it had registered itself is gone with its process.
            rollback, facts.epoch = Rollback.PARTLY, self._anew(effect)
        if effect.anew is not (winds.status is TurnStatus.INTERRUPTED):
            self._broken("G7: an epoch of its own for the end of a turn that ran here, or none for another")
        result = _kept(winds.outcome, self._limits())
        undone = rollback if facts.undo else None
        of_it = error, winds.first_event_at, winds.began, result, undone, winds.extras
        self._has_ended(effect, holder, facts.held(winds.status, self.now, *of_it))
        facts.epoch, facts.winds = before, None
        if winds.status is not TurnStatus.UNRESPONSIVE:
            facts.holder = None
            self.remembered.append(effect.record)

    def _holder_interrupted(self, effect: EndTurn, holder: TurnSpec, message: Recover) -> None:
        """The process is gone in which it ran."""
        facts, record = self.facts, effect.record
        if record.status is not TurnStatus.INTERRUPTED or effect.outcome is not None or not effect.anew:
            self._broken("G11: a turn whose process is gone ends otherwise than interrupted")
        if facts.lasting is None and self._runs_again(holder, facts.attempt):
            self._broken(f"G11: {holder.turn_id} ends, against its agent's word")
        if facts.undo or message.winds:
            self._broken("G13: a turn ends before that has been run which its end runs")
        before, facts.over = facts.epoch, facts.epoch
        facts.epoch = self._anew(effect)
        truth = facts.held(TurnStatus.INTERRUPTED, self.now, extras=message.extras)
        self._has_ended(effect, holder, truth)
        facts.epoch, facts.holder = before, None
        self.remembered.append(record)

    def _status(self, outcome: Outcome) -> TurnStatus:
        match outcome:
            case Returned():
                return TurnStatus.COMPLETED
            case Raised():
                return TurnStatus.FAILED
            case Stopped():
                cause = self.facts.cause
                if cause is None:
                    return TurnStatus.FAILED
                timed_out = cause.code is CancelCode.TIMEOUT
                return TurnStatus.TIMED_OUT if timed_out else TurnStatus.CANCELLED
            case _:
                assert_never(outcome)

    def _waiting_ended(self, effect: EndTurn, waiting: Waits) -> None:
        by = reason = None
        match self.message:
            case Submit(spec=spec):
                by, reason = spec.turn_id, self._reason()
            case Stop():
                reason = self._reason()
                if not self._may_stop(waiting.spec):
                    self._broken(f"{waiting.turn_id} is stopped by a user who may not")
            case Shut():
                reason = self._reason()
            case Rearrange(turn_id=by):
                reason = self._reason()
            case Tick() if waiting is self.placed:
                reason = Reason(CancelCode.POLICY, text="a turn was in flight")
            case Tick() if self.placed is not None:
                by, reason = self.placed.turn_id, self._reason()
            case Recover():
                pass
            case _:
                self._broken(f"G2: the waiting {waiting.turn_id} is dropped without a reason")
        if effect.anew != (waiting.attempt > 1):
            self._broken("G7: an epoch is drawn for a turn without events, or none for one that has some")
        if effect.anew:
            self._anew(effect)
        sent = self.message.strategy if isinstance(self.message, Submit) else None
        undone = Strategy.ROLLBACK in (sent, self.placed and self.placed.spec.strategy)
        undone = undone and waiting is not self.placed
        truth = self.facts.waited(waiting, effect.record.status, self.now, reason, by, undone=undone)
        self._has_ended(effect, waiting.spec, truth)
        self.facts.leaves(waiting.turn_id)
        self.remembered.append(effect.record)

    def _merged(self, effect: EndTurn) -> None:
        """Another turn has its message: that has been said before."""
        turn = self._joins()
        if turn is None or self.taker is None or effect.anew or effect.outcome is not None:
            self._broken("a turn ends as merged whose message no other one has")
        if effect.record.turn_id != turn.turn_id:
            self._broken("another turn ends as merged than the one whose message has joined")
        truth = TurnRecord(
            turn.spec.head,
            None,
            TurnStatus.MERGED,
            queued_at=None if self.placed is None else turn.since,
            ended_at=self.now,
            began=False,
            merged_into=self.taker,
        )
        self._has_ended(effect, turn.spec, truth)
        self.facts.leaves(turn.turn_id)
        self.remembered.append(effect.record)

    def _joins(self) -> Waits | None:
        """The turn whose message may join another one now."""
        if isinstance(self.message, Submit):
            return Waits(self.message.spec, self.now)
        return self.placed

    def _goes_on(self, waiting: Waits) -> bool:
        """Whether a turn that waits has to be started after a restart."""
        if waiting.attempt == 1:
            return waiting.spec.agent in self._limits().agents
        return self._runs_again(waiting.spec, waiting.attempt - 1)

    def _born_dead(self, effect: EndTurn, spec: TurnSpec) -> None:
        early = self._early(spec)
        if early is None:
            self._broken("G2: a send is over at once without a cancel")
        asked = Cancellation(early.reason, early.asked_at)
        truth = TurnRecord(
            spec.head, None, TurnStatus.CANCELLED, cancellation=asked, ended_at=self.now, began=False
        )
        self._has_ended(effect, spec, truth)
        self.remembered.append(effect.record)

    def _quarantined(self, effect: Quarantine) -> None:
        facts = self.facts
        holder = facts.holder
        if self.cut is not None and isinstance(self.message, Tick) and effect.epoch == facts.over:
            return  # it goes on elsewhere, and its coroutine here counts for nothing
        if holder is None or effect.epoch != facts.epoch:
            self._broken("G6: a turn is quarantined that does not hold the session")
        end = self.ended.get(holder.turn_id)
        if end is None or end.record.status is not TurnStatus.UNRESPONSIVE:
            self._broken("G6: quarantined, but not called unresponsive")
        facts.fled = (*facts.fled, Fled(effect.epoch, end.record))
        facts.holder = None

    def _queued(self, effect: AnnounceQueued) -> None:
        facts, message = self.facts, self.message
        if not isinstance(message, Submit) or effect.spec is not message.spec:
            self._broken("a turn is queued that was not sent")
        if facts.shut or facts.live(effect.spec.turn_id):
            self._broken("G2: not a fresh queued turn")
        if effect.queued_at != self.now:
            self._broken("a turn waits since another moment")
        moment = message.not_before if waits_for_a_moment(message, self.now) else None
        window = message.spec.policy.collapse_window if message.strategy is Strategy.COLLAPSE else 0.0
        if moment is None and window > 0.0:
            moment = self.now + window
        elif effect.place is Place.WINDOW:
            self._broken("a turn waits in a window that it does not have")
        if effect.not_before != moment:
            self._broken("a turn waits for another moment")
        self._waits_at(Waits(message.spec, self.now, 1, moment), effect.place)

    def _moved(self, effect: MoveWaiting) -> None:
        """A turn goes on waiting, at another place."""
        turn = self.facts.waits(effect.turn_id)
        if turn is None:
            self._broken("a turn is moved that does not wait")
        moment = None
        if effect.place is Place.WINDOW:
            if turn is not self.placed or turn.collects:
                self._broken("a turn waits in a window for another time")
            moment = self.now + turn.spec.policy.collapse_window
        if effect.not_before != moment:
            self._broken("a turn is moved to another moment")
        self.facts.leaves(effect.turn_id)
        self._waits_at(turn._replace(not_before=moment), effect.place, first=effect.first)

    def _edited(self, effect: EditWaiting) -> None:
        """A turn that waits says something else from now on; all else of it stays."""
        facts, message = self.facts, self.message
        turn = facts.waits(effect.spec.turn_id)
        if turn is not None and isinstance(message, Submit | Tick):
            self._joined(effect, turn)
            return
        if turn is None or not isinstance(message, Rearrange) or message.edited is None:
            self._broken("a turn that waits says something else, which no message asks for")
        size = message.edited.size + turn.spec.size_besides
        spec = replace(turn.spec, message=message.edited.message, size=size)
        if (effect.spec, effect.joined) != (spec, turn.joined):
            self._broken("a turn that waits says something else than it is to say")
        if effect.by != message.by:
            self._broken("a turn was edited by another user")
        self._is_now(turn, turn._replace(spec=effect.spec))
        self.edited = True

    def _joined(self, effect: EditWaiting, turn: Waits) -> None:
        """The message of another turn joins it, behind its own; all else of it stays."""
        joins = self._joins()
        if joins is None or self.taker is not None:
            self._broken("a turn that waits says something else, and no message joins it")
        behind = tuple([each for each in self.facts.later if each is not self.placed])
        if taker_of(self.facts.front, self.facts.rest, behind, joins.spec) is not turn:
            self._broken("a message joins a turn that does not take it")
        message = said_by_both(turn.spec.message, joins.spec.message)
        spec = replace(turn.spec, message=message, size=footprint(message) + turn.spec.size_besides)
        if (effect.spec, effect.joined, effect.by) != (spec, turn.joined + 1, None):
            self._broken("a turn does not say what both said")
        self._is_now(turn, turn._replace(spec=effect.spec, joined=effect.joined))
        self.taker = turn.turn_id

    def _is_now(self, turn: Waits, changed: Waits) -> None:
        facts = self.facts
        facts.front = changed if facts.front is turn else facts.front
        facts.rest = tuple([changed if each is turn else each for each in facts.rest])
        facts.later = tuple([changed if each is turn else each for each in facts.later])

    def _waits_at(self, turn: Waits, place: Place, *, first: bool = False) -> None:
        facts, turn = self.facts, turn._replace(collects=place is Place.WINDOW)
        match place:
            case Place.FRONT:
                if facts.front is not None:
                    self._broken("G2: two turns are called up")
                facts.front = turn
            case Place.REST:
                facts.rest = (turn, *facts.rest) if first else (*facts.rest, turn)
            case Place.LATER | Place.WINDOW:
                later = sorted((*facts.later, turn), key=lambda each: each.not_before or 0.0)
                facts.later = tuple(later)
            case _:
                assert_never(place)

    def _closed_streams(self, effect: CloseStreams) -> None:
        self.closes += 1
        text = effect.end
        shut = self.facts.shut or isinstance(self.message, Shut)
        shutdown = self.facts.shutdown or self._shuts_down()
        if (text == "Server shutting down") != (shut and shutdown):
            self._broken(f"G10: streams end with {text!r}")
        if shutdown and shut:
            return
        ends = [end.record for end in self.ended.values()]
        ran = [record.status for record in ends if record.epoch is not None or self.was.holder is None]
        if (ran[0] if ran else None) not in CLOSE_TEXTS[text]:
            self._broken(f"streams end with {text!r}, which is not what happened")

    def _counted_stale(self) -> None:
        message = self.message
        if len(self.effects) != 1 or self.after != self.before:
            self._broken("a stale report changes something")
        if isinstance(message, WoundUp | TurnReturned):
            awaited = self.was.winds is not None or isinstance(message, TurnReturned)
            if awaited and self._is_holder(message.epoch):
                self._broken("a report is called stale that is not")
            return
        if isinstance(message, Granted):
            if self.was.asks and self.was.ticket == message.ticket:
                self._broken("G8: a slot that was asked for is not taken")
            return
        if not isinstance(message, TurnEnded):
            self._broken("what is no report is called stale")
        if self._has_stopped(message.epoch):
            return
        if self._is_holder(message.epoch) or self._fled(message.epoch) is not None:
            self._broken("a report is called stale that is not")

    # -- The answers ------------------------------------------------------------------------------------

    def _answered(self, to: ReplyAddress) -> Asked:
        asked = next((asked for asked in self.facts.asked if asked.to is to), None)
        if asked is None:
            self._broken("G3: an answer for an asker that has one already, or did not ask")
        self.facts.asked = tuple(other for other in self.facts.asked if other is not asked)
        return asked

    def _was_placed(self, effect: ReplyPlaced) -> None:
        """An asker is sent where the turn stands that waits for a slot: what it is sent is completed then."""
        if not self.facts.asks or effect.ticket != self.facts.ticket:
            self._broken("G3: an answer says where a turn stands that waits for no slot")
        self._replied(effect.to, effect.answer, placed=True)

    def _replied(self, to: ReplyAddress | None, value: Any, *, placed: bool = False) -> None:
        if to is None:
            return
        asked = self._answered(to)
        if isinstance(value, Accepted) and asked.word is Submit and value.turn_id == asked.turn_id:
            truth: Any = self._accepted(asked, value, placed=placed)
            if placed is not (truth.status is TurnStatus.QUEUED and self._asks_for(value.turn_id)):
                self._broken("G3: not the answer about a turn that waits for a slot")
        elif isinstance(value, CancelAnswer) and asked.word is Stop:
            truth = self._verdict(asked, value)
        elif asked.word is Rearrange:
            truth = value
            if [each.turn.turn_id for each in value] != [turn.turn_id for turn in self.facts.line]:
                self._broken("G3: not those that wait")
            slot = slot_of(self.after)
            if placed is (slot is None or slot.granted):
                self._broken("G3: not the answer about a turn that waits for a slot")
        elif isinstance(value, SessionView) and asked.word is Shut:
            truth = self._view()
        elif isinstance(self.message, Hold) and asked.word is Hold:
            truth = self._holds_until(self.message)
        elif asked.word is Unhold:
            truth = None
        else:
            self._broken(f"G3: {value} is no answer to {asked.word.__name__} {asked.turn_id}")
        if value != truth:
            self._broken(f"G3: {value}\n  is not the truth, which is\n  {truth}")

    def _holds_until(self, message: Hold) -> float:
        """Until when a critical section may last that is granted."""
        facts, holder = self.facts, self.facts.holder
        if holder is None or not self._grants(message):
            self._broken("G13: a critical section is granted that comes too late")
        until = self.now + holder.policy.max_hold
        if message.span is not None:
            until = min(until, self.now + message.span)
        around = [section.until for section in facts.sections if section.number == message.inside]
        # While a cancel waits already, none puts that off.
        latest = [facts.held_until] if facts.rung is Rung.HELD else []
        section = Section(message.number, min([until, *around, *latest]))
        facts.sections = (*facts.sections, section)
        return section.until

    def _grants(self, message: Hold) -> bool:
        """Whether a critical section is granted: a cancel that was delivered is not put off."""
        was = self.was
        early = was.winds is None and was.rung in (None, Rung.HELD)
        return self._is_holder(message.epoch) and early and len(was.sections) < MOST

    def _accepted(self, asked: Asked, value: Accepted, *, placed: bool) -> Accepted:
        """What a send must be answered that is accepted as this."""
        facts, message, session_id = self.facts, self.message, self._home().session_id
        if value.repeated:
            known = self._told_again(value.turn_id)
            truth = Accepted(
                session_id,
                value.turn_id,
                known.epoch,
                known.status,
                repeated=True,
                began=known.began,
                own_policy=known.head.own_policy,
                merged_into=known.merged_into,
            )
            return (
                truth
                if known.status is not TurnStatus.QUEUED
                else replace(truth, **self._place(value.turn_id))
            )
        superseded, epoch, began, at_once = None, None, None, asked.to is self.to
        into: TurnId | None = None
        match value.status:
            case TurnStatus.RUNNING:
                holder = facts.holder
                if holder is None or holder.turn_id != value.turn_id:
                    self._broken("G3: the answer says running, but it does not run")
                epoch = facts.epoch
                superseded = self._taken_place(holder, at_once=at_once)
            case TurnStatus.QUEUED:
                waits = isinstance(message, Submit) and message.wait
                stays = self._shuts_down() and self._limits().durable
                if not isinstance(message, Submit) and not stays and not placed:
                    self._broken("G3: a sender is to wait no longer, and its turn waits on")
                turn = facts.waits(value.turn_id)
                if turn is None or (waits and turn is facts.front and not placed):
                    self._broken("G3: the answer says queued, but it does not wait")
                if placed:
                    superseded = self._taken_place(turn.spec, at_once=at_once)
                else:
                    superseded = self._not_settled() if turn is facts.front else None
            case TurnStatus.CANCELLED:
                if value.turn_id not in self.ended:
                    self._broken("G3: the answer says cancelled, but it was not")
                superseded = None if at_once else self._not_settled()
                began = False
            case TurnStatus.MERGED:
                if value.turn_id not in self.ended or not at_once:
                    self._broken("G3: the answer says merged, but it was not")
                began, into = False, self.taker
            case _:
                self._broken(f"G3: a send was accepted as {value.status}")
        own = self._own_policy(value.turn_id)
        truth = Accepted(
            session_id,
            value.turn_id,
            epoch,
            value.status,
            superseded,
            began=began,
            own_policy=own,
            merged_into=into,
        )
        return (
            truth if value.status is not TurnStatus.QUEUED else replace(truth, **self._place(value.turn_id))
        )

    def _place(self, turn_id: TurnId) -> dict[str, Any]:
        """Where a turn waits, and for what."""
        facts = self.facts
        places: list[tuple[Waits | None, int | None]] = [(facts.front, 0)]
        places += [(turn, place) for place, turn in enumerate(facts.rest, 1)]
        places += [(turn, None) for turn in facts.later]
        for turn, position in places:
            if turn is not None and turn.spec.turn_id == turn_id:
                for_moment = position is None or (position == 0 and turn.not_before is not None)
                waits_for = WaitsFor.NOT_BEFORE if for_moment else WaitsFor.SESSION_BUSY
                if self._asks_for(turn_id):
                    waits_for = WaitsFor.START  # unless the scheduler says for which cap
                return {"position": position, "waits_for": waits_for, "not_before": turn.not_before}
        raise Broken(f"G3: the answer says {turn_id} is queued, but it does not wait")

    def _own_policy(self, turn_id: TurnId) -> Policy | None:
        """The policy with which this turn was sent, which has ended now, or goes on."""
        end, known = self.ended.get(turn_id), self.facts.record(turn_id)
        record = known if end is None else end.record
        return None if record is None else record.head.own_policy

    def _taken_place(self, successor: TurnSpec, *, at_once: bool) -> Superseded | None:
        """Whose place a turn has that starts, or waits for nothing but a slot."""
        if not at_once:
            return self._superseded(successor)
        front = self.was.front
        if self.was.holder is not None or front is None:
            return None
        took = (self.now - successor.submitted_at) * 1000.0
        return Superseded(front.turn_id, Verdict.CANCELLED, took, self.ended[front.turn_id].record.rollback)

    def _superseded(self, successor: TurnSpec) -> Superseded:
        """A send that waited gets a true answer about the turn that was in its way."""
        if self.was.holder is None or self.was.holder.turn_id not in self.ended:
            self._broken("G3: a predecessor that has not ended")
        turn_id = self.was.holder.turn_id
        record = self.ended[turn_id].record
        ms = (self.now - successor.submitted_at) * 1000.0
        return Superseded(turn_id, VERDICTS[record.status], ms, record.rollback, record.still_running)

    def _not_settled(self) -> Superseded | None:
        holder = self.facts.holder
        return None if holder is None else Superseded(holder.turn_id, Verdict.REQUESTED, None)

    def _told_again(self, turn_id: TurnId) -> TurnRecord:
        self.repeated = True
        if not isinstance(self.message, Submit) or self._does_something():
            self._broken("a repeated send does something")
        known = self.was.repeated(self.message)
        if known is None or known.fingerprint != self.message.spec.fingerprint:
            self._broken(f"G3: the answer says that {turn_id} is repeated, but it is new")
        return known

    def _verdict(self, asked: Asked, value: CancelAnswer) -> CancelAnswer:
        """What a cancel must be answered now."""
        facts, turn, message = self.facts, value.turn, self.message
        if turn is not None and turn.turn_id != asked.turn_id:
            self._broken(f"G4: asked about {asked.turn_id}, answered about {turn.turn_id}")
        end = self.ended.get(asked.turn_id) if asked.turn_id is not None else None
        if end is not None:
            verdict = VERDICTS[end.record.status]
            # A turn that waited is over at once; one that ran, after so long.
            settled = 0.0 if end.record.epoch is None else (self.now - asked.at) * 1000.0
            truth = CancelAnswer(verdict, end.record, settled, None, asked.cleared)
        elif self._holds(asked.turn_id):
            if isinstance(message, Stop) and message.wait:
                self._broken(f"G3: {value.verdict} is not the truth about a turn that has not settled")
            truth = CancelAnswer(Verdict.REQUESTED, facts.held(TurnStatus.CANCELLING), cleared=asked.cleared)
        else:
            truth = self._long_over(asked)
        if truth.verdict is not value.verdict:
            self._broken(f"G3: {value.verdict} is not the truth about {asked.turn_id}")
        return truth

    def _long_over(self, asked: Asked) -> CancelAnswer:
        """The answer about a turn that was over before, or that is not known; or about none."""
        known = self.facts.record(asked.turn_id)
        if asked.turn_id is None:
            return CancelAnswer(Verdict.NOT_RUNNING, cleared=asked.cleared)
        if known is None:
            return CancelAnswer(Verdict.NOT_RUNNING, remembered_for=self._limits().early_cancel_ttl)
        fled = known.status is TurnStatus.UNRESPONSIVE and known.ended_late is None
        return CancelAnswer(Verdict.UNRESPONSIVE if fled else Verdict.FINISHED_FIRST, known, 0.0)

    def _view(self) -> SessionView:
        """What a close must be answered."""
        home, memory = self._home(), self.after.memory
        if self.facts.holder is not None:
            self._broken("G3: the answer says closed, but it is not")
        queue = tuple([self.facts.waited(turn, TurnStatus.QUEUED) for turn in self.facts.line])
        known = (*memory.records, *memory.quarantined, *queue)
        turn = max((turn for turn in known if turn.epoch), key=lambda turn: turn.epoch or 0, default=None)
        return SessionView(
            home.session_id, home.owner, SessionState.CLOSED, turn, queue, memory.records, memory.quarantined
        )

    def _does_something(self) -> bool:
        """Whether anything is done but to answer, and to give back a slot that was taken for a send."""
        before, given = self.before, self._given()
        effects = [effect for effect in self.effects if effect != LeaveSlot(given)] if given else self.effects
        if given is not None:
            before = replace(before, memory=replace(before.memory, last_ticket=given.number))
        return len(effects) != 1 or self.after != before

    def _was_refused(self, effect: Refuse) -> None:
        self.refused = type(effect.error)
        if effect.to is not self.to or self._does_something():
            self._broken("a refusal changes something")
        if effect.to is not None:
            self._answered(effect.to)
        in_the_way = self.was.holder or self.was.front
        named = effect.error.turn_id if isinstance(effect.error, SessionBusy) else None
        if named is not None and (in_the_way is None or in_the_way.turn_id != named):
            self._broken("G3: refused for a turn that is not in the way")

    # -- After all of them --------------------------------------------------------------------------------

    def _message_has_had_its_effect(self) -> None:
        message = self.message
        if isinstance(message, Submit | Stop | Rearrange):
            owed = self.was.refusal(message, self.now, self._limits(), self._home().owner)
            if self.refused is not owed:
                self._broken(f"refused with {self.refused}, where {owed} is due")
        if isinstance(message, Hold) and self.refused is not (None if self._grants(message) else HoldRefused):
            self._broken("G13: a critical section is refused that is not too late, or none that is")
        if self.refused is not None or self.repeated:
            return
        match message:
            case Submit():
                self._after_submit(message)
            case Stop():
                self._after_stop(message)
            case Hold():
                pass  # the answer says all
            case Unhold():
                if self.was.rung is Rung.HELD and not self.facts.sections and not self.cancels:
                    self._broken("G13: the last critical section is over, and the cancel is not delivered")
            case TurnReturned():
                self._after_turn_returned(message)
            case TurnEnded():
                self._after_turn_ended(message)
            case Tick():
                self._after_tick()
            case Shut():
                self._after_shut(message)
            case Rearrange():
                if message.edited is not None and not self.edited:
                    self._broken("a turn that waits does not say something else")
            case WoundUp():
                self._after_wound_up(message)
            case Granted():
                if self.starts is None and self.effects != (CountStale(),):
                    self._broken("a stale grant is not counted as one")
            case Recover():
                self._after_recover()
            case _:
                assert_never(message)

    def _after_submit(self, message: Submit) -> None:
        facts, was, spec = self.facts, self.was, message.spec
        if was.repeated(message) is not None:
            self._broken("a send that was known is taken as new")
        if self._early(spec):
            facts.early = tuple(early for early in facts.early if early.turn_id != spec.turn_id)
            if spec.turn_id not in self.ended:
                self._broken("G4: an early cancel does not count")
        elif self.taker is not None:
            if spec.turn_id not in self.ended:
                self._broken("G2: a message has joined another one, and has no end")
        elif facts.waits(spec.turn_id) is None and facts.holder is not spec:
            self._broken("a send neither starts nor waits")
        elif message.strategy is Strategy.ROLLBACK and facts.holder is was.holder is not None:
            called_up = facts.front is not None and facts.front.spec is spec
            facts.undo = facts.undo or (called_up and was.winds is None)

    def _after_stop(self, message: Stop) -> None:
        facts, was, aim = self.facts, self.was, message.turn_id
        aimed = aim is None or self._holds(aim)
        if aimed and was.holder is not None and facts.cause is None:
            self._broken("a Stop did not stop")
        if aimed and was.rung is Rung.HELD and message.force and not self.cancels:
            self._broken("G13: a Stop by force waits for a critical section")
        # With the turn that was to take its place, what ends the streams is the end of the holder.
        alone = was.front is not None and facts.front is None
        if was.holder is not None and (aimed or alone) and message.reason.code in PRESSED:
            facts.pressed = True
        if was.holder is not None and aimed and message.reason.code is not CancelCode.SHUTDOWN:
            facts.lasting = facts.lasting or Cancellation(message.reason, self.now)
        if aim is not None and was.record(aim) is None:
            self._remember_early(aim, message)
            if len(self.after.memory.early) != len(facts.early):
                self._broken("G8: an early cancel is kept for too long")

    def _remember_early(self, aim: TurnId, stop: Stop) -> None:
        limits = self._limits()
        fresh = tuple(early for early in self._fresh() if early.turn_id != aim)
        self.facts.early = (*fresh, Early(aim, stop.reason, self.now, stop.asker))[-limits.early_cancels :]

    def _after_turn_returned(self, message: TurnReturned) -> None:
        was = self.was
        if not self._is_holder(message.epoch):
            if self.effects != (CountStale(),):
                self._broken("a stale report is not counted as one")
        elif was.winds is None and was.rung in (None, Rung.HELD):
            if self.cancels != 1:
                self._broken("G13: what a turn has begun that has returned is not stopped")
        elif self.effects:
            self._broken("G6: a turn returns that is on its way out, and something happens")

    def _after_turn_ended(self, message: TurnEnded) -> None:
        facts = self.facts
        fled = self._fled(message.epoch)
        if self._has_stopped(message.epoch):
            if self.effects != (CountStale(),):
                self._broken("a turn that has stopped stops again")
        elif self._is_holder(message.epoch) and self.was.winds is not None:
            if self.effects:
                self._broken("G6: something of a late end is published")
            facts.winds = self.was.winds._replace(late=message.outcome)
        elif self._is_holder(message.epoch):
            if facts.over != message.epoch:
                self._broken("G2: the holder has ended, and the session does not say so")
        elif fled is not None:
            if len(self.effects) != len(self.notes):
                self._broken("G6: something of a late end is published")
            late = LateEnd(LATE_STATUS[type(message.outcome)], self.now)
            facts.fled = tuple(other for other in facts.fled if other is not fled)
            facts.over = message.epoch
            self.remembered.append(_noted(fled.record, late))
        elif self.effects != (CountStale(),):
            self._broken("a stale report is not counted as one")

    def _after_tick(self) -> None:
        was, now = self.was, self.now
        due = was.due()
        if due is None or now < due:
            if any(not isinstance(effect, SetTimer) for effect in self.effects):
                self._broken("G6: something happens before it is due")
        elif self.placed is not None:
            # What else it does is its course.
            rolls_back = self.placed.spec.strategy is Strategy.ROLLBACK and was.winds is None
            if rolls_back and self.facts.holder is was.holder is not None:
                self.facts.undo = True
        elif was.holder is None:
            if self.facts.holder is None and not self.facts.asks and not self.drawn:
                self._broken("G11: an attempt that is due is not made")
        elif was.winds is not None:
            self._noted_late(was.winds)
            if was.holder.turn_id not in self.ended:
                self._broken("G6: what the end of a turn runs is run for too long")
        elif self._at_end():
            ended = was.holder.turn_id in self.ended or self.cut is was.holder
            if not ended and self.facts.winds is None:
                self._broken("G6: at the end of its ladder a turn does not end")
        elif self.cancels != 1:
            self._broken("G6: a cancel that is due is not delivered")

    def _after_wound_up(self, message: WoundUp) -> None:
        winds = self.was.winds
        if winds is None or not self._is_holder(message.epoch):
            if self.effects != (CountStale(),):
                self._broken("a stale report is not counted as one")
            return
        self._noted_late(winds)
        if self.was.holder is None or self.was.holder.turn_id not in self.ended:
            self._broken("a turn does not end, and what its end runs has been run")

    def _noted_late(self, winds: Winds) -> None:
        """The end of a coroutine that came late, but before there was a record, is noted with that."""
        facts, epoch = self.facts, self.was.epoch
        if winds.late is not None:
            fled = next(fled for fled in facts.fled if fled.epoch == epoch)
            facts.fled = tuple(other for other in facts.fled if other is not fled)
            facts.over = epoch
            self.remembered.append(_noted(fled.record, LateEnd(LATE_STATUS[type(winds.late)], self.now)))

    def _has_stopped(self, epoch: Epoch) -> bool:
        """Whether it is that of a turn whose end is being run, and whose coroutine has ended."""
        winds = self.was.winds
        if winds is None or not self._is_holder(epoch):
            return False
        return winds.status is not TurnStatus.UNRESPONSIVE or winds.late is not None

    def _after_shut(self, message: Shut) -> None:
        facts, was = self.facts, self.was
        facts.shutdown = facts.shutdown or (self._shuts_down() and not (was.shut and was.holder is None))
        facts.shut = True
        stays = self._shuts_down() and self._limits().durable
        if (facts.line and not stays) or (facts.holder is not None and facts.cause is None):
            self._broken("closing leaves a turn alone")
        if message.grace is None or was.holder is None:
            return
        grace, by = message.grace, self.now + message.grace
        facts.by = by if was.by is None else min(was.by, by)
        if was.winds is not None:
            facts.winds = was.winds._replace(until=min(was.winds.until, by))
        elif was.rung is not None:
            if was.undo:
                grace /= 2  # the other half is for what undoes it
            if was.rung is Rung.HELD:
                self._holds_for_less(grace)
            facts.end = min(facts.end, self.now + grace)
            facts.half = min(facts.half, self.now + grace / 2)

    def _after_recover(self) -> None:
        facts, was, limits = self.facts, self.was, self._limits()
        for fled in was.fled:
            facts.over = max(facts.over or 0, fled.epoch)
        facts.fled = ()
        lates = [_noted(fled.record, LateEnd(TurnStatus.INTERRUPTED, self.now)) for fled in was.fled]
        self.remembered[:0] = lates
        winds = was.undo or (isinstance(self.message, Recover) and self.message.winds)
        if winds and was.holder not in (None, self.cut) and facts.winds is None:
            self._broken("G11: what the end of a turn runs is not run after a restart")
        ended = was.holder is None or was.holder.turn_id in self.ended or facts.winds is not None
        if not ended and self.cut is not was.holder:
            self._broken("G11: a turn is lost whose process is gone")
        front = facts.front
        if front is not None and not facts.shut and front.attempt > 1:
            backoff = limits.backoff * 2.0 ** (front.attempt - 2)
            facts.front = front._replace(not_before=self.now + backoff)

    def _line_takes_its_course(self) -> None:
        """Those who wait: who starts, who is dropped, who is left, and in which order."""
        facts, was, message = self.facts, self.was, self.message
        idle = self.refused is not None or self.repeated
        idle = idle or (isinstance(message, Submit) and self._early(message.spec) is not None)
        ended = was.holder is None or was.holder.turn_id in self.ended or self.cut is was.holder
        cut = facts.front if self.cut is not None else None
        courses = Courses(was, self.now, self._home(), free=ended, cut=cut)
        due = course_of(was) if idle else courses.after(message)
        dropped = tuple([turn_id for turn_id in self.ended if was.waits(turn_id) is not None])
        taken = course_of(facts)._replace(starts=self.starts, dropped=dropped)
        if taken != due:
            self._broken(f"G2: those who wait take the course\n  {taken}\n  and not\n  {due}")
        before, after = course_of(was), course_of(facts)
        changed = (before.rest, before.later) != (after.rest, after.later)
        # Of a session that is closed, or was read again, readers hear everything anew.
        anew = facts.shut or isinstance(message, Recover)
        moved = isinstance(message, Rearrange) and message.to is not None and self.refused is None
        moved = moved or self.placed is not None
        if self.announced > (changed or moved) or (changed and not self.announced and not anew):
            self._broken("readers do not hear of the places, or for nothing")
        line = line_of(self.after) or Line()
        said = [
            (turn.spec, turn.queued_at, turn.attempt, turn.not_before, turn.joined, turn.collects)
            for turn in line.turns
        ]
        if said != [tuple(turn) for turn in facts.line] or len(line.rest) != len(facts.rest):
            self._broken(f"the session has another line, and not {facts.line}")

    def _slot_takes_its_course(self) -> None:
        """A session has a ticket for the turn that needs one, and gives each back once, when that is over."""
        facts, was, given = self.facts, self.was, self._given()
        bearer = facts.holder
        if bearer is None and facts.front is not None and not facts.shut and facts.front.is_due(self.now):
            bearer = facts.front.spec
        claim = None if bearer is None else claim_of(bearer, self._home().owner)
        same = bearer is not None and was.bearer is not None and bearer.turn_id == was.bearer.turn_id
        drawn: list[AskSlot] = []
        if same:
            facts.granted = was.granted or (was.asks and facts.holder is not None)
        elif bearer is None or claim is None:
            facts.ticket, facts.granted = None, False
        elif given is not None and isinstance(self.message, Submit) and bearer is self.message.spec:
            facts.ticket, facts.granted = given, True
        elif not self._passes(bearer):
            ask = next(iter(self.drawn), None)
            if ask is None or ask.claim != claim:
                self._broken(f"G8: no slot is asked for {claim}")
            drawn, facts.ticket, facts.granted = [ask], ask.ticket, False
        if facts.holder is not None and claim is not None and not facts.granted and not same:
            self._broken(f"G8: {facts.holder.turn_id} starts without a slot")
        due = {ticket for ticket in (was.ticket, given) if ticket is not None and ticket != facts.ticket}
        if set(self.left) != due or self.drawn != drawn:
            self._broken(f"G8: not the slots that are due to be given back, {due}, or asked for, {drawn}")
        new = [ticket for ticket in (given, *(ask.ticket for ask in drawn)) if ticket is not None]
        if any(ticket.number <= was.last_ticket for ticket in new):
            self._broken("G8: a ticket is drawn twice")
        facts.last_ticket = max([was.last_ticket, *(ticket.number for ticket in new)])
        if _slot(self.after) != _slot_in(facts) or self.after.memory.last_ticket < facts.last_ticket:
            self._broken(f"G8: not the session's slot, which is {_slot_in(facts)}")
        if facts.asks and facts.front is not None:
            facts.front = facts.front._replace(not_before=None)

    def _passes(self, bearer: TurnSpec) -> bool:
        """Whether a turn that takes the place of another one has its slot, or its place among the asking."""
        was, owner = self.was, self._home().owner
        if was.ticket is None or was.bearer is None or claim_of(was.bearer, owner) != claim_of(bearer, owner):
            return False
        if was.holder is not None:
            return was.front is not None and was.front.turn_id == bearer.turn_id
        return not isinstance(self.message, Stop)  # after which it is one that was behind

    def _all_is_noted(self) -> None:
        """What no other effect says of the session's state, and is to be there after a restart."""
        facts, was, message, now = self.facts, self.was, self.message, self.now
        due: list[Effect] = []
        if facts.undo and not was.undo and facts.holder is not None:
            due.append(NoteUndo(facts.holder.turn_id, now))
        ending = was.rung is not None or was.winds is not None
        if ending and facts.lasting and not was.lasting and facts.holder is not None:
            due.append(NoteCancel(facts.holder.turn_id, facts.lasting.reason, now))
        if isinstance(message, Stop) and self.refused is None:
            aim = message.turn_id
            if aim is not None and was.record(aim) is None:
                due.append(NoteEarlyCancel(EarlyCancel(aim, message.reason, now, message.asker)))
        fled = self._fled(message.epoch) if isinstance(message, TurnEnded) else None
        if fled is not None and isinstance(message, TurnEnded):
            due.append(NoteLateEnd(fled.record.turn_id, LateEnd(LATE_STATUS[type(message.outcome)], now)))
        late_end = None if was.winds is None or facts.winds is not None else was.winds.late
        if late_end is not None and was.holder is not None and not isinstance(message, Recover):
            due.append(NoteLateEnd(was.holder.turn_id, LateEnd(LATE_STATUS[type(late_end)], now)))
        if isinstance(message, Recover):
            late = LateEnd(TurnStatus.INTERRUPTED, now)
            due += [NoteLateEnd(fled.record.turn_id, late) for fled in was.fled]
        closed = facts.state() is SessionState.CLOSED
        was_for_good = was.state() is SessionState.CLOSED and was.for_good is not None
        if closed and facts.for_good is not None and not was_for_good:
            due.append(NoteClosed(facts.for_good, now))
        if self.notes != due:
            self._broken(f"G11: not what is to be noted, which is {due}")
        if isinstance(self.after, Closed) and self.after.for_good != facts.for_good:
            self._broken(f"G11: closed for good because of {self.after.for_good}, and not {facts.for_good}")

    def _all_is_remembered(self) -> None:
        facts, memory = self.facts, self.after.memory
        facts.kept = _left(facts.kept, self.remembered, self.now, self.after, self._broken)
        if memory.quarantined != tuple([fled.record for fled in facts.fled]):
            self._broken("G6: not the turns that were given up and still run")
        early = self._fresh()
        if early != self._fresh_in(memory.early):
            self._broken(f"G4: not the early cancels that count: {early}")
        if isinstance(self.message, TurnEnded) and self._fled(self.message.epoch) is not None:
            newest = memory.records[-1] if memory.records else None
            if newest != self.remembered[-1]:
                self._broken("G6: a late end is not noted")

    def _all_is_consistent(self) -> None:
        facts, was = self.facts, self.was
        if state_name(self.after) is not facts.state():
            self._broken(f"the session calls itself {state_name(self.after)}, but it is {facts.state()}")
        went = facts.holder is not was.holder and was.holder is not self.cut
        if went and was.holder is not None and was.holder.turn_id not in self.ended:
            self._broken("G2: a turn lets go of the session and has no end")
        if facts.holder is None:
            facts.rung, facts.sections = None, ()
        if _sections(self.after) != facts.sections:
            self._broken(f"G13: not its critical sections, which are {facts.sections}")
        due = facts.due()
        if due is None:
            facts.timer = None
        elif facts.timer is None or facts.timer > max(due, self.now):
            self._broken("G6: nothing will wake the session when it is due")
        closed = facts.state() is SessionState.CLOSED and was.state() is not SessionState.CLOSED
        rests = was.holder is not None and facts.state() in (SessionState.IDLE, SessionState.QUEUED)
        rests = rests and not facts.asks
        presses = isinstance(self.message, Stop) and self.message.reason.code in PRESSED
        dropped = was.state() is SessionState.QUEUED and facts.state() is SessionState.IDLE and presses
        if self.closes != (closed or (rests and was.pressed) or dropped):
            self._broken("streams do not end when they have to, and then only")

    def _all_are_answered(self) -> None:
        """Who may still wait: for the end of the turn in flight, or for one's own turn to start."""
        facts, message = self.facts, self.message
        for asked in facts.asked:
            waits = asked.to is not self.to or not isinstance(message, Submit | Stop) or message.wait
            if facts.state() is not SessionState.CANCELLING or not waits or not self._concerns(asked):
                self._broken("G3: an asker is dropped")
        if isinstance(self.after, Ending) and any(ask.cleared and not ask.to for ask in self.after.asks):
            self._broken("G8: an answer is kept that no asker waits for")

    def _concerns(self, asked: Asked) -> bool:
        """Whether what the asker waits for can still come."""
        if asked.word is Submit:
            return self.facts.waits(asked.turn_id) is not None
        return self.facts.shut if asked.word is Shut else self._holds(asked.turn_id)

    # -- Small questions ----------------------------------------------------------------------------------

    def _home(self) -> Any:
        return self.before.memory.home

    def _limits(self) -> Limits:
        return self.before.memory.home.limits

    def _holds(self, turn_id: str | None) -> bool:
        return self.facts.holder is not None and self.facts.holder.turn_id == turn_id

    def _is_holder(self, epoch: Epoch) -> bool:
        return self.was.holder is not None and self.was.epoch == epoch

    def _fled(self, epoch: Epoch) -> Fled | None:
        return next((fled for fled in self.was.fled if fled.epoch == epoch), None)

    def _early(self, turn: TurnSpec) -> Early | None:
        return self.was.early_cancel(turn, self.now, self._limits(), self._home().owner)

    def _may_stop(self, turn: TurnSpec) -> bool:
        """Whether the asker of this cancel may stop that turn."""
        asker = self.message.asker if isinstance(self.message, Stop) else None
        return may_stop(turn, self._home().owner, asker)

    def _fresh(self) -> tuple[Early, ...]:
        return self._fresh_in(self.facts.early)

    def _fresh_in(self, early: Any) -> tuple[Early, ...]:
        ttl = self._limits().early_cancel_ttl
        return tuple(
            [
                Early(each.turn_id, each.reason, each.asked_at, each.asker)
                for each in early
                if self.now < each.asked_at + ttl
            ]
        )

    def _asks_for(self, turn_id: TurnId) -> bool:
        """Whether it is the turn that waits for a slot."""
        front = self.facts.front
        return self.facts.asks and front is not None and front.turn_id == turn_id

    def _given(self) -> Ticket | None:
        """The slot that was taken for a send, before it was decided."""
        return self.message.granted if isinstance(self.message, Submit) else None

    def _shuts_down(self) -> bool:
        return isinstance(self.message, Shut) and self.message.reason.code is CancelCode.SHUTDOWN


def _slot(state: State) -> tuple[Ticket, bool] | None:
    """The ticket that a session says it has, and whether there is a slot for it."""
    slot = slot_of(state)
    return None if slot is None else (slot.ticket, slot.granted)


def _sections(state: State) -> tuple[Section, ...]:
    """The critical sections that a session says its turn is in."""
    phase = state.phase if isinstance(state, Ending) else None
    sections = state.sections if isinstance(state, Running) else ()
    sections = phase.sections if isinstance(phase, Held) else sections
    return tuple([Section(each.number, each.until) for each in sections])


def _slot_in(facts: Facts) -> tuple[Ticket, bool] | None:
    return None if facts.ticket is None else (facts.ticket, facts.granted)


def _kept(outcome: Outcome | None, limits: Limits) -> KeptResult | None:
    """What the record of a turn must keep of its result."""
    if not isinstance(outcome, Returned) or outcome.result is None:
        return None
    size = footprint(outcome.result)
    return KeptResult(outcome.result, size) if size <= limits.result else KeptResult(None, 0, left_out=True)


def _error(outcome: Outcome) -> TurnError | None:
    """What the record of a failed turn must say."""
    match outcome:
        case Raised(StageFailed() as error, code):
            return TurnError(code, type(error.__cause__).__name__, error.stage)
        case Raised(error, code):
            return TurnError(code, type(error).__name__)
        case Stopped():
            return TurnError("spontaneous_cancel", "CancelledError")
        case Returned():
            return None
        case _:
            assert_never(outcome)


def _noted(record: TurnRecord, late: LateEnd) -> TurnRecord:
    """The record of a turn that was given up, once its coroutine has ended after all."""
    return TurnRecord(
        record.head,
        record.epoch,
        record.status,
        record.queued_at,
        record.started_at,
        record.first_event_at,
        record.cancellation,
        record.ended_at,
        record.error,
        record.superseded_by,
        late,
        record.began,
        record.result,
        record.attempt,
        record.merged_into,
        record.rollback,
        extras=record.extras,
    )
