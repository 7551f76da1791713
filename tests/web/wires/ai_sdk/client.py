"""What a client of the AI SDK makes of a stream, by the rules of its `processUIMessageStream`.

It refuses what that refuses: a piece of a part that is not open, a result of a call that was not made, a
chunk of an unknown kind or without what its kind has. After an error it reads nothing.
"""

from typing import Any, Final

from tests.web.fakes_web import EventSourceParser, Message

#: What comes last.
DONE: Final = "[DONE]"
#: What each kind of chunk has, beside its type, with the type of each.
SHAPES: dict[str, dict[str, Any]] = {
    "start": {"messageId": str, "messageMetadata": dict},
    "start-step": {},
    "finish-step": {},
    "text-start": {"id": str},
    "text-delta": {"id": str, "delta": str},
    "text-end": {"id": str},
    "reasoning-start": {"id": str},
    "reasoning-delta": {"id": str, "delta": str},
    "reasoning-end": {"id": str},
    "tool-input-available": {
        "toolCallId": str,
        "toolName": str,
        "input": object,
        "providerExecuted": bool,
        "dynamic": bool,
    },
    "tool-output-available": {"toolCallId": str, "output": object, "providerExecuted": bool, "dynamic": bool},
    "tool-output-error": {"toolCallId": str, "errorText": str, "providerExecuted": bool, "dynamic": bool},
    "message-metadata": {"messageMetadata": dict},
    "finish": {"finishReason": str, "messageMetadata": dict},
    "abort": {"reason": str},
    "error": {"errorText": str},
}


class ClientMessage:
    """The message that a client shows."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.parts: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {}
        self.error: str | None = None
        self.aborted: str | None = None
        self.finished: str | None = None
        self._open: dict[tuple[str, str], dict[str, Any]] = {}

    def take(self, chunks: list[Any]) -> "ClientMessage":
        """Take chunks."""
        for chunk in chunks:
            if self.error is None:
                self._take(chunk)
        return self

    def _take(self, chunk: dict[str, Any]) -> None:
        kind, more = chunk["type"], {name: each for name, each in chunk.items() if name != "type"}
        if kind.startswith("data-"):
            assert more.keys() == {"data"}
            self.parts.append(chunk)
            return
        assert more.keys() == SHAPES[kind].keys(), chunk
        assert all(isinstance(each, SHAPES[kind][name]) for name, each in more.items()), chunk
        if "messageMetadata" in more:
            self.metadata.update(more["messageMetadata"])
        match kind.split("-"):
            case ["start"]:
                self.id = more["messageId"]
            case ["start", "step"]:
                self.parts.append({"type": "step-start"})
            case ["text" | "reasoning" as part, "start"]:
                assert (part, more["id"]) not in self._open
                self._open[part, more["id"]] = {"type": part, "text": "", "state": "streaming"}
                self.parts.append(self._open[part, more["id"]])
            case ["text" | "reasoning" as part, "delta"]:
                self._open[part, more["id"]]["text"] += more["delta"]
            case ["text" | "reasoning" as part, "end"]:
                self._open.pop((part, more["id"]))["state"] = "done"
            case ["tool", "input", "available"]:
                self._call(more)
            case ["tool", "output", "available"]:
                self._called(more).update(state="output-available", output=more["output"])
            case ["tool", "output", "error"]:
                self._called(more).update(state="output-error", errorText=more["errorText"])
            case ["abort"]:
                self.aborted = more["reason"]
            case ["error"]:
                self.error = more["errorText"]
            case ["finish"]:
                self.finished = more["finishReason"]

    def _call(self, more: dict[str, Any]) -> None:
        known = [part for part in self.parts if part.get("toolCallId") == more["toolCallId"]]
        part = {"type": "dynamic-tool", "toolCallId": more["toolCallId"], "toolName": more["toolName"]}
        part |= {"input": more["input"], "state": "input-available"}
        if known:
            known[0].update(part)
        else:
            self.parts.append(part)

    def _called(self, more: dict[str, Any]) -> dict[str, Any]:
        return next(part for part in self.parts if part.get("toolCallId") == more["toolCallId"])

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def whole(self) -> bool:
        """Whether nothing in it is shown as if it went on."""
        return not self._open and all(part.get("state") != "input-available" for part in self.parts)

    @property
    def shown(self) -> list[Any]:
        """Its parts but for the boundary of the step."""
        return [part for part in self.parts if part["type"] != "step-start"]


def chunk_of(event: Message) -> Any:
    """The chunk that an event is; the last one is ``[DONE]``."""
    return event.data if event.data == DONE else event.json


def chunks_of(stream: bytes) -> list[Any]:
    """The chunks in the bytes of a whole stream but for its end, which it must have."""
    *chunks, last = map(chunk_of, EventSourceParser().feed(stream))
    assert last == DONE
    return chunks
