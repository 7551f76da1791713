"""The events of a turn -> its chunks, or the completion as a whole. Pure.

What an agent emits beside its text, what it thinks and why its model has stopped cannot be said here, and is
left out.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, assert_never

from turnkeeper.actors.events.wire import TurnData
from turnkeeper.actors.model.records import SessionId, TurnHead, TurnRef
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.wires.openai.ids import suffix
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

from .ends import Failed, error_of_close, error_of_end, error_of_restart, error_of_size

Json: TypeAlias = dict[str, Any]
#: A field that the protocol itself does not have, in which many clients look for what a model thinks.
THOUGHTS: Final = "reasoning_content"

#: Why the model of a turn that has completed has stopped, unless its agent says another reason.
STOP: Final = "stop"


@value
class Identity:
    """What is the same in all chunks of a turn: whose session that is, and what is known from its send on."""

    session: SessionId
    head: TurnHead

    def named(self, kind: str) -> Json:
        """The beginning of an object of that kind."""
        head = self.head
        return {
            "id": f"chatcmpl-{suffix(TurnRef(self.session, head.turn_id))}",
            "object": kind,
            "created": int(head.submitted_at),
            "model": head.agent,
        }


def _usage(turn: TurnData) -> Json | None:
    """What the turn has used; ``None`` unless both of the numbers that this protocol asks for are known."""
    usage = turn["usage"]
    if usage is None or usage["input_tokens"] is None or usage["output_tokens"] is None:
        return None
    found: Json = {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }
    if usage["cached_tokens"] is not None:
        found["prompt_tokens_details"] = {"cached_tokens": usage["cached_tokens"]}
    if usage["reasoning_tokens"] is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": usage["reasoning_tokens"]}
    return found


class Chunks:
    """The chunks of one turn: a fold, as `writing` has them."""

    def __init__(self, identity: Identity, *, with_usage: bool) -> None:
        self._begin = identity.named("chat.completion.chunk")
        self._with_usage = with_usage
        self._begun = False
        #: Whether any text was given out.
        self._spoke = False
        self._finish = STOP
        #: Why it is about to fail, as its agent has said it.
        self._failure: str | None = None
        self._over = False
        #: Whether all of the reply was given out.
        self.completed = False

    def __call__(self, found: Said | StreamClosed) -> Iterable[Any]:
        """The chunks that this adds, or an error that ends them."""
        if self._over:
            return ()
        match found:
            case Started():
                return self._start()
            case Text(text):
                return self._text(text)
            case Reasoning(text):
                return (self._chunk({THOUGHTS: text}),) if text else ()
            case CutOff(from_start):
                self._finish, self._failure = STOP, None
                # What was given out cannot be taken back.
                return self._fail(error_of_restart()) if from_start and self._spoke else ()
            case Ended():
                return self._end(found)
            case StreamClosed():
                return self._fail(error_of_close(found))
            case Data():
                self._finish = found.cut_short or self._finish
                self._failure = found.failure or self._failure
                return ()
            case ToolCalled() | ToolEnded():
                return ()
            case _:
                assert_never(found)

    def _start(self) -> Iterable[Json]:
        begun, self._begun = self._begun, True
        return () if begun else (self._chunk({"role": "assistant", "content": ""}),)

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._begin, "choices": [choice]}
        return {**chunk, "usage": None} if self._with_usage else chunk

    def _text(self, text: str) -> Iterable[Json]:
        if not text:
            return ()
        self._spoke, self._failure = True, None
        return (self._chunk({"content": text}),)

    def _end(self, end: Ended) -> Iterable[Any]:
        failed = error_of_end(end, said=self._failure)
        if failed is not None:
            return self._fail(failed)
        self._over = self.completed = True
        chunks = [] if self._spoke else [*self._text(_reply(end))]
        chunks.append(self._chunk({}, self._finish))
        if self._with_usage and (usage := _usage(end.turn)) is not None:
            chunks.append({**self._begin, "choices": [], "usage": usage})
        return chunks

    def _fail(self, failed: Failed) -> Iterable[Any]:
        self._over = True
        return (failed.answer,)


def _reply(end: Ended) -> str:
    """The reply of a turn that has emitted none."""
    return end.result if isinstance(end.result, str) else ""


class Whole:
    """The completion of one turn, as a whole."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._finish = STOP
        #: Why it is about to fail, as its agent has said it.
        self._failure: str | None = None
        self._end: Ended | None = None
        #: How many characters it has so far.
        self.size = 0

    def take(self, found: Said) -> None:
        """Add this."""
        match found:
            case Text(text):
                self._texts.append(text)
                self._failure = None
                self.size += len(text)
            case Reasoning(text):
                self._thoughts.append(text)
                self.size += len(text)
            case CutOff(from_start):
                self._finish, self._failure = STOP, None
                if from_start:
                    self._texts, self._thoughts, self.size = [], [], 0
            case Ended():
                self._end = found
            case Data():
                self._finish = found.cut_short or self._finish
                self._failure = found.failure or self._failure
            case Started() | ToolCalled() | ToolEnded():
                pass
            case _:
                assert_never(found)

    def answer(self, most: int, why: StreamEnd | None = None) -> Json | Failed:
        """It, or why there is none. It may have ``most`` characters; ``why`` is why its events have ended."""
        end, text = self._end, "".join(self._texts)
        if self.size > most:
            return error_of_size(most)
        if end is None:
            return error_of_close(StreamClosed(why), text)
        return error_of_end(end, text, self._failure) or self._completion(end, text)

    def _completion(self, end: Ended, text: str) -> Json:
        message = {"role": "assistant", "content": text or _reply(end), "refusal": None}
        if thoughts := "".join(self._thoughts):
            message[THOUGHTS] = thoughts
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        completion = {**self._identity.named("chat.completion"), "choices": [choice]}
        usage = _usage(end.turn)
        return completion if usage is None else {**completion, "usage": usage}
