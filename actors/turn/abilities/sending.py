"""How a turn sends messages to other sessions, whose turns are its children."""

import asyncio
from collections.abc import Mapping
from threading import get_ident
from typing import Any

from turnkeeper.actors.metrics.meter import CHILDREN_REFUSED
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import SessionError, TurnOver, WrongThread
from turnkeeper.actors.model.messages import Send, StopTurns
from turnkeeper.actors.model.records import HOST, Asker, Reason, TurnRef
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session.fields import seconds
from turnkeeper.actors.turn.family.branch import Branch
from turnkeeper.actors.turn.family.child import Child

from .undoable import Undoable


class Sending(Undoable):
    """What a turn can do to other sessions: each message that it sends there has a turn, its child."""

    __slots__ = ()
    stop_asked: bool
    owner: str
    reason: Reason | None

    async def send(
        self,
        session_id: str,
        message: Any,
        *,
        agent: str | None = None,
        strategy: str = "reject",
        timeout: float | None = None,  # noqa: ASYNC109  it is the child's, not this call's
        wait_timeout: float | None = None,
        key: str | None = None,
        policy: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Have another session run one turn, wait for its end, and return what its agent returned.

        The same as ``await (await turn.begin(...)).result()``, and raises what these raise. Cancelling it
        stops the child, too.
        """
        child = await self.begin(
            session_id,
            message,
            agent=agent,
            strategy=strategy,
            timeout=timeout,
            wait_timeout=wait_timeout,
            key=key,
            policy=policy,
            params=params,
        )
        try:
            return await child.result()
        except asyncio.CancelledError:
            child.give_up("its result is not waited for any more")
            raise

    async def begin(
        self,
        session_id: str,
        message: Any,
        *,
        agent: str | None = None,
        strategy: str = "reject",
        timeout: float | None = None,  # noqa: ASYNC109  it is the child's, not this call's
        wait_timeout: float | None = None,
        key: str | None = None,
        policy: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Child:
        """Have another session run one turn, and return it once it has started.

        It is sent for the owner of this turn's session, runs beside this turn on the slot of that, and has
        its priority. A cancel of this turn stops it, too, and this turn ends when it has ended; so does the
        return of this turn. A session that is busy refuses it (`SessionBusy`); with another ``strategy`` it
        waits for at most ``wait_timeout`` seconds (``child_wait``). ``timeout``, ``policy`` and ``params``
        are as in `SessionRegistry.send`. With a ``key``, which stands for one child of this turn's in that
        session, an attempt that comes after a restart gets what the one before it has got.

        Raises what a send is refused with, `OwnLineage`, `TooDeep`, `TooManyChildren`, `ChildNotStarted`,
        `TurnOver` once the turn has returned or ended, `OutsideTurn` in a task that is not the turn's,
        `WrongThread` off the loop's thread, and CancelledError in a turn that was asked to stop. Cancelling
        it cancels the child.
        """
        within = self._host.child_wait if wait_timeout is None else seconds(wait_timeout, "wait_timeout")
        try:
            child = self._child(session_id, key)
        except SessionError as error:
            self._host.count_refusal(error)
            self._host.meter.count(CHILDREN_REFUSED)
            raise
        child.send(
            Send(
                child.session_id,
                message,
                # What the host's own code has begun is as free of bounds as that.
                Asker(self.owner, bounded=self.owner != HOST.user),
                agent,
                None if strategy == "reject" else strategy,
                child.turn_id,
                timeout,
                ended_to=child.ended_to,
                key=key,
                policy=policy,
                parent=TurnRef(self.session_id, self.turn_id),
                inherits=self.spec.policy.priority,
                params=params,
            )
        )
        try:
            await child.start(within)
        except SessionError:
            self._host.meter.count(CHILDREN_REFUSED)
            raise
        return child

    def _child(self, session_id: str, key: str | None) -> Child:
        host = self._host
        if get_ident() != host.thread:
            text = "a turn sends on the loop: asyncio.run_coroutine_threadsafe(turn.send(...), loop)"
            raise WrongThread(text)
        if not self.over:
            self.check_inside("send")
            if self.stop_asked:
                raise asyncio.CancelledError
        branch = self._branch
        if self.over or branch.stops:
            raise TurnOver(f"turn {self.turn_id} is over: it sends nothing more")
        session = ids.session_id(session_id)
        mine = TurnRef(self.session_id, self.turn_id)
        turn_id = next(host.turn_ids) if key is None else ids.child_turn_id(mine, session, key)
        below = host.tree.grow(branch, TurnRef(session, turn_id), host.clock())
        return Child(host.ref, host.tree, branch, below)

    @property
    def _branch(self) -> Branch:
        """What it is in the tree of turns."""
        own = self.made_own
        if own.branch is None:
            begun = own.made_begun
            own.branch = self._host.tree.branch_of(self.spec)
            own.branch.held_by(self._stop_children, begun.one_ended)
            begun.kinds.append(own.branch)
        return own.branch

    def _stop_children(self, turns: tuple[TurnRef, ...]) -> None:
        by = None if self.reason is None else self.reason.by
        self._host.report(StopTurns(turns, Reason(CancelCode.PARENT_CANCELLED, by)))
