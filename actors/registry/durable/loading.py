"""Sessions that are not in memory: read from the journal when they are asked for, with their mail parked.

After a start the sessions with a turn that had not ended are loaded at once, some at a time: what became of
those turns is decided, and said, before anyone asks. One that fails over that is read again at once; if it
fails again, those who ask for it are refused, and it is read again every few seconds.
"""

import asyncio
from collections import deque
from collections.abc import Callable, KeysView
from typing import Any, Final, assert_never

from turnkeeper.actors.journal.contract import Journal, Loaded, Tail
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Cancel,
    ChangeQueued,
    Close,
    FollowTurn,
    GetMessages,
    GetPolicy,
    GetQueue,
    GetSession,
    GetTurn,
    GetTurns,
    Recovered,
    Recovering,
    Send,
    SessionRead,
    SetTitle,
    Subscribe,
)
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import ReplyTo, Timer, refuse
from turnkeeper.actors.session.refusals import shutting_down

from .answers import came_of
from .restoring import Household, Restoring

#: The messages that are about one session, whether or not it is in memory.
ABOUT_A_SESSION: Final = frozenset(
    {
        Send,
        Cancel,
        Close,
        Subscribe,
        FollowTurn,
        GetSession,
        ChangeQueued,
        GetTurn,
        AwaitTurn,
        GetMessages,
        GetTurns,
        GetPolicy,
        GetQueue,
        SetTitle,
    }
)
#: How many sessions are loaded at a time after a start.
AT_ONCE: Final = 16
#: After how many seconds those are tried again that could not be.
AGAIN_AFTER: Final = 5.0


