import asyncio
import gzip
import json
import logging
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import turnkeeper.web
from tests.fakes import names, opened, waiting
from tests.web.agents.upstream import USAGE, Call, Upstream, says, upstream
from tests.web.fakes_web import PATIENCE, serving
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.exceptions import InvalidRequest, PartNotTaken, TurnFailed
from turnkeeper.actors.model.records import Usage
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.testing import cancel_at_every_await
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.agents import openai as openai_agent
from turnkeeper.web.agents import openai_client
from turnkeeper.web.agents.openai import OpenAIAgent
from turnkeeper.web.agents.upstream_errors import UpstreamError, UpstreamTimeout
from turnkeeper.web.command import cli

KEY = "sk-secret-of-the-host"
#: What the upstream says of itself, which must go no further.
SECRET = "internal-host-7 said no"
#: Seconds that an upstream may be silent where a test lets it be. Where the machine is too slow for what has
#: to come before, it is tried again with the next.
SHORT = (0.05, 1.0, 20.0)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in os.environ if name.startswith("OPENAI_") or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)


class Talk:
    """A registry whose default agent asks the upstream."""

    def __init__(self, registry: SessionRegistry, server: Upstream) -> None:
        self.registry = registry
        self.upstream = server

    async def history(self, session: str = "s") -> list[Any]:
        """What the session's context keeps."""
        return [*(await self.registry.messages(session)).messages]

    async def asked(self, message: Any = "hello") -> Call:
        """Send a message; the request that came of it."""
        await self.registry.send("s", message)
        return await self.upstream.call()

    async def events(self, turns: int = 1) -> list[Event]:
        """The session's events from its beginning until so many turns have ended."""
        subscription = await self.registry.subscribe("s", after="0")
        try:
            events: list[Event] = []
            while sum(map(is_end, events)) < turns:
                events += await read(subscription)
            return events
        finally:
            subscription.close()

    async def failed(self) -> dict[str, Any]:
        """What clients received of the upstream's failure, which is what the turn ended with."""
        events = await self.events()
        assert names(events)[-2:] == ["upstream_error", "turn.failed"]
        failure: dict[str, Any] = events[-2].data
        assert events[-1].data["error"]["code"] == failure["code"]
        everything = "".join(event.json for event in events)
        assert KEY not in everything
        assert SECRET not in everything
        return failure


async def read(subscription: Subscription) -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        return await subscription.read()


def is_end(event: Event) -> bool:
    return event.name.startswith("turn.") and event.name not in ("turn.started", "turn.queued")


async def spy(turn: Turn) -> list[Any]:
    messages: list[Any] = turn.context.messages
    return messages


@asynccontextmanager
async def talking(
    answer: Any = None, *, load_context: Any = None, conversation_bytes: int = 1 << 22, **options: Any
) -> AsyncGenerator[Talk, None]:
    async with (
        upstream(answer) as server,
        OpenAIAgent("mini", server.base_url, KEY, **options) as agent,
        opened(
            {"default": agent, "spy": spy}, load_context=load_context, conversation_bytes=conversation_bytes
        ) as registry,
    ):
        yield Talk(registry, server)


# -- A conversation ---------------------------------------------------------------------------------


async def test_a_reply_streams_as_it_comes_and_the_conversation_is_kept() -> None:
    async with talking(system="Be short.", temperature=0.5, options={"max_tokens": 9}) as talk:
        subscription = await talk.registry.subscribe("s")
        receipt = await talk.registry.send("s", "hello")
        call = await talk.upstream.call()
        assert call.body == {
            "model": "mini",
            "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hello"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
            "max_tokens": 9,
        }
        assert call.request.headers["Authorization"] == f"Bearer {KEY}"
        events: list[Event] = []
        for count, piece in enumerate(["one ", "two"], 1):
            await call.say(piece)
            while names(events).count("delta") < count:
                events += await read(subscription)
        await call.finish()
        assert await receipt.result() == "one two"
        assert (await receipt.ended()).usage == Usage(7, 3)
        events += waiting(subscription)
        assert [event.data["text"] for event in events if event.name == "delta"] == call.sent
        assert names(events)[-2:] == ["usage", "turn.completed"]
        assert events[-2].data == USAGE
        subscription.close()
        assert await talk.history() == [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "one two", "usage": USAGE},
        ]


