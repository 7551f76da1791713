"""What the bodies of a chat's requests ask for. Pure.

The server keeps the conversation: of the messages that a chat sends along only the last one is read, and what
would change earlier ones is refused.
"""

from typing import Any, Final

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.content import text_or_parts
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import Strategy
from turnkeeper.web.http.body import check_message, decode_json
from turnkeeper.web.http.problems import Code, Problem

from .message import STREAM_ID

#: How much of what is refused an answer repeats.
_MOST_SHOWN: Final = 100
#: Where an image may be: in the message itself, or where the agent can get it.
_IMAGES_AT: Final = ("data:", "http://", "https://")
_SUBMIT: Final = "submit-message"
_REGENERATE: Final = "regenerate-message"
#: Why what was said stays.
NEW_MESSAGE: Final = "the server keeps the conversation, and replies to new messages only"


@value
class SendAsked:
    """A message for a chat, and how its turn is to be run.

    ``message_id`` is the client's own, and stands for this message alone. ``repeats``: the client says that
    it has sent it before.
    """

    chat_id: str
    message_id: str
    message: Any
    agent: str | None = None
    strategy: Strategy | None = None
    params: dict[str, Any] | None = None
    repeats: bool = False


def send_asked(data: Any) -> SendAsked:
    """What the JSON of a send asks for. Raises `InvalidRequest`, and `Problem` for what cannot be done."""
    body = _object(data, "body")
    trigger = body.get("trigger", _SUBMIT)
    if trigger == _REGENERATE:
        raise _unsupported("trigger", f"a reply cannot be generated again: {NEW_MESSAGE}")
    if trigger != _SUBMIT:
        raise InvalidRequest(f"trigger must be {_SUBMIT!r}", field="trigger")
    for name, said in body.items():
        if name not in _FIELDS and said not in (None, {}, []):
            raise _unsupported(
                name, f"{_shown(name)} is not known here: what is for the agent goes into params"
            )
    chat_id = ids.checked(body.get("id"), "id")
    message_id, message = _message(_last(body))
    repeats = body.get("messageId")
    if repeats not in (None, message_id):
        raise _unsupported("messageId", f"an earlier message cannot be changed or sent again: {NEW_MESSAGE}")
    return SendAsked(
        chat_id, message_id, message, _agent(body), _strategy(body), body.get("params"), repeats is not None
    )


#: The fields of a send's body.
_FIELDS: Final = frozenset(
    {"id", "message", "messages", "trigger", "messageId", "agent", "model", "multitask_strategy", "params"}
)


@value
class StopAsked:
    """Which reply to stop: a turn, or that to a message. With neither, whatever the chat does."""

    turn_id: str | None = None
    message_id: str | None = None


def stop_asked(body: bytes | bytearray) -> StopAsked:
    """What the body of a stop asks for, which may be empty.

    A page names the reply, hands on the message that it has of it, or names its own message if it has none.
    Raises `InvalidRequest`, and `Problem` for what is not JSON.
    """
    asked = _object(decode_json(body), "body") if body.strip() else {}
    for name in asked:
        if name not in (STREAM_ID, "assistantMessage", "messageId"):
            raise InvalidRequest(f"{_shown(name)} is no field of a stop", field=name[:_MOST_SHOWN])
    turn_id, message_id = asked.get(STREAM_ID), asked.get("messageId")
    if turn_id is None:
        about = _object(asked.get("assistantMessage") or {}, "assistantMessage").get("metadata")
        turn_id = about.get(STREAM_ID) if isinstance(about, dict) else None
    if turn_id is not None:
        return StopAsked(turn_id=ids.checked(turn_id, STREAM_ID))
    return StopAsked(message_id=None if message_id is None else ids.checked_key(message_id, "messageId"))


# -- Fields -------------------------------------------------------------------------------------------


def _agent(body: dict[str, Any]) -> str | None:
    """The agent's name. Clients also call it the model."""
    names = [name for field in ("agent", "model") if (name := body.get(field)) is not None]
    if not names:
        return None
    name = names[0]
    if not isinstance(name, str) or name != names[-1]:
        raise InvalidRequest("agent must be a name, and model, if given too, the same", field="agent")
    return name


def _strategy(body: dict[str, Any]) -> Strategy | None:
    said = body.get("multitask_strategy")
    if said is None:
        return None
    try:
        return Strategy(said)
    except ValueError:
        text = f"multitask_strategy must be one of: {', '.join(Strategy)}"
        raise InvalidRequest(text, field="multitask_strategy") from None


# -- The message --------------------------------------------------------------------------------------


def _last(body: dict[str, Any]) -> dict[str, Any]:
    """The message that is sent: by itself, or the last one of all."""
    if (body.get("message") is None) == (body.get("messages") is None):
        raise InvalidRequest("the body must have messages, or one message", field="messages")
    if (messages := body.get("messages")) is None:
        return _object(body["message"], "message")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages must be a list of at least one message", field="messages")
    return _object(messages[-1], "the last message")


def _message(message: dict[str, Any]) -> tuple[str, Any]:
    """The id of a message, and what it says to the agent."""
    if message.get("role") != "user":
        raise _unsupported("messages", f"the last message must be a user's: {NEW_MESSAGE}")
    message_id = ids.checked_key(message.get("id"), "the id of a message")
    parts = message.get("parts")
    if not isinstance(parts, list) or not parts:
        raise InvalidRequest("the parts of a message must be a list of at least one", field="messages")
    content = text_or_parts([_part(part) for part in parts])
    check_message(content)
    return message_id, content


def _part(part: Any) -> dict[str, Any]:
    """A part as agents know it. What is said beside its content, such as a file's name, is for people."""
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "file", "mediaType": str(media), "url": str(url)}:
            if not media.startswith("image/"):
                raise _unsupported("messages", f"a file must be an image, and not {_shown(media)}")
            if not url.startswith(_IMAGES_AT):
                must = f"the url of a file must begin with {' or '.join(_IMAGES_AT)}"
                raise InvalidRequest(must, field="messages")
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "text" | "file" as kind}:
            raise InvalidRequest(f"a part of type {kind} lacks its content", field="messages")
        case {"type": str(kind)}:
            raise _unsupported("messages", f"a message to an agent cannot have a part of type {_shown(kind)}")
        case _:
            raise InvalidRequest("each part of a message must be an object with a type", field="messages")


def _object(data: Any, field: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidRequest(f"{field} must be an object", field=field)
    return data


def _shown(text: str) -> str:
    return ascii(text[:_MOST_SHOWN])


def _unsupported(field: str, why: str) -> Problem:
    return Problem(Code.UNSUPPORTED_PARAMETER, why, field=field[:_MOST_SHOWN])
