"""Which session a chat completion belongs to."""

from typing import Any

import pytest
from multidict import CIMultiDict

from tests.fakes import opened, plain, settle
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import Send
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import WebSettings
from turnkeeper.web.wires.openai.completions.asked import Asked
from turnkeeper.web.wires.openai.completions.session import Forgetting, Place, place_of

#: What Open WebUI asks for the title of a chat with.
TITLE = "### Task:\nGenerate a concise title summarizing the chat history."


def asked(text: Any = "hello", before: tuple[Any, ...] = (), *, streams: bool = False) -> Asked:
    return Asked("default", text, list(before), {}, streams=streams, with_usage=False)


def place(
    headers: dict[str, str],
    what: Asked | None = None,
    *,
    user: str = "ada",
    key: str | None = None,
    **settings: Any,
) -> Place:
    return place_of(CIMultiDict(headers), WebSettings(**settings), what or asked(), user, key)


@pytest.mark.parametrize("name", ["X-Turnkeeper-Session", "x-openwebui-chat-id"])
def test_a_header_names_it(name: str) -> None:
    assert place({name: "c1"}) == Place("c1", once=False)


def test_the_first_header_of_the_setting_wins() -> None:
    both = {"X-OpenWebUI-Chat-Id": "theirs", "X-Turnkeeper-Session": "ours"}
    assert place(both).session_id == "ours"
    assert place(both, session_headers="X-OpenWebUI-Chat-Id,X-Turnkeeper-Session").session_id == "theirs"
    assert place(both, session_headers="").once


@pytest.mark.parametrize("session", ["a b", "{{CHAT_ID}}", "events", "x" * 201], ids=plain)
def test_an_id_that_breaks_the_rule_is_refused(session: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        place({"X-OpenWebUI-Chat-Id": session})
    assert refused.value.field == "X-OpenWebUI-Chat-Id"


def test_without_one_each_request_has_a_session_of_its_own() -> None:
    places = {place({}).session_id for _ in range(100)}
    assert len(places) == 100
    for each in places:
        assert ids.session_id(each).startswith("once_")
    assert place({"X-OpenWebUI-Chat-Id": ""}).once


def test_the_retry_of_a_request_with_a_key_comes_to_the_same_one() -> None:
    first = place({}, key="k1")
    assert first == place({}, key="k1")
    assert first.once
    assert len({first, place({}, key="k2"), place({}, key="k1", user="bob")}) == 3


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"X-OpenWebUI-Task": "title_generation"}, asked()),
        ({"X-OpenWebUI-Task": "title_generation"}, asked(streams=True)),
        ({}, asked(TITLE)),
    ],
    ids=plain,
)
def test_a_task_of_the_front_end_is_no_message_of_the_chat(headers: dict[str, str], what: Asked) -> None:
    assert place({"X-OpenWebUI-Chat-Id": "c1", **headers}, what).once


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"X-OpenWebUI-Task": ""}, asked()),
        ({}, asked(TITLE, streams=True)),
        ({}, asked(TITLE, ({"role": "system", "content": "be brief"},))),
        ({}, asked([{"type": "text", "text": TITLE}])),
    ],
    ids=plain,
)
def test_a_message_of_the_chat_is_no_task(headers: dict[str, str], what: Asked) -> None:
    assert place({"X-OpenWebUI-Chat-Id": "c1", **headers}, what) == Place("c1", once=False)


async def test_a_session_of_one_turn_is_forgotten_when_that_has_ended_and_has_its_reader() -> None:
    async def agent(turn: Turn) -> str:
        return turn.text

    async with opened(agent) as registry:
        for follows_first in (True, False):
            forgetting = Forgetting(registry, "s")
            if follows_first:
                forgetting.follow()
            await registry.ask(Send("s", "hello", Asker("ada"), ended_to=forgetting))
            await forgetting
            if not follows_first:
                await settle()
                assert "s" in registry.directory.entries
                forgetting.follow()
            await settle()
            assert not registry.directory.entries
