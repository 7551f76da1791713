"""The agents of a play, each of whose runs does what its message says and notes what happens to it."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from tests.fakes import VirtualClock
from turnkeeper.actors.model.exceptions import TurnOver
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn, current
from turnkeeper.actors.turn.winding.hooks import UndoneTurn
from turnkeeper.actors.turn.work.pool import Job, Pool

#: What a run does that ends in the pass in which it is given up: a moment before that, which is no time.
LAST, MOMENT = "the last moment", 1e-10
#: How many cancellations a run ignores, by what it does.
SWALLOWS = {"swallow": 1, "stubborn": 1_000, "lasting task": 1, "stubborn task": 1_000, LAST: 1_000}
#: What rounding may cost, in seconds.
ROUNDING = 1e-6
#: What a run does that begins something beside its coroutine: a task in its place, or a thread.
TASKS, THREAD = ("task", "lasting task", "stubborn task"), "thread"
#: The jobs that threads have been given and have not begun: one that is let go does its job at once.
_held: dict[Turn | None, Job] = {}


def hold(_pool: Pool, job: Job) -> None:
    """Have a thread take this job, and do nothing of it until `Run.return_from_thread`."""
    _held[current.get()] = job


def _do(job: Job) -> None:
    """Do it, and report that, as a thread of a pool does."""
    report = job()
    report()


class Hooks:
    """What a run's end calls of one sort: which of it was begun, which was done, and whether one is at it.

    One of the kind ``done`` is done at once, and one that is ``soon`` a little later; one will ``fail``, one
    will ``hang`` until it is cancelled, and one that is ``stubborn`` ignores that.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.kinds: list[str] = []
        self.begun: list[int] = []
        self.done: list[int] = []
        #: How many are at it, and since when the first one was.
        self.running = 0
        self.began_at: float | None = None
        self._let_go = asyncio.Event()

    def registered(self, kind: str) -> Callable[[], Any]:
        """The function to be registered; its number is that of its registration."""
        self.kinds.append(kind)
        return partial(self.call, len(self.kinds) - 1, kind)

    def call(self, number: int, kind: str, *_of: Any) -> Any:
        """Do what the hook does, now or in what is awaited."""
        self.begun.append(number)
        if self.began_at is None:
            self.began_at = self._clock.time()
        match kind:
            case "done":
                self.done.append(number)
                return None
            case "fail":
                raise OSError("it cannot be undone")
            case _:
                return self._go_on(number, kind)

    async def _go_on(self, number: int, kind: str) -> None:
        self.running += 1
        try:
            if kind == "soon":
                await asyncio.sleep(0.1)
            while kind != "soon" and not self._let_go.is_set():
                try:
                    await self._let_go.wait()
                except asyncio.CancelledError:
                    if kind != "stubborn":
                        raise
            self.done.append(number)
        finally:
            self.running -= 1

    def let_go(self) -> None:
        """Let those end that would not."""
        self._let_go.set()


