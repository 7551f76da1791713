"""Bulk cancels: many turns are stopped, each by a cancel that names it, so many at a time.

A snapshot comes first, in passes over the sessions. What it has found is what is stopped: a turn that was
sent later is never hit, and one that ends meanwhile answers as it would to any other cancel. So many cancels
are under way at a time; when one is answered, another one is asked. When the time that the asker gives it is
up, the rest is asked without waiting, and the answer says so.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from turnkeeper.actors.metrics.meter import BULK_CANCELS_TRUNCATED
from turnkeeper.actors.model.exceptions import TurnkeeperError
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Cancel, CancelAnswer, CancelledMany, CancelMany, StoppedTurn
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.registry.directory import PASS
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import AsyncioFuture, ReplyTo, Timer, answer, in_batches, refuse
from turnkeeper.actors.session.fields import seconds
from turnkeeper.actors.session.refusals import shutting_down

from .which import Which, limit_of, live_turns

#: How many cancels of one bulk are under way at a time: so many turns clean up at once.
AT_ONCE: Final = 500
#: How many are asked for in one pass of the loop.
BATCH: Final = 50
#: For how many seconds the turns of the process before are waited for, if the asker does not say.
PATIENCE: Final = 10.0
#: Handles a message as if it had come from outside.
Handle = Callable[[Any, ReplyTo], None]
#: Does something when it is decided what becomes of the turns of the process before.
Recovered = Callable[[Callable[[], None]], None]


class BulkCancels:
    """The bulk cancels of one registry that go on.

    ``handle`` is given each single cancel, ``recovered`` what is to wait for the turns of the process before.
    """

    def __init__(self, shared: Shared, handle: Handle, recovered: Recovered) -> None:
        self._shared = shared
        self._handle = handle
        self._recovered = recovered
        self._going_on: set[_BulkCancel] = set()

    def begin(self, message: CancelMany, to: ReplyTo) -> None:
        """Stop many turns; answered with what came of each.

        It goes on to its end also if its asker leaves. Raises `InvalidRequest`, `UnknownAgent` and
        `ScopeMissing`.
        """
        shared = self._shared
        which = Which.of(message, shared.agents, shared.clock())
        bulk = _BulkCancel(shared, self._handle, message, which, to, self._going_on.discard)
        self._going_on.add(bulk)
        bulk.begin(self._recovered)

    def stop(self) -> None:
        """Ask for nothing any more, and answer each asker that still waits."""
        for bulk in tuple(self._going_on):
            bulk.give_up()


class _BulkCancel:
    """One bulk cancel."""

    def __init__(
        self,
        shared: Shared,
        handle: Handle,
        message: CancelMany,
        which: Which,
        to: ReplyTo,
        over: "Callable[[_BulkCancel], None]",
    ) -> None:
        """Raises `InvalidRequest`."""
        self._shared = shared
        self._handle = handle
        self._message = message
        self._which = which
        self._to = to
        self._over = over
        self._limit = limit_of(message)
        self._within = None if message.within is None else seconds(message.within, "within")
        #: What is to be stopped, with what has come of it so far.
        self._results: list[StoppedTurn] = []
        #: How many more matched.
        self._more = 0
        #: How many of them have been asked to stop, and of how many the answer is awaited.
        self._asked = self._awaited = 0
        #: Whether answers are waited for.
        self._waits = message.wait
        #: Whether more are found or asked in this pass or in the next one.
        self._busy = True
        #: Whether the snapshot has been taken, and whether all is over.
        self._taken = self._done = False
        self._timer = Timer(shared.loop, self._overdue)

    # -- The snapshot -----------------------------------------------------------------------------------

    def begin(self, recovered: Recovered) -> None:
        """Take the snapshot when all is there that was cut off by the end of a process, then go on."""
        self._timer.set(self._shared.loop.time() + (PATIENCE if self._within is None else self._within))
        recovered(self._take)

    def _take(self) -> None:
        if self._taken or self._done:
            return
        self._taken = True
        if self._within is None:
            self._timer.cancel()
        sessions = self._which.candidates(self._shared.directory)
        in_batches(self._shared.loop, iter(sessions), PASS, self._look, self._found)

    def _look(self, sessions: list[SessionId]) -> None:
        directory, which = self._shared.directory, self._which
        for session in sessions:
            entry = directory.entries.get(session)
            if entry is None or not which.takes_session(session, entry.owner):
                continue
            for turn in live_turns(directory, session):
                if which.takes(session, turn):
                    if len(self._results) < self._limit:
                        found = StoppedTurn(session, turn.turn_id, entry.owner, turn.agent, turn.status)
                        self._results.append(found)
                    else:
                        self._more += 1

    def _found(self) -> None:
        message = self._message
        if self._done:
            return
        if self._more:
            self._shared.meter.count(BULK_CANCELS_TRUNCATED)
        if message.dry_run:
            self._finish()
            return
        logger.info(
            "%d turns are stopped for %s, of %d", len(self._results), message.asker.user, self._matched
        )
        self._go_on()

    @property
    def _matched(self) -> int:
        return len(self._results) + self._more

    # -- The cancels ------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Ask a batch to stop, and come back for the next one while there is room for it."""
        if self._done:
            return
        most = min(self._asked + BATCH, len(self._results))
        while self._asked < most and self._has_room:
            self._ask(self._asked)
        self._busy = False
        self._go_on_later()

    @property
    def _has_room(self) -> bool:
        return self._awaited < AT_ONCE or not self._waits

    def _go_on_later(self) -> None:
        """Plan the next batch, or finish if there is nothing left to ask or to await."""
        if self._busy or self._done:
            return
        if self._asked < len(self._results):
            if self._has_room:
                self._busy = True
                self._shared.loop.call_soon(self._go_on)
        elif not self._awaited or not self._waits:
            self._finish()

    def _ask(self, number: int) -> None:
        self._asked += 1
        found, message = self._results[number], self._message
        if self._shared.directory.find(found.session_id, message.asker) is None:
            self._results[number] = replace(found, verdict=Verdict.NOT_RUNNING)
            return
        self._results[number] = replace(found, verdict=Verdict.REQUESTED)
        self._awaited += 1
        cancel = Cancel(
            found.session_id,
            found.turn_id,
            message.asker,
            self._waits,
            message.text,
            message.code,
            queue=message.queue,
            force=message.force,
        )
        to = _Answered(partial(self._answered, number))
        try:
            self._handle(cancel, to)
        except Exception as error:  # noqa: BLE001  it is the answer
            refuse(to, error)

    def _answered(self, number: int, came: CancelAnswer | BaseException) -> None:
        """What the cancel of one has come to."""
        if self._done:
            return
        self._awaited -= 1
        found = self._results[number]
        if isinstance(came, BaseException):
            code = came.code if isinstance(came, TurnkeeperError) else TurnkeeperError.code
            self._results[number] = replace(found, verdict=None, error=code)
        else:
            self._results[number] = replace(
                found,
                verdict=came.verdict,
                settled_after_ms=came.settled_after_ms,
                cleared=came.cleared,
                still_running=came.still_running,
            )
        self._go_on_later()

    def _overdue(self) -> None:
        """The time is up: go on with what is there, and ask the others without waiting."""
        self._waits = self._waits and self._within is None
        self._take()
        self._go_on_later()

    # -- The end ----------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._end()
        results, more = tuple(self._results), self._more
        answer(self._to, CancelledMany(self._matched, results, more, self._which.as_of))

    def give_up(self) -> None:
        """Refuse the asker, and ask for nothing more."""
        self._end()
        refuse(self._to, shutting_down())

    def _end(self) -> None:
        self._done = True
        self._timer.cancel()
        self._over(self)


class _Answered(AsyncioFuture[CancelAnswer]):
    """Where a session says what a cancel has come to."""

    def __init__(self, then: Callable[[CancelAnswer | BaseException], None]) -> None:
        self._then = then

    def set(self, value: CancelAnswer | None = None) -> None:
        super().set(value)
        assert value is not None, "a cancel has an answer"
        self._then(value)

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        assert self._error is not None, "there is one"
        self._then(self._error)
