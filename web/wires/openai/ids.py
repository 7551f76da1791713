"""The ids of this API: a conversation's is its session's, and a response's has its turn's and its session's.

Pure, but for the ids that are drawn.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, UnknownSession, UnknownTurn
from turnkeeper.actors.model.records import SessionId, TurnRef

#: What the ids begin with of conversations, of the sessions of responses that have brought their own history,
#: and of those that are forgotten when their turn has ended.
CONVERSATION: Final = "conv_"
OWN: Final = "own_"
ONCE: Final = "once_"
#: How many random bytes a new id is made of, as many as one has that stands for a key.
_BYTES: Final = 16
#: The ids of sessions that are forgotten.
_FORGOTTEN: Final = re.compile(f"{ONCE}[0-9a-f]{{{2 * _BYTES}}}")
#: What separates a turn's id from its session's, and what stands for that in a turn's id, where no id has it.
_BETWEEN, _WITHIN = ".", "~"
#: How many digits a number of a message has at most.
_MOST_DIGITS: Final = 12
#: In whose place a key stands for a new session.
_NEW: Final = SessionId("POST /v1/responses")


def response_id(turn: TurnRef) -> str:
    """The id of the response that is this turn."""
    return f"resp_{suffix(turn)}"


def suffix(turn: TurnRef) -> str:
    """What the ids of a response, and of what is in it, end with."""
    return f"{turn.turn_id.replace(_BETWEEN, _WITHIN)}{_BETWEEN}{turn.session_id}"


def turn_of(response: str) -> TurnRef:
    """The turn that this response is. Raises `UnknownTurn` for an id that no response has."""
    turn, _, session = response.removeprefix("resp_").partition(_BETWEEN)
    turn = turn.replace(_WITHIN, _BETWEEN)
    try:
        ref = TurnRef(ids.session_id(session), ids.turn_id(turn))
    except InvalidRequest:
        raise unknown(response) from None
    if response_id(ref) != response:
        raise unknown(response)
    return ref


def message_id(session: SessionId, number: int) -> str:
    """The id of the message of that number in a conversation."""
    return f"msg_{number}{_BETWEEN}{session}"


def number_of(message: str, session: SessionId) -> int | None:
    """The number of the message of this id; ``None`` for an id that no message of the conversation has."""
    digits = message.removeprefix("msg_").removesuffix(f"{_BETWEEN}{session}")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        return None
    number = int(digits)
    return number if message_id(session, number) == message else None


def unknown(response: str) -> UnknownTurn:
    """The error for a response that there is not."""
    return UnknownTurn(f"no response has the id {response[:500]!r}")


def unknown_conversation(session: str) -> UnknownSession:
    """The error for a conversation that there is not."""
    return UnknownSession(f"there is no conversation {session[:500]!r}")


def new_session(prefix: str, user: str, key: str | None) -> SessionId:
    """An id for a new session: a random one, or the one for which this user's key stands."""
    if key is None:
        return SessionId(prefix + secrets.token_hex(_BYTES))
    return SessionId(prefix + ids.keyed_turn_id(user, _NEW, key).removeprefix("key-"))


def opens_a_session(session: str, params: Mapping[str, Any]) -> bool:
    """Whether the response with these ``params`` was the first in a session that was made for it."""
    made = session.startswith((CONVERSATION, OWN, ONCE))
    return made and "conversation" not in params and "previous_response_id" not in params


def belongs_to_no_conversation(session: str) -> bool:
    """Whether it is the session of one response only."""
    return session.startswith((OWN, ONCE))


def is_forgotten(session: str) -> bool:
    """Whether it was made for one turn, and is forgotten with that."""
    return _FORGOTTEN.fullmatch(session) is not None
