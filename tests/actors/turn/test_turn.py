"""Turn: what the host's coroutine is given."""

import asyncio
import gc
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from tests.fakes import (
    FOREVER,
    ScriptedAgent,
    done,
    names,
    opened,
    plain,
    remembering,
    settle,
    virtual_time,
    waiting,
)
from turnkeeper.actors.model.exceptions import (
    ContextNotCopyable,
    EventNotJson,
    ReadOnlyMessage,
    ReservedEvent,
    TurnFailed,
    TurnkeeperError,
    TurnOver,
    WaitsForItself,
    WrongThread,
)
from turnkeeper.actors.model.messages import Accepted
from turnkeeper.actors.model.records import TurnOptions
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

# -- What a turn says -------------------------------------------------------------------------------


async def test_a_cancel_that_was_asked_can_be_seen_and_its_reason_with_it() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello", user="ada")
        run = await agent.run()
        await registry.cancel("s1", user="ada", text="enough", wait=False)
        await run.cancelled.wait()
        assert run.turn.cancel_requested
        assert run.turn.reason is not None
        assert (run.turn.reason.code, run.turn.reason.by) == ("user_request", "ada")
        assert run.turn.reason.text == "enough"


async def test_a_checkpoint_lets_others_run_and_raises_once_a_cancel_was_asked() -> None:
    steps: list[str] = []
    go = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.checkpoint()
        steps.append("passed")
        try:
            go.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("swallowed")
        await turn.checkpoint()
        steps.append("never")

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await go.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
    assert steps == ["passed", "swallowed"]


# -- Events -----------------------------------------------------------------------------------------


async def emitting(*emits: tuple[Any, Any], **settings: Any) -> list[Any]:
    """What happens to these events: what emit raised, or the data that readers got."""
    raised: list[Any] = []

    async def agent(turn: Turn) -> None:
        for name, data in emits:
            try:
                turn.emit(name, data)
            except TurnkeeperError as error:
                raised.append(error)

    async with opened(agent, **settings) as registry:
        stream = await registry.subscribe("s1")
        await (await registry.send("s1", "hello")).result()
        events = waiting(stream)
        stream.close()
    own = [event for event in events if not event.name.startswith(("turn.", "snapshot"))]
    return [*raised, *[(event.name, event.data) for event in own]]


@pytest.mark.parametrize(
    "data", [None, True, 0, -1.5, "text", "", [], {}, {"a": [1, {"b": None}]}, "\u2028\n\r\x00", "\U0001f600"]
)
async def test_whatever_json_can_say_can_be_emitted(data: Any) -> None:
    assert await emitting(("word", data)) == [("word", data)]


class Surprise(dict[str, Any]):
    """A mapping that raises something unexpected."""

    def items(self) -> Any:
        raise OSError("surprise")


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def circle() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


