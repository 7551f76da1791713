"""What a session wants done: imperatives to the actor, performed in order."""

from typing import Any, TypeAlias, final

from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import ReplyAddress
from turnkeeper.actors.model.records import Epoch, Outcome, Reason, TurnRecord, TurnSpec
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import StreamEnd

from .states import State


@final
@value
class StartTurn:
    """Publish ``turn.started`` as event 0 of this epoch, and run the coroutine."""

    spec: TurnSpec
    epoch: Epoch


@final
@value
class CancelTurn:
    """Deliver a cancellation to the coroutine."""

    epoch: Epoch
    reason: Reason


@final
@value
class Quarantine:
    """Fence off a coroutine that did not stop: nothing of it is published, its task is kept until it ends."""

    epoch: Epoch


@final
@value
class EndTurn:
    """Publish the terminal event of a turn, and answer those who wait for its end."""

    record: TurnRecord
    outcome: Outcome | None
    ended_to: ReplyAddress | None = None


@final
@value
class AnnounceQueued:
    """Publish that a turn waits for its predecessor to settle."""

    record: TurnRecord


@final
@value
class Reply:
    """Answer the asker."""

    to: ReplyAddress | None
    answer: Any


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
    """The addresses that these effects answer."""
    return [
        effect.ended_to if type(effect) is EndTurn else effect.to
        for effect in effects
        if isinstance(effect, EndTurn | Reply | Refuse)
    ]
