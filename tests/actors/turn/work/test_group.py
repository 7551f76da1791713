"""The processes of one group."""

import os
import signal
import subprocess

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


def test_this_process_is_in_no_group_of_others() -> None:
    assert members(1 << 22) == []
