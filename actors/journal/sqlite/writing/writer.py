"""The one that writes: an actor in a thread of its own, which takes all that waits as one transaction.

While it writes one group the next one gathers, so that the more there is to do, the less each append costs:
there is no timer. What it could not write is answered as such, and the next group finds out whether it can
be written again.
"""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pykka

from turnkeeper.actors.journal.contract import Landed, NotLanded
from turnkeeper.actors.journal.sqlite.database import PATIENCE, Database
from turnkeeper.actors.journal.sqlite.failures import down, is_known, is_passing
from turnkeeper.actors.model.exceptions import JournalDown, JournalNotOpened
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.words import Durability

from .group import Written
from .log import Addressed, Log
from .mail import Delivery, Done, Job, Mail, Mark

#: How many appends are written together, at most.
_GROUP: Final = 2_000
#: After how many appends the log of transactions is moved into the file.
_CHECKPOINT: Final = 2_000


class Writer(pykka.ThreadingActor):
    """Writes appends and does jobs, in the order in which they came. Any message wakes it."""

    use_daemon_thread = True  # a host that forgets to close the journal can end all the same

    def __init__(
        self, path: Path, durability: Durability, mail: Mail, deliver: Callable[[Delivery], None]
    ) -> None:
        super().__init__()
        self._database = Database(path)
        self._log = Log(self._database, durability)
        self._mail = mail
        self._deliver = deliver
        self._down: JournalDown | None = None
        #: What may have been written or not: it was being committed when there was an error.
        self._unsure: list[Written] = []
        #: How many appends there were since; at first more than enough, for what a killed process has left.
        self._since_checkpoint = _CHECKPOINT

    def on_receive(self, message: Any) -> None:
        """Do all that waits."""
        while items := self._mail.take(_GROUP):
            appends: list[Written] = []
            marks: list[Mark] = []
            for item in items:
                if isinstance(item, Written):
                    appends.append(item)
                elif isinstance(item, Mark):
                    marks.append(item)
                else:
                    self._answer(appends)
                    appends = []
                    self._do(item)
            self._answer(appends)
            self._pass(marks)  # later than they have to be: each append that is parted from others costs more
            self._checkpoint()

    def on_stop(self) -> None:
        """Close the file. What may have been written or not is not found out any more."""
        self._tell([_not_landed(each, self._why) for each in self._unsure])
        try:
            self._database.checkpoint("TRUNCATE")
        except sqlite3.Error as error:
            logger.warning("the journal's last checkpoint failed: %s", down(error))
        self._database.close()

    # -- appends --------------------------------------------------------------------------

    def _answer(self, appends: list[Written]) -> None:
        if not appends:
            return
        if self._unsure:
            self._look()
        if self._unsure:
            self._tell([_not_landed(each, self._why) for each in appends])
            return
        try:
            answers = self._log.write(appends, self._patience)
        except Exception as error:  # noqa: BLE001 - whatever it is, each is to be answered
            self._failed(appends, error)
        else:
            if any(type(answer) is Landed for _, answer in answers):
                self._recovered()
            self._since_checkpoint += len(appends)
            self._tell(answers)

    def _pass(self, marks: list[Mark]) -> None:
        unsure = {append.session_id for append, _ in self._unsure}
        done: list[Done] = []
        for session_id, waits in marks:
            done.append(Done(waits, None, self._why if session_id in unsure else None))
        if done:
            self._deliver(Delivery([], done, self._down))

    # -- other jobs -----------------------------------------------------------------------

    def _do(self, job: Job) -> None:
        try:
            if self._unsure:
                self._look()
            connection = self._database.begin(flush=True, patience=self._patience)
            returned = job.run(connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for it is to know
            self._undo(error, close=not is_passing(error))
            done = Done(job.waits, None, error)
        else:
            if job.writes:
                self._recovered()
            self._log.forget_known()  # a job may delete sessions
            done = Done(job.waits, returned, None)
        self._deliver(Delivery([], [done], self._down))

    def _checkpoint(self) -> None:
        """Move the log of transactions into the file, when everybody has been answered."""
        if self._since_checkpoint < _CHECKPOINT:
            return
        self._since_checkpoint = 0
        try:
            self._database.checkpoint("PASSIVE")
        except sqlite3.Error as error:
            # Nothing is lost: what was to be moved is still where it was.
            logger.warning("a checkpoint of the journal failed: %s", down(error))

    # -- bad days -------------------------------------------------------------------------

    def _failed(self, appends: list[Written], error: Exception) -> None:
        """They could not be written, or may have been."""
        committing, self._log.committing = self._log.committing, False
        self._undo(error, close=not is_passing(error))
        if committing and not is_passing(error):
            self._unsure = appends
            self._look()
            self._deliver(Delivery([], [], self._down))
        elif is_known(error) or len(appends) == 1:
            self._tell([_not_landed(each, down(error)) for each in appends])
        else:  # one of them cannot be written, and the others are not to suffer for it
            for each in appends:
                self._answer([each])

    def _undo(self, error: Exception, *, close: bool) -> None:
        self._log.forget_known()
        self._database.roll_back(close=close)
        if not is_known(error):
            logger.error("the journal failed inside turnkeeper", exc_info=error)
        elif self._down is None:
            self._down = down(error)
            if not isinstance(error, JournalNotOpened):  # that is raised where it is opened
                logger.error("%s", self._down)

    def _look(self) -> None:
        """Find out what has become of the appends that were being committed when there was an error."""
        try:
            found = self._log.find(self._unsure)
        except Exception as error:  # noqa: BLE001 - it stays open until it can be looked at
            self._undo(error, close=True)
            return
        unsure, self._unsure = self._unsure, []
        told = [(append.to, found.get(append.key)) for append, _ in unsure]
        self._tell(
            (to, NotLanded(append.key, self._why) if landed is None else landed)
            for (append, _), (to, landed) in zip(unsure, told, strict=True)
        )

    def _recovered(self) -> None:
        if self._down is not None:
            self._down = None
            logger.warning("the journal can be written again")

    @property
    def _patience(self) -> int:
        return PATIENCE if self._down is None else 0

    @property
    def _why(self) -> JournalDown:
        return self._down or JournalDown("the journal is down")

    def _tell(self, answers: Iterable[Addressed]) -> None:
        told = list(answers)
        if told:
            self._deliver(Delivery(told, [], self._down))


def _not_landed(written: Written, error: JournalDown) -> Addressed:
    return written.append.to, NotLanded(written.append.key, error)
