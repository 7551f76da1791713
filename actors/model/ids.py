"""The rule for session ids and turn ids."""

import re

from .exceptions import InvalidRequest
from .records import SessionId, TurnId

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


def drawn_turn_id(incarnation: str, number: int) -> TurnId:
    """The id of the turn of that number, for a sender who chose none."""
    return TurnId(f"{incarnation}-{number}")


def drawn_by(turn: TurnId) -> str | None:
    """The incarnation that made this turn id up; ``None`` for an id that its sender chose."""
    drawn = _DRAWN.fullmatch(turn)
    return None if drawn is None else drawn[1]


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
