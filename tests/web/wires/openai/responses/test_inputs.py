"""What a response was asked with."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, done
from tests.web.fakes_web import House, by_token, serving
from tests.web.wires.openai.official import ResponseItemList, object_of
from turnkeeper.actors.turn.turn import Turn

URL = "/v1/responses"


async def wordy(turn: Turn) -> None:
    """Says a hundred words, if it is asked for many."""
    for n in range(100 if turn.text == "many words" else 1):
        turn.emit("delta", {"text": f"{n} "})


async def created(house: House, said: Any, token: str | None = None, **more: Any) -> str:
    """The id of a response."""
    answer = await house.post(URL, json={"input": said, "conversation": "c1", **more}, token=token)
    assert answer.status == 200, answer.text
    response_id: str = answer.body["id"]
    return response_id


async def asked_with(house: House, response: str, query: str = "") -> Any:
    """The list of its input, held to its type."""
    answer = await house.get(f"{URL}/{response}/input_items{query}")
    assert answer.status == 200, answer.text
    object_of(ResponseItemList, answer.body)
    assert answer.body["has_more"] is False
    return answer.body


async def refused(house: House, response: str, query: str = "") -> tuple[int, str, str | None]:
    answer = await house.get(f"{URL}/{response}/input_items{query}")
    return answer.status, answer.body["error"]["code"], answer.body["error"]["param"]


def text_of(page: Any) -> list[str]:
    assert [(each["role"], each["status"]) for each in page["data"]] == [("user", "completed")]
    return [part["text"] for part in page["data"][0]["content"]]


async def test_it_is_the_message_of_the_user_s() -> None:
    async with serving(done, speaks=["openai"]) as house:
        first, second = await created(house, "one"), await created(house, "two")
        assert text_of(await asked_with(house, first)) == ["one"]
        page = await asked_with(house, second, "?order=asc&limit=1")
        assert text_of(page) == ["two"]
        assert page["first_id"] == page["last_id"] == page["data"][0]["id"]
        behind = await asked_with(house, second, f"?after={page['last_id']}")
        assert (behind["data"], behind["first_id"]) == ([], "")


async def test_it_may_have_images_of_which_large_ones_are_not_shown() -> None:
    async with serving(done, speaks=["openai"]) as house:
        content = [
            {"type": "input_text", "text": "what is this?"},
            {"type": "input_image", "image_url": "http://x/y.png", "detail": "low"},
            {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 100_000},
        ]
        response = await created(house, [{"role": "user", "content": content}])
        (item,) = (await asked_with(house, response))["data"]
        large = {"type": "input_image", "image_url": None, "detail": "auto"}
        assert item["content"] == [*content[:2], large]


async def test_it_is_there_while_the_response_waits_and_while_it_runs() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house:
        first = await created(house, "one", background=True)
        await agent.run()
        enqueue = {"turnkeeper": {"multitask_strategy": "enqueue"}}
        second = await created(house, "two", background=True, **enqueue)
        assert text_of(await asked_with(house, first)) == ["one"]
        assert text_of(await asked_with(house, second)) == ["two"]
        await house.post(f"{URL}/{second}/cancel")
        assert await refused(house, second) == (400, "events_lost", None), "it was never started"


async def test_the_journal_has_it_as_well(tmp_path: Path) -> None:
    journal = tmp_path / "chats.db"
    async with serving(wordy, speaks=["openai"], journal=journal, log_events=20) as house:
        response = await created(house, "many words")
        await created(house, "two")
        assert text_of(await asked_with(house, response)) == ["many words"]
    async with serving(wordy, speaks=["openai"], journal=journal, log_events=20) as house:
        assert text_of(await asked_with(house, response)) == ["many words"]


async def test_what_is_no_longer_kept_is_refused() -> None:
    async with serving(wordy, speaks=["openai"], log_events=20) as house:
        response = await created(house, "many words", background=True)
        await created(house, "two")
        assert await refused(house, response) == (400, "events_lost", None)


async def test_a_text_that_is_too_large_to_be_shown_is_not_passed_off_as_none() -> None:
    async with serving(done, speaks=["openai"], shown_part=50) as house:
        assert text_of(await asked_with(house, await created(house, "x" * 40))) == ["x" * 40]
        large = await created(house, "x" * 200)
        assert await refused(house, large) == (400, "events_lost", None)
        error = (await house.get(f"{URL}/{large}/input_items")).body["error"]
        assert error["message"].endswith("too large"), "it is kept, in the conversation"


async def test_of_a_response_that_has_brought_its_own_history_not_all_is_kept() -> None:
    async with serving(done, speaks=["openai"]) as house:
        history = [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "hello"}]
        response = await created(house, history, conversation=None)
        assert await refused(house, response) == (400, "unsupported_parameter", "response_id")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?order=up", "order"),
        ("?after=x", "after"),
        ("?include[]=x", "include[]"),
    ],
)
async def test_a_page_that_there_is_not_is_refused(query: str, param: str) -> None:
    async with serving(done, speaks=["openai"]) as house:
        response = await created(house, "hello")
        assert await refused(house, response, query) == (400, "unsupported_parameter", param)


async def test_what_is_not_yours_is_unknown() -> None:
    async with serving(done, speaks=["openai"], authenticate=by_token) as house:
        response = await created(house, "hello", "ada-token")
        hidden = await house.get(f"{URL}/{response}/input_items", token="bob-token")
        assert hidden.status == 404
        missing = await house.get(f"{URL}/{response}x/input_items", token="bob-token")
        assert (missing.status, missing.text) == (404, hidden.text.replace(response, f"{response}x"))
        assert (await house.get(f"{URL}/x/input_items", token="ada-token")).status == 404
