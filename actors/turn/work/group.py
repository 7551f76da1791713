"""The processes of one group and session: the one that was started, which leads them, and what that starts.

A process that has left the session of its leader (``setsid``, a daemon that forks twice) is not among them.
One that has a group of its own within the session, as the jobs of an interactive shell have, is found on
Linux. The kernel gives the leader's number to no other process before all of its group and session are gone.

To read ``/proc`` takes some ms. A process that starts a child and ends, and that child likewise, is in no
reading of it. So where none is read, the kernel is asked whether the leader's number is free. Where only such
are read as have ended, they are all if their group was killed before, since then none of it starts another
one; else if the reading before had all of them.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from typing import Final, NamedTuple

#: Whether the kernel says in ``/proc`` which processes there are.
HAS_PROC: Final = Path("/proc/self/stat").exists()
if sys.platform != "win32":
    import fcntl
#: A process has ended while it was to be read, or is hidden from this one.
_GONE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


class Member(NamedTuple):
    """One process of a group or its session, as ``/proc`` has it."""

    pid: int
    group: int
    ended: bool
    """Whether it has, and only its parent has not taken note of that."""


class Table:
    """Which processes there are at one moment; none where there is no ``/proc``. To make it takes some ms."""

    __slots__ = ("_by_leader", "is_whole")

    def __init__(self) -> None:
        self._by_leader: defaultdict[int, list[Member]] = defaultdict(list)
        #: Whether all were read: not so where no file can be opened, as when no descriptor is free.
        self.is_whole = True
        try:
            for name in os.listdir("/proc") if HAS_PROC else ():
                if name.isdigit():
                    self._read(name)
        except OSError:
            self.is_whole = False

    def _read(self, name: str) -> None:
        with suppress(*_GONE), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            # After its name, which may hold anything, parentheses included.
            state, _, group, session = file.read().rpartition(")")[2].split()[:4]
            member = Member(int(name), int(group), state in "ZX")
            for leader in {int(group), int(session)}:
                self._by_leader[leader].append(member)

    def of(self, leader: int) -> Sequence[Member]:
        """The processes of this group and session."""
        return self._by_leader.get(leader, ())


class Group:
    """The group and the session that the process with this id leads."""

    __slots__ = ("_before", "_killed_by", "_read", "leader")

    def __init__(self, leader: int) -> None:
        self.leader = leader
        # Who of it was in the table that it was asked about last, and in the one before.
        self._read: tuple[Table, frozenset[int]] | None = None
        self._before: frozenset[int] = frozenset()
        # The table by which it was killed, if it was.
        self._killed_by: Table | None = None

    def signal(self, number: int) -> None:
        """Send a signal to all of its group. One that has ended meanwhile gets none."""
        _signal(self.leader, number)

    def signal_session(self, number: int, table: Table) -> None:
        """The same, and send it to the other groups of its session. By groups, so that no fork is missed."""
        for group in {self.leader, *(each.group for each in table.of(self.leader) if not each.ended)}:
            _signal(group, number)
        if number == SIGKILL:
            self._killed_by = table

    @property
    def is_empty(self) -> bool:
        """Whether none of its group is left. To be asked once its leader has ended and been reaped."""
        _reap(self.leader)
        try:
            os.killpg(self.leader, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def is_dead(self, table: Table) -> bool:
        """Whether none of its session runs: its parents may take their time to reap what has ended.

        Where that cannot be read now, it is not taken for dead.
        """
        if not HAS_PROC:
            return self.is_empty
        _reap(self.leader)
        if not table.is_whole:
            return False
        members = table.of(self.leader)
        self._note(table, frozenset([member.pid for member in members]))
        if not members:
            return not _is_taken(self.leader)
        return all(member.ended for member in members) and self._are_all(table, members)

    def _note(self, table: Table, pids: frozenset[int]) -> None:
        if self._read is None or self._read[0] is not table:
            self._before = frozenset() if self._read is None else self._read[1]
            self._read = table, pids

    def _are_all(self, table: Table, members: Sequence[Member]) -> bool:
        """Whether these, which have ended, are all that there are, as far as that can be said."""
        if self._killed_by not in (None, table) and all(each.group == self.leader for each in members):
            return True
        return self._before.issuperset(each.pid for each in members)


def _is_taken(leader: int) -> bool:
    """Whether a process has the number of one that has ended for its group or session.

    Where another process has come by that number since, it was free. ``False`` where the kernel does not say.
    """
    return TELLS and _is_known(leader) and not os.path.exists(f"/proc/{leader}")


def _is_known(number: int) -> bool:
    """Whether the kernel knows this number as that of a process, a group or a session, or cannot be asked."""
    try:
        with open(os.devnull, encoding="utf-8") as file:
            fcntl.fcntl(file, fcntl.F_SETOWN, number)  # to be sent signals that are never sent
    except (ProcessLookupError, PermissionError):
        return False
    except OSError:
        return True  # no descriptor is free to ask it with
    return True


#: Whether the kernel says which numbers it knows: one that takes any does not.
TELLS: Final = HAS_PROC and not _is_known(2**30)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _reap(group: int) -> None:
    """Take note of those of the group that have ended and have become children of this process.

    They do where it is the first process of a container.
    """
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
