"""What a turn is, what is remembered of it, and how its coroutine ended. Data only.

Every moment is in Unix seconds, read from a clock that never goes back; every span is in seconds
unless its name says milliseconds.
"""

from typing import Any, NewType, TypeAlias, final

from .policy import STANDARD, Policy
from .value import value
from .words import CancelCode, Rollback, Step, Strategy, TurnStatus

#: Names a session: 1 to 200 of ``A-Z a-z 0-9 . _ : @ -`` (``log_id`` over HTTP).
SessionId = NewType("SessionId", str)
#: Names a turn, by the same rule (``task_id`` over HTTP).
TurnId = NewType("TurnId", str)
#: The number that a turn draws when it starts: it fences off everything that belongs to an older one.
Epoch: TypeAlias = int


# -- Who asks ---------------------------------------------------------------------------------------


@value
class Asker:
    """On whose behalf a message is sent. ``sees_all``: admins and the host's own code.

    ``bounded``: how much one user may have holds for this one too, and not only what all may have together.
    """

    user: str
    sees_all: bool = False
    bounded: bool = True

    def may_see(self, owner: str) -> bool:
        """Whether the asker may know of a session that belongs to ``owner``."""
        return self.sees_all or self.user == owner


@value
class _Host(Asker):
    """The host's own code. It equals no other asker, whatever user that is."""


#: The host's own code, which may see every session. What it opens for no user belongs to the user ``local``.
HOST: Asker = _Host("local", sees_all=True, bounded=False)

# -- A turn -----------------------------------------------------------------------------------------


@value
class Reason:
    """Why a cancel was requested, by which user, and the text that came with it."""

    code: CancelCode
    by: str | None = None
    text: str | None = None


@value
class TurnError:
    """Why a turn failed: a stable ``code``, the type of what was raised, and the stage that raised it."""

    code: str
    type: str | None = None
    stage: str | None = None


@value
class LateEnd:
    """How an unresponsive turn ended after all."""

    outcome: TurnStatus
    at: float


@value
class TurnOptions:
    """What a caller inside the process hands to its turn: passed on as it is."""

    max_iterations: int | None = None
    context: Any = None


@value
class TurnHead:
    """What is known of a turn from its send on, and stays in its record. It never changes.

    A new field of a send that its record shows goes here: the spec and the record then both have it.
    ``own_policy`` is its policy, if that is not the standard one.
    """

    turn_id: TurnId
    user: str
    agent: str
    submitted_at: float
    fingerprint: bytes | None = None
    strategy: Strategy = Strategy.INTERRUPT
    own_policy: Policy | None = None


class _Headed:
    """What a spec and a record read from the head that they share."""

    __slots__ = ()
    head: TurnHead

    @property
    def turn_id(self) -> TurnId:
        """Which turn (``task_id`` over HTTP)."""
        return self.head.turn_id

    @property
    def user(self) -> str:
        """Who sent its message."""
        return self.head.user

    @property
    def agent(self) -> str:
        """The name of the agent that runs it."""
        return self.head.agent

    @property
    def submitted_at(self) -> float:
        """When its send arrived."""
        return self.head.submitted_at

    @property
    def fingerprint(self) -> bytes | None:
        """A digest of its message and agent, if the client chose its id."""
        return self.head.fingerprint

    @property
    def strategy(self) -> Strategy:
        """What its send did about the turn in flight, if there was one."""
        return self.head.strategy

    @property
    def policy(self) -> Policy:
        """How it is run, fixed when it was sent, and which layer decided what."""
        return self.head.own_policy or STANDARD


@value
class TurnSpec(_Headed):
    """One accepted message and how its turn is to be run. It never changes.

    ``ended_to`` is where its sender waits for the turn's end. ``size`` is about how many bytes of memory the
    message takes, and 0 for a small text.
    """

    head: TurnHead
    session_id: SessionId
    message: Any
    timeout: float | None
    grace: float
    options: TurnOptions | None = None
    ended_to: Any = None
    size: int = 0


@value
class Cancellation:
    """A turn was asked to stop: why, when, and when its coroutine was cancelled for the second time."""

    reason: Reason
    asked_at: float
    again_at: float | None = None


@value
class KeptResult:
    """What a turn's coroutine returned, if that is not ``None``; ``size`` is about how many bytes it takes.

    ``left_out``: it was too large to be kept.
    """

    value: Any
    size: int
    left_out: bool = False


@value
class TurnRecord(_Headed):
    """What is remembered of a turn. In flight it is a snapshot, after that it is the truth.

    ``queued_at`` is set if it had to wait for the session, ``first_event_at`` if its agent emitted anything.
    ``began`` is whether the agent's own function was entered, ``None`` while that is not known: stages and
    ``load_context`` do not count. In flight, both are known where `GetTurn` or `GetSession` asked for them.
    ``result`` is what a turn that has completed returned, ``None`` included. ``attempt`` counts how often it
    was started: more than once only where the process that ran it has ended. Of a turn that waits it is the
    attempt that comes next. ``epoch`` is the last one in which the turn said anything, and the moments are
    those of its last attempt. ``merged_into`` is the turn that has the message of one that is ``merged``.
    ``rollback`` is how far it was undone, if it was.
    """

    head: TurnHead
    epoch: Epoch | None
    status: TurnStatus
    queued_at: float | None = None
    started_at: float | None = None
    first_event_at: float | None = None
    cancellation: Cancellation | None = None
    ended_at: float | None = None
    error: TurnError | None = None
    superseded_by: TurnId | None = None
    ended_late: LateEnd | None = None
    began: bool | None = None
    result: KeptResult | None = None
    attempt: int = 1
    merged_into: TurnId | None = None
    rollback: Rollback | None = None

    @property
    def reason(self) -> Reason | None:
        """Why it was asked to stop, if it was."""
        return None if self.cancellation is None else self.cancellation.reason

    @property
    def cancel_requested_at(self) -> float | None:
        """When it was asked to stop, if it was."""
        return None if self.cancellation is None else self.cancellation.asked_at

    @property
    def cancelled_again_at(self) -> float | None:
        """When its coroutine was cancelled for the second time, if it was."""
        return None if self.cancellation is None else self.cancellation.again_at


@value
class Moment:
    """One step of a turn's timeline; ``ms`` counts from the turn's submission.

    ``reason`` is that of a cancel, ``status`` the turn's last one (of ``ended_late``: what its coroutine did
    in the end), ``settled_after_ms`` how long after the cancel the turn let go of its session. ``decided_by``
    are the fields of the turn's policy that are behind it.
    """

    step: Step
    at: float
    ms: float
    reason: Reason | None = None
    status: TurnStatus | None = None
    settled_after_ms: float | None = None
    decided_by: tuple[str, ...] = ()


# -- How a coroutine ended ----------------------------------------------------------------------------


@final
@value
class Returned:
    """The coroutine returned ``result``."""

    result: Any = None


@final
@value
class Raised:
    """The coroutine raised ``error``, which is not CancelledError."""

    error: BaseException
    code: str = "AGENT_ERROR"


@final
@value
class Stopped:
    """The coroutine raised CancelledError. The session knows whether it was asked to."""


#: How a coroutine ended.
Outcome: TypeAlias = Returned | Raised | Stopped
