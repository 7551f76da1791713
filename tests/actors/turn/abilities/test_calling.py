"""The calls of tools that a turn makes: what readers see of them, and what is left open."""

import asyncio
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, inside, opened, settle
from turnkeeper.actors.model.exceptions import (
    EventNotJson,
    InvalidRequest,
    TooManyOpenCalls,
    TurnOver,
)
from turnkeeper.actors.model.records import ToolCall
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.tools.answers import CUT_OFF
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.winding.hooks import InterruptedTurn

SEARCH = ToolCall("call_1", "search")


async def told(registry: SessionRegistry, turn_id: str = "t1") -> list[tuple[str, Any]]:
    """What a turn has said of its calls, without its id and how long they took."""
    events = [event async for event in registry.turn_events("s1", turn_id)]
    said = []
    for event in events:
        if event.name.startswith("turn.tool_"):
            data = event.data
            assert data.pop("task_id") == turn_id
            assert data.pop("ms", 0.0) >= 0.0
            said.append((event.name, data))
    return said


async def searches(turn: Turn) -> str:
    """An agent that searches, until it is stopped if it is told to wait, and keeps what was said."""
    request = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    turn.context.messages += [
        {"role": "user", "content": turn.text},
        {"role": "assistant", "content": None, "tool_calls": [request]},
    ]
    async with turn.tool_call("call_1", "search", {"q": "pears"}) as call:
        if turn.text == "wait":
            await asyncio.Event().wait()
        if turn.text == "fail":
            raise ValueError("no")
        call.result(["a", "b"])
    turn.context.messages.append({"role": "tool", "tool_call_id": "call_1", "content": "a, b"})
    return "done"


# -- The stream -------------------------------------------------------------------------------------------


async def test_readers_see_a_call_and_what_came_of_it() -> None:
    async with opened(searches) as registry:
        await (await registry.send("s1", "now", turn_id="t1")).end()
        assert await told(registry) == [
            ("turn.tool_call", {"id": "call_1", "name": "search", "arguments": {"q": "pears"}}),
            (
                "turn.tool_result",
                {"id": "call_1", "name": "search", "outcome": "done", "result": ["a", "b"]},
            ),
        ]


async def test_a_call_that_fails_says_so_and_is_not_open() -> None:
    async with opened(searches) as registry:
        end = await (await registry.send("s1", "fail", turn_id="t1")).end()
        (_, last) = await told(registry)
        assert last == ("turn.tool_result", {"id": "call_1", "name": "search", "outcome": "failed"})
        assert end.turn.open_calls == ()


async def test_for_how_long_a_call_went_on_is_said(clock: VirtualClock) -> None:
    async def agent(turn: Turn) -> None:
        async with turn.tool_call("1", "slow"):
            await asyncio.sleep(1.5)

    async with opened(agent) as registry:
        await (await registry.send("s1", "now", turn_id="t1")).end()
        events = [event async for event in registry.turn_events("s1", "t1")]
        (result,) = [event for event in events if event.name == "turn.tool_result"]
        assert result.data["ms"] == pytest.approx(1500, abs=1)


async def test_what_is_shown_is_as_it_was_when_it_was_given() -> None:
    async def agent(turn: Turn) -> None:
        arguments, found = {"q": "pears"}, ["a"]
        call = turn.tool_call("call_1", "search", arguments)
        arguments["q"] = "apples"
        async with call:
            call.result(found)
            found.append("b")

    async with opened(agent) as registry:
        await (await registry.send("s1", "now", turn_id="t1")).end()
        (_, begun), (_, ended) = await told(registry)
        assert (begun["arguments"], ended["result"]) == ({"q": "pears"}, ["a"])


# -- Open calls -------------------------------------------------------------------------------------------


async def test_a_call_is_open_while_it_goes_on_and_readers_of_the_turn_see_it() -> None:
    async with opened(searches) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        assert (await registry.turn("s1", "t1")).open_calls == (SEARCH,)
        view = await registry.session("s1")
        assert view.turn is not None
        assert view.turn.open_calls == (SEARCH,)


async def test_calls_within_and_beside_each_other_are_told_apart() -> None:
    seen: list[tuple[ToolCall, ...]] = []

    async def agent(turn: Turn) -> None:
        async def one(call_id: str) -> None:
            async with turn.tool_call(call_id, "parallel"):
                await asyncio.sleep(0)
                seen.append(turn.open_calls)

        async with turn.tool_call("outer", "nested") as outer:
            assert (outer.id, outer.name) == ("outer", "nested")
            await asyncio.gather(one("a"), one("b"))
        seen.append(turn.open_calls)

    async with opened(agent) as registry:
        await (await registry.send("s1", "now", turn_id="t1")).end()
        ids = [tuple(call.id for call in calls) for calls in seen]
        assert ids == [("outer", "a", "b"), ("outer", "b"), ()]


