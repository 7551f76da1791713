"""The messages that a chat is opened with: what was said in it so far. Pure.

What the conversation keeps has the shape that its agent gave it: the user's and the assistant's messages are
shown, with the texts and images in them. A turn is part of it when it has ended. Until then its message comes
from its first event, and names the turn as the reply that a client is to resume.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.value import value
from turnkeeper.web.wires.said import CutOff, Text, said

from .message import STREAM_ID

#: A message as the AI SDK's clients hold it: its ``UIMessage``.
UIMessage: TypeAlias = dict[str, Any]
#: What an image is of which only its place is known.
_SOME_IMAGE: Final = "image/*"


def kept(messages: Iterable[Any], first: int) -> list[UIMessage]:
    """The messages of a conversation; ``first`` is the number of the first one of these.

    Each has the same id whenever it is asked for, as long as nothing before it is undone.
    """
    shown = (_kept(message, number) for number, message in enumerate(messages, first))
    return [each for each in shown if each is not None]


def _kept(message: Any, number: int) -> UIMessage | None:
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
        return None
    about: dict[str, Any] = {}
    if message.get("cut_off") is True:
        about["cutOff"] = True
    if isinstance(code := message.get("error"), str):
        about |= {"status": "failed", "code": code}
    parts = parts_of(message.get("content"))
    # What calls a tool may say nothing.
    return _message(number, message["role"], parts, about) if parts or about else None


@value
class Going:
    """A turn that has not ended, and what it has said so far; ``message`` is ``None`` if it is not known."""

    turn_id: str
    message: Any
    text: str


def begun(turns: Sequence[Going], first: int) -> list[UIMessage]:
    """The messages of turns that have not ended, of which each makes way for the next.

    The last one is the one to resume: of that there is no reply. The others are not resumed.
    """
    return [
        each
        for number, turn in enumerate(turns)
        for each in _begun(turn, first + 2 * number, turn is turns[-1])
    ]


def _begun(turn: Going, number: int, is_resumed: bool) -> Iterator[UIMessage]:
    if turn.message is not None:
        yield _message(
            number, "user", parts_of(turn.message), {STREAM_ID: turn.turn_id} if is_resumed else {}
        )
    if not is_resumed:
        yield _message(number + 1, "assistant", parts_of(turn.text), {"cutOff": True})


def _message(number: int, role: str, parts: list[dict[str, Any]], about: dict[str, Any]) -> UIMessage:
    message = {"id": f"before-{number}", "role": role, "parts": parts}
    return {**message, "metadata": about} if about else message


def parts_of(content: Any) -> list[dict[str, Any]]:
    """The parts of a message as a client shows them; of other kinds than it knows there is nothing."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    return list(_parts(content)) if isinstance(content, list | tuple) else []


def _parts(content: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for part in content:
        match part:
            case {"elided": True, "type": kind, "bytes": size}:
                yield {"type": "data-elided", "data": {"type": kind, "bytes": size}}
            case {"type": "text", "text": str(text)}:
                yield {"type": "text", "text": text}
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                yield {"type": "file", "mediaType": _media(url), "url": url}
            case _:
                pass


def _media(url: str) -> str:
    """The media type of an image, as far as its address says it."""
    if not url.startswith("data:"):
        return _SOME_IMAGE
    return url[len("data:") :].split(",", 1)[0].split(";", 1)[0] or _SOME_IMAGE


def text_of(events: Iterable[Event]) -> str:
    """What the events of a turn have said of its reply."""
    text: list[str] = []
    for each in map(said, events):
        if isinstance(each, Text):
            text.append(each.text)
        elif isinstance(each, CutOff) and each.from_start:
            text.clear()
    return "".join(text)
