"""What a session refuses, and in which words. A refusal changes nothing."""

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import (
    HoldRefused,
    IdempotencyKeyReused,
    NotWaiting,
    NotYoursToEdit,
    NotYoursToStop,
    PreconditionFailed,
    QueueFull,
    SessionBusy,
    SessionClosed,
    SessionError,
    ShuttingDown,
    TooManyUnresponsive,
    TurnIdReused,
    UnknownSession,
    UnknownTurn,
)
from turnkeeper.actors.model.messages import ReplyAddress
from turnkeeper.actors.model.records import SessionId, TurnId, TurnSpec

from .effects import Decision, Refuse
from .states import Closed, Ending, State


def refuse(state: State, to: ReplyAddress | None, error: SessionError) -> Decision:
    """Answer with the error, and leave the session as it is."""
    return state, (Refuse(to, error),)


def busy(turn: TurnSpec, *, waits: bool) -> SessionError:
    """A send that may neither take the place of this turn nor wait for it."""
    what = "waits to be started" if waits else "is in flight"
    return SessionBusy(f"a turn {what} in this session", turn_id=turn.turn_id)


def queue_full(limit: int) -> SessionError:
    """A send that may not wait, because as many wait already as may."""
    return QueueFull(f"at most {limit} turns may wait for this session", limit=limit)


def not_waiting(turn_id: TurnId) -> SessionError:
    """A turn that is to be moved or edited, and does not wait, or is called up."""
    return NotWaiting(f"turn {turn_id!r} does not wait, or is called up already")


def closed(state: Ending | Closed) -> SessionError:
    """A send to a session that is closed, or closes."""
    return SessionClosed(f"session {state.memory.home.session_id!r} is closed")


def crowded(state: State) -> SessionError:
    """A send to a session with too many turns that were given up and still run."""
    return TooManyUnresponsive(
        f"{len(state.memory.quarantined)} turns of this session did not stop and still run"
    )


def reused(turn_id: TurnId) -> SessionError:
    """A send whose turn id, or whose key, stands for another message."""
    if ids.stands_for_key(turn_id):
        return IdempotencyKeyReused(f"the key stands for another message: turn {turn_id!r}")
    return TurnIdReused(f"turn id {turn_id!r} stands for another message")


def precondition_failed(if_match: str) -> SessionError:
    """A message that was meant for another turn than the session's current or last one."""
    return PreconditionFailed(f"turn {if_match!r} is not the session's current or last turn")


def not_yours_to_stop(turn: TurnSpec) -> SessionError:
    """A cancel by a user who may not stop this turn."""
    turn_id = turn.turn_id
    return NotYoursToStop(f"turn {turn_id!r} may be stopped by its sender only", turn_id=turn_id)


def not_yours_to_edit(turn: TurnSpec) -> SessionError:
    """A change of this turn's message by another user."""
    turn_id = turn.turn_id
    return NotYoursToEdit(f"the message of turn {turn_id!r} is its sender's to change", turn_id=turn_id)


def too_late_to_hold() -> SessionError:
    """A critical section of a turn that was cancelled, has returned, or is over."""
    return HoldRefused("the turn was cancelled, or has returned: it may not put that off any more")


def too_many_holds(most: int) -> SessionError:
    """A critical section of a turn that is in as many as it may be in."""
    return HoldRefused(f"at most {most} critical sections of a turn may be entered at a time")


def unknown_turn(turn_id: str) -> UnknownTurn:
    """A question about a turn that its session does not know."""
    return UnknownTurn(f"no turn {turn_id!r} in this session")


def unknown(session_id: SessionId) -> SessionError:
    """A question about a session that is not known, or is another user's."""
    return UnknownSession(f"no session {session_id!r}")


def shutting_down() -> SessionError:
    """Whatever comes, or still waits, when the registry ends."""
    return ShuttingDown("the server is shutting down")