async def test_what_a_stop_has_cut_off_stays_open_for_the_hooks_the_host_and_the_record() -> None:
    seen: list[Any] = []
    hosts: list[InterruptedTurn] = []

    async def agent(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, _partial: seen.append(turn.open_calls))
        await searches(turn)

    async with opened(agent, on_interrupt=hosts.append) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        answer = await registry.cancel("s1", "t1")
        assert seen == [(SEARCH,)]
        assert hosts[0].open_calls == hosts[0].record.open_calls == (SEARCH,)
        assert answer.turn is not None
        assert answer.turn.open_calls == (SEARCH,)
        (_, last) = await told(registry)
        assert last == ("turn.tool_result", {"id": "call_1", "name": "search", "outcome": "cancelled"})


async def test_what_the_agent_cuts_off_itself_is_not_open() -> None:
    async def agent(turn: Turn) -> str:
        try:
            async with asyncio.timeout(0), turn.tool_call("call_1", "search"):
                await asyncio.Event().wait()
        except TimeoutError:
            assert turn.open_calls == ()
        return "done"

    async with opened(agent) as registry:
        end = await (await registry.send("s1", "now", turn_id="t1")).end()
        assert (end.turn.status, end.turn.open_calls) == (TurnStatus.COMPLETED, ())
        assert [data["outcome"] for name, data in await told(registry) if "result" in name] == ["cancelled"]


async def test_a_turn_that_finishes_although_it_was_stopped_has_come_back_from_all() -> None:
    async def agent(turn: Turn) -> str:
        try:
            await searches(turn)
        except asyncio.CancelledError:
            turn.context.messages.append({"role": "tool", "tool_call_id": "call_1", "content": "stopped"})
        return "done"

    async with opened(agent) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        answer = await registry.cancel("s1", "t1")
        assert answer.turn is not None
        assert (answer.turn.status, answer.turn.open_calls) == (TurnStatus.COMPLETED, ())


async def test_of_a_turn_that_is_given_up_the_calls_that_go_on_are_open(clock: VirtualClock) -> None:
    agent, gate = ScriptedAgent(swallows=FOREVER), asyncio.Event()
    async with opened(agent) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()

        async def search() -> None:
            async with run.turn.tool_call("call_1", "search"):
                await gate.wait()

        task = asyncio.create_task(search(), context=inside(run.turn))
        await settle()
        answer = await registry.cancel("s1", "t1")
        assert answer.turn is not None
        assert (answer.turn.status, answer.turn.open_calls) == (TurnStatus.UNRESPONSIVE, (SEARCH,))
        gate.set()
        await task  # late, and nothing of it is published
        assert [name for name, _ in await told(registry)] == ["turn.tool_call"]


@pytest.mark.parametrize("stopped", [False, True], ids=["while it ran", "while it stopped"])
async def test_after_a_restart_the_host_is_told_of_them(stopped: bool, clock: VirtualClock) -> None:
    """G11."""
    journal, hosts = SlowJournal(), list[InterruptedTurn]()

    async def agent(turn: Turn) -> None:
        try:
            await searches(turn)
        finally:
            await asyncio.Event().wait()

    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        if stopped:
            await registry.cancel("s1", "t1", wait=False)
        await clock.advance(1.0)
        left = journal.after_a_kill()
        again = journal.after_a_kill()
    async with opened(agent, journal=left, on_interrupt=hosts.append) as registry:
        await settle()
        assert (await registry.turn("s1", "t1")).open_calls == (SEARCH,)
    assert [turn.open_calls for turn in hosts] == [(SEARCH,)]
    async with opened(agent, journal=again) as registry:  # one without hooks
        await settle()
        assert (await registry.turn("s1", "t1")).open_calls == (SEARCH,)


# -- The conversation -------------------------------------------------------------------------------------


async def results(registry: SessionRegistry) -> list[Any]:
    messages = (await registry.messages("s1")).messages
    return [message["content"] for message in messages if message["role"] == "tool"]


async def test_no_call_is_left_without_a_result() -> None:
    async with opened(searches) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        await registry.cancel("s1", "t1")
        assert await results(registry) == [CUT_OFF]
        await (await registry.send("s1", "now")).end()
        assert await results(registry) == [CUT_OFF, "a, b"]


async def test_a_hook_says_more_of_them() -> None:
    async def agent(turn: Turn) -> None:
        @turn.on_cancel
        def hook(_reason: Any, _partial: str) -> None:
            for call in turn.open_calls:
                result = {"role": "tool", "tool_call_id": call.id, "content": f"{call.name}: stopped"}
                turn.context.messages.append(result)

        await searches(turn)

    async with opened(agent) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        await registry.cancel("s1", "t1")
        assert await results(registry) == ["search: stopped"]


