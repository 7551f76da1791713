"""What an onlooker knows of a session between two steps, and what follows from it.

Nothing here is read from the session: records and refusals are worked out anew from the messages that came
and the effects that followed, so that what a session says can be held against them.
"""

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, NamedTuple

from turnkeeper.actors.model.exceptions import (
    NotWaiting,
    NotYoursToStop,
    PreconditionFailed,
    QueueFull,
    SessionBusy,
    SessionClosed,
    SessionError,
    TooManyUnresponsive,
    TurnIdReused,
    UnknownTurn,
)
from turnkeeper.actors.model.messages import Rearrange, ReplyAddress, Stop, Submit
from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    KeptResult,
    Outcome,
    Reason,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace as changed
from turnkeeper.actors.model.words import OnFull, Rollback, SessionState, Strategy, TurnStatus, WhoMayStop
from turnkeeper.actors.session.states import Limits


@dataclass(frozen=True, slots=True)
class Asked:
    """An asker that waits for an answer: since when, about which turn, and what its cancel cleared away."""

    to: ReplyAddress
    word: type
    turn_id: TurnId | None
    at: float
    cleared: tuple[TurnId, ...] = ()


class Fled(NamedTuple):
    """A quarantined turn whose coroutine still runs."""

    epoch: Epoch
    record: TurnRecord


class Waits(NamedTuple):
    """A turn that waits, since when. It is not started before the moment ``not_before``.

    ``attempt`` is the one that comes next: above 1, it had been started before. ``joined`` messages make up
    its own; with ``collects`` others may join it until its moment.
    """

    spec: TurnSpec
    since: float | None
    attempt: int = 1
    not_before: float | None = None
    joined: int = 1
    collects: bool = False

    @property
    def turn_id(self) -> TurnId:
        return self.spec.turn_id

    def is_due(self, now: float) -> bool:
        """Whether its moment has come, if it waits for one."""
        return self.not_before is None or now >= self.not_before


class Winds(NamedTuple):
    """A turn that has stopped as this, or was given up, and is being undone until that moment.

    ``late`` is how its coroutine ended after it was given up, if it has.
    """

    until: float
    status: TurnStatus
    outcome: Outcome | None = None
    first_event_at: float | None = None
    began: bool | None = None
    late: Outcome | None = None


class Early(NamedTuple):
    """A cancel that came before its send."""

    turn_id: TurnId
    reason: Reason
    asked_at: float
    asker: str | None = None


def may_stop(turn: TurnSpec, owner: str, asker: str | None) -> bool:
    """Whether this asker may stop that turn."""
    stops = {WhoMayStop.OWNER: owner, WhoMayStop.SENDER: turn.user}[turn.policy.who_may_stop]
    return asker in (None, stops)


