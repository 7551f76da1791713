"""SQLite alone: the rows of a journal, which were worked out before, written again by `executemany`."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from turnkeeper.actors.journal.sqlite.database import create, open_to_write

Row = tuple[Any, ...]
#: The tables, and how many of a turn's two appends write its row there.
TABLES = {"entry": 1, "event": 1, "said": 1, "turn": 2, "session": 2}


def _parts(rows: list[Row], count: int) -> Iterator[list[Row]]:
    for n in range(count):
        yield rows[len(rows) * n // count : len(rows) * (n + 1) // count]


@dataclass(frozen=True)
class Raw:
    """Rows of so many turns, by table."""

    turns: int
    rows: dict[str, list[Row]]

    @classmethod
    def of(cls, path: Path, most: int) -> Self:
        """Those of a journal that is closed, of at most so many turns."""
        connection = sqlite3.connect(path)
        try:
            (turns,) = connection.execute("SELECT min(count(*), ?) FROM turn", (most,)).fetchone()
            among = f"WHERE {{}} <= {turns}"
            wheres = {
                "turn": among.format("number"),
                "entry": among.format("turn"),
                "event": among.format("turn"),
            }
            rows = {
                table: connection.execute(f"SELECT * FROM {table} {wheres.get(table, '')}").fetchall()
                for table in TABLES
            }
        finally:
            connection.close()
        rows["said"] = rows["said"][:turns]
        # The row of a session is written with each append of one of its turns.
        sessions = rows["session"]
        rows["session"] = [sessions[n % len(sessions)] for n in range(turns)]
        return cls(turns, rows)

    def write(self, path: Path, group: int) -> float:
        """Write them to a new file as groups of so many appends are; how many turns that is a second."""
        create(path)
        connection = open_to_write(path)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            transactions = list(self._transactions(max(1, 2 * self.turns // group)))
            began = time.perf_counter()
            for transaction in transactions:
                connection.execute("BEGIN IMMEDIATE")
                for table, rows in transaction:
                    values = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({values})", rows)
                connection.execute("COMMIT")
            return self.turns / (time.perf_counter() - began)
        finally:
            connection.close()

    def _transactions(self, count: int) -> Iterator[list[tuple[str, list[Row]]]]:
        twice = max(1, count // 2)
        for n in range(count):
            transaction = []
            for table, times in TABLES.items():
                parts = list(_parts(self.rows[table], count if times == 1 else twice))
                part = parts[n] if times == 1 else parts[n // 2 % twice]
                if part:
                    transaction.append((table, part))
            yield transaction
