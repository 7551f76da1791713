"""Messages in the shape of the chat completions protocol: what was sent, and what a model is sent. Pure.

The history in a turn's context records what happened: each message is ``{"role", "content"}``, with marks of
our own (`MARKS`) about how it ended. A request has what the model must know, in a form that strict servers
accept: no marks, no empty replies, never two messages of the user in a row.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.content import whole_text
from turnkeeper.actors.model.exceptions import AgentError, EventNotJson

Message: TypeAlias = dict[str, Any]

#: What the history records about a message and no model is sent:
#:
#: * ``cut_off``: the reply is not whole, because the turn was cancelled or the upstream failed;
#: * ``error``: the code of that failure;
#: * ``refused``: the upstream did not accept this message, so it is not sent again;
#: * ``finish_reason``: why the model stopped, where that is not ``stop``; ``usage``: what the reply cost.
MARKS = frozenset({"cut_off", "error", "refused", "finish_reason", "usage"})


#: How much of the history a model is sent: how many messages, and about how many characters of text and of
#: images.
MOST_MESSAGES = 400
MOST_TEXT = 1_000_000
MOST_IMAGES = 16_000_000


class UnsupportedMessage(AgentError):
    """The turn's message is neither a text nor a list of parts of type ``text`` and ``image_url``."""

    code = "UNSUPPORTED_MESSAGE"


def user_message(message: Any) -> Message:
    """The turn's message as a message of the protocol. Raises `UnsupportedMessage`.

    Neighbouring text parts become one: a model reads the same, and a request does not have thousands of them.
    A text, or a single text part, is the content itself, which servers that know no parts take too.
    """
    if isinstance(message, str):
        return {"role": "user", "content": whole_text(message)}
    if not isinstance(message, list) or not message:
        raise UnsupportedMessage("a message must be a text or a list of parts")
    parts = _joined_texts([_part(part) for part in message])
    if len(parts) == 1 and parts[0]["type"] == "text":
        return {"role": "user", "content": parts[0]["text"]}
    return {"role": "user", "content": parts}


def _joined_texts(parts: list[Message]) -> list[Message]:
    joined: list[Message] = []
    for is_text, run in groupby(parts, lambda part: part["type"] == "text"):
        neighbours = list(run)
        if is_text:
            neighbours = [{"type": "text", "text": "".join(part["text"] for part in neighbours)}]
        joined += neighbours
    return joined


def _part(part: Any) -> Message:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": whole_text(part["text"])}
    if kind == "image_url" and isinstance(part.get("image_url"), dict):
        url = part["image_url"].get("url")
        if not isinstance(url, str):
            raise UnsupportedMessage("an image_url needs a url")
        try:
            # A url of megabytes is left out of that where nothing can be wrong with it.
            to_json({**part, "image_url": {**part["image_url"], "url": "" if url.isascii() else url}})
        except EventNotJson as error:
            raise UnsupportedMessage("this image_url cannot be written as JSON") from error
        return dict(part)
    raise UnsupportedMessage(
        "a part must be of type text, with a text, or of type image_url, with an image_url"
    )


def request_messages(
    history: Sequence[Any],
    system: str | None = None,
    *,
    most_messages: int = MOST_MESSAGES,
    most_text: int = MOST_TEXT,
    most_images: int = MOST_IMAGES,
) -> list[Message]:
    """The messages of a request: the history without our marks, valid however earlier turns ended.

    Messages that the upstream refused are left out, and so are replies of which nothing arrived; messages of
    the user that become neighbours are joined. Messages with other fields, such as a host's tool calls, are
    passed on.

    Only the end of the history is sent: ``most_messages`` messages, or about ``most_text`` characters of text
    or ``most_images`` of images, beginning with one of the user's. The newest is always sent.
    """
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for each in _last(history, most_messages, most_text, most_images):
        message = {name: value for name, value in each.items() if name not in MARKS}
        if message in ({"role": "assistant", "content": ""}, {"role": "assistant", "content": None}):
            continue
        if messages and _plain(message) and _plain(messages[-1]):
            message["content"] = _joined(messages.pop()["content"], message["content"])
        messages.append(message)
    return messages


def _last(
    history: Sequence[Any], most_messages: int, most_text: int, most_images: int
) -> list[Mapping[str, Any]]:
    """The last messages of the history that may be sent, in order. What lies before is not looked at."""
    last: list[Mapping[str, Any]] = []
    for each in reversed(history):
        if not isinstance(each, Mapping) or "role" not in each or each.get("refused"):
            continue
        content = each.get("content")
        images = _size_of_images(content)
        most_images -= images
        most_text -= _size(content) - images
        if last and (len(last) == most_messages or most_text < 0 or most_images < 0):
            # The answer to a question that is left out, or the result of a call, would be refused.
            while len(last) > 1 and last[-1]["role"] != "user":
                last.pop()
            break
        last.append(each)
    return last[::-1]


def _size(content: Any) -> int:
    """About how many characters a content takes."""
    match content:
        case str():
            return len(content)
        case list():
            return sum(_size(part) for part in content)
        case dict():
            return sum(_size(each) for each in content.values())
        case _:
            return 0


def _size_of_images(content: Any) -> int:
    if not isinstance(content, list):
        return 0
    return sum(_size(part) for part in content if isinstance(part, dict) and part.get("type") == "image_url")


def _plain(message: Message) -> bool:
    return message["role"] == "user" and message.keys() == {"role", "content"}


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
