"""How a turn's coroutine is started and run to its end, and what its end was."""

import asyncio
import functools
import math
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, done, names, opened, plain, read_to_end, remembering, settle, waiting
from turnkeeper.actors.model.exceptions import (
    ContextLoadFailed,
    ContextSaveFailed,
    HostKeepsMessages,
    InvalidRequest,
    NotAnAgent,
    PartNotTaken,
    SessionError,
    TurnCancelled,
    TurnFailed,
    UnknownSession,
)
from turnkeeper.actors.model.records import TurnError, TurnOptions
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn


async def failure_of(agent: Any, **keywords: Any) -> TurnFailed:
    """What the caller learns of an agent's failed turn; the session must be usable afterwards."""
    async with opened({"bad": agent, "good": done}, **keywords) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnFailed) as caught:
            await receipt.result()
        record = await receipt.ended()
        assert record.status is TurnStatus.FAILED
        assert record.error is not None
        assert str(record.error.code) in str(caught.value)
        if not keywords:
            assert await (await registry.send("s1", "again", agent="good")).result() == "done: again"
        return caught.value


async def code_of(agent: Any, **keywords: Any) -> str:
    """The code of an agent's failure."""
    return str(await failure_of(agent, **keywords)).partition("failed: ")[2]


# -- What an agent may be ---------------------------------------------------------------------------


async def test_a_coroutine_function_is_an_agent_and_what_it_returns_is_the_result() -> None:
    async with opened(done) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done: hello"


async def test_the_result_passes_through_untouched_also_what_json_cannot_say() -> None:
    result = {("a", 1): object(), "nan": math.nan, "set": {1, 2}}

    async def agent(turn: Turn) -> Any:
        return result

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() is result


async def test_an_async_generator_function_is_an_agent_texts_are_deltas_and_pairs_are_events() -> None:
    async def agent(turn: Turn) -> AsyncGenerator[Any, None]:
        yield "Hel"
        yield "lo"
        yield "usage", {"tokens": 2}

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        assert await receipt.result() is None
        events = waiting(stream)
        stream.close()
    assert names(events) == ["snapshot", "turn.started", "delta", "delta", "usage", "turn.completed"]
    assert [event.data for event in events[2:5]] == [{"text": "Hel"}, {"text": "lo"}, {"tokens": 2}]


async def test_any_other_async_iterator_is_published_like_a_generator() -> None:
    class Words:
        """As a client library hands them out: an iterator without ``aclose``."""

        def __init__(self) -> None:
            self.left = ["Hel", "lo"]

        def __aiter__(self) -> "Words":
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(0)
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    def plain(turn: Turn) -> Words:
        return Words()

    async with opened(Agent(plain, on_loop=True)) as registry:
        stream = await registry.subscribe("s1")
        assert await (await registry.send("s1", "hello")).result() is None
        assert [event.data for event in waiting(stream) if event.name == "delta"] == [
            {"text": "Hel"},
            {"text": "lo"},
        ]
        stream.close()


async def test_the_generator_inside_an_async_iterable_is_closed_in_the_turns_task() -> None:
    """G5."""
    closed_in: list[Any] = []

    class Words:
        async def __aiter__(self) -> AsyncGenerator[str, None]:
            try:
                yield "one"
                await asyncio.Event().wait()
            finally:
                closed_in.append(asyncio.current_task())

    def plain(turn: Turn) -> Words:
        return Words()

    async with opened(Agent(plain, on_loop=True)) as registry:
        receipt = await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
    assert [task.get_name() for task in closed_in] == [receipt.turn_id]


@pytest.mark.parametrize("item", [1, None, b"bytes", ["delta", "x"], ("one",), ("a", "b", "c"), {}])
async def test_an_async_generator_that_yields_anything_else_fails_clearly_and_is_closed(item: Any) -> None:
    closed: list[bool] = []

    async def agent(turn: Turn) -> AsyncGenerator[Any, None]:
        try:
            yield item
        finally:
            closed.append(True)

    assert await code_of(agent) == "not_an_agent"
    assert closed == [True]


