"""The types of OpenAI's own client, which what is given out is held to, strictly."""

from functools import cache
from typing import Any

import msgspec
from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItem,
    ConversationItemList,
)
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import TypeAdapter

__all__ = [
    "Conversation",
    "ConversationDeletedResource",
    "ConversationItem",
    "ConversationItemList",
    "Response",
    "ResponseItemList",
    "event",
    "events",
    "object_of",
]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def object_of(kind: Any, said: Any) -> Any:
    """What is said, as that type."""
    return _adapter(kind).validate_json(msgspec.json.encode(said), strict=True)


def event(said: Any) -> Any:
    """An event, as the type of its name."""
    made = object_of(ResponseStreamEvent, said)
    assert made.type == said["type"]
    assert isinstance(made.sequence_number, int)
    return made


def events(stream: bytes) -> list[Any]:
    """All events of a stream, checked, as they were said."""
    said = []
    for frame in stream.decode().split("\n\n")[:-1]:
        if frame == ":":
            continue
        name, data = frame.split("\n")
        each = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {each['type']}"
        event(each)
        said.append(each)
    return said
