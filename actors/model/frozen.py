"""What is kept, such as messages, so that it cannot be changed. Pure.

What is kept of a conversation is shared by all the turns that come after, so that none of them pays for a
copy. What JSON has (dicts, lists, texts, numbers) is frozen on its way in. Objects of other classes, even of
those derived from dict or list, are kept as they are.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from .exceptions import ReadOnlyMessage

#: How deep a message may be nested and still be frozen: a frozen one can be copied, and written as JSON.
DEPTH = 200
C = TypeVar("C", bound=type[Any])


def _refusing(*methods: str) -> Callable[[C], C]:
    """A decorator that makes these methods of a class refuse."""

    def refuse(_self: Any, *_args: Any, **_keywords: Any) -> NoReturn:
        raise ReadOnlyMessage(
            "what is kept of a turn is read-only: change a copy of it, and to change the "
            "conversation assign that in its place, as in messages[0] = {**messages[0], 'content': 'new'}"
        )

    def decorate(cls: C) -> C:
        for method in methods:
            setattr(cls, method, refuse)
        return cls

    return decorate


@_refusing("__delitem__", "__ior__", "__setitem__", "clear", "pop", "popitem", "setdefault", "update")
class FrozenDict(dict[Any, Any]):
    """A dict that can only be read. A copy of it, by whatever means, is a plain dict.

    A change raises `ReadOnlyMessage`.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


@_refusing(
    "__delitem__",
    "__iadd__",
    "__imul__",
    "__setitem__",
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
)
class FrozenList(list[Any]):
    """A list that can only be read. A copy of it, by whatever means, is a plain list.

    A change raises `ReadOnlyMessage`.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def frozen(message: Any) -> Any:
    """The message, so that nothing in it that JSON knows can be changed. Never raises.

    One that is nested too deep, or in itself, is kept as it is.
    """
    try:
        return _frozen(message, {}, DEPTH)
    except Exception:  # noqa: BLE001 - whatever a host's own keys raise, too
        return message


def _frozen(value: Any, seen: dict[int, Any], depth: int) -> Any:
    # Each is frozen once: a few lists that hold each other again and again stand for billions of lists.
    kind = type(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return value
    if id(value) in seen:
        return seen[id(value)]
    if not depth:
        raise RecursionError
    if kind is dict:
        new: Any = FrozenDict({name: _frozen(each, seen, depth - 1) for name, each in value.items()})
    else:
        made = FrozenList if kind is list else tuple
        new = made([_frozen(each, seen, depth - 1) for each in value])
    seen[id(value)] = new
    return new
