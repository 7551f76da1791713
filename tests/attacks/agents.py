"""The agent that the attacked servers run: its message says what it does.

``"block 1.5"`` blocks the event loop, ``"exit 3"`` calls ``sys.exit(3)``; `DEEDS` has the other words.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from turnkeeper.actors import Turn

Words = list[str]


async def puppet(turn: Turn) -> Any:
    """Do what the first word of the message says, with the others."""
    word, _, rest = turn.text.partition(" ")
    return await DEEDS[word](turn, rest)


async def say(turn: Turn, count: str) -> str:
    """Emit so many deltas, and end."""
    for number in range(int(count)):
        turn.emit("delta", {"text": f"{number} "})
        await turn.checkpoint()
    return "said"


async def hold(turn: Turn, _: str) -> None:
    """Emit one event, and wait for ever."""
    turn.emit("ran", {"task_id": turn.turn_id})
    await asyncio.Event().wait()


async def touch(turn: Turn, _: str) -> None:
    """Emit one event, and end."""
    turn.emit("ran", {"task_id": turn.turn_id})


async def ticks(turn: Turn, _: str) -> None:
    """Emit a delta every few milliseconds, for ever."""
    number = 0
    while True:
        turn.emit("delta", {"text": f"{number} "})
        number += 1
        await asyncio.sleep(0.005)


async def flood(turn: Turn, counts: str) -> None:
    """Emit so many events of so many characters; a pause between them lets the streams write."""
    count, size = map(int, counts.split())
    for _ in range(count):
        turn.emit("delta", {"text": "x" * size})
        await asyncio.sleep(0.001)


async def leave(_turn: Turn, code: str) -> None:
    """Leave the process, as argparse does."""
    sys.exit(int(code))


async def leave_in_a_task(_turn: Turn, code: str) -> None:
    """Leave the process from a task of the turn's own."""
    task = asyncio.create_task(leave(_turn, code))
    await asyncio.wait({task})


async def press_ctrl_c(_turn: Turn, _: str) -> None:
    raise KeyboardInterrupt


async def block(turn: Turn, seconds: str) -> None:
    """Block the event loop."""
    turn.emit("ran", {})
    await asyncio.sleep(0.05)
    a_tool_that_blocks(float(seconds))


def a_tool_that_blocks(seconds: float) -> None:
    time.sleep(seconds)


async def fail(_turn: Turn, text: str) -> None:
    """Raise an error with this text."""
    raise RuntimeError(text)


async def swallow(turn: Turn, seconds: str) -> None:
    """Ignore being cancelled for so many seconds."""
    turn.emit("ran", {})
    loop = asyncio.get_running_loop()
    end = loop.time() + float(seconds)
    while (left := end - loop.time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


async def keep(turn: Turn, _: str) -> None:
    """Keep the message in the conversation."""
    turn.context.messages.append({"role": "user", "content": turn.message})


async def fill(turn: Turn, count: str) -> None:
    """Make the conversation this long; each message has a part, as most clients send them."""
    turn.context.messages = [
        {"role": "user", "content": [{"type": "text", "text": f"message {number}"}]}
        for number in range(int(count))
    ]


async def look(turn: Turn, _: str) -> None:
    """Look at the conversation and add two messages, as an agent does."""
    turn.context.messages += [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


async def tool(turn: Turn, command: str) -> None:
    """Run a command, emit its process's number once it runs, and wait for its end and for ever."""
    async with turn.process(*command.split()) as process:
        turn.emit("ran", {"pid": process.pid})
        await process.wait()
        await asyncio.Event().wait()


async def blind(_turn: Turn, _: str) -> None:
    """Do nothing at all."""


DEEDS: dict[str, Callable[[Turn, str], Awaitable[Any]]] = {
    "say": say,
    "hold": hold,
    "touch": touch,
    "ticks": ticks,
    "flood": flood,
    "exit": leave,
    "exit-in-a-task": leave_in_a_task,
    "ctrl-c": press_ctrl_c,
    "block": block,
    "fail": fail,
    "swallow": swallow,
    "keep": keep,
    "fill": fill,
    "look": look,
    "tool": tool,
    "blind": blind,
}