async def test_an_async_generator_is_closed_in_its_own_task_when_it_is_cancelled() -> None:
    """G5: the model's stream is closed on cancel, not when the garbage is collected."""
    where: list[Any] = []
    begun = asyncio.Event()

    async def model() -> AsyncGenerator[str, None]:
        where.append(asyncio.current_task())
        try:
            yield "one"
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            where.append(asyncio.current_task())

    async def agent(turn: Turn) -> AsyncGenerator[str, None]:
        async for text in model():
            yield text

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await begun.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert where[0] is where[1]


async def test_an_async_generator_that_swallows_its_cancel_is_still_closed_at_its_end() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def agent(turn: Turn) -> AsyncGenerator[str, None]:
        try:
            try:
                yield "one"
                begun.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield "a last word"
        finally:
            ended.append("closed")

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s1", "hello")
        await begun.wait()
        answer = await registry.cancel("s1")
        assert answer.verdict is Verdict.FINISHED_FIRST
        assert ended == ["closed"]
        assert names(await read_to_end(stream))[-4:] == ["delta", "delta", "turn.completed", "close"]


async def test_objects_partials_methods_and_functions_that_return_a_coroutine_are_agents() -> None:
    class Agent:
        async def __call__(self, turn: Turn) -> str:
            return "object"

        async def method(self, turn: Turn) -> str:
            return "method"

    async def two(word: str, turn: Turn) -> str:
        return word

    agents = {
        "object": Agent(),
        "method": Agent().method,
        "partial": functools.partial(two, "partial"),
        "lambda": lambda turn: two("lambda", turn),
    }
    async with opened(agents) as registry:
        for name in agents:
            assert await (await registry.send("s1", "hello", agent=name)).result() == name


async def test_an_agent_may_return_a_future_and_cancelling_reaches_it() -> None:
    futures: list[asyncio.Future[str]] = []

    def agent(turn: Turn) -> asyncio.Future[str]:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    async with opened(Agent(agent, on_loop=True)) as registry:
        receipt = await registry.send("s1", "hello")
        futures[0].set_result("here")
        assert await receipt.result() == "here"
        await registry.send("s1", "hello")
        await settle()
        await registry.cancel("s1")
        assert futures[1].cancelled()


@pytest.mark.parametrize(
    "agent", [lambda turn: "text", lambda turn: None, lambda turn: iter("ab"), dict], ids=plain
)
async def test_a_function_on_the_loop_that_is_not_async_is_no_agent_and_says_so(agent: Any) -> None:
    agent = (lambda turn: {}) if agent is dict else agent
    failed = await failure_of(Agent(agent, on_loop=True))
    assert isinstance(failed.__cause__, NotAnAgent)
    assert str(failed).endswith("not_an_agent")


# -- How an agent may fail --------------------------------------------------------------------------


async def test_an_error_is_the_cause_of_what_the_caller_gets() -> None:
    error = KeyError("x")

    async def agent(turn: Turn) -> None:
        await asyncio.sleep(0)
        raise error

    failed = await failure_of(agent)
    assert failed.__cause__ is error
    assert failed.code == "TURN_FAILED"
    assert failed.status == "failed"
    assert str(failed).endswith("agent_error")


async def test_an_error_before_the_first_await_is_a_failed_turn_like_any_other() -> None:
    """G2."""

    async def agent(turn: Turn) -> None:
        raise KeyError

    assert isinstance((await failure_of(agent)).__cause__, KeyError)


async def test_an_error_while_the_agent_is_called_is_a_failed_turn_like_any_other() -> None:
    """G2."""

    def agent(turn: Turn) -> Any:
        raise KeyError

    assert isinstance((await failure_of(agent)).__cause__, KeyError)


async def test_an_error_that_is_no_exception_is_a_failed_turn_like_any_other() -> None:
    class Odd(BaseException):
        pass

    async def agent(turn: Turn) -> None:
        raise Odd

    def sync(turn: Turn) -> Any:
        raise Odd

    assert isinstance((await failure_of(agent)).__cause__, Odd)
    assert isinstance((await failure_of(sync)).__cause__, Odd)


