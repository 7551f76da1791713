"""The conversation that outlives its actor."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.turn.context import CANCEL_FLAGS, Context, ContextStore, clear_cancel, flag_cancel

S1, S2, S3 = SessionId("s1"), SessionId("s2"), SessionId("s3")


def kept(store: ContextStore, session: SessionId, *messages: Any) -> Context:
    context = Context(session, "ada", messages=list(messages))
    store.keep(session, context)
    return context


def test_a_context_begins_empty() -> None:
    context = ContextStore(2).copy_for(S1, "ada", "coder")
    assert (context.log_id, context.username, context.agent_name) == ("s1", "ada", "coder")
    assert (context.data, context.messages) == ({}, [])


def test_the_session_and_the_user_each_have_two_names_for_one_value() -> None:
    context = Context("s1", "ada")
    assert (context.session_id, context.user) == ("s1", "ada")
    context.session_id, context.user = "s2", "bob"
    assert (context.log_id, context.username) == ("s2", "bob")
    context.log_id, context.username = "s3", "eve"
    assert (context.session_id, context.user) == ("s3", "eve")


def test_what_was_kept_is_found_again_as_a_copy_that_shares_nothing() -> None:
    store = ContextStore(2)
    kept(store, S1, {"role": "user", "parts": ["hello"]})
    mine = store.copy_for(S1, "ada", "coder")
    mine.messages[0]["parts"].append("changed")
    mine.messages.append("more")
    mine.data["x"] = 1
    other = store.copy_for(S1, "ada", "default")
    assert other.messages == [{"role": "user", "parts": ["hello"]}]
    assert other.data == {}
    assert (mine.agent_name, other.agent_name) == ("coder", "default")


def test_the_store_is_bounded_and_the_least_recently_used_goes_first() -> None:
    """G8."""
    store = ContextStore(2)
    kept(store, S1, 1)
    kept(store, S2, 2)
    store.copy_for(S1, "ada", "default")
    kept(store, S3, 3)
    assert len(store) == 2
    assert store.copy_for(S1, "ada", "default").messages == [1]
    assert store.copy_for(S2, "ada", "default").messages == []
    assert store.copy_for(S3, "ada", "default").messages == [3]


def test_keeping_one_again_pushes_nobody_out() -> None:
    store = ContextStore(2)
    for n in range(5):
        kept(store, S1, n)
        kept(store, S2, n)
    assert len(store) == 2
    assert store.copy_for(S1, "ada", "default").messages == [4]


def test_a_conversation_has_an_owner_until_it_is_forgotten() -> None:
    """G12."""
    store = ContextStore(2)
    assert store.owner(S1) is None
    kept(store, S1)
    assert store.owner(S1) == "ada"
    store.forget(S1)
    store.forget(S1)
    assert store.owner(S1) is None


def test_a_conversation_is_told_with_the_event_up_to_which_it_goes() -> None:
    store = ContextStore(2)
    assert store.conversation(S1) == Conversation(S1, (), None)
    store.keep(S1, Context(S1, "ada", messages=["hello", {"role": "assistant"}]), "7-3")
    assert store.conversation(S1) == Conversation(S1, ("hello", {"role": "assistant"}), "7-3")
    store.forget(S1)
    assert store.conversation(S1) == Conversation(S1, (), None)


def test_a_turn_that_left_the_messages_as_they_were_has_no_part_in_them() -> None:
    store = ContextStore(2)
    store.keep(S1, Context(S1, "ada", messages=[{"role": "user"}]), "7-3")
    mine = store.copy_for(S1, "ada", "default")
    mine.data["x"] = 1
    store.keep(S1, mine, "8-1")
    assert store.conversation(S1).cursor == "7-3"
    assert store.copy_for(S1, "ada", "default").data == {"x": 1}
    mine = store.copy_for(S1, "ada", "default")
    mine.messages[0]["role"] = "assistant"
    store.keep(S1, mine, "9-1")
    assert store.conversation(S1).cursor == "9-1"


def test_messages_that_refuse_to_be_compared_are_kept_all_the_same() -> None:
    class Proud:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError("incomparable")

    store = ContextStore(2)
    for cursor in ("7-3", "8-1"):
        store.keep(S1, Context(S1, "ada", messages=[Proud()]), cursor)
    assert store.conversation(S1).cursor == "8-1"


@pytest.mark.parametrize("messages", ["text", 5, {"role": "user"}, object()], ids=plain)
def test_what_an_agent_put_in_the_place_of_its_messages_is_no_conversation(messages: Any) -> None:
    store = ContextStore(2)
    store.keep(S1, Context(S1, "ada", messages=messages), "7-3")
    assert store.conversation(S1).messages == ()


def test_data_that_cannot_be_copied_raises_what_its_copying_raises() -> None:
    context = Context(S1, "ada", data={"lock": threading.Lock()})
    with pytest.raises(TypeError):
        context.copy()


def test_a_context_tells_whose_it_is_and_not_what_was_said() -> None:
    said = repr(Context(S1, "ada", messages=["secret"]))
    assert "s1" in said
    assert "ada" in said
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


def test_a_copy_is_given_out_without_the_flags_of_an_earlier_turn() -> None:
    store = ContextStore(2)
    flag_cancel(kept(store, S1))
    assert store.copy_for(S1, "ada", "default").data == {}


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
