"""A server of a host's own, run as a process: turnkeeper under ``/ai``, with agents that misbehave."""

import asyncio
import sys
from typing import Any

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import WebSettings, setup
from turnkeeper.web.agents import echo
from turnkeeper.web.server import run
from turnkeeper.web.upstream_errors import UpstreamRateLimited

PREFIX = "/ai"
KEPT_EVENTS = 3_000
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
    raise ValueError("nobody's business")


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


async def flood(turn: Turn) -> None:
    """Say more in one go than a reader's buffer holds: its stream ends in the middle of the turn."""
    for number in range(int(turn.text)):
        turn.emit("delta", {"text": f"{number} "})


def censor(data: dict[str, Any], _context: Any) -> dict[str, Any]:
    if data["message"] == "forbidden":
        raise ValueError("nobody's business")
    return data


def main() -> int:
    app = web.Application()
    agents = {"default": echo, "hostile": hostile, "failing": failing, "late": late, "flood": flood}
    agents |= {"writer": writer, "cut": cut, "upstream": upstream}
    settings = WebSettings(port=0, log_events=KEPT_EVENTS)
    registry = setup(app, agents, prefix=PREFIX, pages=True, settings=settings)
    registry.stage("pre_process_msg")(censor)
    return run(app, settings, lambda address: print(address, flush=True))


if __name__ == "__main__":
    sys.exit(main())