@dataclass(slots=True)
class Facts:
    """What the onlooker knows. Copied before it is changed."""

    # -- The turn that holds the session
    holder: TurnSpec | None = None
    epoch: Epoch = 0
    queued_at: float | None = None
    started_at: float = 0.0
    attempt: int = 1
    deadline: float | None = None
    #: Why and when the holder was cancelled first, ``None`` while it was not; then the moments of its ladder.
    cause: Reason | None = None
    asked_at: float = 0.0
    again_at: float | None = None
    half: float = 0.0
    end: float = 0.0
    #: A person pressed Stop: unless another turn follows, the streams end with the holder.
    pressed: bool = False
    #: The first cancel that was more than a shutdown's: after a restart it is not run again.
    lasting: Cancellation | None = None
    #: It is to be undone: how far that is, and by when a shutdown wants it to be over.
    undo: bool = False
    winds: Winds | None = None
    by: float | None = None
    # -- Those who wait: the one that is called up, those behind it, and those that wait for a moment
    front: Waits | None = None
    rest: tuple[Waits, ...] = ()
    later: tuple[Waits, ...] = ()
    # -- What is remembered
    fled: tuple[Fled, ...] = ()
    #: The last epoch whose coroutine is known to have ended: what a stale report names.
    over: Epoch | None = None
    last_epoch: Epoch = 0
    #: The records of finished turns, as they are kept: the newest last.
    kept: tuple[TurnRecord, ...] = ()
    early: tuple[Early, ...] = ()
    # -- What is under way
    asked: tuple[Asked, ...] = ()
    timer: float | None = None
    shut: bool = False
    shutdown: bool = False
    #: Why it is, or will be, closed for good: the reason of the first close that is no shutdown.
    for_good: Reason | None = None

    def copy(self) -> "Facts":
        return Facts(*_values(self))

    @property
    def line(self) -> tuple[Waits, ...]:
        """All that wait, in order."""
        front = () if self.front is None else (self.front,)
        return (*front, *self.rest, *self.later)

    def waits(self, turn_id: TurnId | None) -> Waits | None:
        """The turn of that id, if it waits."""
        return next((each for each in self.line if each.turn_id == turn_id), None)

    def leaves(self, turn_id: TurnId) -> None:
        """A turn waits no longer."""
        if self.front is not None and self.front.turn_id == turn_id:
            self.front = None
        self.rest = tuple([each for each in self.rest if each.turn_id != turn_id])
        self.later = tuple([each for each in self.later if each.turn_id != turn_id])

    def is_full_for(self, spec: TurnSpec) -> bool:
        """Whether as many turns wait as may. The one that is called up does not count."""
        return len(self.rest) + len(self.later) >= policy_of(spec).queue_limit

    def makes_room_for(self, spec: TurnSpec) -> Waits | None:
        """The turn that is dropped where as many wait as may."""
        policy = policy_of(spec)
        if policy.on_full is OnFull.REJECT or policy.queue_limit == 0:
            return None
        return next((turn for turn in (*self.rest, *self.later) if turn.spec.user == spec.user), None)

    def due(self) -> float | None:
        """The moment at which the session must not be asleep."""
        moments = [each.not_before for each in self.later[:1] if not self.shut]
        if self.holder is not None:
            moments.append(self.holder_due())
        elif self.front is not None and not self.shut:
            moments.append(self.front.not_before)
        return min((moment for moment in moments if moment is not None), default=None)

    def holder_due(self) -> float | None:
        """The moment at which something happens to the turn that holds the session."""
        if self.winds is not None:
            return self.winds.until
        if self.cause is None:
            return self.deadline
        return self.half if self.again_at is None else self.end

    def state(self) -> SessionState:
        """What the session must call itself."""
        if self.holder is not None:
            return SessionState.RUNNING if self.cause is None else SessionState.CANCELLING
        if self.shut:
            return SessionState.CLOSED
        return SessionState.QUEUED if self.line else SessionState.IDLE

    def live(self, turn_id: TurnId | None) -> bool:
        """Whether a turn of that id runs or waits; a quarantined one counts."""
        if any(fled.record.turn_id == turn_id for fled in self.fled):
            return True
        if self.holder is not None and self.holder.turn_id == turn_id:
            return True
        return self.waits(turn_id) is not None

    def early_cancel(self, turn: TurnSpec, now: float, limits: Limits, owner: str) -> Early | None:
        """The cancel of that turn which came before its send and still counts."""
        for early in self.early:
            if early.turn_id == turn.turn_id and now < early.asked_at + limits.early_cancel_ttl:
                return early if may_stop(turn, owner, early.asker) else None
        return None

    def meant(self, stop: Stop) -> TurnSpec | None:
        """The turn, in flight or waiting, that a cancel is about."""
        if self.holder is not None and stop.turn_id in (None, self.holder.turn_id):
            return self.holder
        waits = self.front if stop.turn_id is None else self.waits(stop.turn_id)
        return None if waits is None else waits.spec

    def restarted(self) -> "Facts":
        """What another process knows: nothing of the askers, of the timers, or of a shutdown."""
        closed = self.holder is None and self.for_good is not None
        lasting = self.lasting if self.holder is not None else None
        return replace(
            self,
            holder=self.holder and without_sender(self.holder),
            cause=lasting and lasting.reason,
            asked_at=lasting.asked_at if lasting is not None else 0.0,
            again_at=None,
            pressed=False,
            lasting=lasting,
            undo=self.undo and self.holder is not None,
            winds=None,
            by=None,
            front=self.front and _elsewhere(self.front)._replace(not_before=None),
            rest=tuple([_elsewhere(each) for each in self.rest]),
            later=tuple([_elsewhere(each) for each in self.later]),
            asked=(),
            timer=None,
            shut=closed,
            shutdown=False,
            for_good=self.for_good if closed else None,
        )

    # -- Records ------------------------------------------------------------------------------------------

    def held(
        self,
        status: TurnStatus,
        ended_at: float | None = None,
        error: TurnError | None = None,
        first_event_at: float | None = None,
        began: bool | None = None,
        result: KeptResult | None = None,
        rollback: Rollback | None = None,
    ) -> TurnRecord:
        """The record of the turn that holds the session, which must be one."""
        assert self.holder is not None
        cancellation = None if self.cause is None else Cancellation(self.cause, self.asked_at, self.again_at)
        return TurnRecord(
            self.holder.head,
            self.epoch,
            status,
            queued_at=self.queued_at,
            started_at=self.started_at,
            first_event_at=first_event_at,
            cancellation=cancellation,
            ended_at=ended_at,
            error=error,
            superseded_by=None if self.front is None else self.front.turn_id,
            began=began,
            result=result,
            attempt=self.attempt,
            rollback=rollback,
        )

    def waited(
        self,
        turn: Waits,
        status: TurnStatus,
        ended_at: float | None = None,
        reason: Reason | None = None,
        superseded_by: TurnId | None = None,
        *,
        undone: bool = False,
    ) -> TurnRecord:
        """The record of a turn that waits; ``undone``: as far as that is possible to what ran elsewhere."""
        asked = None if reason is None or ended_at is None else Cancellation(reason, ended_at)
        before = turn.attempt > 1
        return TurnRecord(
            turn.spec.head,
            self.last_epoch if before else None,
            status,
            queued_at=turn.since,
            cancellation=asked,
            ended_at=ended_at,
            superseded_by=superseded_by,
            began=None if ended_at is None or before else False,
            attempt=turn.attempt,
            rollback=Rollback.PARTLY if undone and before else None,
        )

    def record(self, turn_id: TurnId | None) -> TurnRecord | None:
        """What must be known of that turn."""
        if self.holder is not None and self.holder.turn_id == turn_id:
            return self.held(TurnStatus.RUNNING if self.cause is None else TurnStatus.CANCELLING)
        waits = self.waits(turn_id)
        if waits is not None:
            return self.waited(waits, TurnStatus.QUEUED)
        ended = (*(fled.record for fled in self.fled), *self.kept)
        return next((record for record in ended if record.turn_id == turn_id), None)

    def current(self) -> TurnId | None:
        """The turn that holds the session, else the last one known to have held it."""
        if self.holder is not None:
            return self.holder.turn_id
        if self.front is not None and self.front.attempt > 1:
            return self.front.turn_id
        epoch, turn_id = -1, None
        for record in (*self.kept, *(fled.record for fled in self.fled)):
            if record.epoch is not None and record.epoch > epoch:
                epoch, turn_id = record.epoch, record.turn_id
        return turn_id

    # -- Refusals -----------------------------------------------------------------------------------------

    def misses(self, message: Submit | Stop) -> bool:
        """Whether it was meant for another turn than the current or last one."""
        return message.if_match is not None and message.if_match != self.current()

    def repeated(self, send: Submit) -> TurnRecord | None:
        """The turn that a send repeats, by the id that its client chose."""
        return None if send.spec.fingerprint is None else self.record(send.spec.turn_id)

    def refusal(
        self, message: Submit | Stop | Rearrange, now: float, limits: Limits, owner: str
    ) -> type[SessionError] | None:
        """With which error it must be refused. The first reason counts."""
        if isinstance(message, Rearrange):
            if self.shut:
                return SessionClosed
            if any(turn.turn_id == message.turn_id for turn in (*self.rest, *self.later)):
                return None
            return UnknownTurn if self.record(message.turn_id) is None else NotWaiting
        if isinstance(message, Stop):
            if self.misses(message):
                return PreconditionFailed
            meant = self.meant(message)
            return None if meant is None or may_stop(meant, owner, message.asker) else NotYoursToStop
        known = self.repeated(message)
        if known is not None:
            return None if known.fingerprint == message.spec.fingerprint else TurnIdReused
        if self.misses(message):
            return PreconditionFailed
        if self.shut:
            return SessionClosed
        if len(self.fled) >= limits.quarantined:
            return TooManyUnresponsive
        if self.early_cancel(message.spec, now, limits, owner) is not None:
            return None
        if message.no_room is not None:
            return type(message.no_room)
        busy = self.holder is not None or self.front is not None
        if message.strategy is Strategy.COLLAPSE and not waits_for_a_moment(message, now):
            if taker_of(self.rest, self.later, message.spec) is not None:
                return None
            busy = busy or policy_of(message.spec).collapse_window > 0.0
        if waits_for_a_moment(message, now) or (busy and message.strategy in QUEUES):
            room = not self.is_full_for(message.spec) or self.makes_room_for(message.spec) is not None
            return None if room else QueueFull
        return SessionBusy if busy and message.strategy is Strategy.REJECT else None


