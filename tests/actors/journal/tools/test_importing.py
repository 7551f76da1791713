"""A journal that is exported and imported says the same as before (and what is no export is refused)."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.journal.sqlite.test_journal import compare
from tests.actors.journal.tools.files import written
from turnkeeper.actors.journal.sqlite import SqliteJournal
from turnkeeper.actors.journal.tools.checking import faults
from turnkeeper.actors.journal.tools.exporting import lines
from turnkeeper.actors.journal.tools.file import looked_at
from turnkeeper.actors.journal.tools.importing import NotImported, read_in
from turnkeeper.actors.journal.tools.lines import decode_line
from turnkeeper.actors.model.exceptions import JournalCorrupt, JournalNotOpened


def exported(path: Path) -> list[bytes]:
    with looked_at(path) as connection:
        return list(lines(connection))


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(3, 80))
def test_what_is_imported_says_the_same_as_what_was_exported(seed: int, steps: int) -> None:
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.db", Path(folder) / "after.db"
        asyncio.run(written(before, Random(seed), steps))
        heading = read_in(exported(before), after)
        assert heading.entries == len(exported(before)) - 1
        assert exported(after) == exported(before)
        with looked_at(after) as connection:
            assert list(faults(connection)) == []
        asyncio.run(same(before, after))


async def same(before: Path, after: Path) -> None:
    """Both say the same to whatever a server asks."""
    one, other = (SqliteJournal(path, clock=lambda: 1e6) for path in (before, after))
    assert sorted(await one.open()) == sorted(await other.open())
    await compare(one, other, list("abcd"))
    await one.close()
    await other.close()


@pytest.fixture
def text(tmp_path: Path) -> list[bytes]:
    """An exported journal."""
    asyncio.run(written(tmp_path / "turnkeeper.db", Random(5), 60))
    return exported(tmp_path / "turnkeeper.db")


def test_a_line_has_a_session_a_position_and_an_entry(text: list[bytes]) -> None:
    said = [decode_line(line) for line in text[1:]]
    positions = [line.position for line in said if line.session == "a" and line.position is not None]
    assert positions == list(range(1, len(positions) + 1))
    assert all(line.entry for line in said)


def without(number: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda text: [*text[: number - 1], *text[number:]]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda _: [], "line 1: this is no exported journal"),
        (lambda text: [b"hello", *text[1:]], "line 1: this is no exported journal"),
        (lambda text: [text[0].replace(b"turnkeeper", b"other"), *text[1:]], "line 1: this is no exported"),
        (lambda text: [text[0].replace(b'"version":1', b'"version":2'), *text[1:]], "a newer turnkeeper"),
        (without(2), r"line 2: session . has position 1 next, not 2"),
        (lambda text: text[:-1], "it ends early"),
        (lambda text: [*text, text[2]], "next, not"),
        (lambda text: [text[0], b"{", *text[1:]], "line 2: "),
        (lambda text: [text[0], b'{"session":"s x","position":1,"entry":{}}'], "line 2: "),
        (lambda text: [text[0], b'{"session":"s","position":1,"entry":{"kind":"new"}}'], "line 2: "),
        (lambda text: [text[0], b'{"session":"s","entry":{"kind":"titled","title":"x"}}'],
         "line 2: it cannot"),
        (lambda text: [text[0], b'{"session":"s","position":1,"entry":{"kind":"opened","owner":"a","at":1}}',
                       b'{"session":"s","position":2,"entry":{"kind":"started","turn_id":"t","epoch":1,"at":1}}'],
         "lines 2 to 3: an entry cannot follow"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_and_leaves_no_file(
    change: Callable[[list[bytes]], list[bytes]], complaint: str, text: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(NotImported, match=complaint):
        read_in(change(text), tmp_path / "new" / "turnkeeper.db")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(text: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "turnkeeper.db"
    before = path.read_bytes()
    with pytest.raises(JournalNotOpened, match="already"):
        read_in(text, path)
    assert path.read_bytes() == before


def test_a_damaged_journal_is_not_exported_as_if_it_were_whole(tmp_path: Path) -> None:
    path = tmp_path / "turnkeeper.db"
    asyncio.run(written(path, Random(5), 60))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM session WHERE number = 1")
    with pytest.raises(JournalCorrupt, match="belong to no session"):
        exported(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entry SET body = '{' WHERE session = 2 AND position = 2")
    with pytest.raises(JournalCorrupt, match=r"session ., position 2"):
        exported(path)
