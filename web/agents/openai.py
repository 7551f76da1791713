"""OpenAIAgent: any model behind an API that is compatible with OpenAI's chat completions.

Needs ``pip install turnkeeper[openai]``, so nothing imports this file before it is used.
"""

import asyncio
import math
import os
from collections.abc import Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from turnkeeper.actors.model.content import whole_text
from turnkeeper.actors.model.exceptions import EventNotJson, InvalidRequest
from turnkeeper.actors.model.logger import about, logger
from turnkeeper.actors.session.fields import seconds, whole
from turnkeeper.actors.turn.turn import Turn

from .chat_messages import (
    MOST_IMAGES,
    MOST_MESSAGES,
    MOST_TEXT,
    UnsupportedMessage,
    request_messages,
    user_message,
)
from .model_params import UnsupportedParams, request_fields, system_prompt
from .model_reply import ModelReply, tokens
from .openai_client import CLIENT_ERRORS, ask, chunks, failure_of, open_client, take
from .upstream_errors import (
    UpstreamBrokeOff,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamTooLong,
)

#: How many seconds the upstream may be silent, by default.
TIMEOUT = 60.0
#: How many seconds the usage and the end of the answer may take once the model has finished.
LAST_WORDS = 5.0
#: What is sent to a server that needs no key, because the client library insists on one.
NO_KEY = "none"
#: How much of an upstream's error is logged, and of why it stopped is shown, in characters.
MAX_LOGGED = 300


