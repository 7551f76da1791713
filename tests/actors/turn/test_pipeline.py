"""The pipeline: which stages run, in which order, with what, and what ends them."""

import asyncio
import functools
import math
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, done, names, opened, settle, virtual_time, waiting
from turnkeeper.actors.model.exceptions import (
    AlreadyStarted,
    InvalidRequest,
    StageFailed,
    TurnFailed,
    TurnkeeperError,
    WrongThread,
)
from turnkeeper.actors.model.records import TurnError, TurnOptions, TurnRecord
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.pipeline import POST_PROCESS, PRE_PROCESS, Pipeline
from turnkeeper.actors.turn.turn import Turn

Data = dict[str, Any]


def shouts(data: Data, context: Any) -> Data:
    return {**data, "message": data["message"].upper()}


async def failure_of(registry: SessionRegistry, message: Any = "hello") -> tuple[TurnError, BaseException]:
    """What a turn's record says of its failure, and the cause that its caller gets."""
    receipt = await registry.send("s1", message)
    with pytest.raises(TurnFailed) as caught:
        await receipt.result()
    error = (await receipt.ended()).error
    assert error is not None
    cause = caught.value.__cause__
    assert cause is not None
    return error, cause


class Gate:
    """A stage that waits for the test's word, and swallows as many cancellations as it was asked to."""

    def __init__(self, swallows: int = 0) -> None:
        self.swallows = swallows
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.heard: list[str] = []

    async def __call__(self, data: Data, context: Any) -> Data:
        self.begun.set()
        while True:
            try:
                await self.go_on.wait()
                return data
            except asyncio.CancelledError:
                self.heard.append("cancelled")
                if len(self.heard) > self.swallows:
                    raise
            finally:
                self.heard.append("cleaned up")


# -- What stages do -----------------------------------------------------------------------------------


async def test_what_comes_out_of_the_stages_is_what_the_agent_gets() -> None:
    registry = SessionRegistry(done)
    registry.stage("pre_process_msg")(shouts)
    async with registry:
        assert await (await registry.send("s1", "hello")).result() == "done: HELLO"


async def test_what_comes_out_of_the_stages_is_the_turns_result() -> None:
    registry = SessionRegistry(done)

    @registry.stage("process_results")
    def wrapped(data: Data, context: Any) -> Data:
        assert set(data) == {"results"}
        return {"results": [data["results"]]}

    async with registry:
        assert await (await registry.send("s1", "hello")).result() == ["done: hello"]


async def test_a_stage_is_given_the_message_the_session_the_user_the_agent_and_the_context() -> None:
    seen: list[Any] = []
    brought = object()
    registry = SessionRegistry({"coder": done})

    @registry.stage("pre_process_msg")
    async def looks(data: Data, context: Any) -> Data:
        await asyncio.sleep(0)
        seen.extend([data, context])
        return data

    async with registry:
        options = TurnOptions(context=brought)
        await (await registry.send("s1", "hello", user="ada", options=options)).result()
    assert seen == [{"message": "hello", "session_id": "s1", "user": "ada", "agent": "coder"}, brought]


async def test_what_a_stage_writes_into_the_context_the_agent_reads_and_the_session_keeps() -> None:
    async def agent(turn: Turn) -> Any:
        return list(turn.context.messages)

    registry = SessionRegistry(agent)

    @registry.stage("pre_process_msg")
    def remembers(data: Data, context: Any) -> Data:
        context.messages.append(data["message"])
        return data

    async with registry:
        await (await registry.send("s1", "one")).result()
        assert await (await registry.send("s1", "two")).result() == ["one", "two"]


