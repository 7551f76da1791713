"""The conversation, as a turn sees it."""

import copy
import pickle
import threading
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.actors.model.exceptions import ContextNotCopyable, InvalidRequest, ReadOnlyMessage
from turnkeeper.actors.model.frozen import FrozenDict
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.context import CANCEL_FLAGS, Context, OwnContext, clear_cancel, flag_cancel
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.transcript import Bound

S1 = "s1"
FLAGS = dict.fromkeys(CANCEL_FLAGS, True)


def own(*said: Any, data: dict[str, Any] | None = None, most: int = 1_000) -> OwnContext:
    """A turn's own context, where so much was said before."""
    earlier = OwnContext(S1, "coder", Kept("ada"))
    earlier.messages += said
    earlier.data = data or {}
    kept = earlier.kept.after(earlier.changes(), Bound(most, 1_000_000), "7-3")
    return OwnContext(S1, "coder", kept)


# -- A host's own -------------------------------------------------------------------------------------------


def test_the_session_and_the_user_each_have_two_names_for_one_value() -> None:
    context = Context("s1", "ada")
    assert (context.session_id, context.user) == ("s1", "ada")
    context.session_id, context.user = "s2", "bob"
    assert (context.log_id, context.username) == ("s2", "bob")
    context.log_id, context.username = "s3", "eve"
    assert (context.session_id, context.user) == ("s3", "eve")


def test_a_host_may_put_anything_into_a_context_of_its_own() -> None:
    messages, data = [{"role": "user"}], {"x": 1}
    context = Context(S1, "ada", data=data, messages=messages)
    assert (context.data, context.messages) == (data, messages)
    assert context.data is data
    assert context.messages is messages
    context.messages[0]["role"] = "assistant"
    context.messages = "said"  # type: ignore[assignment]
    assert (messages, context.messages) == ([{"role": "assistant"}], "said")


def test_data_that_cannot_be_copied_raises_what_its_copying_raises() -> None:
    context = Context(S1, "ada", data={"lock": threading.Lock()})
    with pytest.raises(TypeError):
        context.copy()


# -- A turn's own -------------------------------------------------------------------------------------------


def test_a_turns_own_context_says_whose_it_is_and_begins_empty() -> None:
    context = OwnContext(S1, "coder", Kept("ada"))
    assert isinstance(context, Context)
    assert (context.log_id, context.username, context.agent_name) == (S1, "ada", "coder")
    assert (context.session_id, context.user) == (S1, "ada")
    assert (context.data, context.messages) == ({}, [])


def test_what_was_not_looked_at_is_not_copied_and_has_not_changed() -> None:
    kept = Kept("ada", data={"lock": threading.Lock()})
    context = OwnContext(S1, "coder", kept)
    _ = context.messages
    assert context.changes() == Changes(0)


def test_a_turn_has_a_list_of_its_own_with_the_very_messages_that_are_kept() -> None:
    one, other = own({"role": "user"}), own()
    other.kept = one.kept
    assert one.messages is one.messages
    assert one.messages is not other.messages
    assert one.messages[0] is other.messages[0]
    one.messages.append("more")
    assert other.messages == [{"role": "user"}]


def test_a_message_from_an_earlier_turn_is_read_only_and_one_of_this_turn_is_not() -> None:
    context = own({"role": "user", "parts": [{"text": "hello"}]})
    with pytest.raises(ReadOnlyMessage):
        context.messages[0]["role"] = "assistant"
    with pytest.raises(ReadOnlyMessage):
        context.messages[0]["parts"][0]["text"] = "changed"
    context.messages.append({"role": "assistant"})
    context.messages[1]["content"] = "hello"
    assert context.changes() == Changes(1, ({"role": "assistant", "content": "hello"},))


def test_a_message_from_an_earlier_turn_is_changed_by_assigning_another_one() -> None:
    context = own("first", {"role": "user"}, "last")
    context.messages[1] = {**context.messages[1], "content": "hello"}
    assert context.changes() == Changes(1, ({"role": "user", "content": "hello"}, "last"))


def test_what_was_added_is_what_it_is_at_the_turns_end_and_from_then_on() -> None:
    context, message = own(), {"parts": ["hello"]}
    context.messages += [message]
    message["parts"].append("world")
    (added,) = context.changes().add
    message["parts"].append("too late")
    assert added == {"parts": ["hello", "world"]}
    assert type(added) is FrozenDict


def test_changes_count_from_the_very_first_message() -> None:
    context = own(*"abcde", most=2)
    assert context.messages == ["d", "e"]
    assert context.changes() == Changes(5)
    context.messages.append("f")
    assert context.changes() == Changes(5, ("f",))
    context.messages[1] = "x"
    assert context.changes() == Changes(4, ("x", "f"))
    context.messages = []
    assert context.changes() == Changes(3)


def test_a_list_may_be_put_in_the_place_of_the_messages_and_nothing_else() -> None:
    context = own("a", "b")
    mine = ["a", "c"]
    context.messages = mine
    mine.append("d")
    assert context.messages is mine
    assert context.changes() == Changes(1, ("c", "d"))
    context.messages = ("a", "b")  # type: ignore[assignment]
    context.messages += ["c"]
    assert context.changes() == Changes(2, ("c",))


@pytest.mark.parametrize("messages", ["text", 5, None, {"role": "user"}, object()], ids=plain)
def test_what_is_no_list_is_refused_as_messages(messages: Any) -> None:
    context = own("a")
    with pytest.raises(InvalidRequest, match="list") as refused:
        context.messages = messages
    assert refused.value.field == "messages"
    assert context.messages == ["a"]


