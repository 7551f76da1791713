"""What a turn has changed in its session's conversation."""

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.frozen import frozen
from turnkeeper.actors.turn.changes import OwnMessages, same, shared

GIVEN = [frozen({"n": n}) for n in range(5)]

#: What an agent may do to its list, and how many of the five messages are left at its beginning after that.
EDITS: dict[str, tuple[Callable[[list[Any]], Any], int]] = {
    "nothing": (lambda messages: None, 5),
    "append": (lambda messages: messages.append("new"), 5),
    "extend": (lambda messages: messages.extend(["new", "newer"]), 5),
    "iadd": (lambda messages: messages.__iadd__(["new"]), 5),
    "append and pop": (lambda messages: (messages.append("new"), messages.pop()), 5),
    "setitem": (lambda messages: messages.__setitem__(3, "new"), 3),
    "the same again": (lambda messages: messages.__setitem__(3, messages[3]), 5),
    "an equal one": (lambda messages: messages.__setitem__(3, {"n": 3}), 5),
    "from the end": (lambda messages: messages.__setitem__(-1, "new"), 4),
    "slice": (lambda messages: messages.__setitem__(slice(2, 4), ["new"]), 2),
    "insert by slice": (lambda messages: messages.__setitem__(slice(2, 2), ["new"]), 2),
    "every other": (lambda messages: messages.__delitem__(slice(None, None, 2)), 0),
    "delitem": (lambda messages: messages.__delitem__(1), 1),
    "all but the last": (lambda messages: messages.__delitem__(slice(None, -1)), 0),
    "insert": (lambda messages: messages.insert(2, "new"), 2),
    "pop": (lambda messages: messages.pop(), 4),
    "pop the first": (lambda messages: messages.pop(0), 0),
    "remove": (lambda messages: messages.remove({"n": 3}), 3),
    "clear": (lambda messages: messages.clear(), 0),
    "reverse": (lambda messages: messages.reverse(), 0),
    "sort": (lambda messages: messages.sort(key=lambda each: -each["n"]), 0),
    "sort into place": (lambda messages: messages.sort(key=lambda each: each["n"]), 5),
    "twice": (lambda messages: messages.__imul__(2), 5),
    "not at all": (lambda messages: messages.__imul__(0), 0),
    "shuffle": (lambda messages: random.Random(1).shuffle(messages), 0),
}


@pytest.mark.parametrize(("edit", "left"), EDITS.values(), ids=list(EDITS))
def test_what_is_left_at_the_beginning_is_found_whatever_was_done_to_the_list(
    edit: Callable[[list[Any]], Any], left: int
) -> None:
    messages, plain = OwnMessages(GIVEN), list(GIVEN)
    edit(messages)
    edit(plain)
    assert messages == plain
    assert shared(GIVEN, messages) == left
    assert shared(GIVEN, plain) == left, "a list in its place is looked through"


def test_additions_are_not_looked_for_among_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = OwnMessages(GIVEN)
    messages.append("new")
    messages += ["newer"]
    monkeypatch.delattr("turnkeeper.actors.turn.changes.same")
    monkeypatch.setattr("turnkeeper.actors.turn.changes.zip", None, raising=False)
    assert shared(GIVEN, messages) == 5
    with pytest.raises(TypeError):
        shared(GIVEN, [*messages])


def test_the_list_of_another_turn_is_looked_through() -> None:
    assert shared(GIVEN, OwnMessages([GIVEN[0], "other"])) == 1
    assert shared(GIVEN, OwnMessages(list(GIVEN))) == 5


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, list.copy, lambda messages: pickle.loads(pickle.dumps(messages))]
)
def test_a_copy_of_the_list_is_plain(copied: Callable[[Any], Any]) -> None:
    assert type(copied(OwnMessages(GIVEN))) is list


# -- What is the same ---------------------------------------------------------------------------------------


class Agreeable:
    """An object that says that it equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return type(self).__name__


class Upset(Agreeable):
    def __eq__(self, other: object) -> bool:
        raise ValueError("incomparable")

    __hash__ = Agreeable.__hash__


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([1, 2], [1]),
        ({"a": [{"b": 1}]}, {"a": [{"b": True}]}),
        (Agreeable(), Agreeable()),
        (Agreeable(), "x"),
        (Upset(), Upset()),
        ({"a": Upset()}, {"a": Upset()}),
        (None, False),
    ],
    ids=repr,
)
def test_what_differs_in_any_way_is_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert not same(frozen(one), other)


def test_an_object_of_the_hosts_is_the_same_as_itself() -> None:
    upset = Upset()
    assert same([upset, {1: upset}], [upset, {1: upset}])


def test_what_is_nested_too_deep_to_be_compared_is_not_the_same() -> None:
    one: list[Any] = []
    other: list[Any] = []
    one.append(one)
    other.append(other)
    assert not same(one, other)
    assert same(one, one)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(JSON, JSON)
def test_two_are_the_same_if_and_only_if_their_json_is(one: Any, other: Any) -> None:
    try:
        equal = to_json(one) == to_json(other)
    except EventNotJson:  # infinity and NaN
        return
    assert same(one, other) == equal
    assert same(frozen(one), other) == equal
    assert same(one, copy.deepcopy(one))
