"""Housekeeping: idle sessions are put to sleep, and old ones forgotten, by themselves or when asked."""

from itertools import takewhile

from turnkeeper.actors.admission.expiring import ExpiringTable
from turnkeeper.actors.model.messages import Sweep
from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.runtime import ReplyTo, Timer, answer, in_batches

from .children import Children
from .directory import PASS, Entry, may_be_forgotten
from .durable.retention import Retention
from .shared import Shared

#: For how many seconds an owner is not relieved again: as long as a refused client is asked to wait.
RELIEF_PAUSE = 1.0
#: How long idle sessions have to fall asleep, in seconds, before conversations go, too.
RELIEF_TIME = 0.5
#: Which part of all that may be kept is free again when conversations had to go.
FREED = 16


class _Cleanup:
    """One cleanup: the sessions that were asked to sleep and have not answered, and those that sleep now."""

    __slots__ = ("asked_all", "asleep", "pending", "to")

    def __init__(self, to: ReplyTo) -> None:
        self.to = to
        self.pending: set[SessionId] = set()
        self.asleep: list[SessionId] = []
        self.asked_all = False


class Housekeeping:
    """Sweeps now and then, and cleans up when asked. Nothing else puts a session to sleep."""

    def __init__(self, shared: Shared, children: Children, retention: Retention | None = None) -> None:
        """``retention`` is there where there is a journal."""
        self._shared = shared
        self._directory = shared.directory
        self._children = children
        self._retention = retention
        self._cleanups: list[_Cleanup] = []
        self._sweeper = Timer(shared.loop, lambda: shared.report(Sweep()))
        self._last_resort = Timer(shared.loop, self._forget_conversations)
        self._closed = False
        #: The owners whose idle sessions were put to sleep before their time, a moment ago.
        self._relieved: ExpiringTable[str, bool] = ExpiringTable(RELIEF_PAUSE, 1, PASS)

    # -- Sweeps -----------------------------------------------------------------------------------------

    def sweep_later(self) -> None:
        """Send a `Sweep` after a while."""
        if not self._closed:
            shared = self._shared
            self._sweeper.set(shared.loop.time() + min(30.0, max(0.05, shared.settings.idle_ttl / 4)))

    def sweep(self) -> None:
        """Put to sleep what has been idle for long enough, and forget what has slept for longer still."""
        if self._closed:
            return
        if self._retention is not None:
            self._retention.prune()
        directory, settings, now = self._directory, self._shared.settings, self._shared.clock()
        # A cancel that came before its send is remembered with its session.
        at_least = max(settings.idle_ttl, settings.early_cancel_ttl)

        def look(entries: list[Entry]) -> None:
            for entry in entries:
                if self._children.put_to_sleep(entry):
                    continue
                retention = at_least
                if self._shared.journal is None:
                    retention = max(entry.state.memory.home.limits.turn_retention, at_least)
                if may_be_forgotten(directory, entry, now, retention):
                    self._children.forget(entry)

        idle = directory.longest_idle(now, settings.idle_ttl)
        in_batches(self._shared.loop, idle, PASS, look, self.sweep_later)

    # -- Relief -----------------------------------------------------------------------------------------

    def relieve(self, owner: str) -> None:
        """Put idle sessions to sleep before their time, because too much is kept: most of their events go.

        Those of the owner, or all where there is too much in all. If that is not enough there, conversations
        go soon after, or the server would take no sends any more. At most once a second for an owner.
        """
        directory, now = self._directory, self._shared.clock()
        if self._closed or self._relieved.get(owner, now):
            return
        self._relieved.put(owner, owner, True, now, make_room=True)
        of_all = directory.ledger.no_byte(owner, bounded=False) is not None
        if of_all and self._shared.journal is None:
            self._last_resort.set(self._shared.loop.time() + RELIEF_TIME)

        def look(entries: list[Entry]) -> None:
            for entry in entries:
                if of_all or entry.owner == owner:
                    self._children.put_to_sleep(entry)

        idle = directory.idle(None if of_all else owner)
        in_batches(self._shared.loop, iter(idle), PASS, look)

    def _forget_conversations(self) -> None:
        """Too much may still be kept in all: then forget conversations of the users who keep the most."""
        shared, ledger = self._shared, self._directory.ledger
        most = shared.settings.max_kept_in_all
        if ledger.in_all.kept >= most:
            steps = shared.contexts.make_room(ledger.kept, lambda: ledger.in_all.kept <= most - most // FREED)
            in_time = takewhile(lambda _: not self._closed, steps)
            in_batches(shared.loop, in_time, PASS, lambda _steps: None)

    # -- Cleanups ---------------------------------------------------------------------------------------

    def cleanup(self, asker: Asker, to: ReplyTo) -> None:
        """Put to sleep what has nothing to do and the asker may see; answered with what sleeps then."""
        cleanup = _Cleanup(to)
        self._cleanups.append(cleanup)

        def look(entries: list[Entry]) -> None:
            for entry in entries:
                if asker.may_see(entry.owner) and self._children.put_to_sleep(entry):
                    cleanup.pending.add(entry.session_id)

        def done() -> None:
            cleanup.asked_all = True
            self._answer_cleanups()

        idle = self._directory.idle(None if asker.sees_all else asker.user)
        in_batches(self._shared.loop, iter(idle), PASS, look, done)

    def answered(self, session_id: SessionId, *, asleep: bool) -> None:
        """A session that was asked to sleep does so, or not: it has something to do, or failed."""
        for cleanup in self._cleanups:
            if session_id in cleanup.pending:
                cleanup.pending.discard(session_id)
                if asleep:
                    cleanup.asleep.append(session_id)
        self._answer_cleanups()

    def _answer_cleanups(self) -> None:
        for cleanup in [each for each in self._cleanups if each.asked_all and not each.pending]:
            self._cleanups.remove(cleanup)
            answer(cleanup.to, tuple(cleanup.asleep))

    # -- The end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Sweep no more."""
        self._closed = True
        self._sweeper.cancel()
        self._last_resort.cancel()
        if self._retention is not None:
            self._retention.close()

    def stop(self) -> None:
        """Answer the cleanups that are not done, with what sleeps already."""
        self.close()
        cleanups, self._cleanups = self._cleanups, []
        for cleanup in cleanups:
            answer(cleanup.to, tuple(cleanup.asleep))
