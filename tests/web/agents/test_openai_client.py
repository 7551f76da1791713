from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from turnkeeper.web.agents import upstream_errors as ours
from turnkeeper.web.agents.model_reply import ModelReply
from turnkeeper.web.agents.openai_client import (
    CLIENT_ERRORS,
    TooLong,
    Unreadable,
    chunks,
    failure_of,
    open_client,
    take,
)

ASKED = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


def connection_error(cause: BaseException | None) -> openai.APIConnectionError:
    error = openai.APIConnectionError(request=ASKED)
    error.__cause__ = cause
    return error


def status_error(status: int) -> openai.APIStatusError:
    response = httpx2.Response(status, request=ASKED, headers={"retry-after": "3"})
    return openai.APIStatusError("their words", response=response, body=None)


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (status_error(401), ours.UpstreamUnauthorized),
        (status_error(429), ours.UpstreamRateLimited),
        (status_error(500), ours.UpstreamUnavailable),
        (openai.APITimeoutError(ASKED), ours.UpstreamTimeout),
        (connection_error(None), ours.UpstreamBrokeOff),
        (connection_error(httpx2.ConnectError("no")), ours.UpstreamUnavailable),
        (connection_error(httpx2.ReadTimeout("no")), ours.UpstreamTimeout),
        (httpx2.ReadError("cut"), ours.UpstreamBrokeOff),
        (httpx2.RemoteProtocolError("Server disconnected"), ours.UpstreamBrokeOff),
        (httpx2.RemoteProtocolError("illegal status line"), ours.UpstreamRubbish),
        (httpx2.TooManyRedirects("round"), ours.UpstreamRubbish),
        (TooLong(), ours.UpstreamTooLong),
        (Unreadable("JSONDecodeError"), ours.UpstreamRubbish),
        (openai.OpenAIError("something new"), ours.UpstreamError),
    ],
    ids=repr,
)
def test_every_error_of_the_client_has_a_meaning_of_ours(
    error: Exception, means: type[ours.UpstreamError]
) -> None:
    assert isinstance(error, CLIENT_ERRORS)
    assert type(failure_of(error)) is means


def chunk(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def choice(**fields: Any) -> list[SimpleNamespace]:
    return [SimpleNamespace(**fields)]


@pytest.mark.parametrize(
    ("piece", "text", "finish", "usage"),
    [
        (chunk(choices=choice(delta=chunk(content="one"), finish_reason=None)), "one", None, None),
        (chunk(choices=choice(delta=chunk(refusal="no"), finish_reason=None)), "no", None, None),
        (chunk(choices=choice(delta=chunk(content=None), finish_reason="stop")), "", "stop", None),
        (chunk(choices=choice(delta=None, finish_reason="length")), "", "length", None),
        (chunk(choices=[]), "", None, None),
        (chunk(choices=[], usage={"total_tokens": 3}), "", None, {"total_tokens": 3}),
        (chunk(choices=None, usage={"total_tokens": 3}), "", None, {"total_tokens": 3}),
    ],
)
def test_a_chunk_brings_a_text_a_reason_or_a_usage(
    piece: Any, text: str, finish: str | None, usage: dict[str, int] | None
) -> None:
    reply = ModelReply()
    assert take(piece, reply) == reply.text == text
    assert (reply.finish_reason, reply.usage) == (finish, usage)


@pytest.mark.parametrize(
    "piece",
    [
        None,
        chunk(choices=None),
        chunk(choices="one"),
        chunk(choices=choice()),
        chunk(choices=choice(delta=chunk(content=5))),
        chunk(choices=choice(delta=chunk(content="x"), finish_reason=5)),
    ],
)
def test_a_chunk_of_another_shape_is_rubbish(piece: Any) -> None:
    with pytest.raises(ours.UpstreamRubbish):
        take(piece, ModelReply())


def test_an_error_in_a_chunk_is_the_upstreams_error() -> None:
    with pytest.raises(ours.UpstreamError) as failed:
        take(chunk(error={"message": "their words"}), ModelReply())
    assert type(failed.value) is ours.UpstreamError


async def test_a_chunk_that_the_client_stumbles_over_is_unreadable() -> None:
    async def stumbling() -> Any:
        yield "first"
        raise ValueError("not JSON")

    pieces = chunks(stumbling())
    assert await anext(pieces) == "first"
    with pytest.raises(Unreadable, match="ValueError"):
        await anext(pieces)


async def test_the_client_waits_for_a_connection_no_longer_than_for_an_answer() -> None:
    for timeout, connect in ((3.0, 3.0), (60.0, 10.0)):
        async with open_client("key", "http://127.0.0.1:1/v1", timeout) as client:
            assert client.timeout == httpx2.Timeout(timeout, connect=connect)
            assert client.max_retries == 0
