from pathlib import Path

import pytest

from tests.actors.journal.logs import append, one_turn
from turnkeeper.actors.journal.contract import History
from turnkeeper.actors.journal.entries import Titled
from turnkeeper.actors.journal.sqlite import SqliteJournal
from turnkeeper.actors.model.records import SessionId

pytestmark = pytest.mark.blocks_the_loop("the tests themselves look at files")
SECRET = "as nobody else knows"


async def test_of_what_was_forgotten_nothing_is_in_the_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "turnkeeper.db"
    journal = SqliteJournal(path)
    await journal.open()
    head = await one_turn(journal, "s1", said=[SECRET], data=[SECRET] * 20)
    await append(journal, "s1", head, Titled(SECRET))
    await one_turn(journal, "s2", said=["tea"])
    assert SECRET.encode() in path.with_name("turnkeeper.db-wal").read_bytes()
    await journal.forget(SessionId("s1"))
    await journal.close()
    left = path.read_bytes()
    assert b"tea" in left
    assert SECRET.encode() not in left


async def test_the_room_that_it_took_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "turnkeeper.db"
    journal = SqliteJournal(path)
    await journal.open()
    for number in range(120):
        await one_turn(journal, f"s{number}", at=float(number), data=["x" * 50_000])
    await journal.close()
    full = path.stat().st_size
    await journal.open()
    history = History(age=None, sessions=20, bytes=1 << 30, bytes_in_all=1 << 30)
    assert await journal.prune(history, frozenset()) == 100
    await one_turn(journal, "s200")
    await journal.close()
    assert path.stat().st_size < full / 4
