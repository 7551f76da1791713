"""The documented example of a wire of a host's own, as AG-UI's client sees it; its types check each event."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ag_ui.core import Event as AgUiEvent
from pydantic import TypeAdapter

from tests.clients.node import IN_NODE, ClientError, Driver, Made
from tests.fakes import ScriptedAgent, inside
from tests.test_docs import EXAMPLES, load
from tests.web.fakes_web import House, running
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.web import REGISTRY

EVENT: TypeAdapter[Any] = TypeAdapter(AgUiEvent)
EXAMPLE = load(EXAMPLES / "ag_ui.py")


@pytest.fixture
async def house(agent: ScriptedAgent) -> AsyncIterator[House]:
    app = EXAMPLE.make_app(agent)
    async with running(app, app[REGISTRY]) as house:
        yield house
        agent.release()


@pytest.fixture
def agent() -> ScriptedAgent:
    return ScriptedAgent()


def user(text: str, number: int = 1) -> dict[str, Any]:
    return {"messages": [{"id": f"m{number}", "role": "user", "content": text}]}


async def client(ag_ui: Driver, house: House) -> Made:
    return await ag_ui.make("agent", {"url": house.url("/agui"), "threadId": "thread"})


def types(events: list[Any]) -> list[str]:
    """The types of the events, each of which AG-UI's own types take."""
    for event in events:
        EVENT.validate_python(event)
    return [event["type"] for event in events]


@IN_NODE
async def test_the_client_gets_the_texts_tools_and_data_of_a_run(
    ag_ui: Driver, house: House, agent: ScriptedAgent
) -> None:
    call = (await client(ag_ui, house)).call("runAgent", {"runId": "run", **user("hello")})
    run = await agent.run()
    assert run.turn.text == "hello"
    run.turn.emit("reasoning", {"text": "hm"})
    run.turn.emit("delta", {"text": "one "})
    run.turn.emit("delta", {"text": "two"})

    async def search() -> None:
        async with run.turn.tool_call("c1", "search", {"q": "x"}) as tool:
            tool.result({"found": 1})

    await asyncio.create_task(search(), context=inside(run.turn))
    run.turn.emit("delta", {"text": "three"})
    run.turn.emit("picture", {"url": "y"})
    run.finish("done")
    said = await call.result()

    assert said["result"] == "done"
    roles = ["reasoning", "assistant", "assistant", "tool", "assistant"]
    assert [each["role"] for each in said["newMessages"]] == roles
    assert [each.get("content") for each in said["newMessages"]] == [
        "hm",
        "one two",
        None,
        '{"found": 1}',
        "three",
    ]
    assert types(call.events) == [
        "RUN_STARTED",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "CUSTOM",
        "RUN_FINISHED",
    ]


@IN_NODE
async def test_a_client_that_aborts_its_run_stops_the_turn(
    ag_ui: Driver, house: House, agent: ScriptedAgent
) -> None:
    made = await client(ag_ui, house)
    call = made.call("runAgent", {"runId": "run", **user("hello")})
    run = await agent.run()
    run.turn.emit("delta", {"text": "one"})
    await call.until(lambda event: event["type"] == "TEXT_MESSAGE_CONTENT")
    await made.ask("abortRun")
    await run.cancelled.wait()
    run.finish()
    record = await house.registry.turn("thread", "run")
    assert record.cancellation is not None
    assert record.cancellation.reason.code is CancelCode.CLIENT_DISCONNECTED


@IN_NODE
async def test_a_run_that_is_stopped_from_elsewhere_ends_as_cancelled(
    ag_ui: Driver, house: House, agent: ScriptedAgent
) -> None:
    call = (await client(ag_ui, house)).call("runAgent", {"runId": "run", **user("hello")})
    run = await agent.run()
    run.turn.emit("delta", {"text": "one"})
    await call.until(lambda event: event["type"] == "TEXT_MESSAGE_CONTENT")
    run.finish()
    await house.registry.cancel("thread")
    await call.result()
    assert types(call.events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]
    assert call.events[-1]["outcome"] == {"type": "cancelled"}
    assert call.events[-1]["metadata"] == {"code": "user_request"}


@IN_NODE
async def test_a_run_that_fails_is_an_error_with_its_code(
    ag_ui: Driver, house: House, agent: ScriptedAgent
) -> None:
    call = (await client(ag_ui, house)).call("runAgent", {"runId": "run", **user("hello")})
    run = await agent.run()
    run.fail(ValueError("secret"))
    await call.result()
    assert types(call.events)[-1] == "RUN_ERROR"
    assert call.events[-1]["code"] == "agent_error"
    assert "secret" not in str(call.events)


@IN_NODE
async def test_the_second_message_supersedes_the_run_of_the_first(
    ag_ui: Driver, house: House, agent: ScriptedAgent
) -> None:
    first = (await client(ag_ui, house)).call("runAgent", {"runId": "one", **user("hello")})
    await first.until(lambda event: event["type"] == "RUN_STARTED")
    second = (await client(ag_ui, house)).call("runAgent", {"runId": "two", **user("stop, rather this")})
    await (await agent.run()).cancelled.wait()
    await first.result()
    assert first.events[-1]["metadata"] == {"code": "superseded"}
    (await agent.run()).finish("yes")
    assert (await second.result())["result"] == "yes"


@IN_NODE
@pytest.mark.parametrize(
    ("ways", "field"),
    [
        ({**user("hello"), "tools": [{"name": "x", "description": "", "parameters": {}}]}, "tools"),
        ({**user("hello"), "context": [{"description": "x", "value": "y"}]}, "context"),
        ({**user("hello"), "forwardedProps": {"x": 1}}, "forwardedProps"),
        ({"messages": [{"id": "m", "role": "user", "content": [{"type": "text", "text": "x"}]}]}, "messages"),
        ({}, "messages"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    ag_ui: Driver, house: House, ways: dict[str, Any], field: str
) -> None:
    with pytest.raises(ClientError) as raised:
        await (await client(ag_ui, house)).ask("runAgent", {"runId": "run", **ways})
    assert raised.value.status in (400, 422)
    assert field in raised.value.message
    assert not house.registry.directory.entries


async def test_a_run_of_a_server_that_shuts_down_is_over(house: House, agent: ScriptedAgent) -> None:
    body = {"threadId": "thread", "runId": "run", **user("hello")}
    async with house.client.post(house.url("/agui"), json=body) as answer:
        run = await agent.run()
        stopping = asyncio.create_task(house.runner.shutdown())
        await run.cancelled.wait()
        run.finish()
        lines = (await answer.text()).split("\n\n")
        await stopping
    assert '"type":"RUN_FINISHED"' in lines[-2]
    assert (await house.registry.turn("thread", "run")).status is TurnStatus.CANCELLED


async def test_the_examples_own_agent_says_the_words_of_the_message() -> None:
    app = EXAMPLE.make_app()
    async with running(app, app[REGISTRY]) as house:
        body = {"threadId": "thread", "runId": "run", **user("hi there")}
        async with house.client.post(house.url("/agui"), json=body) as answer:
            data = [line.removeprefix("data: ") for line in (await answer.text()).split("\n\n") if line]
    events = [json.loads(each) for each in data]
    assert types(events)[-1] == "RUN_FINISHED"
    assert "result" not in events[-1]
    assert "".join(each.get("delta", "") for each in events) == "hi there "
