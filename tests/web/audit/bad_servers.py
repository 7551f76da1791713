"""Servers that lie, or do nothing, behind the API of the naive one: the audit must not be taken in by any."""

import asyncio
import json

import aiohttp
from aiohttp import web

from tests.web.audit.naive_server import served


def lying(upstream: str) -> web.Application:
    """Works one message after the other, says at once that it has stopped, and generates on."""
    tasks: list[asyncio.Task[None]] = []
    texts: dict[str, list[str]] = {}
    news = asyncio.Event()

    async def run(session: str, message: str) -> None:
        asked = {"model": "any", "stream": True, "messages": [{"role": "user", "content": message}]}
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{upstream}/chat/completions", json=asked) as answer,
        ):
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    texts.setdefault(session, []).append(
                        json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                    )
                    news.set()
                    news.clear()

    async def send(request: web.Request) -> web.Response:
        body = await request.json()
        tasks.append(asyncio.create_task(run(body["session"], body["message"])))
        return web.json_response({"status": "ok"})

    async def stream(request: web.Request) -> web.StreamResponse:
        mine = texts.setdefault(request.match_info["session"], [])
        at = int(request.headers.get("Last-Event-ID", "0"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            for text in mine[at:]:
                at += 1
                await response.write(f"id: {at}\ndata: {json.dumps({'text': text})}\n\n".encode())
            await news.wait()

    return served(send, say_stopped, stream, tasks)


async def say_stopped(_request: web.Request) -> web.Response:
    return web.json_response({"status": "stopped"})


async def say_ok(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def refuse(_request: web.Request) -> web.Response:
    return web.json_response({"error": "busy"}, status=409)


async def say_nothing(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPNoContent


def idle() -> web.Application:
    """Says yes to everything and never asks a model."""
    return served(say_ok, say_stopped, say_nothing, [])


def refusing() -> web.Application:
    """Is busy."""
    return served(refuse, say_stopped, say_nothing, [])


def canned() -> web.Application:
    """Never asks a model, and streams events that look like its tokens."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for k in range(20):
            await response.write(f'data: {{"text": "[0123abcd-{k}] "}}\n\n'.encode())
        return response

    return served(say_ok, say_stopped, stream, [])
