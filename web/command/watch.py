"""`turnkeeper ps --watch`: the list of turns in flight, shown again and again."""

import asyncio
import time
from contextlib import nullcontext
from typing import Any, NoReturn

from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import Unreachable

from .screen import Screen
from .tables import turns_table
from .wording import moment

NOTHING = "nothing is running"


async def watch(client: Client, screen: Screen, interval: float, *, as_json: bool) -> NoReturn:
    """Show the list every ``interval`` seconds, until cancelled.

    Where it cannot change in its place, as in a pipe, it is shown only when it has changed. A lost connection
    is retried for ever. Raises `ClientError` if the first request fails or the server refuses one.
    """
    active = await _listed(client)
    lost_at: float | None = None
    shown: Any = None
    if screen.is_terminal and not screen.can_change and not as_json:
        screen.note("a list that changes in place, and colours, need rich: pip install 'turnkeeper[cli]'")
    with nullcontext(None) if as_json else screen.changing() as show:
        while True:
            if active != shown or (screen.can_change and not as_json):
                if show is None:
                    screen.json(active)
                else:
                    now = time.time()
                    caption = _caption(active, lost_at, now) if screen.is_terminal else ""
                    show(turns_table(active, screen.width, now, caption))
            shown = active
            await asyncio.sleep(interval)
            try:
                active = await _listed(client)
                lost_at = None
            except Unreachable as error:
                if lost_at is None:
                    lost_at = time.time()
                    if not screen.can_change:
                        screen.note(f"{error}; trying again")


async def _listed(client: Client) -> dict[str, Any]:
    await client.hello()
    return await client.busy()


def _caption(active: object, lost_at: float | None, now: float) -> str:
    if lost_at is not None:
        return f"no answer since {moment(lost_at, now)}; this is the last list received; trying again"
    return "" if active else NOTHING
