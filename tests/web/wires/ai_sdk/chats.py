"""A chat of the AI SDK, over HTTP, by hand: what it sends, and what it reads of a stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.web.fakes_web import Answer, Door, Stream
from tests.web.wires.ai_sdk.client import DONE, ClientMessage, chunk_of


def sends(text: str, message_id: str, chat: str = "c1", **more: Any) -> dict[str, Any]:
    """The body of a send."""
    message = {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": chat, "messages": [message], "trigger": "submit-message", **more}


class Reply(Stream):
    """A stream that is being read, and the message that is made of it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__(response)
        self.message = ClientMessage()

    async def chunk(self) -> Any:
        """The next chunk, which its message has then; `DONE` at the end."""
        chunk = chunk_of(await self.next())
        if chunk != DONE:
            self.message.take([chunk])
        return chunk

    async def of_kind(self, kind: str) -> Any:
        """The next chunk of that kind."""
        while (chunk := await self.chunk())["type"] != kind:
            pass
        return chunk

    async def whole(self) -> ClientMessage:
        """The message, at the end of its stream."""
        while await self.chunk() != DONE:
            pass
        assert await self.rest() == []
        return self.message

    @property
    def turn_id(self) -> str:
        """The turn that it is."""
        turn_id = self.message.metadata["activeStreamId"]
        assert isinstance(turn_id, str)
        return turn_id


class ChatApi:
    """The routes of a chat."""

    def __init__(self, door: Door, token: str | None = None) -> None:
        self.door = door
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def sent(self, text: str = "hello", message_id: str = "m1", **more: Any) -> AsyncIterator[Reply]:
        """Send a message; the reply, of which the first chunk is read."""
        url, body = self.door.url("/api/chat"), sends(text, message_id, **more)
        async with self.door.client.post(url, json=body, headers=self._headers) as response:
            yield await _begun(response)

    @asynccontextmanager
    async def resumed(self, chat: str = "c1", query: str = "") -> AsyncIterator[Reply]:
        """Resume; the reply, of which the first chunk is read."""
        url = self.door.url(f"/api/chat/{chat}/stream{query}")
        async with self.door.client.get(url, headers=self._headers) as response:
            yield await _begun(response)

    async def post(self, body: Any, **headers: str) -> Answer:
        """A send that is refused; ``headers`` with ``_`` for ``-``."""
        named = {name.replace("_", "-"): each for name, each in headers.items()}
        return await self.door.post("/api/chat", json=body, headers={**self._headers, **named})

    async def resume(self, chat: str = "c1", query: str = "") -> Answer:
        """A resume that comes to nothing."""
        return await self.door.get(f"/api/chat/{chat}/stream{query}", headers=self._headers)

    async def opened(self, chat: str = "c1", query: str = "") -> dict[str, Any]:
        """What a page opens the chat with."""
        answer = await self.door.get(f"/api/chat/{chat}{query}", headers=self._headers)
        assert answer.status == 200, answer.text
        assert isinstance(answer.body, dict)
        return answer.body

    async def stop(self, chat: str = "c1", **body: Any) -> dict[str, Any]:
        """What a stop came to."""
        answer = await self.door.post(f"/api/chat/{chat}/stop", json=body or None, headers=self._headers)
        assert answer.status == 200, answer.text
        assert isinstance(answer.body, dict)
        return answer.body

    async def reply(self, text: str = "hello", message_id: str = "m1", **more: Any) -> ClientMessage:
        """The whole reply to a message."""
        async with self.sent(text, message_id, **more) as reply:
            return await reply.whole()


async def _begun(response: aiohttp.ClientResponse) -> Reply:
    assert response.status == 200, await response.text()
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert response.content_type == "text/event-stream"
    reply = Reply(response)
    assert (await reply.chunk())["type"] == "start"
    assert reply.message.id == reply.turn_id
    return reply
