"""What a conversation and a turn that goes on are to the page that opens their chat."""

from typing import Any

import pytest

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.frozen import FrozenDict, frozen
from turnkeeper.web.wires.ai_sdk.before import Going, begun, kept, parts_of, text_of

TEXT = {"type": "text", "text": "hello"}


def text(said: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": said}]


def test_what_a_conversation_keeps_is_numbered_and_each_message_says_whose_it_is() -> None:
    said = [
        FrozenDict(role="user", content="hello"),
        FrozenDict(role="assistant", content="hi"),
        FrozenDict(role="user", content=frozen([TEXT])),
    ]
    assert kept(said, 7) == [
        {"id": "before-7", "role": "user", "parts": text("hello")},
        {"id": "before-8", "role": "assistant", "parts": text("hi")},
        {"id": "before-9", "role": "user", "parts": text("hello")},
    ]


def test_a_reply_that_is_not_whole_or_has_failed_says_so() -> None:
    said = [
        {"role": "assistant", "content": "so f", "cut_off": True},
        {"role": "assistant", "content": "", "cut_off": True, "error": "agent_error"},
    ]
    assert kept(said, 0) == [
        {"id": "before-0", "role": "assistant", "parts": text("so f"), "metadata": {"cutOff": True}},
        {
            "id": "before-1",
            "role": "assistant",
            "parts": [],
            "metadata": {"cutOff": True, "status": "failed", "code": "agent_error"},
        },
    ]


def test_what_is_for_the_model_alone_is_left_out_and_the_others_keep_their_numbers() -> None:
    said = [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "42"},
        "no message",
        {"content": "of no one"},
        {"role": "assistant", "content": "it is 42", "cut_off": "perhaps"},
    ]
    assert kept(said, 0) == [{"id": "before-5", "role": "assistant", "parts": text("it is 42")}]


@pytest.mark.parametrize(
    ("url", "media"),
    [
        ("data:image/png;base64,AAAA", "image/png"),
        ("data:image/gif,x", "image/gif"),
        ("data:,x", "image/*"),
        ("https://pictures.example/a.png", "image/*"),
    ],
)
def test_an_image_is_a_file_of_the_type_that_its_address_says(url: str, media: str) -> None:
    image = {"type": "image_url", "image_url": {"url": url}}
    assert parts_of([TEXT, image]) == [TEXT, {"type": "file", "mediaType": media, "url": url}]


def test_of_what_is_too_large_to_be_shown_again_there_is_its_kind_and_its_size() -> None:
    elided = {"type": "image_url", "bytes": 70_000, "elided": True}
    assert parts_of([elided]) == [{"type": "data-elided", "data": {"type": "image_url", "bytes": 70_000}}]


@pytest.mark.parametrize("content", ["", None, 7, [{"type": "audio"}], [{"type": "text"}], ["a"], [None]])
def test_of_what_a_client_does_not_know_there_is_nothing(content: Any) -> None:
    assert parts_of(content) == []


def test_the_message_whose_reply_is_on_its_way_names_the_reply() -> None:
    assert begun([Going("t1", "hello", "so far")], 4) == [
        {"id": "before-4", "role": "user", "parts": text("hello"), "metadata": {"activeStreamId": "t1"}}
    ]
    assert begun([Going("t1", None, "so far")], 4) == [], "its message is not kept"


def test_a_turn_that_makes_way_is_shown_with_what_it_has_said() -> None:
    assert begun([Going("t1", "hello", "so far"), Going("t2", "no", "")], 0) == [
        {"id": "before-0", "role": "user", "parts": text("hello")},
        {"id": "before-1", "role": "assistant", "parts": text("so far"), "metadata": {"cutOff": True}},
        {"id": "before-2", "role": "user", "parts": text("no"), "metadata": {"activeStreamId": "t2"}},
    ]


def test_of_what_a_turn_has_said_counts_what_stands() -> None:
    def delta(said: str, n: int) -> Event:
        return Event("delta", 5, n, f'{{"text": "{said}"}}')

    def interrupted(n: int, from_start: str) -> Event:
        data = (
            f'{{"task_id": "t1", "status": "interrupted", "will_continue": true, "from_start": {from_start}}}'
        )
        return Event("turn.interrupted", 5, n, data)

    other = Event("weather", 5, 3, "1")
    assert text_of([delta("one ", 1), other, delta("two", 2)]) == "one two"
    assert text_of([delta("one ", 1), interrupted(2, "false"), delta("two", 3)]) == "one two"
    assert text_of([delta("one ", 1), interrupted(2, "true"), delta("two", 3)]) == "two"
