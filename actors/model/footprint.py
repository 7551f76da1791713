"""About how much memory a message takes. Pure."""

import gc
from sys import getsizeof
from types import FunctionType, ModuleType
from typing import Any

from .frozen import FrozenDict, FrozenList

#: What a text takes beside its characters.
TEXT = getsizeof("")
#: About what a number takes.
NUMBER = getsizeof(1.0)
#: What an object is taken to need that cannot say.
UNKNOWN = 64
#: How many values one looks at that are reached through objects of classes JSON does not know.
MOST_BEHIND_OBJECTS = 1_000
_NUMBERS = frozenset({int, float, bool, type(None)})
_DICTS, _LISTS = frozenset({dict, FrozenDict}), frozenset({list, FrozenList, tuple})
#: What objects lead to, and do not hold.
_SHARED = (type, ModuleType, FunctionType)


def footprint(message: Any) -> int:
    """About how many bytes of memory a message takes. What it holds more than once counts once."""
    size = 0
    seen: set[int] = set()
    left = [message]
    # What is reached through objects may lead to anywhere, so one looks only at so much of it.
    behind_objects: list[Any] = []
    looks = MOST_BEHIND_OBJECTS
    while left or (behind_objects and looks):
        parts = left
        if not left:
            parts = behind_objects
            looks -= 1
        each = parts.pop()
        kind = type(each)
        if kind is str:  # most are; this costs a tenth of asking for its size
            size += TEXT + len(each) if each.isascii() else getsizeof(each)
        elif kind in _NUMBERS:
            size += NUMBER
        elif id(each) not in seen:
            seen.add(id(each))
            if kind in _DICTS:
                size += getsizeof(each)
                parts += each
                parts += each.values()
            elif kind in _LISTS:
                size += getsizeof(each)
                parts += each
            elif not issubclass(kind, _SHARED):
                size += _size_of_object(each)
                behind_objects += gc.get_referents(each)
    return size


def _size_of_object(each: Any) -> int:
    try:
        return getsizeof(each)
    except Exception:  # noqa: BLE001 - a host's object may raise anything
        return UNKNOWN
