"""What a session decides, and that it is done: the one place where a session's state changes.

A message is decided by `step`, which answers with the next state and with what is to be done about it. The
state is written into the directory first, so that an asker that is answered finds it up to date; then the
effects are performed, in order. All of it happens within one message, and nothing waits. Where there is a
journal it comes between the two: see `durable.journaled`.
"""

from collections.abc import Iterable
from typing import Any, assert_never

from turnkeeper.actors.journal.contract import Head, Landed, Moved, NotLanded
from turnkeeper.actors.model.exceptions import SessionError, SessionLost
from turnkeeper.actors.model.logger import about, logger
from turnkeeper.actors.model.messages import (
    CancelAnswer,
    Granted,
    Hold,
    Rearrange,
    Recover,
    ReplyAddress,
    Retitle,
    SessionEnded,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    TurnRead,
    TurnReturned,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, answer, refuse
from turnkeeper.actors.session.effects import Decision, Effect, LeaveSlot, Refuse, Reply, addressees
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.refusals import refuse as refused
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import Closed, Ending, Idle, State
from turnkeeper.actors.session.views import state_name

from .admitting.changes import change_not_allowed
from .admitting.parts import edit_not_taken
from .admitting.room import undo_room, with_bytes, with_room
from .directory import came_to_nothing
from .performer import Performer
from .shared import DEBUG, Shared

LOST = "the session's actor failed; the session starts anew"


def log_decision(before: State, message: Message, after: State, effects: tuple[Effect, ...]) -> None:
    """Log the next state, and what each cancel came to and was refused, with the user who asked."""
    session_id, kind = after.memory.home.session_id, type(message).__name__
    if after is not before:
        names = state_name(before), state_name(after)
        logger.debug("session %s: %s -> %s on %s", session_id, *names, kind, extra=about(session_id))
    for effect in effects:
        match effect:
            case Reply(to, CancelAnswer(verdict, turn, ms)):
                by = _asked_by(before, message, to)
                named = message.turn_id if isinstance(message, Stop) else None
                what = session_id, named if turn is None else turn.turn_id, by, verdict, ms or 0.0
                fields = about(session_id, None if turn is None else turn.head, verdict=verdict, ms=ms)
                logger.debug("session %s: cancel of turn %s by %s: %s after %.1f ms", *what, extra=fields)
            case Refuse(to, error):
                by = _asked_by(before, message, to)
                turn_id = message.spec.turn_id if isinstance(message, Submit) else None
                text = "session %s: %s of turn %s by %s refused: %s: %s"
                logger.debug(text, session_id, kind, turn_id, by, error.code, error, extra=about(session_id))
            case _:
                pass


def _asked_by(before: State, message: Message, to: ReplyAddress | None) -> str | None:
    """Who waits for this answer: the user of this message, or of an earlier cancel."""
    if to is not None and isinstance(before, Ending):
        for ask in before.asks:
            if ask.to is to:
                return ask.reason.by
    match message:
        case Submit():
            return message.spec.user
        case Rearrange():
            return message.by
        case Stop() | Shut():
            return message.reason.by
        case Hold() | Unhold() | TurnReturned() | TurnEnded() | Tick() | WoundUp() | Granted() | Recover():
            return None
        case _:
            assert_never(message)


class Decisions:
    """One session's state, and its way from one to the next."""

    __slots__ = ("_actor", "_performer", "_shared", "state")

    def __init__(self, state: State, shared: Shared, actor: AsyncioRef[Any], performer: Performer) -> None:
        self._shared = shared
        self._actor = actor
        self._performer = performer
        self.state = state

    @property
    def settled(self) -> bool:
        """Whether all that was decided is done."""
        return True

    @property
    def head(self) -> Head | None:
        """Where the session's log in the journal stands; ``None`` if it has none there."""
        return None

    def answered(self, message: Landed | Moved | NotLanded | TurnRead) -> None:
        """The journal says what became of an append, or what it has of a turn."""

    def flush(self) -> None:
        """Write what waits to be written into the journal."""

    def retitle(self, message: Retitle, to: ReplyTo) -> None:
        """Write the session's title into the journal, and answer when it is there."""
        answer(to, message.summary)

    def decide(self, message: Message, to: ReplyTo) -> None:
        """Decide a message, and do what was decided.

        What an effect raises leaves half of it undone, so the state cannot be relied on any more: all that
        this was to answer get `SessionLost`, and raising it again ends the actor.
        """
        before, now = self.state, self._shared.clock()
        try:
            if type(message) is Submit:
                message = with_room(self._shared.directory, self._shared.slots, before, message)
            if type(message) is Rearrange:
                after, effects = rearranged(self._shared, before, message, now, to)
            else:
                after, effects = step(before, message, now, to)
        except Exception:
            undo_room(self._shared.slots, before.memory, before.memory)
            raise
        if after is not before:
            self._take(after, now)
        elif type(message) is Submit and type(after) is Idle:
            self._come_to_nothing(self._shared.title_of(after.memory.home.session_id))
        try:
            if logger.isEnabledFor(DEBUG):
                log_decision(before, message, after, effects)
            self._performer.perform(effects, after)
        except Exception:
            lose(self._shared, (to,), effects)
            raise

    def abandon(self, error: SessionError) -> None:
        """The actor is gone: give back its slot, and answer each asker of what was not decided or done."""
        slot = slot_of(self.state)
        if slot is not None:
            self._shared.slots.leave(slot.ticket)

    def _take(self, after: State, now: float) -> None:
        """Make this the session's state."""
        self.state = after
        # Not by a report to the registry, which would be believed when it arrives: after the next step.
        self._shared.directory.report(self._actor, after, now)
        if self._shared.slots.asking:
            self._shared.slots.grant()  # a turn that needs no slot may have made room
        if type(after) is Closed:
            self._close(after)

    def _come_to_nothing(self, title: str | None) -> None:
        """A send starts nothing: where the session was opened for it, its place is free again."""
        came_to_nothing(self._shared.directory, self._actor, self.state, title)
        if self._shared.slots.asking:
            self._shared.slots.grant()

    def _close(self, state: Closed) -> None:
        session_id = state.memory.home.session_id
        self._performer.forget_timer()  # when very many close at once, their ticks would hold up the others
        if state.for_good is not None:  # after a shutdown, what waits may still end with its conversation
            self._shared.contexts.forget(session_id)
        self._shared.report(SessionEnded(self._actor, session_id))


def rearranged(shared: Shared, before: State, message: Rearrange, now: float, to: ReplyTo) -> Decision:
    """What a session does when a turn that waits is moved, or edited, if it may be so by who asks."""
    unfit = change_not_allowed(shared.layers, before, message) or edit_not_taken(
        shared.takes, before, message
    )
    if unfit is not None:
        return refused(before, to, unfit)
    return step(before, with_bytes(shared.directory.ledger, before, message), now, to)


def lose(shared: Shared, askers: Iterable[ReplyTo], effects: tuple[Effect, ...]) -> None:
    """Answer these, and all that the effects were to answer, that the session is lost; give back its slots.

    Which of the effects were performed is not known, and both can be done twice.
    """
    for to in (*askers, *addressees(effects)):
        refuse(to, SessionLost(LOST))
    for effect in effects:
        if type(effect) is LeaveSlot:
            shared.slots.leave(effect.ticket)
