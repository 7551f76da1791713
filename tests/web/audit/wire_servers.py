"""Small servers whose answer to a send is the stream: good ones, and ones with a flaw.

A good one keeps one turn in flight in each session, and stops a turn by closing the connection to the model.
The audit has to find each flaw, and nothing in a good one.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any

import aiohttp
from aiohttp import web

Write = Callable[[dict[str, Any]], bytes]


class Flaw(Enum):
    """What may be wrong with a server."""

    NONE = auto()
    GOES_ON = auto()  # what was stopped is generated to its end
    OVERLAPS = auto()  # the next turn begins beside the one that runs
    BUFFERS = auto()  # a reply comes when it is complete
    LOSES = auto()  # who comes back misses two tokens
    REPEATS = auto()  # who comes back gets again what came before, and is not told
    HITS_NEXT = auto()  # a Stop stops what runs, whatever it names
    LEAVES_OPEN = auto()  # the stream of a turn that was stopped does not end
    CUTS_OFF = auto()  # the stream ends after the last token, without its last event
    FORGETS = auto()  # who comes back is told that nothing runs


class Turn:
    """A reply in the making: what the model has said, and whether that is all."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.texts: list[str] = []
        self.status = "in_progress"
        self.task: asyncio.Task[None] | None = None
        self.changed = asyncio.Condition()

    @property
    def over(self) -> bool:
        return self.status != "in_progress"

    async def generate(self, upstream: str, text: str) -> None:
        """Ask the model. Cancelling it hangs up."""
        asked = {"model": "any", "stream": True, "messages": [{"role": "user", "content": text}]}
        status = "cancelled"
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.post(f"{upstream}/chat/completions", json=asked) as answer,
            ):
                async for line in answer.content:
                    if line.startswith(b"data: {"):
                        said = json.loads(line[6:])["choices"][0]["delta"].get("content")
                        await self._tell(said)
            status = "completed"
        finally:
            self.status = status
            await self._tell(None)

    async def _tell(self, text: str | None) -> None:
        async with self.changed:
            if text:
                self.texts.append(text)
            self.changed.notify_all()

    async def wait_for(self, more_than: int | None) -> None:
        """Wait for more texts than that, or for the end; ``None`` waits for the end."""
        async with self.changed:
            while not self.over and (more_than is None or len(self.texts) <= more_than):
                await self.changed.wait()

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.status = "completed" if self.status == "completed" else "cancelled"


class Chats:
    """The turns of all sessions: at most one in flight in each."""

    def __init__(self, upstream: str, flaw: Flaw) -> None:
        self.upstream = upstream
        self.flaw = flaw
        self.latest: dict[str, Turn] = {}
        self.turns: dict[str, tuple[str, Turn]] = {}
        self._names = itertools.count()
        self._locks: dict[str, asyncio.Lock] = {}

    async def begin(self, session: str, text: str) -> Turn:
        async with self._locks.setdefault(session, asyncio.Lock()):
            if session in self.latest and self.flaw not in (Flaw.OVERLAPS, Flaw.GOES_ON):
                await self.latest[session].stop()
            turn = self.latest[session] = Turn(f"turn_{next(self._names)}")
            self.turns[turn.id] = session, turn
            turn.task = asyncio.create_task(turn.generate(self.upstream, text))
            return turn

    async def stop(self, turn: Turn) -> None:
        if self.flaw is not Flaw.GOES_ON:
            await turn.stop()

    async def follow(
        self, turn: Turn, after: int = 0, *, again: bool = False
    ) -> AsyncIterator[tuple[int, str]]:
        """The texts, each with its number from 1 on, as they come; it ends with the turn."""
        if again and self.flaw is Flaw.LOSES:
            after += 2
        if again and self.flaw is Flaw.REPEATS:
            after = 0
        while not (turn.over and after >= len(turn.texts)):
            await turn.wait_for(None if self.flaw is Flaw.BUFFERS else after)
            for text in turn.texts[after:]:
                after += 1
                yield after, text
        if self.flaw is Flaw.LEAVES_OPEN and turn.status == "cancelled":
            await asyncio.Event().wait()

    async def end(self, _app: web.Application) -> AsyncIterator[None]:
        yield
        for _, turn in self.turns.values():
            await turn.stop()


