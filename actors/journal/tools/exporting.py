"""A journal as lines."""

import sqlite3
from collections.abc import Iterator
from typing import Final

import msgspec

from turnkeeper.actors.journal.entries import AttemptEnded, Ended, Started, decode
from turnkeeper.actors.model.exceptions import JournalCorrupt
from turnkeeper.actors.model.records import Epoch

from .file import Progress
from .lines import FORMAT, VERSION, Heading, Line, encode

_ENTRIES: Final = "SELECT position, body FROM entry WHERE session = ? ORDER BY id"
_EVENTS: Final = "SELECT body FROM event WHERE session = ? AND epoch = ? AND body IS NOT NULL ORDER BY n"


def lines(connection: sqlite3.Connection, progress: Progress = lambda _done, _all: None) -> Iterator[bytes]:
    """All that is in the file, each line without its end. Raises `sqlite3.Error` and `JournalCorrupt`."""
    counts = (
        "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM entry) "
        "+ (SELECT count(*) FROM event WHERE body IS NOT NULL)"
    )
    sessions, entries = connection.execute(counts).fetchone()
    yield encode(Heading(FORMAT, VERSION, sessions, entries))
    written = 0
    for number, session in connection.execute("SELECT number, id FROM session ORDER BY number"):
        for line in _of_session(connection, number, session):
            yield encode(line)
            written += 1
        progress(written, entries)
    if written != entries:
        raise JournalCorrupt(f"of {entries} entries {entries - written} belong to no session or turn")


def _of_session(connection: sqlite3.Connection, number: int, session: str) -> Iterator[Line]:
    """Its entries, and behind each that begins an epoch the events of that."""
    for position, body in connection.execute(_ENTRIES, (number,)):
        yield Line(session, position, msgspec.Raw(body.encode()))
        epoch = _begun(body, session, position)
        if epoch is not None:
            for (events,) in connection.execute(_EVENTS, (number, epoch)):
                yield Line(session, None, msgspec.Raw(events.encode()))


def _begun(body: str, session: str, position: int | None) -> Epoch | None:
    """The epoch that an entry begins."""
    try:
        entry = decode(body)
    except msgspec.DecodeError as error:
        raise JournalCorrupt(f"session {session}, position {position}: {error}") from error
    match entry:
        case Started(epoch=epoch) | AttemptEnded(epoch=epoch) | Ended(epoch=epoch):
            return epoch
        case _:
            return None
