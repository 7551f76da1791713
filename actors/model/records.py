"""What a turn is, what is remembered of it, and how its coroutine ended. Data only.

Every moment is in Unix seconds, read from a clock that never goes back; every span is in seconds
unless its name says milliseconds.
"""

from collections.abc import Mapping
from sys import getsizeof
from typing import Any, Final, NewType, TypeAlias, final

import msgspec

from .frozen import FrozenDict, frozen
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

#: Of a turn whose send has said nothing to the agent beside its message.
NO_PARAMS: Final[Mapping[str, Any]] = FrozenDict()


def params_of(text: str | None) -> Mapping[str, Any]:
    """The params that are kept as this JSON, so that nothing in them can be changed."""
    params: Mapping[str, Any] = NO_PARAMS if text is None else frozen(msgspec.json.decode(text))
    return params


def size_of_params(text: str | None) -> int:
    """About how many bytes of memory the params take that are kept as this JSON."""
    return 0 if text is None else getsizeof(text)


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
    """What a caller inside the process hands to its turn: passed on as it is.

    Another process does not have it. ``needed``: so no other one starts the turn, or starts it again.
    ``size`` is about how many bytes of memory it takes, where that counts for its user.
    """

    max_iterations: int | None = None
    context: Any = None
    needed: bool = False
    size: int = 0


@value
class TurnRef:
    """One turn, by its session and its own id."""

    session_id: SessionId
    turn_id: TurnId


@value
class TurnHead:
    """What is known of a turn from its send on, and stays in its record. It never changes.

    A new field of a send that its record shows goes here: the spec and the record then both have it.
    ``own_policy`` is its policy, if that is not the standard one. ``parent`` is the turn that sent the
    message, if one did. ``params_json`` is what the send has said to the agent beside the message, as JSON.
    ``needs_options``: it is not started without the options of its send, which are of one process.
    """

    turn_id: TurnId
    user: str
    agent: str
    submitted_at: float
    fingerprint: bytes | None = None
    strategy: Strategy = Strategy.INTERRUPT
    own_policy: Policy | None = None
    parent: TurnRef | None = None
    params_json: str | None = None
    needs_options: bool = False


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

    @property
    def parent(self) -> TurnRef | None:
        """The turn that sent its message, if one did."""
        return self.head.parent

    @property
    def params(self) -> Mapping[str, Any]:
        """What its send has said to the agent beside the message: a read-only dict, empty for nothing."""
        return params_of(self.head.params_json)

    @property
    def params_size(self) -> int:
        """About how many bytes of memory they take."""
        return size_of_params(self.head.params_json)


@value
class TurnSpec(_Headed):
    """One accepted message and how its turn is to be run. It never changes.

    ``ended_to`` is where its sender waits for the turn's end. ``size`` is about how many bytes of memory the
    message and the params take; a small text counts for nothing.
    """

    head: TurnHead
    session_id: SessionId
    message: Any
    timeout: float | None
    grace: float
    options: TurnOptions | None = None
    ended_to: Any = None
    size: int = 0

    @property
    def size_besides(self) -> int:
        """About how many bytes of memory that takes which it has beside its message: params and options."""
        return self.params_size + (0 if self.options is None else self.options.size)


@value
class Cancellation:
    """A turn was asked to stop: why, when, and when its coroutine was cancelled for the second time.

    ``delivered_at`` is when it was cancelled for the first time, if a critical section had put that off.
    """

    reason: Reason
    asked_at: float
    again_at: float | None = None
    delivered_at: float | None = None


@value
class KeptResult:
    """What a turn's coroutine returned, if that is not ``None``; ``size`` is about how many bytes it takes.

    ``left_out``: it was too large to be kept.
    """

    value: Any
    size: int
    left_out: bool = False


@value
class StillRunning:
    """How much of what a turn had begun runs on: of its tasks, threads and processes."""

    tasks: int = 0
    threads: int = 0
    processes: int = 0

    def __add__(self, more: "StillRunning") -> "StillRunning":
        """Both in sum."""
        return StillRunning(
            self.tasks + more.tasks, self.threads + more.threads, self.processes + more.processes
        )


#: More tokens are not told apart: the largest number that every reader of JSON reads as it is.
MOST_TOKENS: Final = 2**53 - 1


@value
class Usage:
    """What a turn has used, as its agent has reported it; ``None`` is what it has not said.

    ``cached_tokens`` are among the ``input_tokens``, ``reasoning_tokens`` among the ``output_tokens``.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def kinds(self) -> dict[str, int]:
        """How many of each kind, of those that are known."""
        kinds = {
            "input": self.input_tokens,
            "output": self.output_tokens,
            "cached": self.cached_tokens,
            "reasoning": self.reasoning_tokens,
        }
        return {kind: count for kind, count in kinds.items() if count is not None}

    @property
    def total_tokens(self) -> int | None:
        """Input and output tokens together; ``None`` if neither was reported."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@value
class ToolCall:
    """A call of a tool, by the model's id for it and the tool's name."""

    id: str
    name: str


@value
class ChildTurn(TurnRef):
    """A turn that another one has sent a message for: when, and as what and when it ended, if it has."""

    sent_at: float = 0.0
    status: TurnStatus | None = None
    ended_at: float | None = None


@value
class Extras:
    """What is known of a turn that most turns have nothing of.

    ``usage`` is what it has used, ``still_running`` what of it was running when it was given up, ``children``
    are the turns that it has sent messages to, ``open_calls`` the calls of tools that it had not come back
    from at its end.
    """

    usage: Usage | None = None
    still_running: StillRunning | None = None
    children: tuple[ChildTurn, ...] = ()
    open_calls: tuple[ToolCall, ...] = ()


#: Of most turns.
NO_EXTRAS = Extras()


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
    ``rollback`` is how far it was undone, if it was. ``held``: it is in flight, and its cancel waits for a
    critical section. Of most turns there are no ``extras``.
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
    held: bool = False
    extras: Extras | None = None

    @property
    def size(self) -> int:
        """About how many bytes of memory that takes which it has of its own: its result and its params."""
        return self.params_size + (0 if self.result is None else self.result.size)

    @property
    def usage(self) -> Usage | None:
        """What it has used, if its agent has reported that."""
        return None if self.extras is None else self.extras.usage

    @property
    def still_running(self) -> StillRunning | None:
        """What of it was running when it was given up, if anything but its coroutine was."""
        return None if self.extras is None else self.extras.still_running

    @property
    def children(self) -> tuple[ChildTurn, ...]:
        """The turns that it has sent messages to."""
        return () if self.extras is None else self.extras.children

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that it had not come back from at its end."""
        return () if self.extras is None else self.extras.open_calls

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

    @property
    def cancel_delivered_at(self) -> float | None:
        """When its coroutine was cancelled, if a critical section had put that off."""
        return None if self.cancellation is None else self.cancellation.delivered_at


@value
class Moment:
    """One step of a turn's timeline; ``ms`` counts from the turn's submission.

    ``reason`` is that of a cancel, ``status`` the turn's last one (of ``ended_late``: what its coroutine did
    in the end), ``settled_after_ms`` how long after the cancel the turn let go of its session,
    ``queue_wait_ms`` for how long it had waited when it started. ``turn`` is the other one that it is about,
    which is a child of its. ``decided_by`` are the fields of the turn's
    policy that are behind it.
    """

    step: Step
    at: float
    ms: float
    reason: Reason | None = None
    status: TurnStatus | None = None
    settled_after_ms: float | None = None
    decided_by: tuple[str, ...] = ()
    queue_wait_ms: float | None = None
    turn: TurnRef | None = None


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