NOT_JSON = {
    "nan": math.nan,
    "infinity": {"x": [-math.inf]},
    "object": object(),
    "bytes": b"x",
    "set": {1},
    "deep": nested(10_000),
    "circle": circle(),
    "surrogate": "\ud800",
    "surrogate within": {"a": ["x\udfffy"]},
    "surrogate key": {"\ud800": 1},
    "tuple key": {(1, 2): 3},
    "huge number": 10**10_000,
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_what_json_cannot_say_is_refused_where_it_is_emitted_and_the_turn_goes_on(data: Any) -> None:
    """G7: a refused event takes no number."""
    error, after = await emitting(("word", data), ("word", "fine"))
    assert isinstance(error, EventNotJson)
    assert after == ("word", "fine")


async def test_data_larger_than_the_log_is_refused() -> None:
    """G8."""
    error, after = await emitting(("word", "x" * 9_999), ("word", "x" * 900), log_bytes=10_000)
    assert isinstance(error, EventNotJson)
    assert after == ("word", "x" * 900)
    # With its quotes the second is as large as allowed; when its turn ends it makes way for that.
    (error,) = await emitting(("word", "x" * 9_999), ("word", "x" * 9_998), log_bytes=10_000)
    assert isinstance(error, EventNotJson)


RESERVED = ["snapshot", "gap", "close", "turn.started", "turn.", "turn.mine"]
UNUSABLE: list[Any] = ["", "a\nb", "a\rb", "a\x00", "\u2028", "\ud800", "x" * 201]
UNUSABLE += [None, 1, b"word", ["word"], {}, object()]


@pytest.mark.parametrize("name", RESERVED + UNUSABLE, ids=plain)
async def test_an_agent_cannot_emit_a_name_of_ours_or_one_that_a_stream_cannot_carry(name: Any) -> None:
    error, after = await emitting((name, 1), ("word", "fine"))
    assert isinstance(error, ReservedEvent)
    assert after == ("word", "fine")


@pytest.mark.parametrize("name", ["turned", "Close", "message", "x" * 200, "d\u00e9j\u00e0 vu", "turn"])
async def test_any_other_name_is_the_agents(name: str) -> None:
    assert await emitting((name, 1)) == [(name, 1)]


async def test_an_event_says_what_was_the_case_when_it_was_emitted() -> None:
    data = {"n": 1}

    async def agent(turn: Turn) -> None:
        turn.emit("word", data)
        data["n"] = 2

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await (await registry.send("s1", "hello")).result()
        events = waiting(stream)
        stream.close()
    assert events[2].data == {"n": 1}
    events[2].data["n"] = 3
    assert events[2].data == {"n": 1}


async def test_emit_belongs_on_the_loop_and_says_how_a_thread_gets_there() -> None:
    """G7: the order of events is that of the loop."""

    async def agent(turn: Turn) -> None:
        with pytest.raises(WrongThread, match="call_soon_threadsafe"):
            await asyncio.to_thread(turn.emit, "word", 1)
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon_threadsafe, turn.emit, "word", 2)
        await asyncio.sleep(0)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await (await registry.send("s1", "hello")).result()
        events = waiting(stream)
        stream.close()
    assert names(events)[2:] == ["word", "turn.completed"]
    assert events[2].data == 2


