"""Why a turn has no reply, or not all of it, in a sentence that a client can show to people. Pure."""

from typing import assert_never

from turnkeeper.actors.model.words import TurnStatus


def sentence(status: TurnStatus, code: str, why: str | None) -> str:
    """The sentence about a turn that failed, in whatever way; ``why`` is its agent's own, if there is one."""
    match status:
        case TurnStatus.FAILED:
            return f"the agent has failed: {code}" if why is None else why
        case TurnStatus.TIMED_OUT:
            return "the agent has taken too long, and was stopped"
        case TurnStatus.INTERRUPTED:
            return "the agent was interrupted: the server has ended or failed"
        case TurnStatus.UNRESPONSIVE:
            return "the agent was stopped, and has not ended in time"
        case (
            TurnStatus.QUEUED
            | TurnStatus.RUNNING
            | TurnStatus.CANCELLING
            | TurnStatus.COMPLETED
            | TurnStatus.CANCELLED
            | TurnStatus.MERGED
        ):
            raise ValueError(f"a turn that is {status} has not failed")
        case _:
            assert_never(status)
