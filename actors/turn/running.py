"""The turns of one session whose coroutines run: the one that holds it, and those that were quarantined.

A task is held here until it ends, because the loop holds its tasks weakly. Its end is a message to the
session's actor, sent from a synchronous done-callback: a task that is cancelled before its first step runs
neither its coroutine nor that coroutine's ``finally``, so nothing that has to happen may stand there.

What a turn has begun beside its coroutine (`work.begun`) keeps it from its end. Where something of that runs
when the coroutine has ended, the actor is sent a `TurnReturned`, and the `TurnEnded` with the coroutine's
outcome once none of it does. Until then it is stopped along the turn's grace ladder, as the coroutine is.
"""

import asyncio
from functools import partial
from typing import Any

from turnkeeper.actors.model.messages import Stop, TaskExited, Tick, TurnEnded, TurnReturned
from turnkeeper.actors.model.records import (
    NO_EXTRAS,
    Extras,
    Outcome,
    Raised,
    Reason,
    Returned,
    StillRunning,
    Stopped,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.runtime import AsyncioRef
from turnkeeper.actors.session.consequences import SPONTANEOUS_CANCEL

from .abilities.own import Own
from .agent import AgentFunction, LoadContext, SaveTurn
from .run import Around, outcome_of, raised, run
from .turn import Turn, current
from .work import elsewhere
from .work.begun import Begun


class RunningTurns:
    """The turns of one session that run.

    ``turn`` is the one that holds the session. ``task`` runs it, until its end is on the way to the actor.
    """

    __slots__ = ("_actor", "_quarantined", "task", "turn")

    def __init__(self, actor: AsyncioRef[Any]) -> None:
        self._actor = actor
        # Each with the task that runs it, unless only what it has begun still does. Most sessions never have
        # one, and an empty dict costs 64 bytes.
        self._quarantined: dict[Turn, asyncio.Future[Any] | None] | None = None
        self.task: asyncio.Future[Any] | None = None
        self.turn: Turn | None = None

    @property
    def quarantined(self) -> bool:
        """Whether a quarantined turn still runs."""
        return bool(self._quarantined)

    @property
    def known(self) -> tuple[float | None, bool | None, Extras | None]:
        """What is known here of the turn that holds the session, if there is one.

        That is when it emitted its first event, whether its agent was entered so far, and its extras.
        """
        turn = self.turn
        if turn is None:
            return None, None, None
        own = turn.own
        extras = None if own is None else own.extras(stops=turn.stop_asked)
        return turn.first_event_at, turn.began, extras

    def tick(self) -> Tick:
        """A moment has come: what is known of the turn that holds the session, which may end with it."""
        turn = self.turn
        own = None if turn is None else _with_own(turn) if turn.stop_asked else turn.own
        return Tick(*self.known) if turn is None or own is None else _tick(turn, own, *self.known)

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
        turn = self.turn
        if task is self.task:
            self.task = None
        else:
            turn = self._quarantined_in(task) or turn
        if turn is not None:
            if turn.exited is not None:
                outcome = raised(turn.exited)
            own = _with_own(turn) if turn.cancel_requested else turn.own
            if own is None:  # the usual one, which has begun nothing: without a call
                ended = TurnEnded(turn.epoch, outcome, turn.first_event_at, turn.began)
                self._actor.tell_if_alive(ended, now=True)
            elif own.begun is not None and own.begun.runs:
                self._returned(turn, own, own.begun, outcome)
            else:
                self._end(turn, own, outcome)

    def _returned(self, turn: Turn, own: Own, begun: Begun, outcome: Outcome) -> None:
        """The coroutine has ended of a turn, and something runs on that it has begun beside it."""
        if type(outcome) is Stopped and not turn.stop_asked:
            # A cancel that comes while what it has begun is being stopped has not caused that.
            outcome = Raised(asyncio.CancelledError(), SPONTANEOUS_CANCEL)
        begun.outcome = outcome
        begun.when_none_runs(lambda: self._end(turn, own, begun.outcome or outcome))
        if self.turn is turn:
            self._actor.tell_if_alive(TurnReturned(turn.epoch), now=True)

    def _end(self, turn: Turn, own: Own, outcome: Outcome) -> None:
        if own.begun is not None:
            own.begun.settle()
        if self._quarantined is not None:
            self._quarantined.pop(turn, None)
        self._actor.tell_if_alive(end_of(turn, own, outcome), now=True)

    def _quarantined_in(self, task: "asyncio.Future[Any]") -> Turn | None:
        """The quarantined turn that this task has run. It is held on where it has begun what still runs."""
        quarantined = self._quarantined or {}
        for turn, runs_in in quarantined.items():
            if runs_in is task:
                if _works(turn):
                    quarantined[turn] = None
                else:
                    del quarantined[turn]
                return turn
        return None

    def stop(self, turn: Turn, reason: Reason, raised_in: "asyncio.Task[Any] | None" = None) -> bool:
        """Have the actor stop this turn, unless it was asked to stop before, or is over; whether it is asked.

        In the task ``raised_in`` CancelledError is raised next. Where the turn runs in it, that delivers its
        cancellation: another one would cut its cleanup short.
        """
        if self.turn is not turn or turn.stop_asked or turn.cancel_waits:
            return False
        if raised_in is not None and raised_in is (self.task or raised_in):
            turn.ask_to_stop(reason)
        # It emits on before it is stopped.
        if turn.in_section:
            turn.hold_cancel()
        else:
            turn.stop_asked = True
        self._actor.tell_if_alive(Stop(turn.turn_id, reason, wait=False))
        return True

    def cancel(self, reason: Reason, *, again: bool = False) -> None:
        """Deliver a cancellation to the coroutine of the turn that holds the session: once, and ``again``."""
        if self.turn is not None:
            delivered = self.turn.reason is not None and not again
            if not delivered:
                self.turn.ask_to_stop(reason)
            if self.turn.own is not None and self.turn.own.begun is not None:
                self.turn.own.begun.stop(again=again)
            if delivered:
                return  # when it was asked, before it could be written down
        if self.task is not None:
            self.task.cancel(str(reason.code))

    def hold_cancel(self) -> None:
        """A cancel of the turn that holds the session waits for its critical sections to end."""
        if self.turn is not None and self.turn.reason is None:
            self.turn.hold_cancel()

    def stop_work(self, *, again: bool = False) -> None:
        """Stop what the turn has begun that has returned by itself: the second time by force."""
        turn = self.turn
        if turn is not None and turn.own is not None and turn.own.begun is not None:
            turn.stop_asked = True
            turn.own.begun.stop(again=again)

    def wish_undone(self) -> None:
        """The turn that holds the session is to be undone, once it has stopped."""
        if self.turn is not None:
            self.turn.own_undo.wished = True

    def exited(self, message: TaskExited) -> None:
        """A task of the turn that holds the session would have ended the process: the turn ends with that.

        However its coroutine ends, which is cancelled unless it is already: after its critical sections.
        """
        turn, task = self.turn, self.task
        if turn is not None and task is not None and turn.epoch == message.epoch:
            turn.exited = message.error
            if turn.in_section:
                _hold(turn, task)
            else:
                _cancel(turn, task)

    def quarantine(self) -> None:
        """The turn that holds the session did not stop: hold it until it ends after all."""
        turn, task = self.turn, self.task
        self.turn = self.task = None
        # Its end may be on the way already, because it came while this was being written down.
        if turn is not None and (task is not None or _works(turn)):
            self._quarantined = {**(self._quarantined or {}), turn: task}
            turn.outlived()

    def abandon(self, orphaned: "set[asyncio.Future[Any]]") -> None:
        """The actor is gone: cancel what runs, and let ``orphaned`` hold it until it ends.

        What the turns have begun is stopped by force.
        """
        turns = dict(self._quarantined or {})
        if self.turn is not None:
            turns[self.turn] = self.task
        for turn, task in turns.items():
            turn.close()
            turn.stop_asked = True
            if turn.own is not None and turn.own.begun is not None:
                turn.own.begun.stop(again=True)
                turn.outlived()
            if task is not None:
                task.cancel()
                orphaned.add(task)
                task.add_done_callback(orphaned.discard)


def _works(turn: Turn) -> bool:
    """Whether something runs that it has begun."""
    return turn.own is not None and turn.own.begun is not None and turn.own.begun.runs


def _with_own(turn: Turn) -> Own | None:
    """What it has that most turns do not; made where threads may still work for it (`elsewhere`)."""
    return turn.made_own if elsewhere.is_used() else turn.own


def _tick(
    turn: Turn, own: Own, first_event_at: float | None, began: bool | None, extras: Extras | None
) -> Tick:
    """A moment has come for a turn that has some of what most turns have not."""
    begun, ended = own.begun, None
    if begun is not None and begun.outcome is not None and not begun.holds:
        ended = end_of(turn, own, begun.outcome)
    return Tick(first_event_at, began, _with_threads(turn, extras), own.winds(None), ended)


def end_of(turn: Turn, own: Own, outcome: Outcome) -> TurnEnded:
    """The end of a turn whose coroutine has ended like this, with all that it has begun."""
    extras = own.extras(stops=False, returned=type(outcome) is Returned)
    winds, extras = own.winds(outcome), _with_threads(turn, extras)
    return TurnEnded(turn.epoch, outcome, turn.first_event_at, turn.began, extras, winds)


def _with_threads(turn: Turn, extras: Extras | None) -> Extras | None:
    """The same, with the threads that a turn which was asked to stop has started by itself (`elsewhere`)."""
    threads = elsewhere.count(current, turn) if turn.stop_asked else 0
    if not threads:
        return extras
    extras = extras or NO_EXTRAS
    still_running = (extras.still_running or StillRunning()) + StillRunning(threads=threads)
    return replace(extras, still_running=still_running)


def _hold(turn: Turn, task: "asyncio.Future[Any]") -> None:
    """Cancel it when its critical sections are over, at the latest when none would be honoured any more."""
    cancel = partial(_cancel, turn, task)
    turn.hold_cancel(cancel)
    timer = task.get_loop().call_later(turn.spec.policy.max_hold, cancel)
    task.add_done_callback(lambda _task: timer.cancel())


def _cancel(turn: Turn, task: "asyncio.Future[Any]") -> None:
    if not turn.stop_asked:
        turn.stop_asked = True
        turn.hold_no_more()
        task.cancel()
