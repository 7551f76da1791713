"""What a session decides, and that it is done: the one place where a session's state changes.

A message is decided by `step`, which answers with the next state and with what is to be done about it. The
state is written into the directory first, so that an asker that is answered finds it up to date; then the
effects are performed, in order. All of it happens within one message, and nothing waits.

A journal will come between the two: a decision is performed when its entries are durable, at most one is on
its way, and the messages that arrive meanwhile are decided when it has landed.
"""

from typing import Any

from turnkeeper.actors.model.about import about
from turnkeeper.actors.model.exceptions import SessionLost
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import SessionEnded
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, refuse
from turnkeeper.actors.session.effects import Effect, addressees
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import Closed, State
from turnkeeper.actors.session.views import state_name

from .performer import Performer
from .shared import DEBUG, Shared

LOST = "the session's actor failed; the session starts anew"


class Decisions:
    """One session's state, and its way from one to the next."""

    __slots__ = ("_actor", "_performer", "_shared", "state")

    def __init__(self, state: State, shared: Shared, actor: AsyncioRef[Any], performer: Performer) -> None:
        self._shared = shared
        self._actor = actor
        self._performer = performer
        self.state = state

    def decide(self, message: Message, to: ReplyTo) -> None:
        """Decide a message, and do what was decided.

        What an effect raises leaves half of it undone, so the state cannot be relied on any more: all that
        this was to answer get `SessionLost`, and raising it again ends the actor.
        """
        shared, before = self._shared, self.state
        now = shared.clock()
        after, effects = step(before, message, now, to)
        if after is not before:
            self.state = after
            # Not by a report to the registry, which would be believed when it arrives: after the next step.
            shared.directory.report(self._actor, after, now)
            if type(after) is Closed:
                self._close(after)
            if logger.isEnabledFor(DEBUG):
                names = state_name(before), state_name(after)
                session_id = after.memory.home.session_id
                what = session_id, *names, type(message).__name__
                logger.debug("session %s: %s -> %s on %s", *what, extra=about(session_id))
        try:
            self._performer.perform(effects, after)
        except Exception:
            self._lose(to, effects)
            raise

    def _close(self, state: Closed) -> None:
        session_id = state.memory.home.session_id
        self._performer.forget_timer()  # when very many close at once, their ticks would hold up the others
        self._shared.contexts.forget(session_id)
        self._shared.report(SessionEnded(self._actor, session_id))

    def _lose(self, to: ReplyTo, effects: tuple[Effect, ...]) -> None:
        for each in (to, *addressees(effects)):
            refuse(each, SessionLost(LOST))