async def stream(request: web.Request, events: AsyncIterator[Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    with suppress(ConnectionError):  # the reader has gone
        async for event in events:
            text = event if isinstance(event, str) else json.dumps(event)
            await response.write(f"data: {text}\n\n".encode())
    return response


# -- OpenAI: Chat Completions ---------------------------------------------------------------------


def completions(upstream: str, flaw: Flaw) -> web.Application:
    """Hanging up stops the turn."""
    chats = Chats(upstream, flaw)

    async def events(turn: Turn) -> AsyncIterator[Any]:
        head = {"id": turn.id, "object": "chat.completion.chunk", "created": 0, "model": "any"}
        async for _, text in chats.follow(turn):
            delta = {"role": "assistant", "content": text}
            yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        if flaw is not Flaw.CUTS_OFF:
            yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            yield "[DONE]"

    async def send(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        turn = await chats.begin(request.headers["X-OpenWebUI-Chat-Id"], body["messages"][-1]["content"])
        try:
            return await stream(request, events(turn))
        finally:
            if not turn.over:
                await chats.stop(turn)

    app = web.Application()
    app.cleanup_ctx.append(chats.end)
    app.router.add_post("/v1/chat/completions", send)
    return app


# -- OpenAI: Responses ----------------------------------------------------------------------------


def responses(upstream: str, flaw: Flaw) -> web.Application:
    """In the background a request stops the turn, and one can come back; else hanging up stops it."""
    chats = Chats(upstream, flaw)
    names = itertools.count()

    def shown(turn: Turn) -> dict[str, Any]:
        return {"id": turn.id, "object": "response", "status": turn.status, "model": "any", "output": []}

    async def events(turn: Turn, after: int, *, again: bool) -> AsyncIterator[Any]:
        """Event 0 is the first one, event k the text number k."""
        if after < 0:
            yield {"type": "response.created", "response": shown(turn), "sequence_number": 0}
        where = {"item_id": "msg", "output_index": 0, "content_index": 0, "logprobs": []}
        last = 0
        async for last, text in chats.follow(turn, max(after, 0), again=again):
            delta = {"type": "response.output_text.delta", "delta": text, "sequence_number": last}
            yield delta | where
        if flaw is not Flaw.CUTS_OFF:
            kind = "response.completed" if turn.status == "completed" else "response.incomplete"
            yield {"type": kind, "response": shown(turn), "sequence_number": last + 1}

    async def create(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        turn = await chats.begin(body["conversation"], body["input"])
        try:
            return await stream(request, events(turn, -1, again=False))
        finally:
            if not body.get("background") and not turn.over:
                await chats.stop(turn)

    async def come_back(request: web.Request) -> web.StreamResponse:
        if flaw is Flaw.FORGETS:
            raise web.HTTPNotFound
        _, turn = chats.turns[request.match_info["id"]]
        return await stream(request, events(turn, int(request.query["starting_after"]), again=True))

    async def cancel(request: web.Request) -> web.Response:
        session, turn = chats.turns[request.match_info["id"]]
        if flaw is Flaw.HITS_NEXT:
            turn = chats.latest[session]
        await chats.stop(turn)
        return web.json_response(shown(turn) | ({"status": "cancelled"} if flaw is Flaw.GOES_ON else {}))

    async def open_(_request: web.Request) -> web.Response:
        return web.json_response({"id": f"conv_{next(names)}", "object": "conversation"})

    app = web.Application()
    app.cleanup_ctx.append(chats.end)
    app.router.add_post("/v1/conversations", open_)
    app.router.add_post("/v1/responses", create)
    app.router.add_get("/v1/responses/{id}", come_back)
    app.router.add_post("/v1/responses/{id}/cancel", cancel)
    return app


# -- Vercel's AI SDK ------------------------------------------------------------------------------


def ai_sdk(upstream: str, flaw: Flaw) -> web.Application:
    """A request stops the turn; who comes back gets the reply from its beginning."""
    chats = Chats(upstream, flaw)

    async def events(turn: Turn, *, again: bool) -> AsyncIterator[Any]:
        if not (again and flaw is Flaw.REPEATS):
            about = {"activeStreamId": turn.id}
            yield {"type": "start", "messageId": turn.id, "messageMetadata": about}
        yield {"type": "text-start", "id": "0"}
        async for _, text in chats.follow(turn, again=again):
            yield {"type": "text-delta", "id": "0", "delta": text}
        yield {"type": "text-end", "id": "0"}
        if flaw is not Flaw.CUTS_OFF:
            yield {"type": "finish" if turn.status == "completed" else "abort"}
            yield "[DONE]"

    async def send(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        turn = await chats.begin(body["id"], body["messages"][-1]["parts"][0]["text"])
        return await stream(request, events(turn, again=False))

    async def come_back(request: web.Request) -> web.StreamResponse:
        turn = chats.latest.get(request.match_info["id"])
        if turn is None or turn.over or flaw is Flaw.FORGETS:
            raise web.HTTPNoContent
        return await stream(request, events(turn, again=True))

    async def stop(request: web.Request) -> web.Response:
        turn = chats.latest.get(request.match_info["id"])
        named = (await request.json()).get("activeStreamId")
        if turn is not None and (flaw is Flaw.HITS_NEXT or named in (None, turn.id)):
            await chats.stop(turn)
        return web.json_response({"success": True})

    app = web.Application()
    app.cleanup_ctx.append(chats.end)
    app.router.add_post("/api/chat", send)
    app.router.add_get("/api/chat/{id}/stream", come_back)
    app.router.add_post("/api/chat/{id}/stop", stop)
    return app