async def test_the_next_message_is_sent_with_the_conversation_so_far() -> None:
    async with talking(says("fine")) as talk:
        await (await talk.registry.send("s", "how are you?")).result()
        await (await talk.registry.send("s", [{"type": "text", "text": "and now?"}])).result()
        assert talk.upstream.calls[-1].messages == [
            {"role": "user", "content": "how are you?"},
            {"role": "assistant", "content": "fine"},
            {"role": "user", "content": "and now?"},
        ]


async def test_images_are_passed_on_as_they_are() -> None:
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
    async with talking(says("a cat")) as talk:
        await (await talk.registry.send("s", parts)).result()
        assert talk.upstream.calls[0].messages == [{"role": "user", "content": parts}]


async def test_an_image_of_megabytes_is_passed_on_whole_and_again_with_the_next_message() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "Az+/" * 2_500_000}}
    async with talking(says("a cat"), conversation_bytes=1 << 24) as talk:
        for count, message in enumerate(([image], "are you sure?"), 1):
            await (await talk.registry.send("s", message)).result()
            assert len(talk.upstream.calls) == count
            assert talk.upstream.calls[-1].messages[0] == {"role": "user", "content": [image]}


async def test_what_only_the_clients_own_encoder_can_write_is_sent_too() -> None:
    """A host's own history may hold anything."""

    class Name(str):
        __slots__ = ()

    async def load(session_id: str, user: str) -> Context:
        return Context(session_id, user, messages=[{"role": Name("user"), "content": Name("hi")}])

    async with talking(says("yes"), load_context=load) as talk:
        assert await (await talk.registry.send("s", "hello")).result() == "yes"
        assert talk.upstream.calls[0].messages == [{"role": "user", "content": "hi\n\nhello"}]


async def test_a_part_that_it_does_not_take_is_refused_before_it_is_a_turn() -> None:
    async with talking(says("x")) as talk:
        with pytest.raises(PartNotTaken, match="'input_audio', but: text, image_url"):
            await talk.registry.send("s", [{"type": "input_audio", "input_audio": {}}])
        assert talk.registry.takes("spy") is None


async def test_an_unsupported_part_is_refused_before_anybody_is_asked() -> None:
    async with talking(says("x")) as talk:
        receipt = await talk.registry.send("s", [{"type": "image_url", "image_url": {}}])
        with pytest.raises(TurnFailed):
            await receipt.result()
        record = await talk.registry.turn("s", receipt.turn_id)
        assert record.error is not None
        assert record.error.code == "unsupported_message"
        assert talk.upstream.calls == []
        assert await talk.history() == [
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}], "refused": True},
            {"role": "assistant", "content": "", "cut_off": True, "error": "unsupported_message"},
        ]
        call = await talk.asked("hello")
        assert call.messages == [{"role": "user", "content": "hello"}], "it is not sent later either"


async def test_a_send_says_more_of_its_own_request_and_of_no_other() -> None:
    host: dict[str, Any] = {"system": "Be kind.", "temperature": 0.5, "options": {"max_tokens": 90}}
    async with talking(says("Hi"), **host) as talk:
        params = {"instructions": "Be short.", "temperature": 0, "max_output_tokens": 7, "metadata": {"x": 1}}
        await (await talk.registry.send("s", "hello", params=params)).result()
        await (await talk.registry.send("s", "and?")).result()
        asked, later = (call.body for call in talk.upstream.calls)
        assert asked["messages"][0] == {"role": "system", "content": "Be kind.\n\nBe short."}
        assert (asked["temperature"], asked["max_tokens"], "metadata" in asked) == (0, 7, False)
        assert (later["temperature"], later["max_tokens"]) == (0.5, 90)
        assert [each["content"] for each in later["messages"]] == ["Be kind.", "hello", "Hi", "and?"]


