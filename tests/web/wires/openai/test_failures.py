"""Why a turn has no reply, in a sentence for people."""

from typing import Any

import pytest

from tests.fakes import plain
from tests.web.fakes_web import serving
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.wires.openai.failures import sentence

FAILURES = (TurnStatus.FAILED, TurnStatus.TIMED_OUT, TurnStatus.INTERRUPTED, TurnStatus.UNRESPONSIVE)


@pytest.mark.parametrize("status", FAILURES, ids=plain)
def test_every_failure_has_a_sentence_for_people(status: TurnStatus) -> None:
    text = sentence(status, "code", None)
    assert text.startswith("the agent ")
    assert "coroutine" not in text


@pytest.mark.parametrize("status", [each for each in TurnStatus if each not in FAILURES], ids=plain)
def test_what_has_not_failed_has_none(status: TurnStatus) -> None:
    with pytest.raises(ValueError, match="has not failed"):
        sentence(status, "code", None)


def test_only_of_a_turn_that_failed_by_itself_its_agent_says_why() -> None:
    assert sentence(TurnStatus.FAILED, "code", "it rains") == "it rains"
    assert sentence(TurnStatus.TIMED_OUT, "code", "it rains") != "it rains"


async def messages(agent: Any) -> set[str]:
    """What the error says in each of the protocols, as a whole, in a stream, and when it is asked for."""
    said = [{"role": "user", "content": "hello"}]
    async with serving(agent, speaks=["openai"]) as house:
        response = (await house.post("/v1/responses", json={"input": "hello"})).body
        again = (await house.get(f"/v1/responses/{response['id']}")).body
        body = {"model": "default", "messages": said}
        whole = (await house.post("/v1/chat/completions", json=body)).body
        url = house.url("/v1/chat/completions")
        async with house.client.post(url, json={**body, "stream": True}) as answer:
            streamed = await answer.text()
    found = {each["error"]["message"] for each in (response, again, whole)}
    assert all(each in streamed for each in found)
    return found


async def test_an_agent_that_raises_has_failed() -> None:
    async def raises(turn: Turn) -> None:
        raise ValueError("secret")

    assert await messages(raises) == {"the agent has failed: agent_error"}


async def test_an_agent_may_say_why_just_before_it_fails() -> None:
    async def refused(turn: Turn) -> None:
        turn.emit("delta", {"text": "well"})
        turn.emit("upstream_error", {"code": "x", "message": "the model is busy"})
        raise ValueError("secret")

    assert await messages(refused) == {"the model is busy"}


async def test_what_it_has_said_something_after_is_not_why() -> None:
    async def tries_again(turn: Turn) -> None:
        turn.emit("upstream_error", {"code": "x", "message": "the model is busy"})
        turn.emit("delta", {"text": "well"})
        raise ValueError("secret")

    assert await messages(tries_again) == {"the agent has failed: agent_error"}
