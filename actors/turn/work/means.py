"""With what the turns of one registry work: its threads, and how much of what there may be."""

import asyncio
from contextvars import ContextVar
from typing import Any, Final

from turnkeeper.actors.metrics.meter import Gauge, GaugeByLabel, Meter
from turnkeeper.actors.session.settings import Settings

from .left import Left
from .pool import Pool
from .quota import Quota
from .watch import Watch

THREADS_BUSY: Final = Gauge("threads_busy", "Threads in which functions of turns run.")
THREADS_WAITING: Final = Gauge("threads_waiting", "Functions of turns that wait for a thread.")
PROCESSES: Final = Gauge("processes", "Processes that turns have running.")
STILL_RUNNING: Final = GaugeByLabel(
    "still_running",
    "What runs on of turns that are over, as `still_running` of their records had it, until it ends.",
    "kind",
)
#: What is shown of them.
GAUGES: Final = (THREADS_BUSY, THREADS_WAITING, PROCESSES)


class Means:
    """What all turns of one registry share to begin something. Everything here belongs to its loop."""

    __slots__ = ("left", "loop", "max_tasks", "meter", "pool", "processes", "thread", "watch")

    def __init__(
        self,
        settings: Settings,
        meter: Meter,
        loop: asyncio.AbstractEventLoop,
        thread: int,
        current: ContextVar[Any],
    ) -> None:
        """``current`` is the turn in whose context something runs."""
        self.loop = loop
        self.thread: int | None = thread
        self.meter = meter
        self.max_tasks = settings.max_tasks
        self.pool = Pool(Quota(settings.max_threads, settings.max_threads_in_all))
        self.left = Left(loop, current)
        self.watch = Watch(loop)
        self.processes = Quota(settings.max_processes, settings.max_processes_in_all)
        meter.gauges += (
            (THREADS_BUSY, lambda: self.pool.busy),
            (THREADS_WAITING, lambda: self.pool.waiting),
            (PROCESSES, lambda: self.processes.in_all),
        )
        meter.gauges_by_label.append((STILL_RUNNING, self.left.counts))
