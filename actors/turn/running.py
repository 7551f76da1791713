"""The turns of one session whose coroutines run: the one that holds it, and those that were quarantined.

A task is held here until it ends, because the loop holds its tasks weakly. Its end is a message to the
session's actor, sent from a synchronous done-callback: a task that is cancelled before its first step runs
neither its coroutine nor that coroutine's ``finally``, so nothing that has to happen may stand there.
"""

import asyncio
from typing import Any

from turnkeeper.actors.model.messages import Stop, TaskExited, TurnEnded
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.runtime import AsyncioRef

from .agent import AgentFunction, LoadContext, SaveTurn
from .run import Around, outcome_of, raised, run
from .turn import Turn


class RunningTurns:
    """The turns of one session that run.

    ``turn`` is the one that holds the session. ``task`` runs it, until its end is on the way to the actor.
    """

    __slots__ = ("_actor", "_quarantined", "task", "turn")

    def __init__(self, actor: AsyncioRef[Any]) -> None:
        self._actor = actor
        # Most sessions never have one, and an empty dict costs 64 bytes.
        self._quarantined: dict[asyncio.Future[Any], Turn] | None = None
        self.task: asyncio.Future[Any] | None = None
        self.turn: Turn | None = None

    @property
    def quarantined(self) -> bool:
        """Whether a quarantined turn still runs."""
        return bool(self._quarantined)

    @property
    def first_event_at(self) -> float | None:
        """When the turn that holds the session emitted its first event, if it did."""
        return None if self.turn is None else self.turn.first_event_at

    @property
    def began(self) -> bool | None:
        """Whether the agent of the turn that holds the session was entered so far, if there is one."""
        return None if self.turn is None else self.turn.began

    def readers_changed(self) -> None:
        """A reader has come, or one has gone."""
        if self.turn is not None and self.turn.guard is not None:
            self.turn.guard.readers_changed()

    def start(
        self,
        turn: Turn,
        agent: AgentFunction,
        loop: asyncio.AbstractEventLoop,
        load_context: LoadContext | None,
        save_context: SaveTurn | None,
        around: Around | None,
    ) -> None:
        """Let this turn run. The actor is sent a `TurnEnded` when its coroutine has ended."""
        self.turn = turn
        running = run(agent, turn, load_context, save_context, around)
        self.task = loop.create_task(running, name=turn.spec.head.turn_id)
        self.task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Future[Any]") -> None:
        outcome = outcome_of(task)  # looked at in any case, or asyncio logs an error that was never retrieved
        quarantined = self._quarantined
        turn = self.turn if quarantined is None else quarantined.pop(task, self.turn)
        if task is self.task:
            self.task = None
        if turn is not None:
            if turn.exited is not None:
                outcome = raised(turn.exited)
            ended = TurnEnded(turn.epoch, outcome, turn.first_event_at, turn.began)
            self._actor.tell_if_alive(ended, now=True)

    def stop(self, turn: Turn, reason: Reason, raised_in: "asyncio.Task[Any] | None" = None) -> bool:
        """Have the actor stop this turn, unless it was asked to stop before, or is over; whether it is asked.

        In the task ``raised_in`` CancelledError is raised next. Where the turn runs in it, that delivers its
        cancellation: another one would cut its cleanup short.
        """
        if self.turn is not turn or turn.cancel_requested:
            return False
        if raised_in is not None and raised_in is (self.task or raised_in):
            turn.ask_to_stop(reason)
        turn.cancel_requested = True  # it emits on before it is stopped
        self._actor.tell_if_alive(Stop(turn.turn_id, reason, wait=False))
        return True

    def cancel(self, reason: Reason, *, again: bool = False) -> None:
        """Deliver a cancellation to the coroutine of the turn that holds the session: once, and ``again``."""
        if self.turn is not None:
            if self.turn.reason is not None and not again:
                return  # delivered when it was asked, before it could be written down
            self.turn.ask_to_stop(reason)
        if self.task is not None:
            self.task.cancel(str(reason.code))

    def wish_undone(self) -> None:
        """The turn that holds the session is to be undone, once it has stopped."""
        if self.turn is not None:
            self.turn.own_undo.wished = True

    def exited(self, message: TaskExited) -> None:
        """A task of the turn that holds the session would have ended the process: the turn ends with that.

        However its coroutine ends, which is cancelled unless it is already.
        """
        turn, task = self.turn, self.task
        if turn is None or task is None or turn.epoch != message.epoch:
            return
        turn.exited = message.error
        if not turn.cancel_requested:
            turn.cancel_requested = True
            task.cancel()

    def quarantine(self) -> None:
        """The turn that holds the session did not stop: hold its task until it ends after all."""
        turn, task = self.turn, self.task
        self.turn = self.task = None
        # Its end may be on the way already, because it came while this was being written down.
        if turn is not None and task is not None:
            if self._quarantined is None:
                self._quarantined = {}
            self._quarantined[task] = turn

    def abandon(self, orphaned: "set[asyncio.Future[Any]]") -> None:
        """The actor is gone: cancel what runs, and let ``orphaned`` hold it until it ends."""
        tasks = dict(self._quarantined or {})
        turns = list(tasks.values())
        if self.turn is not None:
            turns.append(self.turn)
            if self.task is not None:
                tasks[self.task] = self.turn
        for turn in turns:
            turn.close()
            turn.cancel_requested = True
        for task in tasks:
            task.cancel()
            orphaned.add(task)
            task.add_done_callback(orphaned.discard)
