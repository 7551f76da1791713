"""The id of an event on a stream of several sessions: where each of them goes on. Pure.

``s1=1763842008123-4,s2=,s3=x``: s1 goes on after that event, s2 has not begun, and s3 was dropped. So an
EventSource, which repeats its last id and its old URL, goes on in each session that it followed last, and in
no other.
"""

from collections.abc import Iterable, Mapping

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import SessionId
from turnkeeper.web.http.problems import Code, Problem

#: How many sessions one stream may follow, and how many characters their ids may have together: the id of an
#: event is also a header of the next request.
MAX_SESSIONS = 32
MAX_CHARACTERS = 3_000
#: The cursor of a session that the URL names, and that was dropped.
DROPPED = "x"


def session_ids(text: str | None) -> tuple[SessionId, ...]:
    """The sessions that a URL names, separated by commas. Raises `InvalidRequest`, and `Problem` 422."""
    named = tuple(dict.fromkeys(ids.session_id(each) for each in text.split(","))) if text else ()
    check_sessions(named, "log_ids")
    return named


def check_sessions(sessions: Iterable[str], field: str) -> None:
    """Raise `Problem` 422 for more sessions than one stream may follow; ``field`` names them."""
    lengths = [len(each) for each in sessions]
    if len(lengths) > MAX_SESSIONS or sum(lengths) > MAX_CHARACTERS:
        text = f"{field} must be at most {MAX_SESSIONS} sessions, with {MAX_CHARACTERS} characters in all"
        raise Problem(Code.STREAM_TOO_WIDE, text, field=field)


def encode_cursors(cursors: Mapping[SessionId, str]) -> str:
    """The id of an event after which each session goes on like this."""
    return ",".join([f"{session}={cursor}" for session, cursor in cursors.items()])


def decode_cursors(text: str | None) -> dict[SessionId, str]:
    """Where each session goes on. Raises `InvalidRequest` for what is no such id."""
    found: dict[SessionId, str] = {}
    for part in text.split(",") if text else ():
        name, equals, cursor = part.partition("=")
        if not equals:
            raise InvalidRequest("last_event_id must be the id of an event", field="last_event_id")
        found[ids.session_id(name)] = cursor
    return found


def followed(named: Iterable[SessionId], last: Mapping[SessionId, str]) -> dict[SessionId, str]:
    """Where each session that is to be followed goes on: those of the URL, and those of the last id.

    Raises `Problem` 422 for too many.
    """
    cursors = {**dict.fromkeys(named, ""), **last}
    going = {session: cursor for session, cursor in cursors.items() if cursor != DROPPED}
    check_sessions(going, "log_ids")
    return going
