"""The threads of one registry, in which the turns' plain functions run.

There is none before the first call, and one that has had nothing to do for `IDLE` seconds ends. All of them
are daemon threads: one that never returns keeps its place, and the process ends without it.

Whether there is a thread for a call is decided on the loop (`enter`, `leave`), so a thread itself waits for
nothing but its next job. Where as many are busy as may be, calls wait: those of each user in their order, and
the users in turn.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from turnkeeper.actors.model.exceptions import ThreadNotStarted

from .quota import Quota

#: For how many seconds a thread waits for something to do.
IDLE: Final = 10.0
#: What a thread does, which never raises. What it returns is called when the thread is free for another one.
Job: TypeAlias = Callable[[], Callable[[], object]]


class Pool:
    """The threads, and the calls that wait for one. All but the threads' own part belongs to the loop."""

    def __init__(self, quota: Quota, idle: float = IDLE) -> None:
        self._quota = quota
        self._idle_span = idle
        # The calls that wait, by their users: the one whose turn it is first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        # The threads that have nothing to do, with what brings each its next job.
        self._idle: list[queue.SimpleQueue[Job | None]] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def busy(self) -> int:
        """How many threads run something, or are about to."""
        return self._quota.in_all

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return sum(map(len, list(self._waiting.values())))

    async def enter(self, user: str) -> None:
        """Take a thread for this user; wait until there is one. Cancelling it gives up the place."""
        if user not in self._waiting and self._quota.has_room(user):
            self._quota.take(user)
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(user, place)
            else:
                self.leave(user)  # it was given one in the same moment
            raise

    def leave(self, user: str) -> None:
        """Give that thread back: the next call that waits for one has it."""
        self._quota.give_back(user)
        self._grant()

    def _forget(self, user: str, place: "asyncio.Future[None]") -> None:
        places = self._waiting.get(user, deque())
        if place in places:  # else it was passed over when its turn came, before this was called
            places.remove(place)
            if not places:
                del self._waiting[user]

    def _grant(self) -> None:
        """Give out what is free: to each user who waits one, and then again."""
        while not self._quota.is_full:
            user = next(filter(self._quota.has_room, self._waiting), None)
            if user is None:
                return
            places = self._waiting.pop(user)
            place = places.popleft()
            if places:
                self._waiting[user] = places  # behind the others
            if not place.done():
                self._quota.take(user)
                place.set_result(None)

    # -- The threads ------------------------------------------------------------------------------------

    def run(self, job: Job) -> None:
        """Have a thread do that, which was taken before. Raises `ThreadNotStarted`."""
        with self._lock:
            jobs = self._idle.pop() if self._idle else None
        if jobs is None:
            jobs = queue.SimpleQueue()
            thread = threading.Thread(target=self._work, args=(jobs,), name="turnkeeper-turns", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise ThreadNotStarted("the system gives no other thread") from error
        jobs.put(job)

    def _work(self, jobs: "queue.SimpleQueue[Job | None]") -> None:
        while True:
            try:
                job = jobs.get(timeout=self._idle_span)
            except queue.Empty:
                with self._lock:
                    if jobs not in self._idle:
                        continue  # it was just taken: its job is on the way
                    self._idle.remove(jobs)
                return
            if job is None:
                return
            then: Callable[[], Any] = job()
            del job  # with all that it holds
            with self._lock:
                closed = self._closed
                if not closed:
                    # Before it is reported: what hears of that may have the next job already.
                    self._idle.append(jobs)
            then()
            del then
            if closed:
                return

    def close(self) -> None:
        """Let the threads end: at once those that have nothing to do, the others when they return."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for jobs in idle:
            jobs.put(None)
