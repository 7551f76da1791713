import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from turnkeeper.web.audit.log import AuditLog, RequestEnd
from turnkeeper.web.audit.plan import Pace, Plan, message
from turnkeeper.web.audit.tokens import TOKEN
from turnkeeper.web.audit.upstream import UNMARKED_LENGTH, Upstream

PLAN = Plan((), {("s", 0): 5, ("s", 1): 10_000}, Pace(token=0.002))


class Model:
    def __init__(self, base: str, log: AuditLog, upstream: Upstream, client: aiohttp.ClientSession) -> None:
        self.base, self.log, self.upstream, self.client = base, log, upstream, client

    def ask(self, content: Any, **more: Any) -> Any:
        body = {"model": "any", "messages": [{"role": "user", "content": content}], **more}
        return self.client.post(f"{self.base}/chat/completions", json=body)


@asynccontextmanager
async def a_model() -> AsyncGenerator[Model]:
    log = AuditLog()
    upstream = Upstream(PLAN, log)
    async with upstream.serving(0) as base, aiohttp.ClientSession() as client:
        yield Model(base, log, upstream, client)


def chunks(text: str) -> list[Any]:
    *lines, last = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert last == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_it_streams_numbered_tokens_as_clients_of_openai_expect_them() -> None:
    async with a_model() as model:
        options = {"include_usage": True}
        async with model.ask(message("s", 0), stream=True, stream_options=options) as answer:
            assert answer.content_type == "text/event-stream"
            *deltas, end, usage = chunks(await answer.text())
        (request,) = model.log.requests
        text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in deltas)
        assert TOKEN.findall(text) == [(request.id, str(k)) for k in range(5)]
        assert end["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 5)
        assert (request.session, request.n, request.end) == ("s", 0, RequestEnd.FINISHED)
        assert len(request.tokens) == 5
        assert request.began < request.tokens[0] < request.tokens[-1] <= request.ended
        assert request.tokens[0] - request.began >= PLAN.pace.first
        assert model.upstream.id_of("s", 0) == request.id
        assert model.upstream.id_of("s", 1) is None


async def test_it_answers_in_one_piece_a_client_that_does_not_stream() -> None:
    async with a_model() as model:
        parts = [{"type": "text", "text": "so:"}, {"type": "text", "text": message("s", 0)}]
        async with model.ask(parts) as answer:
            body = await answer.json()
        assert TOKEN.findall(body["choices"][0]["message"]["content"])[-1] == (model.log.requests[0].id, "4")
        assert body["usage"]["completion_tokens"] == 5
        assert model.log.requests[0].end is RequestEnd.FINISHED


async def test_it_sees_at_once_that_a_client_hangs_up() -> None:
    async with a_model() as model:
        async with model.ask(message("s", 1), stream=True) as answer:
            await answer.content.readline()
        # The next one to come sees it, whatever the loop knows by then.
        async with model.ask(message("s", 0)) as answer:
            await answer.read()
        left, whole = model.log.requests
        assert left.end is RequestEnd.CLIENT_LEFT
        assert left.ended <= whole.began
        assert 1 <= len(left.tokens) < 5_000
        assert whole.end is RequestEnd.FINISHED


async def test_what_still_runs_at_the_end_has_not_stopped() -> None:
    async with a_model() as model, model.ask(message("s", 1), stream=True) as answer:
        await answer.content.readline()
        model.upstream.close()
        (request,) = model.log.requests
        assert request.end is RequestEnd.AUDIT_OVER
        made = len(request.tokens)
        assert b"[DONE]" not in await answer.content.read()
        assert len(request.tokens) == made, "nothing is written down once the audit is over"


@pytest.mark.parametrize("content", ["make a title", message("stranger", 0), message("s", 9)])
async def test_what_is_not_of_this_audit_is_answered_and_only_counted(content: str) -> None:
    async with a_model() as model:
        async with model.ask(content, stream=True) as answer:
            assert len(chunks(await answer.text())) == UNMARKED_LENGTH + 1
        assert (model.log.requests, model.log.unmarked) == ([], 1)


async def test_the_users_last_message_counts_not_the_history() -> None:
    async with a_model() as model:
        history = [
            {"role": "user", "content": message("s", 1)},
            {"role": "assistant", "content": "..."},
            {"role": "user", "content": message("s", 0)},
            {"role": "system", "content": message("s", 1)},
        ]
        async with model.ask("", messages=history) as answer:
            await answer.read()
        assert [request.n for request in model.log.requests] == [0]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"messages": 1}', b'{"messages": [1]}'])
async def test_what_is_no_request_is_refused(body: bytes) -> None:
    async with a_model() as model:
        async with model.client.post(f"{model.base}/chat/completions", data=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["type"] == "invalid_request_error"
        assert model.log == AuditLog()


async def test_it_names_its_model() -> None:
    async with a_model() as model, model.client.get(f"{model.base}/models") as answer:
        assert [each["id"] for each in (await answer.json())["data"]] == ["audit"]


async def test_a_client_that_leaves_before_the_first_byte_is_no_error() -> None:
    async with a_model() as model:
        asking = asyncio.ensure_future(model.ask(message("s", 1), stream=True).__aenter__())
        while not model.log.requests:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        async with model.ask(message("s", 0)) as answer:
            await answer.read()
        assert model.log.requests[0].end is RequestEnd.CLIENT_LEFT
