"""What is said of one route, so that it can be served, and documented, from one place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, Protocol

JSON, PROBLEM_JSON = "application/json", "application/problem+json"
EVENT_STREAM, TEXT = "text/event-stream", "text/plain"


class Where(StrEnum):
    """Where a parameter stands."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


class Who(Enum):
    """Who may ask."""

    ANYONE = auto()
    """Everyone, from everywhere: no identity is asked for."""
    VISITORS = auto()
    """The same, but a server without tokens answers this machine only."""
    USERS = auto()
    """Users with the scope `chat`, about their own sessions, or `admin`, about everyone's."""
    TICKETS = auto()
    """The same, or the holder of a ticket for the session."""
    SCRAPERS = auto()
    """Users with the scope `metrics`, or `admin`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path or the query, or a header."""

    name: str
    where: Where
    kind: Any
    """The type of its value; what its schema says further stands in an `Annotated` with a `msgspec.Meta`."""
    meaning: str
    required: bool = field(default=False, kw_only=True)
    """Whether a request without it is refused. That of a path always is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the answers of a route, when all is well."""

    kind: Any
    """The type of its body, or `None` if it has none."""
    meaning: str
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The headers that matter to a client, each with what it says."""


class Meant(Protocol):
    """A member of an enum that says what it means."""

    @property
    def value(self) -> str:
        """As it is written."""
        ...

    @property
    def meaning(self) -> str:
        """What it means."""
        ...


class Refusal(Meant, Protocol):
    """A code that a route may refuse with."""

    @property
    def status(self) -> int:
        """Its HTTP status."""
        ...

    @property
    def status_text(self) -> str:
        """That status in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route, as it is documented."""

    method: str
    path: str
    tag: str
    """The group of routes that it is listed with."""
    summary: str
    about: str = ""
    """What it does, in a few sentences."""
    who: Who = Who.USERS
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    """The type of its body, or `None` if it has none."""
    examples: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Bodies to try, by what they show."""
    answers: Mapping[int, Answer]
    """What is answered when all is well, by status."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def name(self) -> str:
        """A name of its own, for generated clients: ``post_chat_log_id_send``."""
        return "_".join([self.method.lower(), *re.findall(r"\w+", self.path)])
