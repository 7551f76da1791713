"""What is wrong with a journal's file: not only whether it can be read, but whether it makes sense.

The log of each session is read from its first entry on. What else is in the tables has to be what the log
says, because lists, pages and loads trust it; and what a load makes of it has to be what the whole log comes
to.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.journal.contract import Head, Tail
from turnkeeper.actors.journal.durable import Durable
from turnkeeper.actors.journal.entries import Accepted, Ended, Entry, Events, Opened, Started, decode
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.journal.sqlite.failures import words
from turnkeeper.actors.journal.sqlite.reading.load import load
from turnkeeper.actors.journal.sqlite.rows import SESSION, TURN, SessionRow
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.model.value import value
from turnkeeper.actors.session.settings import Settings

from .file import Progress
from .rebuild import EntryRow, Rebuild

#: How many faults of SQLite's own are named.
_MOST: Final = 100
_SETTINGS: Final = Settings()
_LIMITS: Final = _SETTINGS.limits
_TAIL: Final = Tail(events=1, event_bytes=1, messages=1, message_bytes=1, limits=_LIMITS)
#: What the log does not say: a row's number, and which append was the last.
_BESIDE_THE_LOG: Final = ("number", "key")


@value
class Fault:
    """Something that is wrong: in which session, if it is in one, and behind which position of its log."""

    session: str | None
    position: int | None
    text: str


def faults(connection: sqlite3.Connection, progress: Progress = lambda _done, _all: None) -> Iterator[Fault]:
    """All that is wrong with the file that the connection reads."""
    try:
        for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST})"):
            if line != "ok":
                yield Fault(None, None, f"SQLite finds: {line}")
        yield from _ownerless(connection)
        (count,) = connection.execute("SELECT count(*) FROM session").fetchone()
        select = f"SELECT {', '.join(SESSION)} FROM session ORDER BY number"
        for done, row in enumerate(connection.execute(select)):
            progress(done, count)
            yield from _of_session(connection, SessionRow(*row))
        progress(count, count)
    except sqlite3.Error as error:
        yield Fault(None, None, f"the rest cannot be read: {words(error)}")


def _ownerless(connection: sqlite3.Connection) -> Iterator[Fault]:
    """Rows of sessions that are not there."""
    for table in ("entry", "event", "turn", "said"):
        select = f"SELECT count(*) FROM {table} WHERE session NOT IN (SELECT number FROM session)"
        (count,) = connection.execute(select).fetchone()
        if count:
            yield Fault(None, None, f"{count} rows of the table {table} belong to no session")


def _of_session(connection: sqlite3.Connection, row: SessionRow) -> Iterator[Fault]:
    try:
        for position, text in _Session(connection, row).faults():
            yield Fault(row.id, position, text)
    except sqlite3.Error as error:
        yield Fault(row.id, None, f"it cannot be read: {words(error)}")


class _Session:
    """One session, and what of its log has been read."""

    def __init__(self, connection: sqlite3.Connection, row: SessionRow) -> None:
        self._connection = connection
        self._row = row
        self._rebuild = Rebuild(row.id, row.number)
        self._durable = Durable(row.id)
        self._begun: set[TurnId] = set()
        self._ended: set[TurnId] = set()
        self._size = 0
        #: Whether the log cannot be followed any further.
        self._is_lost = False

    def faults(self) -> Iterator[tuple[int | None, str]]:
        """What is wrong with it, and where."""
        select = "SELECT id, session, position, turn, body FROM entry WHERE session = ? ORDER BY id"
        whole = True
        for row in self._connection.execute(select, (self._row.number,)):
            stored = EntryRow(*row)
            for text in self._of_entry(stored):
                yield stored.position, text
                whole = False
            if self._is_lost:
                return
        if not whole:
            return  # what follows from the log says no more than that
        for text in (*self._of_events(), *self._of_rows(), *self._of_load()):
            yield None, text

    # -- The log ------------------------------------------------------------------------------------------

    def _of_entry(self, stored: EntryRow) -> Iterator[str]:
        try:
            entry = decode(stored.body)
        except msgspec.DecodeError as error:
            self._is_lost = True
            yield f"the entry is none: {error}"
            return
        self._size += len(stored.body.encode())
        yield from self._of_order(entry)
        try:
            made = self._rebuild.add(stored, entry)
            self._durable = fold(self._durable, [entry], _LIMITS)
        except (KeyError, ValueError, AssertionError) as error:
            self._is_lost = True
            yield f"the entry {type(entry).__name__} cannot follow what comes before it: {error}"
            return
        if made.position != stored.position:
            yield f"the position is {stored.position}, and the next one is {made.position}"
            if stored.position is not None:
                self._rebuild.row.head = Head(stored.position)
        if made.turn != stored.turn:
            yield f"the entry {type(entry).__name__} is filed under another turn"

    def _of_order(self, entry: Entry) -> Iterator[str]:
        """One beginning and one end for each turn, and one beginning for the session."""
        if (type(entry) is Opened) != (self._rebuild.row.head == 0):
            yield "the log does not begin with the entry Opened, or has another one"
        match entry:
            case Accepted(spec) | Started(spec=spec) if spec is not None:
                if spec.head.turn_id in self._begun:
                    yield f"turn {spec.head.turn_id} begins a second time"
                self._begun.add(spec.head.turn_id)
            case Ended(turn_id):
                if turn_id in self._ended:
                    yield f"turn {turn_id} ends a second time"
                self._ended.add(turn_id)
            case _:
                pass

    # -- What follows from it -----------------------------------------------------------------------------

    def _of_events(self) -> Iterator[str]:
        """The ids of all events, without holes, and those of turnkeeper's own as the log says."""
        select = "SELECT epoch, n, turn, body FROM event WHERE session = ? ORDER BY epoch, n"
        own: list[tuple[Any, ...]] = []
        at, following = 0, 0
        for epoch, n, turn, body in self._connection.execute(select, (self._row.number,)):
            if epoch != at:
                at, following = epoch, 0
            if n != following:
                yield f"the event {epoch}-{following} is missing, or there twice"
            following = n + 1
            if body is None:
                own.append((self._row.number, epoch, n, turn, None))
                continue
            self._size += len(body.encode())
            try:
                entry = decode(body)
            except msgspec.DecodeError as error:
                yield f"the events from {epoch}-{n} on cannot be read: {error}"
                continue
            if type(entry) is not Events or (entry.epoch, entry.n) != (epoch, n):
                yield f"the events from {epoch}-{n} on are filed under the wrong id"
            else:
                following = n + len(entry.events)
        if own != sorted(self._rebuild.own_events):
            yield "the events of turnkeeper's own are not those that the log says"

    def _of_rows(self) -> Iterator[str]:
        """The session's own row, its turns, and what was said."""
        made, number = self._rebuild.row, (self._row.number,)
        made.size = self._size
        for name in SESSION:
            is_there, is_to_be = getattr(self._row, name), getattr(made, name)
            if name not in _BESIDE_THE_LOG and is_there != is_to_be:
                yield f"{name} is {_short(is_there)}, and the log says {_short(is_to_be)}"
        rows = self._connection.execute(f"SELECT {', '.join(TURN)} FROM turn WHERE session = ?", number)
        turns = {turn[0]: tuple(turn) for turn in rows}
        to_be = {of: msgspec.structs.astuple(turn) for of, turn in self._rebuild.turns.items()}
        for of in sorted(turns.keys() | to_be.keys()):
            if turns.get(of) != to_be.get(of):
                turn_id = (turns.get(of) or to_be[of])[TURN.index("id")]
                yield f"the row of turn {turn_id} is not what the log says"
        select = "SELECT session, first, count, entry FROM said WHERE session = ? ORDER BY first"
        if self._connection.execute(select, number).fetchall() != self._rebuild.said:
            yield "the messages are not those that the log says"

    def _of_load(self) -> Iterator[str]:
        """What a load makes of it is what the whole log comes to."""
        try:
            loaded = load(self._connection, SessionId(self._row.id), _TAIL, Sizes.of(_SETTINGS))
            assert loaded is not None, "its row is there"
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the session cannot be loaded
            yield f"it cannot be loaded: {type(error).__name__}: {error}"
            return
        if loaded.durable != self._durable:
            yield "what is loaded is not what the log comes to"


def _short(of: Any) -> str:
    text = repr(of)
    return text if len(text) <= 60 else f"{text[:60]}..."
