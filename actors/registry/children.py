"""The sessions' actors: started when a session is opened or woken, and sent its messages."""

from typing import Any

from turnkeeper.actors.events.early_readers import EarlyReaders
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.about import about
from turnkeeper.actors.model.exceptions import UnknownSession
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import SessionFailed, Sleep, Slept, Subscribe, TaskExited, Unsubscribe
from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.actors.runtime import ReplyTo, answer, refuse
from turnkeeper.actors.session.refusals import shutting_down
from turnkeeper.actors.session.states import Home, Idle, Memory

from .directory import Entry
from .session_actor import SessionActor
from .shared import Shared


class Children:
    """The sessions of one registry with their actors, of which those asleep have none.

    Between the moment in which an actor is asked to sleep, or fails, and its report of what is left of the
    session, messages for it are parked: what lies in its own mailbox when it stops is turned away.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._limits = shared.settings.limits
        #: The readers of sessions that are not open.
        self.early_readers = EarlyReaders(shared, lambda reader: shared.report(Unsubscribe(reader)))
        shared.directory.early_readers = self.early_readers

    def known(self, session_id: str, asker: Asker) -> Entry:
        """The session of that id. Raises `UnknownSession` if there is none that the asker may know of."""
        entry = self._directory.find(session_id, asker)
        if entry is None:
            raise UnknownSession(f"no session {ids.session_id(session_id)!r}")
        return entry

    def owner(self, session: SessionId) -> str | None:
        """Whose session it is, or whose it was if only its conversation is left of it."""
        entry = self._directory.entries.get(session)
        return self._shared.contexts.owner(session) if entry is None else entry.owner

    def owner_to_be(self, session: SessionId, asker: Asker) -> str:
        """Whose session it is once the asker opens it. Raises `UnknownSession` if it is another user's."""
        remembered = self.owner(session)
        owner = asker.user if remembered is None else remembered
        if session in self._directory.entries or not asker.may_see(owner):
            raise UnknownSession(f"no session {session!r}")
        return owner

    def open(self, session: SessionId, asker: Asker, now: float) -> Entry:
        """Open a session for the asker. Raises `UnknownSession` if it is, or was, another user's."""
        owner = self.owner_to_be(session, asker)
        state = Idle(Memory(Home(session, owner, self._limits), self._directory.epoch_floor))
        entry = Entry(session, owner, state, now)
        self._directory.add(entry)
        readers = self.early_readers.take(session, owner)
        entry.actor = SessionActor.start(self._shared, state, None, readers)
        if readers:
            self._directory.followed(entry.actor, session, len(readers), now)
        logger.debug("session %s: opened for %s", session, owner, extra=about(session))
        return entry

    def follow(self, message: Subscribe, to: ReplyTo) -> None:
        """Let the asker read. Raises `UnknownSession` if the session is, or was, another user's."""
        asker, cursor = message.asker, message.cursor
        entry = self._directory.find(message.session_id, asker)
        if entry is None:
            session = ids.session_id(message.session_id)
            if cursor is not None:
                self.owner_to_be(session, asker)
                answer(to, self.early_readers.add(session, asker, cursor, message.close_on))
                return
            entry = self.open(session, asker, self._shared.clock())
        self.forward(entry, message, to)

    def forward(self, entry: Entry, message: Any, to: ReplyTo) -> None:
        """Send a session a message whose answer goes to ``to``, waking it if it sleeps."""
        if entry.parked_mail is not None:
            entry.parked_mail.append((message, to))
            return
        actor = entry.actor
        if actor is None:
            actor = SessionActor.start(self._shared, entry.state, entry.log)
            self._directory.woke(entry, actor)
        elif actor._stopped:
            # It failed, and its report is on the way: this waits for its successor.
            entry.parked_mail = [(message, to)]
            return
        actor.forward(message, to)

    def put_to_sleep(self, entry: Entry) -> bool:
        """Ask a session to sleep, if it may; it answers with `Slept`."""
        # An actor that is not alive has failed, and its report is on the way.
        if not self._directory.may_sleep(entry) or not entry.actor.is_alive():
            return False
        entry.parked_mail = []
        entry.actor.tell(Sleep())
        return True

    def slept(self, report: Slept) -> bool:
        """A session went to sleep, or stayed awake. False if the report is not to be believed."""
        entry = self._directory.living(report.actor, report.session_id)
        if entry is None:
            return False
        if report.state is not None:
            self._directory.slept(entry, report.state, report.log)
            logger.debug("session %s: asleep", entry.session_id, extra=about(entry.session_id))
        self._deliver_parked(entry)
        return True

    def failed(self, report: SessionFailed) -> bool:
        """A session's actor failed: its next message starts another one, with what is left of the session.

        False if the report is not to be believed.
        """
        entry = self._directory.living(report.actor, report.session_id)
        if entry is None:
            return False
        now = self._shared.clock()
        self._directory.followed(report.actor, report.session_id, 0, now)
        self._directory.report(report.actor, report.state, now)
        self._directory.slept(entry, report.state, report.log)
        self._deliver_parked(entry)
        return True

    def exited(self, report: TaskExited) -> None:
        """A task of a turn's would have ended the process: tell the turn's session, if it is awake."""
        entry = self._directory.entries.get(report.session_id)
        if entry is not None and entry.actor is not None:
            self.forward(entry, report, None)

    def _deliver_parked(self, entry: Entry) -> None:
        parked, entry.parked_mail = entry.parked_mail or [], None
        for message, to in parked:
            self.forward(entry, message, to)

    def stop(self) -> None:
        """Stop all actors, and leave no parked asker and no reader waiting."""
        self.early_readers.end(StreamEnd.SHUTDOWN)
        for entry in self._directory.entries.values():
            if entry.actor is not None:
                entry.actor.stop(block=False)
            for _, to in entry.parked_mail or ():
                refuse(to, shutting_down())
