"""The openai package behind `OpenAIAgent`: a client with limits, its chunks checked, its errors in our words.

Needs ``pip install turnkeeper[openai]``, which is why nothing but `OpenAIAgent` imports this file.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

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
except ImportError as error:
    raise ImportError(
        "OpenAIAgent needs the openai package: pip install 'turnkeeper[openai]'", name=error.name
    ) from error

#: How many seconds a connection to the upstream may take at the most.
CONNECT_TIMEOUT = 10.0
#: The most bytes of one answer that are read: a model that never ends costs no more memory than this.
MAX_BYTES = 64 * 1024 * 1024


class TooLong(Exception):
    """Raised out of the HTTP client by the stream that counts."""


class Unreadable(Exception):
    """The client could not read a chunk; why is the ``__cause__``."""


#: What this client raises while an answer is asked for or read; `failure_of` says what each means.
CLIENT_ERRORS = (openai.OpenAIError, httpx2.HTTPError, TooLong, Unreadable)


def open_client(key: str, base_url: str | None, timeout: float) -> openai.AsyncOpenAI:
    """A client that waits for no answer longer than ``timeout`` seconds, and asks nothing twice."""
    limit = httpx2.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
    # As many connections as turns: a turn that waited for another one's would look like a slow model.
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


# -- What comes back --------------------------------------------------------------------------------


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer, up to `MAX_BYTES`: errors and lines without an end are read to theirs."""

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
    # A small answer may unpack to gigabytes. One that is packed, though we asked for none, stays so: its
    # status still counts, and what is in it cannot be read.
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
    """Put a chunk into the reply; answer the text that is new. Raises `UpstreamError`.

    The client builds its objects without checking them, so nothing is taken for granted here.
    """
    usage, choices = getattr(chunk, "usage", None), getattr(chunk, "choices", None)
    if getattr(chunk, "error", None):
        raise UpstreamError
    if usage is not None:
        told = getattr(usage, "model_dump", lambda: usage)()
        reply.usage = (counts(told) if isinstance(told, Mapping) else None) or reply.usage
    if choices is None and usage is not None:
        return ""
    if not isinstance(choices, list):
        raise UpstreamRubbish
    if not choices:
        return ""  # what only tells the usage
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
    """What an error of the client's means."""
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
