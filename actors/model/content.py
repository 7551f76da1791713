"""What a message says: made plain, and refused where it says nothing, or too much. Pure.

Over HTTP a message is a text or a list of parts, which are JSON. Callers in the process may also send a list
of texts, or of objects of their own (pydantic models, dataclasses, whatever has a ``type`` or a ``text``):
these become parts of the same kind, so that agents and readers need to know one kind only.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from .exceptions import InvalidRequest, MessageTooLarge

Part: TypeAlias = dict[Any, Any]
#: The type of a part that is a text, and of one that says no type.
TEXT = "text"
#: What stands between the texts of messages that become one: a blank line.
BETWEEN = "\n\n"


def plain(message: Any, most_text: int, most_parts: int) -> Any:
    """The message, with parts in the place of a list's objects. What is neither text nor list stays as it is.

    It may have ``most_text`` bytes of text, and ``most_parts`` parts. Raises `InvalidRequest` where it says
    nothing or a part cannot be read, and `MessageTooLarge`.
    """
    if isinstance(message, str):
        # Not measured where it cannot be too long: no character takes more than four bytes.
        if 4 * len(message) > most_text:
            _check_text(_size(message), most_text)
        if message:
            return message
    elif isinstance(message, list | tuple):
        if len(message) > most_parts:
            raise MessageTooLarge(f"message must not have more than {most_parts} parts", field="message")
        parts = message if _is_plain(message) else [_part(each) for each in message]
        _check_text(sum(map(_text_size, parts)), most_text)
        if not all(map(_is_empty, parts)):
            return parts
    elif message is not None:
        return message
    raise InvalidRequest("message must have a text that is not empty, or another part", field="message")


def _check_text(size: int, most: int) -> None:
    if size > most:
        raise MessageTooLarge(f"the text of message must not be longer than {most} bytes", field="message")


def _size(text: str) -> int:
    """How many bytes the text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _text_size(part: Part) -> int:
    # By dict's own method: that of a host's kind of dict may raise anything.
    text = dict.get(part, "text")
    return _size(text) if isinstance(text, str) else 0


def _is_empty(part: Part) -> bool:
    """Whether a part has no more than an empty text."""
    return dict.get(part, "text") == "" and _type(part) == TEXT


def _type(part: Part) -> Any:
    return dict.get(part, "type", TEXT)


def types_of(message: Any) -> Iterator[Any]:
    """The types of the parts of a plain message, in order. What is neither text nor list has none."""
    if isinstance(message, str):
        yield TEXT
    elif isinstance(message, list):
        yield from map(_type, message)


def joined(first: Any, second: Any, most_text: int, most_parts: int) -> list[Part] | None:
    """The parts of both messages, in order; a text is a part. Both are plain.

    Their texts read as two: `BETWEEN` begins the first one of the second message, if another comes before it.
    ``None`` if they cannot be joined: one is neither text nor parts, or together they are too large for one
    message, as in `plain`.
    """
    if not isinstance(first, str | list) or not isinstance(second, str | list):
        return None
    there, more = _parts(first), _parts(second)
    parts = [*there, *(_set_apart(more) if any(map(_text_size, there)) else more)]
    if len(parts) > most_parts or sum(map(_text_size, parts)) > most_text:
        return None
    return parts


def _parts(message: str | list[Part]) -> list[Part]:
    return [{"type": "text", "text": message}] if isinstance(message, str) else message


def _set_apart(parts: list[Part]) -> list[Part]:
    for number, part in enumerate(parts):
        if _text_size(part):
            # By dict's own methods, as above.
            apart = {**dict(dict.items(part)), "text": BETWEEN + dict.__getitem__(part, "text")}
            return [*parts[:number], apart, *parts[number + 1 :]]
    return parts


def text_or_parts(message: Any) -> Any:
    """The message as a text, if it has nothing but text, else as it is."""
    if isinstance(message, list) and message and all(map(_is_text, message)):
        return "".join(part["text"] for part in message)
    return message


def _is_text(part: Any) -> bool:
    return type(part) is dict and part.get("type") == "text" and isinstance(part.get("text"), str)


def whole_text(text: str) -> str:
    """The text with surrogate pairs joined, and lone surrogates, which cannot be sent, replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# -- Objects ----------------------------------------------------------------------------------------


def _is_plain(message: list[Any] | tuple[Any, ...]) -> bool:
    return isinstance(message, list) and all(isinstance(each, dict) for each in message)


def _part(given: Any) -> Part:
    """A dict as it is, a text, or an object by its members. Raises `InvalidRequest` for anything else."""
    if isinstance(given, str):
        return {"type": "text", "text": given}
    if isinstance(given, Mapping):
        return given if isinstance(given, dict) else dict(given)
    try:
        # What all objects of a class have in common is not among the members of each.
        said = {
            name: text for name in ("type", "text") if isinstance(text := getattr(given, name, None), str)
        }
        part = msgspec.to_builtins(_members(given), enc_hook=_members) if said else None
    except Exception as error:
        raise InvalidRequest("a part of message cannot be read", field="message") from error
    if not isinstance(part, dict):
        text = "each part of message must be a dict, a text, or an object with a type or a text"
        raise InvalidRequest(text, field="message")
    return {"type": "text", **said, **part}


def _members(each: Any) -> Any:
    """An object by its members, for `msgspec`, which knows some kinds of objects by itself.

    Raises `TypeError` for one that has none.
    """
    if hasattr(each, "model_dump"):
        return each.model_dump(mode="json")
    if hasattr(each, "_asdict"):
        return each._asdict()
    if hasattr(each, "__dict__"):
        return {name: member for name, member in vars(each).items() if not name.startswith("_")}
    slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
    if not slots:
        raise TypeError(f"{type(each).__name__} has no members")
    return {name: getattr(each, name) for name in slots if not name.startswith("_") and hasattr(each, name)}
