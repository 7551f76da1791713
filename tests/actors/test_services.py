"""The service functions: old names, old shapes, new guarantees."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.turn.work.test_begun import Beginner
from tests.fakes import opened, settle
from turnkeeper.actors import services
from turnkeeper.actors.model.exceptions import (
    NoRegistry,
    SessionIdTaken,
    TurnCancelled,
    UnknownAgent,
    WaitsForItself,
)
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn


class Script:
    """An agent that does what the message says, and says when it has begun."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.begun: asyncio.Queue[Turn] = asyncio.Queue()

    async def __call__(self, turn: Turn) -> Any:
        self.turns.append(turn)
        self.begun.put_nowait(turn)
        match turn.message:
            case "wait":
                await asyncio.Event().wait()
            case "raise":
                raise ZeroDivisionError("the agent's own")
            case "finish anyway":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    return "finished anyway"
            case "stop yourself":
                return await services.cancel_active_send_task(turn.session_id)
        return {turn.message}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def registry(script: Script) -> AsyncIterator[SessionRegistry]:
    async with SessionRegistry(script, settings=Settings(cancel_grace=2.0)) as registry:
        yield registry


async def test_the_result_passes_through_untouched_even_if_json_cannot_say_it(
    registry: SessionRegistry,
) -> None:
    assert await services.send_message_to_agent("s1", "hi") == {"hi"}


async def test_what_the_agent_raised_is_raised(registry: SessionRegistry) -> None:
    with pytest.raises(ZeroDivisionError, match="the agent's own"):
        await services.send_message_to_agent("s1", "raise")