@pytest.mark.parametrize("kind", ["in its task", "before the first await", "while it is called"])
async def test_a_cancelled_error_without_a_cancel_is_a_failure_with_a_code_of_its_own(kind: str) -> None:
    """G2, G3: never called cancelled."""

    async def late(turn: Turn) -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def early(turn: Turn) -> None:
        raise asyncio.CancelledError

    def called(turn: Turn) -> Any:
        raise asyncio.CancelledError

    agent = {"in its task": late, "before the first await": early, "while it is called": called}[kind]
    assert await code_of(agent) == "spontaneous_cancel"


async def test_an_error_of_turnkeepers_own_gives_the_turn_its_code() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("turn.completed")

    assert await code_of(agent) == "reserved_event"


class _OwnRefusal(SessionError):
    code = "OUT_OF_CREDIT"


class _Refined(InvalidRequest):
    """Has the code of what it is derived from."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("a session id must be short", field="session_id"), "agent_error"),
        (PartNotTaken("no images", part="image_url", agent="coder"), "agent_error"),
        (UnknownSession("s2"), "agent_error"),
        (_Refined("x"), "agent_error"),
        (_OwnRefusal("x"), "out_of_credit"),
        (TurnCancelled("x", turn_id="t2", status="cancelled"), "turn_cancelled"),
    ],
    ids=repr,
)
async def test_what_an_agent_itself_is_refused_is_no_refusal_of_its_users_request(
    error: Exception, code: str
) -> None:
    async def agent(turn: Turn) -> None:
        raise error

    async with opened(agent) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.error == TurnError(code, type(error).__name__)


# -- Contexts that the host loads and saves ---------------------------------------------------------


class Bare:
    """A context of the host's own, without ``data``."""

    __slots__ = ()