async def test_nothing_can_be_emitted_after_the_end_and_the_context_is_closed() -> None:
    """G2: nothing of a turn is published after its terminal event."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        touched = run.turn.context
        run.finish()
        await receipt.ended()
        with pytest.raises(TurnOver):
            run.turn.emit("word")
        with pytest.raises(TurnOver):
            _ = run.turn.context
        assert touched.messages == []
        stream = await registry.subscribe("s1", after="0")
        assert names(waiting(stream)) == ["turn.started", "turn.completed"]
        stream.close()


async def test_a_context_that_was_never_looked_at_is_closed_after_the_end_as_well() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        run.finish()
        await receipt.ended()
        with pytest.raises(TurnOver):
            _ = run.turn.context


# -- Turns that deal with their own session ---------------------------------------------------------


async def misused(use: Callable[[SessionRegistry, Turn], Any]) -> BaseException | None:
    """What an agent meets that uses its own registry."""
    met: list[BaseException] = []

    async def agent(turn: Turn) -> None:
        try:
            await use(registry, turn)
        except TurnkeeperError as error:
            met.append(error)

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        await receipt.ended()
    return met[0] if met else None


@pytest.mark.parametrize("task", [False, True], ids=["itself", "a task of it"])
async def test_a_turn_that_would_wait_for_its_own_end_gets_an_error(task: bool) -> None:
    """G9: neither the turn nor a task that it started waits for ever."""

    def started(coroutine: Any) -> Any:
        return asyncio.get_running_loop().create_task(coroutine) if task else coroutine

    uses: list[tuple[Callable[[SessionRegistry, Turn], Any], str]] = [
        (lambda registry, turn: started(registry.cancel("s1")), "wait=False"),
        (lambda registry, turn: started(registry.cancel("s1", "t1")), "wait=False"),
        (lambda registry, turn: started(registry.send("s1", "more")), "wait=False"),
        (lambda registry, turn: started(registry.close("s1")), "registry.ref.tell(Close(session_id))"),
    ]
    for use, instead in uses:
        error = await misused(use)
        assert isinstance(error, WaitsForItself)
        assert instead in str(error)


async def test_a_turn_that_waits_for_its_own_receipt_gets_an_error() -> None:
    receipts: list[Any] = []
    there = asyncio.Event()

    async def agent(turn: Turn) -> str:
        await there.wait()
        for wait in (receipts[0].result, receipts[0].ended):
            with pytest.raises(WaitsForItself):
                await wait()
        return "fine"

    async with opened(agent) as registry:
        receipts.append(await registry.send("s1", "hello"))
        there.set()
        assert await receipts[0].result() == "fine"


async def test_a_turn_can_cancel_its_own_session_without_waiting() -> None:
    """G9: a tool says stop."""
    answers: list[Any] = []

    async def agent(turn: Turn) -> None:
        answers.append(await registry.cancel("s1", wait=False))
        await asyncio.Event().wait()

    async with opened(agent) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.status is TurnStatus.CANCELLED
        assert [answer.verdict for answer in answers] in ([], [Verdict.REQUESTED])


async def test_a_turn_can_send_its_successor_without_waiting() -> None:
    async def agent(turn: Turn) -> str:
        if turn.text == "first":
            await registry.send("s1", "second", wait=False, turn_id="t2")
            await asyncio.Event().wait()
        return turn.text

    async with opened(agent) as registry:
        first = await registry.send("s1", "first")
        assert (await first.ended()).superseded_by == "t2"
        again = await registry.send("s1", "second", turn_id="t2")
        assert again.repeated
        assert (await again.ended()).status is TurnStatus.COMPLETED


async def test_a_turn_can_deal_with_other_sessions_and_other_registries_and_wait_for_them() -> None:
    async def agent(turn: Turn) -> Any:
        if turn.session_id == "s2":
            return "other session"
        one = await (await registry.send("s2", "hello")).result()
        async with opened(done) as other:
            two = await (await other.send("s1", "hello")).result()
            assert (await other.cancel("s1")).verdict is Verdict.NOT_RUNNING
        assert (await registry.cancel("s1", "elsewhere")).verdict is Verdict.NOT_RUNNING
        return one, two

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() == ("other session", "done: hello")


async def test_what_outlives_its_turn_may_wait_for_the_session_again() -> None:
    tasks: list[asyncio.Task[Accepted]] = []
    go = asyncio.Event()

    async def later() -> Any:
        await go.wait()
        return await (await registry.send("s1", "later")).result()

    async def agent(turn: Turn) -> str:
        if turn.text == "first":
            tasks.append(asyncio.get_running_loop().create_task(later()))
        return turn.text

    async with opened(agent) as registry:
        await (await registry.send("s1", "first")).result()
        go.set()
        assert await tasks[0] == "later"


# -- Contexts ---------------------------------------------------------------------------------------


async def ask(registry: SessionRegistry, message: Any, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


async def test_a_conversation_goes_on_from_turn_to_turn_and_each_session_has_its_own() -> None:
    async with opened(remembering) as registry:
        assert await ask(registry, "one") == []
        assert await ask(registry, "two") == ["one"]
        assert await ask(registry, "three") == ["one", "two"]
        assert await ask(registry, "one", session="s2") == []


async def test_the_context_names_the_owner_of_the_session_in_an_admins_turn_too() -> None:
    async def agent(turn: Turn) -> Any:
        return turn.context.log_id, turn.context.username, turn.context.agent_name, turn.user

    async with opened({"default": agent, "coder": agent}) as registry:
        assert await ask(registry, "x", user="ada") == ("s1", "ada", "default", "ada")
        assert await ask(registry, "x", agent="coder") == ("s1", "ada", "coder", "local")


async def test_what_a_failed_or_cancelled_turn_did_to_its_context_is_kept_too() -> None:
    """What people said is not lost because the answer was."""
    agent = ScriptedAgent()
    async with opened({"default": remembering, "scripted": agent}) as registry:
        for ending in ("fail", "cancel"):
            await registry.send("s1", "x", agent="scripted")
            run = await agent.run()
            run.turn.context.messages.append(ending)
            if ending == "fail":
                run.fail(KeyError())
                await run.ended.wait()
            else:
                await registry.cancel("s1")
        assert await ask(registry, "last") == ["fail", "cancel"]


async def test_the_flags_are_set_when_a_cancel_is_asked_and_cleared_when_a_turn_starts() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        assert run.turn.context.data == {}
        await registry.cancel("s1", wait=False)
        await run.cancelled.wait()
        assert run.turn.context.data == {"task_cancelled": True, "cancel_current_turn": True}
        run.finish()
        await receipt.ended()
        await registry.send("s1", "hello")
        assert (await agent.run()).turn.context.data == {}


async def test_the_flags_are_set_on_a_context_that_is_first_looked_at_after_the_cancel() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        await registry.cancel("s1", wait=False)
        await run.cancelled.wait()
        assert run.turn.context.data["task_cancelled"]


async def test_data_that_cannot_be_copied_is_a_clear_failure_of_the_turn_that_looks_at_it() -> None:
    async def agent(turn: Turn) -> str:
        if turn.text == "poison":
            turn.context.data["lock"] = threading.Lock()
        elif turn.text == "look":
            _ = turn.context.data
        return turn.text

    async with opened(agent) as registry:
        await ask(registry, "poison")
        receipt = await registry.send("s1", "look")
        with pytest.raises(TurnFailed, match="context_not_copyable") as caught:
            await receipt.result()
        assert isinstance(caught.value.__cause__, ContextNotCopyable)
        assert await ask(registry, "do not look") == "do not look"


async def test_a_message_of_an_earlier_turn_is_read_only_and_a_turn_that_changes_one_fails_clearly() -> None:
    async def agent(turn: Turn) -> None:
        if turn.text == "change":
            turn.context.messages[0]["content"] = "changed"
        elif turn.text == "replace":
            turn.context.messages[0] = {**turn.context.messages[0], "content": "replaced"}
        else:
            turn.context.messages.append({"role": "user", "content": turn.text})

    async with opened(agent, record=False) as registry:
        await ask(registry, "hello")
        receipt = await registry.send("s1", "change")
        with pytest.raises(TurnFailed, match="read_only_message") as caught:
            await receipt.result()
        assert isinstance(caught.value.__cause__, ReadOnlyMessage)
        assert (await registry.messages("s1")).messages == ({"role": "user", "content": "hello"},)
        await ask(registry, "replace")
        assert (await registry.messages("s1")).messages == ({"role": "user", "content": "replaced"},)


async def test_a_turn_that_was_given_up_cannot_write_into_its_successors_conversation() -> None:
    """G6."""
    async with virtual_time():
        stubborn = ScriptedAgent(swallows=FOREVER)
        agents = {"default": remembering, "stubborn": stubborn}
        async with opened(agents, record=False) as registry:
            await ask(registry, "one")
            await registry.send("s1", "x", agent="stubborn")
            run = await stubborn.run()
            context = run.turn.context
            messages, data = context.messages, context.data
            assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
            messages.append("late")
            data["late"] = True
            context.messages = ["late"]
            run.finish()
            await settle()
            assert await ask(registry, "two") == ["one"]
            assert (await registry.messages("s1")).messages == ("one", "two")


async def test_what_a_turn_costs_does_not_grow_with_what_was_said() -> None:
    """But for the copy of a list, one operation, whose instructions `make bench-instructions` counts."""

    async def agent(turn: Turn) -> None:
        if turn.text == "look":
            turn.context.messages += [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        elif turn.text != "do not look":
            turn.context.messages = [{"role": "user", "content": [str(n)]} for n in range(turn.message)]

    async def operations(registry: SessionRegistry, message: str) -> int:
        """How many operations of Python's a turn takes."""
        seen: list[int] = []
        for _ in range(3):
            count, tracing = itertools.count(), sys.gettrace()

            def trace(frame: FrameType, event: str, _arg: Any, count: Iterator[int] = count) -> Any:
                frame.f_trace_opcodes = True
                if event == "opcode":
                    next(count)
                return trace

            gc.disable()  # what a collection calls is none of the turn's
            sys.settrace(trace)
            try:
                await ask(registry, message)
            finally:
                sys.settrace(tracing)
                gc.enable()
            seen.append(next(count))
        return sorted(seen)[1]

    looking: list[int] = []
    not_looking: list[int] = []
    for kept in (10, 1_000, 20_000):
        async with opened(agent, conversation_messages=kept, conversation_bytes=1 << 30) as registry:
            await ask(registry, kept)
            looking.append(await operations(registry, "look"))
            not_looking.append(await operations(registry, "do not look"))
            assert len((await registry.messages("s1")).messages) == kept
    assert max(looking) < 1.01 * min(looking)
    assert max(not_looking) < 1.01 * min(not_looking)


