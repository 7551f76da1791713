"""The queues that may be served next, such that the best of very many is found at once. Pure.

The queues of one agent whose users have equally many turns in flight are in one bucket: all of them are below
their share, or none is, and their agent has room for each of them, or for none. So only the first ones of the
buckets are compared, and when more turns wait, there are no more buckets. Within a bucket the order is by
lane, then by whose user was served the longest ago, then by which turn asked first.
"""

import heapq
from collections.abc import Collection

from .queue import Entry, Queue

#: So many entries that stand for nothing any more are not worth clearing.
_FEW = 32


class Bucket:
    """Queues of one agent, of users with ``in_flight`` turns in flight.

    An entry that its queue has left behind stays until it is the first one, or until such are the most.
    """

    __slots__ = ("_heap", "in_flight", "live")

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        #: How many queues are in it.
        self.live = 0
        self._heap: list[Entry] = []

    def __len__(self) -> int:
        """How many entries it has, those included that stand for nothing any more."""
        return len(self._heap)

    @property
    def first(self) -> Entry:
        """The best of them. The bucket must not be empty."""
        heap = self._heap
        while heap[0][4].entry is not heap[0]:
            heapq.heappop(heap)
        return heap[0]

    def add(self, entry: Entry) -> None:
        """One queue more."""
        self.live += 1
        heapq.heappush(self._heap, entry)

    def discard(self) -> None:
        """One queue less: what it stood for, it has left behind."""
        self.live -= 1
        if len(self._heap) > _FEW and len(self._heap) > 2 * self.live:
            self._heap = [entry for entry in self._heap if entry[4].entry is entry]
            heapq.heapify(self._heap)


class Candidates:
    """The queues that may be served next. That their user is at a cap is found out when one is the best."""

    __slots__ = ("_buckets", "_number")

    def __init__(self) -> None:
        #: For each agent, by how many turns the users have in flight. None is empty.
        self._buckets: dict[str, dict[int, Bucket]] = {}
        self._number = 0

    @property
    def agents(self) -> Collection[str]:
        """The agents that turns wait for."""
        return self._buckets.keys()

    def put(self, queue: Queue) -> None:
        """The queue is a candidate, or what decides on its place has changed. It must not be empty."""
        holdings, first, entry = queue.holdings, queue.first, queue.entry
        if entry is not None:
            if entry[:3] == (first.level, holdings.served, first.order) and (
                queue.bucket.in_flight == holdings.in_flight
            ):
                return
            self.discard(queue)
        self._number += 1
        queue.entry = entry = (first.level, holdings.served, first.order, self._number, queue)
        queue.bucket = bucket = self._bucket(queue.claim.agent, holdings.in_flight)
        bucket.add(entry)

    def discard(self, queue: Queue) -> None:
        """The queue is no candidate any more, if it was one."""
        bucket = queue.bucket
        if bucket is None:
            return
        queue.entry = queue.bucket = None
        bucket.discard()
        if not bucket.live:
            buckets = self._buckets[queue.claim.agent]
            del buckets[bucket.in_flight]
            if not buckets:
                del self._buckets[queue.claim.agent]

    def best(self, agents: Collection[str], slots: int, active: int) -> Queue | None:
        """The queue of one of these agents that comes first, where so many users share so many slots."""
        best: tuple[bool, Entry] | None = None
        for agent in agents:
            for in_flight, bucket in self._buckets.get(agent, {}).items():
                candidate = (in_flight * active >= slots, bucket.first)
                if best is None or candidate < best:
                    best = candidate
        return None if best is None else best[1][4]

    def _bucket(self, agent: str, in_flight: int) -> Bucket:
        buckets = self._buckets.setdefault(agent, {})
        bucket = buckets.get(in_flight)
        if bucket is None:
            bucket = buckets[in_flight] = Bucket(in_flight)
        return bucket
