"""The rule for session ids and turn ids."""

import hashlib
import re
from collections.abc import Iterator
from itertools import count

from .exceptions import InvalidRequest
from .records import SessionId, TurnId, TurnRef

#: Words that stand in a path where an id may stand, and the two that a URL resolves away. Fixed: a route that
#: would need another word finds another path, because somewhere that word is an id already.
RESERVED_IDS = frozenset(
    {
        ".",
        "..",
        "active_send_tasks",
        "admission",
        "cancel_send_tasks",
        "cleanup_completed_tasks",
        "events",
        "ticket",
        "turns",
    }
)
ID_RULE = "1 to 200 of A-Z a-z 0-9 . _ : @ - and not a reserved word"
_CHARACTERS = "[A-Za-z0-9._:@-]{1,200}"
_ID = re.compile(_CHARACTERS)
#: The same rule for those who make an id up: a regular expression of JSON Schema.
ID_PATTERN = f"(?!(?:{'|'.join(map(re.escape, sorted(RESERVED_IDS)))})$){_CHARACTERS}"


#: A turn id that a registry made up: its incarnation and a number.
_DRAWN = re.compile(r"([0-9a-f]{12})-[0-9]+")


def drawn_turn_ids(incarnation: str) -> Iterator[TurnId]:
    """Ids of turns, for senders who chose none: each once in this run of a process."""
    for number in count(1):
        yield TurnId(f"{incarnation}-{number}")


def drawn_by(turn: TurnId) -> str | None:
    """The incarnation that made this turn id up; ``None`` for an id that its sender chose."""
    drawn = _DRAWN.fullmatch(turn)
    return None if drawn is None else drawn[1]


#: How many characters an idempotency key may have.
KEY_LENGTH = 255
KEY_RULE = f"1 to {KEY_LENGTH} visible ASCII characters"
_KEY = re.compile(f"[!-~]{{1,{KEY_LENGTH}}}")
#: A turn id that stands for a key. No prefix is forbidden to clients, since some may use it already: 128 bits
#: of a digest are what keeps an id of theirs from being one by accident.
_KEYED = re.compile(r"key-[0-9a-f]{32}")


def checked_key(key: object, field: str = "key") -> str:
    """Return the idempotency key if it keeps the rule; raise `InvalidRequest` if it does not."""
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise InvalidRequest(f"{field} must be {KEY_RULE}", field=field)
    return key


def keyed_turn_id(user: str, session: SessionId, key: object) -> TurnId:
    """The id of the turn that this user's key stands for in that session; it never changes.

    Raises `InvalidRequest` for a key that breaks the rule.
    """
    # Neither a session nor a key has a space, so that no two of these read alike.
    named = f"{session} {checked_key(key)} {user}".encode(errors="surrogatepass")
    return TurnId(f"key-{hashlib.blake2b(named, digest_size=16).hexdigest()}")


def child_turn_id(parent: TurnRef, session: SessionId, key: object) -> TurnId:
    """The id of the turn that this turn's key stands for in that session; it never changes.

    Raises `InvalidRequest` for a key that breaks the rule.
    """
    named = f"{parent.session_id} {parent.turn_id} {session} {checked_key(key)}".encode()
    return TurnId(f"child-{hashlib.blake2b(named, digest_size=16).hexdigest()}")


def stands_for_key(turn: TurnId) -> bool:
    """Whether the turn id was made of a key."""
    return _KEYED.fullmatch(turn) is not None


def checked(text: object, field: str) -> str:
    """Return the text if it keeps the rule; raise `InvalidRequest` if it does not."""
    if not isinstance(text, str) or _ID.fullmatch(text) is None or text in RESERVED_IDS:
        raise InvalidRequest(f"{field} must be {ID_RULE}", field=field)
    return text


def session_id(text: object) -> SessionId:
    """Return the text as a session id; raise `InvalidRequest` if it breaks the rule."""
    return SessionId(checked(text, "session_id"))


def turn_id(text: object) -> TurnId:
    """Return the text as a turn id; raise `InvalidRequest` if it breaks the rule."""
    return TurnId(checked(text, "turn_id"))
