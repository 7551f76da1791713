"""What becomes of a journal when its file, its disk or its process fail it; each for real."""

import asyncio
import errno
import logging
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.actors.journal.logs import TAIL, Told, append, ended, events, head_after, one_turn, opened, started
from turnkeeper.actors.journal.contract import Append, Head, Landed, Moved, NotLanded
from turnkeeper.actors.journal.sqlite import SqliteJournal, post
from turnkeeper.actors.journal.sqlite.database import Database
from turnkeeper.actors.journal.sqlite.writing import writer
from turnkeeper.actors.journal.tools.file import changed
from turnkeeper.actors.model.exceptions import (
    JournalCorrupt,
    JournalDown,
    JournalInUse,
    JournalNotOpened,
    JournalTooNew,
)
from turnkeeper.actors.model.records import Epoch, SessionId

pytestmark = pytest.mark.blocks_the_loop("the tests themselves look at files and change them")
S1 = SessionId("s1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "turnkeeper.db"


@pytest_asyncio.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    made = SqliteJournal(path)
    await made.open()
    yield made
    await made.close()


async def turns(journal: SqliteJournal, session: str = "s1") -> int:
    page = await journal.turns(SessionId(session), None, 200)
    return len(page.turns)


async def refused(journal: SqliteJournal, head: int | None, why: str, session: str = "s1") -> None:
    """An append is answered with that, and the journal says so too."""
    told = Told()
    start = started("t9", 9, message="x" * 50_000)
    entries = (start,) if head else (opened(), start)
    after = None if head is None else Head(head)
    journal.append(Append(SessionId(session), after, entries, f"{why}-{head}", told))
    await told.first()
    (answer,) = told.answers
    assert isinstance(answer, NotLanded)
    assert why in str(answer.error)
    assert why in str(journal.down)


async def until_up(journal: SqliteJournal) -> None:
    while journal.down is not None:
        await asyncio.sleep(0)


# --- full disks and their errors ----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


async def test_a_full_disk_loses_nothing_and_is_got_over(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(post, "AGAIN", 0.1)
    filler = small_disk / "filler"
    await asyncio.to_thread(filler.write_bytes, bytes(1 << 20))
    journal = SqliteJournal(small_disk / "turnkeeper.db")
    await journal.open()
    landed = 0
    while True:
        head: int | None = None
        answer = await append(journal, f"s{landed}", head, opened(), started("t1", 1, message="x" * 50_000))
        if isinstance(answer, NotLanded):
            break
        landed += 1
    assert landed > 3
    assert "the disk is full" in str(answer.error)
    assert "the disk is full" in str(journal.down)
    await refused(journal, None, "the disk is full", "another")
    assert isinstance(await append(journal, "s1", 1, started("t1", 1)), Moved)
    await refused(journal, None, "the disk is full", "another")
    assert len((await journal.sessions(limit=200)).sessions) == landed
    await asyncio.to_thread(filler.unlink)
    await until_up(journal)
    await one_turn(journal, "again")
    assert len((await journal.sessions(limit=200)).sessions) == landed + 1
    assert caplog.messages.count("the journal is down: the disk is full") == 1
    assert caplog.messages.count("the journal can be written again") == 1
    await journal.close()


async def test_a_disk_that_reports_errors_loses_nothing_and_is_got_over(
    journal: SqliteJournal, path: Path
) -> None:
    """No file may get larger than this one is, so that writing fails in the middle."""
    head = await one_turn(journal)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name(f"{path.name}-wal").stat().st_size, hard))
    try:
        answer = await append(journal, "s1", head, started("t2", 2, message="x" * 500_000))
        assert isinstance(answer, NotLanded)
        assert "the disk reports an error" in str(journal.down)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await turns(journal) == 1
    await one_turn(journal, turn="t3", epoch=3, after=head)
    assert journal.down is None
    assert await turns(journal) == 2


# --- what others do with the file ---------------------------------------------------------------------------


async def test_nothing_is_written_to_a_file_that_was_removed(journal: SqliteJournal, path: Path) -> None:
    head = await one_turn(journal)
    aside = path.with_name("aside")
    path.rename(aside)
    await refused(journal, head, "its file was removed, or another one put in its place")
    assert not path.exists()
    path.touch()
    await refused(journal, head, "another one put in its place")
    assert path.stat().st_size == 0
    aside.rename(path)
    await one_turn(journal, turn="t2", epoch=2, after=head)
    assert journal.down is None
    assert await turns(journal) == 2


