"""What an onlooker knows of a session between two steps, and what follows from it.

Nothing here is read from the session: records and refusals are worked out anew from the messages that came
and the effects that followed, so that what a session says can be held against them.
"""

from dataclasses import dataclass, fields, replace
from enum import Enum
from operator import attrgetter
from typing import Any, NamedTuple

from turnkeeper.actors.model.exceptions import (
    IdempotencyKeyReused,
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
    Extras,
    KeptResult,
    Outcome,
    Reason,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.value import replace as changed
from turnkeeper.actors.model.words import (
    OnCap,
    OnFull,
    Rollback,
    SessionState,
    Strategy,
    TurnStatus,
    WhoMayStop,
)
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


class Rung(Enum):
    """How far a turn is on its way out. Below the first rung its cancel waits for critical sections."""

    HELD = "held"
    FIRST = "first"
    SECOND = "second"


class Section(NamedTuple):
    """A critical section that was granted: a cancel waits for its end, until that moment."""

    number: int
    until: float


class Winds(NamedTuple):
    """A turn that has stopped as this, or was given up, and whose end runs something until that moment.

    ``late`` is how its coroutine ended after it was given up, if it has.
    """

    until: float
    status: TurnStatus
    outcome: Outcome | None = None
    first_event_at: float | None = None
    began: bool | None = None
    extras: Extras | None = None
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
    #: Its critical sections.
    sections: tuple[Section, ...] = ()
    #: Why and when it was asked to stop first, ``None`` while it was not; and what was done about that when.
    cause: Reason | None = None
    asked_at: float = 0.0
    delivered_at: float | None = None
    again_at: float | None = None
    #: Where it is on the ladder, and the moments of that: ``grace`` counts from the end of its sections.
    rung: Rung | None = None
    grace: float = 0.0
    half: float = 0.0
    end: float = 0.0
    #: A person pressed Stop: unless another turn follows, the streams end with the holder.
    pressed: bool = False
    #: The first cancel that was more than a shutdown's: after a restart it is not run again.
    lasting: Cancellation | None = None
    #: Whether it is to be undone, what its end runs, and by when a shutdown wants that to be over.
    undo: bool = False
    winds: Winds | None = None
    by: float | None = None
    # -- Those who wait: the one that is called up, those behind it, and those that wait for a moment
    front: Waits | None = None
    rest: tuple[Waits, ...] = ()
    later: tuple[Waits, ...] = ()
    # -- The slot that the holder has, or that was asked for the one called up
    ticket: Ticket | None = None
    granted: bool = False
    #: The number of the last ticket that was drawn.
    last_ticket: int = 0
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
    def asks(self) -> bool:
        """Whether the turn that is called up waits for a slot."""
        return self.ticket is not None and not self.granted

    @property
    def bearer(self) -> TurnSpec | None:
        """The turn that holds the session, or else the one for which a slot has been asked."""
        if self.holder is not None or self.front is None:
            return self.holder
        return self.front.spec if self.asks else None

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
        match self.rung:
            case None:
                return self.deadline
            case Rung.HELD:
                return self.held_until
            case Rung.FIRST:
                return self.half
            case Rung.SECOND:
                return self.end

    @property
    def held_until(self) -> float:
        """The moment until which a cancel waits for critical sections, if there are any."""
        return max(section.until for section in self.sections)

    def in_time(self, now: float) -> tuple[Section, ...]:
        """The critical sections for which a cancel still waits."""
        return tuple([section for section in self.sections if now < section.until])

    @property
    def leaves_by_itself(self) -> bool:
        """Whether the turn is on its way out, and was not asked to be."""
        return self.cause is None and (self.rung is not None or self.winds is not None)

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
            sections=(),
            delivered_at=None,
            again_at=None,
            rung=None,
            pressed=False,
            lasting=lasting,
            undo=self.undo and self.holder is not None,
            winds=None,
            by=None,
            front=self.front and _elsewhere(self.front)._replace(not_before=None),
            rest=tuple([_elsewhere(each) for each in self.rest]),
            later=tuple([_elsewhere(each) for each in self.later]),
            ticket=None,
            granted=False,
            last_ticket=0,
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
        extras: Extras | None = None,
    ) -> TurnRecord:
        """The record of the turn that holds the session, which must be one."""
        assert self.holder is not None
        moments = self.asked_at, self.again_at, self.delivered_at
        cancellation = None if self.cause is None else Cancellation(self.cause, *moments)
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
            held=ended_at is None and self.rung is Rung.HELD,
            extras=extras,
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
        return None if send.spec.fingerprint is None else self.record(send.spec.turn_id) or send.past

    def refusal(
        self, message: Submit | Stop | Rearrange, now: float, limits: Limits, owner: str
    ) -> type[SessionError] | None:
        """With which error it must be refused. The first reason counts."""
        if isinstance(message, Rearrange):
            if self.shut:
                return SessionClosed
            front = () if self.front is None or message.edited is None else (self.front,)
            called_up = tuple([turn for turn in front if turn.attempt == 1])
            for turn in (*called_up, *self.rest, *self.later):
                if turn.turn_id == message.turn_id:
                    size = turn.spec.size - turn.spec.size_besides
                    grows = message.edited is not None and message.edited.size > size
                    return type(message.no_room) if grows and message.no_room is not None else None
            return UnknownTurn if self.record(message.turn_id) is None else NotWaiting
        if isinstance(message, Stop):
            if self.misses(message):
                return PreconditionFailed
            meant = self.meant(message)
            return None if meant is None or may_stop(meant, owner, message.asker) else NotYoursToStop
        known = self.repeated(message)
        if known is not None:
            return None if known.fingerprint == message.spec.fingerprint else _reused(message.spec)
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
            if taker_of(self.front, self.rest, self.later, message.spec) is not None:
                return None
            busy = busy or policy_of(message.spec).collapse_window > 0.0
        if waits_for_a_moment(message, now) or (busy and message.strategy in QUEUES):
            room = not self.is_full_for(message.spec) or self.makes_room_for(message.spec) is not None
            return None if room else QueueFull
        return SessionBusy if busy and message.strategy is Strategy.REJECT else None


