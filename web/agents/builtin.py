"""The built-in agents: an echo to try things with, and one that does not stop."""

import asyncio
import re

from turnkeeper.actors.turn.agent import AnyAgent
from turnkeeper.actors.turn.turn import Turn

#: Seconds between two words: slow enough to press Stop.
WORD_PAUSE = 0.15


async def echo(turn: Turn) -> str:
    """Stream the message back word by word. Cancelling it ends it at once."""
    words = re.findall(r"\S+\s*", turn.text)
    for word in words:
        await asyncio.sleep(WORD_PAUSE)
        turn.emit("delta", {"text": word})
    return "".join(words)


async def stubborn(turn: Turn) -> str:
    """Ignore being cancelled for a minute, to try `unresponsive` with."""
    turn.emit("delta", {"text": "I do not listen. "})
    end = asyncio.get_running_loop().time() + 60
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return "done"


#: The agents of `turnkeeper serve` without ``--agent``; the first is the default one.
BUILT_IN: dict[str, AnyAgent] = {"echo": echo, "stubborn": stubborn}
