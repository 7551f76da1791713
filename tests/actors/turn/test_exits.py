"""What would end the process if it left a turn."""

import asyncio
import functools
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvloop

from tests.fakes import done, names, opened, plain, read_to_end
from turnkeeper.actors.model.exceptions import AgentError, AgentInterrupted, TurnFailed
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.exits import contained, is_operators
from turnkeeper.actors.turn.turn import Turn


async def failed(registry: SessionRegistry, **keywords: Any) -> AgentError:
    """What ended the turn; a session beside it and the same one afterwards go on."""
    receipt = await registry.send("s1", "hello", **keywords)
    with pytest.raises(TurnFailed) as caught:
        await receipt.result()
    record = await receipt.ended()
    error = caught.value.__cause__
    assert isinstance(error, AgentError)
    assert record.status is TurnStatus.FAILED
    assert record.error is not None
    assert record.error.code == error.code.lower()
    for session in ("s1", "s2"):
        assert await (await registry.send(session, "again", agent="good")).result() == "done: again"
    return error


def leave(*_: Any) -> Any:
    sys.exit(3)


async def leave_later(*_: Any) -> Any:
    await asyncio.sleep(0)
    sys.exit(3)


async def leave_from_a_thread(turn: Turn) -> None:
    await asyncio.to_thread(sys.exit, 3)


async def leave_at_the_first_step(turn: Turn) -> None:
    sys.exit(3)


async def leave_between_two_texts(turn: Turn) -> AsyncIterator[str]:
    yield "one"
    sys.exit(3)


async def leave_as_its_generator_is_closed(turn: Turn) -> AsyncIterator[Any]:
    try:
        yield object()  # that is no text, so it is closed here
    finally:
        sys.exit(3)


# -- Where an agent may leave from ------------------------------------------------------------------


@pytest.mark.parametrize(
    "agent",
    [
        leave,
        leave_later,
        leave_at_the_first_step,
        leave_from_a_thread,
        leave_between_two_texts,
        leave_as_its_generator_is_closed,
    ],
    ids=plain,
)
async def test_an_agent_that_leaves_the_process_ends_its_turn_only(agent: Any) -> None:
    """G14."""
    async with opened({"bad": agent, "good": done}) as registry:
        error = await failed(registry, agent="bad")
    assert error.code == "SYSTEM_EXIT"
    assert isinstance(error.__cause__, SystemExit)
    assert error.__cause__.code == 3


@pytest.mark.parametrize("hook", ["load_context", "save_context"])
@pytest.mark.parametrize("function", [leave, leave_later], ids=plain)
async def test_a_hook_that_leaves_the_process_ends_its_turn_only(hook: str, function: Any) -> None:
    """G14."""
    async with opened(done, **{hook: function}) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnFailed, match="system_exit"):
            await receipt.result()


@pytest.mark.parametrize("name", ["pre_process_msg", "process_results"])
@pytest.mark.parametrize("function", [leave, leave_later], ids=plain)
async def test_a_stage_that_leaves_the_process_ends_its_turn_only(name: str, function: Any) -> None:
    """G14."""
    registry = SessionRegistry(done)
    registry.stage(name)(function)
    async with registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnFailed, match="system_exit"):
            await receipt.result()


async def test_an_agent_that_leaves_when_it_is_cancelled_has_failed_first() -> None:
    """G3, G14."""
    begun = asyncio.Event()

    async def agent(turn: Turn) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            sys.exit(3)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s1", "hello")
        await begun.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.FINISHED_FIRST
        events = await read_to_end(stream)
    assert names(events)[-2:] == ["turn.failed", "close"]
    assert events[-2].data["error"] == {"code": "system_exit", "type": "AgentExited"}


async def test_it_is_logged_with_what_was_raised(caplog: pytest.LogCaptureFixture) -> None:
    async with opened({"bad": leave_later, "good": done}) as registry:
        await failed(registry, agent="bad")
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "SystemExit: 3" in caplog.text
    assert "the agent raised SystemExit(3)" in caplog.text
    assert record.getMessage().startswith("turn ")


def test_it_holds_on_uvloop() -> None:
    """G14."""

    async def main() -> int:
        async with opened({"bad": leave_later, "good": done}) as registry:
            await failed(registry, agent="bad")
        return 5

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == 5


# -- Ctrl-C -----------------------------------------------------------------------------------------


async def interrupt(turn: Turn) -> None:
    raise KeyboardInterrupt


async def test_an_interrupt_of_the_agents_own_ends_its_turn_only() -> None:
    """G14."""
    async with opened({"bad": interrupt, "good": done}) as registry:
        error = await failed(registry, agent="bad")
    assert isinstance(error, AgentInterrupted)
    assert error.code == "KEYBOARD_INTERRUPT"


@contextmanager
def handling(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def press(turn: Turn) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("agent", [press, interrupt], ids=plain)
def test_under_pythons_own_handler_an_interrupt_is_the_operators_and_ends_the_loop(agent: Any) -> None:
    registry = SessionRegistry(agent)

    async def main() -> None:
        await registry.start()
        await registry.send("s1", "hello")
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    with handling(signal.default_int_handler):
        running = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(running)
        running.cancel()
        loop.run_until_complete(registry.stop())
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(running)
    loop.close()


def test_a_second_ctrl_c_reaches_asyncios_runner_through_a_turn() -> None:
    async def press_twice(turn: Turn) -> None:
        signal.raise_signal(signal.SIGINT)  # this one cancels the main task
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        async with opened(press_twice) as registry:
            await registry.send("s1", "hello")
            await asyncio.Event().wait()

    with handling(signal.default_int_handler), asyncio.Runner() as runner, pytest.raises(KeyboardInterrupt):
        runner.run(main())


class Handlers:
    """Handlers of SIGINT, each of another kind."""

    def method(self, number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    def __call__(self, number: int, frame: Any) -> None:
        raise KeyboardInterrupt


def function(number: int, frame: Any, more: Any = None) -> None:
    raise KeyboardInterrupt


HANDLERS: dict[str, Any] = {
    "a function": function,
    "a partial": functools.partial(function, more=1),
    "a method": Handlers().method,
    "a partial of a method": functools.partial(Handlers().method),
    "an object": Handlers(),
}


def caught(deed: Callable[[], Any]) -> KeyboardInterrupt:
    try:
        deed()
    except KeyboardInterrupt as error:
        return error
    raise AssertionError("it raised nothing")


def raises() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", HANDLERS)
def test_an_interrupt_that_the_handler_in_force_raised_is_the_operators(kind: str) -> None:
    with handling(HANDLERS[kind]):
        assert is_operators(caught(lambda: signal.raise_signal(signal.SIGINT)))
        assert not is_operators(caught(raises))


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_where_python_handles_no_sigint_an_interrupt_is_not_the_operators(handler: Any) -> None:
    with handling(handler):
        assert not is_operators(caught(raises))
        assert not is_operators(KeyboardInterrupt())


def test_outside_the_main_thread_an_interrupt_is_not_the_operators() -> None:
    seen: list[bool] = []
    with handling(signal.default_int_handler):
        assert is_operators(caught(raises))
        thread = threading.Thread(target=lambda: seen.append(is_operators(caught(raises))))
        thread.start()
        thread.join()
    assert seen == [False]


def test_what_is_contained_says_what_was_raised_and_the_operators_is_not() -> None:
    assert str(contained(SystemExit(3))) == "the agent raised SystemExit(3)"
    with handling(signal.SIG_IGN):
        assert isinstance(contained(KeyboardInterrupt()), AgentInterrupted)
    with handling(signal.default_int_handler):
        assert contained(KeyboardInterrupt()) is None
