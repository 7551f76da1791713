"""Forgets now and then what the journal has too much of: the sessions that were idle longest.

Which those are is found out in one pass over all sessions, beside the loop. However many there are, it takes
a small part of the time: after a pass that took long the next one comes later.
"""

import asyncio
from collections.abc import Iterator, KeysView
from collections.abc import Set as AbstractSet
from math import inf
from typing import Any, Final

from turnkeeper.actors.journal.contract import History, Journal
from turnkeeper.actors.metrics.meter import HISTORY_FORGOTTEN
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.registry.shared import Shared

from .loading import Loading

#: A pass comes so many times as long after the one before as that took.
PAUSE: Final = 100


class InMemory(AbstractSet[SessionId]):
    """The sessions that are in memory, or on their way into it, in each moment."""

    def __init__(self, known: KeysView[SessionId], reading: KeysView[SessionId]) -> None:
        self._known = known
        self._reading = reading

    def __contains__(self, session: object) -> bool:
        return session in self._known or session in self._reading

    def __iter__(self) -> Iterator[SessionId]:
        return iter([*self._known, *self._reading])

    def __len__(self) -> int:
        return len(self._known | self._reading)


class Retention:
    """Has the journal of one registry forget what is more than its settings say."""

    def __init__(self, shared: Shared, journal: Journal, loading: Loading) -> None:
        settings = shared.settings
        self._shared = shared
        self._journal = journal
        self._in_use = InMemory(shared.directory.entries.keys(), loading.reading)
        self._history = History(
            settings.history_age,
            settings.history_sessions,
            settings.history_bytes,
            settings.history_bytes_in_all,
        )
        self._pass: asyncio.Task[Any] | None = None
        self._not_before = -inf

    @classmethod
    def of(cls, shared: Shared, loading: Loading | None) -> "Retention | None":
        """The one for a registry with a journal; ``None`` for one without."""
        journal = shared.journal
        return None if journal is None or loading is None else cls(shared, journal, loading)

    def prune(self) -> None:
        """Begin a pass, unless one goes on or the last one took long a moment ago."""
        if self._pass is None and self._shared.loop.time() >= self._not_before:
            self._pass = self._shared.loop.create_task(self._prune())

    async def _prune(self) -> None:
        time = self._shared.loop.time
        began = time()
        try:
            forgotten = await self._journal.prune(self._history, self._in_use)
        except SessionError as error:
            logger.warning("the journal's history could not be pruned: %s", error)
        except Exception:
            logger.exception("the journal's history could not be pruned")
        else:
            if forgotten:
                self._shared.meter.count(HISTORY_FORGOTTEN, forgotten)
                logger.info("the journal forgot %d sessions that were idle longest", forgotten)
        finally:
            self._pass = None
            self._not_before = time() + PAUSE * (time() - began)

    def close(self) -> None:
        """Begin no pass any more, and break off the one that goes on."""
        self._not_before = inf
        if self._pass is not None:
            self._pass.cancel()
