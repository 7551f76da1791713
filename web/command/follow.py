"""`turnkeeper send`: send, follow the answer, and stop the turn when Ctrl-C says so."""

import asyncio
import signal
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

from turnkeeper.actors.events.event import CLOSE, SNAPSHOT
from turnkeeper.actors.model.records import FINAL_ENDS, TERMINAL

from .client import Client, Event, Refused, Unreachable
from .exit_codes import Exit, Failure
from .tables import Screen, ms

JSON = dict[str, Any]
#: How long the stream may take to tell the ending that an answer has told already, in seconds.
STREAM_LAG = 5.0
#: Pauses before a send is tried again on a lost connection, in seconds.
RETRIES = (0.2, 0.5, 1.0, 2.0, 4.0)


async def send(
    client: Client, screen: Screen, session: str, text: str, *, as_json: bool = False, **options: Any
) -> Exit:
    """Send a text and follow its turn to the end. The first Ctrl-C stops the turn, the second this.

    Raises `Failure`. Cancelling it leaves the turn running.
    """
    await client.hello()
    following = _Following(client, screen, session, as_json)
    with _interrupts(following.interrupt):
        return await following.run(text, options)


class _Following:
    def __init__(self, client: Client, screen: Screen, session: str, as_json: bool) -> None:
        self._client = client
        self._screen = screen
        self._session = session
        self._json = as_json
        # Chosen here, so that it can be stopped before the server has answered, and sent again safely.
        self._task = uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._listening: asyncio.Future[None] = self._loop.create_future()
        self._left: asyncio.Future[None] = self._loop.create_future()
        self._stop: asyncio.Task[None] | None = None
        self._verdict: JSON | None = None
        self._posted = False
        self._mine = False
        self._said = False
        self._why: str | None = None

    # -- Ctrl-C ---------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """The first time, stop the turn; the second time, leave."""
        if self._stop is None:
            self._screen.note("stopping the turn; Ctrl-C again leaves without waiting for it")
            self._stop = self._loop.create_task(self._cancel())
        elif not self._left.done():
            self._left.set_result(None)

    async def _cancel(self) -> None:
        try:
            self._verdict = await self._client.cancel(self._session, self._task)
        except Failure as error:
            self._screen.note(f"the turn could not be stopped and may still be running: {error}")

    # -- The turn -------------------------------------------------------------------------------------

    async def run(self, text: str, options: Mapping[str, Any]) -> Exit:
        listen = self._loop.create_task(self._listen())
        post = self._loop.create_task(self._post(text, options))
        try:
            turn = await self._ending(listen, post)
        finally:
            tasks = [listen, post, *(() if self._stop is None else (self._stop,))]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if turn is None:
            self._screen.note(f"left; turn {self._task} of {self._session} may still be running")
            return Exit.INTERRUPTED
        return self._told(turn)

    async def _ending(self, listen: "asyncio.Task[JSON]", post: "asyncio.Task[JSON | None]") -> JSON | None:
        """The turn as it ended, or ``None`` if nobody waited for that. Raises `Failure`."""
        waiting: set[asyncio.Future[Any]] = {listen, post, self._left}
        turn: JSON | None = None
        while turn is None:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._left in done:
                return None
            turn = listen.result() if listen in done else post.result()
            waiting.discard(post)
        if self._stop is not None and not self._stop.done():
            # The stream may tell the ending before the cancel's answer has come.
            await asyncio.wait(
                {self._stop, self._left}, timeout=STREAM_LAG, return_when=asyncio.FIRST_COMPLETED
            )
        return turn

    async def _post(self, text: str, options: Mapping[str, Any]) -> JSON | None:
        """Send it; the turn, if it has ended without ever having started."""
        await self._listening
        answer = await self._sent(text, options)
        self._posted = True
        before = answer.get("superseded")
        if before:
            told = f"{before['verdict']} after {ms(before['settled_after_ms'])}"
            self._screen.note(f"the turn before this one, {before['task_id']}: {told}")
        if answer["task_status"] not in TERMINAL:
            return None
        turn = await self._client.turn(self._session, self._task)
        return turn if turn["started_at"] is None else None

    async def _sent(self, text: str, options: Mapping[str, Any]) -> JSON:
        for pause in RETRIES:
            try:
                return await self._client.send(self._session, self._task, text, **options)
            except Unreachable:
                # Whether it has arrived is unknown. The same id and text start nothing twice.
                await asyncio.sleep(pause)
        return await self._client.send(self._session, self._task, text, **options)

    async def _listen(self) -> JSON:
        """Show what the turn says; the turn as it ended."""
        after: str | None = None
        while True:
            events = self._client.events(self._session, after, notice=self._screen.note)
            async with aclosing(events):
                async for event in events:
                    after = event.cursor or after
                    turn = await self._heard(event)
                    if turn is not None:
                        return turn

    async def _heard(self, event: Event) -> JSON | None:
        if event.name == CLOSE:
            turn = await self._looked_up()
            if turn is None and event.text in FINAL_ENDS:
                raise Failure(Exit.FAILED, f"the stream ended before the turn did: {event.text}")
            return turn
        data = event.data
        if event.name == SNAPSHOT:
            self._mine = (data.get("turn") or {}).get("task_id") == self._task
            if not self._listening.done():
                self._listening.set_result(None)
        elif event.name == "gap":
            self._screen.note("a part of the answer was lost: the server does not keep it any more")
            return await self._looked_up()
        elif event.name.startswith("turn."):
            ours = data.get("task_id") == self._task
            if event.name == "turn.started":
                self._mine = ours
            if ours:
                self._show(event, None)
                return data if data.get("status") in TERMINAL else None
        elif self._mine:
            self._show(event, data)
        return None

    def _show(self, event: Event, data: Any) -> None:
        if self._json:
            self._screen.json({"id": event.id, "event": event.name, "data": event.data})
        elif event.name == "delta" and isinstance(data, dict) and isinstance(data.get("text"), str):
            self._said = True
            self._screen.write(data["text"])
        elif (
            event.name == "upstream_error" and isinstance(data, dict) and isinstance(data.get("message"), str)
        ):
            self._why = data["message"]

    async def _looked_up(self) -> JSON | None:
        """The turn, if the server knows that it has ended."""
        if not self._posted:
            return None
        try:
            turn = await self._client.turn(self._session, self._task)
        except Refused as error:
            if error.exit_code is Exit.UNKNOWN:
                text = "the server does not know the turn any more, and so not how it ended"
                raise Failure(Exit.FAILED, text) from None
            raise
        return turn if turn["status"] in TERMINAL else None

    # -- The ending -----------------------------------------------------------------------------------

    def _told(self, turn: JSON) -> Exit:
        status, result = turn["status"], turn.get("result")
        if not self._json:
            if not self._said and isinstance(result, str):
                self._screen.write(result)
            self._screen.end_line()
        if self._verdict is not None and self._verdict["verdict"] != "not_running":
            self._screen.note(verdict_told(self._verdict))
        elif status != "completed":
            self._screen.note(ending_told(turn, self._why))
        if status == "cancelled" and self._stop is not None:
            return Exit.INTERRUPTED
        return {"completed": Exit.OK, "unresponsive": Exit.UNRESPONSIVE}.get(status, Exit.FAILED)


