import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnkeeper.actors.journal.sqlite.lock import FileLock
from turnkeeper.actors.model.exceptions import JournalInUse, JournalNotOpened


def test_a_second_one_is_told_which_process_has_it(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.take()
    with pytest.raises(JournalInUse, match=f"process {os.getpid()} has the journal open"):
        second.take()
    first.release()
    second.take()
    second.release()
    second.release()


def test_another_process_gives_it_back_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    take = (
        "import sys, pathlib; from turnkeeper.actors.journal.sqlite.lock import FileLock; "
        "FileLock(pathlib.Path(sys.argv[1])).take(); print('taken', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", take, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        lock = FileLock(path)
        with pytest.raises(JournalInUse, match=f"process {other.pid} has"):
            lock.take()
        other.kill()
        other.wait()
        lock.take()
        lock.release()


def test_where_no_file_can_be_made_there_is_no_lock(tmp_path: Path) -> None:
    with pytest.raises(JournalNotOpened, match="cannot be written: No such file or directory"):
        FileLock(tmp_path / "nowhere" / "lock").take()


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.take()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()
