"""What was said in a session, and how much of it is kept."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.turn.transcript import Bound, Transcript

ROOMY = Bound(1_000, 1_000_000)


def said(*messages: Any, bound: Bound = ROOMY) -> Transcript:
    return Transcript().after(0, messages, bound)


def test_it_begins_empty() -> None:
    empty = Transcript()
    assert (empty.messages, empty.omitted, empty.size, empty.count) == ([], 0, 0, 0)


def test_what_is_kept_stays_and_what_is_added_comes_after_it() -> None:
    before = said("a", "b", "c")
    assert before.after(3, ("d",), ROOMY).messages == ["a", "b", "c", "d"]
    assert before.after(1, ("d", "e"), ROOMY).messages == ["a", "d", "e"]
    assert before.after(1, (), ROOMY).messages == ["a"]
    assert before.after(0, (), ROOMY).messages == []
    assert before.messages == ["a", "b", "c"], "it is never changed"


def test_beyond_so_many_messages_the_oldest_are_dropped_and_counted() -> None:
    """G8."""
    three = Bound(3, 1_000_000)
    assert said("a", "b", "c", bound=three).omitted == 0, "exactly at the bound none is"
    after = said("a", "b", "c", bound=three).after(3, ("d", "e"), three)
    assert (after.messages, after.omitted, after.count) == (["c", "d", "e"], 2, 5)
    after = after.after(5, tuple("fghij"), three)
    assert (after.messages, after.omitted, after.count) == (["h", "i", "j"], 7, 10)


def test_beyond_so_many_bytes_the_oldest_are_dropped_and_counted() -> None:
    """G8."""
    text = "x" * 1_000
    two = Bound(1_000, 2 * footprint(text))
    assert said(text, text, bound=two).omitted == 0, "exactly at the bound none is"
    after = said(text, text, bound=two).after(2, (text + "!",), two)
    assert (after.messages, after.omitted) == ([text + "!"], 2)
    after = after.after(3, ("y",), two)
    assert (after.messages, after.omitted) == ([text + "!", "y"], 2)


def test_the_newest_is_kept_whatever_its_size() -> None:
    large = "x" * 1_000_000
    after = said("a", "b").after(2, ("c", large), Bound(10, 100))
    assert (after.messages, after.omitted, after.size) == ([large], 3, footprint(large))
    after = after.after(4, ("d",), Bound(10, 100))
    assert (after.messages, after.omitted) == (["d"], 4), "and goes when there is a newer one"


def test_a_first_message_that_was_dropped_is_among_those_that_are_left() -> None:
    """``keep`` counts from the very first message."""
    three = Bound(3, 1_000_000)
    before = said(*"abcde", bound=three)
    assert before.messages == ["c", "d", "e"]
    after = before.after(3, ("x",), three)
    assert (after.messages, after.omitted, after.count) == (["c", "x"], 2, 4)
    assert before.after(2, (), three).omitted == 2, "a turn that cleared all it was given"


def test_fewer_may_be_left_than_the_number_that_was_dropped() -> None:
    """Where it is made again, of what turns have changed, and within a smaller bound than they had."""
    before = said(*"abcde", bound=Bound(2, 1_000_000))
    after = before.after(1, ("x", "y"), ROOMY)
    assert (after.messages, after.omitted, after.count) == (["x", "y"], 1, 3)


@given(st.data(), st.integers(1, 6), st.integers(50, 500))
def test_whatever_turns_do_it_is_what_they_left_without_the_oldest(
    data: st.DataObject, most: int, most_bytes: int
) -> None:
    bound = Bound(most, most_bytes)
    transcript, everything = Transcript(), list[str]()
    for _ in range(4):
        keep = data.draw(st.integers(transcript.omitted, transcript.count))
        add = tuple(data.draw(st.lists(st.text("ab", max_size=60), max_size=7)))
        everything[keep:] = add
        before = list(transcript.messages)
        after = transcript.after(keep, add, bound)
        assert transcript.messages == before
        assert after.messages == everything[after.omitted :]
        assert after.count == len(everything)
        assert after.omitted >= transcript.omitted
        assert list(after.sizes) == [footprint(message) for message in after.messages]
        assert after.size == sum(after.sizes)
        # As many are kept as the bound lets, and the newest in any case.
        assert len(after.messages) <= most
        assert after.size <= most_bytes or len(after.messages) == 1
        if after.omitted > transcript.omitted:
            one_more = footprint(everything[after.omitted - 1]) + after.size
            assert len(after.messages) == most or one_more > most_bytes
        transcript = after


@pytest.mark.parametrize("keep", [5, 6, 1_000])
def test_all_of_them_can_be_kept(keep: int) -> None:
    assert said(*"abcde").after(keep, (), ROOMY).messages == list("abcde")
