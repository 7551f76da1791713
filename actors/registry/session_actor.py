"""SessionActor: one session, living."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, assert_never

from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.events.log import EventLog, Past
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.events.turn_reader import TurnReader
from turnkeeper.actors.journal.contract import Head, Landed, Moved, NotLanded
from turnkeeper.actors.metrics.meter import TURNS_ABANDONED
from turnkeeper.actors.model.exceptions import SessionError, SessionLost
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Flush,
    FollowTurn,
    GetQueue,
    GetSession,
    GetTurn,
    Granted,
    Hold,
    Rearrange,
    Recover,
    Retitle,
    SessionFailed,
    Shut,
    Sleep,
    Slept,
    StandingChanged,
    Stop,
    Submit,
    Subscribe,
    TaskExited,
    Tick,
    TurnDeserted,
    TurnEnded,
    TurnRead,
    TurnReturned,
    Unhold,
    Unsubscribe,
    WoundUp,
)
from turnkeeper.actors.model.records import TurnId, TurnRecord, TurnSpec
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.words import TERMINAL, StreamEnd
from turnkeeper.actors.runtime import AsyncioActor, ReplyTo, answer
from turnkeeper.actors.session.effects import AnnouncePlaces
from turnkeeper.actors.session.line import find
from turnkeeper.actors.session.machine import after_failure
from turnkeeper.actors.session.refusals import shutting_down, unknown, unknown_turn
from turnkeeper.actors.session.states import Closed, Idle, Queued, State
from turnkeeper.actors.session.views import answer_about, find_turn, line_of, view
from turnkeeper.actors.turn.guard.deserted import Deserted
from turnkeeper.actors.turn.guard.terms import abandoned, alone_for

from .decisions import LOST, Decisions
from .directory import followed
from .durable import history
from .durable.past import Recall, is_past
from .durable.prompt import PromptDecisions
from .performer import Performer, has_reader, publish_ends
from .recovery import when_ended
from .shared import Shared

#: The messages that the session decides, as they come.
DECIDED: Final = frozenset(
    {Submit, TurnEnded, TurnReturned, Stop, Shut, Rearrange, Hold, Unhold, WoundUp, Granted, Recover}
)
#: The other messages that a session's actor understands.
MESSAGES: Final = (
    Landed,
    Moved,
    NotLanded,
    TurnRead,
    Tick,
    Subscribe,
    FollowTurn,
    Unsubscribe,
    GetSession,
    GetQueue,
    GetTurn,
    AwaitTurn,
    Sleep,
    TaskExited,
    Flush,
    Retitle,
    StandingChanged,
    TurnDeserted,
)


class SessionActor(AsyncioActor):
    """One session, living. Only the registry has its ref: all others go through the registry."""

    registered = False
    #: Whether a handler has raised. Only an instance that has failed has one of its own.
    _failed = False
    #: The turns that wait without a reader. Only an instance that has had one has one of its own.
    _deserted: Deserted | None = None

    def __init__(
        self,
        shared: Shared,
        state: State,
        log: EventLog | None = None,
        readers: Iterable[Subscription] = (),
        head: Head | None = None,
    ) -> None:
        """``readers`` are those that have been waiting for the session to be opened.

        ``head`` is where its log in the journal stands, if it has one there.
        """
        super().__init__()
        self._shared = shared
        feed = Feed(shared, log)
        for reader in readers:
            reader.move(feed.log, self._on_reader_gone)
            feed.add(reader)
        self._performer = Performer(shared, self._actor_ref, feed)
        self._decisions: Decisions
        if shared.journal is None:
            self._decisions = Decisions(state, shared, self._actor_ref, self._performer)
        else:
            self._decisions = PromptDecisions(
                state, shared, self._actor_ref, self._performer, shared.journal, head
            )

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        """Handle one message of the registry's, of a reader's, or of the session's own task or timer."""
        if type(message) in DECIDED:
            self._decisions.decide(message, reply_to)
            return
        if not isinstance(message, MESSAGES):
            super().on_message(message, reply_to)
            return
        match message:
            case Landed() | Moved() | NotLanded() | TurnRead():
                self._decisions.answered(message)
            case Tick():
                self._decisions.decide(self._performer.turns.tick(), reply_to)
            case Subscribe() | FollowTurn():
                self._follow(message, reply_to)
            case Unsubscribe():
                if self._performer.feed.remove(message.subscription):
                    self._count_readers()
                    _left(self, message.subscription)
            case TurnDeserted():
                _stop_deserted(message.turn_id, self._shared, self._performer, self._decisions)
            case GetSession():
                readers, turns = self._performer.feed.reader_count, self._performer.turns
                answer(reply_to, view(self._decisions.state, readers, *turns.known))
            case GetQueue():
                answer(reply_to, self._shared.slots.queue_of(self._decisions.state))
            case GetTurn() | AwaitTurn():
                _answer_turn(message, reply_to, self._shared, self._performer, self._decisions.state)
            case Sleep():
                self._sleep()
            case TaskExited():
                self._performer.turns.exited(message)
            case Flush():
                self._decisions.flush()
            case Retitle():
                self._decisions.retitle(message, reply_to)
            case StandingChanged():
                _show_places(message.ticket, self._performer, self._decisions.state)
            case _:
                assert_never(message)

    # -- Readers ----------------------------------------------------------------------------------------

    def _follow(self, message: Subscribe | FollowTurn, reply_to: ReplyTo) -> None:
        asker, journal = message.asker, self._shared.journal
        has_room = type(message) is FollowTurn and message.has_room
        no_room = self._shared.directory.ledger.no_stream(asker.user, bounded=asker.bounded)
        if no_room is not None and not has_room:
            self._shared.count_refusal(no_room)
            raise no_room
        state, log = self._decisions.state, self._performer.feed.log
        record = _found(message.turn_id, self._performer, state) if type(message) is FollowTurn else None
        if journal is None or not is_past(message, log, record):
            answer(reply_to, self._reader(message, record))
            return
        self._decisions.flush()
        recall = Recall(self._shared, journal, state.memory.home.session_id, log, asker.user)
        self._performer.feed.recalls += 1
        self._shared.answer_later(self._recalled(message, recall, record), reply_to)

    async def _recalled(
        self, message: Subscribe | FollowTurn, recall: Recall, record: TurnRecord | None
    ) -> Subscription:
        try:
            found, record = await recall.read(message, record)
        finally:
            self._performer.feed.recalls -= 1
        state = self._decisions.state
        if not self._actor_ref.is_alive() or (isinstance(state, Closed) and state.for_good is None):
            raise SessionLost(LOST) if self._failed else shutting_down()
        return self._reader(message, record, found)

    def _reader(
        self, message: Subscribe | FollowTurn, record: TurnRecord | None, found: Past | None = None
    ) -> Subscription:
        """A reader, which begins with what was ``found`` in the journal."""
        feed, state = self._performer.feed, self._decisions.state
        if type(message) is FollowTurn:
            if record is None:
                raise unknown_turn(message.turn_id)
            reader: Subscription = feed.turn_reader(record, message.after, self._on_reader_gone, found)
        else:
            standing = self._shared.slots.standing(state)
            reader = feed.reader(
                state,
                message.cursor,
                self._on_reader_gone,
                message.close_on,
                found,
                standing,
                self._performer.turns.known[2],
            )
        self._shared.directory.opened_stream(reader, message.asker.user)
        if isinstance(state, Closed):
            reader.end(StreamEnd.SESSION_CLOSED)
        else:
            feed.add(reader)
            self._count_readers()
        return reader

    def _on_reader_gone(self, reader: Subscription) -> None:
        self._shared.directory.closed_stream(reader)
        if self._performer.feed.has(reader):
            self._actor_ref.tell_if_alive(Unsubscribe(reader))

    def _count_readers(self) -> None:
        self._performer.turns.readers_changed()
        shared, home = self._shared, self._decisions.state.memory.home
        count = self._performer.feed.reader_count
        followed(shared.directory, self._actor_ref, home.session_id, count, shared.clock())
        shared.slots.read_by(count, self._decisions.state, self._actor_ref)

    # -- Sleep ------------------------------------------------------------------------------------------

    def _sleep(self) -> None:
        """Go to sleep if there is nothing to do: hand over what is to be remembered, and stop."""
        state = self._decisions.state
        session_id = state.memory.home.session_id
        busy = self._performer.busy or not self._decisions.settled
        if busy or not self.actor_inbox.empty() or not isinstance(state, Idle | Closed):
            self._shared.report(Slept(self._actor_ref, session_id, None, None))
            return
        log = self._performer.feed.log
        if self._shared.journal is None:
            log.forget_all_but_last()
        self._shared.report(Slept(self._actor_ref, session_id, state, log, self._decisions.head))
        self._stop()

    # -- The end ----------------------------------------------------------------------------------------

    def on_stop(self) -> None:
        """Answer every asker: before its deadline a shutdown has seen to that, at its deadline this does."""
        error = _why_stopped(self._shared, self._actor_ref, self._decisions.state)
        self._decisions.abandon(error)
        self._performer.abandon(self._decisions.state, error, StreamEnd.SHUTDOWN)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """A handler of ours raised: cancel what runs, and answer every asker."""
        self._failed = True
        state, feed, turns = self._decisions.state, self._performer.feed, self._performer.turns
        turn, task = turns.turn, turns.task
        left = after_failure(state, self._shared.clock(), *turns.known)
        failed = SessionFailed(self._actor_ref, left.memory.home.session_id, left, feed.log)
        try:
            if self._shared.journal is None:
                publish_ends(self._shared, feed, state, left)
        finally:
            self._decisions.abandon(SessionLost(LOST))
            self._performer.abandon(state, SessionLost(LOST), StreamEnd.SESSION_LOST)
            grace, shared = 0.0 if turn is None else turn.spec.grace, self._shared
            when_ended(task, grace, lambda: shared.report(failed), shared.cut_short)

    def why_unhandled(self, error: Exception) -> Exception:
        """Mail behind the message that made it fail is lost with it; a later message finds its successor.

        Otherwise it stops with mail only at the end of all.
        """
        return SessionLost(LOST) if self._failed else shutting_down()


