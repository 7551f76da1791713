"""Agents that come along, and the way to name another one."""

import asyncio
import importlib
import re
from collections.abc import Callable
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.turn.turn import Turn

#: Seconds between two words: slow enough to press Stop.
WORD_PAUSE = 0.15


async def echo(turn: Turn) -> str:
    """Stream the message back word by word, and keep the conversation.

    Cancelled, it keeps what it had said so far, marked as cut off.
    """
    said: list[str] = []
    cut_off = True
    try:
        for word in re.findall(r"\S+\s*", turn.text):
            await asyncio.sleep(WORD_PAUSE)
            turn.emit("delta", {"text": word})
            said.append(word)
        cut_off = False
    finally:
        if not turn.over:
            answer = {"role": "assistant", "content": "".join(said), **({"cut_off": True} if cut_off else {})}
            turn.context.messages += [{"role": "user", "content": turn.text}, answer]
    return "".join(said)


async def stubborn(turn: Turn) -> str:
    """Ignore being cancelled for a minute: an agent to try `unresponsive` with."""
    turn.emit("delta", {"text": "I do not listen. "})
    end = asyncio.get_running_loop().time() + 60
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return "done"


#: What `turnkeeper serve` runs without ``--agent``.
BUILT_IN: dict[str, Callable[[Turn], Any]] = {"echo": echo, "stubborn": stubborn}


def _in_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def load_agent(name: str) -> Callable[[Turn], Any]:
    """The agent ``package.module:callable``, or a built-in one by its name. Raises `InvalidRequest`."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise InvalidRequest(
            f"agent {name!r} is neither echo, openai nor package.module:callable", field="agent"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise InvalidRequest(
            f"agent {name!r}: cannot import {module_name}: {error}", field="agent"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise InvalidRequest(
            f"agent {name!r}: importing {module_name} raised {_in_one_line(error)}", field="agent"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise InvalidRequest(f"agent {name!r}: {module_name} has no {path}", field="agent")
        found = getattr(found, part)
    if not callable(found):
        raise InvalidRequest(f"agent {name!r} cannot be called", field="agent")
    agent: Callable[[Turn], Any] = found
    return agent