async def test_a_param_of_the_wrong_type_fails_the_turn_before_the_model_is_asked() -> None:
    async with talking() as talk:
        receipt = await talk.registry.send("s", "hello", params={"temperature": "hot"})
        record = await receipt.ended()
        assert record.error is not None
        assert (record.status, record.error.code) == (TurnStatus.FAILED, "unsupported_params")
        asked, reply = await talk.history()
        assert asked == {"role": "user", "content": "hello"}
        assert (reply["content"], reply["cut_off"], reply["error"]) == ("", True, "unsupported_params")
        again = await talk.asked("again")
        assert [each["content"] for each in again.body["messages"]] == ["hello\n\nagain"]
        assert len(talk.upstream.calls) == 1


async def test_a_server_that_reports_no_usage_is_fine_and_one_that_refuses_to_is_not_asked() -> None:
    async with talking(says("x", usage=None), include_usage=False) as talk:
        await (await talk.registry.send("s", "hello")).result()
        assert "stream_options" not in talk.upstream.calls[0].body
        assert "usage" not in names(await talk.events())


async def test_why_a_model_stopped_early_is_shown_and_kept() -> None:
    async def answer(call: Call) -> None:
        await call.say("to be cont")
        await call.finish(usage=None, reason="length")

    async with talking(answer) as talk:
        assert await (await talk.registry.send("s", "hello")).result() == "to be cont"
        assert (await talk.history())[-1] == {
            "role": "assistant",
            "content": "to be cont",
            "finish_reason": "length",
        }
        (shown,) = [event for event in await talk.events() if event.name == "finish_reason"]
        assert shown.data == {"reason": "length"}


@pytest.mark.parametrize("reason", ["\\ud83d", "x" * 10_000], ids=["half a character", "long"])
async def test_whatever_a_server_says_of_that_is_shown(reason: str) -> None:
    async def answer(call: Call) -> None:
        await call.say("all")
        finish = f'{{"index": 0, "delta": {{}}, "finish_reason": "{reason}"}}'
        await call.raw(f'data: {{"choices": [{finish}]}}\n\ndata: [DONE]\n\n'.encode())
        await call.end()

    async with talking(answer) as talk:
        assert await (await talk.registry.send("s", "hello")).result() == "all"
        assert "finish_reason" in names(await talk.events())


async def test_a_character_in_two_pieces_and_a_refusal_are_text_like_any() -> None:
    async def answer(call: Call) -> None:
        await call.raw(b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n')
        await call.raw(b'data: {"choices":[{"delta":{"content":"\\ude00"}}]}\n\n')
        await call.chunk({"refusal": " I will not."})
        await call.finish(usage=None)

    async with talking(answer) as talk:
        assert await (await talk.registry.send("s", "hello")).result() == "😀 I will not."


# -- Stop -------------------------------------------------------------------------------------------


async def test_a_cancel_hangs_up_on_the_model_and_keeps_what_had_arrived() -> None:
    async with talking() as talk:
        subscription = await talk.registry.subscribe("s")
        call = await talk.asked()
        await call.say("one ", "two ")
        arrived: list[Event] = []
        while names(arrived).count("delta") < 2:
            arrived += await read(subscription)
        answer = await talk.registry.cancel("s")
        assert answer.verdict is Verdict.CANCELLED
        await asyncio.wait_for(call.left.wait(), PATIENCE)
        subscription.close()

        assert await talk.history() == [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "one two ", "cut_off": True},
        ]
        await talk.asked("go on")
        assert talk.upstream.calls[-1].messages == [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "one two "},
            {"role": "user", "content": "go on"},
        ]


