import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from turnkeeper.actors.journal.sqlite.statements import put, put_over

OVER = "INSERT INTO thing VALUES {} ON CONFLICT (number) DO UPDATE SET name = excluded.name"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE thing (number INTEGER PRIMARY KEY, name TEXT)")
        yield made


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 33, 1_000, 3_999, 4_000, 4_001, 16_001])
def test_however_many_rows_there_are_each_is_written_and_no_other(
    connection: sqlite3.Connection, count: int
) -> None:
    first = [(n, f"first-{n}") for n in range(count)]
    again = [(n, f"again-{n}") for n in range(count)]
    put(connection, "INSERT INTO thing VALUES {}", list(first))
    assert connection.execute("SELECT * FROM thing ORDER BY number").fetchall() == first
    put_over(connection, OVER, list(again))
    assert connection.execute("SELECT * FROM thing ORDER BY number").fetchall() == again


def test_statements_that_write_over_rows_come_in_few_sizes() -> None:
    texts: set[str] = set()

    class Noting(sqlite3.Connection):
        def execute(self, sql: str, values: object = (), /) -> sqlite3.Cursor:  # type: ignore[override]
            texts.add(sql)
            return self.cursor()

    with closing(Noting(":memory:")) as noting:
        for count in range(1, 5_000):
            put_over(noting, OVER, [(1, "name")] * count)
    assert len(texts) < 50
