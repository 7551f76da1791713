"""The sessions that sleep. Pure."""

from collections.abc import Iterator
from typing import Any, Generic

from .chain import Chain, Link
from .holdings import Held, S


class Nap(Link):
    """A session's place among those that sleep: another one each time that it falls asleep."""

    __slots__ = ("session",)

    def __init__(self, session: Any) -> None:
        #: ``None`` once that is awake, or forgotten.
        self.session = session


class Sleepers(Generic[S]):
    """The sessions that sleep, the one that has slept the longest first.

    However many they are, none that comes or goes costs more than another, and no copy is needed to walk
    through them in passes: those that leave meanwhile are passed over, those that come stand at the end.
    """

    __slots__ = ("_naps", "_number")

    def __init__(self) -> None:
        self._naps: Chain[Nap] = Chain()
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def __contains__(self, session: Held) -> bool:
        return session.nap is not None

    def __iter__(self) -> Iterator[S]:
        for nap in self._naps:
            if nap.session is not None:
                yield nap.session

    def add(self, session: S) -> None:
        """The session has fallen asleep."""
        session.nap = nap = Nap(session)
        self._naps.append(nap)
        self._number += 1

    def discard(self, session: S) -> None:
        """The session is awake, or to be forgotten; it need not have slept."""
        nap: Nap | None = session.nap
        session.nap = None
        if nap is not None:
            nap.session = None
            self._naps.remove(nap)
            self._number -= 1
