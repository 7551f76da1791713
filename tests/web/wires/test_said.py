"""What the events of a turn say to every wire."""

from typing import Any

from tests.fakes import opened
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.records import Epoch
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.wires.said import (
    CutOff,
    Data,
    Ended,
    Reasoning,
    Started,
    Text,
    ToolCalled,
    ToolEnded,
    said,
)


async def all_said(agent: Any) -> list[Any]:
    """What a turn of that agent says, from its start to its end."""
    async with opened(agent) as registry:
        receipt = await registry.send("s", "hello")
        return [said(event) async for event in receipt.events()]


async def test_what_an_agent_says_thinks_and_shows_are_told_apart() -> None:
    async def agent(turn: Turn) -> str:
        turn.emit("reasoning", {"text": "hm"})
        turn.emit("delta", {"text": "hi"})
        turn.emit("picture", {"url": "x"})
        return "hi"

    started, *middle, ended = await all_said(agent)
    assert started == Started(1)
    assert middle == [Reasoning("hm"), Text("hi"), Data("picture", {"url": "x"})]
    assert (ended.status, ended.result, ended.turn["status"]) == (TurnStatus.COMPLETED, "hi", "completed")


async def test_a_call_of_a_tool_has_a_beginning_and_an_end() -> None:
    async def agent(turn: Turn) -> None:
        async with turn.tool_call("c1", "search", arguments={"q": "x"}) as call:
            call.result(["y"])

    _, called, ended, _ = await all_said(agent)
    assert called == ToolCalled("c1", "search", {"q": "x"})
    assert ended == ToolEnded("c1", "search", "done", ["y"])


async def test_a_delta_without_a_text_is_data() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": 1})
        turn.emit("delta", "hi")

    assert (await all_said(agent))[1:3] == [Data("delta", {"text": 1}), Data("delta", "hi")]


async def test_a_turn_that_fails_has_ended_too() -> None:
    async def agent(_turn: Turn) -> None:
        raise ValueError

    _, ended = await all_said(agent)
    assert isinstance(ended, Ended)
    assert (ended.status, ended.turn["error"]["code"], ended.result) == (
        TurnStatus.FAILED,
        "agent_error",
        None,
    )


def test_a_turn_that_will_go_on_has_not_ended() -> None:
    text = '{"task_id": "t", "will_continue": true, "from_start": true, "status": "queued"}'
    assert said(Event("turn.interrupted", Epoch(1), 5, text)) == CutOff(from_start=True)


def test_what_is_about_the_stream_says_nothing() -> None:
    for name in ("snapshot", "gap", "turn.queued", "turn.places", "turn.edited", "close"):
        assert said(Event(name, None, 0, "{}")) is None


def test_a_model_may_stop_before_it_has_said_all() -> None:
    assert Data("finish_reason", {"reason": "length"}).cut_short == "length"
    for other in (
        Data("finish_reason", {"reason": "stop"}),
        Data("finish_reason", {"reason": ["length"]}),
        Data("finish_reason", "length"),
        Data("picture", {"reason": "length"}),
    ):
        assert other.cut_short is None