async def test_a_cancel_before_the_model_has_said_anything_hangs_up_too() -> None:
    async with talking() as talk:
        call = await talk.asked("one")
        assert (await talk.registry.cancel("s")).verdict is Verdict.CANCELLED
        await asyncio.wait_for(call.left.wait(), PATIENCE)
        assert await talk.history() == [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "", "cut_off": True},
        ]
        call = await talk.asked("two")
        assert call.messages == [{"role": "user", "content": "one\n\ntwo"}], "no two messages in a row"


async def test_a_second_message_hangs_up_on_the_first_ones_model_before_it_asks() -> None:
    async with talking() as talk:
        first = await talk.asked("one")
        await first.say("so")
        second = await talk.asked("no, two")
        await asyncio.wait_for(first.left.wait(), PATIENCE)
        await second.say("two")
        await second.finish()
        assert names(await talk.events(2))[-1] == "turn.completed"


async def test_from_the_cancel_to_the_upstream_that_sees_it_is_well_under_100_ms() -> None:
    took: list[float] = []
    async with talking() as talk:
        for _ in range(25):
            call = await talk.asked()
            await call.say("one ")
            asked_at = time.perf_counter()
            await talk.registry.cancel("s")
            await asyncio.wait_for(call.left.wait(), PATIENCE)
            assert call.left_at is not None
            took.append(call.left_at - asked_at)
    assert statistics.median(took) < 0.1, took


async def test_a_cancel_that_a_library_took_for_its_own_timeout_is_a_cancel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = asyncio.Event()

    async def swallows(*_args: Any) -> UpstreamError:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return UpstreamTimeout()

    monkeypatch.setattr(OpenAIAgent, "_ask", swallows)
    async with talking() as talk:
        await talk.registry.send("s", "hello")
        await started.wait()
        assert (await talk.registry.cancel("s")).verdict is Verdict.CANCELLED
        assert (await talk.history())[-1] == {"role": "assistant", "content": "", "cut_off": True}


# -- What goes wrong upstream -----------------------------------------------------------------------


def kept(history: list[Any]) -> dict[str, Any]:
    """The reply in the history."""
    reply: dict[str, Any] = history[-1]
    assert (reply["role"], reply["cut_off"]) == ("assistant", True)
    return reply


async def test_an_upstream_that_is_silent_before_its_headers_ends_the_turn() -> None:
    for timeout in SHORT:
        async with talking(timeout=timeout) as talk:
            await talk.registry.send("s", "hello")
            assert (await talk.failed())["code"] == "upstream_timeout"
            assert kept(await talk.history()) == {
                "role": "assistant",
                "content": "",
                "cut_off": True,
                "error": "upstream_timeout",
            }
            if talk.upstream.calls:
                await asyncio.wait_for(talk.upstream.calls[0].left.wait(), PATIENCE)
                break
    assert talk.upstream.calls


