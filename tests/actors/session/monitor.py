"""What an onlooker may demand of a session, step by step: guarantees G1 to G4 and G6 as checks.

The monitor gets each message and the effects that `step` answered with. From these alone it keeps its
own facts (who holds the session, who waits, who asked what, which moment comes next); the session's states
are looked at only to see that they say the same, that a refusal changed nothing, and that a late end was
noted.
The exhaustive search and the state machine of Hypothesis both use it.
"""

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NoReturn, assert_never

from turnkeeper.actors.model.exceptions import (
    PreconditionFailed,
    SessionBusy,
    SessionClosed,
    TooManyUnresponsive,
    TurnIdReused,
)
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    ReplyAddress,
    SessionView,
    Shut,
    Stop,
    Submit,
    Superseded,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.records import Epoch, Raised, Returned, Stopped, TurnId, TurnSpec
from turnkeeper.actors.model.words import TERMINAL, CancelCode, SessionState, Strategy, TurnStatus, Verdict
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
)
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import Limits, State
from turnkeeper.actors.session.views import find_turn, state_name

LATE_STATUS = {
    Returned: TurnStatus.COMPLETED,
    Raised: TurnStatus.FAILED,
    Stopped: TurnStatus.CANCELLED,
}
CLOSE_TEXTS: dict[str, set[TurnStatus | None]] = {
    "Task cancelled": {TurnStatus.CANCELLED},
    "Task unresponsive": {TurnStatus.UNRESPONSIVE},
    "Task finished": {TurnStatus.COMPLETED, TurnStatus.FAILED, TurnStatus.TIMED_OUT},
    "Session closed": {None},
}
#: The verdict that a waiting asker gets of a turn that ended as this.
VERDICTS = {
    TurnStatus.COMPLETED: Verdict.FINISHED_FIRST,
    TurnStatus.FAILED: Verdict.FINISHED_FIRST,
    TurnStatus.TIMED_OUT: Verdict.FINISHED_FIRST,
    TurnStatus.CANCELLED: Verdict.CANCELLED,
    TurnStatus.UNRESPONSIVE: Verdict.UNRESPONSIVE,
}


class Broken(AssertionError):
    """A guarantee does not hold."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An asker that waits for an answer, and about which turn."""

    to: ReplyAddress
    word: type
    turn_id: TurnId | None


@dataclass(frozen=True, slots=True)
class Fled:
    """A quarantined turn whose coroutine still runs."""

    epoch: Epoch
    spec: TurnSpec


@dataclass(slots=True)
class Facts:
    """What the onlooker knows of the session between two steps. Copied before it is changed."""

    holder: TurnSpec | None = None
    epoch: Epoch = 0
    deadline: float | None = None
    #: Why the holder was cancelled first, ``None`` while it was not; then the moments of its ladder.
    cause: CancelCode | None = None
    half: float = 0.0
    end: float = 0.0
    again: bool = False
    waiting: TurnSpec | None = None
    fled: tuple[Fled, ...] = ()
    #: The last epoch whose coroutine is known to have ended: what a stale report names.
    over: Epoch | None = None
    last_epoch: Epoch = 0
    #: The last turn that ended, which no session forgets, and as what.
    last: tuple[TurnSpec, TurnStatus] | None = None
    early: tuple[tuple[TurnId, float], ...] = ()
    asked: tuple[Asked, ...] = ()
    timer: float | None = None
    shut: bool = False
    shutdown: bool = False

    def copy(self) -> "Facts":
        return Facts(*_values(self))

    def due(self) -> float | None:
        """The moment at which the session must not be asleep."""
        if self.holder is None:
            return None
        if self.cause is None:
            return self.deadline
        return self.end if self.again else self.half

    def state(self) -> SessionState:
        """What the session must call itself."""
        if self.holder is not None:
            return SessionState.RUNNING if self.cause is None else SessionState.CANCELLING
        return SessionState.CLOSED if self.shut else SessionState.IDLE

    def live(self, turn_id: TurnId | None) -> bool:
        """Whether a turn of that id runs or waits; a quarantined one counts."""
        specs = (self.holder, self.waiting, *(fled.spec for fled in self.fled))
        return any(spec is not None and spec.turn_id == turn_id for spec in specs)


