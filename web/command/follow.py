"""`turnkeeper send`: send a text, follow the reply, and stop the turn when Ctrl-C is pressed."""

import asyncio
import signal
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

from turnkeeper.actors.events.event import CLOSE, GAP, RESERVED_PREFIX, SNAPSHOT, STARTED
from turnkeeper.actors.model.words import FINAL_ENDS, TERMINAL, CloseOn, TurnStatus, Verdict
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import ClientError, Refused, Unreachable
from turnkeeper.web.client.sse_parser import StreamEvent

from .exit_codes import CommandFailed, ExitCode
from .outcomes import (
    ending_exit_code,
    ending_text,
    status_of,
    still_running_text,
    usage_text,
    verdict_of,
    verdict_text,
)
from .screen import Screen
from .wording import ms

JSON = dict[str, Any]
#: How many seconds the cancel's answer may come after the stream has reported the turn's end.
STREAM_LAG = 5.0
#: For how many seconds a server may be away that goes on with the turn when it has restarted.
RESTART = 60.0
#: Pauses before a send is repeated on a lost connection, in seconds.
RETRIES = (0.2, 0.5, 1.0, 2.0, 4.0)


async def send(
    client: Client, screen: Screen, session: str, text: str, *, as_json: bool = False, **options: Any
) -> ExitCode:
    """Send a text and follow its turn to the end. The first Ctrl-C stops the turn; the second ends this.

    Raises `CommandFailed` and `ClientError`. Cancelling it leaves the turn running.
    """
    await client.hello()
    following = _Following(client, screen, session, as_json)
    with _ctrl_c(following.interrupt):
        return await following.run(text, options)


