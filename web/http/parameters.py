"""What a request says beside its body, in its path, its query and its headers: each is read in one place."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar, assert_never

from aiohttp import web
from msgspec import Meta

from turnkeeper.actors.admission.page import MOST, USUAL, check_limit
from turnkeeper.actors.events.reaction import close_on_named
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.model.words import CloseOn, QueueMode, SessionState
from turnkeeper.actors.policy.resolve import queue_mode
from turnkeeper.actors.registry.lists import state_named
from turnkeeper.web.openapi.operation import Parameter, Where

from .several.cursors import MAX_SESSIONS, session_ids

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Readable(Parameter, Generic[T_co]):
    """A parameter that can be read."""

    read: Callable[[str | None], T_co]
    """Its text, or ``None``, as a value. Raises `InvalidRequest`."""
    _texts: Callable[[web.Request], Mapping[str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Choose once where its text is found, as it is read with every request."""
        object.__setattr__(self, "_texts", _texts(self.where))

    def of(self, request: web.Request) -> T_co:
        """Its value in this request. Raises `InvalidRequest`."""
        return self.read(self._texts(request).get(self.name))


def _texts(where: Where) -> Callable[[web.Request], Mapping[str, str]]:
    """What stands there in a request, by name."""
    match where:
        case Where.PATH:
            return attrgetter("match_info")
        case Where.QUERY:
            return attrgetter("query")
        case Where.HEADER:
            return attrgetter("headers")
        case _:
            assert_never(where)


def _true_unless(name: str) -> Callable[[str | None], bool]:
    """Reads what is true unless it is said to be false."""

    def read(text: str | None) -> bool:
        match text:
            case None | "true" | "1":
                return True
            case "false" | "0":
                return False
            case _:
                raise InvalidRequest(f"{name} must be true or false", field=name)

    return read


def _false_unless(name: str) -> Callable[[str | None], bool]:
    def read(text: str | None) -> bool:
        match text:
            case None | "false" | "0":
                return False
            case "true" | "1":
                return True
            case _:
                raise InvalidRequest(f"{name} must be true or false", field=name)

    return read


def _read_if_match(text: str | None) -> str | None:
    if text is None:
        return None
    tag = text.strip()
    if len(tag) < 3 or not (tag.startswith('"') and tag.endswith('"')) or '"' in tag[1:-1]:
        raise InvalidRequest('If-Match must be one task id in quotes: "<task_id>"', field="If-Match")
    return tag[1:-1]


