"""Messages that cannot be changed."""

import copy
import json
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.exceptions import ReadOnlyMessage
from turnkeeper.actors.model.frozen import DEPTH, FrozenDict, FrozenList, frozen

#: Whatever JSON can say.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
MESSAGE: Any = {"role": "user", "parts": [{"text": "hello"}], "pair": ([1], 2)}

#: Everything by which a dict, or a list, can be changed.
CHANGES_OF_A_DICT: dict[str, Callable[[Any], Any]] = {
    "setitem": lambda message: message.__setitem__("role", "x"),
    "delitem": lambda message: message.__delitem__("role"),
    "ior": lambda message: message.__ior__({"x": 1}),
    "clear": lambda message: message.clear(),
    "pop": lambda message: message.pop("role"),
    "popitem": lambda message: message.popitem(),
    "setdefault": lambda message: message.setdefault("x", 1),
    "update": lambda message: message.update(x=1),
}
CHANGES_OF_A_LIST: dict[str, Callable[[Any], Any]] = {
    "setitem": lambda parts: parts.__setitem__(0, "x"),
    "slice": lambda parts: parts.__setitem__(slice(None), []),
    "delitem": lambda parts: parts.__delitem__(0),
    "iadd": lambda parts: parts.__iadd__([1]),
    "imul": lambda parts: parts.__imul__(2),
    "append": lambda parts: parts.append(1),
    "clear": lambda parts: parts.clear(),
    "extend": lambda parts: parts.extend([1]),
    "insert": lambda parts: parts.insert(0, 1),
    "pop": lambda parts: parts.pop(),
    "remove": lambda parts: parts.remove(parts[0]),
    "reverse": lambda parts: parts.reverse(),
    "sort": lambda parts: parts.sort(key=str),
}


@pytest.mark.parametrize("change", CHANGES_OF_A_DICT.values(), ids=list(CHANGES_OF_A_DICT))
def test_a_frozen_dict_refuses_every_change(change: Callable[[Any], Any]) -> None:
    message = frozen(MESSAGE)
    with pytest.raises(ReadOnlyMessage, match="assign that in its place"):
        change(message)
    assert message == MESSAGE


@pytest.mark.parametrize("change", CHANGES_OF_A_LIST.values(), ids=list(CHANGES_OF_A_LIST))
def test_a_frozen_list_refuses_every_change(change: Callable[[Any], Any]) -> None:
    message = frozen(MESSAGE)
    for parts in (message["parts"], message["pair"][0]):
        with pytest.raises(ReadOnlyMessage):
            change(parts)
    assert message == MESSAGE


@pytest.mark.parametrize(
    ("plain", "changes"), [(dict, CHANGES_OF_A_DICT), (list, CHANGES_OF_A_LIST)], ids=["dict", "list"]
)
def test_no_change_is_forgotten(plain: type[Any], changes: dict[str, Any]) -> None:
    """A method of dict or list that a new version of Python brings must be looked at."""
    reads = {
        "__class_getitem__ __contains__ __doc__ __eq__ __format__ __ge__ __getattribute__ __getitem__ __gt__",
        "__hash__ __init__ __init_subclass__ __iter__ __le__ __len__ __lt__ __ne__ __new__ __reduce__",
        "__reduce_ex__ __repr__ __reversed__ __setattr__ __sizeof__ __str__ __subclasshook__ __class__",
        "__delattr__ __dir__ __getstate__ __add__ __mul__ __rmul__ __or__ __ror__",
        "copy count index fromkeys get items keys values",
    }
    known = {name for names in reads for name in names.split()}
    changing = {name if name in dir(plain) else f"__{name}__" for name in changes if name != "slice"}
    assert set(dir(plain)) - known == changing


def test_what_is_frozen_reads_like_what_it_was_made_of() -> None:
    message = frozen(MESSAGE)
    assert message == MESSAGE
    assert isinstance(message, dict)
    assert isinstance(message["parts"], list)
    assert type(message["pair"]) is tuple
    assert repr(message) == repr(MESSAGE)
    assert json.loads(to_json(message)) == json.loads(json.dumps(MESSAGE))
    match message:
        case {"role": "user", "parts": [{"text": text}]}:
            assert text == "hello"
        case _:
            pytest.fail("it matches like a plain one")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_a_deep_copy_is_plain_all_through(copied: Callable[[Any], Any]) -> None:
    mine = copied(frozen(MESSAGE))
    assert mine == MESSAGE
    assert [type(each) for each in (mine, mine["parts"], mine["parts"][0])] == [dict, list, dict]
    mine["parts"][0]["text"] = "changed"
    assert MESSAGE["parts"][0]["text"] == "hello"


@pytest.mark.parametrize(
    "copied", [copy.copy, dict, dict.copy, lambda message: {**message}, lambda message: message | {}]
)
def test_a_flat_copy_of_a_dict_is_plain_at_its_top(copied: Callable[[Any], Any]) -> None:
    mine = copied(frozen(MESSAGE))
    assert type(mine) is dict
    mine["role"] = "changed"
    with pytest.raises(ReadOnlyMessage):
        mine["parts"].append(1)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, list, list.copy, lambda parts: [*parts], lambda parts: parts[:], lambda parts: parts * 1],
)
def test_a_flat_copy_of_a_list_is_plain_at_its_top(copied: Callable[[Any], Any]) -> None:
    mine = copied(frozen([{"text": "hello"}]))
    assert type(mine) is list
    mine.append("more")
    with pytest.raises(ReadOnlyMessage):
        mine[0]["text"] = "changed"


def test_what_was_handed_in_can_be_changed_on_and_what_was_made_of_it_stays() -> None:
    inner: Any = {"text": "hello"}
    message = {"parts": [inner]}
    kept = frozen(message)
    inner["text"] = "changed"
    message["parts"].append("more")
    assert kept == {"parts": [{"text": "hello"}]}


@given(JSON)
def test_whatever_json_can_say_is_frozen_and_frozen_again_it_is_itself(message: Any) -> None:
    once = frozen(message)
    assert to_json(once) == to_json(message)
    assert frozen(once) is once


class Message(dict[str, Any]):
    """A host's own kind of dict."""


class Evil:
    """A key that cannot be looked up."""

    def __init__(self) -> None:
        self.known = True

    def __hash__(self) -> int:
        if self.known:
            return 1
        raise ValueError("unknown")


@pytest.mark.parametrize(
    "message",
    [object(), Message(role="user"), OrderedDict(a=1), defaultdict(list), {1, 2}, b"bytes", "text", 7, None],
    ids=lambda message: type(message).__name__,
)
def test_what_json_does_not_have_is_kept_as_it_is(message: Any) -> None:
    assert frozen(message) is message
    assert frozen([message])[0] is message


def nested(depth: int) -> Any:
    inner: Any = []
    for _ in range(depth - 1):
        inner = {"inner": inner}
    return inner


def test_a_message_that_is_nested_too_deep_or_in_itself_is_kept_as_it_is() -> None:
    circle: list[Any] = [[]]
    circle[0].append(circle)
    evil = Evil()
    unhashable = {evil: 1}
    evil.known = False
    assert type(frozen(nested(DEPTH))) is FrozenDict
    for message in (nested(DEPTH + 1), nested(5_000), circle, unhashable):
        assert frozen(message) is message


def test_lists_that_hold_each_other_again_and_again_are_frozen_once_each() -> None:
    bomb: list[Any] = ["boom"]
    for _ in range(60):
        bomb = [bomb, bomb]
    kept = frozen(bomb)
    assert type(kept) is FrozenList
    assert kept[0] is kept[1]
