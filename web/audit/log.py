"""What the model and the users of an audit write down. Data only."""

import math
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
    """A send, as its user saw it. Status 0 means that there was no answer."""

    session: str
    n: int
    asked: float
    answered: float
    status: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class StopEntry:
    """A Stop, as its user saw it. A late one named a turn that was over."""

    session: str
    n: int
    asked: float
    answered: float
    status: int
    said_stopped: bool
    late: bool = False


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """Everything that a session's reader received, in order, as (request, number of the token)."""

    session: str
    tokens: tuple[tuple[str, int], ...]


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