async def test_max_iterations_is_handed_to_the_turn(
    registry: SessionRegistry, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MR_MAX_ITERATIONS", "3")  # which old code read
    await services.send_message_to_agent("s1", "hi")
    await services.send_message_to_agent("s1", "hi", 7)
    assert [turn.max_iterations for turn in script.turns] == [35, 7]


async def test_a_superseded_caller_sees_cancelled_error(registry: SessionRegistry, script: Script) -> None:
    first = asyncio.create_task(services.send_message_to_agent("s1", "wait"))
    await script.begun.get()
    assert await services.send_message_to_agent("s1", "hi") == {"hi"}
    await asyncio.wait([first])
    assert first.cancelled()


async def test_a_cancelled_caller_whose_turn_finishes_anyway_gets_its_result(
    registry: SessionRegistry, script: Script
) -> None:
    call = asyncio.create_task(services.send_message_to_agent("s1", "finish anyway"))
    await script.begun.get()
    answer = await services.cancel_active_send_task("s1")
    assert answer["status"] == Verdict.FINISHED_FIRST
    assert await call == "finished anyway"


async def test_cancelling_the_callers_task_cancels_the_turn(
    registry: SessionRegistry, script: Script
) -> None:
    call = asyncio.create_task(services.send_message_to_agent("s1", "wait"))
    turn = await script.begun.get()
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    record = (await registry.session("s1")).turn
    assert record is not None
    ended = await registry.turn("s1", turn.turn_id)
    assert ended.reason is not None
    assert ended.reason.code is CancelCode.CLIENT_DISCONNECTED
    assert turn.cancel_requested


async def test_a_caller_that_is_cancelled_when_the_registry_has_stopped_sees_its_own_cancellation(
    registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*_: Any, **__: Any) -> None:
        await registry.stop()
        await asyncio.Event().wait()

    monkeypatch.setattr(registry, "send", send)
    call = asyncio.create_task(services.send_message_to_agent("s1", "hello"))
    while registry.ref.is_alive():
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelling_a_caller_that_waits_for_its_predecessor_takes_the_send_back(
    registry: SessionRegistry, script: Script
) -> None:
    holder = asyncio.create_task(registry.send("s1", "wait", turn_id="holder"))
    await script.begun.get()
    await holder

    async def impatient() -> None:
        await services.send_message_to_agent("s1", "never")

    call = asyncio.create_task(impatient())
    call.cancel()
    await asyncio.wait([call])
    assert [turn.message for turn in script.turns] == ["wait"]


async def test_a_turn_that_runs_out_of_time_raises_turn_cancelled(script: Script) -> None:
    async with SessionRegistry(script, settings=Settings(turn_timeout=0.01)):
        with pytest.raises(TurnCancelled) as caught:
            await services.send_message_to_agent("s1", "wait")
    assert caught.value.status == TurnStatus.TIMED_OUT


async def test_a_cancel_without_a_turn_says_not_running(registry: SessionRegistry) -> None:
    answer = await services.cancel_active_send_task("unknown")
    assert answer == {
        "status": "not_running",
        "log_id": "unknown",
        "settled_after_ms": None,
        "turn": None,
        "cleared": [],
    }


async def test_a_cancel_says_what_of_the_turn_is_seen_to_run_on() -> None:
    agent = Beginner(stubborn=True)
    async with opened(agent, cancel_grace=0) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
        answer = await services.cancel_active_send_task("s1")
        assert answer["status"] == "unresponsive"
        assert answer["still_running"] == {"tasks": 0, "threads": 0, "processes": 1}
        things.end()
        await settle()


@pytest.mark.parametrize("as_task", [False, True], ids=["in the turn", "in a task of it"])
async def test_a_tool_that_stops_its_own_session_gets_its_answer_and_then_its_cancellation(
    as_task: bool,
) -> None:
    answers: list[dict[str, Any]] = []

    async def tool(turn: Turn) -> None:
        answers.append(await services.cancel_active_send_task(turn.session_id))

    async def agent(turn: Turn) -> None:
        await (asyncio.create_task(tool(turn)) if as_task else tool(turn))
        await asyncio.Event().wait()

    async with SessionRegistry(agent) as registry:
        ended = await (await registry.send("s1", "hi", user="ada", turn_id="t1")).ended()
    [answer] = answers
    assert (answer["status"], answer["log_id"], answer["settled_after_ms"]) == ("requested", "s1", None)
    assert answer["turn"]["task_id"] == "t1"
    assert ended.status is TurnStatus.CANCELLED
    assert ended.reason is not None
    assert ended.reason.code is CancelCode.USER_REQUEST


async def test_a_turn_that_stops_itself_and_returns_at_once_does_not_stop_the_next_one(
    registry: SessionRegistry, script: Script
) -> None:
    stopped = await registry.send("s1", "stop yourself")
    next_turn = await registry.send("s1", "hi", strategy="interrupt")
    assert (await stopped.result())["status"] == "requested"
    assert await next_turn.result() == {"hi"}


async def test_a_tool_stops_its_own_session_only_for_a_user_who_may(registry: SessionRegistry) -> None:
    answers: list[dict[str, Any]] = []

    async def agent(turn: Turn) -> str:
        answers.append(await services.cancel_active_send_task("s1", Context("s1", "bob")))
        await turn.checkpoint()
        return "went on"

    async with SessionRegistry(agent) as other:
        assert await (await other.send("s1", "hi", user="ada")).result() == "went on"
    assert answers == [
        {"status": "not_running", "log_id": "s1", "settled_after_ms": None, "turn": None, "cleared": []}
    ]


async def test_a_turn_cannot_wait_for_an_answer_of_its_own_session() -> None:
    async def agent(turn: Turn) -> None:
        await services.send_message_to_agent(turn.session_id, "again")

    async with SessionRegistry(agent):
        with pytest.raises(WaitsForItself, match="send to another session, or return"):
            await services.send_message_to_agent("s1", "hi")


@pytest.mark.parametrize("user", ["ada", {"user": "ada"}, {"username": "ada"}, Context("s1", "ada")])
async def test_the_user_may_come_in_any_old_shape(
    registry: SessionRegistry, script: Script, user: Any
) -> None:
    await services.send_message_to_agent("s1", "hi", user=user)
    assert script.turns[0].user == "ada"


async def test_the_contexts_user_owns_the_session_if_no_other_is_named(
    registry: SessionRegistry, script: Script
) -> None:
    await services.send_message_to_agent("s1", "hi", context=Context("s1", "ada"))
    assert script.turns[0].user == "ada"
    with pytest.raises(SessionIdTaken):
        await services.send_message_to_agent("s1", "hi", user="bob")


async def test_without_a_user_and_a_context_a_call_is_the_hosts_own(
    registry: SessionRegistry, script: Script
) -> None:
    await services.send_message_to_agent("mine", "hi")
    assert (await registry.session("mine", user="local")).user == "local"
    await services.send_message_to_agent("hers", "hi", user="ada")
    assert await services.send_message_to_agent("hers", "hi") == {"hi"}
    assert (await registry.session("hers")).user == "ada"


async def test_of_several_registries_the_one_opened_last_is_used_also_in_a_turn_of_another_one() -> None:
    def named(name: str) -> Any:
        async def agent(turn: Turn) -> Any:
            return await services.send_message_to_agent("s2", "hi") if turn.text == "ask" else name

        return agent

    async with SessionRegistry(named("first")) as first:
        assert await services.send_message_to_agent("s1", "hi") == "first"
        async with SessionRegistry(named("second")):
            assert await services.send_message_to_agent("s1", "hi") == "second"
            assert await (await first.send("s1", "ask")).result() == "second"
        assert await services.send_message_to_agent("s1", "hi") == "first"


async def test_one_sees_and_stops_ones_own_turns_with_a_context_and_all_without(
    registry: SessionRegistry, script: Script
) -> None:
    calls = [
        asyncio.create_task(services.send_message_to_agent(session, "wait", user=user))
        for session, user in (("s1", "ada"), ("s2", "bob"))
    ]
    await script.begun.get()
    await script.begun.get()
    ada = Context("s1", "ada")
    assert set((await services.get_active_send_tasks(ada))["active_tasks"]) == {"s1"}
    assert set((await services.get_active_send_tasks())["active_tasks"]) == {"s1", "s2"}
    assert (await services.cancel_active_send_task("s2", ada))["status"] == "not_running"
    assert (await services.cancel_active_send_task("s1", ada))["status"] == "cancelled"
    assert (await services.cancel_active_send_task("s2"))["status"] == "cancelled"
    await asyncio.wait(calls)
    assert (await services.cleanup_completed_tasks(ada))["cleaned_up"] == ["s1"]
    assert (await services.cleanup_completed_tasks())["cleaned_up"] == ["s2"]


async def test_the_agent_is_the_one_the_context_names(script: Script) -> None:
    async def coder(turn: Turn) -> str:
        return f"coded by {turn.agent}"

    async with SessionRegistry({"default": script, "coder": coder}):
        named = Context("s1", "ada", "coder")
        assert await services.send_message_to_agent("s1", "hi", context=named) == "coded by coder"
        assert await services.send_message_to_agent("s1", "hi", user="ada") == {"hi"}
        with pytest.raises(UnknownAgent) as refused:
            await services.send_message_to_agent("s1", "hi", context=Context("s1", "ada", "cook"))
        assert refused.value.field == "agent_name"


@pytest.mark.parametrize("context", [object(), "a text", 7, {"log_id": "s1"}])
async def test_a_context_of_any_kind_is_used_as_it_is(
    registry: SessionRegistry, script: Script, context: Any
) -> None:
    await services.send_message_to_agent("s1", "hi", context=context)
    assert script.turns[0].spec.options is not None
    assert script.turns[0].spec.options.context is context


async def test_the_mapping_is_a_live_view_whose_tasks_can_be_cancelled(
    registry: SessionRegistry, script: Script
) -> None:
    context = Context("s1", "ada")
    call = asyncio.create_task(services.send_message_to_agent("s1", "wait", context=context))
    await script.begun.get()
    assert list(services.active_send_tasks) == ["s1"]
    assert len(services.active_send_tasks) == 1
    entry = services.active_send_tasks["s1"]
    assert entry["context"] is context
    assert entry["created_at"] > 0
    handle = entry["task"]
    assert not handle.done()
    assert not handle.cancelled()
    assert handle.cancel("enough") is True
    await asyncio.wait([call])
    assert handle.done()
    assert handle.cancelled()
    assert handle.cancel() is False
    assert "s1" not in services.active_send_tasks
    with pytest.raises(TypeError):
        services.active_send_tasks["s1"] = {}  # type: ignore[index]


async def test_without_a_registry_every_function_says_so() -> None:
    for call in (
        services.send_message_to_agent("s1", "hi"),
        services.cancel_active_send_task("s1"),
        services.get_active_send_tasks(),
        services.cleanup_completed_tasks(),
    ):
        with pytest.raises(NoRegistry):
            await call
    with pytest.raises(NoRegistry):
        len(services.active_send_tasks)


def test_outside_a_loop_the_mapping_says_so() -> None:
    with pytest.raises(NoRegistry):
        "s1" in services.active_send_tasks  # noqa: B015
