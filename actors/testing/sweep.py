"""Cancelling an agent at each of its awaits.

Theory of operation
-------------------

The agent is run under a real registry, on a virtual clock, once without a cancel. That run says where its
awaits stand: each time its task, or a task that it has started, gives way to the loop. Then it is run again
for each of them, and cancelled there through the registry, as a user's Stop is; and for each await of the
cleanup that it then makes once more, with a second cancel there, as the grace's half time brings it. After
each run it is looked whether the turn has settled, and what is left of it.

*What is weak about it.* What the agent changes outside itself, such as a file or a table, is there in the
next run: ``around`` puts that back. What happens in threads, processes and at the other ends of connections
has a pace of its own, and so the report may vary with it. Points between two awaits do not exist for a
cancel, but for a thread: those are not tried. A coroutine that never gives way and never returns cannot be
ended.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from time import monotonic
from typing import Any, Final

from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.agent import AnyAgent, LoadContext, SaveContext, agent_of
from turnkeeper.actors.turn.winding.hooks import OnInterrupt, OnTurnEnd

from .clock import virtual_time
from .conversation import Check
from .leftovers import own_temporary_directory
from .opening import USER, Opening
from .place import file_of
from .report import Report, Trial
from .trying import Plan, Tried, Trier

#: For how many real seconds work outside the loop is waited for, before virtual time goes on without it.
PATIENCE: Final = 1.0
#: How often a machine may stall in the same run.
STALLS: Final = 2
#: At how many awaits of one cleanup the agent is cancelled again.
MOST_OF_CLEANUP: Final = 10


async def cancel_at_every_await(
    agent: AnyAgent,
    message: Any = "hello",
    *,
    user: str = USER,
    messages: Sequence[Any] = (),
    data: Mapping[str, Any] | None = None,
    agents: Mapping[str, AnyAgent] | None = None,
    settings: Settings | None = None,
    load_context: LoadContext | None = None,
    save_context: SaveContext | None = None,
    on_interrupt: OnInterrupt | None = None,
    on_turn_end: OnTurnEnd | None = None,
    around: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    check: Check | None = None,
    allow: Collection[str] = (),
    most_awaits: int = 100,
    most_runs: int = 400,
    horizon: float = 600.0,
    time_limit: float = 60.0,
) -> Report:
    """Run an agent again and again, and cancel it at each of its awaits; say what it does wrong then.

    It is cancelled before its first step, at its first await, at its second and so on, and at each once more
    for each await of its cleanup, with a second cancel there. Time is virtual.

    ``messages`` and ``data`` are what the conversation begins with, or ``load_context`` brings it;
    ``agents`` are others, by their names, to which it may send. ``on_interrupt`` and ``on_turn_end`` are the
    hooks that a host gives its registry: one that fails or hangs is a fault. Each run takes place inside an
    ``around()``, to put back what the agent changes elsewhere. ``check(before, after)`` says whether the
    messages are as they should be after a cancel, where that is not: as they were, as a whole run leaves
    them, or with a complete exchange. ``allow`` are codes of `FaultCode` that are no faults of this agent's.

    An agent with more than ``most_awaits`` is cancelled at so many of them, evenly spread. There are at most
    ``most_runs``, and none begins after ``time_limit`` real seconds. What has not ended after ``horizon``
    virtual seconds is taken for endless, and cancelled at its first awaits. The same agent gives the same
    report. Cancelling it cancels the run that is under way.
    """
    host = agent_of(agent).function
    file = file_of(host)
    opening = Opening(
        user=user,
        messages=messages,
        data=data,
        agents=agents,
        settings=settings,
        load_context=load_context,
        save_context=save_context,
        on_interrupt=on_interrupt,
        on_turn_end=on_turn_end,
    )
    async with own_temporary_directory(), virtual_time(patience=PATIENCE) as clock:
        trier = Trier(agent, message, opening, clock, file, horizon, check)
        sweep = _Sweep(trier, around, allow, most_awaits, most_runs, monotonic() + time_limit)
        return await sweep.report(getattr(host, "__name__", type(host).__name__))


class _Sweep:
    """All runs of one agent."""

    def __init__(
        self,
        trier: Trier,
        around: Callable[[], AbstractAsyncContextManager[Any]] | None,
        allow: Collection[str],
        most_awaits: int,
        most_runs: int,
        until: float,
    ) -> None:
        self._trier = trier
        self._around = around
        self._allow = frozenset(map(str, allow))
        self._most_awaits = most_awaits
        self._most_runs = most_runs
        self._until = until
        self._trials: list[Trial] = []
        self._cut_short: str | None = None

    async def report(self, agent: str) -> Report:
        """Make the runs, and say what they came to."""
        most = 50 * self._most_awaits
        whole = await self._confirmed(Plan(most=most))
        count = len(whole.watch.awaits)
        # One that goes round for ever does at its first awaits what it does at its last ones.
        tried = min(count, self._most_awaits) if whole.is_endless else count
        points = list(_spread(tried, self._most_awaits))
        for at in (0, *points):
            if self._is_enough():
                break
            once = await self._confirmed(Plan(at=at, most=most), whole)
            if once.verdict is Verdict.UNRESPONSIVE:
                continue  # it has no cleanup that could be cut short
            for again in range(1, min(once.watch.awaits_after, MOST_OF_CLEANUP) + 1):
                if self._is_enough():
                    break
                await self._confirmed(Plan(at=at, again=again, most=most), whole)
        return Report(agent, count, len(points), tuple(self._trials), self._cut_short)

    def _is_enough(self) -> bool:
        if len(self._trials) >= self._most_runs:
            self._cut_short = f"most_runs={self._most_runs}"
        elif monotonic() > self._until:
            self._cut_short = "time_limit"
        return self._cut_short is not None

    async def _confirmed(self, plan: Plan, whole: Tried | None = None) -> Tried:
        """Make a run; one in which a step was slow once more, for it may be the machine that was."""
        tried = await self._try(plan)
        for _ in range(STALLS):
            if tried.watch.slow:
                tried = await self._try(plan)
        self._note(tried, whole or tried)
        return tried

    async def _try(self, plan: Plan) -> Tried:
        async with AsyncExitStack() as stack:
            if self._around is not None:
                await stack.enter_async_context(self._around())
            return await self._trier.run(plan)

    def _note(self, tried: Tried, whole: Tried) -> None:
        faults = tuple(each for each in self._trier.faults(tried, whole) if each.code not in self._allow)
        trial = Trial(
            tried.plan.at,
            tried.plan.again,
            tried.where,
            tried.record.status,
            tried.verdict,
            faults,
        )
        self._trials.append(trial)


def _spread(count: int, most: int) -> Iterator[int]:
    """The numbers from 1 to ``count``, or ``most`` of them, the first and the last among them."""
    if count <= most:
        yield from range(1, count + 1)
    else:
        yield from sorted({1 + round(n * (count - 1) / (most - 1)) for n in range(most)})
