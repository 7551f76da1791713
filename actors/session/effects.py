"""What a session wants done: imperatives to the actor, performed in order."""

from typing import Any, TypeAlias

from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import ReplyAddress
from turnkeeper.actors.model.records import Epoch, Outcome, Reason, StreamEnd, TurnRecord, TurnSpec
from turnkeeper.actors.model.value import value

from .states import State


@value
class StartTurn:
    """Run the coroutine under this epoch, publish ``turn.started`` as its event 0."""

    spec: TurnSpec
    epoch: Epoch


@value
class CancelTurn:
    """Deliver a cancellation to the coroutine."""

    epoch: Epoch
    reason: Reason


@value
class Quarantine:
    """Fence the coroutine off and let go of the session; hold its task until it ends."""

    epoch: Epoch


@value
class EndTurn:
    """The turn has its terminal status: publish its terminal event, answer who waits for its end."""

    record: TurnRecord
    outcome: Outcome | None
    ended_to: ReplyAddress | None = None


@value
class AnnounceQueued:
    """Tell the subscribers of a turn that waits for its predecessor to settle."""

    record: TurnRecord


@value
class Reply:
    """Answer."""

    to: ReplyAddress | None
    answer: Any


@value
class Refuse:
    """Answer with an error; nothing has changed."""

    to: ReplyAddress | None
    error: SessionError


@value
class SetTimer:
    """Send a `Tick` at this moment."""

    at: float


@value
class CloseStreams:
    """End the streams of all subscribers, and say why."""

    end: StreamEnd


@value
class CountStale:
    """A report came from a turn that does not hold the session (any more)."""


Effect: TypeAlias = (
    StartTurn
    | CancelTurn
    | Quarantine
    | EndTurn
    | AnnounceQueued
    | Reply
    | Refuse
    | SetTimer
    | CloseStreams
    | CountStale
)
#: What `step` answers: the next state, and what is to be done, in order.
Decision: TypeAlias = tuple[State, tuple[Effect, ...]]


def addressees(effects: tuple[Effect, ...]) -> list[ReplyAddress | None]:
    """Everyone whom these effects answer."""
    return [
        effect.ended_to if isinstance(effect, EndTurn) else effect.to
        for effect in effects
        if isinstance(effect, EndTurn | Reply | Refuse)
    ]
