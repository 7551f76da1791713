"""How a session comes back into memory: read from the journal, and woken if it has something to do."""

from typing import Any, Protocol

from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.journal.contract import Loaded
from turnkeeper.actors.journal.durable import restored
from turnkeeper.actors.model.exceptions import SessionError, SessionLost
from turnkeeper.actors.model.logger import about, logger
from turnkeeper.actors.model.messages import Recover, Recovered, Retitle
from turnkeeper.actors.model.records import Extras, SessionId
from turnkeeper.actors.registry.decisions import LOST
from turnkeeper.actors.registry.directory import Entry, name, put_back
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, refuse
from turnkeeper.actors.session.states import Ending, Home, Idle, Memory, Running
from turnkeeper.actors.session.steps.restarts import needs_recovery
from turnkeeper.actors.turn.winding.published import open_calls_in


class Household(Protocol):
    """The sessions in memory, with their actors."""

    def forget(self, entry: Entry, /) -> None:
        """Let go of a session that sleeps."""
        ...

    def let_go(self, entry: Entry, /) -> None:
        """Keep nothing of a session in memory."""
        ...

    def wake(self, entry: Entry, /) -> AsyncioRef[Any]:
        """Give a session that sleeps an actor."""
        ...

    def forward(self, entry: Entry, message: Any, to: ReplyTo, /) -> None:
        """Send a session a message whose answer goes to ``to``."""
        ...


class Restoring:
    """Puts what was read into memory."""

    def __init__(self, shared: Shared, household: Household) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._household = household
        #: Those that have failed before they had seen to the turns they were read with.
        self._failed: set[SessionId] = set()

    def restore(self, loaded: Loaded) -> bool:
        """Put a session into memory, asleep. One with turns of another process is woken to see to these.

        Whether it is woken: until that is decided it looks as if its turn ran here, so what is about it has
        to wait for its `Recovered`. If it is there already, its actor has failed, and its mail waits. Raises
        `TooManySessions`.
        """
        session_id, owner = loaded.session_id, loaded.durable.owner
        parked = self._parked(session_id)
        try:
            self._shared.make_room(self._household.forget, owner, bounded=True)
        except SessionError as full:
            _refuse_all(parked, full)
            raise
        entry = self._entry(loaded, owner)
        logger.debug("session %s: read from the journal", session_id, extra=about(session_id))
        if needs_recovery(entry.state):
            entry.parked_mail = parked
            hooks = self._shared.hooks
            winds = hooks is not None and hooks.at_interrupts
            self._household.wake(entry).tell(Recover(winds=winds, extras=_extras_of(entry)))
            return True
        self._let_in(entry, parked)
        return False

    def recovered(self, report: Recovered) -> None:
        """Let in what waited: the session has seen to the turns of another process."""
        entry = self._directory.living(report.actor, report.session_id)
        if entry is not None:
            parked, entry.parked_mail = entry.parked_mail or [], None
            self._let_in(entry, parked)

    def failed(self, session_id: SessionId) -> SessionError | None:
        """A session has failed before it had seen to the turns it was read with; the first time: ``None``.

        The next time, with what its askers are refused: nothing is kept of it here.
        """
        entry = self._directory.entries.get(session_id)
        if entry is None or not entry.awaits_the_journal:
            return None
        if session_id not in self._failed:
            self._failed.add(session_id)
            return None
        error = SessionLost(LOST)
        self.lost(session_id, error)
        return error

    def lost(self, session_id: SessionId, error: SessionError) -> None:
        """Keep nothing of a session whose actor has failed and which cannot be read again now."""
        _refuse_all(self._parked(session_id), error)

    def begin_anew(self, session_id: SessionId) -> None:
        """Let a session whose actor has failed begin anew, of which nothing was written."""
        failed = self._directory.entries.get(session_id)
        parked = self._parked(session_id)
        if failed is None or not parked:
            return
        home = Home(session_id, failed.owner, self._shared.limits)
        entry = Entry(session_id, Idle(Memory(home, self._directory.epoch_floor)), self._shared.clock())
        put_back(self._directory, entry, home.owner)
        entry.log = EventLog(entry.holdings)
        self._let_in(entry, parked)

    def _let_in(self, entry: Entry, parked: list[tuple[Any, ReplyTo]]) -> None:
        """Handle the mail that has waited. A title that is in it was given to what was there before."""
        self._failed.discard(entry.session_id)
        for message, to in parked:
            if type(message) is Retitle:
                name(entry, message.title)
            self._household.forward(entry, message, to)

    def _parked(self, session_id: SessionId) -> list[tuple[Any, ReplyTo]]:
        """The mail of a session whose actor has failed, of which nothing is kept here any more."""
        entry = self._directory.entries.get(session_id)
        if entry is None or not entry.awaits_the_journal:
            return []
        parked, entry.parked_mail = entry.parked_mail or [], None
        self._household.let_go(entry)
        return parked

    def _entry(self, loaded: Loaded, owner: str) -> Entry:
        shared, settings, session_id = self._shared, self._shared.settings, loaded.session_id
        state = restored(loaded.durable, Home(session_id, owner, shared.limits))
        entry = Entry(session_id, state, shared.clock())
        entry.head = loaded.head
        entry.active_at = entry.active_before = loaded.active_at
        put_back(self._directory, entry, owner)
        name(entry, loaded.title)
        entry.log = EventLog(entry.holdings)
        entry.log.restore(loaded.events, loaded.dropped, settings.log_events, settings.log_bytes)
        shared.contexts.restore(session_id, loaded.kept)
        return entry


def _extras_of(entry: Entry) -> Extras | None:
    """What the events of the turn that held a session say of it: which calls of tools it had open."""
    state, log = entry.state, entry.log
    if not isinstance(state, Running | Ending) or log is None:
        return None
    stopped = type(state) is Ending and state.cancellation is not None
    calls = open_calls_in(log, state.turn.spec.turn_id, stopped=stopped)
    return Extras(open_calls=calls) if calls else None


def _refuse_all(mail: list[tuple[Any, ReplyTo]], error: SessionError) -> None:
    for _, to in mail:
        refuse(to, error)
