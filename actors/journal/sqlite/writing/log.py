"""Writes appends, a group of them in one transaction."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeAlias, assert_never

from turnkeeper.actors.journal.contract import Addressee, Answer, Landed, Moved
from turnkeeper.actors.journal.fence import NOWHERE, Fence, fence
from turnkeeper.actors.journal.sqlite.database import Database
from turnkeeper.actors.journal.sqlite.rows import SessionRow
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import Durability

from . import tables
from .durability import flushes
from .group import Group, Next, Written

#: The answer to an append, and where it goes.
Addressed: TypeAlias = tuple[Addressee, Answer]
#: Of how many sessions the rows are remembered.
_KNOWN: Final = 4_096


class Log:
    """The logs of all sessions, for the one that writes them."""

    def __init__(self, database: Database, durability: Durability) -> None:
        self._database = database
        self._durability = durability
        self._next: Next | None = None
        #: The rows of the sessions that were last written to, as they are in the file.
        self._known: OrderedDict[SessionId, SessionRow] = OrderedDict()
        #: Whether what is written now may be in the file already.
        self.committing = False

    def write(self, appends: list[Written], patience: int) -> list[Addressed]:
        """Write those that fit, all or none, and say what is to be answered.

        ``patience`` is how long another program's lock is waited for, in milliseconds. Raises
        `sqlite3.Error`, `OSError` and `JournalDown`; while ``committing``, they may have been written.
        """
        flush = any(flushes(self._durability, append) for append, _ in appends)
        connection = self._database.begin(flush=flush, patience=patience)
        if self._next is None:
            self._next = tables.next_numbers(connection)
        group = Group(self._next)
        rows = self._rows(connection, [append.session_id for append, _ in appends])
        answers = [(written.append.to, _taken(group, rows, written)) for written in appends]
        tables.write(connection, group)
        for index, (to, answer) in enumerate(answers):
            row = rows.get(appends[index].append.session_id)
            if type(answer) is Moved and row is not None:
                # Not before: what came before it may be of the same group.
                after = appends[index].append.after or NOWHERE
                behind = tables.decisions_after(connection, row.number, after)
                answers[index] = to, Moved(answer.key, row.head, behind)
        self.committing = True
        connection.execute("COMMIT")
        self.committing = False
        self._know(rows)
        return answers

    def find(self, appends: Iterable[Written]) -> dict[str, Landed]:
        """Those of the appends that have been written, by their keys.

        Raises `sqlite3.Error`, `OSError` and `JournalDown`.
        """
        keys = {append.session_id: append.key for append, _ in appends}
        found = tables.sessions(self._database.open(), keys)
        landed = (row for row in found.values() if row.key == keys[row.id])
        return {row.key: Landed(row.key, row.head) for row in landed}

    def forget_known(self) -> None:
        """The file may have changed otherwise: look again."""
        self._known.clear()

    def _rows(self, connection: sqlite3.Connection, ids: list[SessionId]) -> dict[SessionId, SessionRow]:
        """Those of the sessions that have a log."""
        known = self._known
        unknown = {session_id for session_id in ids if session_id not in known}
        found = tables.sessions(connection, unknown) if unknown else {}
        found.update((session_id, known[session_id]) for session_id in ids if session_id in known)
        return found

    def _know(self, rows: dict[SessionId, SessionRow]) -> None:
        known = self._known
        for session_id, row in rows.items():
            known[session_id] = row
            known.move_to_end(session_id)
        while len(known) > _KNOWN:
            known.popitem(last=False)


def _taken(group: Group, rows: dict[SessionId, SessionRow], written: Written) -> Answer:
    """Have an append in the group if it fits, and say what is to be answered."""
    append = written.append
    row = rows.get(append.session_id)
    verdict = fence(None if row is None else row.stand, append)
    match verdict:
        case Fence.OPEN:
            if row is None:
                row = rows[append.session_id] = group.opens(append.session_id)
            return group.add(row, written)
        case Fence.WRITTEN:
            return Landed(append.key, NOWHERE if row is None else row.head)
        case Fence.MOVED:
            return Moved(append.key, NOWHERE if row is None else row.head, ())
        case _:
            assert_never(verdict)
