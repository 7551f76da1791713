"""The input of a request."""

from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.responses.given import Given, given


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


TEXT = {"type": "input_text", "text": "what is this?"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}


def test_a_text_is_a_message() -> None:
    assert given("hello") == given([user("hello")]) == Given("hello")
    assert given([{"type": "message", **user([TEXT])}]) == Given("what is this?")


def test_a_message_may_have_images() -> None:
    assert given([user([TEXT, IMAGE])]).message == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
    ]
    bare = {"type": "input_image", "image_url": "http://x/y.png", "file_id": None}
    assert given([user([bare])]).message == [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]


def test_several_messages_of_the_user_are_one() -> None:
    assert given([user("one"), user([{"type": "input_text", "text": "two"}])]) == Given("one\n\ntwo")


def test_what_comes_before_the_last_of_the_users_is_a_history() -> None:
    said = given(
        [
            {"role": "system", "content": "Be short."},
            user([IMAGE]),
            {"type": "reasoning", "id": "rs", "summary": []},
            {"type": "mcp_call", "id": "mcp", "name": "x", "arguments": "{}", "server_label": "s"},
            {
                "type": "message",
                "id": "msg",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "a ", "annotations": []},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            user("one"),
            user("two"),
        ]
    )
    assert said.message == "one\n\ntwo"
    assert [message["role"] for message in said.history] == ["system", "user", "assistant"]
    assert said.history[2]["content"] == "a no"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": 5},
        user([{"type": "input_file", "file_id": "f"}]),
        user([{"type": "input_audio", "input_audio": {}}]),
        user([{"type": "input_image", "file_id": "f"}]),
        user([{**IMAGE, "file_id": "f"}]),
        user([{"type": "input_text", "text": 5}]),
    ],
    ids=plain,
)
def test_what_no_agent_can_be_given_is_refused(item: Any) -> None:
    with pytest.raises(Problem) as refused:
        given([item, user("x")])
    assert (refused.value.code, refused.value.field) == (Code.UNSUPPORTED_PARAMETER, "input")


@pytest.mark.parametrize(
    "items",
    [
        [],
        ["hello"],
        [{"role": "assistant", "content": "x"}],
        [{"role": "critic", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [user(5)],
        [user(["hello"])],
        [user([{"text": "hello"}])],
        [{"role": "user"}],
    ],
    ids=plain,
)
def test_what_is_wrong_is_refused(items: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        given(items)
    assert refused.value.field == "input"


@pytest.mark.parametrize("more", [{"file_id": "f"}, {"file_id": "f", "image_url": "https://x/y.png"}, {}])
def test_of_an_image_only_its_url_is_taken(more: Any) -> None:
    with pytest.raises(Problem, match="must have its images as image_url, and no file_id"):
        given([{"role": "user", "content": [{"type": "input_image", **more}]}])