def _found(turn_id: str, performer: Performer, state: State) -> TurnRecord | None:
    return find_turn(state, turn_id, *performer.turns.known)


def _waiting(turn_id: TurnId, state: State) -> TurnSpec | None:
    """The turn of that id, if it waits for the session here."""
    found = None if isinstance(state, Closed) else find(line_of(state), turn_id)
    return None if found is None else found.spec


def _left(actor: SessionActor, reader: Subscription) -> None:
    """That reader has left: if its turn still waits, it is stopped in time, as one that runs is."""
    spec = _waiting(reader.turn_id, actor._decisions.state) if type(reader) is TurnReader else None
    alone = None if spec is None else alone_for(spec.policy)
    if spec is not None and alone is not None:
        if actor._deserted is None:
            ref = actor._actor_ref
            actor._deserted = Deserted(actor._shared.loop, lambda turn: ref.tell_if_alive(TurnDeserted(turn)))
        actor._deserted.left(spec.turn_id, alone)


def _stop_deserted(turn_id: TurnId, shared: Shared, performer: Performer, decisions: Decisions) -> None:
    """Stop a turn that has waited without a reader for so long, unless it is read again, or waits no more."""
    spec = _waiting(turn_id, decisions.state)
    alone = None if spec is None else alone_for(spec.policy)
    if spec is not None and alone is not None and not has_reader(performer, spec):
        shared.meter.count(TURNS_ABANDONED)
        decisions.decide(Stop(turn_id, abandoned(alone), wait=False), None)


def _answer_turn(
    message: GetTurn | AwaitTurn, reply_to: ReplyTo, shared: Shared, performer: Performer, state: State
) -> None:
    record, journal = _found(message.turn_id, performer, state), shared.journal
    if record is None:
        if journal is None:
            raise unknown_turn(message.turn_id)
        shared.answer_later(history.answer_about(journal, state.memory.home.session_id, message), reply_to)
    elif type(message) is AwaitTurn and record.status not in TERMINAL:
        performer.wait_for(record.turn_id, reply_to)
    else:
        answer(reply_to, answer_about(message, record))


def _show_places(ticket: Ticket, performer: Performer, state: State) -> None:
    if type(state) is Queued and state.asked == ticket and performer.feed.is_read:
        performer.perform((AnnouncePlaces(),), state)


def _why_stopped(shared: Shared, actor: Any, state: State) -> SessionError:
    """What askers get that still wait: the directory no longer has a session that was forgotten."""
    session_id = state.memory.home.session_id
    forgotten = shared.directory.living(actor, session_id) is None
    return unknown(session_id) if forgotten else shutting_down()