async def test_an_upstream_that_falls_silent_in_the_middle_ends_the_turn_and_what_it_said_is_kept() -> None:
    for timeout in SHORT:
        async with talking(lambda call: call.say("one "), timeout=timeout) as talk:
            await talk.registry.send("s", "hello")
            assert (await talk.failed())["code"] == "upstream_timeout"
            said = kept(await talk.history())["content"]
            if said:
                await asyncio.wait_for(talk.upstream.calls[0].left.wait(), PATIENCE)
                break
    assert said == "one "


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "upstream_refused"), (401, "upstream_unauthorized"), (403, "upstream_unauthorized"),
     (404, "upstream_not_found"), (408, "upstream_timeout"), (409, "upstream_refused"),
     (413, "upstream_refused"), (429, "upstream_rate_limited"), (500, "upstream_unavailable"),
     (503, "upstream_unavailable"), (504, "upstream_timeout"), (304, "upstream_rubbish")],
)  # fmt: skip
async def test_an_error_status_is_a_code_of_ours_and_asked_once(
    status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(call: Call) -> None:
        await call.refuse(status, {"error": {"message": f"{SECRET} {KEY}", "code": "x"}})

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        failure = await talk.failed()
        assert (failure["code"], failure["status"], failure["retry_after"]) == (code, status, None)
        assert str(status) in failure["message"]
        assert kept(await talk.history())["error"] == code
        assert len(talk.upstream.calls) == 1, "a retry would be billed twice"
    assert KEY not in caplog.text


async def test_clients_and_the_host_learn_when_to_ask_again() -> None:
    async with talking(lambda call: call.refuse(429, Retry_After="7")) as talk:
        receipt = await talk.registry.send("s", "hello")
        failure = await talk.failed()
        assert (failure["code"], failure["retry_after"]) == ("upstream_rate_limited", 7.0)
        with pytest.raises(TurnFailed) as failed:
            await receipt.result()
        cause = failed.value.__cause__
        assert isinstance(cause, UpstreamError)
        assert cause.retry_after == 7.0
        assert cause.__cause__ is None, "the client's own error holds the key"
        assert cause.__context__ is None


async def test_an_error_object_in_the_middle_ends_the_turn_and_what_was_said_is_kept() -> None:
    async def answer(call: Call) -> None:
        await call.say("one ")
        await call.event({"error": {"message": SECRET, "code": 500}})
        await call.end()

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == "upstream_error"
        assert kept(await talk.history()) == {
            "role": "assistant",
            "content": "one ",
            "cut_off": True,
            "error": "upstream_error",
        }


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "data",
    [b"{", b"no json at all", b"\xff\xfe", b"5", b"null", b'"text"', b"[]", b"[1]", b"{}",
     b'{"choices": null}',
     b'{"choices": 5}', b'{"choices": {}}', b'{"choices": [null]}', b'{"choices": [5]}', b'{"choices": [[]]}',
     b'{"choices": [{}]}', b'{"choices": [{"delta": null}]}', b'{"choices": [{"delta": {"content": 5}}]}',
     b'{"choices": [{"delta": {"content": ["x"]}}]}', b'{"choices": [{"delta": {}, "finish_reason": 5}]}',
     b'{"choices": [{"delta": {"content": {"a": 1}}}]}', DEEP],
    ids=lambda data: data[:40].decode("latin-1"),
)  # fmt: skip
async def test_rubbish_in_the_stream_ends_the_turn_and_what_was_said_is_kept(data: bytes) -> None:
    async def answer(call: Call) -> None:
        await call.say("one ")
        await call.raw(b"data: " + data + b"\n\n")

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == "upstream_rubbish"
        await asyncio.wait_for(talk.upstream.calls[0].left.wait(), PATIENCE)
        assert kept(await talk.history())["content"] == "one "


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/html", b"<html>Welcome to nginx!</html>"), ("application/json", b'{"choices": []}'),
     ("text/event-stream", b""), ("text/event-stream", b": only comments\n\n"),
     ("text/event-stream", b"data: [DONE]\n\n")],
)  # fmt: skip
async def test_an_answer_that_says_nothing_is_no_reply(content_type: str, body: bytes) -> None:
    async def answer(call: Call) -> None:
        await call.head(content_type=content_type)
        await call.raw(body)
        await call.end()

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] in ("upstream_rubbish", "upstream_broke_off")


