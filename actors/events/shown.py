"""What readers are shown of a message: its small parts whole, and of each large part what it is. Pure.

A large part, such as an image, is kept once, in the conversation: not in the log of events, and in no answer
about the conversation.
"""

from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
from msgspec import Meta

from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.session.settings import Settings

from .wire import to_json

#: A text of so many characters is always shown.
SURELY_SHOWN = 100
#: How much of a part's type is shown.
MAX_TYPE = 100
_encode = msgspec.json.Encoder().encode


class Sizes(NamedTuple):
    """How much readers are shown: bytes of a part and of a whole message, characters of an event's data.

    An agent's event that is larger is refused, and a result that is larger is left out of the event that ends
    its turn.
    """

    part: int
    message: int
    event: int

    @classmethod
    def of(cls, settings: Settings) -> "Sizes":
        """What the settings say."""
        return cls(settings.shown_part, settings.log_bytes // 2, settings.log_bytes)


class ElidedPart(TypedDict):
    """What is shown of a part that is too large to be shown whole."""

    type: Annotated[str | None, Meta(description="Its type.", examples=["image_url"])]
    bytes: Annotated[int, Meta(description="How many bytes it takes as JSON.", examples=[3_000_077])]
    elided: Annotated[Literal[True], Meta(description="Always `true`.", examples=[True])]


class Shown(NamedTuple):
    """A message for readers, and how many bytes it takes as JSON. ``elided``: whether any part is."""

    message: Any
    size: int
    elided: bool = False


def shown(message: Any, most_of_part: int, most: int) -> Shown:
    """What readers are shown of a message: parts of at most so many bytes each, and ``most`` in all.

    A text, or another message of the host's own kind, is elided as if it were the only part.
    """
    if not isinstance(message, list):
        size = size_of(message)
        if size <= min(most_of_part, most):
            return Shown(message, size)
        return Shown([_elided(message, size)], 0, elided=True)
    parts: list[Any] = []
    total, elided = 0, False
    for part in list.__iter__(message):
        size = size_of(part)
        if size > most_of_part or total + size > most:
            parts.append(_elided(part, size))
            elided = True
        else:
            parts.append(part)
            total += size
    return Shown(parts if elided else message, total, elided)


def shown_as_kept(message: Any, most_of_part: int, most: int) -> Any:
    """The same of a message as an agent keeps it: of the parts in its lists, and of texts beyond ``most``."""
    if size_of(message) <= most_of_part:
        return message
    if not isinstance(message, dict):
        return shown(message, most_of_part, most).message if isinstance(message, list) else message

    def of(member: Any) -> Any:
        if isinstance(member, list) or (isinstance(member, str) and size_of(member) > most):
            return shown(member, most_of_part, most).message
        return member

    return {name: of(member) for name, member in dict.items(message)}


def as_one_part(message: Any) -> Any:
    """What is shown of a message that is too large to be shown at all: its role, and how large it is."""
    content = [_elided(message, size_of(message))]
    if not isinstance(message, dict):
        return content
    role = dict.get(message, "role")
    return {"role": role[:MAX_TYPE], "content": content} if isinstance(role, str) else {"content": content}


def _elided(part: Any, size: int) -> ElidedPart:
    kind = dict.get(part, "type") if isinstance(part, dict) else "text" if isinstance(part, str) else None
    return {"type": kind[:MAX_TYPE] if isinstance(kind, str) else None, "bytes": size, "elided": True}


def size_of(value: Any) -> int:
    """How many bytes a value takes as JSON; 0 if it is not JSON."""
    with suppress(Exception):  # the other encoder knows more, and takes longer
        return len(_encode(value))
    try:
        return len(to_json(value).encode())
    except EventNotJson:
        return 0
