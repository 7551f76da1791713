"""What all sessions of one registry share."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from turnkeeper.actors.admission.bounds import COUNTERS
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Counts, LoopLag
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.title import check_title
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.runtime import AsyncioRef, LoopWatch
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Limits
from turnkeeper.actors.turn.agent import Agent, LoadContext, OwnerOf, SaveContext
from turnkeeper.actors.turn.context_store import ContextStore
from turnkeeper.actors.turn.pipeline import Pipeline
from turnkeeper.actors.turn.whose import log_stall

from .directory import Directory, name

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
    agents: Mapping[str, Agent]
    contexts: ContextStore
    stages: Pipeline
    #: The same, if there are any around the agents.
    around: Pipeline | None = None
    directory: Directory = field(default_factory=Directory)
    owner_of: OwnerOf | None = None
    load_context: LoadContext | None = None
    save_context: SaveContext | None = None
    meter: Meter = field(default_factory=Meter)
    #: The registry actor's ref, once that is made.
    registry: AsyncioRef[Any] | None = None
    #: The tasks that no actor holds any more and that still run: the loop itself holds its tasks weakly.
    orphaned_tasks: "set[asyncio.Future[Any]]" = field(default_factory=set)
    #: Returns the time, in Unix seconds: the loop's, so that it never goes back.
    clock: Callable[[], float] = field(init=False)
    #: What cuts short the grace of each turn whose session has failed.
    cut_short: set[Callable[[], None]] = field(default_factory=set)
    #: How many characters the data of one event may take. Not looked up for every event.
    max_event_size: int = field(init=False)
    #: How many bytes of a part, and of a message, ``turn.started`` may show.
    max_shown_part: int = field(init=False)
    max_shown: int = field(init=False)

    #: Of which agents what is said is kept, of turns that do not keep it themselves, and how many bytes of a
    #: reply.
    records: dict[str, bool] = field(init=False)
    most_recorded: int = field(init=False)
    #: Watches the loop, if it is to be watched.
    watch: LoopWatch | None = field(init=False)

    def __post_init__(self) -> None:
        zero, loop_time = self.zero, self.loop.time
        self.clock = lambda: zero + loop_time()
        self.max_shown_part, self.max_shown, self.max_event_size = Sizes.of(self.settings)
        self.records = {name: self._records(agent) for name, agent in self.agents.items()}
        self.most_recorded = self.settings.recorded_reply
        patience = self.settings.slow_loop
        self.watch = LoopWatch(self.loop, patience, partial(log_stall, self, self.loop)) if patience else None

    def _records(self, agent: Agent) -> bool:
        wanted = self.settings.record if agent.record is None else agent.record
        return wanted and self.load_context is None

    @property
    def limits(self) -> Limits:
        """What a session needs to know of the settings and the agents."""
        on_restart = tuple((name, agent.on_restart) for name, agent in self.agents.items())
        return replace(self.settings.limits, on_restart=on_restart)

    @property
    def loop_lag(self) -> LoopLag:
        """How late the loop is."""
        watch = self.watch
        return LoopLag() if watch is None else LoopLag(watch.now, watch.max, watch.count)

    def counts(self) -> Counts:
        """How many there are of what."""
        return self.directory.counts(self.meter.counts(), self.loop_lag)

    def count_refusal(self, error: Exception) -> None:
        """Count a refusal at a bound; any other is not counted."""
        counter = COUNTERS.get(type(error))
        if counter is not None:
            self.meter.count(counter)

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

    def report(self, message: Any) -> None:
        """Send the registry a report, unless it has stopped."""
        if self.registry is not None:
            self.registry.tell_if_alive(message)
