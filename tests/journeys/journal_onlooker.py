"""An onlooker of a registry with a journal, who reads the logs as well and knows when that was in trouble.

What he demands of a registry without one he demands here, too, once the journal works again. While it does
not, he demands that nothing is done, said or published which is not in the log, and that a cancel reaches its
coroutine all the same.
"""

from collections import Counter
from typing import Any

from tests.actors.journal.slow import SlowJournal
from tests.fakes import VirtualClock, settle
from tests.journeys.onlooker import ADA, BOB, SESSIONS, TERMINAL_NAMES, Asked, End, Onlooker
from tests.journeys.runs import Run
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.journal.durable import Durable, durable, waiting_turns
from turnkeeper.actors.journal.entries import (
    BESIDE,
    Accepted,
    CancelAsked,
    EarlyCancel,
    Ended,
    Entry,
    SessionClosed,
    Started,
)
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.journal.listed import EVERYTHING, turns_of
from turnkeeper.actors.model import messages
from turnkeeper.actors.model.exceptions import JournalDown
from turnkeeper.actors.model.messages import (
    Cancel,
    CancelAnswer,
    Close,
    Counts,
    Send,
    SessionSummary,
    SessionView,
    SetTitle,
    Subscribe,
    TurnEnd,
)
from turnkeeper.actors.model.records import Epoch, Reason, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TERMINAL, CancelCode, SessionState, TurnStatus
from turnkeeper.actors.registry.directory import Entry as Known
from turnkeeper.actors.registry.durable.journaled import LAST_RETRY, JournaledDecisions
from turnkeeper.actors.registry.durable.outbox import size_of
from turnkeeper.actors.registry.durable.past import PATIENCE
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Closed, Idle
from turnkeeper.actors.turn.turn import Turn

#: For how long at most one waits, after the moment for which it did, for others that join it.
LAST_WINDOW = 3.0


