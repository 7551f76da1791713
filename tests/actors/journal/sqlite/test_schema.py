import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from turnkeeper.actors.journal.sqlite.schema import APPLICATION, OLDEST, STEPS, check, check_sqlite, migrate
from turnkeeper.actors.model.exceptions import JournalNotOpened, JournalTooNew


@pytest.fixture
def empty() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> list[str]:
    select = "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    return [sql for (sql,) in connection.execute(select)]


def test_an_empty_file_becomes_one_of_this_version(empty: sqlite3.Connection) -> None:
    assert check(empty) == 0
    migrate(empty, 0)
    assert check(empty) == len(STEPS)
    assert empty.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    before = tables(empty)
    migrate(empty, check(empty))
    assert tables(empty) == before


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_a_file_of_each_version_becomes_what_a_new_one_is(version: int, empty: sqlite3.Connection) -> None:
    migrate(empty, 0, STEPS[:version])
    migrate(empty, check(empty))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        migrate(new, 0)
        assert tables(empty) == tables(new)


def test_a_step_that_fails_leaves_the_file_as_it_was(empty: sqlite3.Connection) -> None:
    migrate(empty, 0)
    before = tables(empty)
    later = (*STEPS, "CREATE TABLE more (id);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(sqlite3.OperationalError):
        migrate(empty, len(STEPS), later)
    assert tables(empty) == before
    assert check(empty) == len(STEPS)


def test_a_step_keeps_what_is_in_the_file(empty: sqlite3.Connection) -> None:
    migrate(empty, 0)
    empty.execute("INSERT INTO said VALUES (1, 1, 0, 2, 7)")
    later = (*STEPS, "ALTER TABLE said ADD COLUMN more INTEGER NOT NULL DEFAULT 5;\n")
    migrate(empty, check(empty), later)
    assert check(empty, later) == len(STEPS) + 1
    assert empty.execute("SELECT * FROM said").fetchall() == [(1, 1, 0, 2, 7, 5)]


def test_a_file_of_a_newer_version_is_refused(empty: sqlite3.Connection) -> None:
    migrate(empty, 0, (*STEPS, ""))
    with pytest.raises(JournalTooNew):
        check(empty)


@pytest.mark.parametrize(
    "made", ["CREATE TABLE session (id)", "PRAGMA user_version = 1", f"PRAGMA application_id = {APPLICATION}"]
)
def test_a_file_of_another_program_is_refused(empty: sqlite3.Connection, made: str) -> None:
    empty.execute(made)
    with pytest.raises(JournalNotOpened, match="of another program"):
        check(empty)


def test_an_old_sqlite_is_refused() -> None:
    check_sqlite()
    check_sqlite(OLDEST)
    with pytest.raises(JournalNotOpened, match=r"SQLite is version 3.32.3, and a journal needs 3.33.0"):
        check_sqlite((3, 32, 3))
