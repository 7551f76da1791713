"""What the model and the users of an audit write down. Data only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .plan import Fate


class RequestEnd(Enum):
    """How a request to the model ended."""

    FINISHED = "all tokens generated"
    CLIENT_LEFT = "the server hung up"
    AUDIT_OVER = "it was still running when the audit was over"


@dataclass(slots=True)
class ModelRequest:
    """A request to the model that carried a marker. ``tokens`` are when each was generated."""

    id: str
    session: str
    n: int
    began: float
    tokens: list[float] = field(default_factory=list)
    ended: float = math.inf
    end: RequestEnd = RequestEnd.AUDIT_OVER


@dataclass(frozen=True, slots=True)
class SendEntry:
    """A send, as its user saw it.

    Status 0 means that there was no answer, ``None`` that its user hung up before there was one.
    """

    session: str
    n: int
    asked: float
    answered: float
    status: int | None
    fate: Fate


@dataclass(frozen=True, slots=True)
class StopEntry:
    """A Stop, as its user saw it. A late one named a turn that was over.

    Status 0 means that there was no answer, ``None`` that there can be none: the user hung up, or had no
    id by which to stop.
    """

    session: str
    n: int
    asked: float
    answered: float
    status: int | None
    said_stopped: bool
    late: bool = False


class StreamEnd(Enum):
    """How the stream of one reply ended, for a reader who stayed."""

    MARKED = "its last event said so"
    CLOSED = "the server closed it without a word"
    OPEN = "it was still open when its reader left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The stream of one reply, as its reader saw it.

    ``end`` is ``None`` if the reader hung up, or was refused. ``gone`` is when the server said that there was
    nothing to come back to.
    """

    n: int
    end: StreamEnd | None
    gone: float | None = None


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """Everything that a session's reader received, in order, as (request, number of the token).

    ``forgotten`` is what was received before the server said that it begins again. ``first`` is when the
    first token of each request was received by a reader who was not slow. ``replies`` are empty where a
    session has one stream.
    """

    session: str
    tokens: tuple[tuple[str, int], ...]
    forgotten: tuple[tuple[str, int], ...] = ()
    first: Mapping[str, float] = field(default_factory=dict)
    replies: tuple[Reply, ...] = ()
    left: float = math.inf


@dataclass(frozen=True, slots=True)
class Inside:
    """What was left in the server when all turns were over.

    ``processes`` are the names of those that came up meanwhile and still ran, ``working`` is how many threads
    went on working. There were ``threads_before`` and then ``threads`` of them in all.
    """

    processes: tuple[str, ...]
    working: int
    threads_before: int
    threads: int


@dataclass(slots=True)
class AuditLog:
    """Everything that was written down."""

    requests: list[ModelRequest] = field(default_factory=list)
    unmarked: int = 0
    """How many requests carried no marker, such as one for a title."""
    sends: list[SendEntry] = field(default_factory=list)
    stops: list[StopEntry] = field(default_factory=list)
    reads: list[ReadEntry] = field(default_factory=list)
    out_of_time: int = 0
    """How many users did not finish in time."""
    inside: Inside | None = None
    not_inside: str = "it was not looked for"
    """Why it is not known what was left in the server, if it is not."""