#: `dataclasses.replace` costs ten times as much, and the search copies millions of these.
_values = attrgetter(*(field.name for field in fields(Facts)))


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
        self.cancels = 0
        self.closes = 0
        self.refused = False
        self.repeated = False

    def check(self) -> Facts:
        self._receive()
        for effect in self.effects:
            self._effect(effect)
        self._message_has_had_its_effect()
        self._all_is_consistent()
        return self.facts

    def _broken(self, what: str) -> NoReturn:
        raise Broken(f"{what}\n  message {self.message}\n  effects {self.effects}\n  before {self.before}")

    # -- The message ------------------------------------------------------------------------------------

    def _receive(self) -> None:
        message, facts = self.message, self.facts
        if isinstance(message, Tick):
            facts.timer = None
        elif self.to is not None and not isinstance(message, TurnEnded):
            about = None
            if isinstance(message, Submit):
                about = message.spec.turn_id
            elif isinstance(message, Stop):
                about = message.turn_id
                if about is None and facts.holder is not None:
                    about = facts.holder.turn_id
            facts.asked = (*facts.asked, Asked(self.to, type(message), about))

    # -- The effects --------------------------------------------------------------------------------------

    def _effect(self, effect: Effect) -> None:
        match effect:
            case StartTurn():
                self._started(effect)
            case CancelTurn():
                self._cancelled(effect)
            case EndTurn():
                self._ended(effect)
            case Quarantine():
                self._quarantined(effect)
            case AnnounceQueued():
                self._queued(effect)
            case Reply():
                self._replied(effect)
            case Refuse():
                self._was_refused(effect)
            case SetTimer():
                self.facts.timer = effect.at
            case CloseStreams():
                self._closed_streams(effect)
            case CountStale():
                self._counted_stale()
            case _:
                assert_never(effect)

    def _started(self, effect: StartTurn) -> None:
        facts, spec, message = self.facts, effect.spec, self.message
        if facts.holder is not None:
            self._broken(f"G1: {spec.turn_id} starts while {facts.holder.turn_id} holds the session")
        if facts.shut:
            self._broken("a turn starts in a session that was closed")
        if spec is facts.waiting:
            facts.waiting = None
        elif not (isinstance(message, Submit) and message.spec is spec):
            self._broken(f"G2: {spec.turn_id} starts, which was not sent or has ended")
        elif self._early(spec.turn_id):
            self._broken(f"G4: {spec.turn_id} starts although its cancel came before it")
        if facts.live(spec.turn_id):
            self._broken(f"G2: {spec.turn_id} starts a second time")
        if effect.epoch <= facts.last_epoch:
            self._broken("G7: the epoch does not grow")
        facts.holder = spec
        facts.epoch = facts.last_epoch = effect.epoch
        facts.deadline = None if spec.timeout is None else self.now + spec.timeout
        facts.cause = None
        facts.again = False

    def _cancelled(self, effect: CancelTurn) -> None:
        facts, message = self.facts, self.message
        self.cancels += 1
        if facts.holder is None or effect.epoch != facts.epoch:
            self._broken(f"G4: epoch {effect.epoch} is cancelled, which does not hold the session")
        if isinstance(message, Stop) and message.turn_id not in {None, facts.holder.turn_id}:
            self._broken(f"G4: a Stop aimed at {message.turn_id} hits {facts.holder.turn_id}")
        if isinstance(message, TurnEnded):
            self._broken("the end of a turn cancels another one")
        if facts.cause is None:
            self._cancelled_first(effect, facts.holder)
        elif not isinstance(message, Tick) or facts.again or self.now < facts.half:
            self._broken("G6: a second cancel that the ladder does not have")
        else:
            facts.again = True
            if self.now >= facts.end:
                # The loop was blocked past the whole ladder: its second half still has its length.
                facts.end = self.now + (facts.end - facts.half)

    def _cancelled_first(self, effect: CancelTurn, holder: TurnSpec) -> None:
        facts, message = self.facts, self.message
        if isinstance(message, Submit) and message.strategy is not Strategy.INTERRUPT:
            self._broken("a send that must not interrupt cancels")
        if isinstance(message, Tick) and (facts.deadline is None or self.now < facts.deadline):
            self._broken("a turn is cancelled whose time is not up")
        grace = holder.grace
        if isinstance(message, Shut) and message.grace is not None:
            grace = min(grace, message.grace)
        facts.cause = effect.reason.code
        facts.half = self.now + grace / 2
        facts.end = self.now + grace
        facts.again = False

    def _ended(self, effect: EndTurn) -> None:
        facts, record, message = self.facts, effect.record, self.message
        if record.turn_id in self.ended or record.status not in TERMINAL or record.ended_at != self.now:
            self._broken(f"G2: not one terminal status, but {record.status} again or not now")
        self.ended[record.turn_id] = effect
        if facts.holder is not None and facts.holder.turn_id == record.turn_id:
            self._holder_ended(effect, facts.holder)
            return
        if (
            record.status is not TurnStatus.CANCELLED
            or record.epoch is not None
            or effect.outcome is not None
        ):
            self._broken("G2: a turn that never started ends otherwise than cancelled")
        if facts.waiting is not None and facts.waiting.turn_id == record.turn_id:
            self._waiting_ended(facts.waiting)
        elif isinstance(message, Submit) and message.spec.turn_id == record.turn_id:
            if not self._early(record.turn_id):
                self._broken("G2: a send is over at once without a cancel")
            facts.last = (message.spec, record.status)
        else:
            self._broken(f"G2: {record.turn_id} ends, which neither ran nor waited")

    def _holder_ended(self, effect: EndTurn, holder: TurnSpec) -> None:
        facts, record, message = self.facts, effect.record, self.message
        if record.epoch != facts.epoch:
            self._broken("G2: the record does not name the epoch of its turn")
        if (record.cancel_requested_at is None) != (facts.cause is None):
            self._broken("G2: the record does not say whether a cancel was asked")
        if facts.cause is not None and (record.reason is None or record.reason.code is not facts.cause):
            self._broken("the record does not tell why its turn was cancelled first")
        if isinstance(message, TurnEnded):
            if message.epoch != facts.epoch:
                self._broken("G2: a stale report is believed")
            if effect.outcome is not message.outcome or record.status is not self._status(message):
                self._broken(f"G2: {record.status} is not how the turn ended")
            facts.holder = None
            facts.over = facts.epoch
        elif not isinstance(message, Tick) or record.status is not TurnStatus.UNRESPONSIVE:
            self._broken("G2: a turn ends whose coroutine has not")
        elif facts.cause is None or not facts.again or self.now < facts.end:
            self._broken("G6: given up before the end of its ladder")
        facts.last = (holder, record.status)

    def _status(self, message: TurnEnded) -> TurnStatus:
        match message.outcome:
            case Returned():
                return TurnStatus.COMPLETED
            case Raised():
                return TurnStatus.FAILED
            case Stopped():
                match self.facts.cause:
                    case None:
                        return TurnStatus.FAILED
                    case CancelCode.TIMEOUT:
                        return TurnStatus.TIMED_OUT
                    case _:
                        return TurnStatus.CANCELLED
            case _:
                assert_never(message.outcome)

    def _waiting_ended(self, waiting: TurnSpec) -> None:
        match self.message:
            case Submit(spec=spec, strategy=strategy):
                dropped = spec is not waiting and strategy is Strategy.INTERRUPT
            case Stop(turn_id=aim):
                dropped = aim in {None, waiting.turn_id}
            case Shut():
                dropped = True
            case _:
                dropped = False
        if not dropped:
            self._broken(f"G2: the waiting {waiting.turn_id} is dropped without a reason")
        self.facts.waiting = None
        self.facts.last = (waiting, TurnStatus.CANCELLED)

    def _quarantined(self, effect: Quarantine) -> None:
        facts = self.facts
        holder = facts.holder
        if holder is None or effect.epoch != facts.epoch:
            self._broken("G6: a turn is quarantined that does not hold the session")
        end = self.ended.get(holder.turn_id)
        if end is None or end.record.status is not TurnStatus.UNRESPONSIVE:
            self._broken("G6: quarantined, but not called unresponsive")
        facts.fled = (*facts.fled, Fled(effect.epoch, holder))
        facts.holder = None

    def _queued(self, effect: AnnounceQueued) -> None:
        facts, message, record = self.facts, self.message, effect.record
        if not isinstance(message, Submit) or record.turn_id != message.spec.turn_id:
            self._broken("a turn is queued that was not sent")
        if facts.holder is None or facts.cause is None or facts.shut or facts.waiting is not None:
            self._broken("a turn is queued behind nothing, or before another")
        if record.status is not TurnStatus.QUEUED or record.epoch is not None or facts.live(record.turn_id):
            self._broken("G2: not a fresh queued turn")
        facts.waiting = message.spec

    def _closed_streams(self, effect: CloseStreams) -> None:
        self.closes += 1
        text = effect.end
        shut = self.facts.shut or isinstance(self.message, Shut)
        shutdown = self.facts.shutdown or self._shuts_down()
        if (text == "Server shutting down") != (shut and shutdown):
            self._broken(f"G10: streams end with {text!r}")
        if shutdown and shut:
            return
        ran = [end.record.status for end in self.ended.values() if end.record.epoch is not None]
        if (ran[0] if ran else None) not in CLOSE_TEXTS[text]:
            self._broken(f"streams end with {text!r}, which is not what happened")

    def _counted_stale(self) -> None:
        message = self.message
        if not isinstance(message, TurnEnded) or len(self.effects) != 1 or self.after != self.before:
            self._broken("a stale report changes something")
        if self._is_holder(message.epoch) or self._fled(message.epoch) is not None:
            self._broken("a report is called stale that is not")

    # -- The answers ------------------------------------------------------------------------------------

    def _answered(self, to: ReplyAddress) -> Asked:
        asked = next((asked for asked in self.facts.asked if asked.to is to), None)
        if asked is None:
            self._broken("G3: an answer for an asker that has one already, or did not ask")
        self.facts.asked = tuple(other for other in self.facts.asked if other is not asked)
        return asked

    def _replied(self, effect: Reply) -> None:
        if effect.to is None:
            return
        asked = self._answered(effect.to)
        value: Any = effect.answer
        if isinstance(value, Accepted) and asked.word is Submit and value.turn_id == asked.turn_id:
            self._accepted(asked, value)
        elif isinstance(value, CancelAnswer) and asked.word is Stop:
            self._verdict(asked, value)
        elif isinstance(value, SessionView) and asked.word is Shut:
            if value.state is not SessionState.CLOSED or self.facts.holder is not None:
                self._broken("G3: the answer says closed, but it is not")
        else:
            self._broken(f"G3: {value} is no answer to {asked.word.__name__} {asked.turn_id}")

    def _accepted(self, asked: Asked, value: Accepted) -> None:
        facts = self.facts
        if value.repeated:
            self._told_again(value)
            return
        match value.status:
            case TurnStatus.RUNNING:
                holder = facts.holder
                if holder is None or holder.turn_id != value.turn_id or value.epoch != facts.epoch:
                    self._broken("G3: the answer says running, but it does not run")
                self._superseded(value.superseded, at_once=asked.to is self.to)
            case TurnStatus.QUEUED:
                waits = isinstance(self.message, Submit) and self.message.wait
                waiting, superseded = facts.waiting, value.superseded
                if waits or waiting is None or waiting.turn_id != value.turn_id:
                    self._broken("G3: the answer says queued, but it does not wait")
                if superseded is None or superseded.verdict is not Verdict.REQUESTED:
                    self._broken("G3: a predecessor that has not settled has no other verdict than requested")
            case TurnStatus.CANCELLED:
                if value.turn_id not in self.ended or value.epoch is not None:
                    self._broken("G3: the answer says cancelled, but it was not")
            case _:
                self._broken(f"G3: a send was accepted as {value.status}")

    def _superseded(self, superseded: Superseded | None, *, at_once: bool) -> None:
        """A send that waited gets a true answer about the turn that was in its way."""
        if at_once:
            if superseded is not None:
                self._broken("G3: a predecessor that never was")
            return
        end = None if superseded is None else self.ended.get(superseded.turn_id)
        if superseded is None or end is None or superseded.verdict is not VERDICTS[end.record.status]:
            self._broken("G3: not what became of the predecessor")

    def _told_again(self, value: Accepted) -> None:
        self.repeated = True
        facts, message = self.facts, self.message
        if not isinstance(message, Submit) or len(self.effects) != 1 or self.after != self.before:
            self._broken("a repeated send does something")
        known = find_turn(self.before, value.turn_id)
        if known is None or known.fingerprint != message.spec.fingerprint or known.status is not value.status:
            self._broken("G3: the answer says repeated, but it is new")
        if facts.last is None or facts.live(value.turn_id):
            return
        last, status = facts.last
        if last.turn_id == value.turn_id and status is not value.status:
            self._broken("G3: a repeated send is answered with another status")

    def _verdict(self, asked: Asked, value: CancelAnswer) -> None:
        facts, turn, verdict = self.facts, value.turn, value.verdict
        if turn is not None and turn.turn_id != asked.turn_id:
            self._broken(f"G4: asked about {asked.turn_id}, answered about {turn.turn_id}")
        if turn is None:
            if verdict is not Verdict.NOT_RUNNING or facts.live(asked.turn_id):
                self._broken(f"G3: {verdict} of no turn")
            return
        end = self.ended.get(turn.turn_id)
        now_over = None if end is None else VERDICTS[end.record.status]
        if verdict is Verdict.REQUESTED:
            waits = isinstance(self.message, Stop) and self.message.wait
            good = not waits and turn.status is TurnStatus.CANCELLING and self._holds(turn.turn_id)
        elif verdict is Verdict.UNRESPONSIVE:
            good = turn.status is TurnStatus.UNRESPONSIVE and any(
                f.spec.turn_id == turn.turn_id for f in facts.fled
            )
        elif now_over is not None:
            good = verdict is now_over and end is not None and turn == end.record
        else:
            # Asked about a turn that was over before.
            over = turn.status in TERMINAL and not facts.live(turn.turn_id)
            good = verdict is Verdict.FINISHED_FIRST and over
        if not good:
            self._broken(f"G3: {verdict} is not the truth about {turn.turn_id}")

    def _was_refused(self, effect: Refuse) -> None:
        self.refused = True
        facts, message = self.facts, self.message
        if effect.to is not self.to or len(self.effects) != 1 or self.after != self.before:
            self._broken("a refusal changes something")
        if effect.to is not None:
            self._answered(effect.to)
        match effect.error:
            case SessionBusy(turn_id=holder):
                good = (
                    isinstance(message, Submit)
                    and message.strategy is Strategy.REJECT
                    and self._holds(holder)
                )
            case SessionClosed():
                good = isinstance(message, Submit) and facts.shut
            case TurnIdReused():
                good = isinstance(message, Submit) and message.spec.fingerprint is not None
            case PreconditionFailed():
                good = isinstance(message, Submit | Stop) and message.if_match is not None
            case TooManyUnresponsive():
                # G8: counted by what was seen to be quarantined and not to end.
                good = (
                    isinstance(message, Submit)
                    and len(facts.fled) >= self.before.memory.home.limits.quarantined
                )
            case _:
                good = False
        if not good:
            self._broken(f"refused for no reason: {effect.error!r}")

    # -- After all of them --------------------------------------------------------------------------------

    def _message_has_had_its_effect(self) -> None:
        if self.refused or self.repeated:
            return
        message = self.message
        match message:
            case Submit():
                self._after_submit(message)
            case Stop():
                self._after_stop(message)
            case TurnEnded():
                self._after_turn_ended(message)
            case Tick():
                self._after_tick()
            case Shut():
                self._after_shut()
            case _:
                assert_never(message)

    def _after_submit(self, message: Submit) -> None:
        facts, was, spec = self.facts, self.was, message.spec
        last = was.last
        if last is not None and spec.fingerprint is not None and last[0].turn_id == spec.turn_id:
            self._broken("a send that was known is taken as new")
        if self._early(spec.turn_id):
            facts.early = tuple(early for early in facts.early if early[0] != spec.turn_id)
            if spec.turn_id not in self.ended:
                self._broken("G4: an early cancel does not count")
        elif was.holder is None:
            if facts.holder is not spec:
                self._broken("an idle session does not start what is sent")
        elif facts.waiting is not spec or facts.cause is None:
            self._broken("a send neither starts nor waits")

    def _after_stop(self, message: Stop) -> None:
        facts, was, aim = self.facts, self.was, message.turn_id
        aimed = aim is None or self._holds(aim)
        if aimed and was.holder is not None and facts.cause is None:
            self._broken("a Stop did not stop")
        if aim is None and facts.waiting is not None:
            self._broken("an unaimed Stop leaves a turn waiting, which will start")
        if was.waiting is not None and aim == was.waiting.turn_id and facts.waiting is not None:
            self._broken("a Stop did not stop the waiting turn")
        if aim is not None and not self.ended and not was.live(aim) and find_turn(self.before, aim) is None:
            self._remember_early(aim)

    def _remember_early(self, aim: TurnId) -> None:
        limits = self._limits()
        fresh = tuple(early for early in self.facts.early if early[0] != aim and self.now < early[1])
        self.facts.early = (*fresh, (aim, self.now + limits.early_cancel_ttl))[-limits.early_cancels :]

    def _after_turn_ended(self, message: TurnEnded) -> None:
        facts = self.facts
        fled = self._fled(message.epoch)
        if self._is_holder(message.epoch):
            if facts.over != message.epoch:
                self._broken("G2: the holder has ended, and the session does not say so")
        elif fled is not None:
            record = find_turn(self.after, fled.spec.turn_id)
            late = None if record is None else record.ended_late
            status = LATE_STATUS[type(message.outcome)]
            if self.effects or late is None or late.outcome is not status or late.at != self.now:
                self._broken("G6: a late end is not noted, or something of it is published")
            facts.fled = tuple(other for other in facts.fled if other is not fled)
            facts.over = message.epoch
            # The note is the newest record now: what ended last may have made room for it.
            facts.last = None
        elif self.effects != (CountStale(),):
            self._broken("a stale report is not counted as one")

    def _after_tick(self) -> None:
        was, now = self.was, self.now
        due = was.due()
        if due is None or now < due:
            if any(not isinstance(effect, SetTimer) for effect in self.effects):
                self._broken("G6: something happens before it is due")
        elif was.cause is not None and was.again:
            if self.was.holder is None or was.holder.turn_id not in self.ended:  # type: ignore[union-attr]
                self._broken("G6: at the end of its ladder a turn is not quarantined")
        elif self.cancels != 1:
            self._broken("G6: a cancel that is due is not delivered")

    def _after_shut(self) -> None:
        facts, message = self.facts, self.message
        facts.shutdown = facts.shutdown or (
            self._shuts_down() and not (self.was.shut and self.was.holder is None)
        )
        facts.shut = True
        if facts.waiting is not None or (facts.holder is not None and facts.cause is None):
            self._broken("closing leaves a turn alone")
        if isinstance(message, Shut) and message.grace is not None and self.was.cause is not None:
            facts.end = min(facts.end, self.now + message.grace)
            facts.half = min(facts.half, self.now + message.grace / 2)

    def _all_is_consistent(self) -> None:
        facts, was = self.facts, self.was
        if state_name(self.after) is not facts.state():
            self._broken(f"the session calls itself {state_name(self.after)}, but it is {facts.state()}")
        if facts.state() is not SessionState.CANCELLING and facts.asked:
            self._broken("G3: an asker is dropped")
        if facts.holder is not was.holder and was.holder is not None and was.holder.turn_id not in self.ended:
            self._broken("G2: a turn lets go of the session and has no end")
        waited = was.waiting
        gone = waited is not facts.waiting and waited is not facts.holder
        if waited is not None and gone and waited.turn_id not in self.ended:
            self._broken("G2: a waiting turn is forgotten")
        due = facts.due()
        if due is None:
            facts.timer = None
        elif facts.timer is None or facts.timer > max(due, self.now):
            self._broken("G6: nothing will wake the session when it is due")
        closed = facts.state() is SessionState.CLOSED and was.state() is not SessionState.CLOSED
        if self.closes > 1 or (closed and self.closes != 1):
            self._broken("streams are not closed exactly once")

    # -- Small questions ----------------------------------------------------------------------------------

    def _limits(self) -> Limits:
        return self.before.memory.home.limits

    def _holds(self, turn_id: str | None) -> bool:
        return self.facts.holder is not None and self.facts.holder.turn_id == turn_id

    def _is_holder(self, epoch: Epoch) -> bool:
        return self.was.holder is not None and self.was.epoch == epoch

    def _fled(self, epoch: Epoch) -> Fled | None:
        return next((fled for fled in self.was.fled if fled.epoch == epoch), None)

    def _early(self, turn_id: TurnId) -> bool:
        return any(early == turn_id and self.now < until for early, until in self.facts.early)

    def _shuts_down(self) -> bool:
        return isinstance(self.message, Shut) and self.message.reason.code is CancelCode.SHUTDOWN