async def ask(registry: SessionRegistry, message: Any, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


class Shelf:
    """A host's own place for contexts."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.calls: list[Any] = []
        self.error: BaseException | None = None
        self.waits = False

    async def load(self, session: str, user: str) -> Any:
        self.calls.append(("load", session, user))
        await self._trouble()
        return self.kept.get(session)

    async def save(self, context: Any) -> None:
        self.calls.append(("save", context))
        await self._trouble()
        self.kept["s1"] = context

    async def _trouble(self) -> None:
        await asyncio.sleep(0)
        if self.waits:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


async def context_of(turn: Turn) -> Any:
    return turn.context


async def test_a_loaded_context_is_used_and_saved_at_the_end() -> None:
    shelf, mine = Shelf(), Bare()
    shelf.kept["s1"] = mine
    async with opened(context_of, load_context=shelf.load, save_context=shelf.save) as registry:
        assert await ask(registry, "x", user="ada") is mine
        assert shelf.calls == [("load", "s1", "ada"), ("save", mine)]


async def test_nothing_loaded_means_an_empty_context_which_is_saved() -> None:
    shelf = Shelf()
    async with opened(remembering, load_context=shelf.load, save_context=shelf.save) as registry:
        assert await ask(registry, "one") == []
        assert await ask(registry, "two") == ["one"]
        assert shelf.kept["s1"].messages == ["one", "two"]


async def test_where_the_host_loads_contexts_none_is_kept_for_it() -> None:
    async def load(session: str, user: str) -> None:
        return None

    async with opened(remembering, load_context=load) as registry:
        assert await ask(registry, "one") == []
        assert await ask(registry, "two") == []
        with pytest.raises(HostKeepsMessages):
            await registry.messages("s1")


class Flagged(Bare):
    """A context of the host's own, of a turn that was cancelled."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"task_cancelled": True, "cancel_current_turn": True, "mine": 1}


@pytest.mark.parametrize("options", [None, TurnOptions(), TurnOptions(max_iterations=3)], ids=str)
async def test_a_loaded_context_brings_no_flag_of_an_earlier_turn(options: TurnOptions | None) -> None:
    shelf, mine = Shelf(), Flagged()
    shelf.kept["s1"] = mine
    async with opened(context_of, load_context=shelf.load) as registry:
        assert await ask(registry, "x", options=options) is mine
    assert mine.data == {"mine": 1}


async def test_a_brought_context_brings_no_flag_of_an_earlier_turn() -> None:
    shelf, mine = Shelf(), Flagged()
    async with opened(context_of, load_context=shelf.load) as registry:
        assert await ask(registry, "x", options=TurnOptions(context=mine)) is mine
    assert mine.data == {"mine": 1}


async def test_a_turn_without_a_context_but_with_other_options_has_its_context_loaded_and_saved() -> None:
    shelf, mine = Shelf(), Bare()
    shelf.kept["s1"] = mine
    async with opened(context_of, load_context=shelf.load, save_context=shelf.save) as registry:
        assert await ask(registry, "x", user="ada", options=TurnOptions(max_iterations=3)) is mine
        assert shelf.calls == [("load", "s1", "ada"), ("save", mine)]


async def test_a_loaded_context_has_the_flags_if_the_cancel_came_while_it_was_loaded() -> None:
    mine, loading = Flagged(), asyncio.Event()
    mine.data.clear()

    async def load(session: str, user: str) -> Any:
        try:
            loading.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return mine

    async with opened(context_of, load_context=load) as registry:
        receipt = await registry.send("s1", "x")
        await loading.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.FINISHED_FIRST
        assert await receipt.result() is mine
    assert mine.data == {"task_cancelled": True, "cancel_current_turn": True}


async def test_the_messages_and_data_of_a_loaded_context_are_the_hosts_and_untouched() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages[0]["content"] = "changed"
        turn.context.messages.append("more")
        turn.context.data["x"].append(1)

    messages: list[Any] = [{"role": "user", "content": "hello"}]
    data: dict[str, Any] = {"x": []}
    shelf = Shelf()
    shelf.kept["s1"] = Context("s1", "ada", data=data, messages=messages)
    async with opened(agent, load_context=shelf.load, conversation_messages=1) as registry:
        await ask(registry, "x")
        assert (await registry.messages("s1")).messages == tuple(messages)
    assert (messages, data) == ([{"role": "user", "content": "changed"}, "more"], {"x": [1]})


async def test_the_context_of_a_cancelled_turn_is_saved_in_its_task_before_the_verdict() -> None:
    shelf, agent = Shelf(), ScriptedAgent()
    async with opened(agent, save_context=shelf.save) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.context.messages.append("said")
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert shelf.kept["s1"].messages == ["said"]


async def test_a_quarantined_turn_saves_nothing(clock: Any) -> None:
    """G6."""
    shelf, agent = Shelf(), ScriptedAgent(swallows=9)
    async with opened(agent, save_context=shelf.save) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        run.finish()
        await run.ended.wait()
        await settle()
        assert shelf.calls == []


async def test_a_load_that_raises_fails_the_turn_with_a_clear_code_and_the_session_stays_usable() -> None:
    shelf = Shelf()
    shelf.error = OSError("disk")
    async with opened(done, load_context=shelf.load) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnFailed, match="context_load_failed") as caught:
            await receipt.result()
        assert isinstance(caught.value.__cause__, ContextLoadFailed)
        assert caught.value.__cause__.__cause__ is shelf.error
        shelf.error = None
        assert await ask(registry, "again") == "done: again"


async def test_a_save_that_raises_fails_the_turn_with_a_clear_code_and_the_session_stays_usable() -> None:
    shelf = Shelf()
    shelf.error = OSError("disk")
    async with opened(done, save_context=shelf.save) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnFailed, match="context_save_failed") as caught:
            await receipt.result()
        assert isinstance(caught.value.__cause__, ContextSaveFailed)
        shelf.error = None
        assert await ask(registry, "again") == "done: again"


@pytest.mark.parametrize("which", ["load_context", "save_context"])
async def test_a_load_or_save_that_hangs_can_be_cancelled(which: str) -> None:
    """G5."""
    shelf = Shelf()
    shelf.waits = True
    keywords = {which: shelf.load if which == "load_context" else shelf.save}
    async with opened(done, **keywords) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED


async def test_a_brought_context_is_neither_loaded_nor_saved() -> None:
    shelf, mine = Shelf(), Bare()
    async with opened(context_of, load_context=shelf.load, save_context=shelf.save) as registry:
        assert await ask(registry, "x", options=TurnOptions(context=mine)) is mine
        assert shelf.calls == []
