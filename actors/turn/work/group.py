"""The processes of one group and session: the one that was started, which leads them, and what that starts.

A process that has left the session of its leader (``setsid``, a daemon that forks twice) is not among them.
One that has a group of its own within the session, as the jobs of an interactive shell have, is found on
Linux. The kernel gives the leader's number to no other process before all of its group and session are gone.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

#: Whether the kernel says in ``/proc`` which processes there are.
HAS_PROC: Final = Path("/proc/self/stat").exists()


class Member(NamedTuple):
    """One process of a group or its session, as ``/proc`` has it."""

    pid: int
    group: int
    ended: bool
    """Whether it has, and only its parent has not taken note of that."""


class Table:
    """Which processes there are at one moment; none where there is no ``/proc``. To make it takes some ms."""

    __slots__ = ("_by_leader",)

    def __init__(self) -> None:
        self._by_leader: defaultdict[int, list[Member]] = defaultdict(list)
        for name in os.listdir("/proc") if HAS_PROC else ():
            if name.isdigit():
                path = f"/proc/{name}/stat"
                with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
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

    __slots__ = ("leader",)

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def signal(self, number: int) -> None:
        """Send a signal to all of its group. One that has ended meanwhile gets none."""
        _signal(self.leader, number)

    def signal_session(self, number: int, table: Table) -> None:
        """The same, and send it to the other groups of its session. By groups, so that no fork is missed."""
        for group in {self.leader, *(each.group for each in table.of(self.leader) if not each.ended)}:
            _signal(group, number)

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
        """Whether none of its session runs: its parents may take their time to reap what has ended."""
        if HAS_PROC:
            _reap(self.leader)
            return all(member.ended for member in table.of(self.leader))
        return self.is_empty


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
