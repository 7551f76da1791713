"""The processes of one group."""

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from turnkeeper.actors.turn.work import group
from turnkeeper.actors.turn.work.group import Group, Member, Table


def members(leader: int) -> list[Member]:
    return list(Table().of(leader))


def test_a_group_is_empty_when_all_of_it_have_ended_and_were_reaped() -> None:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    one = Group(process.pid)
    assert not one.is_dead(Table())
    if group.HAS_PROC:
        assert [(member.pid, member.ended) for member in members(process.pid)] == [(process.pid, False)]
    one.signal(signal.SIGTERM)
    process.wait()
    assert one.is_empty
    assert one.is_dead(Table())
    one.signal(signal.SIGTERM)  # too late, and no error
    one.signal_session(signal.SIGKILL, Table())


def test_what_has_ended_and_was_not_reaped_is_dead() -> None:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Group(process.pid).signal_session(signal.SIGKILL, Table())
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if group.HAS_PROC:
        assert [(member.pid, member.ended) for member in members(process.pid)] == [(process.pid, True)]
    process.wait()
    assert members(process.pid) == []


class Read(Table):
    """A reading of `/proc` that has found these of one group."""

    def __init__(self, *found: Member) -> None:
        self._found, self.is_whole = found, True

    def of(self, _leader: int) -> Sequence[Member]:
        """Those."""
        return self._found


@pytest.fixture
def left() -> Iterator[int]:
    """The number of a shell that has ended, and left a job in a group of its own."""
    shell = subprocess.Popen(["bash", "-c", "set -m; sleep 1000 & exit"], start_new_session=True)
    shell.wait()
    yield shell.pid
    for member in members(shell.pid):
        os.kill(member.pid, signal.SIGKILL)


LINUX = pytest.mark.skipif(not group.TELLS, reason="a kernel that does not say which numbers it knows")


@LINUX
def test_what_no_reading_has_found_is_not_dead(left: int) -> None:
    """It was started when that had come past its number, and its parent has ended before it came there."""
    assert Group(left).is_empty
    assert not Group(left).is_dead(Read())


def test_where_the_kernel_does_not_say_that_it_counts_what_was_read(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "TELLS", False)
    assert Group(left).is_dead(Read())


@LINUX
def test_a_number_that_another_process_has_come_by_is_not_its_own_any_more() -> None:
    assert Group(os.getpid()).is_dead(Read())


def ended(pid: int, of: int = 1 << 22) -> Member:
    return Member(pid, of, ended=True)


def test_what_has_ended_is_all_if_the_reading_before_had_it() -> None:
    one, first = Group(1 << 22), Read(ended(1))
    assert not one.is_dead(first)
    assert not one.is_dead(first), "the same reading says no more"
    assert not one.is_dead(Read(ended(1), ended(2))), "something goes on"
    assert not one.is_dead(Read(ended(2), Member(3, 1 << 22, ended=False)))
    assert one.is_dead(Read(ended(2)))


def test_what_has_ended_is_all_if_its_group_was_killed_before() -> None:
    one, first = Group(1 << 22), Read(ended(1))
    one.signal_session(signal.SIGTERM, Read())
    assert not one.is_dead(Read(ended(1)))
    one.signal_session(signal.SIGKILL, first)
    assert not one.is_dead(Read(ended(2), ended(3, of=3))), "not all of it was in the group that was killed"
    assert one.is_dead(Read(ended(4)))
    again = Group(1 << 22)
    again.signal_session(signal.SIGKILL, first)
    assert not again.is_dead(first), "that was read before it was killed"


@contextmanager
def none_free() -> Iterator[None]:
    """No file descriptor is free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@LINUX
def test_none_is_dead_while_no_file_can_be_opened_to_look() -> None:
    with none_free():
        table = Table()
        found = table.is_whole, Group(1 << 22).is_dead(table), Group(1 << 22).is_dead(Read())
    assert found == (False, False, False)
    assert Group(1 << 22).is_dead(Read())


@LINUX
def test_what_was_read_by_half_is_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "none is free")

    monkeypatch.setattr("builtins.open", full)
    table = Table()
    monkeypatch.undo()
    assert not table.is_whole
    assert not Group(1 << 22).is_dead(table)


@LINUX
def test_its_group_is_sent_signals_where_no_file_can_be_opened() -> None:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with none_free():
        Group(process.pid).signal_session(signal.SIGKILL, Table())
    assert process.wait() == -signal.SIGKILL


def test_this_process_is_in_no_group_of_others() -> None:
    assert members(1 << 22) == []
