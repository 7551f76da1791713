"""What of a session survives its process: the durable part of its state. Data only."""

from turnkeeper.actors.model.records import Cancellation, Epoch, Reason, TurnRecord, TurnSpec
from turnkeeper.actors.model.value import value
from turnkeeper.actors.session.states import EarlyCancel


@value
class OpenTurn:
    """A turn that has not ended. ``epoch`` and ``started_at`` are those of its attempt, if that has started.

    Its spec has no address to answer, and no options: those were another process's.
    """

    spec: TurnSpec
    epoch: Epoch | None = None
    started_at: float | None = None
    queued_at: float | None = None
    attempt: int = 1
    cancellation: Cancellation | None = None


@value
class Durable:
    """One session, as its log says. ``holder`` holds it, ``waiting`` waits for it.

    ``closed`` is why it was closed, if it was.
    """

    owner: str
    last_epoch: Epoch = 0
    records: tuple[TurnRecord, ...] = ()
    early: tuple[EarlyCancel, ...] = ()
    quarantined: tuple[TurnRecord, ...] = ()
    holder: OpenTurn | None = None
    waiting: OpenTurn | None = None
    closed: Reason | None = None
