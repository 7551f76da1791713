"""What the event loop's thread sends to the writer, and what comes back: one callback of the loop a group."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pykka

from turnkeeper.actors.model.exceptions import JournalDown
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import Durability

from .writing import tables
from .writing.mail import Delivery, Item, Job, Mail, Mark
from .writing.writer import Writer

T = TypeVar("T")
#: How long after it was down the journal is tried again if nothing is appended, in seconds.
AGAIN: Final = 1.0


class Post:
    """The way to the writer and back, from its start on. It belongs to the loop's thread."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._loop = asyncio.get_running_loop()
        self._mail = Mail()
        self._writer: pykka.ActorRef[Writer] | None = Writer.start(
            path, durability, self._mail, self._deliver
        )
        # It is stopped when the journal is closed, after all who may still append.
        pykka.ActorRegistry.unregister(self._writer)
        #: Why nothing could be written last time, if that was so.
        self.down: JournalDown | None = None
        self._again: asyncio.TimerHandle | None = None
        #: How much was sent, and how much of that has come back.
        self._sent = self._back = 0

    def send(self, item: Item) -> bool:
        """Send something; whether the writer will see it."""
        writer = self._writer
        if writer is None:
            return False
        if self._mail.put(item):
            try:
                writer.tell(None)
            except pykka.ActorDeadError:
                return False
        self._sent += 1
        return True

    async def do(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Have something done by the writer, after all that it was sent. Raises what that raises.

        When this is cancelled it is done all the same.
        """
        waits: asyncio.Future[T] = self._loop.create_future()
        if not self.send(Job(run, waits)):
            raise JournalDown("the journal is closed")
        return await waits

    async def catch_up(self, session_id: SessionId | None = None) -> None:
        """Wait until all that was sent has been written, of this session or of all.

        Cancelling this changes nothing. Raises `JournalDown` if it is not known what was written.
        """
        if self._back < self._sent:
            waits: asyncio.Future[None] = self._loop.create_future()
            self.send(Mark(session_id, waits))
            await waits

    async def close(self) -> None:
        """Have everything written that was sent, and the file closed."""
        writer, self._writer = self._writer, None
        if self._again is not None:
            self._again.cancel()
        if writer is not None:
            # Not by blocking: the loop delivers what is answered last.
            await self._loop.run_in_executor(None, partial(writer.stop, block=True))

    def _deliver(self, delivery: Delivery) -> None:
        """From the writer's thread."""
        with suppress(RuntimeError):  # the loop is closed, and nothing waits
            self._loop.call_soon_threadsafe(self._delivered, delivery)

    def _delivered(self, delivery: Delivery) -> None:
        self.down = delivery.down
        for to, answer in delivery.answers:
            to.tell_if_alive(answer)
        for waits, returned, error in delivery.done:
            if waits.done():
                continue
            if error is None:
                waits.set_result(returned)
            else:
                waits.set_exception(error)
        self._back += len(delivery.answers) + len(delivery.done)
        if self.down is not None and self._again is None and self._writer is not None:
            self._again = self._loop.call_later(AGAIN, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        if self.down is not None:
            tried = self._loop.create_future()
            tried.add_done_callback(lambda done: done.exception())  # it is what is down
            self.send(Job(tables.touch, tried, writes=True))
