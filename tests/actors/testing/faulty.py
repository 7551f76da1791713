"""Agents with one fault each, and the code that the kit is to find it by."""

import asyncio
import contextlib
import itertools
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from turnkeeper.actors import Reason, Turn
from turnkeeper.actors.testing import FaultCode

#: The faulty agents, each with its code.
FAULTY: list[tuple[Callable[..., Any], FaultCode]] = []
# What they leave behind, for `cleared` to end it.
_held: list[Any] = []
_let_go = threading.Event()
_runs = itertools.count()


@contextlib.contextmanager
def cleared() -> Iterator[None]:
    """End what the agents have left behind that only they can end."""
    _let_go.clear()
    try:
        yield
    finally:
        _let_go.set()
        while _held:
            left = _held.pop()
            if isinstance(left, threading.Thread):
                left.join()
            elif hasattr(left, "close"):
                left.close()


def finds(code: FaultCode) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(agent: Callable[..., Any]) -> Callable[..., Any]:
        FAULTY.append((agent, code))
        return agent

    return register


# -- How it ends --------------------------------------------------------------------------------------------


@finds(FaultCode.SWALLOWED_CANCEL)
async def returns_when_cancelled(turn: Turn) -> str:
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        return "stopped"
    return "done"


@finds(FaultCode.SWALLOWED_CANCEL)
async def tries_again_three_times(turn: Turn) -> None:
    for _ in range(3):
        try:
            await asyncio.sleep(1)
            return
        except:  # noqa: E722  this is the fault
            continue


@finds(FaultCode.SWALLOWED_CANCEL)
async def returns_in_its_finally(turn: Turn) -> str:
    try:
        await asyncio.sleep(1)
    finally:
        return "done"  # noqa: B012  this is the fault


@finds(FaultCode.RAISED_INSTEAD)
async def makes_an_error_of_it(turn: Turn) -> None:
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        raise RuntimeError("stopped") from None


@finds(FaultCode.UNRESPONSIVE)
async def tries_again_for_ever(turn: Turn) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except:  # noqa: E722  this is the fault
            continue


@finds(FaultCode.UNRESPONSIVE)
async def goes_round_for_ever(turn: Turn) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


@finds(FaultCode.NEEDED_SECOND_CANCEL)
async def cleans_up_for_ever(turn: Turn) -> None:
    try:
        await asyncio.sleep(1)
    finally:
        if turn.cancel_requested:
            await asyncio.Event().wait()


@finds(FaultCode.NEEDED_SECOND_CANCEL)
async def is_deaf_to_the_first(turn: Turn) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(1)
    await asyncio.sleep(10)


@finds(FaultCode.AGENT_FAILED)
async def fails(turn: Turn) -> None:
    await asyncio.sleep(1)
    raise ValueError("not today")


@finds(FaultCode.NOT_DETERMINISTIC)
async def takes_turns(turn: Turn) -> None:
    if next(_runs) % 2:
        await asyncio.sleep(1)
    await asyncio.sleep(2)


# -- What it leaves behind ----------------------------------------------------------------------------------


@finds(FaultCode.LEFT_TASK)
async def leaves_a_task(turn: Turn) -> None:
    task = asyncio.create_task(asyncio.sleep(30))
    await asyncio.sleep(1)
    await task


@finds(FaultCode.LEFT_TASK)
async def shields_its_work(turn: Turn) -> None:
    await asyncio.shield(asyncio.sleep(30))


@finds(FaultCode.LEFT_THREAD)
async def leaves_a_thread(turn: Turn) -> None:
    thread = threading.Thread(target=_let_go.wait)
    _held.append(thread)
    thread.start()
    await asyncio.sleep(0)


@finds(FaultCode.LEFT_THREAD)
async def works_in_a_thread(turn: Turn) -> None:
    await asyncio.to_thread(_let_go.wait, 0.6)


@finds(FaultCode.LEFT_PROCESS)
async def leaves_a_child(turn: Turn) -> None:
    await asyncio.create_subprocess_exec("sleep", "1000")
    await asyncio.sleep(0)


