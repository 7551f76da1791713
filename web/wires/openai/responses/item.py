"""What a response has put out: its items, each as it grows, with the events that say so. Pure.

A tool that an agent uses is said to be an ``mcp_call``: of this API's kinds of items it is the one for a
call that the server makes by itself, and shows with its outcome. A ``function_call`` would ask the client to
make it.
"""

import json
from io import StringIO
from typing import Any, Final, Literal, TypeAlias

from turnkeeper.actors.model.value import value
from turnkeeper.web.wires.said import ToolCalled, ToolEnded

#: How an item stands.
Status: TypeAlias = Literal["in_progress", "completed", "incomplete", "failed"]
#: An event without its number, or an object in one.
Json: TypeAlias = dict[str, Any]


@value
class Kind:
    """A kind of items that are written piece by piece: what it is called, in each of the events about it."""

    prefix: str
    type: str
    part: str
    events: str
    of_item: tuple[tuple[str, Any], ...]
    of_part: tuple[tuple[str, Any], ...] = ()
    of_text: tuple[tuple[str, Any], ...] = ()


MESSAGE: Final = Kind(
    "msg",
    "message",
    "output_text",
    "response.output_text",
    (("role", "assistant"),),
    (("annotations", ()), ("logprobs", ())),
    (("logprobs", ()),),
)
REASONING: Final = Kind("rs", "reasoning", "reasoning_text", "response.reasoning_text", (("summary", ()),))


class Room:
    """How much of the texts is kept, in characters, for the events that repeat them."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        #: How many more; below 0, some were left out.
        self.left = most

    def take(self, text: str) -> str:
        """What there is room for."""
        left = self.left
        self.left -= len(text)
        return text if self.left >= 0 else text[: max(0, left)]


class Written:
    """A message, or what the agent thinks: a text that is written piece by piece."""

    __slots__ = ("_id", "_room", "_status", "_text", "index", "is_whole", "kind")

    def __init__(self, kind: Kind, suffix: str, index: int, room: Room) -> None:
        self.kind = kind
        #: Its place in the output.
        self.index = index
        #: Whether all of its text is kept.
        self.is_whole = True
        self._id = f"{kind.prefix}_{index}_{suffix}"
        self._room = room
        self._text: StringIO | None = StringIO(newline="\n")
        self._status: Status = "in_progress"

    def begin(self) -> list[Json]:
        """The events that it has begun."""
        return [
            {"type": "response.output_item.added", "output_index": self.index, "item": self._item(())},
            {**self._where("response.content_part.added"), "part": self._part("")},
        ]

    def write(self, text: str) -> Json:
        """The event that it goes on with this piece."""
        kept = self._room.take(text)
        self.is_whole = self.is_whole and len(kept) == len(text)
        if self._text is not None:
            self._text.write(kept)
        return {**self._where(f"{self.kind.events}.delta"), "delta": text, **dict(self.kind.of_text)}

    def end(self, status: Literal["completed", "incomplete"]) -> list[Json]:
        """The events that nothing more comes of it. One of which not all is kept is incomplete."""
        self._status = status if self.is_whole else "incomplete"
        text = "" if self._text is None else self._text.getvalue()
        return [
            {**self._where(f"{self.kind.events}.done"), "text": text, **dict(self.kind.of_text)},
            {**self._where("response.content_part.done"), "part": self._part(text)},
            {"type": "response.output_item.done", "output_index": self.index, "item": self.item},
        ]

    def void(self) -> None:
        """It is as if it had not been said: another attempt says everything again."""
        self._text, self._status = None, "incomplete"

    @property
    def item(self) -> Json:
        """The item as it is now."""
        return self._item(() if self._text is None else (self._part(self._text.getvalue()),))

    def _item(self, content: tuple[Json, ...]) -> Json:
        kind = self.kind
        return {
            "id": self._id,
            "type": kind.type,
            **dict(kind.of_item),
            "status": self._status,
            "content": content,
        }

    def _part(self, text: str) -> Json:
        return {"type": self.kind.part, "text": text, **dict(self.kind.of_part)}

    def _where(self, event: str) -> Json:
        return {"type": event, "item_id": self._id, "output_index": self.index, "content_index": 0}


class Called:
    """A call of a tool that the agent makes."""

    __slots__ = ("_arguments", "_id", "_name", "_outcome", "_room", "_server", "_status", "index")

    def __init__(self, call: ToolCalled, server: str, suffix: str, index: int, room: Room) -> None:
        #: Its place in the output.
        self.index = index
        self._id = f"mcp_{index}_{suffix}"
        self._server = server
        self._name = call.name
        self._room = room
        # Readers of this API take the text for JSON: that it is not shown, or not whole, cannot be said.
        arguments = "{}" if call.arguments is None else _text(call.arguments)
        self._arguments = arguments if room.take(arguments) == arguments else "{}"
        self._status: Status = "in_progress"
        self._outcome: Json = {}

    def begin(self) -> list[Json]:
        """The events that it has begun."""
        item = {**self.item, "arguments": ""}  # as OpenAI itself begins: clients put the pieces together
        return [
            {"type": "response.output_item.added", "output_index": self.index, "item": item},
            self._about("response.mcp_call.in_progress"),
            {**self._about("response.mcp_call_arguments.delta"), "delta": self._arguments},
            {**self._about("response.mcp_call_arguments.done"), "arguments": self._arguments},
        ]

    def end(self, ended: ToolEnded | None) -> list[Json]:
        """The events that it has ended; ``None``: that the turn has, and nothing is known of it."""
        result = None if ended is None or ended.result is None else self._room.take(_text(ended.result))
        match None if ended is None else ended.outcome:
            case "done":
                self._status, self._outcome = "completed", {"output": result}
                said = [self._about("response.mcp_call.completed")]
            case "failed":
                error = {"type": "mcp_tool_execution_error", "content": result or "the tool has failed"}
                self._status, self._outcome = "failed", {"error": error}
                said = [self._about("response.mcp_call.failed")]
            case _:
                self._status, said = "incomplete", []
        return [
            *said,
            {"type": "response.output_item.done", "output_index": self.index, "item": self.item},
        ]

    def void(self) -> None:
        """Another attempt says everything again: but what was called was called."""

    @property
    def item(self) -> Json:
        """The item as it is now."""
        return {
            "id": self._id,
            "type": "mcp_call",
            "server_label": self._server,
            "name": self._name,
            "arguments": self._arguments,
            "status": self._status,
            **self._outcome,
        }

    def _about(self, event: str) -> Json:
        return {"type": event, "item_id": self._id, "output_index": self.index}


#: What a response puts out.
Item: TypeAlias = Written | Called


def _text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