async def test_nothing_is_written_when_the_log_of_transactions_was_removed(
    journal: SqliteJournal, path: Path
) -> None:
    head = await one_turn(journal)
    path.with_name(f"{path.name}-wal").unlink()
    await refused(journal, head, "its file was removed")


async def test_another_program_s_lock_is_waited_for_and_then_got_over(
    journal: SqliteJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await one_turn(journal)
    monkeypatch.setattr(writer, "PATIENCE", 1)
    other = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    await refused(journal, head, "another program has locked it")
    assert await turns(journal) == 1
    await asyncio.to_thread(other.close)
    await one_turn(journal, turn="t2", epoch=2, after=head)
    assert journal.down is None


async def test_a_backup_can_be_made_while_it_is_written_to(journal: SqliteJournal, path: Path) -> None:
    head = await one_turn(journal, said=["hello"])
    backup = path.with_name("backup.db")

    def back_up() -> None:
        source, target = sqlite3.connect(path), sqlite3.connect(backup)
        source.backup(target, pages=1, progress=lambda *_: None)
        source.close()
        target.close()

    copying = asyncio.create_task(asyncio.to_thread(back_up))
    for number in range(2, 30):
        head = await one_turn(journal, turn=f"t{number}", epoch=number, after=head)
    await copying
    copy = SqliteJournal(backup)
    assert await copy.open() in [(), ("s1",)]  # it may have been made amid a turn
    assert await turns(copy) >= 1
    await copy.close()


async def test_a_second_process_is_told_who_has_it(journal: SqliteJournal, path: Path) -> None:
    second = SqliteJournal(path)
    with pytest.raises(JournalInUse, match=f"process {os.getpid()} has the journal open"):
        await second.open()
    await one_turn(journal)
    await second.close()


# --- files that cannot be opened, or read -------------------------------------------------------------------


async def made(path: Path, number: int = 20) -> None:
    """A journal with some sessions."""
    journal = SqliteJournal(path)
    await journal.open()
    for each in range(number):
        await one_turn(journal, f"s{each}", said=["x" * 3_000])
    await journal.close()


async def opens(path: Path) -> None:
    journal = SqliteJournal(path)
    try:
        await journal.open()
    finally:
        await journal.close()


def change(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def test_a_truncated_file_is_not_opened(path: Path) -> None:
    await made(path)
    await asyncio.to_thread(os.truncate, path, path.stat().st_size // 2)
    with pytest.raises(JournalCorrupt, match="cannot be opened: its file is damaged"):
        await opens(path)


async def test_a_file_whose_head_is_damaged_is_not_opened(path: Path) -> None:
    await made(path)
    await asyncio.to_thread(change, path, 0, b"\xff" * 40)
    with pytest.raises(JournalCorrupt, match="its file is damaged"):
        await opens(path)


async def test_of_a_file_with_damaged_pages_the_others_are_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await made(path)
    size = path.stat().st_size
    for page in range(30, size // 4096):
        await asyncio.to_thread(change, path, page * 4096, b"\xff" * 64)
    journal = SqliteJournal(path)
    await journal.open()
    found: list[Any] = []
    for each in range(20):
        try:
            found.append(await journal.load(SessionId(f"s{each}"), TAIL))
        except JournalDown as error:
            found.append(str(error))
    assert "the journal is down: its file is damaged" in found
    assert {type(each) for each in found} != {str}
    await journal.close()


async def test_a_file_of_a_newer_version_is_not_opened_and_not_changed(path: Path) -> None:
    await made(path, 1)
    connection = await asyncio.to_thread(sqlite3.connect, path, check_same_thread=False)
    await asyncio.to_thread(connection.execute, "PRAGMA user_version = 99")
    await asyncio.to_thread(connection.close)
    before = await asyncio.to_thread(path.read_bytes)
    with pytest.raises(JournalTooNew, match="a newer turnkeeper has written the journal"):
        await opens(path)
    assert await asyncio.to_thread(path.read_bytes) == before


async def test_a_database_of_another_program_is_not_opened_and_not_changed(path: Path) -> None:
    connection = await asyncio.to_thread(sqlite3.connect, path, check_same_thread=False)
    await asyncio.to_thread(connection.execute, "CREATE TABLE session (id)")
    await asyncio.to_thread(connection.close)
    with pytest.raises(JournalNotOpened, match="of another program"):
        await opens(path)


async def test_a_directory_that_is_not_there_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(JournalNotOpened, match="cannot be written: No such file or directory"):
        await opens(tmp_path / "nowhere" / "turnkeeper.db")


async def test_a_directory_that_can_only_be_read_is_an_error_at_start(small_disk: Path) -> None:
    await asyncio.to_thread(
        subprocess.run, ["mount", "-o", "remount,ro", str(small_disk)], check=True, capture_output=True
    )
    with pytest.raises(JournalNotOpened, match="cannot be written: Read-only file system"):
        await opens(small_disk / "turnkeeper.db")


async def test_a_file_that_is_full_from_the_start_is_an_error_at_start(small_disk: Path) -> None:
    await asyncio.to_thread((small_disk / "filler").write_bytes, bytes((2 << 20) - 4096 * 4))
    with pytest.raises(JournalNotOpened, match=r"the disk is full|the disk reports an error"):
        await opens(small_disk / "turnkeeper.db")


async def test_only_its_owner_can_read_any_of_its_files(journal: SqliteJournal, path: Path) -> None:
    await one_turn(journal)
    files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    names = ("", "-shm", "-wal", ".lock")
    assert files == {f"turnkeeper.db{name}": 0o600 for name in names}


# --- what may have been written -----------------------------------------------------------------------------


class Faults:
    """What goes wrong next."""

    def __init__(self) -> None:
        #: For each of the next commits that fail, whether they have written before that.
        self.commits: list[bool] = []
        #: Whether the file cannot be opened after that.
        self.stays = False
        self.opens = True


class Faulty:
    """A connection that fails when it commits."""

    def __init__(self, connection: sqlite3.Connection, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults

    def execute(self, statement: str, *values: Any) -> Any:
        if statement != "COMMIT" or not self._faults.commits:
            return self._connection.execute(statement, *values)
        if self._faults.commits.pop():
            self._connection.execute(statement)
        self._faults.opens = not self._faults.stays
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    faults = Faults()
    begin, opened_anew = Database.begin, Database.open

    def faulty(self: Database, **how: Any) -> Any:
        return Faulty(begin(self, **how), faults)

    def opens(self: Database) -> sqlite3.Connection:
        if not faults.opens:
            raise OSError(errno.EIO, "Input/output error")
        return opened_anew(self)

    monkeypatch.setattr(Database, "begin", faulty)
    monkeypatch.setattr(Database, "open", opens)
    return faults


async def test_what_was_written_when_its_commit_failed_is_answered_as_landed(
    journal: SqliteJournal, faults: Faults
) -> None:
    head = await one_turn(journal)
    faults.commits.append(True)
    answer = await append(journal, "s1", head, started("t2", 2), key="k")
    assert answer == Landed("k", Head(head + 1))
    await head_after(journal, "s1", head + 1, ended("t2", 1))
    assert await turns(journal) == 2


async def test_what_was_not_written_when_its_commit_failed_is_answered_as_such(
    journal: SqliteJournal, faults: Faults
) -> None:
    head = await one_turn(journal)
    faults.commits.append(False)
    assert isinstance(await append(journal, "s1", head, started("t2", 2)), NotLanded)
    await one_turn(journal, turn="t2", epoch=2, after=head)
    assert await turns(journal) == 2


async def test_nothing_is_answered_while_it_cannot_be_looked_whether_it_was_written(
    journal: SqliteJournal, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "AGAIN", 0.0)
    head = await one_turn(journal)
    await one_turn(journal, "s2")
    faults.commits.append(True)
    faults.stays = True
    told = Told()
    journal.append(Append(S1, Head(head), (started("t2", 2),), "k", told))
    while journal.down is None:
        await asyncio.sleep(0)
    with pytest.raises(JournalDown, match="the disk reports an error"):
        await journal.load(S1, TAIL)
    assert await turns(journal, "s2") == 1
    assert isinstance(await append(journal, "s2", head, started("t2", 2)), NotLanded)
    assert told.answers == []
    faults.opens = True
    assert await told.first() == Landed("k", Head(head + 1))
    await until_up(journal)
    assert await turns(journal) == 2


async def test_what_is_not_known_to_be_written_is_not_waited_for_when_it_is_closed(
    path: Path, faults: Faults
) -> None:
    journal, told = SqliteJournal(path), Told()
    await journal.open()
    faults.commits.append(True)
    faults.stays = True
    journal.append(Append(S1, None, (opened(), started("t1", 1)), "k", told))
    await journal.close()
    (answer,) = told.answers
    assert isinstance(answer, NotLanded)


async def test_one_that_cannot_be_written_does_not_hold_up_the_others(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1), events(1, 1, "a"))
    told, bad = Told(), Told()
    journal.append(Append(SessionId("s2"), None, (opened(), started("t1", 1)), "k1", told))
    journal.append(Append(S1, Head(head), (events(1, 1, "again"),), "k2", bad))
    journal.append(Append(SessionId("s3"), None, (opened(), started("t1", 1)), "k3", told))
    await journal.load(S1, TAIL)
    assert told.answers == [Landed("k1", Head(2)), Landed("k3", Head(2))]
    (answer,) = bad.answers
    assert isinstance(answer, NotLanded)
    assert "inside turnkeeper" in str(answer.error)
    assert journal.down is None
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


# --- the end of the process ---------------------------------------------------------------------------------

_WRITES = """
import asyncio, sys
from pathlib import Path
from tests.actors.journal.logs import one_turn
from turnkeeper.actors.journal.sqlite import SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[1]))
    await journal.open()
    head, number = None, 0
    while True:
        number += 1
        head = await one_turn(journal, turn=f"t{number}", epoch=number, after=head, said=["x" * 2_000])
        print(number, flush=True)

asyncio.run(main())
"""


def killed_while_writing(path: Path, number: int) -> int:
    """Kill a process after so many turns; return how many it had said were written."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == number:
                process.kill()
                break
        rest = process.stdout.read().split()
        return int(rest[-1]) if rest else number


async def test_what_has_landed_is_there_when_the_process_was_killed(path: Path) -> None:
    said = await asyncio.to_thread(killed_while_writing, path, 150)
    journal = SqliteJournal(path)
    unfinished = await journal.open()
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert bool(unfinished) == (loaded.durable.holder is not None)
    assert loaded.durable.last_epoch in (said, said + 1, said + 2)
    found = 0
    before: str | None = None
    while True:
        page = await journal.turns(S1, before, 200)
        found += len(page.turns)
        before = page.before
        if before is None:
            break
    assert said <= found <= said + 2
    await journal.close()


async def test_after_it_was_closed_every_append_is_refused(path: Path) -> None:
    journal = SqliteJournal(path)
    told = Told()
    journal.append(Append(S1, None, (opened(), started("t1", 1)), "k", told))
    await journal.open()
    await journal.close()
    await journal.close()
    journal.append(Append(S1, None, (opened(), started("t1", 1)), "k", told))
    assert [type(answer) for answer in told.answers] == [NotLanded, NotLanded]
    with pytest.raises(JournalDown, match="the journal is closed"):
        await journal.load(S1, TAIL)


async def test_all_that_was_appended_is_written_before_it_is_closed(path: Path) -> None:
    journal, told = SqliteJournal(path), Told()
    await journal.open()
    for number in range(500):
        session = SessionId(f"s{number}")
        journal.append(Append(session, None, (opened(), started("t1", 1)), f"k{number}", told))
    await journal.close()
    assert len(told.answers) == 500
    assert not path.with_name(f"{path.name}-wal").exists()
    assert len(await journal.open()) == 500
    await journal.close()


async def test_a_link_leads_to_the_one_journal_whose_lock_and_log_it_has(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path.name)  # to a file that there is not yet
    head = None
    for count, (name, other) in enumerate(((link, path), (path, link)), start=1):
        journal = SqliteJournal(name)
        await journal.open()
        with pytest.raises(JournalInUse, match=f"process {os.getpid()} has"):
            await SqliteJournal(other).open()
        head = await one_turn(journal, turn=f"t{count}", epoch=Epoch(count), after=head)
        assert await turns(journal) == count
        await journal.close()
    assert list(path.parent.glob("link.db?*")) == []


async def test_a_file_with_a_hard_link_is_not_opened(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    await journal.close()
    second = path.with_name("second.db")
    second.hardlink_to(path)
    for name in (path, second):
        with pytest.raises(JournalNotOpened, match="has a hard link"):
            await SqliteJournal(name).open()
        with pytest.raises(JournalNotOpened, match="has a hard link"), changed(name):
            pass
    second.unlink()
    await journal.open()
    await journal.close()


async def test_what_killed_processes_leave_beside_the_file_is_moved_into_it(tmp_path: Path) -> None:
    """Otherwise it grows for ever where no process lives long."""
    left = SqliteJournal(tmp_path / "killed.db")
    await left.open()
    await one_turn(left)
    path = tmp_path / "turnkeeper.db"
    for end in ("", "-wal"):  # as a kill leaves them
        shutil.copy(f"{tmp_path / 'killed.db'}{end}", f"{path}{end}")
    await left.close()
    found = SqliteJournal(path)
    await found.open()
    async with asyncio.timeout(60):
        while not sessions_in(shutil.copy(path, tmp_path / "alone.db")):
            await turns(found)
    await found.close()


def sessions_in(path: Path) -> int:
    """How many sessions the file has by itself."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM session").fetchone()[0])