class OpenAIAgent:
    """An agent that asks a model for its reply and streams it.

    Each piece of the reply is a ``delta`` event ``{"text"}``; what the upstream counted is a ``usage`` event,
    and reported as the turn's; why the model stopped, if not because it had said all, is a ``finish_reason``
    event ``{"reason"}``; a failure is an ``upstream_error`` event ``{"code", "message", "status",
    "retry_after"}`` before the end of the turn, and raises an `UpstreamError`. The conversation is kept in
    ``turn.context.messages``.
    Cancelling a turn closes its connection at once; what has arrived stays in the history, marked
    ``cut_off``, as it does after a failure. No request is repeated: it would be billed twice.

    ``base_url`` and ``api_key`` default to ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``; with a base URL no key
    is needed. ``timeout`` is how many seconds the upstream may be silent, before its answer or within it.
    ``options`` are further fields of the request, such as ``{"max_tokens": 500}``. A turn's ``params`` say
    more of its own request: those in `model_params.TAKEN`, of which one of the wrong type fails the turn
    (`UnsupportedParams`). ``include_usage=False`` is for servers that refuse ``stream_options``. At most
    ``most_messages`` of the history are sent, of about ``most_text`` characters of text and ``most_images``
    of images.

    It takes parts of the types ``text`` and ``image_url``. Its connections are kept until `aclose`. Raises
    `InvalidRequest` for arguments that it cannot use.
    """

    takes: ClassVar = ("text", "image_url")

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        system: str | None = None,
        temperature: float | None = None,
        timeout: float = TIMEOUT,
        *,
        include_usage: bool = True,
        options: Mapping[str, Any] | None = None,
        most_messages: int = MOST_MESSAGES,
        most_text: int = MOST_TEXT,
        most_images: int = MOST_IMAGES,
    ) -> None:
        name: Any = model  # hosts hand in anything
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequest("the openai agent needs the name of a model", field="model")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self._key = _key(api_key, base_url)
        self.model = model
        self.system = system
        self._fields: dict[str, Any] = {**(options or {}), "model": model, "stream": True}
        if temperature is not None:
            self._fields["temperature"] = _temperature(temperature)
        if include_usage:
            self._fields["stream_options"] = {"include_usage": True}
        self._most_messages = whole(most_messages, "most_messages", 1)
        self._most_text = whole(most_text, "most_text", 1)
        self._most_images = whole(most_images, "most_images", 1)
        wait = seconds(timeout, "timeout", above=0.0)
        self._client = open_client(self._key, _url(base_url), wait)

    async def __call__(self, turn: Turn) -> str:
        """Answer the turn's message. Cancelling it closes the connection and keeps what has arrived."""
        asked, system, fields = self._wanted(turn)
        messages = request_messages(
            [*turn.context.messages, asked],
            system,
            most_messages=self._most_messages,
            most_text=self._most_text,
            most_images=self._most_images,
        )
        reply, failure = ModelReply(), None
        try:
            failure = await self._ask(turn, {**fields, "messages": messages}, reply)
            # A library may take a cancellation for its own timeout, if both come at the same moment.
            if turn.cancel_requested and failure is not None:
                raise asyncio.CancelledError
        finally:
            if not turn.over:
                _keep(turn, asked, reply, failure)
        if failure is not None:
            raise failure  # outside of any `except`: the upstream's own error does not travel with it
        return reply.text

    def _wanted(self, turn: Turn) -> tuple[dict[str, Any], str | None, dict[str, Any]]:
        """The message, the system prompt and the other fields of the request that the turn is for.

        What cannot be asked of the model stays in the history.
        """
        asked = {"role": "user", "content": turn.message, "refused": True}  # and is not sent later
        try:
            asked = user_message(turn.message)
            params = turn.params
            if not params:
                return asked, self.system, self._fields
            return asked, system_prompt(self.system, params), request_fields(self._fields, params)
        except (UnsupportedMessage, UnsupportedParams) as error:
            turn.context.messages += [asked, ModelReply().message(cut_off=True, error=error.code.lower())]
            raise

    async def _ask(self, turn: Turn, request: dict[str, Any], reply: ModelReply) -> UpstreamError | None:
        """Fill the reply; what went wrong, if anything did. Cancelling it closes the connection."""
        failure: UpstreamError | None = None
        try:
            stream = await ask(self._client, request)
            async with stream, aclosing(chunks(stream)) as pieces, asyncio.timeout(None) as patience:
                async for chunk in pieces:
                    text = take(chunk, reply)
                    if text:
                        turn.emit("delta", {"text": text})
                    if reply.finish_reason is not None and patience.when() is None:
                        patience.reschedule(asyncio.get_running_loop().time() + LAST_WORDS)
            if reply.finish_reason is None:
                raise UpstreamBrokeOff
        except UpstreamError as error:
            failure = error
        except EventNotJson:
            failure = UpstreamTooLong()  # one piece that is larger than an event may be
        except TimeoutError:
            failure = UpstreamTimeout()
        except CLIENT_ERRORS as error:
            failure = failure_of(error)
            self._log(failure, error, turn)
        # What goes wrong after the model has finished takes nothing from its reply.
        return failure if reply.finish_reason is None else None

    def _log(self, failure: UpstreamError, error: Exception, turn: Turn) -> None:
        said = " ".join(str(error).replace(self._key, "***").split())
        what = turn.turn_id, failure.code.lower(), type(error).__name__, said[:MAX_LOGGED]
        logger.warning("turn %s: %s: %s: %s", *what, extra=about(turn.session_id, turn.spec.head))

    async def aclose(self) -> None:
        """Close the connections. Turns that still run fail with an `UpstreamError`, and so do later ones."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<OpenAIAgent {self.model}>"


# -- Arguments --------------------------------------------------------------------------------------


def _key(api_key: str | None, base_url: str | None) -> str:
    key = (api_key or os.environ.get("OPENAI_API_KEY") or "").strip()
    if not key and base_url is None:
        raise InvalidRequest("the openai agent needs a key in OPENAI_API_KEY, or a base URL", field="api_key")
    if not key.isascii() or not key.isprintable():
        raise InvalidRequest("the key in OPENAI_API_KEY must be one line of ASCII", field="api_key")
    return key or NO_KEY


def _url(base_url: str | None) -> str | None:
    if base_url is None:
        return None
    with suppress(ValueError):  # such as a port that is no number
        parts = urlsplit(base_url)
        if parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port):
            return base_url
    raise InvalidRequest(
        f"the base URL must be like http://127.0.0.1:8080/v1, not {base_url!r}", field="base_url"
    )


def _temperature(number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
        raise InvalidRequest("temperature must be a number, 0 or more", field="temperature")
    return float(number)


# -- What is kept -----------------------------------------------------------------------------------


def _keep(turn: Turn, asked: dict[str, Any], reply: ModelReply, failure: UpstreamError | None) -> None:
    """Put the turn into its history, and emit why its reply is not all, its usage and its failure."""
    code = None if failure is None or turn.cancel_requested else failure.code.lower()
    if isinstance(failure, UpstreamRefused) and not reply.text:
        # Sent again with every later message, it would be refused each time, and the session would be lost.
        asked = {**asked, "refused": True}
    turn.context.messages += [asked, reply.message(cut_off=reply.finish_reason is None, error=code)]
    if reply.finish_reason is not None and reply.finish_reason != "stop":
        turn.emit("finish_reason", {"reason": whole_text(reply.finish_reason)[:MAX_LOGGED]})
    if reply.usage is not None:
        turn.emit("usage", reply.usage)
    if code is not None and failure is not None:
        data = {"code": code, "message": str(failure), "status": failure.status}
        turn.emit("upstream_error", {**data, "retry_after": failure.retry_after})
    if reply.usage is not None:
        used = tokens(reply.usage)
        # Last: beyond its budget this raises CancelledError.
        turn.report_usage(
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cached_tokens=used.cached_tokens,
            reasoning_tokens=used.reasoning_tokens,
        )
