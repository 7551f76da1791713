"""The messages of a chat completion: which of them is the turn's, and what they may hold. Pure."""

from typing import Any, Final, TypeAlias

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.wires.openai.refusals import unsupported

#: A message, with whatever members its client gave it.
Message: TypeAlias = dict[str, Any]

ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")
#: The kinds of parts that are handed on to agents, each with the type of its member of the same name.
_PARTS: Final[dict[str, type]] = {"text": str, "image_url": dict, "refusal": str}


def split(messages: Any) -> tuple[list[Message], Message]:
    """What was said before, and the message of the turn, which is the last one and must be a user's.

    Raises `InvalidRequest`, and `Problem` for what an agent cannot be given.
    """
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages must be a list of at least one message", field="messages")
    for number, message in enumerate(messages):
        _check(message, f"messages[{number}]")
    *before, last = messages
    if last["role"] != "user":
        raise unsupported(
            f"messages[{len(before)}].role",
            f"must be 'user' in the last message, not {last['role']!r}: what is to be answered is a user's",
        )
    if last.get("content") in (None, "", []):
        raise InvalidRequest(
            f"messages[{len(before)}].content must not be empty", field=f"messages[{len(before)}].content"
        )
    return before, last


def _check(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{where} must be an object", field=where)
    if message.get("role") not in ROLES:
        raise InvalidRequest(f"{where}.role must be one of: {', '.join(ROLES)}", field=f"{where}.role")
    content, place = message.get("content"), f"{where}.content"
    if isinstance(content, list):
        for number, part in enumerate(content):
            _check_part(part, f"{place}[{number}]")
    elif not isinstance(content, str | None):
        raise InvalidRequest(f"{place} must be a string or a list of parts", field=place)


def _check_part(part: Any, where: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise InvalidRequest(f"{where} must be an object with a type", field=where)
    of = _PARTS.get(kind)
    if of is None:
        raise unsupported(f"{where}.type", f"must be text or image_url, not {kind[:100]!r}")
    if not isinstance(part.get(kind), of):
        must = "a string" if of is str else "an object"
        raise InvalidRequest(f"{where}.{kind} must be {must}", field=f"{where}.{kind}")
    if kind == "image_url" and not isinstance(part["image_url"].get("url"), str):
        raise InvalidRequest(f"{where}.image_url.url must be a string", field=f"{where}.image_url.url")
