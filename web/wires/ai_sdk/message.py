"""The message that a turn is to a chat of the AI SDK, chunk by chunk. Pure.

A chunk is what the SDK's ``uiMessageChunkSchema`` takes; only kinds and values are used that its versions 5
to 7 have in common. Clients show nothing of an ``abort``, and read nothing after an ``error``: so how a turn
has ended stands in the message's metadata, before either. A message is always said from its beginning: that
is how these clients resume, who throw away what they have of it.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias, assert_never

from turnkeeper.actors.events.wire import UsageData, to_json
from turnkeeper.actors.model.words import ToolStatus, TurnStatus
from turnkeeper.actors.turn.tools.answers import CUT_OFF
from turnkeeper.web.wires.said import (
    CutOff,
    Data,
    Ended,
    Reasoning,
    Said,
    Started,
    StreamClosed,
    Text,
    ToolCalled,
    ToolEnded,
)

from .attempts import Attempts

#: One chunk, as JSON.
Chunk: TypeAlias = dict[str, Any]
#: What the SDK calls the reply that is on its way, and its guide has pages name it as.
STREAM_ID: Final = "activeStreamId"
#: The kinds of parts that come in pieces.
_TEXT: Final = "text"
_REASONING: Final = "reasoning"


def beginning(turn_id: str) -> Chunk:
    """What comes before anything of the turn: which message it is."""
    return {"type": "start", "messageId": turn_id, "messageMetadata": {STREAM_ID: turn_id}}


class Message:
    """The fold of one turn: it makes the chunks that come after the `beginning`."""

    __slots__ = ("_attempts", "_calls", "_ended", "_open", "_parts", "_spoken", "_stepped")

    def __init__(self, attempt: int = 1) -> None:
        """``attempt`` is the one in which the turn is when it begins to be read."""
        self._attempts = Attempts(attempt)
        #: The kind of the part that is open, and its id.
        self._open: tuple[str, str] | None = None
        #: How many parts have come in pieces.
        self._parts = 0
        #: The calls of tools that have not ended, in order.
        self._calls: dict[str, None] = {}
        #: Whether there is a text.
        self._spoken = False
        #: Whether the SDK's one step has begun.
        self._stepped = False
        #: Whether nothing more is said.
        self._ended = False

    def __call__(self, said: Said | StreamClosed) -> Iterator[Chunk]:
        """What this adds."""
        for each in self._attempts.take(said):
            if not self._ended:
                yield from self._say(each)

    def _say(self, said: Said | StreamClosed) -> Iterator[Chunk]:
        match said:
            case Started():
                if not self._stepped:
                    self._stepped = True
                    yield {"type": "start-step"}
            case Text(text):
                self._spoken = self._spoken or bool(text)
                yield from self._piece(_TEXT, text)
            case Reasoning(text):
                yield from self._piece(_REASONING, text)
            case ToolCalled(call, name, arguments):
                yield from self._close_part()
                yield self._called(call, name, arguments)
            case ToolEnded():
                if said.id not in self._calls:
                    yield self._called(said.id, said.name, None)
                yield self._returned(said)
            case Data(name, data):
                # The part that is open stays so: a client keeps it whole, and this behind it.
                yield {"type": f"data-{name}", "data": data}
            case CutOff(from_start):
                if from_start:
                    yield from self._break_off(
                        "The turn will be started anew (restarted): resume the stream."
                    )
                else:
                    yield from self._close_calls()
            case Ended(result=result):
                self._ended = True
                if not self._spoken and isinstance(result, str):
                    yield from self._piece(_TEXT, result)  # the reply, where there is no other
                yield from self._close()
                if self._stepped:
                    yield {"type": "finish-step"}
                yield from _ending(said)
            case StreamClosed():
                yield from self._break_off(
                    "The stream has ended before the turn did (stream_closed): resume it."
                )
            case _:
                assert_never(said)

    # -- Parts that come in pieces --------------------------------------------------------------------

    def _piece(self, kind: str, text: str) -> Iterator[Chunk]:
        """A piece of a part of that kind, which is begun if none is open."""
        if not text:
            return
        if self._open is None or self._open[0] != kind:
            yield from self._close_part()
            self._parts += 1
            self._open = kind, f"{kind}-{self._parts}"
            yield {"type": f"{kind}-start", "id": self._open[1]}
        yield {"type": f"{kind}-delta", "id": self._open[1], "delta": text}

    def _close_part(self) -> Iterator[Chunk]:
        if self._open is not None:
            kind, part = self._open
            self._open = None
            yield {"type": f"{kind}-end", "id": part}

    # -- Calls of tools -------------------------------------------------------------------------------

    def _called(self, call: str, name: str, arguments: Any) -> Chunk:
        self._calls[call] = None
        return _of_call("tool-input-available", call, toolName=name, input=arguments)

    def _returned(self, call: ToolEnded) -> Chunk:
        self._calls.pop(call.id, None)
        outcome = ToolStatus(call.outcome)
        match outcome:
            case ToolStatus.DONE:
                return _of_call("tool-output-available", call.id, output=call.result)
            case ToolStatus.FAILED:
                shown = "The tool has failed." if call.result is None else call.result
                return _failed(call.id, shown if isinstance(shown, str) else to_json(shown))
            case ToolStatus.CANCELLED:
                return _failed(call.id, CUT_OFF)
            case _:
                assert_never(outcome)

    def _close_calls(self) -> Iterator[Chunk]:
        """Nothing has come of the calls that are open."""
        calls, self._calls = self._calls, {}
        for call in calls:
            yield _failed(call, CUT_OFF)

    # -- The end --------------------------------------------------------------------------------------

    def _close(self) -> Iterator[Chunk]:
        yield from self._close_part()
        yield from self._close_calls()

    def _break_off(self, why: str) -> Iterator[Chunk]:
        """It goes on, but not here."""
        self._ended = True
        yield from self._close()
        yield _error(why)


def _of_call(kind: str, call: str, **more: Any) -> Chunk:
    """A chunk about a call. The client does not make it, and knows no such tool."""
    return {"type": kind, "toolCallId": call, **more, "providerExecuted": True, "dynamic": True}


def _failed(call: str, text: str) -> Chunk:
    return _of_call("tool-output-error", call, errorText=text)


def _error(text: str) -> Chunk:
    return {"type": "error", "errorText": text}


def _ending(ended: Ended) -> Iterator[Chunk]:
    """How the turn has ended: an error is a sentence with a code in it."""
    status, about = ended.status, _about(ended)
    if status is TurnStatus.COMPLETED:
        yield {"type": "finish", "finishReason": "stop", "messageMetadata": about}
        return
    yield {"type": "message-metadata", "messageMetadata": about}
    match status:
        case TurnStatus.CANCELLED | TurnStatus.MERGED:
            yield {"type": "abort", "reason": ended.code}
        case TurnStatus.FAILED:
            yield _error(f"The turn has failed ({ended.code}).")
        case TurnStatus.TIMED_OUT:
            yield _error(f"The turn's time was up ({status}).")
        case TurnStatus.INTERRUPTED:
            yield _error(f"The turn was cut off, because its server's process has ended ({status}).")
        case TurnStatus.UNRESPONSIVE:
            yield _error(f"The turn did not stop in time, and was given up ({status}).")
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"a turn that is {status} has not ended")
        case _:
            assert_never(status)


def _about(ended: Ended) -> dict[str, Any]:
    """What the metadata say of the end; what does not apply is left out."""
    turn, status = ended.turn, ended.status
    about = {
        "status": status,
        "code": None if ended.code == status else ended.code,
        "supersededBy": turn["superseded_by"],
        "mergedInto": turn.get("merged_into"),
        "rolledBack": turn.get("rolled_back"),
        "stillRunning": turn.get("still_running"),
        "usage": _usage(turn["usage"]),
    }
    return _known(about)


def _usage(usage: UsageData | None) -> dict[str, Any] | None:
    """The tokens, as the SDK calls them."""
    if usage is None:
        return None
    tokens = {
        "inputTokens": usage["input_tokens"],
        "outputTokens": usage["output_tokens"],
        "totalTokens": usage["total_tokens"],
        "reasoningTokens": usage["reasoning_tokens"],
        "cachedInputTokens": usage["cached_tokens"],
    }
    return _known(tokens)


def _known(about: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in about.items() if each is not None}
