"""What a request says beside its body: its query parameters and headers, each read in one place."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from aiohttp import web

from turnkeeper.actors.model.exceptions import InvalidRequest

T_co = TypeVar("T_co", covariant=True)


class Where(StrEnum):
    """Where a parameter stands."""

    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """A query parameter or a header: how it is called, what it means, and how it is read."""

    name: str
    where: Where
    read: Callable[[str | None], T_co]
    """Its text, or ``None``, as a value. Raises `InvalidRequest`."""
    meaning: str

    def of(self, request: web.Request) -> T_co:
        """Its value in this request. Raises `InvalidRequest`."""
        said = request.query if self.where is Where.QUERY else request.headers
        return self.read(said.get(self.name))


def _read_wait(text: str | None) -> bool:
    match text:
        case None | "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise InvalidRequest("wait must be true or false", field="wait")


def _read_if_match(text: str | None) -> str | None:
    if text is None:
        return None
    tag = text.strip()
    if len(tag) < 3 or not (tag.startswith('"') and tag.endswith('"')) or '"' in tag[1:-1]:
        raise InvalidRequest('If-Match must be one task id in quotes: "<task_id>"', field="If-Match")
    return tag[1:-1]


def _read_close_on(text: str | None) -> bool:
    if text not in (None, "superseded"):
        raise InvalidRequest("close_on must be superseded", field="close_on")
    return text is not None


def _read_text(text: str | None) -> str | None:
    return text or None


WAIT = Parameter(
    "wait",
    Where.QUERY,
    _read_wait,
    "`false`: answer at once, instead of when the turn has started or settled.",
)
#: RFC 9110 section 13.1.1.
IF_MATCH = Parameter(
    "If-Match",
    Where.HEADER,
    _read_if_match,
    "Act only if this is the session's current or last turn: its task id, in quotes.",
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    Where.HEADER,
    _read_text,
    "Start after this event: `<epoch>-<n>`, or `0` for all that is kept. It wins over `last_event_id`.",
)
LAST_EVENT_ID_QUERY = Parameter(
    "last_event_id",
    Where.QUERY,
    _read_text,
    "The same, for a client that cannot send headers.",
)
CLOSE_ON = Parameter(
    "close_on",
    Where.QUERY,
    _read_close_on,
    "`superseded`: end the stream also when a turn is superseded.",
)
TICKET = Parameter(
    "ticket",
    Where.QUERY,
    lambda text: text,
    "A ticket for this stream, for a client that cannot send an `Authorization` header.",
)
