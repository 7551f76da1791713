"""What readers are shown of a message: its small parts whole, and of each large part what it is (G8)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.events.shown import MAX_TYPE, Sizes, as_one_part, shown, shown_as_kept, size_of
from turnkeeper.actors.session.settings import Settings

#: Enough for anything.
ROOM = 1_000_000
HELLO = {"type": "text", "text": "hello"}


def image(size: int, **more: Any) -> dict[str, Any]:
    """A part that takes so many bytes as JSON."""
    part = {"type": "image_url", "image_url": {"url": ""}, **more}
    part["image_url"]["url"] = "A" * (size - length(part))
    return part


def length(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def elided(kind: str | None, size: int) -> dict[str, Any]:
    return {"type": kind, "bytes": size, "elided": True}


# -- A message that was sent --------------------------------------------------------------------------


def test_a_part_is_shown_whole_up_to_the_bound_and_beyond_it_by_its_type_and_size() -> None:
    fits, is_too_large = image(10_000), image(10_001)
    message = [HELLO, fits, is_too_large, HELLO]
    seen = shown(message, 10_000, ROOM)
    assert seen.message == [HELLO, fits, elided("image_url", 10_001), HELLO]
    assert seen.elided
    assert seen.size == 2 * length(HELLO) + 10_000


@pytest.mark.parametrize("message", ["hello", "x" * 9_998, [HELLO], [image(10_000)], {"any": [1]}, 7])
def test_a_message_without_large_parts_is_shown_itself(message: Any) -> None:
    seen = shown(message, 10_000, ROOM)
    assert seen.message is message
    assert not seen.elided


@pytest.mark.parametrize("letter", ["a", "\u00e4", "\U0001f600", "\n"])
def test_a_text_is_elided_as_if_it_were_the_only_part(letter: str) -> None:
    text = letter * 10_000
    assert shown(text, 10_000, ROOM).message == [elided("text", size_of(text))]


def test_a_message_of_the_hosts_own_kind_is_elided_in_the_same_way() -> None:
    assert shown(image(10_001), 10_000, ROOM).message == [elided("image_url", 10_001)]
    assert shown({"n": "x" * 10_000}, 10_000, ROOM).message == [elided(None, 10_008)]


def test_many_parts_are_shown_as_far_as_there_is_room() -> None:
    """Or the event would push itself out of its log."""
    parts = [image(9_000) for _ in range(10)]
    seen = shown([*parts, HELLO], 10_000, 50_000)
    assert seen.message == [*parts[:5], *[elided("image_url", 9_000)] * 5, HELLO]
    assert seen.size <= 50_000
    assert not shown(parts[:5], 10_000, 45_000).elided
    assert shown(parts[:5], 10_000, 44_999).message == [*parts[:4], elided("image_url", 9_000)]


def test_a_part_that_is_large_in_something_else_than_texts_is_elided_too() -> None:
    part = {"type": "numbers", "numbers": [1] * 10_000}
    assert shown([part], 10_000, ROOM).message == [elided("numbers", length(part))]
    deep = {"type": "deep", "x": [[[[[["a" * 10_000]]]]]]}
    assert shown([deep], 10_000, ROOM).message == [elided("deep", length(deep))]


@pytest.mark.parametrize("kind", [None, 7, ["x"]])
def test_a_type_that_is_no_text_is_shown_as_null(kind: Any) -> None:
    assert shown([image(10_001, type=kind)], 10_000, ROOM).message == [elided(None, 10_001)]


def test_only_the_beginning_of_a_long_type_is_shown() -> None:
    seen = shown([{"type": "x" * 20_000}], 10_000, ROOM).message
    assert seen[0]["type"] == "x" * MAX_TYPE


def test_what_is_not_json_has_no_size_and_is_not_elided() -> None:
    """It is shown as null, as a whole."""
    message = [object(), "x" * 5_000]
    assert shown(message, 10_000, ROOM).message is message
    endless: list[Any] = []
    endless.append(endless)
    assert size_of(endless) == 0


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_size_is_that_of_the_json(value: Any) -> None:
    try:
        expected = length(value)
    except UnicodeEncodeError:
        expected = 0
    # The two encoders write a number's exponent in different ways.
    assert abs(size_of(value) - expected) <= 2 * json.dumps(value).count("e")


# -- A message as an agent keeps it -------------------------------------------------------------------


def test_parts_in_the_lists_of_a_kept_message_are_elided_and_all_else_stays() -> None:
    large = image(10_001)
    kept = {"role": "user", "content": [HELLO, large], "name": "ada"}
    assert shown_as_kept(kept, 10_000, ROOM) == {
        "role": "user",
        "content": [HELLO, elided("image_url", 10_001)],
        "name": "ada",
    }
    assert kept["content"] == [HELLO, large]
    assert shown_as_kept([HELLO, large], 10_000, ROOM) == [HELLO, elided("image_url", 10_001)]


@pytest.mark.parametrize("message", [{"role": "user", "content": [HELLO]}, "hello", ["x"], 7, None, object()])
def test_a_small_message_is_shown_as_it_is_kept(message: Any) -> None:
    assert shown_as_kept(message, 10_000, ROOM) is message


def test_a_text_in_a_kept_message_is_elided_only_where_there_is_no_room_for_it() -> None:
    """A long reply is no part; but one message must not hide all that was said before it."""
    fits = {"role": "assistant", "content": "x" * 49_998}
    assert shown_as_kept(fits, 10_000, 50_000) == fits
    does_not = {"role": "assistant", "content": "x" * 49_999}
    assert shown_as_kept(does_not, 10_000, 50_000)["content"] == [elided("text", 50_001)]


def test_of_a_message_that_is_too_large_to_be_shown_there_are_its_role_and_its_size() -> None:
    assert as_one_part({"role": "tool" * 100, "a": 1})["role"] == ("tool" * 100)[:MAX_TYPE]
    assert as_one_part({"role": ["tool"]}) == {"content": [{"type": None, "bytes": 17, "elided": True}]}
    assert as_one_part("hello") == [elided("text", 7)]


def test_a_whole_message_may_take_half_of_what_an_event_may() -> None:
    assert Sizes.of(Settings(shown_part=10, log_bytes=1_000)) == Sizes(10, 500, 1_000)
