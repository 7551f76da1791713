"""Messages as the items of this API, held to its client's own types."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.wires.openai.official import ConversationItem, object_of
from turnkeeper.actors.model.frozen import frozen
from turnkeeper.web.wires.openai.items import item_of

MOST = 1_000
IMAGE = {"type": "image_url", "image_url": {"url": "http://x/y.png", "detail": "low"}}


def made(message: Any) -> Any:
    """The item, as it comes out of what is kept."""
    item = item_of("msg_1.c1", frozen(message), MOST)
    object_of(ConversationItem, item)
    assert (item["id"], item["type"]) == ("msg_1.c1", "message")
    return item


def test_what_the_user_says_is_input() -> None:
    item = made({"role": "user", "content": "hello"})
    assert (item["role"], item["status"]) == ("user", "completed")
    assert item["content"] == [{"type": "input_text", "text": "hello"}]


def test_a_reply_is_output() -> None:
    item = made({"role": "assistant", "content": "hi"})
    assert (item["role"], item["status"]) == ("assistant", "completed")
    assert item["content"] == [{"type": "output_text", "text": "hi", "annotations": (), "logprobs": ()}]


@pytest.mark.parametrize("marks", [{}, {"error": "agent_error"}])
def test_what_was_cut_off_is_incomplete_and_keeps_its_text(marks: dict[str, str]) -> None:
    item = made({"role": "assistant", "content": "one two", "cut_off": True, **marks})
    assert item["status"] == "incomplete"
    assert item["content"][0]["text"] == "one two"
    assert made({"role": "assistant", "content": "", "cut_off": True})["content"] == []


def test_a_message_may_have_images() -> None:
    content = made({"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE]})["content"]
    assert content == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "http://x/y.png", "detail": "low"},
    ]
    bare = {"type": "image_url", "image_url": "http://x/y.png"}
    assert made({"role": "user", "content": [bare]})["content"][0]["detail"] == "auto"


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image_url", "image_url": {"url": "data:" + "A" * MOST}},
        {"type": "image_url", "bytes": 3_000_000, "elided": True},
        {"type": "image_url", "image_url": {"url": 7, "detail": "none"}},
    ],
)
def test_an_image_that_is_not_shown_has_no_address(image: Any) -> None:
    content = made({"role": "user", "content": [image]})["content"]
    assert content == [{"type": "input_image", "image_url": None, "detail": "auto"}]


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("system", "system"),
        ("developer", "developer"),
        ("tool", "tool"),
        ("function", "tool"),
        ("narrator", "unknown"),
        (None, "unknown"),
        (["user"], "unknown"),
    ],
)
def test_each_role_has_its_word(role: Any, said: str) -> None:
    item = made({"role": role, "content": "x"})
    assert (item["role"], item["content"]) == (said, [{"type": "input_text", "text": "x"}])


def test_a_refusal_is_one_where_the_assistant_says_it() -> None:
    part = {"type": "refusal", "refusal": "no"}
    assert made({"role": "assistant", "content": [part]})["content"] == [part]
    assert made({"role": "user", "content": [part]})["content"][0]["type"] == "input_text"


def test_what_an_item_has_no_word_for_is_left_out() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "look"}}]}
    assert made(call)["content"] == []
    assert made({"role": "user", "content": [{"type": "input_audio"}, "x", 7]})["content"] == [
        {"type": "input_text", "text": "x"}
    ]
    assert made("x")["content"] == [{"type": "input_text", "text": "x"}]
    assert made(None)["content"] == []


def test_a_text_that_no_client_can_be_sent_is_made_whole() -> None:
    assert made({"role": "user", "content": "a\ud800"})["content"][0]["text"] == "a�"


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("role", "content", "type", "text", "image_url", "url", "refusal", "cut_off")),
            inner,
        )
    ),
    max_leaves=12,
)


@given(message=_JSON)
def test_whatever_an_agent_keeps_is_an_item(message: Any) -> None:
    made(message)
