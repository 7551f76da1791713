"""The servers of the pages' tests, each a process of its own.

Without arguments it is a host's own: turnkeeper under ``/ai``, with agents that misbehave. With arguments it
is the command ``turnkeeper`` itself. In both `echo` stops at each word `HALT` until the agent `go_on` is sent
the name of its session, so that a test sees a turn run for as long as it looks, however slow the machine is.
"""

import asyncio
import re
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from typing import Any

from aiohttp import web

from turnkeeper.actors import Agent, Turn, TurnFailed, open_registry
from turnkeeper.web import WebSettings, setup
from turnkeeper.web.agents.builtin import BUILT_IN
from turnkeeper.web.agents.upstream_errors import UpstreamRateLimited
from turnkeeper.web.command import cli
from turnkeeper.web.http import handlers
from turnkeeper.web.server.run import run

PREFIX = "/ai"
KEPT_EVENTS = 3_000
HALT = "halt"
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\">"
    "<script>document.title='pwned'</script><style>body{display:none}</style>"
    '<iframe srcdoc="<script>parent.document.title=1</script>"></iframe>&lt;b&gt;</p>'
)

#: A reply as models write them; every sign in it that is Markdown is meant as such.
ARTICLE = """\
## Reading a *file*

The usual way is a **context manager**, which closes it *whatever happens*; see [the docs](https://docs.example/io_(x))
or `help(open)`, and ***never*** __forget__ that ~~nothing~~ something may fail: https://example.org/a_b_c.

```python
def lines(path):
    with open(path) as file:  # **not bold**

        return [line for line in file]
```

1. It reads *lazily*.
2. The encoding is named:
   - without it, **the machine's own**
   - it differs

   ```sh
   locale
   ```
3. Done.

> A quotation, with `code`,
> of two lines.

| mode | reads | writes |
|------|:-----:|-------:|
| `r`  | yes   | *no*   |
| `w`  | no    | **yes** |

---

### The end

That is all.
"""


may_go_on: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
threads_may_end: defaultdict[str, threading.Event] = defaultdict(threading.Event)


async def echo(turn: Turn) -> None:
    """Say what was said, word by word, stop after each `HALT`, and keep the conversation."""
    said: list[str] = []
    marks = {"cut_off": True}
    try:
        for word in re.findall(r"\S+\s*", turn.text):
            turn.emit("delta", {"text": word})
            said.append(word)
            await turn.checkpoint()
            if word.strip() == HALT:
                await may_go_on[turn.session_id].wait()
                may_go_on[turn.session_id].clear()
        marks = {}
    finally:
        answer = {"role": "assistant", "content": "".join(said), **marks}
        turn.context.messages += [{"role": "user", "content": turn.text}, answer]


async def go_on(turn: Turn) -> None:
    may_go_on[turn.text].set()
    threads_may_end[turn.text].set()


async def until_forgotten(turn: Turn) -> None:
    """End once the session with this name is forgotten. Asking for it would wake it."""
    while turn.text in open_registry().directory.entries:
        await asyncio.sleep(0.02)


async def hostile(turn: Turn) -> None:
    for start in range(0, len(HOSTILE), 7):
        turn.emit("delta", {"text": HOSTILE[start : start + 7]})
    turn.emit("delta", "not an object")


async def writer(turn: Turn) -> None:
    """Write Markdown, a few letters at a time."""
    for start in range(0, len(ARTICLE), 11):
        turn.emit("delta", {"text": ARTICLE[start : start + 11]})
        await turn.checkpoint()


async def cut(turn: Turn) -> None:
    turn.emit("delta", {"text": "I was **cut off"})
    raise ValueError("in the middle of a word")


async def failing(_turn: Turn) -> None:
    raise ValueError("a private matter")


async def upstream(turn: Turn) -> None:
    turn.emit("upstream_error", {"code": "upstream_rate_limited", "message": "no more for now"})
    raise UpstreamRateLimited


async def late(turn: Turn) -> str:
    """Return, although it is cancelled."""
    turn.emit("delta", {"text": "working "})
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        turn.emit("delta", {"text": "and done"})
    return "done"


async def careful(turn: Turn) -> None:
    """Write something down that must not be cut off."""
    async with turn.uninterruptible():
        turn.emit("delta", {"text": "writing "})
        while not turn.cancel_waits:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)


async def searching(turn: Turn) -> None:
    """Call a tool that returns, and two that do not before the turn is stopped."""
    async with turn.tool_call("0", "look"):
        pass
    async with turn.tool_call("1", "search"), turn.tool_call("2", "fetch"):
        await asyncio.Event().wait()


async def asking(turn: Turn) -> str:
    """Have three other sessions say something, one after the other, and the second one fail."""
    mine = turn.session_id
    await turn.send(f"{mine}.pears", "three per kilo")
    try:
        await turn.send(f"{mine}.plums", "how many?", agent="failing")
    except TurnFailed:
        return await turn.send(f"{mine}.figs", f"two {HALT} per kilo") or "asked"
    raise AssertionError("it has not failed")


async def archive(turn: Turn) -> None:
    """Work in a thread that does not hear of a cancel."""

    def look() -> None:
        turn.emit("delta", {"text": "looking "})
        threads_may_end[turn.session_id].wait()

    await turn.in_thread(look)


async def tidying(turn: Turn) -> None:
    """Return, and leave a task behind that does not hear of a cancel."""

    async def tidy() -> None:
        while not may_go_on[turn.session_id].is_set():
            with suppress(asyncio.CancelledError):
                await may_go_on[turn.session_id].wait()

    turn.create_task(tidy())
    turn.emit("delta", {"text": "done"})


async def flood(turn: Turn) -> None:
    """Say more in one go than a reader's buffer holds: its stream ends in the middle of the turn."""
    for number in range(int(turn.text)):
        turn.emit("delta", {"text": f"{number} "})


async def forgetful(turn: Turn) -> None:
    """Say as much, and see to it that nothing of it is recorded."""
    turn.context.messages = list(turn.context.messages)
    await flood(turn)


def censor(data: dict[str, Any], _context: Any) -> dict[str, Any]:
    if data["message"] == "forbidden":
        raise ValueError("a private matter")
    return data


def main() -> int:
    if len(sys.argv) > 1:
        BUILT_IN.update(echo=echo, go_on=go_on, until_forgotten=until_forgotten)
        # A cancel is waited for until it has come to something, also on a machine that stalls.
        handlers.CANCEL_MARGIN = 60.0
        return cli.main(sys.argv[1:])
    app = web.Application()
    agents: dict[str, Any] = {
        "default": echo,
        "hostile": hostile,
        "failing": failing,
        "late": late,
        "flood": flood,
    }
    agents |= {
        "archive": Agent(archive, cancel_grace=60),
        "asking": asking,
        "careful": careful,
        "searching": searching,
        "forgetful": forgetful,
        "writer": writer,
        "cut": cut,
        "go_on": go_on,
        "hasty_archive": Agent(archive, cancel_grace=0.2),
        "tidying": Agent(tidying, cancel_grace=60),
        "upstream": upstream,
    }
    settings = WebSettings(port=0, log_events=KEPT_EVENTS)
    registry = setup(app, agents, prefix=PREFIX, pages=True, settings=settings)
    registry.stage("pre_process_msg")(censor)
    return run(app, settings, lambda address: print(address, flush=True))


if __name__ == "__main__":
    sys.exit(main())
