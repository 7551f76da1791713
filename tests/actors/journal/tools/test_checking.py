"""What is wrong with a file is named, and nothing is wrong with what was written."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.journal.logs import Told, append, ended, events, head_after, one_turn, opened, spec, started
from tests.actors.journal.tools.files import written
from turnkeeper.actors.journal.contract import Append, Head
from turnkeeper.actors.journal.entries import Titled
from turnkeeper.actors.journal.sqlite import SqliteJournal
from turnkeeper.actors.journal.tools.checking import Fault, faults
from turnkeeper.actors.journal.tools.file import looked_at
from turnkeeper.actors.model.records import SessionId


def found(path: Path) -> list[Fault]:
    with looked_at(path) as connection:
        return list(faults(connection))


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(3, 80))
def test_nothing_is_wrong_with_what_was_written(seed: int, steps: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "turnkeeper.db"
        asyncio.run(written(path, Random(seed), steps))
        assert found(path) == []


async def sound(path: Path) -> None:
    """Two sessions: in s1 a turn has ended and another one runs; s2 is beside it."""
    journal = SqliteJournal(path)
    await journal.open()
    head = await one_turn(journal, "s1", said=["hello", "hi"], data=["a", "b"])
    await append(journal, "s1", head, Titled("Hello"), started("t2", 2, at=3.0))
    await append(journal, "s1", head, events(2, 1, "c"))
    await one_turn(journal, "s2")
    await journal.close()


#: What is done to a file, and what is to be found then: where, and in which words.
DAMAGE: list[tuple[str, str | None, int | None, str]] = [
    ("DELETE FROM entry WHERE session = 1 AND position = 2", "s1", 3, "cannot follow what comes before it"),
    ("UPDATE entry SET position = 9 WHERE session = 1 AND position = 4", "s1", 9, "position is 9,"),
    ("UPDATE entry SET turn = 7 WHERE session = 1 AND position = 3", "s1", 3, "under another turn"),
    ("UPDATE entry SET body = '{' WHERE session = 1 AND position = 3", "s1", 3, "the entry is none"),
    ("UPDATE entry SET body = (SELECT body FROM entry WHERE position = 1) WHERE session = 1 AND position = 3",
     "s1", 3, "does not begin with the entry Opened, or has another one"),
    ("UPDATE session SET owner = 'eve' WHERE id = 's1'", "s1", None, "the log says 'ada'"),
    ("UPDATE session SET title = NULL WHERE id = 's1'", "s1", None, "title is None"),
    ("UPDATE session SET head = 3 WHERE id = 's1'", "s1", None, "head is 3, and the log says 4"),
    ("UPDATE session SET state = 'idle', in_flight = 0 WHERE id = 's1'", "s1", None, "in_flight is 0"),
    ("UPDATE session SET size = size + 1 WHERE id = 's1'", "s1", None, "size is"),
    ("UPDATE session SET messages = 1 WHERE id = 's1'", "s1", None, "messages is 1, and the log says 2"),
    ("UPDATE turn SET open = NULL WHERE id = 't2'", "s1", None, "the row of turn t2 is not"),
    ("DELETE FROM turn WHERE id = 't2'", "s1", None, "the row of turn t2 is not"),
    ("DELETE FROM said WHERE session = 1", "s1", None, "the messages are not those that the log says"),
    ("DELETE FROM event WHERE session = 1 AND epoch = 1 AND n = 1", "s1", None, "event 1-1 is missing"),
    ("DELETE FROM event WHERE session = 1 AND epoch = 2 AND n = 0", "s1", None, "turnkeeper's own are not"),
    ("UPDATE event SET n = 2 WHERE session = 1 AND epoch = 2 AND n = 1", "s1", None, "under the wrong id"),
    ("UPDATE event SET body = 'x' WHERE session = 1 AND epoch = 2 AND n = 1", "s1", None, "cannot be read"),
    ("DELETE FROM session WHERE id = 's1'", None, None, "5 rows of the table entry belong to no session"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "session", "position", "text"), DAMAGE)
def test_damage_is_found_where_it_is(
    damage: str, session: str | None, position: int | None, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "turnkeeper.db"
    asyncio.run(sound(path))
    assert found(path) == []
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = connection.execute(damage).rowcount
    assert changed > 0
    named = found(path)
    assert any(
        (each.session, each.position) == (session, position) and text in each.text for each in named
    ), named
    assert not any(each.session == "s2" for each in named), "it is in order"


async def twice(path: Path) -> None:
    """What no server writes; the journal does not keep it from being written."""
    journal = SqliteJournal(path)
    await journal.open()
    head = await one_turn(journal, "s1")
    again = ended("t1", None, at=5.0, head=spec("t1").head)
    journal.append(Append(SessionId("s1"), Head(head), (again,), "k1", Told()))
    await head_after(journal, "s2", None, opened(), started("t1", 1))
    journal.append(Append(SessionId("s2"), Head(2), (started("t1", 2),), "k2", Told()))
    await journal.close()


def test_a_turn_that_ends_twice_or_begins_twice_is_named(tmp_path: Path) -> None:
    asyncio.run(twice(tmp_path / "turnkeeper.db"))
    texts = [each.text for each in found(tmp_path / "turnkeeper.db")]
    assert "turn t1 ends a second time" in texts
    assert "turn t1 begins a second time" in texts


def test_a_damaged_page_is_named_by_what_sqlite_finds(tmp_path: Path) -> None:
    path = tmp_path / "turnkeeper.db"
    asyncio.run(sound(path))
    with path.open("r+b") as file:
        file.seek(4096 * 3 + 8)
        file.write(b"\xff" * 2_000)
    named = found(path)
    assert named
    assert any("SQLite finds" in each.text or "cannot be read" in each.text for each in named)


@pytest.mark.blocks_the_loop("the file is looked at in this thread")
async def test_a_file_is_checked_beside_the_server_that_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "turnkeeper.db"
    journal = SqliteJournal(path)
    await journal.open()
    head = await one_turn(journal, "s1")
    told: list[tuple[int, int]] = []
    with looked_at(path) as connection:
        await append(journal, "s1", head, started("t2", 2))
        assert list(faults(connection, lambda done, count: told.append((done, count)))) == []
    assert told == [(0, 1), (1, 1)]
    assert found(path) == []
    await journal.close()
