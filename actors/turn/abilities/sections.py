"""Critical sections of a turn: for their end its cancel waits.

A section exists once the turn's session has said so, so that the two never disagree about whether a cancel
may be delivered. Entering one asks through the session's inbox: whichever comes first there, the cancel or
the section, is first. Nothing else of ours cancels a coroutine whose turn is in one.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import Any

from turnkeeper.actors.metrics.meter import SECTIONS_CUT_SHORT, SECTIONS_ENTERED, SECTIONS_REFUSED
from turnkeeper.actors.model.exceptions import SectionReused, TurnOver, WrongThread
from turnkeeper.actors.model.messages import Hold, Unhold
from turnkeeper.actors.model.records import Epoch, Reason
from turnkeeper.actors.runtime import AsyncioRef
from turnkeeper.actors.session.fields import seconds

from .own import Sections
from .undoable import Undoable

#: The critical section in which this runs, or which the task that has started it was in.
_around: ContextVar["CriticalSection | None"] = ContextVar("turnkeeper_section", default=None)


class Sectioned(Undoable):
    """How a turn keeps a step from being interrupted."""

    __slots__ = ()
    epoch: Epoch
    reason: Reason | None

    @property
    def cancel_waits(self) -> bool:
        """Whether it is to be stopped at the end of its critical sections. Other threads may read it."""
        return self.own is not None and self.own.sections is not None and self.own.sections.waits

    def uninterruptible(self, timeout: float | None = None) -> "CriticalSection":
        """A critical section, for ``async with``: a cancel of the turn waits for its end.

        It is delivered at the end of the last one that the turn is in, or after ``timeout`` seconds, at most
        ``max_hold``: then CancelledError is raised inside, as it would be without a section. One inside
        another one ends that no later. `cancel_waits` says meanwhile that there is a cancel.

        Entering it raises `HoldRefused` once a cancel was delivered or the turn's coroutine has returned,
        `TurnOver` after the turn's end, `OutsideTurn` in a task that is not the turn's, `SectionReused` the
        second time, and `WrongThread` off the loop's thread. Cancelling the wait for it gives it back. Raises
        `InvalidRequest` for a ``timeout`` that is no number of seconds.
        """
        return CriticalSection(self, None if timeout is None else seconds(timeout, "timeout"))

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    @property
    def in_section(self) -> bool:
        """Whether it is in a critical section, or asks for one."""
        return self.own is not None and self.own.sections is not None and self.own.sections.count > 0

    @property
    def open_sections(self) -> Sections:
        """The critical sections that it is in."""
        own = self.made_own
        if own.sections is None:
            own.sections = Sections()
        return own.sections

    def hold_cancel(self, then: Callable[[], object] | None = None) -> None:
        """A cancel waits for its critical sections; ``then`` delivers it if its session does not."""
        sections = self.open_sections
        sections.waits = True
        sections.then = then or sections.then

    def hold_no_more(self) -> None:
        """A cancel is delivered, whether it is in a critical section or not."""
        if self.own is not None and self.own.sections is not None:
            if self.reason is None and self.own.sections.count:
                self._host.meter.count(SECTIONS_CUT_SHORT)
            self.own.sections.waits = False

    @property
    def session(self) -> AsyncioRef[Any] | None:
        """The actor of its session; ``None`` if that is gone."""
        return self._host.session(self.session_id)


class CriticalSection:
    """A critical section of a turn, for one ``async with``."""

    __slots__ = ("_number", "_outer", "_span", "_turn")

    def __init__(self, turn: Sectioned, span: float | None) -> None:
        self._turn = turn
        self._span = span
        self._number = 0
        self._outer: CriticalSection | None = None

    async def __aenter__(self) -> None:
        """Wait for the session's consent. Cancelling that gives it back."""
        session, epoch = self._check(), self._turn.epoch
        self._outer = outer = _around.get()
        inside = outer._number if outer is not None and outer._turn is self._turn else None
        self._number = number = self._turn.open_sections.begin()
        meter = self._turn._host.meter
        try:
            await session.ask_now(Hold(epoch, number, self._span, inside))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                session.tell_if_alive(Unhold(epoch, number), now=True)
            else:
                meter.count(SECTIONS_REFUSED)
            self._turn.open_sections.end()
            raise
        meter.count(SECTIONS_ENTERED)
        _around.set(self)

    def _check(self) -> AsyncioRef[Any]:
        turn = self._turn
        if get_ident() != turn._host.thread:
            raise WrongThread("a critical section belongs on the loop's thread")
        session = turn.session
        if turn.over or session is None:
            raise TurnOver(f"turn {turn.turn_id} is over: there is nothing to interrupt")
        turn.check_inside("a critical section")
        if self._number:
            raise SectionReused("a critical section is entered once: make another one")
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it back. A cancel that has waited for that is raised here, unless an error is under way."""
        turn = self._turn
        # Not by its token: a generator may be closed in another context.
        _around.set(self._outer)
        waits = turn.cancel_waits and error is None
        turn.open_sections.end()
        session, unhold = turn.session, Unhold(turn.epoch, self._number)
        if session is not None and waits:
            await session.ask_now(unhold)
            await asyncio.sleep(0)  # where it was delivered at once, this raises it
        elif session is not None:
            session.tell_if_alive(unhold, now=True)