def _read_key(text: str | None) -> str | None:
    if text is None:
        return None
    if re.fullmatch(_KEY, text) is None:
        raise InvalidRequest(
            f"Idempotency-Key must be {ids.KEY_RULE}, bare or in quotes", field="Idempotency-Key"
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _read_close_on(text: str | None) -> CloseOn | None:
    return None if text is None else close_on_named(text)


def _read_text(text: str | None) -> str | None:
    return text or None


def _as_it_is(text: str | None) -> str | None:
    return text


def _read_state(text: str | None) -> SessionState | None:
    return None if text is None else state_named(text)


def _read_limit(text: str | None) -> int | None:
    return None if text is None else check_limit(_number(text))


def _read_before(text: str | None) -> int | None:
    before = None if text is None else _number(text)
    if isinstance(before, str):
        raise InvalidRequest("before must be a number of messages", field="before")
    return before


def _number(text: str) -> int | str:
    """The number that is written there in a few digits, or else the text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _like(*examples: str, **schema: Any) -> Meta:
    return Meta(examples=list(examples) or None, extra_json_schema=schema or None)


#: An idempotency key, bare or as a string of RFC 9651 (section 3.3.3), which is the same key.
_KEY = f'[!#-~][!-~]{{0,{ids.KEY_LENGTH - 1}}}|"([!#-\\[\\]-~]|\\\\["\\\\]){{1,{ids.KEY_LENGTH}}}"'
#: The schema of an id.
_ID = {"pattern": f"^{ids.ID_PATTERN}$"}

LOG_ID: Readable[SessionId] = Readable(
    "log_id", Where.PATH, Annotated[str, _like("s1", **_ID)], "The session.", ids.session_id
)
TASK_ID: Readable[TurnId] = Readable(
    "task_id", Where.PATH, Annotated[str, _like("t1", **_ID)], "The turn.", ids.turn_id
)
WAIT = Readable(
    "wait",
    Where.QUERY,
    Annotated[bool, _like(default=True)],
    "`false`: answer at once, instead of when the turn has started or settled.",
    _true_unless("wait"),
)
QUEUE = Readable(
    "queue",
    Where.QUERY,
    Annotated[QueueMode, _like("clear")],
    "What becomes of the turns that wait for the session; if left out, `keep` where the path names a turn, "
    "else `clear`.",
    lambda text: None if text is None else queue_mode(text),
)
FREE = Readable(
    "free",
    Where.QUERY,
    Annotated[bool, _like(default=False)],
    "`true`: forget the session and whose it was, so that its id is free again. For admins only.",
    _false_unless("free"),
)
FORCE = Readable(
    "force",
    Where.QUERY,
    Annotated[bool, _like(default=False)],
    "`true`: do not wait for a step of the turn that must not be interrupted. For admins only.",
    _false_unless("force"),
)
#: RFC 9110 section 13.1.1.
IF_MATCH = Readable(
    "If-Match",
    Where.HEADER,
    Annotated[str, _like('"t1"', pattern='^"[A-Za-z0-9._:@-]{1,200}"$')],
    "Act only if this is the session's current or last turn: its task id, in quotes.",
    _read_if_match,
)
#: As in draft-ietf-httpapi-idempotency-key-header.
IDEMPOTENCY_KEY = Readable(
    "Idempotency-Key",
    Where.HEADER,
    Annotated[str, _like("8e03978e-40d5-43dd-bc93-6894a57f9324", pattern=f"^({_KEY})$")],
    "Send this once: a retry with the same key and message answers with the turn of the first try. It goes "
    "without `task_id`.",
    _read_key,
)
LAST_EVENT_ID = Readable(
    "Last-Event-ID",
    Where.HEADER,
    Annotated[str, _like("0")],
    "Start after this event: `<epoch>-<n>`, or `0` for all that is kept. It wins over `last_event_id`.",
    _read_text,
)
LAST_EVENT_ID_QUERY = Readable(
    "last_event_id",
    Where.QUERY,
    Annotated[str, _like("0")],
    "The same, for a client that cannot send headers.",
    _read_text,
)
CLOSE_ON = Readable(
    "close_on",
    Where.QUERY,
    CloseOn,
    "What ends the stream, beside the ends that are final; if left out, what the server is set to.",
    _read_close_on,
)
FOLLOW = Readable(
    "follow",
    Where.QUERY,
    Annotated[bool, _like(default=True)],
    "`false`: end the stream, without a `close`, after what is kept now.",
    _true_unless("follow"),
)
TICKET = Readable(
    "ticket",
    Where.QUERY,
    str,
    "A ticket for this stream, for a client that cannot send an `Authorization` header.",
    _as_it_is,
)
LOG_IDS: Readable[tuple[SessionId, ...]] = Readable(
    "log_ids",
    Where.QUERY,
    Annotated[str, _like("s1,s2")],
    f"The sessions to follow, separated by commas: at most {MAX_SESSIONS}.",
    session_ids,
)
_NAME_OF_A_STREAM = Annotated[str, _like("page-7", **_ID)]
STREAM = Readable(
    "stream",
    Where.QUERY,
    _NAME_OF_A_STREAM,
    "A name for this stream, chosen by the client, by which sessions are added and dropped.",
    lambda text: None if text is None else ids.checked(text, "stream"),
)
STREAM_NAME = Readable(
    "stream",
    Where.QUERY,
    _NAME_OF_A_STREAM,
    "The name of the stream.",
    lambda text: ids.checked(text, "stream"),
    required=True,
)
LAST_IDS = Readable(
    "Last-Event-ID",
    Where.HEADER,
    Annotated[str, _like("s1=1763842008123-4,s2=")],
    "The id of the last event: each session goes on from there. It wins over `last_event_id`.",
    _read_text,
)
AGENT = Readable(
    "agent",
    Where.QUERY,
    Annotated[str, _like("coder")],
    "The name of the agent; if left out, the default one.",
    _read_text,
)
USER = Readable(
    "user",
    Where.QUERY,
    Annotated[str, _like("ada")],
    "Only the sessions of this user. Of other users' only an admin sees any.",
    _read_text,
)
STATE = Readable(
    "state",
    Where.QUERY,
    SessionState,
    "Only sessions in this state; if left out, all but the closed ones.",
    _read_state,
)
Q = Readable(
    "q",
    Where.QUERY,
    Annotated[str, _like("turns")],
    "Only sessions with this text in their title, in whatever case.",
    _read_text,
)
BEFORE = Readable(
    "before",
    Where.QUERY,
    str,
    "Go on after an earlier page: its `before`. If left out, the list is shown from its beginning.",
    _as_it_is,
)
BEFORE_MESSAGE = Readable(
    "before",
    Where.QUERY,
    Annotated[int, Meta(ge=0)],
    "Only the messages before so many: go on before an earlier page with its `omitted`.",
    _read_before,
)
LIMIT = Readable(
    "limit",
    Where.QUERY,
    Annotated[int, Meta(ge=1, le=MOST)],
    f"How long the page may be, at most {MOST}; if left out, {USUAL}, and of messages as many as fit.",
    _read_limit,
)
