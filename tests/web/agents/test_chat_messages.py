from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.web.agents.chat_messages import UnsupportedMessage, request_messages, user_message

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,xx", "detail": "low"}}


# -- What was sent ----------------------------------------------------------------------------------


def test_a_text_is_the_content_itself() -> None:
    assert user_message("hello") == {"role": "user", "content": "hello"}


def test_a_single_text_part_is_its_text_which_every_server_takes() -> None:
    assert user_message([{"type": "text", "text": "hello"}]) == {"role": "user", "content": "hello"}


def test_parts_are_passed_on_in_the_shape_of_the_protocol() -> None:
    parts = [{"type": "text", "text": "what is this?", "ours": 1}, IMAGE]
    assert user_message(parts) == {
        "role": "user",
        "content": [{"type": "text", "text": "what is this?"}, IMAGE],
    }


@pytest.mark.parametrize(
    "message",
    [
        None, 5, {}, {"type": "text", "text": "x"}, [], ["x"], [None], [{}], [{"type": "text"}],
        [{"type": "text", "text": 5}], [{"type": "image_url"}], [{"type": "image_url", "image_url": "x"}],
        [{"type": "image_url", "image_url": {}}], [{"type": "image_url", "image_url": {"url": "\ud800"}}],
        [{"type": "image_url", "image_url": {"url": "x", "n": float("nan")}}],
        [{"type": "text", "text": "x"}, {"type": "input_audio", "input_audio": {}}],
    ],
)  # fmt: skip
def test_any_other_message_is_refused(message: Any) -> None:
    with pytest.raises(UnsupportedMessage) as refused:
        user_message(message)
    assert refused.value.code == "UNSUPPORTED_MESSAGE"


# -- What a model is sent ---------------------------------------------------------------------------


def said(role: str, content: Any, **marks: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **marks}


def test_the_system_prompt_comes_first_and_our_marks_are_not_sent() -> None:
    history = [
        said("user", "one"),
        said(
            "assistant", "o", cut_off=True, error="upstream_timeout", finish_reason="length", usage={"x": 1}
        ),
        said("user", "two"),
    ]
    assert request_messages(history, "Be short.") == [
        said("system", "Be short."),
        said("user", "one"),
        said("assistant", "o"),
        said("user", "two"),
    ]


def test_a_reply_of_which_nothing_arrived_leaves_one_message_of_the_user() -> None:
    history = [said("user", "one"), said("assistant", "", cut_off=True), said("user", "two")]
    assert request_messages(history) == [said("user", "one\n\ntwo")]
    assert history[0] == said("user", "one"), "the history is left as it is"


def test_parts_and_texts_become_one_list_of_parts() -> None:
    history = [said("user", "look"), said("assistant", ""), said("user", [IMAGE])]
    assert request_messages(history) == [said("user", [{"type": "text", "text": "look"}, IMAGE])]


def test_what_was_refused_is_not_sent_again() -> None:
    history = [said("user", "bad", refused=True), said("assistant", "", cut_off=True), said("user", "good")]
    assert request_messages(history) == [said("user", "good")]


def test_a_hosts_own_messages_are_passed_on() -> None:
    history = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {"role": "user", "name": "ada", "content": "a"},
        {"role": "user", "name": "bob", "content": "b"},
    ]
    assert request_messages(history) == history


def test_what_is_no_message_is_left_out() -> None:
    assert request_messages([None, "x", {"content": "y"}, said("user", "z")]) == [said("user", "z")]


turns = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]) | st.just([IMAGE]),
        st.sampled_from(["", "reply"]),
        st.sampled_from([{}, {"cut_off": True}, {"cut_off": True, "error": "upstream_refused"}]),
        st.booleans(),
    )
)


@given(turns)
def test_whatever_became_of_earlier_turns_a_request_takes_turns_and_ends_with_the_user(rounds: Any) -> None:
    history: list[dict[str, Any]] = []
    for asked, replied, marks, refused in rounds:
        gone = {"refused": True} if refused and not replied else {}
        history += [said("user", asked, **gone), said("assistant", replied, **marks)]
    messages = request_messages([*history, said("user", "last")])
    roles = [message["role"] for message in messages]
    assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
    assert roles[-1] == "user"
    assert all(message.keys() == {"role", "content"} and message["content"] for message in messages)


def test_text_parts_that_are_neighbours_are_one() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    texts = [{"type": "text", "text": text} for text in "abcd"]

    said = user_message([*texts[:3], image, image, texts[3]])

    assert said["content"] == [
        {"type": "text", "text": "abc"},
        image,
        image,
        {"type": "text", "text": "d"},
    ]
    assert user_message(texts) == {"role": "user", "content": "abcd"}


def rounds_of(number: int) -> list[dict[str, Any]]:
    return [{"role": role, "content": f"{n} {role}"} for n in range(number) for role in ("user", "assistant")]


def test_only_the_last_messages_are_sent_and_none_before_one_of_the_users() -> None:
    history = [*rounds_of(10), {"role": "user", "content": "now"}]

    assert contents(request_messages(history, "system", most_messages=4)) == [
        "system",
        "9 user",
        "9 assistant",
        "now",
    ]
    assert contents(request_messages(history, most_messages=1)) == ["now"]
    assert request_messages(history) == history


def test_only_so_many_characters_are_sent_but_always_the_newest_message() -> None:
    image = {"type": "image_url", "image_url": {"url": "x" * 50}}
    history = [
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": "y" * 50},
        {"role": "user", "content": [image]},
    ]

    assert len(request_messages(history, most_text=200)) == 3
    assert request_messages(history, most_text=1) == history[2:]


def test_images_are_counted_apart_from_text() -> None:
    """An image has a million characters, and says no more than a few hundred words."""
    image = {"type": "image_url", "image_url": {"url": "x" * 50}}
    history = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": [image]},
        {"role": "assistant", "content": "another"},
        {"role": "user", "content": "which is older?"},
    ]

    assert request_messages(history, most_text=100, most_images=118) == history
    assert request_messages(history, most_text=100, most_images=117) == history[2:]
    assert request_messages(history, most_text=100, most_images=1) == history[4:]
    assert request_messages(history, most_text=20, most_images=118) == history[4:]


def test_what_lies_before_the_last_messages_is_not_looked_at() -> None:
    class Untouched(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("no slices")

    looked: list[int] = []

    class Watched(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            looked.append(1)
            return dict.__getitem__(self, name)

    history = Untouched([Watched(each) for each in rounds_of(10_000)])

    request_messages(history, most_messages=2)

    assert len(looked) < 10


def contents(messages: list[dict[str, Any]]) -> list[Any]:
    return [message["content"] for message in messages]