@pytest.mark.parametrize("name", [PRE_PROCESS, POST_PROCESS, "my_own"])
async def test_the_higher_priority_runs_first_and_of_equal_ones_the_one_registered_first(name: str) -> None:
    order: list[str] = []

    async def agent(turn: Turn) -> None:
        await turn.run_stages("my_own", {})

    def named(word: str, data: Data, context: Any) -> Data:
        order.append(word)
        return data

    registry = SessionRegistry(agent)
    for word, priority in [("b", 0), ("a", 5), ("c", 0), ("z", -1), ("1", math.inf), ("a'", 5), ("y", -0.5)]:
        registry.stage(name, priority)(functools.partial(named, word))
    async with registry:
        await (await registry.send("s1", "hello")).result()
    assert order == ["1", "a", "a'", "b", "c", "y", "z"]


async def test_stages_may_change_the_message_in_place_and_what_was_sent_stays_as_it_was() -> None:
    registry = SessionRegistry(done)

    @registry.stage("pre_process_msg")
    def adds(data: Data, context: Any) -> Data:
        data["message"][0]["text"] = "changed"
        data["message"].append({"type": "text", "text": "!"})
        return data

    sent = [{"type": "text", "text": "hello"}]
    async with registry:
        stream = await registry.subscribe("s1")
        assert await (await registry.send("s1", sent)).result() == "done: changed!"
        events = waiting(stream)
        stream.close()
    assert sent == [{"type": "text", "text": "hello"}]
    assert next(event for event in events if event.name == "turn.started").data["message"] == sent


async def test_an_async_generators_events_come_between_the_stages() -> None:
    order: list[str] = []

    async def agent(turn: Turn) -> AsyncGenerator[str, None]:
        order.append("agent")
        yield turn.text

    registry = SessionRegistry(agent)

    @registry.stage("pre_process_msg")
    def before(data: Data, context: Any) -> Data:
        order.append("before")
        return data

    @registry.stage("process_results")
    def after(data: Data, context: Any) -> Data:
        order.append(f"after: {data['results']}")
        return {"results": "ours"}

    async with registry:
        stream = await registry.subscribe("s1")
        assert await (await registry.send("s1", "hello")).result() == "ours"
        assert names(waiting(stream)) == ["snapshot", "turn.started", "delta", "turn.completed"]
        stream.close()
    assert order == ["before", "agent", "after: None"]


async def test_the_stages_stand_inside_of_loading_and_saving_the_context() -> None:
    order: list[str] = []

    async def load(session_id: str, user: str) -> Any:
        order.append("load")
        return {"of": user}

    async def save(context: Any) -> None:
        order.append(f"save {context}")

    registry = SessionRegistry(done, load_context=load, save_context=save)

    @registry.stage("pre_process_msg")
    @registry.stage("process_results")
    def marks(data: Data, context: Any) -> Data:
        order.append(f"stage {context}")
        return data

    async with registry:
        await (await registry.send("s1", "hello", user="ada")).result()
    assert order == ["load", "stage {'of': 'ada'}", "stage {'of': 'ada'}", "save {'of': 'ada'}"]


async def test_every_agent_of_the_registry_has_the_stages_around_it() -> None:
    registry = SessionRegistry({"one": done, "two": functools.partial(done)})
    registry.stage("pre_process_msg")(shouts)
    async with registry:
        for agent in registry.agents:
            assert await (await registry.send("s1", "hi", agent=agent)).result() == "done: HI"


async def test_a_registered_function_stays_what_it_was() -> None:
    assert SessionRegistry(done).stage("pre_process_msg", priority=5)(shouts) is shouts


# -- Stages that an agent runs ------------------------------------------------------------------------


async def test_an_agent_runs_stages_under_a_name_of_its_own() -> None:
    async def agent(turn: Turn) -> Any:
        return await turn.run_stages("before_tool", {"tool": "rm"})

    registry = SessionRegistry(agent)

    @registry.stage("before_tool")
    def asks(data: Data, context: Any) -> Data:
        return {**data, "allowed": False}

    async with registry:
        assert await (await registry.send("s1", "go")).result() == {"tool": "rm", "allowed": False}


async def test_without_a_stage_of_that_name_the_data_comes_back_as_it_is() -> None:
    data = {"tool": "ls"}

    async def agent(turn: Turn) -> Any:
        return await turn.run_stages("unused", data)

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "go")).result() is data


