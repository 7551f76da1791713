"""What a session wants done: imperatives to the actor, performed in order.

They carry all that is to be kept of a decision: its entries in the session's log follow from them alone.
"""

from typing import Any, TypeAlias, final

from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Accepted, QueuedTurn, ReplyAddress
from turnkeeper.actors.model.records import Epoch, LateEnd, Outcome, Reason, TurnId, TurnRecord, TurnSpec
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import Place, StreamEnd

from .states import EarlyCancel, State


@final
@value
class StartTurn:
    """Publish ``turn.started`` as event 0 of this epoch, and run the coroutine.

    ``queued_at`` is when it began to wait, if it had to; ``attempt`` counts from 1.
    """

    spec: TurnSpec
    epoch: Epoch
    started_at: float
    queued_at: float | None = None
    attempt: int = 1


@final
@value
class CancelTurn:
    """Deliver a cancellation to the coroutine: the first one, or the one at half of its grace ``again``.

    What it has begun is stopped as well. ``held``: the first one waited for critical sections (`HoldCancel`).
    """

    turn_id: TurnId
    epoch: Epoch
    reason: Reason
    asked_at: float
    again: bool = False
    held: bool = False


@final
@value
class HoldCancel:
    """Deliver no cancellation yet: it was asked, and waits for the turn's critical sections to end."""

    turn_id: TurnId
    epoch: Epoch
    reason: Reason
    asked_at: float


@final
@value
class StopWork:
    """Stop what a turn has begun that has returned by itself: the first time, or ``again`` and by force."""

    epoch: Epoch
    again: bool = False


@final
@value
class Quarantine:
    """Fence off a coroutine that did not stop: nothing of it is published, its task is kept until it ends."""

    epoch: Epoch


@final
@value
class EndTurn:
    """Publish the terminal event of a turn, and answer those who wait for its end.

    ``anew``: its epoch is drawn for this event alone, which is number 0 of it: no coroutine of it runs here.
    What it had published in another process is kept, with its message, which is in ``spec`` then.
    """

    record: TurnRecord
    outcome: Outcome | None
    ended_to: ReplyAddress | None = None
    anew: bool = False
    spec: TurnSpec | None = None


@final
@value
class EndAttempt:
    """Publish that a turn was cut off and will be started again, as event 0 of its epoch, drawn for that.

    ``record`` is the turn as it waits now. ``outcome`` is how its coroutine ended, if that ran here and has
    ended. Those who wait for the turn's end here wait in vain. ``from_start``: the next attempt says again
    what this one published.
    """

    record: TurnRecord
    at: float
    outcome: Outcome | None = None
    ended_to: ReplyAddress | None = None
    from_start: bool = False


@final
@value
class WindUp:
    """Run what the end of a turn runs, and report `WoundUp`: nothing more of it is published meanwhile.

    ``record`` is that of its end, as far as that is known. ``undo``: the turn is to be undone, too.
    """

    spec: TurnSpec
    record: TurnRecord
    undo: bool = False


@final
@value
class CutWinding:
    """Stop what the end of the turn of this epoch runs: its time is up."""

    epoch: Epoch


@final
@value
class AnnounceQueued:
    """Publish that a turn waits for its predecessor to settle, behind others, or for a moment.

    ``place`` is where it waits.
    """

    spec: TurnSpec
    queued_at: float
    place: Place = Place.FRONT
    not_before: float | None = None


@final
@value
class MoveWaiting:
    """Note that a turn which waits does so at another place: the ``first`` or last one there.

    Of those that wait for a moment, by the moment ``not_before``.
    """

    turn_id: TurnId
    place: Place
    first: bool = False
    not_before: float | None = None


@final
@value
class EditWaiting:
    """Note that the message of a turn which waits is the one in ``spec`` now.

    ``joined`` is how many messages make it up. ``by`` is who edited it, which is published; without ``by``
    another message has joined it, and the end of that one's turn says so.
    """

    spec: TurnSpec
    joined: int = 1
    by: str | None = None


@final
@value
class AnnouncePlaces:
    """Publish which turns wait behind the one that is called up, in their order: that has changed."""


@final
@value
class AskSlot:
    """Ask for a slot for the turn that is called up: `Granted` says when it may start."""

    ticket: Ticket
    claim: Claim


@final
@value
class LeaveSlot:
    """Give a slot back, or ask for it no more."""

    ticket: Ticket


@final
@value
class ReplyPlaced:
    """Answer about a turn that waits for a slot, or about all that wait, with where it stands there."""

    to: ReplyAddress | None
    answer: Accepted | tuple[QueuedTurn, ...]
    ticket: Ticket


@final
@value
class Reply:
    """Answer the asker."""

    to: ReplyAddress | None
    answer: Any = None


@final
@value
class Refuse:
    """Answer the asker with an error: nothing has changed."""

    to: ReplyAddress | None
    error: SessionError


@final
@value
class SetTimer:
    """Send a `Tick` at this moment."""

    at: float


@final
@value
class CloseStreams:
    """End the streams of all subscribers, with the reason as the text of ``close``."""

    end: StreamEnd


@final
@value
class CountStale:
    """Count a report from a turn that does not hold the session, or no longer does."""


# -- What is only to be kept --------------------------------------------------------------------------


@final
@value
class NoteCancel:
    """Note that a turn on its way out was asked to stop, for a reason that outlives its process.

    It had returned by itself, or a shutdown had cancelled it: it is not cancelled for that.
    """

    turn_id: TurnId
    reason: Reason
    asked_at: float


@final
@value
class NoteUndo:
    """Note that the turn which holds the session is to be undone, and that none of its changes is kept."""

    turn_id: TurnId
    asked_at: float


@final
@value
class NoteEarlyCancel:
    """Note that a cancel came before its send."""

    early: EarlyCancel


@final
@value
class NoteLateEnd:
    """Note that the coroutine of a turn that was given up has ended after all."""

    turn_id: TurnId
    late: LateEnd


@final
@value
class NoteClosed:
    """Note that the session is closed for good: not only by the shutdown of this process."""

    reason: Reason
    closed_at: float


Effect: TypeAlias = (
    StartTurn
    | CancelTurn
    | HoldCancel
    | StopWork
    | Quarantine
    | EndTurn
    | EndAttempt
    | WindUp
    | CutWinding
    | AnnounceQueued
    | MoveWaiting
    | EditWaiting
    | AnnouncePlaces
    | AskSlot
    | LeaveSlot
    | ReplyPlaced
    | Reply
    | Refuse
    | SetTimer
    | CloseStreams
    | CountStale
    | NoteCancel
    | NoteUndo
    | NoteEarlyCancel
    | NoteLateEnd
    | NoteClosed
)
#: What `step` answers: the next state, and what is to be done, in order.
Decision: TypeAlias = tuple[State, tuple[Effect, ...]]


def addressees(effects: tuple[Effect, ...]) -> list[ReplyAddress | None]:
    """The addresses that these effects answer."""
    return [
        effect.ended_to if isinstance(effect, EndTurn | EndAttempt) else effect.to
        for effect in effects
        if isinstance(effect, EndTurn | EndAttempt | Reply | ReplyPlaced | Refuse)
    ]
