"""The sessions' actors: started when a session is opened or woken, and sent its messages."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from turnkeeper.actors.events.early_readers import EarlyReaders
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.reaction import close_on_named
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, ScopeMissing
from turnkeeper.actors.model.logger import about, logger
from turnkeeper.actors.model.messages import (
    Close,
    FollowTurn,
    Recovering,
    SessionFailed,
    SessionView,
    Shut,
    Sleep,
    Slept,
    Subscribe,
    TaskExited,
    ToBeFreed,
)
from turnkeeper.actors.model.records import Asker, Reason, SessionId
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef, ReplyTo, answer, refuse, request_stop
from turnkeeper.actors.runtime.run_queue import MESSAGES_PER_PASS
from turnkeeper.actors.session.refusals import shutting_down, unknown
from turnkeeper.actors.session.states import Closed, Home, Idle, Memory

from .directory import Entry, followed, left_of, restore
from .session_actor import SessionActor
from .shared import Shared

#: How many sessions are ended in one pass of the loop: the step in which a cancelled task ends, and the three
#: messages around it, fit into the next ones.
BATCH: Final = MESSAGES_PER_PASS // 4


class Children:
    """The sessions of one registry with their actors, of which those asleep have none.

    Between the moment in which an actor is asked to sleep, or fails, and its report of what is left of the
    session, messages for it are parked: what lies in its own mailbox when it stops is turned away.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._limits = shared.limits
        #: The readers of sessions that are not open, or that they may not know of.
        self.early_readers = EarlyReaders(shared, self._on_early_reader_gone)
        #: Whether no actor is started any more.
        self._over = False

    def known(self, session_id: str, asker: Asker) -> Entry:
        """The session of that id. Raises `UnknownSession` if there is none that the asker may know of."""
        entry = self._directory.find(session_id, asker)
        if entry is None:
            raise unknown(ids.session_id(session_id))
        return entry

    def owner(self, session: SessionId) -> str | None:
        """Whose session it is, or whose it was if only its conversation is left of it."""
        entry = self._directory.entries.get(session)
        return self._shared.contexts.owner(session) if entry is None else entry.owner

    def remembered(self, session_id: str, asker: Asker) -> tuple[SessionId, str]:
        """A session's id and its owner, also where only its conversation is left. Raises `UnknownSession`."""
        session = ids.session_id(session_id)
        owner = self.owner(session)
        if owner is None or not asker.may_see(owner):
            raise unknown(session)
        return session, owner

    def open(self, session: SessionId, owner: str, now: float, *, counts: bool = True) -> Entry:
        """Open a session, for a send or a close that comes next. Raises `ShuttingDown`.

        What comes ``counts`` as a turn already.
        """
        if self._over:
            raise shutting_down()
        state = Idle(Memory(Home(session, owner, self._limits), self._directory.epoch_floor))
        entry = Entry(session, state, now)
        self._directory.add(entry, owner, counts=counts)
        restore(entry, self._shared.contexts.take(session))
        entry.log = EventLog(entry.holdings)
        readers = self.early_readers.take(session, owner)
        entry.actor = SessionActor.start(self._shared, state, entry.log, readers)
        if readers:
            followed(self._directory, entry.actor, session, len(readers), now)
        logger.debug("session %s: opened for %s", session, owner, extra=about(session))
        return entry

    def follow(self, message: Subscribe | FollowTurn, to: ReplyTo) -> None:
        """Let the asker read. Raises `InvalidRequest`, `UnknownSession` and `TooManyStreams`.

        A reader of a session that is not open, or is another user's, waits: nothing shows which it is. Of a
        single turn there is nothing to wait for.
        """
        if to is None:
            raise InvalidRequest("a subscription must be asked for", field="reply_to")
        if isinstance(message, FollowTurn):
            self.forward(self.known(message.session_id, message.asker), message, to)
            return
        if not isinstance(message.cursor, str | None):
            raise InvalidRequest("a cursor must be a string", field="cursor")
        close_on_named(message.close_on)
        asker, directory = message.asker, self._directory
        entry = directory.find(message.session_id, asker)
        if entry is not None:
            self.forward(entry, message, to)
            return
        session = ids.session_id(message.session_id)
        no_room = directory.ledger.no_stream(asker.user, bounded=asker.bounded)
        if no_room is not None:
            raise no_room
        reader = self.early_readers.add(session, asker, message.cursor, message.close_on)
        directory.opened_stream(reader, asker.user)
        answer(to, reader)

    def _on_early_reader_gone(self, reader: Subscription) -> None:
        self._directory.closed_stream(reader)
        self.early_readers.remove(reader)

    def forward(self, entry: Entry, message: Any, to: ReplyTo) -> None:
        """Send a session a message whose answer goes to ``to``, waking it if it sleeps."""
        actor = entry.actor
        if entry.parked_mail is None and actor is not None and not actor._stopped:
            actor.forward(message, to)
        elif self._over:
            refuse(to, shutting_down())
        elif entry.parked_mail is not None:
            entry.parked_mail.append((message, to))
        elif actor is None:
            self.wake(entry).forward(message, to)
        else:
            # It failed, and its report is on the way: this waits for its successor.
            entry.parked_mail = [(message, to)]

    def wake(self, entry: Entry) -> AsyncioRef[SessionActor]:
        """Give a session that sleeps an actor."""
        actor = SessionActor.start(self._shared, entry.state, entry.log, head=entry.head)
        self._directory.woke(entry, actor)
        return actor

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
            entry.head = report.head
            logger.debug("session %s: asleep", entry.session_id, extra=about(entry.session_id))
        self._deliver_parked(entry)
        if self._shared.journal is not None and entry.actor is None and not isinstance(entry.state, Closed):
            self.let_go(entry)  # the journal has all of it
        return True

    def failed(self, report: SessionFailed) -> bool:
        """A session's actor failed: its next message starts another one, with what is left of the session.

        False if the report is not to be believed.
        """
        entry = self._directory.living(report.actor, report.session_id)
        if entry is None:
            return False
        now = self._shared.clock()
        followed(self._directory, report.actor, report.session_id, 0, now)
        self._directory.report(report.actor, report.state, now)
        self._directory.slept(entry, report.state, report.log)
        if self._shared.slots.asking:
            self._shared.slots.grant()  # a turn that needed no slot may have made room
        if self._shared.journal is None:
            self._deliver_parked(entry)
        else:
            # What is known of it here may be ahead of the journal, or behind: it is read again.
            entry.parked_mail = entry.parked_mail or []
            self._shared.report(Recovering((entry.session_id,)))
        return True

    def _deliver_parked(self, entry: Entry) -> None:
        parked, entry.parked_mail = entry.parked_mail or [], None
        for message, to in parked:
            self.forward(entry, message, to)

    def exited(self, report: TaskExited) -> None:
        """A task of a turn's would have ended the process: tell the turn's session, if it is awake."""
        entry = self._directory.entries.get(report.session_id)
        if entry is not None and entry.actor is not None:
            self.forward(entry, report, None)

    def forget(self, entry: Entry) -> None:
        """Let go of a session that sleeps: for good, but its conversation may be kept for longer.

        A journal still has it, unless it was closed.
        """
        journal = self._shared.journal
        if journal is None:
            self._directory.remove(entry)
            self._shared.contexts.leave(left_of(entry))
            logger.debug("session %s: forgotten", entry.session_id, extra=about(entry.session_id))
            return
        self.let_go(entry)
        if isinstance(entry.state, Closed) and entry.state.for_good is not None:
            task = self._shared.loop.create_task(journal.forget(entry.session_id))
            self._shared.journal_tasks.add(task)
            task.add_done_callback(partial(_forgotten, self._shared))

    def let_go(self, entry: Entry) -> None:
        """Keep nothing of a session in memory."""
        self._directory.remove(entry)
        self._shared.contexts.forget(entry.session_id)
        logger.debug("session %s: no longer in memory", entry.session_id, extra=about(entry.session_id))

    # -- The end ------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Start no actor any more: what is for a session without one is refused."""
        self._over = True

    def stop(self, entries: Iterable[Entry], to: ReplyTo) -> None:
        """Stop the actors of these, each of which answers ``to``, and refuse what is parked for them."""
        for entry in entries:
            parked, entry.parked_mail = entry.parked_mail or (), None
            for _, asker in parked:
                refuse(asker, shutting_down())
            if entry.actor is not None:
                request_stop(entry.actor, to)


