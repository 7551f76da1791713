"""RegistryActor: starts sessions, routes to them, lists them, puts them to sleep, and ends them all."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, ShuttingDown, TurnkeeperError, UnknownSession
from turnkeeper.actors.model.messages import (
    ActiveTurn,
    AwaitTurn,
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    GetCounts,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Send,
    SessionEnded,
    SessionFailed,
    Shut,
    Shutdown,
    ShutdownOverdue,
    Sleep,
    Slept,
    Stop,
    Subscribe,
    Sweep,
)
from turnkeeper.actors.model.records import Asker, CancelCode, Reason, SessionId, TurnId, Verdict
from turnkeeper.actors.runtime import AsyncioActor, ReplyTo, answer, in_batches, refuse
from turnkeeper.actors.session.refusals import precondition_failed
from turnkeeper.actors.session.resolve import cancel_code, check_text, resolve
from turnkeeper.actors.session.states import Closed, Home, Idle, Memory

from .directory import Directory, Entry
from .early_cancels import EarlyCancels
from .passes import PASS, Cleaning, Ending
from .session_actor import SessionActor
from .shared import Shared, logger

#: What is left of the shutdown deadline for streams and answers once the last turn has been given up.
SHUTDOWN_MARGIN = 0.5


class RegistryActor(AsyncioActor):
    """The one actor that everyone talks to. Sessions are its children."""

    def __init__(self, shared: Shared, directory: Directory, default_agent: str, incarnation: str) -> None:
        super().__init__()
        self._shared = shared
        shared.registry = self._actor_ref
        self._default_agent = default_agent
        self._limits = shared.settings.limits
        self._directory = directory
        self._early = EarlyCancels(shared.settings.early_cancels_per_user, shared.settings.early_cancel_ttl)
        self._incarnation = incarnation
        self._turn_numbers = itertools.count(1)
        self._sweeper: asyncio.TimerHandle | None = None
        self._cleanups: list[Cleaning] = []
        self._ending: Ending | None = None
        self._handlers: dict[type[Any], Callable[[Any, ReplyTo], None]] = {
            Send: self._on_send,
            SessionEnded: self._on_closed,
            Cancel: self._on_cancel,
            Subscribe: self._on_subscribe,
            Close: self._on_close,
            GetSession: self._on_about,
            GetTurn: self._on_about,
            AwaitTurn: self._on_about,
            GetMessages: lambda message, to: answer(to, shared.conversation(message)),
            ListActive: self._on_list,
            Cleanup: self._on_cleanup,
            GetCounts: self._on_counts,
            Slept: self._on_slept,
            SessionFailed: self._on_failed,
            Sweep: self._on_sweep,
            Shutdown: self._on_shutdown,
            ShutdownOverdue: self._on_overdue,
        }

    def on_start(self) -> None:
        """Begin to look for idle sessions."""
        self._sweep_later()

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        """Route a message, or answer it from the index. A refusal is the answer of its asker."""
        handler = self._handlers.get(type(message))
        if handler is None:
            super().on_message(message, reply_to)
            return
        try:
            handler(message, reply_to)
        except TurnkeeperError as error:
            if reply_to is None:
                logger.warning("%s refused: %s", type(message).__name__, error)
            else:
                refuse(reply_to, error)
        except Exception:
            if reply_to is not None:
                raise  # it is the answer
            # Nobody's malformed message may take all sessions along.
            logger.exception("%s could not be handled", type(message).__name__)

    # -- Routing --------------------------------------------------------------------------------------

    def _on_send(self, message: Send, reply_to: ReplyTo) -> None:
        if self._ending is not None:
            raise ShuttingDown("the server is shutting down")
        shared = self._shared
        now = shared.clock()
        entry = self._directory.find(message.session_id, message.asker)
        session = ids.session_id(message.session_id) if entry is None else entry.session_id
        submit = resolve(
            message,
            session,
            shared.settings,
            shared.agents,
            self._default_agent,
            TurnId(f"{self._incarnation}-{next(self._turn_numbers)}"),
            now,
        )
        if entry is None:
            if message.if_match is not None:
                raise precondition_failed(message.if_match)
            entry = self._open(session, message.asker, now)
        if message.turn_id is not None:
            early = self._early.take(message.asker.user, session, submit.spec.turn_id, now)
            if early is not None:
                self._forward(entry, Stop(submit.spec.turn_id, early, wait=False), None)
        self._forward(entry, submit, reply_to)

    def _on_cancel(self, message: Cancel, reply_to: ReplyTo) -> None:
        entry = self._directory.find(message.session_id, message.asker)
        turn = None if message.turn_id is None else ids.turn_id(message.turn_id)
        text = check_text(message.text)
        if entry is None:
            session = ids.session_id(message.session_id)
            if message.if_match is not None:
                raise precondition_failed(message.if_match)
            remembered = None
            if turn is not None:
                now = self._shared.clock()
                if session not in self._directory.entries:
                    self._early.remember(message.asker.user, session, turn, text, now)
                remembered = self._shared.settings.early_cancel_ttl
            if reply_to is not None:
                reply_to.set(CancelAnswer(Verdict.NOT_RUNNING, remembered_for=remembered))
            return
        reason = Reason(cancel_code(message.code, message.asker, entry.owner), message.asker.user, text)
        self._forward(entry, Stop(turn, reason, message.wait, message.if_match), reply_to)

    def _on_close(self, message: Close, reply_to: ReplyTo) -> None:
        entry = self._known(message.session_id, message.asker)
        reason = Reason(message.code, message.asker.user)
        self._forward(entry, Shut(reason, message.grace), reply_to)

    def _on_about(self, message: GetSession | GetTurn | AwaitTurn, reply_to: ReplyTo) -> None:
        if reply_to is None:
            return  # nobody asked, and the session could tell nobody that it does not know
        self._forward(self._known(message.session_id, message.asker), message, reply_to)

    def _on_subscribe(self, message: Subscribe, reply_to: ReplyTo) -> None:
        if self._ending is not None:
            raise ShuttingDown("the server is shutting down")
        if reply_to is None:
            raise InvalidRequest("a subscription is for somebody who asks", field="reply_to")
        if not isinstance(message.cursor, str | None):
            raise InvalidRequest("a cursor is a text", field="cursor")
        entry = self._directory.find(message.session_id, message.asker)
        if entry is None:
            session = ids.session_id(message.session_id)
            entry = self._open(session, message.asker, self._shared.clock())
        self._forward(entry, message, reply_to)

    def _known(self, session_id: str, asker: Asker) -> Entry:
        entry = self._directory.find(session_id, asker)
        if entry is None:
            raise UnknownSession(f"no session {ids.session_id(session_id)!r}")
        return entry

    def _open(self, session: SessionId, asker: Asker, now: float) -> Entry:
        """Open a session for the asker, unless it is somebody else's, known or remembered."""
        remembered = self._shared.contexts.owner(session)
        owner = asker.user if remembered is None else remembered
        if session in self._directory.entries or not asker.may_see(owner):
            raise UnknownSession(f"no session {session!r}")
        state = Idle(Memory(Home(session, owner, self._limits), self._directory.epoch_floor))
        entry = Entry(session, owner, state, now)
        self._directory.add(entry)
        entry.actor = SessionActor.start(self._shared, state)
        logger.debug("session %s: opened for %s", session, owner)
        return entry

    def _forward(self, entry: Entry, message: Any, reply_to: ReplyTo) -> None:
        if entry.parked_mail is not None:
            entry.parked_mail.append((message, reply_to))
            return
        actor = entry.actor
        if actor is None:
            actor = SessionActor.start(self._shared, entry.state, entry.log)
            self._directory.woke(entry, actor)
        elif actor._stopped:
            # It failed, and its report is on the way: this waits for its successor.
            entry.parked_mail = [(message, reply_to)]
            return
        actor.forward(message, reply_to)

    # -- Reports --------------------------------------------------------------------------------------

    def _on_closed(self, message: SessionEnded, _reply_to: ReplyTo) -> None:
        if self._ending is not None and self._directory.living(message.actor, message.session_id):
            self._ending.left.pop(message.session_id, None)
            self._end_if_drained()

    def _on_failed(self, message: SessionFailed, _reply_to: ReplyTo) -> None:
        """A session's actor failed: the next message starts another one, with what was remembered."""
        entry = self._directory.living(message.actor, message.session_id)
        if entry is None:
            return
        now = self._shared.clock()
        parked, entry.parked_mail = entry.parked_mail or [], None
        self._directory.followed(message.actor, message.session_id, 0, now)
        self._directory.changed(entry, message.state, now)
        self._directory.slept(entry, message.state, message.log)
        for cleaning in self._cleanups:
            cleaning.left.discard(message.session_id)
        self._answer_cleanups()
        for waiting, reply_to in parked:
            self._forward(entry, waiting, reply_to)
        if self._ending is not None:
            self._ending.left.pop(message.session_id, None)
            self._end_if_drained()

    # -- Questions about many, and passes over many ---------------------------------------------------

    def _on_list(self, message: ListActive, reply_to: ReplyTo) -> None:
        if reply_to is None:
            return
        asker, found = message.asker, list[ActiveTurn]()
        in_batches(
            self._shared.loop,
            iter(list(self._directory.active.values())),
            PASS,
            lambda turns: found.extend(self._directory.listed(turns, asker)),
            lambda: reply_to.set(tuple(found)),
        )

    def _on_counts(self, _message: GetCounts, reply_to: ReplyTo) -> None:
        answer(reply_to, self._directory.counts(self._shared.meter.counts()))

    def _on_cleanup(self, message: Cleanup, reply_to: ReplyTo) -> None:
        asker = message.asker
        cleaning = Cleaning(reply_to)
        self._cleanups.append(cleaning)

        def look(entries: list[Entry]) -> None:
            for entry in entries:
                if asker.may_see(entry.owner) and self._put_to_sleep(entry):
                    cleaning.left.add(entry.session_id)

        def done() -> None:
            cleaning.asked_all = True
            self._answer_cleanups()

        in_batches(self._shared.loop, iter(list(self._directory.resting.values())), PASS, look, done)

    def _answer_cleanups(self) -> None:
        for cleaning in [each for each in self._cleanups if each.asked_all and not each.left]:
            self._cleanups.remove(cleaning)
            cleaning.answer()

    # -- Sleep ----------------------------------------------------------------------------------------

    def _sweep_later(self) -> None:
        shared = self._shared
        every = min(30.0, max(0.05, shared.settings.idle_ttl / 4))
        if self._ending is None and self._actor_ref.is_alive():
            self._sweeper = shared.loop.call_later(every, self._actor_ref.tell, Sweep())

    def _on_sweep(self, _message: Sweep, _reply_to: ReplyTo) -> None:
        if self._ending is not None:
            return
        directory, settings, now = self._directory, self._shared.settings, self._shared.clock()
        # A cancel that came before its send is remembered with its session.
        retention = max(settings.turn_retention, settings.idle_ttl, settings.early_cancel_ttl)

        def look(entries: list[Entry]) -> None:
            for entry in entries:
                if not self._put_to_sleep(entry) and directory.may_be_forgotten(entry, now, retention):
                    directory.remove(entry)

        idle = directory.longest_idle(now, settings.idle_ttl)
        in_batches(self._shared.loop, idle, PASS, look, self._sweep_later)

    def _put_to_sleep(self, entry: Entry) -> bool:
        """Ask a session to sleep; until it has answered, messages for it wait here."""
        # An actor that is not alive has failed, and its report is on the way.
        if not self._directory.may_sleep(entry) or not entry.actor.is_alive():
            return False
        entry.parked_mail = []
        entry.actor.tell(Sleep())
        return True

    def _on_slept(self, message: Slept, _reply_to: ReplyTo) -> None:
        entry = self._directory.living(message.actor, message.session_id)
        if entry is None:
            return
        if message.state is not None:
            self._directory.slept(entry, message.state, message.log)
        for cleaning in self._cleanups:
            if message.session_id in cleaning.left:
                cleaning.left.discard(message.session_id)
                if message.state is not None:
                    cleaning.cleaned.append(message.session_id)
        self._answer_cleanups()
        parked, entry.parked_mail = entry.parked_mail or [], None
        for waiting, reply_to in parked:
            self._forward(entry, waiting, reply_to)

    # -- The end --------------------------------------------------------------------------------------

    def _on_shutdown(self, message: Shutdown, reply_to: ReplyTo) -> None:
        """First every session is closed, then everyone who asked for it is answered.

        Of several the nearest deadline holds.
        """
        shared, ending = self._shared, self._ending
        deadline = shared.settings.shutdown_deadline if message.deadline is None else message.deadline
        due = shared.loop.time() + deadline
        if ending is None:
            ending = self._ending = Ending()
            if self._sweeper is not None:
                self._sweeper.cancel()
            entries = self._directory.entries.values()
            ending.left = {
                entry.session_id: entry
                for entry in entries
                if entry.actor is not None and not isinstance(entry.state, Closed)
            }
        ending.answer_too(reply_to)
        if ending.overdue is not None:
            if ending.overdue.when() <= due or not ending.left:
                self._end_if_drained()
                return
            ending.overdue.cancel()
        ending.overdue = shared.loop.call_at(due, self._actor_ref.tell, ShutdownOverdue())
        shut = Shut(Reason(CancelCode.SHUTDOWN), max(0.0, deadline - SHUTDOWN_MARGIN))
        logger.info("shutting down: %d sessions awake", len(ending.left))

        def close(entries: list[Entry]) -> None:
            for entry in entries:
                self._forward(entry, shut, None)

        in_batches(shared.loop, iter(list(ending.left.values())), PASS, close, self._end_if_drained)

    def _end_if_drained(self) -> None:
        ending = self._ending
        if ending is not None and not ending.left:
            ending.finish()

    def _on_overdue(self, _message: ShutdownOverdue, _reply_to: ReplyTo) -> None:
        if self._ending is not None and self._ending.left:
            logger.error("shutdown deadline reached with %d sessions open", len(self._ending.left))
            self._ending.left.clear()
            self._end_if_drained()

    def on_stop_request(self, reply_to: ReplyTo) -> None:
        """``stop()`` from anywhere drains first; it is answered when all is drained."""
        if self._ending is not None and not self._ending.left:
            super().on_stop_request(reply_to)
            return
        self._on_shutdown(Shutdown(), None)
        ending = self._ending
        if ending is not None:
            ending.then(lambda: self.request_stop(reply_to))
            self._end_if_drained()

    def on_stop(self) -> None:
        """Stop the children and the timers, and leave nobody waiting here."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._ending is not None and self._ending.overdue is not None:
            self._ending.overdue.cancel()
        cleanups, self._cleanups = self._cleanups, []
        for cleaning in cleanups:
            cleaning.answer()
        for entry in self._directory.entries.values():
            if entry.actor is not None:
                entry.actor.stop(block=False)
            for _, reply_to in entry.parked_mail or ():
                refuse(reply_to, ShuttingDown("the server is shutting down"))
