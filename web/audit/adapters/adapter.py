"""One kind of chat server: what to send to it, and how to read its answers. Pure.

An `Adapter` is data. turnkeeper's own is one like any other: the audit has no other way to turnkeeper.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .events import Events
from .verb import Call, Verb, word_at

#: The status that says that something will be done.
ACCEPTED = 202


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A Stop that is a request, and what its answer says."""

    request: Verb
    field: str = "status"
    """The field with the outcome in the answer; empty if any 2xx but 202 says that it has stopped."""
    words: tuple[str, ...] = ("stopped", "cancelled", "ok")
    """The outcomes that say that it has stopped."""

    def says_stopped(self, status: int, answer: Any) -> bool:
        """Whether the answer says that it has stopped."""
        if not 200 <= status < 300:
            return False
        if not self.field:
            return status != ACCEPTED
        return word_at(answer, self.field) in self.words


@dataclass(frozen=True, slots=True)
class HangUp:
    """A Stop that is the end of the connection on which the reply comes. It has no answer."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A request for a session, where the server gives sessions their ids."""

    request: Verb
    field: str
    """The field of the answer that has the session's id."""


PLAIN_SEND = Verb(path="/send", body='{"session": "{session}", "message": "{message}"}')
PLAIN_STOP = Stop(request=Verb(path="/stop", body='{"session": "{session}"}'))
PLAIN_STREAM = Verb("GET", "/stream/{session}")
PLAIN_EVENTS = Events()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One kind of chat server. The values here describe a plain one."""

    name: str = "server"
    opening: Opening | None = None
    """Without one, the client gives the session its id."""
    send: Verb = PLAIN_SEND
    send_turn: str = ""
    """The field with the turn's id in the answer to a send, or in its events; empty if there is none."""
    answers_with_stream: bool = False
    """Whether the answer to a send is the stream of its reply; else each session has one stream."""
    stop: Stop | HangUp | None = PLAIN_STOP
    """A Stop for whatever runs; ``None`` if every Stop has to name its turn."""
    stop_turn: Stop | None = None
    """A Stop that names its turn."""
    stream: Verb | None = PLAIN_STREAM
    """The session's stream; where the answer to a send is the stream, what a reader asks for who has lost it.

    ``None`` if that cannot be.
    """
    events: Events = PLAIN_EVENTS
    cursor_header: str = ""
    """The header with the cursor when a reader comes back; empty if there is none."""
    cursor_start: str = ""
    """The cursor before the reader has seen one; empty if the header is not sent then."""

    @property
    def chooses_turn(self) -> bool:
        """Whether the client gives the turn its id."""
        return "turn" in self.send.placeholders

    @property
    def can_race(self) -> bool:
        """Whether a Stop can be meant for a turn whose send has not been answered."""
        return isinstance(self.stop, HangUp) or (self.chooses_turn and self.stop_turn is not None)

    @property
    def knows_sessions(self) -> bool:
        """Whether the server is told which session a message belongs to."""
        return "session" in self.send.placeholders

    @property
    def can_come_back(self) -> bool:
        """Whether a reader who has dropped the connection can read on."""
        return self.stream is not None

    @property
    def comes_back_to_turn(self) -> bool:
        """Whether a reader who comes back has to name the turn."""
        return self.stream is not None and "turn" in self.stream.placeholders

    @property
    def unchecked(self) -> Iterable[str]:
        """What cannot be measured at such a server, and why."""
        if not self.can_come_back:
            yield "readers who come back: there is no request for the rest of a reply"
        if not self.knows_sessions:
            yield "turns that overlap: a message does not name its session"
        if self.stop_turn is None:
            yield "late Stops: a Stop does not name its turn"

    def turn_of(self, answer: Any) -> str:
        """The turn's id in the answer to a send, or in one of its events; empty if it is not there."""
        return word_at(answer, self.send_turn)

    def read(self, session: str, cursor: str, turn: str = "") -> Call:
        """The request for a stream, from the cursor on. There has to be such a request."""
        assert self.stream is not None
        cursor = cursor or self.cursor_start
        call = self.stream.fill(session=session, turn=turn, cursor=cursor)
        if self.cursor_header and cursor:
            call.headers[self.cursor_header] = cursor
        return call