class JournalOnlooker(Onlooker):
    def __init__(
        self, clock: VirtualClock, settings: Settings, journal: SlowJournal, wrong: list[str]
    ) -> None:
        super().__init__(clock, settings, wrong)
        self.journal = journal
        #: Whether the journal was held or down since all had been written.
        self.in_trouble = False
        #: When it was down last, and when it held appends.
        self._down_at = self._held_at = -1.0
        #: Sessions to which another process has appended, until this one has noticed.
        self._intruded: dict[str, int] = {}
        #: The turns that were to be cancelled when a cancel was asked for.
        self._to_be_cancelled: list[Run] = []
        self._run_of: dict[Any, Run] = {}
        #: What the log has said so far, also of sessions that were forgotten.
        self._read = 0
        self._accepted: set[tuple[SessionId, TurnId]] = set()
        self._started: dict[tuple[SessionId, Epoch], TurnId] = {}
        self._ended: dict[tuple[SessionId, TurnId], set[TurnStatus]] = {}
        self._terminal: dict[tuple[SessionId, Epoch], TurnStatus] = {}
        self._ends_written = 0
        self._closed: Counter[str] = Counter()
        #: The titles that a session may have, and whether it was never to be forgotten.
        self._titles: dict[str, set[str | None]] = {}
        self._gave_up: set[str] = set()

    # -- Trouble ----------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Let no append land from now on."""
        self.journal.hold()
        self.in_trouble = True

    def land(self, count: int | None = None) -> None:
        """Let so many appends land, or all, and those that come from now on."""
        if self.journal.holds:
            self._held_at = self._clock.time()
        self.journal.let_go(count)

    def break_down(self, *, is_gone: bool) -> None:
        """Let each append fail from now on, and, if all of it is gone, also each load."""
        self.journal.is_down = self.in_trouble = True
        self.journal.is_gone = is_gone
        self._down_at = self._clock.time()

    def come_back(self) -> None:
        """Let appends succeed again."""
        if self.journal.is_down:
            self._down_at = self._clock.time()
            self.journal.is_down = self.journal.is_gone = False

    async def mend(self) -> None:
        """Let the journal work again, and all that waits be written."""
        self.come_back()
        self.land()
        await settle()
        await self._clock.advance(LAST_RETRY + self._settings.flush_interval)
        self._steady_since = self._clock.time()
        self.in_trouble = False

    def intrude(self, session: str, which: int) -> None:
        """Another process asks for a cancel, of the turn that holds the session or of one yet to come."""
        if SessionId(session) not in self.journal._logs:
            return
        now = self._clock.time() + self._zero
        log = self._log(session)
        turn_id = TurnId(f"t{which % 3 + 1}")
        reason = Reason(CancelCode.USER_REQUEST, "ada")
        open_turns = [turn for turn in (log.holder, *waiting_turns(log)) if turn is not None]
        if log.closed is not None:
            return
        if which == 3:
            if log.holder is None or log.holder.cancellation is not None:
                return
            self._intrude(session, CancelAsked(log.holder.spec.turn_id, reason, now))
        elif turn_id not in [turn.spec.turn_id for turn in open_turns] + [
            record.turn_id for record in turns_of(log)
        ]:
            self._intrude(session, EarlyCancel(turn_id, reason, now))

    def _intrude(self, session: str, entry: Entry) -> None:
        self.journal.intrude(session, entry)
        self._intruded[session] = len(self.journal.written)

    def repeat(self, session: str) -> None:
        """An answer comes a second time."""
        self.journal.repeat(session)

    # -- What the log says ------------------------------------------------------------------------------

    @property
    def _zero(self) -> float:
        shared = self.registry._shared
        assert shared is not None
        return shared.zero

    def _entries(self, session: str) -> list[Entry]:
        log = self.journal._logs.get(SessionId(session))
        return [] if log is None else log.entries

    def _log(self, session: str) -> Durable:
        return fold(Durable(SessionId(session)), self._entries(session), EVERYTHING)

    def _read_on(self) -> None:
        """Note what was written since."""
        for append in self.journal.written[self._read :]:
            session = append.session_id
            for entry in append.entries:
                match entry:
                    case Accepted(spec):
                        self._accepted.add((session, spec.head.turn_id))
                    case Started(turn_id, epoch):
                        self._accepted.add((session, turn_id))
                        self._started[session, epoch] = turn_id
                    case Ended(turn_id, status):
                        self._accepted.add((session, turn_id))
                        self._ended.setdefault((session, turn_id), set()).add(status)
                        self._ends_written += status is not TurnStatus.INTERRUPTED
                        epochs = [key for key, each in self._started.items() if each == turn_id]
                        epochs = [key for key in epochs if key[0] == session]
                        if entry.epoch is not None:
                            self._terminal[session, entry.epoch] = status
                        elif entry.n is not None:
                            self._terminal[max(epochs)] = status
                    case SessionClosed():
                        self._closed[session] += 1
                    case _:
                        pass
            decides = any(not isinstance(entry, BESIDE) for entry in append.entries)
            if decides and self._intruded.get(session, self._read + 1) <= self._read:
                del self._intruded[session]
            self._read += 1

    # -- In the moment ----------------------------------------------------------------------------------

    def ask(self, message: Any, *, thread: bool = False) -> Asked:
        if isinstance(message, Cancel) and message.asker == ADA:
            self._to_be_cancelled += [
                run
                for run in self._holding(message.session_id)
                if message.turn_id in (None, run.turn.turn_id)
            ]
        if isinstance(message, Close):
            self._gave_up.add(message.session_id)
        return super().ask(message, thread=thread)

    def _began(self, run: Run) -> None:
        super()._began(run)
        self._read_on()
        turn = run.turn
        if self._started.get((turn.session_id, turn.epoch)) != turn.turn_id:
            self._wrong.append(f"{turn} began, and no log says so")
        if isinstance(turn.spec.ended_to, End):
            self._run_of[turn.spec.ended_to] = run

    def _look(self, asked: Asked) -> None:
        super()._look(asked)
        self._read_on()
        session = getattr(asked.message, "session_id", None)
        records: tuple[TurnRecord | None, ...] = ()
        match asked.message, asked.answer:
            case Send(session_id=session), messages.Accepted(turn_id=turn_id):
                if (session, turn_id) not in self._accepted:
                    self._wrong.append(f"{asked.answer} was answered, and is not in the log")
            case _, CancelAnswer(turn=TurnRecord() as record) if record.status in TERMINAL:
                records = (record,)
            case _, TurnEnd(turn=record):
                records = (record,)
            case _, SessionView() as view:
                records = (*view.recent, *view.quarantined)
                if (
                    isinstance(asked.message, Close)
                    and self.registry.accepting
                    and not self._closed[view.session_id]
                ):
                    self._wrong.append(f"{asked.message} was answered, and is not in the log")
            case SetTitle(), SessionSummary(title=title):
                self._titles[asked.message.session_id] = {title}
            case _:
                pass
        for record in records:
            if record is not None and record.status not in self._ended.get((session, record.turn_id), ()):
                self._wrong.append(f"{record} was shown, and is not in the log")

    # -- What may be demanded at any time ---------------------------------------------------------------

    async def check_in_trouble(self) -> None:
        """All that does not need the journal has come to rest."""
        await settle()
        self._check_generators()
        for reader in self.readers:
            reader.check()
            self._names_are_unique(reader)
            self._nothing_is_missing(reader)
        for asked in self.asked:
            self._is_answered_by_the_living(asked)
        self._nothing_is_ahead_of_the_log()
        self._states_are_as_the_log_says()
        assert not self._wrong, self._wrong

    def _nothing_is_ahead_of_the_log(self) -> None:
        self._read_on()
        for run in self._to_be_cancelled:
            stopped = run.cancelled_at or run.turn.over or run not in self.living
            assert stopped, f"no cancel has reached {run.turn}"
        for reader in self.readers:
            for event in reader.seen:
                if event.epoch is None:
                    continue
                here = SessionId(reader.session), event.epoch
                if event.name in TERMINAL_NAMES:
                    assert event.name == f"turn.{self._terminal.get(here)}", f"{event} is not in the log"
                elif event.n == 0:
                    assert here in self._started, f"{event} is not in the log"
        for asked, end in self.ends.items():
            if isinstance(asked.error, JournalDown):
                assert end not in self._run_of, f"{asked.message} was refused, and runs"
        for session in SESSIONS:
            closes = [
                each for each in self.asked if isinstance(each.message, Close) and each.session == session
            ]
            assert self._closed[session] <= sum(not isinstance(each.error, JournalDown) for each in closes)

    def _states_are_as_the_log_says(self) -> None:
        for entry in self.registry.directory.entries.values():
            self._is_as_its_log_says(entry)

    def _is_as_its_log_says(self, entry: Known) -> None:
        session = entry.session_id
        if session in self._failing() or entry.parked_mail is not None or session in self._intruded:
            return
        entries, state = self._entries(session), entry.state
        if not entries:
            assert isinstance(state, Idle | Closed), f"{state} is not in the log"
            assert not state.memory.records, f"{state} is not in the log"
            return
        limits = state.memory.home.limits
        said, kept = fold(Durable(session), entries, limits), durable(state)
        if isinstance(state, Closed) and state.for_good is None:
            said, kept = replace(said, early=()), replace(kept, early=())  # it needs those no more
        if said.last_epoch == 0:
            kept = replace(kept, last_epoch=0)  # a session that was freed has drawn it
        assert said == kept, f"{said} is in the log, and not {kept}"

    def _is_answered_by_the_living(self, asked: Asked) -> None:
        if isinstance(asked.error, JournalDown):
            now = self._clock.time()
            down_at = now if self.journal.is_down else self._down_at
            if isinstance(asked.message, Subscribe):
                # What it is to be given first was not written in all that time.
                held_at = now if self.journal.holds else self._held_at
                down_at = max(down_at, held_at - PATIENCE)
            assert asked.at <= down_at, f"{asked.message} was refused by a journal that works"
        else:
            super()._is_answered_by_the_living(asked)

    # -- What may be demanded when it works -------------------------------------------------------------

    async def check(self) -> None:
        await super().check()
        self._nothing_is_ahead_of_the_log()
        self._states_are_as_the_log_says()
        self._titles_are_those_of_the_log()
        self._unwritten_is_what_waits()
        await self._conversations_are_those_of_the_log()
        await self._what_was_read_is_in_the_log()

    def _compare_counts(self, counts: Counts, views: list[SessionView]) -> None:
        if not self._failed_at:
            super()._compare_counts(counts, views)

    def _idle_sessions_sleep(self) -> None:
        super()._idle_sessions_sleep()
        sweep = min(30.0, self._settings.idle_ttl / 4)
        for session, entry in self.registry.directory.entries.items():
            since = max(self._touched.get(session, 0.0), self._steady_since)
            if entry.actor is None and not isinstance(entry.state, Closed):
                assert self._clock.time() <= since + self._settings.idle_ttl + 2 * sweep, (
                    "it sleeps in memory"
                )

    def _titles_are_those_of_the_log(self) -> None:
        for session, entry in self.registry.directory.entries.items():
            log = self.journal._logs.get(session)
            if log is not None and session not in self._failing():
                assert entry.title == log.title, (
                    f"{entry.title} is the title of {session}, and not in the log"
                )

    def _unwritten_is_what_waits(self) -> None:
        shared = self.registry._shared
        assert shared is not None
        waits = 0
        for entry in self.registry.directory.entries.values():
            actor: Any = None if entry.actor is None else entry.actor._actor
            if actor is not None:
                decisions = actor._decisions
                assert isinstance(decisions, JournaledDecisions)
                assert decisions._flight is None
                assert not decisions._waiting
                waits += size_of(decisions._cargo.outbox._events)
        assert shared.unwritten == waits

    async def _said(self, session: SessionId) -> tuple[Any, ...]:
        return (await self.journal.messages(session, None, None)).messages

    async def _conversations_are_those_of_the_log(self) -> None:
        shared = self.registry._shared
        assert shared is not None
        for session, entry in self.registry.directory.entries.items():
            if session in self._failing() or session in self._intruded or isinstance(entry.state, Closed):
                continue
            here = shared.contexts.conversation(session, None, None)
            there = await self.journal.messages(session, None, None)
            assert here.messages == there.messages[-len(here.messages) :] or not here.messages
            assert here.omitted + len(here.messages) == there.omitted + len(there.messages)

    async def _what_was_read_is_in_the_log(self, *, all_of_it: bool = False) -> None:
        for session in SESSIONS:
            written = {(e.epoch, e.n): e async for e in self.journal.read(SessionId(session), None)}
            if not written:
                continue
            first = min(epoch for epoch, _ in written if epoch is not None)
            cut: dict[int, int] = {}
            for reader in self.readers:
                if reader.session != session or reader.asker == BOB:
                    continue
                for event in reader.seen:
                    if event.epoch is None or event.epoch < first:
                        continue
                    self._is_written(event, written.get((event.epoch, event.n)), cut)
            for epoch, n in cut.items():
                assert not [m for e, m in written if e == epoch and m >= n], "an event is missing in the log"

    def _is_written(self, event: Event, written: Event | None, cut: dict[int, int]) -> None:
        if written is None:
            assert not event.name.startswith("turn."), f"{event} is not in the log"
            assert event.epoch is not None
            cut[event.epoch] = min(event.n, cut.get(event.epoch, event.n))
        else:
            assert (written.name, written.json) == (event.name, event.json)

    # -- The end ----------------------------------------------------------------------------------------

    async def check_the_shutdown(self) -> None:
        """Whatever the journal does, each coroutine knows at once that it is to stop."""
        await settle()
        for run in self.living:
            stopped = run.cancelled_at or run.turn.over
            assert stopped, f"no cancel has reached {run.turn}"

    async def check_the_end(self) -> None:
        await super().check_the_end()
        self._nothing_is_ahead_of_the_log()
        shared = self.registry._shared
        assert shared is not None
        assert shared.unwritten == 0

    async def check_another_life(self, second: SessionRegistry, started: list[Turn]) -> None:
        """What was written is what another registry finds; ``started`` are the turns that it starts."""
        await self._what_was_read_is_in_the_log()
        logs = {session: self._log(session) for session in SESSIONS if self._entries(session)}
        self._read_on()
        await second.start()
        try:
            await settle()
            await self._clock.advance(2 * self._grace + self._settings.wind_grace + LAST_RETRY)
            moments = [turn.not_before or 0.0 for log in logs.values() for turn in log.later]
            if moments:
                await self._clock.advance(max(0.0, max(moments) - self._zero - self.now) + LAST_WINDOW)
            for session, log in logs.items():
                line = [each.spec.turn_id for each in log.rest]
                order = [each.turn_id for each in started if each.session_id == session]
                assert [each for each in order if each in line] == line, f"{line} start in the order {order}"
                view = await second.session(session, user="ada") if log.closed is None else None
                if view is not None:
                    assert view.user == log.owner
                    assert view.state is SessionState.IDLE, f"{view} is not at rest"
                page = await second.turns(session, user="ada", limit=100)
                found = {record.turn_id: record for record in page.turns}
                # An id that has been let go of may be given again.
                for record in {each.turn_id: each for each in turns_of(log)}.values():
                    if record.status in TERMINAL and record.ended_at is not None:
                        there = found[record.turn_id]
                        if record.status is TurnStatus.UNRESPONSIVE:
                            there = replace(there, ended_late=record.ended_late)  # with its process
                        assert there == record, f"{record} is {there}"
                assert all(record.status in TERMINAL for record in found.values())
                if session not in self._gave_up:
                    for known, turn_id in self._accepted:
                        assert known != session or turn_id in found, f"turn {turn_id} is lost"
                    titles = self._titles.get(session)
                    if titles is not None:
                        title = second.directory.entries[SessionId(session)].title
                        assert title in titles | self._later_titles(session), "a title is lost"
        finally:
            await second.stop()

    def _later_titles(self, session: str) -> set[str | None]:
        """Those that were asked for and not written for certain."""
        return {
            each.message.title
            for each in self.asked
            if isinstance(each.message, SetTitle) and each.session == session and each.answer is None
        }