class Run:
    """A coroutine of an agent's, from its first step to its last, and what undoes it after that."""

    def __init__(self, turn: Turn, clock: VirtualClock, number: int) -> None:
        self.turn = turn
        part = turn.message[0]
        self.do: str = part["do"]
        #: What it says in the conversation, and no other run does.
        self.said = f"{self.do} {number}"
        self.stops, self.hooks, self.host = Hooks(clock), Hooks(clock), Hooks(clock)
        #: What the host does at its end.
        self.ends = Hooks(clock)
        if not turn.over:
            for kind in part.get("stops", ()):
                turn.on_cancel(self.stops.registered(kind))
            for kind in part.get("hooks", ()):
                turn.on_rollback(self.hooks.registered(kind))
        #: When it began, and when it emitted something last.
        self.started_at = self.heard_at = clock.time()
        #: When a cancellation reached the coroutine.
        self.cancelled_at: list[float] = []
        #: Whether its coroutine has ended, and what it has begun beside that and runs.
        self.has_returned = False
        self.parts: set[asyncio.Task[Any]] = set()
        self._then: Callable[[Run], None] | None = None
        #: Whether a task of the turn's has raised what would have ended the process.
        self.exited = False
        #: What has undone it when its session failed, which holds that no more.
        self._lost: list[Hooks] = []
        self._clock = clock
        self._last = asyncio.Event()
        self._word: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def say(self, word: Any) -> None:
        """Let it go on: return this, or raise it."""
        if not self._word.done():
            self._word.set_result(word)

    @property
    def is_being_undone(self) -> bool:
        """Whether something that undoes it, or is called because it was stopped, is at it."""
        return any(each.running for each in self._all)

    @property
    def _all(self) -> tuple[Hooks, ...]:
        """What its end runs, in that order."""
        return self.stops, self.hooks, self.host, self.ends

    @property
    def undoes(self) -> list[Hooks]:
        """What has begun of that, and holds its session until it is done."""
        return [each for each in self._all if each.began_at is not None and each not in self._lost]

    def lose(self) -> None:
        """Its session has failed: that is held by what is begun from now on, which can only be the host's."""
        hosts = [each for each in (self.host, self.ends) if each.kinds]
        self._lost = [self.stops, self.hooks, *hosts]

    @property
    def is_lost(self) -> bool:
        """Whether its session has failed."""
        return bool(self._lost)

    @property
    def is_held(self) -> bool:
        """Whether something is at it that holds its session."""
        return any(each.running for each in self.undoes)

    @property
    def undone_at(self) -> float:
        """When the first of what undoes it was begun."""
        moments = [each.began_at for each in self.undoes if each.began_at is not None]
        return min(moments, default=math.inf)

    @property
    def is_undone_late(self) -> bool:
        """Whether what undoes it has had its time; it may have been done after that."""
        return self._clock.time() >= self.undone_at + self.turn.spec.policy.wind_grace - ROUNDING

    @property
    def is_stubborn(self) -> bool:
        """Whether something that undoes it goes on when it is cancelled."""
        return any("stubborn" in each.kinds for each in self._all)

    def let_go(self) -> None:
        """Let what undoes it end that would not."""
        for each in self._all:
            each.let_go()
        self.return_from_thread()
        self._last.set()

    # -- What it begins -----------------------------------------------------------------------------------

    @property
    def in_thread(self) -> bool:
        """Whether a thread has begun something for it, and not come back."""
        return self.turn in _held

    def return_from_thread(self) -> None:
        """Let the thread do what it has to do for it, and come back; wait for that."""
        job = _held.pop(self.turn, None)
        if job is not None:
            thread = threading.Thread(target=_do, args=(job,))
            thread.start()
            thread.join()

    def _begin(self, part: Coroutine[Any, Any, Any], *, alone: bool = False) -> None:
        """Let this run beside the coroutine: in a task of the turn's, or ``alone`` in one of its own."""
        loop, coroutine = asyncio.get_running_loop(), self._as_part(part)
        task = loop.create_task(coroutine) if alone else self.turn.create_task(coroutine)
        self.parts.add(task)
        task.add_done_callback(self._part_ended)  # one that was cancelled before its first step
        task.add_done_callback(lambda _: part.close())

    async def _as_part(self, part: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await part
        finally:
            self._part_ended(asyncio.current_task())

    def _part_ended(self, part: "asyncio.Task[Any] | None") -> None:
        if part in self.parts:
            self.parts.discard(part)
            if self._then is not None and not self.parts:
                self._then(self)

    def returns(self, then: "Callable[[Run], None]") -> None:
        """Its coroutine ends: ``then`` is called when nothing runs of it any more."""
        self.has_returned = True
        if not self.parts:
            then(self)
            return
        self._then = then
        if self.in_thread and not self.cancelled_at:
            self.cancelled_at.append(self._clock.time())  # as its thread may see from now on

    async def _in_thread(self) -> Any:
        with suppress(TurnOver):  # it was stopped before a thread had begun
            return await self.turn.in_thread(lambda: self.turn.cancel_requested)

    async def play(self) -> Any:
        """Do what the message says, and then what `say` says."""
        self.turn.context.messages.append(self.said)
        if self.do in TASKS and not self.turn.over:
            self._begin(self._wait())
            return "and it goes on"
        if self.do == THREAD and not self.turn.over:
            self._begin(self._in_thread(), alone=True)
        match self.do:
            case "return":
                return "at once"
            case "raise":
                raise ZeroDivisionError("at once")
            case "exit":
                raise SystemExit(3)
            case "chat":
                for n in range(3):
                    self.turn.emit("word", n)
        return await self._wait()

    async def _wait(self) -> Any:
        """Wait for the word; return it or raise it. What a cancellation does meanwhile the message says."""
        while True:
            try:
                word = await asyncio.shield(self._word)
                break
            except asyncio.CancelledError:
                self.cancelled_at.append(self._clock.time())
                if self.do == "answer":
                    return "in spite of it"
                if self.do == "break":
                    raise OSError("while it cleaned up") from None
                if len(self.cancelled_at) > SWALLOWS.get(self.do, 0):
                    raise
                if self.do == LAST and len(self.cancelled_at) == 2:
                    return await self._the_last_moment()
        if isinstance(word, Exception):
            raise word
        return word

    async def _the_last_moment(self) -> None:
        # As the timer of its session counts, which rounds.
        loop, ends = asyncio.get_running_loop(), self.cancelled_at[1] + self.turn.spec.grace / 2
        timer = loop.call_at(ends - MOMENT, self._last.set)
        try:
            await self._last.wait()
        finally:
            timer.cancel()


class Agents:
    """The agents, and the host that undoes what they did."""

    def __init__(self, clock: VirtualClock, began: Callable[[Run], None]) -> None:
        self._clock = clock
        self._began = began
        #: All runs, and those of them whose coroutine has not ended.
        self.runs: list[Run] = []
        self.living: list[Run] = []
        #: The turns whose generator has begun and was not closed.
        self.open_generators: list[Turn] = []
        #: Generators that another task than their own has closed.
        self.closed_by_others: list[Turn] = []

    def by_name(self) -> dict[str, Any]:
        plain = Agent(self.plain, on_loop=True)
        return {"default": self.coroutine, "generator": self.generator, "plain": plain}

    async def coroutine(self, turn: Turn) -> Any:
        run = Run(turn, self._clock, len(self.runs))
        self._began(run)
        self.runs.append(run)
        self.living.append(run)
        try:
            return await run.play()
        finally:
            run.returns(self.living.remove)

    async def generator(self, turn: Turn) -> AsyncIterator[Any]:
        own = asyncio.current_task()
        self.open_generators.append(turn)
        try:
            yield "a word"
            if turn.message[0]["do"] == "raise":
                yield 5  # which is no event: it is not asked for more
            yield "end", await self.coroutine(turn)
        finally:
            self.open_generators.remove(turn)
            if asyncio.current_task() is not own:
                self.closed_by_others.append(turn)

    def plain(self, turn: Turn) -> Any:
        """A function that starts a task of its own, or raises before there is one."""
        match turn.message[0]["do"]:
            case "raise":
                raise ZeroDivisionError("before there was a coroutine")
            case "exit":
                raise SystemExit(3)  # from a task of its own it would leave the loop
        return asyncio.get_running_loop().create_task(self.coroutine(turn))

    def undo(self, undone: UndoneTurn) -> Any:
        """What the host does to undo a turn: what its message says; nothing if its coroutine never began."""
        for run in reversed(self.runs):
            if (run.turn.session_id, run.turn.turn_id) == (undone.session_id, undone.turn_id):
                if run.host.kinds:
                    run.host = Hooks(self._clock)  # the session has failed amid that, and does it again
                return run.host.registered(undone.message[0].get("host", "done"))()
        return None

    def end(self, record: TurnRecord) -> Any:
        """What the host does at the end of a turn: what its message says; nothing if it never began."""
        for run in reversed(self.runs):
            if run.turn is current.get() and run.turn.turn_id == record.turn_id:
                if run.ends.kinds and run.is_lost:
                    run.ends = Hooks(self._clock)
                return run.ends.registered(run.turn.message[0].get("ends", "done"))()
        return None