@pytest.mark.parametrize("hooks", [False, True])
async def test_a_host_that_keeps_the_conversation_is_given_results_as_well(hooks: bool) -> None:
    saved: list[list[Any]] = []

    async def save(context: Any) -> None:
        saved.append([message["content"] for message in context.messages if message["role"] == "tool"])

    async def agent(turn: Turn) -> None:
        @turn.on_cancel
        def hook(_reason: Any, _partial: str) -> None:
            if hooks:
                result = {"role": "tool", "tool_call_id": "call_1", "content": "stopped"}
                turn.context.messages.append(result)

        await searches(turn)

    async with opened(agent, save_context=save) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        await registry.cancel("s1", "t1")
    assert saved == [[CUT_OFF], ["stopped" if hooks else CUT_OFF]]


async def test_of_an_agent_that_keeps_nothing_itself_no_calls_are_recorded() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "half"})
        async with turn.tool_call("call_1", "search"):
            await asyncio.Event().wait()

    async with opened(agent) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        await registry.cancel("s1", "t1")
        messages = (await registry.messages("s1")).messages
        assert [(message["role"], message["content"]) for message in messages] == [
            ("user", "wait"),
            ("assistant", "half"),
        ]


# -- Misuse -----------------------------------------------------------------------------------------------


async def refusal(misuse: Any, **settings: Any) -> BaseException | None:
    """What an agent gets that does this; its turn goes on and completes."""
    caught: list[BaseException] = []

    async def agent(turn: Turn) -> str:
        try:
            await misuse(turn)
        except Exception as error:  # noqa: BLE001  whatever it is
            caught.append(error)
        async with turn.tool_call("other", "fine"):
            pass
        return "done"

    async with opened(agent, **settings) as registry:
        end = await (await registry.send("s1", "now")).end()
        assert end.turn.status is TurnStatus.COMPLETED
    return caught[0] if caught else None


async def twice(turn: Turn) -> None:
    async with turn.tool_call("1", "search"), turn.tool_call("1", "fetch"):
        pass


async def again(turn: Turn) -> None:
    call = turn.tool_call("1", "search")
    for _ in range(2):
        async with call:
            pass


async def not_json(turn: Turn) -> None:
    turn.tool_call("1", "search", {"q": object()})


async def bad_result(turn: Turn) -> None:
    async with turn.tool_call("1", "search") as call:
        call.result(object())


async def too_large(turn: Turn) -> None:
    turn.tool_call("1", "search", "x" * 10_000)


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        (twice, InvalidRequest),
        (again, None),
        (not_json, EventNotJson),
        (bad_result, EventNotJson),
        (too_large, EventNotJson),
    ],
)
async def test_misuse_is_refused_where_it_happens_and_the_turn_goes_on(misuse: Any, error: Any) -> None:
    refused = await refusal(misuse, log_bytes=8_000)
    assert refused is None if error is None else type(refused) is error


@pytest.mark.parametrize(
    ("call_id", "name"),
    [("", "search"), ("1", ""), (3, "search"), ("1", None), ("1", "a\nb"), ("1" * 201, "x")],
)
async def test_an_id_and_a_name_are_texts_that_a_stream_can_carry(call_id: Any, name: Any) -> None:
    async def misuse(turn: Turn) -> None:
        turn.tool_call(call_id, name)

    assert type(await refusal(misuse)) is InvalidRequest


async def test_a_turn_has_only_so_many_open() -> None:
    """G8."""

    async def misuse(turn: Turn) -> None:
        async with turn.tool_call("1", "search"), turn.tool_call("2", "search"):
            pass

    assert type(await refusal(misuse, max_open_calls=1)) is TooManyOpenCalls


async def test_after_its_end_a_turn_calls_no_tools() -> None:
    turns: list[Turn] = []

    async def agent(turn: Turn) -> None:
        turns.append(turn)

    async with opened(agent) as registry:
        await (await registry.send("s1", "now")).end()
        with pytest.raises(TurnOver):
            async with turns[0].tool_call("1", "search"):
                pass
        assert turns[0].open_calls == ()


async def test_no_agent_may_emit_the_names_of_these_events() -> None:
    async def misuse(turn: Turn) -> None:
        turn.emit("turn.tool_call", {"id": "1"})

    assert (await refusal(misuse)) is not None


async def test_a_call_beyond_what_a_turn_may_emit_is_not_begun() -> None:
    async def agent(turn: Turn) -> None:
        for number in range(5):
            async with turn.tool_call(str(number), "search"):
                pass

    async with opened(agent, max_events=3) as registry:
        end = await (await registry.send("s1", "now", turn_id="t1")).end()
        assert (end.turn.status, end.turn.open_calls) == (TurnStatus.CANCELLED, ())
