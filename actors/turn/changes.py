"""What a turn has changed in its session's conversation. Pure.

That is what the end of a turn hands on. The conversation itself would grow with all that was said before.
"""

from typing import Any, NamedTuple

from turnkeeper.actors.model.frozen import FrozenDict, FrozenList

_PLAIN: dict[type[Any], type[Any]] = {
    **{kind: kind for kind in (dict, list, tuple, str, int, bool, float, bytes)},
    FrozenDict: dict,
    FrozenList: list,
}


class Changes(NamedTuple):
    """What is left of the conversation that a turn was given, and what comes after that."""

    keep: int
    """How many messages at its beginning are left, counted from the very first, dropped ones included."""
    add: tuple[Any, ...] = ()
    """The messages after those, frozen."""
    data: dict[str, Any] | None = None
    """The context's ``data``, if the turn has changed it; a copy of its own."""


class OwnMessages(list[Any]):
    """A turn's own list of messages. It notes whether anything but additions at its end was done to it.

    So the new ones are found without going through all of them. A copy of it is a plain list.
    """

    __slots__ = ("begins_with",)

    def __init__(self, given: list[Any]) -> None:
        super().__init__(given)
        #: What it was made of, while that is certain to be its beginning.
        self.begins_with: list[Any] | None = given

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def _noting(name: str) -> Any:
    change = getattr(list, name)

    def noting(self: OwnMessages, *args: Any, **keywords: Any) -> Any:
        self.begins_with = None
        return change(self, *args, **keywords)

    return noting


for _name in (
    "__delitem__",
    "__imul__",
    "__setitem__",
    "clear",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
):
    setattr(OwnMessages, _name, _noting(_name))


def shared(given: list[Any], messages: list[Any]) -> int:
    """How many messages at the beginning of what a turn was given are still the beginning.

    The same ones, or others that say the same: some agents make all of them anew in every turn.
    """
    if isinstance(messages, OwnMessages) and messages.begins_with is given:
        return len(given)
    count = 0
    for one, other in zip(given, messages, strict=False):
        if one is not other and not same(one, other):
            break
        count += 1
    return count


def same(one: Any, other: Any) -> bool:
    """Whether both say the same in JSON, frozen or not. Other objects are the same as themselves only."""
    try:
        return _same(one, other)
    except RecursionError:
        return False


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    kind = _PLAIN.get(type(one))
    if kind is None or kind is not _PLAIN.get(type(other)):
        return False
    if kind is dict:
        one, other = [*one, *one.values()], [*other, *other.values()]
    elif kind is float:
        return repr(one) == repr(other)  # 0.0 is not -0.0
    elif kind not in (list, tuple):
        return bool(one == other)
    return len(one) == len(other) and all(map(_same, one, other))