@finds(FaultCode.LEFT_PROCESS)
async def leaves_a_grandchild(turn: Turn) -> None:
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", "sleep 1000 >/dev/null & echo started; wait", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert shell.stdout is not None
        await shell.stdout.readline()
        await asyncio.sleep(0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            shell.kill()
        await shell.wait()


@finds(FaultCode.LEFT_SOCKET)
async def leaves_a_socket(turn: Turn) -> None:
    _held.append(socket.socket())
    await asyncio.sleep(1)


@finds(FaultCode.LEFT_FILE)
async def leaves_a_file_open(turn: Turn) -> None:
    _held.append(open(__file__))  # noqa: ASYNC230, SIM115  this is the fault
    await asyncio.sleep(1)


@finds(FaultCode.LEFT_FILE)
async def leaves_a_temporary_file(turn: Turn) -> None:
    Path(tempfile.gettempdir(), "left").touch()
    await asyncio.sleep(1)


@finds(FaultCode.EMITTED_AFTER_END)
async def emits_from_a_task_it_left(turn: Turn) -> None:
    async def late() -> None:
        await asyncio.sleep(5)
        turn.emit("delta", {"text": "late"})

    task = asyncio.create_task(late())
    await asyncio.sleep(1)
    await task


@finds(FaultCode.EMITTED_AFTER_END)
async def emits_from_a_timer(turn: Turn) -> None:
    asyncio.get_running_loop().call_later(0, lambda: asyncio.get_running_loop().call_soon(_emit, turn))
    await asyncio.sleep(1)


@finds(FaultCode.EMITTED_AFTER_END)
async def emits_from_a_timer_that_rings_when_it_is_over(turn: Turn) -> None:
    asyncio.get_running_loop().call_later(0.5, _emit, turn)  # as one does that puts words together
    await asyncio.sleep(0.2)


def _emit(turn: Turn) -> None:
    with contextlib.suppress(Exception):
        turn.emit("delta", {"text": "late"})


# -- What it does to others ---------------------------------------------------------------------------------


@finds(FaultCode.HALF_WRITTEN)
async def writes_the_question_first(turn: Turn) -> None:
    turn.context.messages.append({"role": "user", "content": turn.text})
    await asyncio.sleep(1)
    turn.context.messages.append({"role": "assistant", "content": "yes"})


@finds(FaultCode.HALF_WRITTEN)
async def leaves_a_tool_without_its_result(turn: Turn) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}
    turn.context.messages.extend([{"role": "user", "content": turn.text}, call])
    await asyncio.sleep(1)
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    turn.context.messages.extend([result, {"role": "assistant", "content": "42"}])


@finds(FaultCode.HALF_WRITTEN)
async def loses_its_write_to_a_second_cancel(turn: Turn) -> None:
    turn.context.messages.append({"role": "user", "content": turn.text})
    try:
        await asyncio.sleep(1)
    finally:
        await asyncio.sleep(0.1)  # the write
        turn.context.messages.append({"role": "assistant", "content": "yes"})


@finds(FaultCode.BLOCKED_LOOP)
async def sleeps_on_the_loop(turn: Turn) -> None:
    await asyncio.sleep(1)
    time.sleep(3)
    await asyncio.sleep(1)


@finds(FaultCode.BLOCKED_LOOP)
async def babbles(turn: Turn) -> AsyncIterator[str]:
    while True:
        yield "and so on, "


@finds(FaultCode.HOOK_FAILED)
async def registers_a_hook_that_fails(turn: Turn) -> None:
    @turn.on_cancel
    def hook(reason: Reason, partial: str) -> None:
        raise ValueError("not today")

    await asyncio.sleep(1)


@finds(FaultCode.HOOK_FAILED)
async def registers_a_hook_that_never_ends(turn: Turn) -> None:
    @turn.on_cancel
    async def hook(reason: Reason, partial: str) -> None:
        await asyncio.Event().wait()

    await asyncio.sleep(1)


# -- How it uses what a turn offers -------------------------------------------------------------------------


@finds(FaultCode.RAISED_INSTEAD)
async def asks_for_a_critical_section_too_late(turn: Turn) -> None:
    try:
        await asyncio.sleep(1)
    finally:
        async with turn.uninterruptible():
            await asyncio.sleep(0.1)


@finds(FaultCode.HALF_WRITTEN)
async def stays_in_a_critical_section_for_too_long(turn: Turn) -> None:
    async with turn.uninterruptible(timeout=5):
        turn.context.messages.append({"role": "user", "content": turn.text})
        await asyncio.sleep(60)
        turn.context.messages.append({"role": "assistant", "content": "yes"})


@finds(FaultCode.OPEN_CALL)
async def leaves_a_call_open(turn: Turn) -> None:
    await turn.tool_call("c1", "search").__aenter__()
    await asyncio.sleep(1)


@finds(FaultCode.OPEN_CALL)
async def leaves_a_call_to_a_task(turn: Turn) -> None:
    async def call() -> None:
        async with turn.tool_call("c1", "search"):
            await asyncio.sleep(5)

    task = asyncio.create_task(call())
    await asyncio.sleep(1)
    await task


@finds(FaultCode.UNRESPONSIVE)
async def works_on_in_a_thread_of_the_turns(turn: Turn) -> None:
    await turn.in_thread(_let_go.wait, 30)


@finds(FaultCode.UNRESPONSIVE)
async def has_a_task_that_does_not_listen(turn: Turn) -> None:
    async def deaf() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    turn.create_task(deaf())
    await asyncio.sleep(1)