class _Following:
    """One turn, from its send to its end."""

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
        self._cancel_answer: JSON | None = None
        self._posted = False
        #: Whether the turn whose events arrive is this one.
        self._ours = False
        #: Whether it was cut off by a restart, and will be started again.
        self._goes_on = False
        self._wrote_reply = False
        self._why: str | None = None

    # -- Ctrl-C ---------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Stop the turn; the second time, leave without waiting for it."""
        if self._stop is None:
            self._screen.note("stopping the turn; press Ctrl-C again to exit without waiting for it")
            self._stop = self._loop.create_task(self._cancel())
        elif not self._left.done():
            self._left.set_result(None)

    async def _cancel(self) -> None:
        try:
            self._cancel_answer = await self._client.cancel(self._session, self._task)
        except ClientError as error:
            self._screen.note(f"the turn could not be stopped and may still be running: {error}")

    # -- The turn -------------------------------------------------------------------------------------

    async def run(self, text: str, options: Mapping[str, Any]) -> ExitCode:
        listen = self._loop.create_task(self._listen())
        post = self._loop.create_task(self._post(text, options))
        try:
            turn = await self._ended(listen, post)
        finally:
            tasks = [listen, post, *(() if self._stop is None else (self._stop,))]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if turn is None:
            self._screen.note(f"turn {self._task} of {self._session} may still be running")
            return ExitCode.INTERRUPTED
        return self._report(turn)

    async def _ended(self, listen: "asyncio.Task[JSON]", post: "asyncio.Task[JSON | None]") -> JSON | None:
        """The turn as it ended, or ``None`` after a second Ctrl-C. Raises what the two tasks raise."""
        waiting: set[asyncio.Future[Any]] = {listen, post, self._left}
        turn: JSON | None = None
        while turn is None:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._left in done:
                return None
            turn = listen.result() if listen in done else post.result()
            waiting.discard(post)
        if self._stop is not None and not self._stop.done():
            # The stream may report the end before the cancel's answer has come.
            await asyncio.wait(
                {self._stop, self._left}, timeout=STREAM_LAG, return_when=asyncio.FIRST_COMPLETED
            )
        return turn

    async def _post(self, text: str, options: Mapping[str, Any]) -> JSON | None:
        """Send it; the turn, if it has ended without ever having started."""
        await self._listening
        answer = await self._send(text, options)
        self._posted = True
        before = answer.get("superseded")
        if before:
            outcome = f"{before['verdict']} after {ms(before['settled_after_ms'])}"
            outcome += still_running_text(before)
            self._screen.note(f"the previous turn, {before['task_id']}: {outcome}")
        if answer["task_status"] not in TERMINAL:
            return None
        turn = await self._client.turn(self._session, self._task)
        return turn if turn["started_at"] is None else None

    async def _send(self, text: str, options: Mapping[str, Any]) -> JSON:
        for pause in RETRIES:
            try:
                return await self._client.send(self._session, self._task, text, **options)
            except Unreachable:
                # Whether it has arrived is unknown. The same id and text start nothing twice.
                await asyncio.sleep(pause)
        return await self._client.send(self._session, self._task, text, **options)

    async def _listen(self) -> JSON:
        """Show the turn's events; the turn as it ended."""
        after: str | None = None
        away_since: float | None = None
        while True:
            # A cancel of the turn before this one ends the stream too; then the next one goes on.
            events = self._client.events(
                self._session, after, close_on=CloseOn.CANCELLED, notice=self._screen.note
            )
            try:
                async with aclosing(events):
                    async for event in events:
                        after = event.cursor or after
                        turn = await self._on_event(event)
                        if turn is not None:
                            return turn
            except (Unreachable, Refused) as error:
                is_away = self._goes_on and (isinstance(error, Unreachable) or error.status == 503)
                if not is_away or (away_since and self._loop.time() > away_since + RESTART):
                    raise
            if self._goes_on:
                away_since = away_since or self._loop.time()
                await asyncio.sleep(RETRIES[1])
            else:
                away_since = None

    async def _on_event(self, event: StreamEvent) -> JSON | None:
        if event.name == CLOSE:
            if self._goes_on:
                return None  # what comes next is read first, from the server that goes on with it
            turn = await self._looked_up()
            if turn is None and event.text in FINAL_ENDS:
                text = f"the stream ended before the turn did: {event.text}"
                raise CommandFailed(ExitCode.FAILED, text)
            return turn
        data = event.data
        if event.name == SNAPSHOT:
            self._ours = (data.get("turn") or {}).get("task_id") == self._task
            if not self._listening.done():
                self._listening.set_result(None)
        elif event.name == GAP:
            self._screen.note("part of the reply is missing: the server no longer keeps it")
            return await self._looked_up()
        elif event.name.startswith(RESERVED_PREFIX):
            ours = data.get("task_id") == self._task
            if event.name == STARTED:
                self._ours = ours
            if ours:
                self._show(event, None)
                self._goes_on = data.get("will_continue") is True
                if self._goes_on:
                    self._screen.note("the server restarts, and goes on with the turn after that")
                return data if data.get("status") in TERMINAL else None
        elif self._ours:
            self._show(event, data)
        return None

    def _show(self, event: StreamEvent, data: Any) -> None:
        if self._json:
            self._screen.json({"id": event.id, "event": event.name, "data": event.data})
            return
        match event.name, data:
            case "delta", {"text": str(text)}:
                self._wrote_reply = True
                self._screen.write(text)
            case "upstream_error", {"message": str(text)}:
                self._why = text
            case _:
                pass  # an event of the agent's own

    async def _looked_up(self) -> JSON | None:
        """The turn, if the server knows that it has ended."""
        if not self._posted:
            return None
        try:
            turn = await self._client.turn(self._session, self._task)
        except Refused as error:
            if error.status == 404:
                text = "the server no longer knows the turn, and so not how it ended"
                raise CommandFailed(ExitCode.FAILED, text) from None
            raise
        return turn if turn["status"] in TERMINAL else None

    # -- The end --------------------------------------------------------------------------------------

    def _report(self, turn: JSON) -> ExitCode:
        result, answer = turn.get("result"), self._cancel_answer
        if not self._json:
            if not self._wrote_reply and isinstance(result, str):
                self._screen.write(result)
            self._screen.end_line()
        if answer is not None and verdict_of(answer) is not Verdict.NOT_RUNNING:
            self._screen.note(verdict_text(answer))
        elif status_of(turn) is not TurnStatus.COMPLETED:
            self._screen.note(ending_text(turn, self._why))
        if used := usage_text(turn):
            self._screen.note(used)
        return ending_exit_code(turn, stopped=self._stop is not None)


@contextmanager
def _ctrl_c(handle: Callable[[], None]) -> Generator[None]:
    """Let Ctrl-C call this, where the loop can; elsewhere it ends the command as usual."""
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
