"""A chat server as most write their first one: a dict of tasks, a flag for Stop, a queue for the stream.

The audit has to find its faults. Also a script: ``python tests/web/audit/naive_server.py PORT UPSTREAM``.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web


def make_app(upstream: str) -> web.Application:
    tasks: dict[str, asyncio.Task[None]] = {}
    stopped: dict[str, bool] = {}
    queues: dict[str, asyncio.Queue[str]] = {}
    started: list[asyncio.Task[None]] = []  # only for the end: a test leaves nothing behind

    async def run(session: str, message: str) -> None:
        asked = {"model": "any", "stream": True, "messages": [{"role": "user", "content": message}]}
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{upstream}/chat/completions", json=asked) as answer,
        ):
            async for line in answer.content:
                if stopped[session]:
                    return
                if line.startswith(b"data: {"):
                    text = json.loads(line[6:])["choices"][0]["delta"].get("content")
                    if text and session in queues:
                        queues[session].put_nowait(text)

    async def send(request: web.Request) -> web.Response:
        body = await request.json()
        session = body["session"]
        stopped[session] = False
        tasks[session] = asyncio.create_task(run(session, body["message"]))
        started.append(tasks[session])
        return web.json_response({"status": "ok"})

    async def stop(request: web.Request) -> web.Response:
        stopped[(await request.json())["session"]] = True
        return web.json_response({"status": "stopped"})

    async def stream(request: web.Request) -> web.StreamResponse:
        queue = queues[request.match_info["session"]] = asyncio.Queue[str]()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                text = json.dumps({"text": await queue.get()})
                await response.write(f"data: {text}\n\n".encode())
        return response

    return served(send, stop, stream, started)


def served(send: Any, stop: Any, stream: Any, tasks: list[asyncio.Task[None]]) -> web.Application:
    async def end(_app: web.Application) -> AsyncIterator[None]:
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = web.Application()
    app.cleanup_ctx.append(end)
    app.router.add_post("/send", send)
    app.router.add_post("/stop", stop)
    app.router.add_get("/stream/{session}", stream)
    return app


if __name__ == "__main__":
    web.run_app(make_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), print=None)
