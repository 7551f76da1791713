"""Lines as a new journal, written by what writes any journal."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from turnkeeper.actors.journal.contract import Append, Head, Landed
from turnkeeper.actors.journal.entries import BESIDE, Entry, decode
from turnkeeper.actors.journal.fence import NOWHERE as NO_HEAD
from turnkeeper.actors.journal.sqlite.database import PATIENCE
from turnkeeper.actors.journal.sqlite.failures import code_of
from turnkeeper.actors.journal.sqlite.writing.group import Written
from turnkeeper.actors.journal.sqlite.writing.log import Log
from turnkeeper.actors.model.exceptions import TurnkeeperError
from turnkeeper.actors.model.ids import session_id
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import Durability

from .file import Progress, made
from .lines import FORMAT, VERSION, Heading, decode_heading, decode_line
from .rebuild import NOWHERE

#: How many entries, of how many bytes, are written together.
_GROUP: Final = 2_000
_BYTES: Final = 8 << 20


class NotImported(TurnkeeperError):
    """What is to be imported is not what was exported; the text names the line."""

    code = "NOT_IMPORTED"


def read_in(lines: Iterable[bytes], path: Path, progress: Progress = lambda _done, _all: None) -> Heading:
    """Write lines into a new file; return what was in them. After a failure there is no file.

    Raises `NotImported`, `JournalNotOpened` and `JournalDown`.
    """
    numbered = enumerate(lines, 1)
    heading = _heading(next(numbered, (1, b""))[1])
    with made(path) as database:
        importer = _Importer(Log(database, Durability.NORMAL))
        for number, line in numbered:
            importer.add(number, line)
            if importer.is_full:
                importer.flush()
                progress(importer.entries, heading.entries)
        importer.flush()
        if (len(importer.heads), importer.entries) != (heading.sessions, heading.entries):
            raise NotImported(
                f"it ends early: there are {importer.entries} entries of {len(importer.heads)} sessions, "
                f"and there should be {heading.entries} of {heading.sessions}"
            )
        progress(importer.entries, heading.entries)
    return heading


def _heading(line: bytes) -> Heading:
    try:
        heading = decode_heading(line)
    except msgspec.DecodeError as error:
        raise NotImported(f"line 1: this is no exported journal: {error}") from error
    if heading.format != FORMAT:
        raise NotImported("line 1: this is no exported journal")
    if heading.version > VERSION:
        raise NotImported("line 1: a newer turnkeeper has exported it")
    return heading


class _Importer:
    """Turns lines into appends, and has them written."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: list[tuple[int, Written]] = []
        self._bytes = 0
        #: Where each session stands, when all that waits is written.
        self.heads: dict[SessionId, Head] = {}
        self.entries = 0

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= _GROUP or self._bytes >= _BYTES

    def add(self, number: int, line: bytes) -> None:
        """One more line. Raises `NotImported`."""
        try:
            said = decode_line(line)
            session, body = session_id(said.session), bytes(said.entry)
            entry: Entry = decode(body)
        except (msgspec.DecodeError, TurnkeeperError, UnicodeDecodeError) as error:
            raise NotImported(f"line {number}: {error}") from error
        after = self.heads.get(session)
        beside = isinstance(entry, BESIDE)
        head = (after or NO_HEAD) if beside else Head((after or NO_HEAD) + 1)
        if said.position != (None if beside else head):
            expected = "no position" if beside else f"position {head}"
            raise NotImported(f"line {number}: session {session} has {expected} next, not {said.position}")
        self.heads[session] = head
        append = Append(session, after, (entry,), f"import-{number}", NOWHERE)
        self._waiting.append((number, Written(append, (body,))))
        self._bytes += len(body)
        self.entries += 1

    def flush(self) -> None:
        """Write what waits. Raises `NotImported` and `sqlite3.Error`."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for number, answer in self._written(waiting):
            if not isinstance(answer, Landed):
                raise NotImported(f"line {number}: it cannot follow what comes before it")

    def _written(self, waiting: list[tuple[int, Written]]) -> Iterator[tuple[int, object]]:
        if not waiting:
            return
        try:
            answers = self._log.write([written for _, written in waiting], PATIENCE)
        except (OSError, TurnkeeperError):
            raise
        except Exception as error:
            if code_of(error) is not None:
                raise
            first, last = waiting[0][0], waiting[-1][0]
            raise NotImported(
                f"lines {first} to {last}: an entry cannot follow what comes before it: {error!r}"
            ) from error
        for (number, _), (_, answer) in zip(waiting, answers, strict=True):
            yield number, answer
