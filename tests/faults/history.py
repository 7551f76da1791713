"""What happened, and what is there at the end. Data.

Processes of the server are counted: the first one is incarnation 1, and the count moves on when the next one
is spawned. Moments are Unix seconds; ``asked_at`` is that of the request that was answered in the end.
"""

from pathlib import Path
from typing import Any, TypeAlias, assert_never

import msgspec


class _Record(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """One thing that happened."""


class Spawned(_Record, frozen=True, tag="spawned"):
    """A process of the server was started."""

    incarnation: int
    at: float


class Terminated(_Record, frozen=True, tag="terminated"):
    """It was asked to end; it is killed when its time for that is up."""

    incarnation: int
    at: float


class Killed(_Record, frozen=True, tag="killed"):
    """It was killed."""

    incarnation: int
    at: float


class SendAsked(_Record, frozen=True, tag="send_asked"):
    """A client is about to send; again with the same task where the connection broke."""

    session: str
    task: str
    agent: str
    text: str
    at: float


class SendAnswered(_Record, frozen=True, tag="send_answered"):
    """The send was acknowledged, and with it what became of the turn in its way."""

    session: str
    task: str
    asked_at: float
    at: float
    status: str
    repeated: bool = False
    superseded: str | None = None
    verdict: str | None = None


class SendRefused(_Record, frozen=True, tag="send_refused"):
    """The send was refused for good: it must have left nothing."""

    session: str
    task: str
    code: str


class CancelAnswered(_Record, frozen=True, tag="cancel_answered"):
    """A cancel was acknowledged: of which turn, and how that stood.

    ``remembered``: it came before its send, and is to count when that comes.
    """

    session: str
    task: str | None
    asked_at: float
    at: float
    verdict: str
    status: str | None = None
    remembered: bool = False


class TitleAsked(_Record, frozen=True, tag="title_asked"):
    """A client is about to give the session a title."""

    session: str
    title: str


class TitleAnswered(_Record, frozen=True, tag="title_answered"):
    """The title was acknowledged."""

    session: str
    title: str


class CloseAsked(_Record, frozen=True, tag="close_asked"):
    """A client is about to close the session, and to send nothing more."""

    session: str


class CloseAnswered(_Record, frozen=True, tag="close_answered"):
    """The close was acknowledged."""

    session: str


class Looked(_Record, frozen=True, tag="looked"):
    """A turn was asked for; ``None`` if the server did not know it."""

    session: str
    task: str
    asked_at: float
    status: str | None


class Denied(_Record, frozen=True, tag="denied"):
    """A request was refused that should not have been, or never answered."""

    session: str
    what: str
    code: str


class Broke(_Record, frozen=True, tag="broke"):
    """A request or a stream broke: what became of it is not known."""

    what: str
    incarnation: int
    why: str


class Connected(_Record, frozen=True, tag="connected"):
    """A reader is about to open its stream after that cursor: of a session, or of one of its turns."""

    reader: str
    session: str
    incarnation: int
    after: str | None = None
    task: str | None = None


class Seen(_Record, frozen=True, tag="seen"):
    """A reader saw an event."""

    reader: str
    id: str | None
    name: str
    text: str


class StreamRefused(_Record, frozen=True, tag="stream_refused"):
    """A reader was refused its stream."""

    reader: str
    code: str


class Stopped(_Record, frozen=True, tag="stopped"):
    """A reader was at the end: of its turn, or it had the time to see everything."""

    reader: str


Record: TypeAlias = (
    Spawned
    | Terminated
    | Killed
    | SendAsked
    | SendAnswered
    | SendRefused
    | CancelAnswered
    | TitleAsked
    | TitleAnswered
    | CloseAsked
    | CloseAnswered
    | Looked
    | Denied
    | Broke
    | Connected
    | Seen
    | StreamRefused
    | Stopped
)


class Event(msgspec.Struct, frozen=True):
    """An event as a replay shows it."""

    id: str | None
    name: str
    text: str


class AtTheEnd(msgspec.Struct, frozen=True, kw_only=True):
    """All that the server says of a session at the end. ``state`` is ``None`` if it does not know it.

    ``turns`` is the list, ``by_id`` each turn that a client has ever named: ``None`` for one that is not
    known. ``events`` is the replay from the beginning, ``streams`` some turns' own. ``listed`` are its lines
    in the list of all sessions.
    """

    state: str | None
    listed: tuple[dict[str, Any], ...] = ()
    turns: tuple[dict[str, Any], ...] = ()
    by_id: dict[str, dict[str, Any] | None] = {}
    messages: tuple[dict[str, Any], ...] = ()
    events: tuple[Event, ...] = ()
    streams: dict[str, tuple[Event, ...]] = {}


class History(msgspec.Struct):
    """One round.

    ``policies`` is what becomes of each agent's turns after a restart, ``attempts`` how many a turn has.
    """

    seed: str
    policies: dict[str, str]
    attempts: int
    records: list[Record] = []
    end: dict[str, AtTheEnd] = {}

    def add(self, record: Record) -> None:
        """Note one thing that happened."""
        self.records.append(record)

    def by_session(self) -> dict[str, list[Record]]:
        """What concerns each session, in its order."""
        found: dict[str, list[Record]] = {session: [] for session in self.end}
        session_of: dict[str, str] = {}
        for record in self.records:
            match record:
                case Connected():
                    session_of[record.reader] = session = record.session
                case Seen() | StreamRefused() | Stopped():
                    session = session_of[record.reader]
                case SendAsked() | SendAnswered() | SendRefused() | CancelAnswered() | Looked():
                    session = record.session
                case Denied() | TitleAsked() | TitleAnswered() | CloseAsked() | CloseAnswered():
                    session = record.session
                case Spawned() | Terminated() | Killed() | Broke():
                    continue
                case _:
                    assert_never(record)
            found.setdefault(session, []).append(record)
        return found

    def write(self, path: Path) -> None:
        """Write it to a file, as JSON."""
        path.write_bytes(msgspec.json.encode(self))


def read(path: Path) -> History:
    """The history that was written there."""
    return msgspec.json.decode(path.read_bytes(), type=History)