@pytest.mark.parametrize("data", [None, [], "text"])
async def test_data_that_is_no_dict_is_refused(data: Any) -> None:
    async def agent(turn: Turn) -> Any:
        return await turn.run_stages("unused", data)

    async with opened(agent) as registry:
        error, cause = await failure_of(registry)
    assert error == TurnError("agent_error", "InvalidRequest")
    assert isinstance(cause, InvalidRequest)
    assert cause.field == "data"


async def test_an_agent_may_catch_the_failure_of_a_stage_it_ran() -> None:
    async def agent(turn: Turn) -> str:
        try:
            await turn.run_stages("mine", {})
        except StageFailed as failed:
            return failed.stage
        return "?"

    registry = SessionRegistry(agent)

    @registry.stage("mine")
    def breaks(data: Data, context: Any) -> Data:
        raise ValueError

    async with registry:
        assert await (await registry.send("s1", "go")).result() == "mine:breaks"


# -- Stages that fail ---------------------------------------------------------------------------------


async def test_a_stage_that_raises_fails_the_turn_under_its_name_and_nothing_after_it_runs() -> None:
    agent = ScriptedAgent()
    registry = SessionRegistry(agent)
    ran: list[str] = []

    @registry.stage("pre_process_msg", priority=5)
    async def censor(data: Data, context: Any) -> Data:
        await asyncio.sleep(0)
        raise ValueError("a secret")

    @registry.stage("pre_process_msg")
    def later(data: Data, context: Any) -> Data:
        ran.append("later")
        return data

    async with registry:
        stream = await registry.subscribe("s1")
        error, cause = await failure_of(registry)
        failed = waiting(stream)[-1]
        stream.close()
    assert error == TurnError("stage_failed", "ValueError", "pre_process_msg:censor")
    assert isinstance(cause, StageFailed)
    assert isinstance(cause.__cause__, ValueError)
    assert failed.name == "turn.failed"
    assert failed.data["error"] == {
        "code": "stage_failed",
        "type": "ValueError",
        "stage": "pre_process_msg:censor",
    }
    assert "secret" not in failed.json
    assert not ran
    assert not agent.runs


async def test_a_stage_that_raises_after_the_agent_fails_the_turn_too_and_the_session_goes_on() -> None:
    registry = SessionRegistry(done)
    broken = [True, False]

    @registry.stage("process_results")
    def store(data: Data, context: Any) -> Data:
        if broken.pop(0):
            raise OSError
        return data

    async with registry:
        error, _ = await failure_of(registry)
        assert error == TurnError("stage_failed", "OSError", "process_results:store")
        assert await (await registry.send("s1", "again")).result() == "done: again"


@pytest.mark.parametrize("answer", [None, [], "text", [("message", "x")]])
async def test_a_stage_that_returns_no_dict_fails_the_turn_and_the_cause_says_what(answer: Any) -> None:
    registry = SessionRegistry(done)

    @registry.stage("pre_process_msg")
    def forgets(data: Data, context: Any) -> Any:
        return answer

    async with registry:
        error, cause = await failure_of(registry)
    assert error == TurnError("stage_failed", "TypeError", "pre_process_msg:forgets")
    assert type(answer).__name__ in str(cause.__cause__)


@pytest.mark.parametrize(("name", "key"), [(PRE_PROCESS, "message"), (POST_PROCESS, "results")])
async def test_a_stage_that_leaves_out_what_it_is_for_fails_the_turn(name: str, key: str) -> None:
    registry = SessionRegistry(done)

    @registry.stage(name)
    def loses(data: Data, context: Any) -> Data:
        return {}

    async with registry:
        error, cause = await failure_of(registry)
    assert error == TurnError("stage_failed", "KeyError", f"{name}:loses")
    assert repr(key) == str(cause.__cause__)


class Censor:
    """A stage that is an object."""

    def __call__(self, data: Data, context: Any) -> Data:
        raise ValueError


