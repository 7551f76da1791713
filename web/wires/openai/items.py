"""Messages, as agents know them, as the items of this API. Pure.

Each message is one item. What an item has no word for is left out: the calls of tools that an agent keeps
with its messages, and parts that are neither texts nor images. An image that is too large to be shown is
there without its address.
"""

from typing import Any, Final, TypeAlias

from turnkeeper.actors.events.shown import size_of
from turnkeeper.actors.model.content import whole_text

Json: TypeAlias = dict[str, Any]

#: What the roles are called here. Any other is not known.
_ROLES: Final = {
    **{role: role for role in ("user", "assistant", "system", "developer", "tool")},
    "function": "tool",
}
_DETAILS: Final = ("low", "high", "auto", "original")


def item_of(item_id: str, message: Any, most_of_part: int) -> Json:
    """The item that this message is. Images of more than so many bytes are not shown."""
    said = message if isinstance(message, dict) else {"content": message}
    role = _ROLES.get(str(dict.get(said, "role")), "unknown")
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": "incomplete" if dict.get(said, "cut_off") is True else "completed",
        "content": content_of(dict.get(said, "content"), role, most_of_part),
    }


def content_of(content: Any, role: str, most_of_part: int) -> list[Json]:
    """The parts of what was said in that role."""
    parts = [content] if isinstance(content, str) else content if isinstance(content, list) else []
    made = (_part(part, role, most_of_part) for part in parts)
    return [part for part in made if part is not None]


def _part(part: Any, role: str, most: int) -> Json | None:
    match part:
        case "" | {"type": "text", "text": ""}:
            return None
        case str(text) | {"type": "text", "text": str(text)}:
            return _text(text, role)
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "refusal", "refusal": _plain(text)} if role == "assistant" else _text(text, role)
        case {"type": "image_url"}:
            return _image(part.get("image_url"), is_shown=size_of(part) <= most)
        case _:
            return None


def _text(text: str, role: str) -> Json:
    if role == "assistant":
        return {"type": "output_text", "text": _plain(text), "annotations": (), "logprobs": ()}
    return {"type": "input_text", "text": _plain(text)}


def _image(image: Any, *, is_shown: bool) -> Json:
    said = image if isinstance(image, dict) else {"url": image}
    url, detail = said.get("url"), said.get("detail")
    return {
        "type": "input_image",
        "image_url": _plain(url) if is_shown and isinstance(url, str) else None,
        "detail": detail if detail in _DETAILS else "auto",
    }


def _plain(text: str) -> str:
    """A text that every client can be sent, also of a host's own kind."""
    return whole_text(str.__str__(text))
