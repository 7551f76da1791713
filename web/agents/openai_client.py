"""The openai package behind `OpenAIAgent`: a client with limits, its chunks checked, its errors in our words.

Needs ``pip install turnkeeper[openai]``, so only `OpenAIAgent` imports this file.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import msgspec

from .model_reply import ModelReply, counts
from .upstream_errors import (
    UpstreamBrokeOff,
    UpstreamError,
    UpstreamRubbish,
    UpstreamTimeout,
    UpstreamTooLong,
    UpstreamUnavailable,
    of_status,
)

try:
    import httpx2
    import openai
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
except ImportError as error:
    raise ImportError(
        "OpenAIAgent needs the openai package: pip install 'turnkeeper[openai]'", name=error.name
    ) from error

#: How many seconds connecting to the upstream may take.
CONNECT_TIMEOUT = 10.0
#: The most bytes of one answer that are read, so that a model that never ends takes no more memory.
MAX_BYTES = 64 * 1024 * 1024


class TooLong(Exception):
    """The answer has more than `MAX_BYTES`. Raised through the HTTP client."""


class Unreadable(Exception):
    """The client could not read a chunk; the ``__cause__`` is why."""


#: Everything the client raises while it asks for an answer or reads it; `failure_of` translates it.
CLIENT_ERRORS = (openai.OpenAIError, httpx2.HTTPError, TooLong, Unreadable)


def open_client(key: str, base_url: str | None, timeout: float) -> openai.AsyncOpenAI:
    """A client that waits at most ``timeout`` seconds for anything, and never repeats a request."""
    limit = httpx2.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
    # No limit on connections: a turn that waited for another turn's would look like a slow model.
    http = openai.DefaultAsyncHttpxClient(
        timeout=limit,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        event_hooks={"response": [_bound]},
    )
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=base_url,
        timeout=limit,
        max_retries=0,
        default_headers={"Accept-Encoding": "identity"},
        http_client=http,
    )


async def ask(
    client: openai.AsyncOpenAI, request: Mapping[str, Any]
) -> openai.AsyncStream[ChatCompletionChunk]:
    """Ask for the chunks of a chat completion. Raises `CLIENT_ERRORS`. Cancelling it closes the connection.

    The client's own `create` walks through all messages by their types, and writes the JSON slowly: with many
    parts or a large image that blocks the loop.
    """
    body: dict[str, Any]
    try:
        body = {"content": msgspec.json.encode(request)}
    except (TypeError, ValueError, RecursionError):  # a host's own kinds of objects, in its history
        body = {"body": request}
    return await client.post(
        "/chat/completions",
        **body,
        cast_to=ChatCompletion,
        stream=True,
        stream_cls=openai.AsyncStream[ChatCompletionChunk],
    )


# -- What comes back --------------------------------------------------------------------------------


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer, at most `MAX_BYTES`: the client reads errors and lines to their end."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > MAX_BYTES:
                raise TooLong
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    # A small compressed answer may expand to gigabytes. We ask for uncompressed ones; one that is compressed
    # all the same stays so: its status still counts, and its content is unreadable.
    response.headers.pop("Content-Encoding", None)
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


async def chunks(stream: Any) -> AsyncGenerator[Any, None]:
    """The upstream's chunks. Raises `Unreadable` for what cannot be read as one."""
    while True:
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            # Not JSON, not UTF-8, nested too deeply, or of a shape that the client stumbles over.
            raise Unreadable(type(error).__name__) from error


def take(chunk: Any, reply: ModelReply) -> str:
    """Put a chunk into the reply; its text. Raises `UpstreamError`.

    The client library does not check the objects it makes, so everything is checked here.
    """
    usage, choices = getattr(chunk, "usage", None), getattr(chunk, "choices", None)
    if getattr(chunk, "error", None):
        raise UpstreamError
    if usage is not None:
        report = getattr(usage, "model_dump", lambda: usage)()
        reply.usage = (counts(report) if isinstance(report, Mapping) else None) or reply.usage
    if choices is None and usage is not None:
        return ""
    if not isinstance(choices, list):
        raise UpstreamRubbish
    if not choices:
        return ""  # a chunk with only the usage
    finish, delta = getattr(choices[0], "finish_reason", None), getattr(choices[0], "delta", None)
    if finish is None and delta is None:
        raise UpstreamRubbish
    text = getattr(delta, "content", None)
    if text is None:
        text = getattr(delta, "refusal", None)
    if not isinstance(text, str | None) or not isinstance(finish, str | None):
        raise UpstreamRubbish
    if finish:
        reply.finish_reason = finish
    return reply.add(text) if text else ""


# -- What went wrong --------------------------------------------------------------------------------


def failure_of(error: Exception) -> UpstreamError:
    """The meaning of an error that the client raised."""
    if isinstance(error, openai.APIStatusError):
        return of_status(error.status_code, error.response.headers)
    if isinstance(error, openai.APITimeoutError):
        return UpstreamTimeout()
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error.__cause__)
    if isinstance(error, TooLong):
        return UpstreamTooLong()
    if isinstance(error, httpx2.HTTPError):
        return _of_connection(error)
    if isinstance(error, Unreadable | openai.APIResponseValidationError):
        return UpstreamRubbish()
    return UpstreamError()


def _of_connection(error: BaseException | None) -> UpstreamError:
    match error:
        case httpx2.TimeoutException():
            return UpstreamTimeout()
        case httpx2.ConnectError() | httpx2.ProxyError():
            return UpstreamUnavailable()
        case httpx2.RemoteProtocolError() if not {"disconnected", "closed"} & set(str(error).split()):
            return UpstreamRubbish()  # an answer that is not HTTP
        case httpx2.DecodingError() | httpx2.TooManyRedirects() | httpx2.UnsupportedProtocol():
            return UpstreamRubbish()
        case _:
            return UpstreamBrokeOff()
