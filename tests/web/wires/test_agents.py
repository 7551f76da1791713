"""The agents, as the clients of wires name them."""

from typing import Any

import pytest

from tests.fakes import done
from tests.web.fakes_web import serving
from tests.web.wires.ai_sdk.chats import sends
from turnkeeper.actors.model.exceptions import UnknownAgent
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.web.wires.agents import agent_of, listed

SPEAKS = ["openai", "ai-sdk"]


@pytest.mark.parametrize("model", [None, "default", "echo"])
def test_the_default_agent_is_meant_by_none_by_default_and_by_its_name(model: str | None) -> None:
    assert agent_of(SessionRegistry({"echo": done, "coder": done}), model) == "echo"


def test_an_agent_of_that_name_is_the_default_one() -> None:
    registry = SessionRegistry({"coder": done, "default": done})
    assert agent_of(registry, "default") == "default"
    assert agent_of(registry, "coder") == "coder"


def test_one_that_there_is_not_is_refused_and_the_others_are_named() -> None:
    with pytest.raises(UnknownAgent) as refused:
        agent_of(SessionRegistry({"echo": done, "coder": done}), "gpt-4o")
    assert str(refused.value) == "there is no model 'gpt-4o' here; there are: echo, coder"
    assert refused.value.field == "model"


def test_of_many_agents_only_some_are_named() -> None:
    assert listed("abcde") == "a, b, c, d, e"
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "hello"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    ],
)
async def test_a_response_has_the_agent_s_own_name(path: str, body: dict[str, Any]) -> None:
    async with serving({"echo": done, "coder": done}, speaks=SPEAKS) as house:
        answer = await house.post(path, json={**body, "model": "default"})
        assert (answer.status, answer.body["model"]) == (200, "echo")
        refused = await house.post(path, json={**body, "model": "gpt-4o"})
        assert (refused.status, refused.body["error"]["message"]) == (
            404,
            "there is no model 'gpt-4o' here; there are: echo, coder",
        )


async def test_a_chat_may_name_the_default_agent_too() -> None:
    async with serving({"echo": done, "coder": done}, speaks=SPEAKS) as house:
        answer = await house.post("/api/chat", json=sends("hello", "m1", model="default"))
        assert answer.status == 200
        assert (await house.registry.session("c1")).recent[0].agent == "echo"
        refused = await house.post("/api/chat", json=sends("hello", "m2", model="gpt-4o"))
        assert (refused.status, refused.text) == (
            422,
            "there is no model 'gpt-4o' here; there are: echo, coder",
        )


async def test_the_model_default_can_be_asked_for() -> None:
    async with serving({"echo": done, "coder": done}, speaks=SPEAKS) as house:
        assert (await house.get("/v1/models/default")).body == (await house.get("/v1/models/echo")).body
        assert [each["id"] for each in (await house.get("/v1/models")).body["data"]] == ["echo", "coder"]
