"""What a turn may use up, beside its time. Pure."""

from typing import Final, assert_never

from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import CancelCode, OnDisconnect


@value
class Terms:
    """What a turn may use up. ``None``: as much as it likes.

    ``stall_timeout`` is for how many seconds it may emit nothing, ``abandon_after`` for how many it may have
    no reader.
    """

    max_events: int | None = None
    max_event_bytes: int | None = None
    stall_timeout: float | None = None
    abandon_after: float | None = None
    max_tokens: int | None = None


#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us.
CONTINUE: Final = OnDisconnect.CONTINUE


#: For how many seconds at least a turn may have no reader that goes on after a restart: those that it had
#: have not left, but lost the server.
COME_BACK: Final = 10.0


def terms_of(policy: Policy, attempt: int = 1) -> Terms | None:
    """The terms that this policy comes to for that attempt; ``None`` if there is nothing to watch."""
    events, size, stall = policy.max_events, policy.max_event_bytes, policy.stall_timeout
    alone = alone_for(policy)
    if alone is not None and attempt > 1:
        alone = max(alone, COME_BACK)
    # Most turns have none, and every turn passes here.
    if events is None and size is None and stall is None and alone is None and policy.max_tokens is None:
        return None
    return Terms(events, size, stall, alone, policy.max_tokens)


def alone_for(policy: Policy) -> float | None:
    """For how many seconds a turn may have no reader; ``None`` for any time."""
    return None if policy.on_disconnect is CONTINUE else _alone(policy.on_disconnect, policy.abandon_after)


def _alone(on_disconnect: OnDisconnect, abandon_after: float) -> float | None:
    match on_disconnect:
        case OnDisconnect.CANCEL:
            return abandon_after
        case OnDisconnect.CONTINUE:
            return None
        case _:
            assert_never(on_disconnect)


def abandoned(alone: float) -> Reason:
    """Why a turn is stopped that has had no reader for so many seconds."""
    return Reason(CancelCode.CLIENT_DISCONNECTED, text=f"no reader for {alone:g} s")
