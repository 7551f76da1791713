"""Shows readers that turns which wait for a slot stand elsewhere now: once a second of a session, at most.

Only the sessions that ask for a slot and have readers are known here. When one of a user's turns comes by its
slot, or leaves, those of the user's that wait behind it move up: they are looked at, all that moved meanwhile
together, and where one stands elsewhere than was shown, its session is sent word.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.model.messages import StandingChanged
from turnkeeper.actors.model.slots import Standing, Ticket
from turnkeeper.actors.runtime import AsyncioRef, Timer, in_batches

#: How many seconds lie between two looks at what has moved.
PAUSE: Final = 1.0
#: How many turns are looked at before something else gets the loop.
BATCH: Final = 250


class _Watched:
    """A session whose turn waits and that has readers, and what they were last shown."""

    __slots__ = ("actor", "shown")

    def __init__(self, actor: AsyncioRef[Any], shown: Standing | None) -> None:
        self.actor = actor
        self.shown = shown


def _same(before: Standing | None, after: Standing) -> bool:
    """Whether a reader would see no difference but in how many turns of others wait."""
    return before is not None and (before.position, before.waits_for) == (after.position, after.waits_for)


class Places:
    """Where turns that wait stand, as their readers were shown it."""

    __slots__ = ("_looking", "_loop", "_moved", "_next", "_scheduler", "_timer", "_watched")

    def __init__(self, scheduler: Scheduler, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduler = scheduler
        self._loop = loop
        #: Those that have readers, by the user whose turns they are.
        self._watched: dict[str, dict[Ticket, _Watched]] = {}
        #: The users whose turns have moved since they were last looked at.
        self._moved: dict[str, None] = {}
        self._timer = Timer(loop, self._look)
        self._looking = False
        self._next = 0.0

    def watch(self, ticket: Ticket, user: str, actor: AsyncioRef[Any]) -> None:
        """A session of this user's that asks with this ticket has readers, who see where it stands."""
        of_user = self._watched.setdefault(user, {})
        if ticket not in of_user:
            of_user[ticket] = _Watched(actor, self._scheduler.standing(ticket))

    def shown(self, ticket: Ticket, user: str, standing: Standing) -> None:
        """The readers of that session, if it has any, are shown this."""
        watched = self._watched.get(user, {}).get(ticket)
        if watched is not None:
            watched.shown = standing

    def unwatch(self, ticket: Ticket, user: str) -> None:
        """The session has no readers any more, or does not wait. Again, it does nothing."""
        of_user = self._watched.get(user)
        if of_user is not None and of_user.pop(ticket, None) is not None and not of_user:
            del self._watched[user]

    def moved(self, user: str) -> None:
        """A user has one turn fewer that waits, or one more or fewer that runs."""
        if user in self._watched:
            self._moved[user] = None
            self._set_timer()

    def close(self) -> None:
        """Show nothing more."""
        self._watched.clear()
        self._timer.cancel()

    def _set_timer(self) -> None:
        if not self._looking:
            self._timer.set(max(self._loop.time(), self._next))

    def _look(self) -> None:
        self._looking = True
        users, self._moved = self._moved, {}
        in_batches(self._loop, self._tickets(users), BATCH, self._show, self._looked)

    def _tickets(self, users: dict[str, None]) -> Iterator[tuple[str, Ticket]]:
        for user in users:
            for ticket in list(self._watched.get(user, ())):
                yield user, ticket

    def _show(self, batch: list[tuple[str, Ticket]]) -> None:
        for user, ticket in batch:
            watched, standing = self._watched.get(user, {}).get(ticket), self._scheduler.standing(ticket)
            if watched is not None and standing is not None and not _same(watched.shown, standing):
                watched.shown = standing
                watched.actor.tell_if_alive(StandingChanged(ticket))

    def _looked(self) -> None:
        # From now on: one that was looked at late is not to be shown again too soon.
        self._looking = False
        self._next = self._loop.time() + PAUSE
        if self._moved:
            self._set_timer()
