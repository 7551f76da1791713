"""What all sessions of one registry share."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from turnkeeper.actors.admission.bounds import COUNTERS
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.metrics.meter import SESSIONS_FORGOTTEN_EARLY, Meter
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, LoopClosed
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Counts, Flush, KeptTooMuch, LoopLag, Retitle
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.model.title import check_title
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.runtime import AsyncioRef, LoopWatch, ReplyTo, Timer, refuse
from turnkeeper.actors.runtime import answer as reply
from turnkeeper.actors.session.refusals import shutting_down
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Limits
from turnkeeper.actors.turn.agent import Agent, AgentFunction, LoadContext, OwnerOf, SaveTurn
from turnkeeper.actors.turn.context_store import ContextStore
from turnkeeper.actors.turn.family.tree import Tree
from turnkeeper.actors.turn.pipeline import Pipeline
from turnkeeper.actors.turn.run import runnable
from turnkeeper.actors.turn.turn import current
from turnkeeper.actors.turn.whose import log_stall
from turnkeeper.actors.turn.winding.hooks import HostHooks
from turnkeeper.actors.turn.work.means import Means

from .admitting.parts import Takes
from .admitting.slots import Slots
from .directory import Directory, Entry, counts_of, name

DEBUG = logging.DEBUG


def debug_from(environ: Mapping[str, str]) -> None:
    """``MR_DEBUG=True`` turns on debug logs.

    They say which sessions are opened, put to sleep and forgotten, every transition, what each cancel came to
    and what is refused, with the user who asked.
    """
    if environ.get("MR_DEBUG", "").strip().lower() in ("true", "1"):
        logger.setLevel(logging.DEBUG)
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())


@dataclass(slots=True, kw_only=True)
class Shared:
    """The loop and its clock, the settings, agents and stages, the contexts, the directory, the counters."""

    loop: asyncio.AbstractEventLoop
    thread: int
    #: The Unix time at which the loop's clock stood at zero.
    zero: float
    settings: Settings
    #: What these, the agents and the users come to.
    layers: Layers
    agents: Mapping[str, Agent]
    contexts: ContextStore
    stages: Pipeline
    #: The same, if there are any around the agents.
    around: Pipeline | None = None
    directory: Directory = field(default_factory=Directory)
    owner_of: OwnerOf | None = None
    load_context: LoadContext | None = None
    save_context: SaveTurn | None = None
    #: The host's hooks for every turn, if it has any.
    hooks: HostHooks | None = None
    meter: Meter = field(default_factory=Meter)
    #: The registry actor's ref, once that is made.
    registry: AsyncioRef[Any] | None = None
    #: The tasks that no actor holds any more and that still run: the loop itself holds its tasks weakly.
    orphaned_tasks: "set[asyncio.Future[Any]]" = field(default_factory=set)
    #: In which the journal forgets sessions. It is closed after them.
    journal_tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    #: Returns the time, in Unix seconds: the loop's, so that it never goes back.
    clock: Callable[[], float] = field(init=False)
    #: What cuts short the grace of each turn whose session has failed.
    cut_short: set[Callable[[], None]] = field(default_factory=set)
    #: How many characters the data of one event may take. Not looked up for every event.
    max_event_size: int = field(init=False)
    #: How many bytes of a part, and of a message, ``turn.started`` may show.
    max_shown_part: int = field(init=False)
    max_shown: int = field(init=False)
    #: What runs the turns of each agent, and whether what is said is kept of those that do not keep it.
    functions: dict[str, AgentFunction] = field(init=False)
    records: dict[str, bool] = field(init=False)
    #: The types of parts that those agents take that do not take any.
    takes: Takes = field(init=False)
    #: How many bytes of a reply are kept then.
    most_recorded: int = field(init=False)
    #: The turns that other turns have sent for.
    tree: Tree = field(init=False)
    #: How many calls of tools a turn may have open.
    most_open_calls: int = field(init=False)
    #: Where sessions outlive the process; ``None``: nowhere.
    journal: Journal | None = None
    #: Names this run of the process.
    incarnation: str = ""
    #: The ids of the turns for which no sender chooses one.
    turn_ids: Iterator[TurnId] = field(init=False)
    #: Numbers its appends, those of all sessions: an actor that replaces a failed one goes on counting.
    append_numbers: Iterator[int] = field(default_factory=partial(itertools.count, 1))
    #: How many bytes of events are not in the journal yet, and at how many turns are stopped.
    unwritten: int = 0
    most_unwritten: int = field(init=False)
    #: The sessions whose events are to be written next, and when.
    _due: list[AsyncioRef[Any]] = field(default_factory=list)
    _flusher: Timer = field(init=False)
    #: Which turns have a slot, and which ask for one.
    slots: Slots = field(init=False)
    #: With what turns begin tasks, threads and processes.
    means: Means = field(init=False)
    #: Watches the loop, if it is to be watched.
    watch: LoopWatch | None = field(init=False)

    def __post_init__(self) -> None:
        zero, loop_time = self.zero, self.loop.time
        self.clock = lambda: zero + loop_time()
        self.max_shown_part, self.max_shown, self.max_event_size = Sizes.of(self.settings)
        self.functions = {name: runnable(agent) for name, agent in self.agents.items()}
        self.records = {name: _records(agent, self) for name, agent in self.agents.items()}
        self.takes = {name: agent.takes for name, agent in self.agents.items() if agent.takes is not None}
        self.most_recorded = self.settings.recorded_reply
        self.most_open_calls = self.settings.max_open_calls
        self.most_unwritten = self.settings.journal_buffer
        self.turn_ids = ids.drawn_turn_ids(self.incarnation)
        self.tree = Tree(self.settings.max_depth, self.settings.max_children)
        self._flusher = Timer(self.loop, self._flush)
        self.slots = Slots(self.directory.scheduler, self.loop, self.clock, self.meter)
        self.means = Means(self.settings, self.meter, self.loop, self.thread, current)
        self.watch = _watch(self) if self.settings.slow_loop else None

    @property
    def limits(self) -> Limits:
        """What a session needs to know of the settings and the agents."""
        agents, durable = frozenset(self.agents), self.journal is not None
        return replace(self.settings.limits, durable=durable, agents=agents)

    @property
    def loop_lag(self) -> LoopLag:
        """How late the loop is."""
        watch = self.watch
        return LoopLag() if watch is None else LoopLag(watch.now, watch.max, watch.count)

    @property
    def child_wait(self) -> float:
        """How long a turn that another one has sent for may wait for its session."""
        return self.settings.child_wait

    @property
    def ref(self) -> AsyncioRef[Any]:
        """The registry's actor. Raises `LoopClosed` before it is made."""
        if self.registry is None:
            raise LoopClosed("this registry has not been started")
        return self.registry

    def counts(self) -> Counts:
        """How many there are of what."""
        return counts_of(self.directory, self.meter.counts(), self.loop_lag)

    def count_refusal(self, error: Exception) -> None:
        """Count a refusal at a bound; any other is not counted."""
        counter = COUNTERS.get(type(error))
        if counter is not None:
            self.meter.count(counter)

    def make_room(self, forget: Callable[[Entry], None], owner: str, *, bounded: bool) -> None:
        """See to it that there is room for one session more; those asleep give way. Raises `SessionError`."""
        directory, ledger = self.directory, self.directory.ledger
        while (full := ledger.no_session(owner, bounded=bounded)) is not None:
            of_all = ledger.no_session(owner, bounded=False) is not None
            sleeping = directory.longest_asleep(None if of_all else owner)
            if sleeping is None:
                if self.journal is not None:
                    self.report(KeptTooMuch(owner))  # those that are idle can be read again
                raise full
            forget(sleeping)
            if self.journal is None:
                self.meter.count(SESSIONS_FORGOTTEN_EARLY)

    def set_title(self, session_id: SessionId, title: str) -> None:
        """Give a session that is open a title. Raises `InvalidRequest` and `TitleTooLong`."""
        entry = self.directory.entries.get(session_id)
        try:
            plain = check_title(title, self.settings.title_length)
        except InvalidRequest as error:
            self.count_refusal(error)
            raise
        if entry is not None:
            name(entry, plain)
            if self.journal is not None and entry.actor is not None:
                entry.actor.tell_if_alive(Retitle(plain))

    def session(self, session_id: SessionId) -> AsyncioRef[Any] | None:
        """The actor of a session that is awake."""
        entry = self.directory.entries.get(session_id)
        return None if entry is None else entry.actor

    def title_of(self, session_id: SessionId) -> str | None:
        """The title of a session that is in memory."""
        entry = self.directory.entries.get(session_id)
        return None if entry is None else entry.title

    def answer_later(self, answer: Coroutine[Any, Any, Any], to: ReplyTo) -> None:
        """Answer with what this comes to, or raises."""
        task = self.loop.create_task(answer)
        self.orphaned_tasks.add(task)
        task.add_done_callback(partial(self._answered, to))

    def _answered(self, to: ReplyTo, task: "asyncio.Task[Any]") -> None:
        self.orphaned_tasks.discard(task)
        error = shutting_down() if task.cancelled() else task.exception()
        if error is None:
            reply(to, task.result())
        else:
            refuse(to, error)

    def flush_later(self, actor: AsyncioRef[Any]) -> None:
        """Have this session write its events when those of all sessions are due."""
        if not self._due:
            self._flusher.set(self.loop.time() + self.settings.flush_interval)
        self._due.append(actor)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for actor in due:
            actor.tell_if_alive(Flush())

    def close(self) -> None:
        """No session writes its events any more, and no thread waits for a turn's function."""
        self._flusher.cancel()
        self.means.pool.close()

    def report(self, message: Any) -> None:
        """Send the registry a report, unless it has stopped."""
        if self.registry is not None:
            self.registry.tell_if_alive(message)


def _records(agent: Agent, shared: Shared) -> bool:
    wanted = shared.settings.record if agent.record is None else agent.record
    return wanted and shared.load_context is None


def _watch(shared: Shared) -> LoopWatch:
    return LoopWatch(shared.loop, shared.settings.slow_loop, partial(log_stall, shared, shared.loop))