def ending_told(turn: Mapping[str, Any], why: str | None = None) -> str:
    """How a turn that did not complete ended, in words. ``why`` is what the agent said of its model."""
    reason, error = turn.get("reason") or {}, turn.get("error") or {}
    words = str(turn["status"]).replace("_", " ")
    if error.get("code"):
        where = ", ".join(error[name] for name in ("stage", "type") if error.get(name))
        more = f": {why}" if why else f" ({where})" if where else ""
        return f"{words}: {error['code']}{more}"
    if turn.get("superseded_by"):
        return f"{words}: superseded by {turn['superseded_by']}"
    if reason.get("code"):
        by = f", by {turn['by']}" if turn.get("by") else ""
        return f"{words}: {reason['code']}{by}"
    return words


def verdict_told(answer: Mapping[str, Any]) -> str:
    """What came of a cancel, in words."""
    took = ms(answer.get("settled_after_ms"))
    turn = answer.get("turn") or {}
    match answer["verdict"]:
        case "cancelled":
            return f"cancelled after {took}"
        case "finished_first":
            status = str(turn.get("status", "finished")).replace("_", " ")
            if status in ("cancelled", "timed out", "unresponsive", "interrupted"):
                return f"it had ended already: {status}"
            return f"it had finished before it could be stopped: {status}"
        case "unresponsive":
            return f"it does not stop: given up after {took}, and it may still be running"
        case "requested":
            return "asked to stop; whether it has is not known yet"
        case _:
            return "nothing is running"


@contextmanager
def _interrupts(handle: Callable[[], None]) -> Generator[None]:
    """Have Ctrl-C call this, where the loop can; elsewhere it ends the command as usual."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, handle)
    except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
