"""What an onlooker knows of a session between two steps, and what follows from it.

Nothing here is read from the session: records and refusals are worked out anew from the messages that came
and the effects that followed, so that what a session says can be held against them.
"""

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import NamedTuple

from turnkeeper.actors.model.exceptions import (
    PreconditionFailed,
    SessionBusy,
    SessionClosed,
    SessionError,
    TooManyUnresponsive,
    TurnIdReused,
)
from turnkeeper.actors.model.messages import ReplyAddress, Stop, Submit
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    KeptResult,
    Reason,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace as changed
from turnkeeper.actors.model.words import SessionState, Strategy, TurnStatus
from turnkeeper.actors.session.states import Limits


@dataclass(frozen=True, slots=True)
class Asked:
    """An asker that waits for an answer: since when, and about which turn."""

    to: ReplyAddress
    word: type
    turn_id: TurnId | None
    at: float


class Fled(NamedTuple):
    """A quarantined turn whose coroutine still runs."""

    epoch: Epoch
    record: TurnRecord


class Early(NamedTuple):
    """A cancel that came before its send."""

    turn_id: TurnId
    reason: Reason
    asked_at: float


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
    # -- The turn that waits: for the holder to let go, or to be started after a restart, at that moment
    waiting: TurnSpec | None = None
    waiting_since: float | None = None
    waiting_attempt: int = 1
    start_at: float | None = None
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

    def due(self) -> float | None:
        """The moment at which the session must not be asleep."""
        if self.holder is None:
            return None if self.waiting is None or self.shut else self.start_at
        if self.cause is None:
            return self.deadline
        return self.half if self.again_at is None else self.end

    def state(self) -> SessionState:
        """What the session must call itself."""
        if self.holder is not None:
            return SessionState.RUNNING if self.cause is None else SessionState.CANCELLING
        if self.shut:
            return SessionState.CLOSED
        return SessionState.IDLE if self.waiting is None else SessionState.QUEUED

    def live(self, turn_id: TurnId | None) -> bool:
        """Whether a turn of that id runs or waits; a quarantined one counts."""
        if any(fled.record.turn_id == turn_id for fled in self.fled):
            return True
        return any(spec is not None and spec.turn_id == turn_id for spec in (self.holder, self.waiting))

    def early_cancel(self, turn_id: TurnId, now: float, limits: Limits) -> Early | None:
        """The cancel of that turn which came before its send and still counts."""
        for early in self.early:
            if early.turn_id == turn_id and now < early.asked_at + limits.early_cancel_ttl:
                return early
        return None

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
            waiting=self.waiting and without_sender(self.waiting),
            start_at=None,
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
            superseded_by=None if self.waiting is None else self.waiting.turn_id,
            began=began,
            result=result,
            attempt=self.attempt,
        )

    def waited(
        self,
        status: TurnStatus,
        ended_at: float | None = None,
        reason: Reason | None = None,
        superseded_by: TurnId | None = None,
    ) -> TurnRecord:
        """The record of the turn that waits, which must be one."""
        assert self.waiting is not None
        asked = None if reason is None or ended_at is None else Cancellation(reason, ended_at)
        before = self.waiting_attempt > 1
        return TurnRecord(
            self.waiting.head,
            self.last_epoch if before else None,
            status,
            queued_at=self.waiting_since,
            cancellation=asked,
            ended_at=ended_at,
            superseded_by=superseded_by,
            began=None if ended_at is None or before else False,
            attempt=self.waiting_attempt,
        )

    def record(self, turn_id: TurnId | None) -> TurnRecord | None:
        """What must be known of that turn."""
        if self.holder is not None and self.holder.turn_id == turn_id:
            return self.held(TurnStatus.RUNNING if self.cause is None else TurnStatus.CANCELLING)
        if self.waiting is not None and self.waiting.turn_id == turn_id:
            return self.waited(TurnStatus.QUEUED)
        ended = (*(fled.record for fled in self.fled), *self.kept)
        return next((record for record in ended if record.turn_id == turn_id), None)

    def current(self) -> TurnId | None:
        """The turn that holds the session, else the last one known to have held it."""
        if self.holder is not None:
            return self.holder.turn_id
        if self.waiting is not None and self.waiting_attempt > 1:
            return self.waiting.turn_id
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

    def refusal(self, message: Submit | Stop, now: float, limits: Limits) -> type[SessionError] | None:
        """With which error it must be refused. The first reason counts."""
        if isinstance(message, Stop):
            return PreconditionFailed if self.misses(message) else None
        known = self.repeated(message)
        if known is not None:
            return None if known.fingerprint == message.spec.fingerprint else TurnIdReused
        if self.misses(message):
            return PreconditionFailed
        if self.shut:
            return SessionClosed
        if len(self.fled) >= limits.quarantined:
            return TooManyUnresponsive
        if self.early_cancel(message.spec.turn_id, now, limits) is not None:
            return None
        if message.no_room is not None:
            return type(message.no_room)
        busy = self.holder is not None or self.waiting is not None
        return SessionBusy if busy and message.strategy is Strategy.REJECT else None


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