class Loading:
    """Loads the sessions of one registry. ``handle`` is given each message that has waited."""

    def __init__(
        self,
        shared: Shared,
        journal: Journal,
        household: Household,
        handle: Callable[[Any, ReplyTo], None],
    ) -> None:
        settings = shared.settings
        self._shared = shared
        self._journal = journal
        self._restoring = Restoring(shared, household)
        self._resume = handle
        self._tail = Tail(
            settings.log_events,
            settings.log_bytes,
            settings.conversation_messages,
            settings.conversation_bytes,
            settings.limits,
        )
        #: What is being read, and the messages that wait for that.
        self._reading: dict[SessionId, tuple[asyncio.Task[Loaded | None], list[tuple[Any, ReplyTo]]]] = {}
        #: The messages about sessions that were read and have not seen to the turns they were read with.
        self._held: dict[SessionId, list[tuple[Any, ReplyTo]]] = {}
        #: Those with a turn that had not ended, which are still to be loaded.
        self._open: deque[SessionId] = deque()
        #: Those of them that are being read, and those that could not be.
        self._opening: set[SessionId] = set()
        self._not_read: dict[SessionId, None] = {}
        self._again = Timer(shared.loop, self._try_again)
        #: What is to be done when each of those has been read, or could not be.
        self._then: list[Callable[[], None]] = []
        self._over = False

    @classmethod
    def of(
        cls, shared: Shared, household: Household, handle: Callable[[Any, ReplyTo], None]
    ) -> "Loading | None":
        """The one for a registry with a journal; ``None`` for one without."""
        journal = shared.journal
        return None if journal is None else cls(shared, journal, household, handle)

    @property
    def reading(self) -> KeysView[SessionId]:
        """Those that are being read, in each moment."""
        return self._reading.keys()

    # -- Messages ---------------------------------------------------------------------------------------

    def park(self, message: Any, to: ReplyTo) -> bool:
        """Let a message wait if it is about a session that is not in memory; whether it does.

        Raises `ShuttingDown`, and `InvalidRequest` for what is no id.
        """
        if type(message) not in ABOUT_A_SESSION:
            return False
        session = ids.session_id(message.session_id)
        held = self._held.get(session)
        if held is not None:
            held.append((message, to))
            return True
        if session in self._shared.directory.entries:
            return False
        if self._over:
            raise shutting_down()
        self._read(session)[1].append((message, to))
        return True

    def _read(self, session: SessionId) -> tuple["asyncio.Task[Loaded | None]", list[tuple[Any, ReplyTo]]]:
        reading = self._reading.get(session)
        if reading is None:
            task = self._shared.loop.create_task(self._journal.load(session, self._tail))
            reading = self._reading[session] = task, []
            task.add_done_callback(lambda task: self._shared.report(_read(session, task)))
        return reading

    def handle(self, report: SessionRead | Recovering | Recovered) -> None:
        """A session was read, or could not be, or some are to be, or one has seen to its turns."""
        match report:
            case SessionRead():
                self._loaded(report)
            case Recovering():
                self._open.extend([each for each in report.sessions if not self._fails_again(each)])
                self._load_open()
                self._look_whether_recovered()
            case Recovered():
                self._restoring.recovered(report)
                self._go_on(self._held.pop(report.session_id, []))
                self._look_whether_recovered()
            case _:
                assert_never(report)

    def _loaded(self, report: SessionRead) -> None:
        """Handle what has waited for a session."""
        reading = self._reading.pop(report.session_id, None)
        if reading is None:
            return
        parked = self._held.pop(report.session_id, []) + reading[1]
        error = report.error
        if error is not None:
            self._restoring.lost(report.session_id, error)
        elif report.loaded is None:
            self._restoring.begin_anew(report.session_id)
        else:
            try:
                if self._restoring.restore(report.loaded):
                    self._held[report.session_id], parked = parked, []
            except SessionError as refused:
                error = refused
        if report.session_id in self._opening:
            self._opening.discard(report.session_id)
            if error is not None:
                self._put_off(report.session_id)
        self._go_on(parked, error)
        self._load_open()
        self._look_whether_recovered()

    def _fails_again(self, session: SessionId) -> bool:
        """Whether it has failed over the turns it was read with, and had before: then it is put off."""
        error = self._restoring.failed(session) if session in self._held else None
        if error is None:
            return False
        self._put_off(session)
        self._go_on(self._held.pop(session), error)
        return True

    def _put_off(self, session: SessionId) -> None:
        """Read it again after a while."""
        self._not_read[session] = None
        self._again.set(self._shared.loop.time() + AGAIN_AFTER)

    def _go_on(self, parked: list[tuple[Any, ReplyTo]], error: SessionError | None = None) -> None:
        """Handle what has waited, or refuse it with this error."""
        for message, to in parked:
            if error is not None:
                self._shared.count_refusal(error)
                refuse(to, error)
                continue
            try:
                self._resume(message, to)
            except Exception as refused:  # noqa: BLE001  it is the answer
                refuse(to, refused)

    # -- After a start ----------------------------------------------------------------------------------

    def _load_open(self) -> None:
        while self._open and (self._over or len(self._reading) < AT_ONCE):
            session = self._open.popleft()
            entry = self._shared.directory.entries.get(session)
            if self._over:
                self._restoring.lost(session, shutting_down())
            elif entry is None or entry.awaits_the_journal:
                self._opening.add(session)
                self._read(session)

    def when_recovered(self, then: Callable[[], None]) -> None:
        """Do this when it is decided what becomes of the turns of the process before: now, if it is.

        Those that cannot be read now are not waited for.
        """
        self._then.append(then)
        self._look_whether_recovered()

    def _look_whether_recovered(self) -> None:
        if not (self._open or self._opening or self._held):
            then, self._then = self._then, []
            for do in then:
                do()

    def _try_again(self) -> None:
        again, self._not_read = tuple(self._not_read), {}
        self._shared.report(Recovering(again))

    # -- The end ----------------------------------------------------------------------------------------

    def end(self) -> None:
        """Load nothing any more, and refuse what waits."""
        self._over = True
        self._again.cancel()
        reading = dict(self._reading)
        self._reading.clear()
        self._open.extend(reading)
        waiting = [*self._held.values(), *(parked for _, parked in reading.values())]
        self._held.clear()
        for task, _ in reading.values():
            task.cancel()
        for parked in waiting:
            for _, to in parked:
                refuse(to, shutting_down())
        self._load_open()


def when_recovered(loading: Loading | None) -> Callable[[Callable[[], None]], None]:
    """Does something when the turns of the process before have been seen to: now, where there are none."""
    return (lambda then: then()) if loading is None else loading.when_recovered


def _read(session: SessionId, task: "asyncio.Task[Loaded | None]") -> SessionRead:
    return SessionRead(session, *came_of(task, f"session {session}"))
