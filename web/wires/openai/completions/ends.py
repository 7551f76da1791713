"""How a turn that has not completed is said: as an error, never as a reply. Pure."""

from typing import assert_never

from msgspec import UNSET, Struct, UnsetType

from turnkeeper.actors.events.wire import TurnData
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import CancelCode, StreamEnd, TurnStatus
from turnkeeper.web.http.problems import Code
from turnkeeper.web.wires.openai.failures import sentence
from turnkeeper.web.wires.openai.refusals import kind_of
from turnkeeper.web.wires.said import Ended, StreamClosed


class EndBody(Struct):
    """Why there is no reply, or none that is whole.

    ``turn`` is the turn as turnkeeper's own events show it, ``text`` what had been said of the reply.
    """

    message: str
    type: str
    param: None
    code: str
    turn: TurnData | UnsetType = UNSET
    text: str | UnsetType = UNSET


class EndAnswer(Struct):
    """An error that stands where a reply, or the rest of one, would."""

    error: EndBody


@value
class Failed:
    """That error, and the HTTP status that it has where no stream has begun."""

    status: int
    answer: EndAnswer


def _status_of(status: TurnStatus, reason: str | None) -> int | None:
    """The HTTP status of a turn that ended as that; ``None`` for one that completed."""
    match status:
        case TurnStatus.COMPLETED:
            return None
        case TurnStatus.CANCELLED:
            return 503 if reason == CancelCode.SHUTDOWN else 409
        case TurnStatus.MERGED:
            return 409
        case TurnStatus.TIMED_OUT:
            return 504
        case TurnStatus.FAILED | TurnStatus.INTERRUPTED | TurnStatus.UNRESPONSIVE:
            return 500
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"a turn that is {status} has not ended")
        case _:
            assert_never(status)


def error_of_end(ended: Ended, text: str | UnsetType = UNSET, said: str | None = None) -> Failed | None:
    """The error that this end is, after ``text``; ``None`` if the turn has completed.

    ``said`` is why it failed, as its agent has said it.
    """
    turn, of = ended.turn, ended.status
    code = None if turn["reason"] is None else turn["reason"]["code"]
    status = _status_of(of, code)
    if status is None:
        return None
    error = turn["error"]
    # A turn that was cancelled says why; of any other that is not all that happened.
    named: str = code or of if of is TurnStatus.CANCELLED else of
    if error is not None:
        named = error["code"]
    if of in (TurnStatus.CANCELLED, TurnStatus.MERGED):
        why = of.meaning if code is None or of is TurnStatus.MERGED else CancelCode(code).meaning
        message = f"the turn has ended as {of}: {why}"
    else:
        message = sentence(of, named.lower(), said)
    return _failed(status, named, message, turn, text)


def error_of_close(closed: StreamClosed, text: str | UnsetType = UNSET) -> Failed:
    """The same where the stream ends before the turn does."""
    match closed.why:
        case StreamEnd.SHUTDOWN:
            return _failed(
                503, Code.SHUTTING_DOWN, "the server has shut down before the turn's end", text=text
            )
        case StreamEnd.SESSION_LOST:
            return _failed(503, Code.SESSION_LOST, "the session has failed, and with it the turn", text=text)
        case _:
            return _failed(500, Code.EVENTS_LOST, "what the turn has said next is not kept", text=text)


def error_of_restart() -> Failed:
    """The same of a turn that was cut off and says everything again, where some of that is given out."""
    return _failed(503, "restarted", "the turn was cut off, and is started again from its beginning")


def error_of_size(most: int) -> Failed:
    """The same of a reply that is larger than one that is not streamed may be."""
    return _failed(500, "reply_too_long", f"a reply of more than {most} characters must be streamed")


def _failed(
    status: int,
    code: str,
    message: str,
    turn: TurnData | UnsetType = UNSET,
    text: str | UnsetType = UNSET,
) -> Failed:
    return Failed(status, EndAnswer(EndBody(message, kind_of(status), None, code.lower(), turn, text)))
