"""Turns and sessions for tests, with what a test does not care about filled in."""

from typing import Any

from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Reason,
    SessionId,
    TurnHead,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.line import Waiting, line_of
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import (
    Ask,
    Asked,
    Closing,
    Ending,
    Holder,
    Home,
    Limits,
    Memory,
    Phase,
    Running,
)

#: What a session with the default settings remembers.
LIMITS = Settings().limits


def head(
    turn_id: str = "t",
    *,
    user: str = "ada",
    agent: str = "coder",
    submitted_at: float = 1.0,
    fingerprint: bytes | None = None,
    own_policy: Policy | None = None,
    params_json: str | None = None,
    needs_options: bool = False,
) -> TurnHead:
    strategy = (own_policy or STANDARD).strategy
    return TurnHead(
        TurnId(turn_id),
        user,
        agent,
        submitted_at,
        fingerprint,
        strategy,
        own_policy,
        params_json=params_json,
        needs_options=needs_options,
    )


def spec(
    turn_id: str = "t",
    *,
    session: str = "s",
    message: Any = "hi",
    timeout: float | None = None,
    grace: float = 4.0,
    size: int = 0,
    **of_head: Any,
) -> TurnSpec:
    return TurnSpec(head(turn_id, **of_head), SessionId(session), message, timeout, grace, size=size)


#: The fields of a record that are those of its head.
OF_HEAD = ("user", "agent", "submitted_at", "fingerprint", "own_policy", "params_json", "needs_options")


def record(
    turn_id: str = "t", epoch: Epoch | None = 1, status: TurnStatus = TurnStatus.COMPLETED, **fields: Any
) -> TurnRecord:
    of_head = {name: fields.pop(name) for name in OF_HEAD if name in fields}
    return TurnRecord(head(turn_id, **of_head), epoch, status, **fields)


def memory(owner: str = "ada", *, session: str = "s", limits: Limits = LIMITS, **fields: Any) -> Memory:
    return Memory(Home(SessionId(session), owner, limits), **fields)


def running(
    spec: TurnSpec,
    epoch: Epoch = 4,
    *,
    started_at: float = 2.0,
    deadline: float | None = None,
    queued_at: float | None = None,
    memory: Memory,
) -> Running:
    return Running(memory, Holder(spec, epoch, started_at, queued_at), deadline)


def cancelling(
    held: Running,
    reason: Reason,
    *,
    asked_at: float = 3.0,
    again_at: float | None = None,
    phase: Phase = Asked(5.0, 7.0),  # noqa: B008  a value
    asks: tuple[Ask, ...] = (),
    front: Waiting | None = None,
    closing: Closing | None = None,
) -> Ending:
    asked = Cancellation(reason, asked_at, again_at)
    return Ending(held.memory, held.turn, asked, phase, asks, line_of(front), closing)