class Bare:
    """A context of the host's own, without ``data``."""

    __slots__ = ()


async def test_a_context_that_the_caller_brings_is_used_as_it_is() -> None:
    async def agent(turn: Turn) -> Any:
        return turn.context

    class Mine:
        def __init__(self) -> None:
            self.data = {"task_cancelled": True, "kept": 1}

    async with opened(agent) as registry:
        for brought in (Bare(), Mine(), {"any": "thing"}, [], 0, ""):
            assert await ask(registry, "x", options=TurnOptions(context=brought)) is brought
        mine = Mine()
        await ask(registry, "x", options=TurnOptions(context=mine))
        assert mine.data == {"kept": 1}


async def test_no_context_brought_means_the_sessions_own() -> None:
    async with opened(remembering) as registry:
        await ask(registry, "one", options=TurnOptions())
        assert await ask(registry, "two") == ["one"]


async def test_a_context_that_was_brought_does_not_become_the_sessions_own() -> None:
    async def agent(turn: Turn) -> list[Any]:
        return await remembering(turn)

    async with opened(agent) as registry:
        await ask(registry, "one")
        receipt = await registry.send("s2", "x")
        await receipt.result()
        brought = Context("elsewhere", "bob", messages=["brought"])
        assert await ask(registry, "two", options=TurnOptions(context=brought)) == ["brought"]
        assert brought.messages == ["brought", "two"]
        assert await ask(registry, "three") == ["one"]


async def test_the_context_of_another_turn_that_was_brought_does_not_become_the_sessions_own() -> None:
    async def agent(turn: Turn) -> Any:
        if turn.session_id == "s1":
            await ask(registry, "inner", session="s2", options=TurnOptions(context=turn.context))
        return await remembering(turn)

    async with opened(agent) as registry:
        assert await ask(registry, "outer") == ["inner"]
        assert (await registry.messages("s1")).messages == ("inner", "outer")
        assert (await registry.messages("s2")).messages == ()


async def test_the_flags_are_set_on_a_context_that_was_brought() -> None:
    class Mine:
        def __init__(self) -> None:
            self.data: dict[str, Any] = {}

    agent, mine = ScriptedAgent(), Mine()
    async with opened(agent) as registry:
        await registry.send("s1", "hello", options=TurnOptions(context=mine))
        await agent.run()
        await registry.cancel("s1")
    assert mine.data == {"task_cancelled": True, "cancel_current_turn": True}


async def test_a_context_that_raises_when_it_is_flagged_does_not_save_its_turn() -> None:
    """G5."""

    class Evil:
        @property
        def data(self) -> Any:
            raise ValueError

    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello", options=TurnOptions(context=Evil()))
        await agent.run()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