def policy_of(spec: TurnSpec) -> Policy:
    """How the turn is run."""
    return spec.head.own_policy or STANDARD


#: The strategies of sends that wait behind others.
QUEUES = {Strategy.ENQUEUE, Strategy.COLLAPSE}


def taker_of(rest: tuple[Waits, ...], later: tuple[Waits, ...], spec: TurnSpec) -> Waits | None:
    """The turn that the message of this one joins: the last of its kind, if that may have one more."""
    there = [*rest, *[turn for turn in later if turn.collects]]
    of_kind = [
        turn
        for turn in there
        if policy_of(turn.spec).strategy is Strategy.COLLAPSE
        and (turn.spec.user, turn.spec.agent) == (spec.user, spec.agent)
    ]
    if not of_kind or of_kind[-1].joined >= policy_of(of_kind[-1].spec).collapse_parts:
        return None
    return of_kind[-1]


def parts_of(message: Any) -> list[Any]:
    """A message as parts."""
    return [{"type": "text", "text": message}] if isinstance(message, str) else list(message)


def waits_for_a_moment(send: Submit, now: float) -> bool:
    """Whether it takes its place later, as if it were sent then."""
    return send.not_before is not None and send.not_before > now


def _elsewhere(turn: Waits) -> Waits:
    return turn._replace(spec=without_sender(turn.spec))


def without_sender(spec: TurnSpec) -> TurnSpec:
    """The spec as another process has it: the same object for the same one."""
    found = _WITHOUT_SENDER.get(id(spec))
    if found is None:
        without = spec if spec.ended_to is None else changed(spec, ended_to=None)
        # Kept with the spec itself, so that no other object gets its identity.
        found = _WITHOUT_SENDER[id(spec)] = spec, without
    return found[1]


_WITHOUT_SENDER: dict[int, tuple[TurnSpec, TurnSpec]] = {}
#: `dataclasses.replace` costs ten times as much, and the search copies millions of these.
_values = attrgetter(*(field.name for field in fields(Facts)))