@pytest.mark.parametrize(
    ("function", "word"),
    [(Censor(), "Censor"), (functools.partial(Censor()), "partial"), (lambda *_: None, "<lambda>")],
)
async def test_what_has_no_name_goes_by_its_kind(function: Any, word: str) -> None:
    registry = SessionRegistry(done)
    registry.stage("pre_process_msg")(function)
    async with registry:
        assert (await failure_of(registry))[0].stage == f"pre_process_msg:{word}"


async def test_a_stage_that_raises_a_cancellation_of_its_own_is_a_failure_and_no_cancel() -> None:
    registry = SessionRegistry(done)

    @registry.stage("pre_process_msg")
    def gives_up(data: Data, context: Any) -> Data:
        raise asyncio.CancelledError

    async with registry:
        receipt = await registry.send("s1", "hello")
        assert (await receipt.ended()).error == TurnError("spontaneous_cancel", "CancelledError")


# -- Stages and cancels -------------------------------------------------------------------------------


async def ended(registry: SessionRegistry, gate: Gate) -> TurnRecord:
    """The end of a turn that was stopped while that stage waited."""
    receipt = await registry.send("s1", "hello")
    await gate.begun.wait()
    asked = asyncio.create_task(registry.cancel("s1"))
    await settle()
    gate.go_on.set()
    assert (await asked).verdict is Verdict.CANCELLED
    return await receipt.ended()


@pytest.mark.parametrize("name", [PRE_PROCESS, POST_PROCESS])
async def test_a_stage_is_cancelled_like_any_coroutine_and_may_clean_up(name: str) -> None:
    registry, gate = SessionRegistry(done), Gate()
    registry.stage(name)(gate)
    async with registry:
        assert (await ended(registry, gate)).status is TurnStatus.CANCELLED
    assert gate.heard == ["cancelled", "cleaned up"]


@pytest.mark.parametrize("name", [PRE_PROCESS, POST_PROCESS])
async def test_no_stage_begins_after_a_cancel_that_the_one_before_swallowed(name: str) -> None:
    registry, gate = SessionRegistry(done), Gate(swallows=1)
    ran: list[str] = []
    registry.stage(name, 1)(gate)

    @registry.stage(name)
    def later(data: Data, context: Any) -> Data:
        ran.append("later")
        return data

    async with registry:
        assert (await ended(registry, gate)).status is TurnStatus.CANCELLED
    assert gate.heard[:2] == ["cancelled", "cleaned up"]
    assert not ran


async def test_the_agent_does_not_begin_after_a_cancel_that_the_last_stage_swallowed() -> None:
    agent, gate = ScriptedAgent(), Gate(swallows=1)
    registry = SessionRegistry(agent)
    registry.stage("pre_process_msg")(gate)
    async with registry:
        await ended(registry, gate)
    assert not agent.runs


async def test_results_of_an_agent_that_swallowed_its_cancel_are_not_processed() -> None:
    agent = ScriptedAgent(swallows=1)
    registry = SessionRegistry(agent)
    ran: list[Any] = []

    @registry.stage("process_results")
    def store(data: Data, context: Any) -> Data:
        ran.append(data)
        return data

    async with registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        asked = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        run.finish("half of it")
        assert (await asked).verdict is Verdict.CANCELLED
        assert (await receipt.ended()).status is TurnStatus.CANCELLED
    assert not ran


async def test_between_two_stages_that_never_wait_a_cancel_gets_through() -> None:
    registry = SessionRegistry(done)
    ran: list[int] = []
    asked: list[asyncio.Task[Any]] = []

    def counts(data: Data, context: Any) -> Data:
        ran.append(len(ran))
        if len(ran) == 3:
            asked.append(asyncio.create_task(registry.cancel("s1", wait=False)))
        return data

    for _ in range(100):
        registry.stage("pre_process_msg")(counts)
    async with registry:
        receipt = await registry.send("s1", "hello")
        assert (await receipt.ended()).status is TurnStatus.CANCELLED
        assert (await asked[0]).verdict is Verdict.REQUESTED
    assert len(ran) < 20


