"""Agents that stop as they should, in as many ways as there are."""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from turnkeeper.actors import Agent, Reason, Turn

#: The clean agents.
CLEAN: list[Callable[..., Any]] = []


def clean(agent: Callable[..., Any]) -> Callable[..., Any]:
    CLEAN.append(agent)
    return agent


async def to_its_end(work: Awaitable[Any]) -> None:
    """Wait for this whatever cancels; raise CancelledError afterwards, if something did."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


@clean
async def streams(turn: Turn) -> str:
    for word in turn.text.split():
        await asyncio.sleep(0.1)
        turn.emit("delta", {"text": word})
    return "done"


@clean
async def generates(turn: Turn) -> AsyncIterator[str]:
    for word in turn.text.split():
        await asyncio.sleep(0.1)
        yield word


@clean
async def never_awaits(turn: Turn) -> str:
    return turn.text


@clean
async def awaits_for_ever(turn: Turn) -> None:
    await asyncio.Event().wait()


@clean
async def goes_round(turn: Turn) -> None:
    while True:
        await asyncio.sleep(0)


@clean
async def groups(turn: Turn) -> None:
    async def child(n: int) -> None:
        try:
            await asyncio.sleep(n)
        finally:
            turn.emit("child", n)

    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(child(n))


@clean
async def gathers(turn: Turn) -> None:
    await asyncio.gather(*(asyncio.sleep(n) for n in range(3)))


@clean
async def gives_up_by_itself(turn: Turn) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.sleep(5)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(5), 1)


@clean
async def hands_over(turn: Turn) -> None:
    queue: asyncio.Queue[str | None] = asyncio.Queue(1)

    async def produce() -> None:
        for word in [*turn.text.split(), None]:
            await queue.put(word)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        while (word := await queue.get()) is not None:
            turn.emit("delta", {"text": word})


@clean
async def writes_when_it_is_done(turn: Turn) -> None:
    await asyncio.sleep(1)
    user = {"role": "user", "content": turn.text}
    turn.context.messages.extend([user, {"role": "assistant", "content": "yes"}])


@clean
async def keeps_what_it_has_said(turn: Turn) -> None:
    said = ""
    try:
        for word in turn.text.split():
            await asyncio.sleep(0.1)
            said += word
    finally:
        user = {"role": "user", "content": turn.text}
        reply = {"role": "assistant", "content": said, "cut_off": turn.cancel_requested}
        turn.context.messages.extend([user, reply])


@clean
async def writes_to_the_end(turn: Turn) -> None:
    async def write() -> None:
        turn.context.messages.append({"role": "user", "content": turn.text})
        await asyncio.sleep(0.1)
        turn.context.messages.append({"role": "assistant", "content": "yes"})

    await asyncio.sleep(1)
    await to_its_end(write())


@clean
async def ends_its_process(turn: Turn) -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    try:
        await asyncio.sleep(0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await to_its_end(process.wait())


@clean
async def waits_for_its_thread(turn: Turn) -> None:
    stop = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(stop.wait))
    try:
        await asyncio.sleep(0)
    finally:
        stop.set()
        await to_its_end(work)


@clean
async def removes_its_file(turn: Turn) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        await asyncio.sleep(1)


@clean
async def cancels_its_task(turn: Turn) -> None:
    task = asyncio.create_task(asyncio.sleep(30))
    try:
        await asyncio.sleep(1)
    finally:
        task.cancel()
        await asyncio.wait([task])


@clean
async def keeps_what_was_published(turn: Turn) -> None:
    user = {"role": "user", "content": turn.text}

    @turn.on_cancel
    async def keep(reason: Reason, partial: str) -> None:
        await asyncio.sleep(0.1)
        turn.context.messages[:] = [user, {"role": "assistant", "content": partial, "cut_off": True}]

    turn.context.messages.append(user)
    for word in turn.text.split():
        await asyncio.sleep(0.1)
        turn.emit("delta", {"text": word})
    turn.context.messages.append({"role": "assistant", "content": turn.text})


@clean
async def writes_in_a_critical_section(turn: Turn) -> None:
    await asyncio.sleep(1)
    async with turn.uninterruptible():
        turn.context.messages.append({"role": "user", "content": turn.text})
        await asyncio.sleep(0.1)
        turn.context.messages.append({"role": "assistant", "content": "yes"})
    await asyncio.sleep(1)


@clean
async def calls_tools(turn: Turn) -> None:
    calls = [{"id": f"c{n}", "type": "function"} for n in range(2)]
    user = {"role": "user", "content": turn.text}
    turn.context.messages.extend([user, {"role": "assistant", "content": "", "tool_calls": calls}])
    for call in calls:
        async with turn.tool_call(call["id"], "search") as open_call:
            await asyncio.sleep(0.1)
            open_call.result(42)
        turn.context.messages.append({"role": "tool", "tool_call_id": call["id"], "content": "42"})
    await asyncio.sleep(0.1)
    turn.context.messages.append({"role": "assistant", "content": "42"})


@clean
async def calls_tools_side_by_side(turn: Turn) -> None:
    async def call(name: str) -> None:
        async with turn.tool_call(name, name):
            await asyncio.sleep(1)

    await asyncio.gather(call("search"), call("read"))


@clean
async def says_what_it_uses(turn: Turn) -> None:
    for _ in range(2):
        await asyncio.sleep(0.1)
        turn.report_usage(input_tokens=7, output_tokens=3)


@clean
async def has_tasks_of_its_own(turn: Turn) -> None:
    async def child(n: int) -> None:
        await asyncio.sleep(n)
        turn.emit("child", n)

    for n in range(3):
        turn.create_task(child(n))
    await asyncio.sleep(1)


@clean
async def works_in_a_thread_that_looks_up(turn: Turn) -> int:
    def work() -> int:
        n = 0
        while n < 5 and not turn.cancel_requested:
            time.sleep(0.002)
            turn.emit("n", n)
            n += 1
        return n

    await asyncio.sleep(1)
    return await turn.in_thread(work)


@clean
async def runs_a_shell_with_children(turn: Turn) -> None:
    async with turn.process("sh", "-c", "sleep 1000 & sleep 1000 & wait"):
        await asyncio.sleep(0)


@clean
def is_a_plain_function(turn: Turn) -> str:
    turn.emit("delta", {"text": turn.text})
    return turn.text


class Caller:
    """An agent that is no function."""

    async def __call__(self, turn: Turn) -> None:
        async for _ in generates(turn):
            pass


CLEAN += [Caller(), Agent(streams, cancel_grace=1.0)]  # type: ignore[list-item]
