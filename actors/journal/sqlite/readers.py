"""Those that read: connections of their own, in threads, so that neither the loop nor the writer waits."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.logger import logger

from .database import open_to_read
from .failures import down, is_known

T = TypeVar("T")
#: How many read at the same time.
READERS: Final = 4


class Readers:
    """Some threads that read, each with a connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(READERS, "turnkeeper-journal-reader")
        self._own = threading.local()
        self._connections: set[sqlite3.Connection] = set()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What a query finds: all of it at one moment. Raises `JournalDown`.

        When this is cancelled the query goes on, and what it finds is dropped.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)
        except SessionError:
            raise
        except Exception as error:
            if not is_known(error):
                logger.error("a query of the journal failed inside turnkeeper", exc_info=error)
            raise down(error) from error

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = open_to_read(self._path)
            self._connections.add(connection)
        try:
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                connection.rollback()
        except sqlite3.Error:
            self._own.connection = None
            self._connections.discard(connection)
            connection.close()
            raise

    async def close(self) -> None:
        """Wait for those that read, and close their connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        while self._connections:
            self._connections.pop().close()
