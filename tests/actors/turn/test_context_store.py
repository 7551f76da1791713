"""The built-in store of contexts."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.metrics.meter import CONVERSATIONS_FORGOTTEN, MESSAGES_OMITTED, Meter
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.turn.context import OwnContext, flag_cancel
from turnkeeper.actors.turn.context_store import ContextStore, Left
from turnkeeper.actors.turn.transcript import Bound

S1, S2, S3 = SessionId("s1"), SessionId("s2"), SessionId("s3")
ROOMY = Bound(1_000, 1_000_000)


def opened(sessions: int = 2, bound: Bound = ROOMY, per_user: int = 2) -> ContextStore:
    return ContextStore(sessions, bound, Meter(), per_user=per_user)


def end(store: ContextStore, context: OwnContext, cursor: str | None = None) -> None:
    """The end of a turn that had this context."""
    store.apply(SessionId(context.log_id), context.kept, context.changes(), cursor)


def say(store: ContextStore, session: SessionId, *messages: Any, owner: str = "ada", **ended: Any) -> None:
    """A turn that adds these messages to what was said."""
    context = store.context_for(session, owner, "default")
    context.messages += messages
    end(store, context, **ended)


def said(store: ContextStore, session: SessionId) -> list[Any]:
    return store.context_for(session, "ada", "default").messages


def test_a_context_begins_empty() -> None:
    context = opened().context_for(S1, "ada", "coder")
    assert (context.log_id, context.username, context.agent_name) == ("s1", "ada", "coder")
    assert (context.data, context.messages) == ({}, [])


def test_what_a_turn_leaves_the_next_one_finds() -> None:
    store = opened()
    context = store.context_for(S1, "ada", "coder")
    context.messages += [{"role": "user", "parts": ["hello"]}]
    context.data["x"] = [1]
    end(store, context)
    after = store.context_for(S1, "bob", "default")
    assert (after.messages, after.data) == ([{"role": "user", "parts": ["hello"]}], {"x": [1]})
    assert (after.agent_name, after.username) == ("default", "ada")


def test_what_a_turn_does_after_its_end_is_not_found_by_the_next_one() -> None:
    """G6."""
    store = opened()
    message: dict[str, Any] = {"parts": ["hello"]}
    context = store.context_for(S1, "ada", "coder")
    context.messages.append(message)
    context.data["x"] = [1]
    end(store, context)
    message["parts"].append("late")
    context.messages.append("late")
    context.data["x"].append("late")
    after = store.context_for(S1, "ada", "coder")
    assert (after.messages, after.data) == ([{"parts": ["hello"]}], {"x": [1]})


def test_the_flags_of_a_turn_are_not_found_by_the_next_one() -> None:
    store = opened()
    context = store.context_for(S1, "ada", "coder")
    flag_cancel(context)
    context.data["x"] = 1
    end(store, context)
    assert store.context_for(S1, "ada", "coder").data == {"x": 1}


# -- Of how many sessions -----------------------------------------------------------------------------------


def test_the_store_is_bounded_and_the_least_recently_used_goes_first() -> None:
    """G8."""
    meter = Meter()
    store = ContextStore(2, ROOMY, meter, per_user=2)
    say(store, S1, 1)
    say(store, S2, 2)
    assert (len(store), meter.counts()) == (2, {})
    said(store, S1)
    say(store, S3, 3)
    assert (len(store), meter.counts()) == (2, {CONVERSATIONS_FORGOTTEN.name: 1})
    assert (said(store, S1), said(store, S2), said(store, S3)) == ([1], [], [3])


def test_a_user_with_more_conversations_than_one_may_have_pushes_out_only_their_own() -> None:
    """G14: the least recently used of theirs."""
    store = opened(sessions=4, per_user=2)
    for owner, session in (("ada", "a0"), ("bob", "b0"), ("bob", "b1"), ("bob", "b2"), ("bob", "b3")):
        say(store, SessionId(session), "hello", owner=owner)
    assert [store.owner(SessionId(session)) for session in ("a0", "b0", "b1", "b2", "b3")] == [
        "ada",
        None,
        "bob",
        "bob",
        "bob",
    ]
    say(store, SessionId("b1"), "again", owner="bob")
    say(store, SessionId("b4"), "hello", owner="bob")
    assert (store.owner(SessionId("b2")), store.owner(SessionId("b1"))) == (None, "bob")
    say(store, SessionId("c0"), "hello", owner="cleo")
    assert (store.owner(SessionId("a0")), len(store)) == (None, 4)
    assert sum(len(own) for own in store._of_user.values()) == 4
    for session in ("b1", "b3", "b4", "c0"):
        store.forget(SessionId(session))
    assert not store._of_user


def test_room_is_made_by_the_users_who_keep_the_most_one_conversation_at_a_time() -> None:
    """G14."""
    keep = {"ada": 5, "bob": 4, "cleo": 1}
    store = opened(sessions=9)
    for owner, number in keep.items():
        for n in range(number):
            say(store, SessionId(f"{owner}{n}"), "hello", owner=owner)

    def keeps(user: str) -> int:
        return sum(store.owner(SessionId(f"{user}{n}")) == user for n in range(5))

    sizes = [len(store) for _ in store.make_room(keeps, lambda: len(store) <= 5)]
    assert max(before - after for before, after in pairwise([10, *sizes])) == 1, "step by step (G9)"
    left = [name for name in ("ada", "bob", "cleo") for n in range(5) if store.owner(SessionId(f"{name}{n}"))]
    assert left == ["ada"] * 2 + ["bob"] * 2 + ["cleo"]
    assert store.owner(SessionId("ada4")) == "ada"
    for _ in store.make_room(keeps, lambda: False):
        store.forget(SessionId("bob4"))  # others forget some, too
    assert len(store) == 0


def test_keeping_one_again_pushes_none_out() -> None:
    store = opened()
    for n in range(5):
        say(store, S1, n)
        say(store, S2, n)
    assert len(store) == 2
    assert said(store, S1) == [0, 1, 2, 3, 4]


def test_a_turn_whose_conversation_was_forgotten_meanwhile_brings_it_back() -> None:
    store = opened(1)
    say(store, S1, "before", cursor="7-3")
    running = store.context_for(S1, "ada", "coder")
    say(store, S2, "other")
    assert store.owner(S1) is None
    running.messages.append("after")
    end(store, running, "9-1")
    assert store.conversation(S1) == Conversation(S1, ("before", "after"), "9-1")


def test_a_conversation_has_an_owner_until_it_is_forgotten() -> None:
    """G12."""
    store = opened()
    assert store.owner(S1) is None
    say(store, S1)
    assert store.owner(S1) == "ada"
    store.forget(S1)
    store.forget(S1)
    assert store.owner(S1) is None


# -- How much of each ---------------------------------------------------------------------------------------


def test_what_is_left_of_a_session_stays_with_its_conversation_and_is_counted() -> None:
    counted: Counter[str] = Counter()
    store = ContextStore(2, ROOMY, Meter(), lambda user, size: counted.update({user: size}), per_user=2)
    say(store, S1, "hello")
    before = counted["ada"]
    left = Left(S1, "ada", "a title", 1.0)
    store.leave(left)
    assert store.left(S1) == left
    assert (store.known("ada"), store.known("bob"), store.known(None)) == ([S1], [], [S1])
    assert counted["ada"] == before + footprint("a title")
    assert store.take(S1) == left
    assert (store.take(S1), store.left(S1), counted["ada"]) == (None, None, before)
    store.leave(left)
    store.forget(S1)
    assert (store.left(S1), store.known(None), counted["ada"]) == (None, [], 0)
    store.leave(left)
    assert store.left(S1) is None


def test_a_conversation_is_bounded_and_says_what_it_lacks() -> None:
    """G8."""
    meter = Meter()
    store = ContextStore(2, Bound(3, 1_000_000), meter, per_user=2)
    say(store, S1, "a", "b", "c")
    assert meter.counts() == {}
    say(store, S1, "d", "e", cursor="8-1")
    say(store, S2, *"abcdefg")
    assert store.conversation(S1) == Conversation(S1, ("c", "d", "e"), "8-1", omitted=2)
    assert store.conversation(S2).omitted == 4
    assert meter.counts() == {MESSAGES_OMITTED.name: 6}
    end(store, store.context_for(S1, "ada", "default"))
    assert meter.counts() == {MESSAGES_OMITTED.name: 6}, "none of them is counted twice"


def test_a_conversation_comes_with_the_event_up_to_which_it_goes() -> None:
    store = opened()
    assert store.conversation(S1) == Conversation(S1, (), None)
    say(store, S1, "hello", {"role": "assistant"}, cursor="7-3")
    assert store.conversation(S1) == Conversation(S1, ("hello", {"role": "assistant"}), "7-3")
    store.forget(S1)
    assert store.conversation(S1) == Conversation(S1, (), None)


def test_what_conversations_take_is_counted_for_each_user() -> None:
    taken = Counter[str]()
    store = ContextStore(2, ROOMY, Meter(), lambda user, size: taken.update({user: size}), per_user=2)
    assert store.size_of(S1) == 0
    text, longer = "x" * 1_000, "x" * 2_000
    say(store, S1, text)
    say(store, S2, text)
    assert store.size_of(S1) == footprint(text)
    assert taken == {"ada": 2 * footprint(text)}
    context = store.context_for(S1, "ada", "default")
    context.messages[0] = longer
    end(store, context)
    assert taken == {"ada": footprint(text) + footprint(longer)}
    say(store, S3, "hi", owner="bob")  # in the place of s2
    assert taken == {"ada": footprint(longer), "bob": footprint("hi")}
    store.forget(S1)
    store.forget(S3)
    assert taken == {"ada": 0, "bob": 0}


# -- Whatever turns do --------------------------------------------------------------------------------------

MESSAGES = st.sampled_from([0, False, None, "a", "b" * 300, {"a": [1]}, {"a": [True]}, ["a", {"b": 2}]])
EDITS = st.lists(
    st.tuples(st.sampled_from(["append", "insert", "assign", "delete", "cut", "shorten", "anew"]), MESSAGES),
    max_size=4,
)


def edit(messages: list[Any], how: str, message: Any) -> list[Any]:
    """What an agent may do to its list; another list if it makes one."""
    middle = len(messages) // 2
    match how:
        case "append":
            messages += [message]
        case "insert":
            messages.insert(middle, message)
        case "assign" if messages:
            messages[middle] = message
        case "delete" if messages:
            del messages[middle]
        case "cut":
            messages[:1] = []
        case "shorten":
            messages = messages[-2:]
        case "anew":
            messages = [*messages, message]
    return messages


@given(st.lists(EDITS, max_size=5), st.booleans())
def test_what_turns_change_comes_to_what_they_left(turns: list[list[tuple[str, Any]]], bounded: bool) -> None:
    most = 4 if bounded else 1_000
    store = opened(2, Bound(most, 1_000_000))
    everything: list[Any] = []
    omitted = 0
    for edits in turns:
        context = store.context_for(S1, "ada", "default")
        shown = everything[omitted:]
        for how, message in edits:
            context.messages = edit(context.messages, how, message)
            shown = edit(shown, how, message)
        before, changes = context.kept.transcript, context.changes()
        assert changes.keep <= before.count
        assert changes.keep - omitted <= len(shown)
        end(store, context)
        everything[omitted:] = shown
        omitted = max(omitted, len(everything) - most)
        conversation = store.conversation(S1)
        assert to_json(conversation.messages) == to_json(everything[omitted:])
        assert conversation.omitted == omitted


@given(EDITS)
def test_a_turn_writes_nothing_again_that_stands_where_it_stood(edits: list[tuple[str, Any]]) -> None:
    store = opened()
    say(store, S1, *range(10))
    context = store.context_for(S1, "ada", "default")
    for how, message in edits:
        context.messages = edit(context.messages, how, message)
    changes = context.changes()
    now = context.messages
    assert to_json([*range(10)][: changes.keep]) == to_json(now[: changes.keep])
    assert to_json(changes.add) == to_json(now[changes.keep :])
    if changes.keep < 10 and changes.add:
        assert to_json(now[changes.keep]) != to_json(changes.keep)


@pytest.mark.parametrize("kept", [10, 1_000, 61_000])
def test_what_a_turn_changes_does_not_grow_with_what_was_said(kept: int) -> None:
    store = opened(2, Bound(kept, 1_000_000_000))
    say(store, S1, *map(str, range(kept)))
    context = store.context_for(S1, "ada", "default")
    context.messages += ["q", "a"]
    assert context.changes() == (kept, ("q", "a"), None)
