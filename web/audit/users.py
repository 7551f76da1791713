"""The crowd: users who send, press Stop and read, as impatiently as planned, and write down what they see."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from .adapters import Adapter, Call, Frames, Tokens
from .judge import Log, Seen, Sent, Stopped
from .plan import Act, Fate, Pace, Plan, Step, User, message
from .upstream import Upstream

#: Seconds until a reader whose stream has ended comes back, and until one who was refused does.
COME_BACK, TRY_AGAIN = 0.02, 0.1
#: What a slow reader takes at a time, in bytes.
SIP = 64
MOST_ANSWER = 2**20


@dataclass(frozen=True, slots=True)
class Server:
    """The server under test."""

    client: aiohttp.ClientSession
    url: str
    adapter: Adapter
    pace: Pace

    async def ask(self, call: Call) -> tuple[int, Any]:
        """The status and the JSON of an answer; status 0 if none comes."""
        wait = aiohttp.ClientTimeout(total=self.pace.patience)
        try:
            async with self.client.request(
                call.method,
                self.url + call.path,
                headers=call.headers,
                data=call.body,
                timeout=wait,
                allow_redirects=False,  # which might lead off this machine
            ) as response:
                body = await response.content.read(MOST_ANSWER)
                with suppress(ValueError):
                    return response.status, json.loads(body)
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, None


class Reader:
    """One user's stream: what came of it so far, over all its connections."""

    def __init__(self, server: Server, session: str) -> None:
        self._server = server
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._cursor = ""
        self._texts = Tokens()
        self.tokens: list[tuple[str, int]] = []
        self.connected = False
        #: Seconds between two sips; 0: as fast as it comes.
        self.sipping = 0.0

    def come(self) -> None:
        """Open the stream, or come back to it with the last cursor."""
        if self._task is None:
            self._task = asyncio.create_task(self._read_on())

    async def leave(self) -> None:
        """Drop the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.connected = False

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until that is so; whether it came to be. Cancelling it is safe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    async def _read_on(self) -> None:
        while True:
            answered = False
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                answered = await self._read_once()
            self.connected = False
            self._changed.set()
            await asyncio.sleep(COME_BACK if answered else TRY_AGAIN)

    async def _read_once(self) -> bool:
        """Read one connection to its end; whether it was a stream."""
        server, frames = self._server, Frames()
        call = server.adapter.read(self._session, self._cursor)
        async with server.client.request(
            call.method,
            server.url + call.path,
            headers=call.headers,
            timeout=aiohttp.ClientTimeout(total=None),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                return False
            self.connected = True
            self._changed.set()
            while data := await (response.content.read(SIP) if self.sipping else response.content.readany()):
                for event, text in frames.feed(data):
                    self.tokens += self._texts.feed(server.adapter.text_of(event, text))
                self._cursor = frames.last_id or self._cursor
                self._changed.set()
                if self.sipping:
                    await asyncio.sleep(self.sipping)
        return True


class Impatient:
    """One user of the crowd."""

    def __init__(self, user: User, plan: Plan, server: Server, upstream: Upstream, log: Log) -> None:
        self._session = user.session
        self._steps = user.steps
        self._plan = plan
        self._server = server
        self._upstream = upstream
        self._log = log
        self._reader = Reader(server, user.session)
        self._turns: dict[int, str] = {}

    async def live(self) -> None:
        """Do all that is planned. Cancelled or not, what was seen is written down."""
        try:
            for step in self._steps:
                await asyncio.sleep(step.pause)
                self._reader.come()
                await self._reader.until(lambda: self._reader.connected, self._plan.pace.patience / 3)
                await self._do(step)
        finally:
            await self._reader.leave()
            self._log.seen.append(Seen(self._session, tuple(self._reader.tokens)))

    async def _do(self, step: Step) -> None:
        n = step.n
        match step.act:
            case Act.READ:
                await self._send(n)
                await self._read_to_the_end(n)
            case Act.STOP_THEN_SEND:
                await self._send(n, Fate.STOP)
                await self._read_some(n, step.after_tokens)
                await self._stop(n, step.names_turn)
                await self._send(n + 1)
                await self._read_to_the_end(n + 1)
            case Act.STOP_EARLY:
                await self._send(n, Fate.STOP)
                await self._stop(n, step.names_turn)
                await self._watch()
            case Act.STOP_RACING if self._server.adapter.can_race:
                await asyncio.gather(self._send(n, Fate.STOP), self._stop(n, names_turn=True))
                await self._watch()
            case Act.STOP_TWICE | Act.STOP_RACING:
                await self._send(n, Fate.STOP)
                await self._read_some(n, step.after_tokens)
                await asyncio.gather(self._stop(n, step.names_turn), self._stop(n, step.names_turn))
                await self._watch()
            case Act.TWO_QUICKLY:
                await self._send(n, Fate.GIVE_WAY)
                await self._send(n + 1)
                await self._read_to_the_end(n + 1, also=n)
            case Act.LATE_STOP:
                await self._send(n)
                await self._read_to_the_end(n)
                await self._send(n + 1)
                if self._can_name(n):
                    await self._stop(n, names_turn=True, late=True)
                await self._read_to_the_end(n + 1)
            case Act.DROP:
                await self._send(n)
                await self._read_some(n, step.after_tokens)
                await self._reader.leave()
                await asyncio.sleep(self._plan.pace.token * 2 * step.after_tokens)
                self._reader.come()
                await self._read_to_the_end(n)
            case Act.SLOW:
                self._reader.sipping = 2 * self._plan.pace.token
                await self._send(n)
                await self._read_some(n, 2 * step.after_tokens)
                self._reader.sipping = 0.0
                await self._read_to_the_end(n)
            case Act.LEAVE:
                await self._send(n, Fate.ANY)
                await self._read_some(n, step.after_tokens)
                await self._reader.leave()

    # -- what a user does ---------------------------------------------------------------------------

    async def _send(self, n: int, fate: Fate = Fate.FINISH) -> None:
        turn = f"{self._session}-{n}"
        call = self._server.adapter.send.fill(
            session=self._session, message=message(self._session, n), turn=turn
        )
        asked = time.monotonic()
        status, answer = await self._server.ask(call)
        self._log.sends.append(Sent(self._session, n, asked, time.monotonic(), status, fate))
        self._turns[n] = self._server.adapter.turn_of(answer) or self._turns.get(n, "")

    def _can_name(self, n: int) -> bool:
        adapter = self._server.adapter
        return adapter.stop_turn is not None and bool(self._turns.get(n) or adapter.chooses_turn)

    async def _stop(self, n: int, names_turn: bool, *, late: bool = False) -> None:
        adapter, verb, turn = self._server.adapter, self._server.adapter.stop, ""
        if names_turn and adapter.stop_turn is not None and self._can_name(n):
            verb, turn = adapter.stop_turn, self._turns.get(n) or f"{self._session}-{n}"
        asked = time.monotonic()
        status, answer = await self._server.ask(verb.fill(session=self._session, turn=turn))
        said = adapter.says_stopped(status, answer)
        stopped = Stopped(self._session, n, asked, time.monotonic(), status, said, late)
        self._log.stops.append(stopped)

    async def _read_some(self, n: int, count: int) -> None:
        """Wait for the first tokens of an answer; not for ever."""
        pace = self._plan.pace

        def seen() -> bool:
            name = self._upstream.id_of(self._session, n)
            return sum(request == name for request, _ in self._reader.tokens) >= count

        await self._reader.until(seen, pace.first + count * pace.token + pace.patience / 3)

    async def _read_to_the_end(self, n: int, also: int | None = None) -> None:
        """Wait for the last token of an answer. ``also``: an answer that may have to end before it."""
        pace, length = self._plan.pace, self._plan.lengths[self._session, n]
        tokens = length + (0 if also is None else self._plan.lengths[self._session, also])

        def seen() -> bool:
            return (self._upstream.id_of(self._session, n), length - 1) in self._reader.tokens[-length:]

        await self._reader.until(seen, pace.first + tokens * pace.token + pace.patience)

    async def _watch(self) -> None:
        """After a Stop: watch for a moment whether the answer goes on."""
        await asyncio.sleep(8 * self._plan.pace.token)


async def unleash(plan: Plan, server: Server, upstream: Upstream, log: Log, seconds: float) -> None:
    """Let the whole crowd live, at most that long; who is not done by then is counted."""
    tasks = [asyncio.create_task(Impatient(user, plan, server, upstream, log).live()) for user in plan.users]
    try:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        log.out_of_time = len(late)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