async def test_a_turns_time_is_its_stages_time_too_and_one_that_never_ends_is_given_up() -> None:
    async with virtual_time():
        registry, gate = SessionRegistry(done), Gate(swallows=99)
        registry.stage("pre_process_msg")(gate)
        async with registry:
            receipt = await registry.send("s1", "hello", timeout=2.0)
            assert (await receipt.ended()).status is TurnStatus.UNRESPONSIVE
            gate.swallows = 0
            gate.go_on.set()
            await settle()
            record = await registry.turn("s1", receipt.turn_id)
            assert record.ended_late is not None
            assert record.ended_late.outcome is TurnStatus.CANCELLED


async def test_a_turn_that_was_given_up_runs_no_more_stages() -> None:
    ran: list[str] = []
    async with virtual_time():
        agent = ScriptedAgent(swallows=FOREVER)
        registry = SessionRegistry(agent)

        @registry.stage("process_results")
        def store(data: Data, context: Any) -> Data:
            ran.append("store")
            return data

        async with registry:
            await registry.send("s1", "hello")
            run = await agent.run()
            assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
            run.finish("late")
            await settle()
    assert not ran


# -- Registering --------------------------------------------------------------------------------------


async def test_without_stages_around_them_the_agents_are_run_as_they_are() -> None:
    """A turn costs what it did."""
    pipeline = Pipeline()
    pipeline.stage("my_own")(shouts)
    assert pipeline.start() is None


async def test_a_stage_that_comes_after_the_start_is_refused_and_also_after_the_end() -> None:
    registry = SessionRegistry(done)
    early = registry.stage("pre_process_msg")
    async with registry:
        with pytest.raises(AlreadyStarted, match="before"):
            registry.stage("pre_process_msg")
        with pytest.raises(AlreadyStarted):
            early(shouts)
    with pytest.raises(AlreadyStarted):
        registry.stage("pre_process_msg")


async def test_a_stage_from_another_thread_is_refused() -> None:
    registry = SessionRegistry(done)
    caught: list[TurnkeeperError] = []

    def elsewhere() -> None:
        try:
            registry.stage("pre_process_msg")(shouts)
        except TurnkeeperError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert [type(error) for error in caught] == [WrongThread]
    await asyncio.get_running_loop().shutdown_default_executor()


async def an_async_generator(data: Data, context: Any) -> AsyncGenerator[Data, None]:
    yield data


def a_generator(data: Data, context: Any) -> Iterator[Data]:
    yield data


def of_one(data: Data) -> Data:
    return data


def of_three(data: Data, context: Any, turn: Any) -> Data:
    return data


@pytest.mark.parametrize("function", [None, "shouts", {}, of_one, of_three, an_async_generator, a_generator])
def test_what_cannot_be_a_stage_is_refused_when_it_is_registered(function: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SessionRegistry(done).stage("pre_process_msg")(function)
    assert refused.value.field == "function"


@pytest.mark.parametrize("name", [shouts, None, "", 1])
def test_the_error_for_a_stage_without_a_name_says_how_to_give_one(name: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"@registry\.stage") as refused:
        SessionRegistry(done).stage(name)
    assert refused.value.field == "name"


@pytest.mark.parametrize("priority", ["5", None, math.nan])
def test_a_priority_is_a_number(priority: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SessionRegistry(done).stage("pre_process_msg", priority=priority)
    assert refused.value.field == "priority"


async def test_a_builtin_that_does_not_tell_its_arguments_is_taken() -> None:
    registry = SessionRegistry(done)
    builtin: Any = max
    registry.stage("pre_process_msg")(builtin)
    async with registry:
        assert (await failure_of(registry))[0].stage == "pre_process_msg:max"


async def test_two_registries_have_their_own_stages() -> None:
    one, two = SessionRegistry(done), SessionRegistry(done)
    one.stage("pre_process_msg")(shouts)
    async with one, two:
        assert await (await one.send("s1", "hi")).result() == "done: HI"
        assert await (await two.send("s1", "hi")).result() == "done: hi"
