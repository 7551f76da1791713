"""A reader of a server whose answer to a send is the stream of its reply."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

import aiohttp

from turnkeeper.web.client.sse_parser import StreamEvent

from .adapters.events import Said
from .adapters.verb import Call
from .log import Reply, StreamEnd
from .reader import TRY_AGAIN, Reader, Sent
from .target import Target
from .tokens import TokenFinder

NOTHING_LEFT = {204, 404, 410}
"""The statuses by which a server says that there is nothing to come back to."""


class Answer:
    """What came of one reply, over all its connections."""

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.task: asyncio.Task[None] | None = None
        self.cursor = ""
        self.tokens: list[tuple[str, int]] = []
        self.forgotten: list[tuple[str, int]] = []
        self.found = TokenFinder()
        self.end: StreamEnd | None = StreamEnd.OPEN
        self.gone: float | None = None

    def hear(self, said: Said) -> list[tuple[str, int]]:
        """Take in what one event says; the tokens that it completes."""
        found = self.found.feed(said.text)
        self.tokens += found
        self.cursor = said.cursor or self.cursor
        if said.ends:
            self.end = StreamEnd.MARKED
        return found

    def forget(self) -> None:
        """The reply begins again."""
        self.forgotten += self.tokens
        self.tokens, self.found = [], TokenFinder()


class AnswerReader(Reader):
    """Reads each answer for as long as it lasts, hangs up, and comes back for the rest."""

    def __init__(self, target: Target, session: str) -> None:
        super().__init__(target, session)
        self._answers: dict[int, Answer] = {}
        # Where no event says that it is the last one, the end of the stream does.
        self._closed = StreamEnd.CLOSED if target.adapter.events.end else StreamEnd.MARKED

    async def send(self, n: int, call: Call) -> None:
        """Send message ``n``, and wait for the beginning of its answer, or until the user hangs up."""
        now = time.monotonic()
        sent = self.sent[n] = Sent(now, now)
        answer = self._answers[n] = Answer(sent)
        answer.task = asyncio.create_task(self._ask(n, answer, call))
        await self.until(lambda: sent.status is not None or answer.end is None, self._target.pace.patience)

    async def come(self) -> None:
        """Come back to the last reply, if its stream was dropped and it is not over."""
        if not self._answers or not self._target.adapter.can_come_back:
            return
        n = max(self._answers)
        answer = self._answers[n]
        if answer.task is None and answer.end is StreamEnd.OPEN:
            answer.task = asyncio.create_task(self._come_back(n, answer))

    async def leave(self) -> None:
        """Drop all connections."""
        for answer in self._answers.values():
            await _drop(answer)

    async def finish(self) -> None:
        """Wait for the ends of the streams that are still read, as long as a turn may go on after a Stop."""
        pace = self._target.pace
        await self.until(lambda: not any(map(_is_read, self._answers.values())), pace.lost_after + pace.token)

    async def hang_up(self, n: int) -> None:
        """Drop the stream of that reply for good."""
        answer = self._answers[n]
        if answer.end is StreamEnd.OPEN:
            answer.end = None
        await _drop(answer)
        self._changed.set()

    @property
    def tokens(self) -> list[tuple[str, int]]:
        """The tokens, in the order of the messages."""
        return [each for _, answer in sorted(self._answers.items()) for each in answer.tokens]

    def is_over(self, n: int) -> bool:
        """Whether the end of that reply has come."""
        return n in self._answers and self._answers[n].end is not StreamEnd.OPEN

    def replies(self) -> Iterable[Reply]:
        """The streams of the replies."""
        return [Reply(n=n, end=each.end, gone=each.gone) for n, each in self._answers.items()]

    @property
    def forgotten(self) -> list[tuple[str, int]]:
        """The tokens of which the server said that they come again."""
        return [each for answer in self._answers.values() for each in answer.forgotten]

    # -- one connection -----------------------------------------------------------------------------

    async def _ask(self, n: int, answer: Answer, call: Call) -> None:
        """Send, and read the answer to its end. Cancelling it hangs up."""
        end: StreamEnd | None = None  # a refusal has no stream
        status = 0
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(self._target.pace.patience) as waiting:
                async with self._target.request(call) as response:
                    status = response.status
                    self._answered(answer, status)
                    waiting.reschedule(None)
                    if 200 <= status < 300:
                        end = self._closed
                        await self._read(n, answer, response)
        if not status:
            self._answered(answer, 0)
        self._over(answer, end)

    async def _come_back(self, n: int, answer: Answer) -> None:
        """Read the rest of the reply. Cancelling it hangs up."""
        adapter = self._target.adapter
        end: StreamEnd | None = None
        while end is None and (n in self.turns or not adapter.comes_back_to_turn):
            call = adapter.read(self._session, answer.cursor, self.turns.get(n, ""))
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._target.request(call) as response:
                    if response.status == 200:
                        end = self._closed
                        await self._read(n, answer, response)
                    elif response.status in NOTHING_LEFT:
                        answer.gone = time.monotonic()
                        break
            if end is None:
                await asyncio.sleep(TRY_AGAIN)
        self._over(answer, end)

    async def _read(self, n: int, answer: Answer, response: aiohttp.ClientResponse) -> None:
        begun = False
        async for events, last_id in self._events(response):
            for event in events:
                begun = self._take(n, answer, event, begun=begun)
            if not self._target.adapter.events.cursor:
                answer.cursor = last_id or answer.cursor

    def _take(self, n: int, answer: Answer, event: StreamEvent, *, begun: bool) -> bool:
        """Take in an event; whether the connection has said that the reply begins."""
        adapter = self._target.adapter
        said = adapter.events.read(event.name, event.text)
        if said.begins_again and not begun:
            answer.forget()
        self._note(answer.hear(said))
        if turn := adapter.turn_of(said.data):
            self.turns.setdefault(n, turn)
        return begun or said.begins_again

    def _answered(self, answer: Answer, status: int) -> None:
        answer.sent.status, answer.sent.answered = status, time.monotonic()
        self._changed.set()

    def _over(self, answer: Answer, end: StreamEnd | None) -> None:
        if answer.end is StreamEnd.OPEN:
            answer.end = end
        self._changed.set()


def _is_read(answer: Answer) -> bool:
    return answer.task is not None and answer.end is StreamEnd.OPEN


async def _drop(answer: Answer) -> None:
    """End the connection, if there is one."""
    task, answer.task = answer.task, None
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