class Shy(list[Any]):
    """A list that does not go through its items twice."""

    def __iter__(self) -> Any:
        yield from self.__dict__.setdefault("items", [self[n] for n in range(len(self))])
        self.items = None


def test_other_kinds_of_lists_are_gone_through_when_they_are_assigned() -> None:
    context = own()
    context.messages = Shy(["a"])
    assert context.messages == ["a"]
    assert context.changes() == Changes(0, ("a",))


# -- Its data -----------------------------------------------------------------------------------------------


def test_data_is_a_copy_that_shares_nothing_and_is_handed_on_as_one() -> None:
    one = own(data={"tools": ["ls"]})
    one.data["tools"].append("rm")
    assert OwnContext(S1, "coder", one.kept).data == {"tools": ["ls"]}
    changed = one.changes().data
    one.data["tools"].append("too late")
    assert changed == {"tools": ["ls", "rm"]}


def test_data_that_says_the_same_has_not_changed() -> None:
    context = own(data={"tools": ["ls"], "n": 1})
    context.data["n"] = 2
    context.data["n"] = 1
    assert context.changes().data is None
    context.data["n"] = True
    assert context.changes().data == {"tools": ["ls"], "n": True}


def test_data_that_cannot_be_copied_is_a_clear_error_for_the_turn_that_looks_at_it() -> None:
    context = own(data={"lock": threading.Lock()})
    with pytest.raises(ContextNotCopyable):
        _ = context.data
    assert context.changes().data is None
    context.data = {}
    assert context.changes().data == {}


@pytest.mark.parametrize("data", ["text", 5, None, [], object()], ids=plain)
def test_what_is_no_dict_is_refused_as_data(data: Any) -> None:
    context = own(data={"x": 1})
    with pytest.raises(InvalidRequest, match="dict") as refused:
        context.data = data
    assert refused.value.field == "data"
    assert context.data == {"x": 1}


def test_a_kind_of_dict_of_the_hosts_stays_what_it_is() -> None:
    context = own(data=defaultdict(list, x=[1]))
    context.data["y"].append(2)
    assert context.changes().data == {"x": [1], "y": [2]}


# -- Copies of it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [Context.copy, copy.deepcopy, lambda context: pickle.loads(pickle.dumps(context))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_of_a_turns_own_context_is_the_hosts_to_change(copied: Any) -> None:
    mine = copied(own({"role": "user", "parts": []}, data={"x": [1]}))
    assert type(mine) is Context
    assert (mine.log_id, mine.username, mine.agent_name) == (S1, "ada", "coder")
    mine.messages[0]["parts"].append("changed")
    mine.data["x"].append(2)
    assert (mine.messages, mine.data) == ([{"role": "user", "parts": ["changed"]}], {"x": [1, 2]})


def test_a_context_shows_whose_it_is_and_not_what_was_said() -> None:
    for context in (Context(S1, "ada", messages=["secret"]), own("secret")):
        said = repr(context)
        assert "s1" in said
        assert "ada" in said
        assert "1 message" in said
        assert "secret" not in said


# -- Flags ------------------------------------------------------------------------------------------


def test_the_flags_are_set_and_cleared_and_nothing_else_is_touched() -> None:
    context = Context(S1, "ada", data={"mine": 1})
    flag_cancel(context)
    assert context.data == {"mine": 1, "task_cancelled": True, "cancel_current_turn": True}
    clear_cancel(context)
    assert context.data == {"mine": 1}
    clear_cancel(context)
    assert set(CANCEL_FLAGS) == {"task_cancelled", "cancel_current_turn"}


def test_a_turns_own_context_has_the_flags_whenever_one_looks() -> None:
    early, late = own(data={"mine": 1}), own(data={"mine": 1})
    _ = early.data
    for context in (early, late):
        flag_cancel(context)
        assert context.data == {"mine": 1, **FLAGS}
        clear_cancel(context)
        assert context.data == {"mine": 1}


def test_flags_are_set_without_copying_what_is_not_looked_at() -> None:
    context = OwnContext(S1, "coder", Kept("ada", data={"lock": threading.Lock()}))
    flag_cancel(context)
    assert context.changes() == Changes(0)


def test_flags_are_not_handed_on() -> None:
    context = own(data={"mine": 1})
    flag_cancel(context)
    assert context.data["task_cancelled"]
    assert context.changes().data is None
    context.data["mine"] = 2
    assert context.changes().data == {"mine": 2}
    assert context.data["task_cancelled"], "what the turn has started may still look for them"


class Evil:
    """A context whose data cannot even be looked at."""

    @property
    def data(self) -> Any:
        raise ValueError("closed")


class Frozen(dict[str, Any]):
    """Data that takes nothing."""

    def update(self, *_: Any, **__: Any) -> None:
        raise TypeError("frozen")

    def pop(self, *_: Any) -> Any:
        raise TypeError("frozen")


@pytest.mark.parametrize(
    "context",
    [
        None,
        object(),
        "text",
        SimpleNamespace(data=None),
        SimpleNamespace(data=[1]),
        SimpleNamespace(data=Frozen()),
        Evil(),
    ],
    ids=["none", "object", "text", "no data", "list", "frozen", "evil"],
)
def test_an_object_without_data_that_can_take_flags_is_left_alone(context: object) -> None:
    flag_cancel(context)
    clear_cancel(context)