class Closing:
    """Closes single sessions, when that is asked. ``count`` is given how many more are to be forgotten."""

    def __init__(self, shared: Shared, children: Children, count: Callable[[int], None]) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._children = children
        self._count = count

    def close(self, message: Close, to: ReplyTo) -> None:
        """Close a session, or forget the conversation that is left of one. Raises `SessionError`."""
        asker = message.asker
        if message.free and not asker.sees_all:
            raise ScopeMissing("only an admin frees the id of a session")
        session, owner = self._children.remembered(message.session_id, asker)
        entry = self._directory.entries.get(session) or self._children.open(
            session, owner, self._shared.clock()
        )
        shut = Shut(Reason(message.code, asker.user), message.grace)
        if message.free:
            self._free(entry, shut, to)
        else:
            self._children.forward(entry, shut, to)

    def _free(self, entry: Entry, shut: Shut, to: ReplyTo) -> None:
        """Close a session and forget it; ``to`` is answered when it is forgotten, with how it was closed."""
        self._count(1)
        self._children.forward(entry, shut, _Freeing(self._shared, to, partial(self._count, -1)))

    def freed(self, report: ToBeFreed, to: ReplyTo) -> None:
        """A session is closed that is to be forgotten."""
        session = report.view.session_id
        entry = self._directory.entries.get(session)
        if entry is not None and isinstance(entry.state, Closed):
            if entry.parked_mail is not None:
                # Its actor is about to sleep: what is parked comes first.
                self._free(entry, Shut(entry.state.reason), to)
                return
            self._children.forget(entry)
            if entry.actor is not None:
                entry.actor.stop(block=False)
        answer(to, report.view)


class _Freeing(AsyncioFuture[SessionView]):
    """Where a session that is to be freed says that it is closed, then the registry that it is forgotten.

    A registry that has stopped instead has forgotten everything. ``done`` is called when it is answered.
    """

    def __init__(self, shared: Shared, to: ReplyTo, done: Callable[[], None]) -> None:
        self._shared = shared
        self._to = to
        self._done = done
        self._closed: SessionView | None = None

    def set(self, value: SessionView | None = None) -> None:
        if self._closed is None and value is not None and self._shared.registry is not None:
            self._closed = value
            self._shared.registry.forward(ToBeFreed(value), self)
        else:
            super().set(value)
            answer(self._to, value)
            self._done()

    def set_exception(self, exc_info: Any = None) -> None:
        if self._closed is not None:
            self.set(self._closed)
            return
        super().set_exception(exc_info)
        if self._to is not None:
            self._to.set_exception(exc_info)
        self._done()


def _forgotten(shared: Shared, task: "asyncio.Task[None]") -> None:
    shared.journal_tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the journal failed", exc_info=error)
