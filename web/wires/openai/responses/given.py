"""The input of a request: a message, and a history if it brings one. Pure.

The items that a response has put out may come back as part of a history: its messages count, and what it
showed beside them (its thoughts, its tools) does not, as it would not in a conversation that is kept here.
"""

from functools import reduce
from sys import maxsize
from typing import Any, Final

from turnkeeper.actors.model.content import joined, text_or_parts
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.value import value
from turnkeeper.web.wires.openai.refusals import unsupported

#: The kinds of items that responses have here, beside messages.
_PASSED_OVER: Final = frozenset({"reasoning", "mcp_call"})
#: What the roles are called in a history. The API gives its developers what it calls the system elsewhere.
_ROLES: Final = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


@value
class Given:
    """What the user says now, and the messages before that, as ``{"role", "content"}``."""

    message: Any
    history: tuple[dict[str, Any], ...] = ()


def given(said: str | list[Any]) -> Given:
    """What the input says. Raises `Problem` for what cannot be honoured, and `InvalidRequest`."""
    if isinstance(said, str):
        return Given(said)
    messages = [message for item in said if (message := _message(item)) is not None]
    count = len(messages)
    while count and messages[count - 1]["role"] == "user":
        count -= 1
    history, new = messages[:count], [message["content"] for message in messages[count:]]
    if not new:
        raise InvalidRequest("input must end with a message of the user", field="input")
    return Given(text_or_parts(reduce(_join, new)), tuple(history))


def _join(first: Any, second: Any) -> Any:
    return joined(first, second, maxsize, maxsize)


def _message(item: Any) -> dict[str, Any] | None:
    """A message as the agents know it; ``None`` for an item that says nothing to them."""
    if not isinstance(item, dict):
        raise InvalidRequest("each item of input must be an object", field="input")
    kind, role = str(item.get("type", "message")), str(item.get("role"))
    if kind in _PASSED_OVER:
        return None
    if kind != "message":
        raise unsupported("input", f"has an item of the type {kind[:100]!r}, which is not supported")
    if role not in _ROLES:
        raise InvalidRequest(f"the role of a message must be one of: {', '.join(_ROLES)}", field="input")
    content = item.get("content")
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        return {"role": _ROLES[role], "content": parts if role == "user" else text_or_parts(parts)}
    if not isinstance(content, str):
        raise InvalidRequest("the content of a message must be a string or a list of parts", field="input")
    return {"role": _ROLES[role], "content": content}


def _part(part: Any) -> dict[str, Any]:
    """A part of a message as the agents know it."""
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url)} if part.get("file_id") is None:
            detail = part.get("detail")
            image = {"url": url} if detail is None else {"url": url, "detail": detail}
            return {"type": "image_url", "image_url": image}
        case {"type": "input_image"}:
            raise unsupported("input", "must have its images as image_url, and no file_id")
        case {"type": str(kind)}:
            text = f"has a part of the type {kind[:100]!r}, which is not supported or is not as it must be"
            raise unsupported("input", text)
        case _:
            raise InvalidRequest("each part of a message must be an object with a type", field="input")