def policy_of(spec: TurnSpec) -> Policy:
    """How the turn is run."""
    return spec.head.own_policy or STANDARD


def _reused(spec: TurnSpec) -> type[SessionError]:
    """Why an id, or a key, that stands for another message is refused."""
    return IdempotencyKeyReused if spec.turn_id.startswith("key-") else TurnIdReused


def claim_of(spec: TurnSpec, owner: str) -> Claim | None:
    """For what the turn needs a slot, in a session of this owner's; ``None`` if it needs none."""
    policy = policy_of(spec)
    return Claim(owner, spec.agent, policy.priority) if policy.on_cap is OnCap.WAIT else None


#: The strategies of sends that wait behind others.
QUEUES = {Strategy.ENQUEUE, Strategy.COLLAPSE}


def taker_of(
    front: Waits | None, rest: tuple[Waits, ...], later: tuple[Waits, ...], spec: TurnSpec
) -> Waits | None:
    """The turn that the message of this one joins: the last of its kind, if that may have one more."""
    first = [] if front is None or front.attempt > 1 else [front]
    there = [*first, *rest, *[turn for turn in later if turn.collects]]
    of_kind = [
        turn
        for turn in there
        if policy_of(turn.spec).strategy is Strategy.COLLAPSE
        and (turn.spec.user, turn.spec.agent) == (spec.user, spec.agent)
    ]
    if not of_kind or of_kind[-1].joined >= policy_of(of_kind[-1].spec).collapse_parts:
        return None
    return of_kind[-1]


def said_by_both(first: Any, second: Any) -> list[Any]:
    """The parts of a message that another one has joined: as a text they read as two."""
    more, *others = _parts(second)
    return [*_parts(first), {**more, "text": f"\n\n{more['text']}"}, *others]


def _parts(message: Any) -> list[Any]:
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