@pytest.mark.parametrize("first", [b"hello, I am SMTP\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_rubbish(first: bytes) -> None:
    async def answer(call: Call) -> None:
        call.cut(first)

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == "upstream_rubbish"


async def in_the_middle(call: Call) -> None:
    await call.say("one ")
    call.cut()


async def before_its_headers(call: Call) -> None:
    call.cut()


async def without_an_end(call: Call) -> None:
    await call.say("one ")
    await call.end()


async def within_an_event(call: Call) -> None:
    await call.say("one ")
    await call.raw(b'data: {"choices": [{"delta"')
    await call.end()


@pytest.mark.parametrize(
    ("answer", "said"),
    [(in_the_middle, "one "), (before_its_headers, ""), (without_an_end, "one "), (within_an_event, "one ")],
)
async def test_an_upstream_that_hangs_up_ends_the_turn_and_what_it_said_is_kept(
    answer: Any, said: str
) -> None:
    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == "upstream_broke_off"
        assert kept(await talk.history())["content"] == said


async def test_what_breaks_after_the_model_was_done_takes_nothing_from_its_reply() -> None:
    async def answer(call: Call) -> None:
        await call.say("all")
        await call.chunk(finish_reason="stop")
        call.cut()

    async with talking(answer) as talk:
        assert await (await talk.registry.send("s", "hello")).result() == "all"
        assert (await talk.history())[-1] == {"role": "assistant", "content": "all"}


async def test_an_upstream_that_falls_silent_after_the_model_was_done_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_agent, "LAST_WORDS", SHORT[0])

    async def answer(call: Call) -> None:
        await call.say("all")
        await call.chunk(finish_reason="stop")

    async with talking(answer) as talk:
        assert await (await talk.registry.send("s", "hello")).result() == "all"
        await asyncio.wait_for(talk.upstream.calls[0].left.wait(), PATIENCE)
        assert (await talk.history())[-1] == {"role": "assistant", "content": "all"}


async def test_a_cancel_after_the_model_was_done_leaves_its_reply_whole() -> None:
    async with talking() as talk:
        call = await talk.asked()
        await call.chunk({"content": "all"}, finish_reason="length")
        async with aclosing(talk.registry.events("s", after="0")) as events:
            while (await anext(events)).name != "delta":
                pass
        assert (await talk.registry.cancel("s")).verdict is Verdict.CANCELLED
        await asyncio.wait_for(call.left.wait(), PATIENCE)
        assert (await talk.history())[-1] == {
            "role": "assistant",
            "content": "all",
            "finish_reason": "length",
        }


async def test_an_upstream_that_cannot_be_reached_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with OpenAIAgent("mini", url) as agent, opened({"default": agent, "spy": spy}) as registry:
            receipt = await registry.send("s", "hello")
            assert (await receipt.ended()).status is TurnStatus.FAILED
            record = await registry.turn("s", receipt.turn_id)
            assert record.error is not None
            assert record.error.code == "upstream_unavailable"


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_without_an_end_is_read_to_a_bound(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_client, "MAX_BYTES", 100_000)

    async def answer(call: Call) -> None:
        await call.head(status)
        while True:
            await call.raw(b"data: " + b"x" * 10_000)

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == "upstream_too_long"
        await asyncio.wait_for(talk.upstream.calls[0].left.wait(), PATIENCE)


@pytest.mark.parametrize(("status", "code"), [(200, "upstream_rubbish"), (429, "upstream_rate_limited")])
async def test_an_answer_that_comes_compressed_unasked_is_not_unpacked(status: int, code: str) -> None:
    async def answer(call: Call) -> None:
        await call.head(status, Content_Encoding="gzip")
        await call.raw(gzip.compress(b'data: {"choices": [{"delta": {"content": "boo"}}]}\n\n'))
        await call.end()

    async with talking(answer) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == code
        assert talk.upstream.calls[0].request.headers["Accept-Encoding"] == "identity"


async def test_a_piece_that_is_larger_than_an_event_may_be_ends_the_turn() -> None:
    async with talking(says("x" * 2_000_000)) as talk:
        await talk.registry.send("s", "hello")
        assert (await talk.failed())["code"] == "upstream_too_long"


async def test_a_message_that_was_refused_does_not_spoil_the_session() -> None:
    async def answer(call: Call) -> None:
        if "bad" in str(call.messages):
            await call.refuse(400)
        else:
            await says("fine")(call)

    async with talking(answer) as talk:
        await talk.registry.send("s", "bad")
        assert (await talk.failed())["code"] == "upstream_refused"
        assert (await talk.history())[0] == {"role": "user", "content": "bad", "refused": True}
        assert await (await talk.registry.send("s", "good")).result() == "fine"


async def test_clients_learn_neither_the_key_nor_the_upstreams_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(call: Call) -> None:
        await call.refuse(500, {"error": {"message": f"{SECRET}: {call.request.headers}"}})

    caplog.set_level(logging.DEBUG, "turnkeeper")
    async with (
        upstream(answer) as server,
        OpenAIAgent("mini", server.base_url, KEY) as agent,
        serving(agent) as house,
        house.stream("s") as stream,
    ):
        task = await house.sent("s")
        await stream.until("turn.failed")
        answers = [await house.get("/chat/s"), await house.get(f"/chat/s/turns/{task}")]
    everything = "".join([*(answer.text for answer in answers), *(message.data for message in stream.seen)])
    assert KEY not in everything
    assert SECRET not in everything
    assert "upstream_unavailable" in everything
    assert "upstream_unavailable" in caplog.text
    assert KEY not in caplog.text


# -- Its life ---------------------------------------------------------------------------------------


async def test_an_agent_that_is_closed_hangs_up_on_the_turns_that_still_run() -> None:
    async with upstream() as server:
        agent = OpenAIAgent("mini", server.base_url, KEY)
        async with opened(agent) as registry:
            receipt = await registry.send("s", "hello")
            call = await server.call()
            await call.say("one ")
            await agent.aclose()
            assert (await receipt.ended()).status is TurnStatus.FAILED
            await asyncio.wait_for(call.left.wait(), PATIENCE)


def test_its_repr_does_not_tell_the_key() -> None:
    assert KEY not in repr(OpenAIAgent("mini", api_key=KEY))


@pytest.mark.parametrize(
    ("given", "environ", "sent"),
    [(KEY, "other", KEY), (None, "other", "other"), (None, " other\n", "other"), (None, "", "none"),
     (None, None, "none")],
)  # fmt: skip
async def test_the_key_is_the_one_given_or_the_environments_or_a_dummy_for_local_servers(
    given: str | None, environ: str | None, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environ is not None:
        monkeypatch.setenv("OPENAI_API_KEY", environ)
    async with upstream(says("x")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with OpenAIAgent("mini", api_key=given) as agent, opened(agent) as registry:
            await (await registry.send("s", "hello")).result()
        assert server.calls[0].request.headers["Authorization"] == f"Bearer {sent}"


@pytest.mark.parametrize(
    ("options", "field"),
    [({"model": ""}, "model"), ({"model": None}, "model"), ({"base_url": "ftp://x"}, "base_url"),
     ({"base_url": "http://"}, "base_url"), ({"base_url": "127.0.0.1:80"}, "base_url"),
     ({"base_url": "http://x:y/"}, "base_url"), ({"api_key": None}, "api_key"),
     ({"api_key": "a\nb"}, "api_key"),
     ({"api_key": "é"}, "api_key"), ({"temperature": -1}, "temperature"),
     ({"temperature": True}, "temperature"),
     ({"temperature": float("nan")}, "temperature"), ({"timeout": 0}, "timeout"),
     ({"timeout": None}, "timeout")],
)  # fmt: skip
def test_what_it_cannot_work_with_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {"model": "mini", "api_key": KEY, **options}
    with pytest.raises(InvalidRequest) as refused:
        OpenAIAgent(**given)
    assert refused.value.field == field
    assert KEY not in str(refused.value)


# -- The command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says_why"),
    [(["--base-url", "http://127.0.0.1:1/v1"], "--base-url goes with --agent openai"),
     (["--model", "mini"], "--model goes with --agent openai"),
     (["--agent", "echo", "--model-timeout", "3"], "--model-timeout goes with --agent openai"),
     (["--agent", "openai"], "--model"),
     (["--agent", "openai", "--model", ""], "model"),
     (["--agent", "openai", "--model", "mini"], "OPENAI_API_KEY"),
     (["--agent", "openai", "--model", "mini", "--base-url", "x"], "base URL"),
     (["--agent", "openai", "--model", "m", "--base-url", "http://x/", "--temperature", "nan"],
      "temperature")],
)  # fmt: skip
def test_what_does_not_go_together_is_one_clear_line(
    arguments: list[str], says_why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says_why in said


def test_without_the_package_the_command_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    for name in ("openai", "openai_client"):
        monkeypatch.delitem(sys.modules, f"turnkeeper.web.agents.{name}")
    assert cli.main(["serve", "--agent", "openai", "--model", "mini"]) == 2
    assert "pip install 'turnkeeper[openai]'" in capsys.readouterr().err


def test_the_agent_is_a_public_name_of_the_web() -> None:
    from turnkeeper.web import OpenAIAgent as PublicAgent

    assert PublicAgent is OpenAIAgent
    with pytest.raises(AttributeError, match=r"'turnkeeper\.web' has no attribute 'OpenaiAgent'"):
        _ = turnkeeper.web.OpenaiAgent


def test_without_the_package_the_public_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    for name in ("openai", "openai_client"):
        monkeypatch.delitem(sys.modules, f"turnkeeper.web.agents.{name}")
    with pytest.raises(ImportError, match=r"pip install 'turnkeeper\[openai\]'"):
        _ = turnkeeper.web.OpenAIAgent


def test_nothing_else_imports_the_package() -> None:
    code = "import sys, turnkeeper.web, turnkeeper.web.command.cli; sys.exit('openai' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_turnkeeper_serve_streams_from_the_model_stops_it_and_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    async with upstream() as server:
        command = [
            sys.executable,
            "-m",
            "turnkeeper.web.command.cli",
            "serve",
            "--port",
            "0",
            "--agent",
            "openai",
        ]
        command += ["--model", "mini", "--base-url", server.base_url, "--system", "Be short."]
        command += ["--log-level", "warning"]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OPENAI_API_KEY": KEY, "TURNKEEPER_SHUTDOWN_DEADLINE": "60"},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            address = re.search(r"http://[^/]+", line)
            assert address, line
            async with aiohttp.ClientSession(address.group()) as client:
                await stop_a_model(client, server)
                call = await start(client, server)
        finally:
            process.send_signal(signal.SIGTERM)  # with a turn in flight; a second one would be a kill
            _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        await asyncio.wait_for(call.left.wait(), PATIENCE)
        assert (process.returncode, errors.decode()) == (0, "")


async def start(client: aiohttp.ClientSession, server: Upstream) -> Call:
    async with client.post("/chat/s/send", json={"message": "hello"}) as answer:
        assert answer.status == 202
    call = await server.call()
    await call.say("one ")
    return call


async def stop_a_model(client: aiohttp.ClientSession, server: Upstream) -> None:
    async with client.get("/chat/s/events") as stream:
        call = await start(client, server)
        assert call.messages[0] == {"role": "system", "content": "Be short."}
        await until_event(stream, lambda name, data: name == "delta" and json.loads(data) == {"text": "one "})
        async with client.post("/chat/s/cancel_send_task") as answer:
            assert (await answer.json())["status"] == "cancelled"
        await asyncio.wait_for(call.left.wait(), PATIENCE)


async def until_event(stream: aiohttp.ClientResponse, wanted: Callable[[str, str], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            lines = (await stream.content.readuntil(b"\n\n")).decode().splitlines()
            fields = dict(line.split(": ", 1) for line in lines if ": " in line)
            if wanted(fields.get("event", ""), fields.get("data", "")):
                return


@pytest.mark.blocks_the_loop("a client of its own reads certificates, for each run")
async def test_it_can_be_stopped_at_any_moment() -> None:
    async with upstream(says("one ", "two")) as server:

        async def agent(turn: Turn) -> str:
            async with OpenAIAgent("m", server.base_url) as fresh:
                return await fresh(turn)

        report = await cancel_at_every_await(agent)
    report.assert_clean()
    assert report.awaits > 5
