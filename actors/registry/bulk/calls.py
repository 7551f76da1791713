"""What one can ask about many turns, from code on the event loop."""

from collections.abc import Iterable
from typing import Any

from turnkeeper.actors.events.streams import asker_of
from turnkeeper.actors.model.messages import (
    ActiveTurn,
    CancelledMany,
    CancelMany,
    ChangeQueued,
    GetQueue,
    ListActive,
    QueuedTurn,
)
from turnkeeper.actors.model.words import CancelCode, MoveTo
from turnkeeper.actors.registry.admitting.calls import SlotCalls
from turnkeeper.actors.runtime import ask
from turnkeeper.actors.turn.turn import current


class BulkCalls(SlotCalls):
    """The calls about many turns."""

    async def cancel_many(
        self,
        *,
        all: bool = False,  # noqa: A002  the word that is said over HTTP
        turns: Iterable[tuple[str, str]] | None = None,
        sessions: Iterable[str] | None = None,
        owner: str | None = None,
        agent: str | None = None,
        state: str | None = None,
        strategy: str | None = None,
        older_than: float | None = None,
        as_of: float | None = None,
        dry_run: bool = False,
        limit: int | None = None,
        user: str | None = None,
        wait: bool = True,
        within: float | None = None,
        text: str | None = None,
        code: CancelCode | None = None,
        queue: str | None = None,
        force: bool = False,
    ) -> CancelledMany:
        """Stop the turns, in flight or waiting, that every filter given lets through; ``all=True`` is none.

        `CancelMany` says what each filter means. A snapshot comes first: a turn that is sent later is never
        hit. Answered when all have settled, or after ``within`` seconds. Cancelling it takes nothing back.
        Raises `InvalidRequest`, also for no filter at all, `UnknownAgent`, `ScopeMissing` where ``force`` is
        not for this user, and `WaitsForItself` inside a turn, unless ``wait=False`` or ``dry_run=True``.
        """
        turn = current.get()
        if turn is not None and wait and not dry_run:
            self.refuse_inside(turn.session_id, turn.turn_id, "use wait=False")
        these = None if turns is None else tuple(turns)
        named = None if sessions is None else tuple(sessions)
        message = CancelMany(
            asker_of(user),
            all,
            these,
            named,
            owner,
            agent,
            state,
            strategy,
            older_than,
            as_of,
            dry_run,
            limit,
            wait,
            within,
            text,
            code,
            queue,
            force,
        )
        return await ask(self.ref, message)

    async def active(self, *, user: str | None = None) -> tuple[ActiveTurn, ...]:
        """All turns in flight, of one user or of all."""
        return await ask(self.ref, ListActive(asker_of(user)))

    async def queue(self, session_id: str, *, user: str | None = None) -> tuple[QueuedTurn, ...]:
        """The turns that wait for the session, in order. Raises `UnknownSession`."""
        return await ask(self.ref, GetQueue(session_id, asker_of(user)))

    async def move(
        self, session_id: str, turn_id: str, to: MoveTo | str, *, user: str | None = None
    ) -> tuple[QueuedTurn, ...]:
        """Move a turn that waits: ``first``, ``last``, or ``now``, in the place of the turn in flight.

        Returns those that wait then. Raises `UnknownSession`, `UnknownTurn`, `SessionClosed`,
        `InvalidRequest`, `NotWaiting` for one that has started, has ended or is called up, and
        `PolicyNotAllowed` for ``now`` where no send of the user's may say its ``strategy``.
        Cancelling it does not take the move back.
        """
        return await ask(self.ref, ChangeQueued(session_id, turn_id, asker_of(user), to))

    async def edit(
        self, session_id: str, turn_id: str, message: Any, *, user: str | None = None
    ) -> tuple[QueuedTurn, ...]:
        """Give a turn that waits another message; it keeps its place.

        Also one that is called up, unless it was cut off and is to be tried again. Returns and raises as
        `move` does, and `NotYoursToEdit` for one that another user has sent.
        """
        return await ask(self.ref, ChangeQueued(session_id, turn_id, asker_of(user), None, message))
