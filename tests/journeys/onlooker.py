"""What an onlooker of a living registry knows by himself, and what he may demand of it.

The onlooker plays the agents, so he knows which coroutines live and when they were cancelled; he asks every
question himself, so he knows what has not been answered, and for how long; his readers read every stream.
Of the registry's own word he believes nothing. He demands two things: that nothing happens which may not, and
that what has to happen has happened by the moment at which it is due.
"""

import asyncio
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Container
from typing import Any

from tests.fakes import VirtualClock, settle
from tests.journeys.lines import ADA as ADA
from tests.journeys.lines import End as End
from tests.journeys.lines import Lines
from tests.journeys.reader import Reader
from tests.journeys.runs import TASKS, Agents, Run
from tests.journeys.said import Policies
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.exceptions import (
    AgentExited,
    NoRegistry,
    SessionError,
    SessionLost,
    ShuttingDown,
    UnknownSession,
)
from turnkeeper.actors.model.messages import (
    Accepted,
    AwaitTurn,
    Cancel,
    CancelAnswer,
    CancelMany,
    Close,
    Counts,
    GetCounts,
    GetQueue,
    GetSession,
    ListActive,
    QueuedTurn,
    Send,
    SessionView,
    SetPolicy,
    Subscribe,
)
from turnkeeper.actors.model.records import Asker, SessionId, TurnId
from turnkeeper.actors.model.words import (
    TERMINAL,
    CancelCode,
    CloseOn,
    OnDisconnect,
    SessionState,
    TurnStatus,
    Verdict,
    WaitsFor,
)
from turnkeeper.actors.registry.directory import size_of_title
from turnkeeper.actors.registry.front import SessionRegistry, open_registry
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.session.line import waiting_turns
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.slots import waits_for_slots
from turnkeeper.actors.session.states import Closed, Queued
from turnkeeper.actors.session.views import line_of
from turnkeeper.actors.turn.guard.budget import LAST_EVENTS
from turnkeeper.actors.turn.turn import Turn

BOB, ROOT = Asker("bob"), Asker("root", sees_all=True)
#: The sessions that there may be.
SESSIONS = ("s1", "s2")
#: The states in which no turn holds a session.
#: What a turn waits for that has no slot yet, and nothing else to wait for.
CAPS = {WaitsFor.SERVER_CAP, WaitsFor.USER_CAP, WaitsFor.AGENT_CAP}
AT_REST = {SessionState.IDLE, SessionState.QUEUED, SessionState.CLOSED}
TERMINAL_NAMES = {f"turn.{status}" for status in TERMINAL}
#: For how many seconds a cancel counts that came before its send.
EARLY_TTL = Settings().early_cancel_ttl
#: What rounding may cost, in seconds.
TINY = 0.001


class Asked(AsyncioFuture[Any]):
    """A question of the onlooker's. He looks at its answer in the moment in which it is given."""

    def __init__(self, number: int, at: float, message: Any, look: Callable[["Asked"], None]) -> None:
        self.number = number
        self.at = at
        #: When the registry had it; ``None`` until then.
        self.came_at: float | None = None
        self.message = message
        self._look = look
        self.error: BaseException | None = None
        self.answer: Any = None

    def comes(self, at: float) -> None:
        """The registry has it, and its session, if that is in memory."""
        self.came_at = at

    def set(self, value: Any = None) -> None:
        super().set(value)
        self.answer = value
        self._look(self)

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        self.error = self._error

    @property
    def session(self) -> str | None:
        return getattr(self.message, "session_id", None)


class Onlooker:
    def __init__(self, clock: VirtualClock, settings: Settings, wrong: list[str]) -> None:
        """``wrong`` is what else has been found to be wrong, by him or by others."""
        self.registry: SessionRegistry
        self._clock = clock
        self._settings = settings
        self._grace = settings.cancel_grace
        self.agents = Agents(clock, self._began)
        self.asked: list[Asked] = []
        self.readers: list[Reader] = []
        self.ends: dict[Asked, End] = {}
        self._number = 0
        #: Since when the clock has not jumped: a deadline that a jump has passed is met a little later.
        self._steady_since = 0.0
        self._epochs: dict[str, set[int]] = defaultdict(set)
        self._names: dict[tuple[str, int, int], str] = {}
        self._failed_at: dict[str, float] = {}
        #: The last question that may have been in the mailbox of a session's actor when that failed.
        self._lost_until: dict[str | None, int] = {}
        self._cut_off: dict[Turn, float] = {}
        #: Sessions that were forgotten, also their turns that were given up and still run.
        self._freed: set[str] = set()
        #: When anything was last asked of a session, or happened in it.
        self._touched: dict[str, float] = {}
        #: The turns that were cancelled and had not been sent yet: since when, and until when that counts.
        self._early: dict[tuple[str, str], tuple[float, float]] = {}
        #: The last question that may have come to a session before that was freed.
        self._freed_after: dict[str, int] = {}
        #: Readers that are to see a `close` after the turn of that epoch: those asked for before that number.
        self._closes: list[tuple[str, int, int]] = []
        #: Readers that end with the turn that was replaced.
        self._replaced: list[tuple[str, int]] = []
        #: Runs that may yet be stopped, or were since he looked last.
        self._unjudged: list[Run] = []
        #: When each turn had a reader last, as far as he has looked, or when it began.
        self._read_at: dict[Turn, float] = {}
        #: What was wrong where an AssertionError would not have been noticed.
        self._wrong = wrong
        self.lines = Lines(clock, wrong.append, settings, self.agents.runs)
        self._policies = Policies(settings, self.agents.by_name(), wrong.append)

    # -- The agents -----------------------------------------------------------------------------------

    @property
    def living(self) -> list[Run]:
        """The runs whose coroutine has begun and not ended."""
        return self.agents.living

    def _began(self, run: Run) -> None:
        turn = run.turn
        for other in self.living:
            if other.turn.session_id == turn.session_id and not self._has_let_go(other):
                self._wrong.append(f"G1: {turn} began while {other.turn} held the session")
        undone = self.lines.undoing(turn.session_id)
        if undone is not None:
            self._wrong.append(f"G1: {turn} began while {undone.turn} was being undone")
        self.lines.began(run)
        self._unjudged.append(run)
        self._epochs[turn.session_id].add(turn.epoch)
        self._touched[turn.session_id] = self._clock.time()

    def _has_let_go(self, run: Run) -> bool:
        """Whether a run that lives was given up: only after a whole grace, also by a failed session.

        A failed session waits for the coroutine alone.
        """
        turn = run.turn
        cut_off_at = self._cut_off.get(turn)
        given_up = cut_off_at is None or self._clock.time() >= cut_off_at + turn.spec.grace
        return turn.over and (given_up or run.has_returned)

    @property
    def now(self) -> float:
        """The time on the loop's clock."""
        return self._clock.time()

    def _holding(self, session: str) -> list[Run]:
        return [run for run in self.living if run.turn.session_id == session and not run.turn.over]

    @property
    def known_sessions(self) -> Container[str]:
        """The sessions that are in memory."""
        return self.registry.directory.entries

    # -- Questions and deeds --------------------------------------------------------------------------

    def ask(self, message: Any, *, thread: bool = False) -> Asked:
        """Put it, on the loop or in a thread, without waiting for anything."""
        self._number += 1
        asked = Asked(self._number, self._clock.time(), message, self._look)
        self.asked.append(asked)
        if isinstance(message, Send) and isinstance(message.ended_to, End):
            self.ends[asked] = message.ended_to
            self.lines.sent(message, message.ended_to)
            self._policies.sent(self._number, message)
        if isinstance(message, Cancel) and message.asker == ADA:
            self.lines.clears(asked.number, message)
        if asked.session is not None:
            self._touched[asked.session] = asked.at
        put = threading.Thread(target=self.registry.ref.forward, args=(message, asked))
        if thread:
            put.start()
            put.join()
        else:
            put.run()
        # In the pass in which the registry has it, because the clock may have jumped since.
        asyncio.get_running_loop().call_soon(lambda: asked.comes(self._clock.time()))
        return asked

    def jump(self, seconds: float) -> None:
        """Let the loop be blocked for so long."""
        self._clock.jump(seconds)
        self._steady_since = self._clock.time()

    def crash(self, session: str) -> None:
        """Let the session's actor fail at its next message."""
        entry = self.registry.directory.entries.get(session)  # type: ignore[call-overload]
        if entry is not None and entry.actor is not None and entry.actor.is_alive():
            entry.actor.tell(Subscribe(session, cursor=5))  # type: ignore[arg-type]
            holding = [run.turn for run in self._holding(session)]
            asyncio.get_running_loop().call_soon(self._has_crashed, session, holding)

    def _has_crashed(self, session: str, cut_off: list[Turn]) -> None:
        """In the same pass as it does, because the clock may have jumped since then."""
        now = self._clock.time()
        self._failed_at[session] = self._touched[session] = now
        self.lines.failed(session, now)
        self._lost_until[session] = self._number
        self._cut_off |= dict.fromkeys(cut_off, now)

    def exit(self, run: Run) -> None:
        """Let a task of the turn's raise SystemExit."""
        if not run.turn.over:
            run.exited = True
            run.turn.end_with(AgentExited("as the deed says"))

    # -- Answers, in the moment in which they are given -----------------------------------------------

    def _look(self, asked: Asked) -> None:
        self._look_at_early_cancels(asked, asked.message, asked.answer)
        self.lines.answered(asked.message, asked.answer)
        if isinstance(asked.answer, CancelAnswer):
            self.lines.has_cleared(asked.number, asked.answer)
        if asked in self.ends:
            self._policies.answered(asked.number, asked.answer)
        match asked.message, asked.answer:
            case SetPolicy(), None:
                self._policies.changed(asked.message)
            case Subscribe(), Subscription() as subscription:
                self.readers.append(Reader(asked.number, asked.message, subscription))
            case Close(session_id=session), SessionView():
                self.lines.forget(session)
                if asked.message.free:
                    self._freed.add(session)
            case Cancel(turn_id=named, asker=asker), CancelAnswer(verdict=Verdict.CANCELLED, turn=turn) if (
                turn is not None
            ):
                if any(each.turn.epoch == turn.epoch for each in self._holding(asked.message.session_id)):
                    self._wrong.append(f"G3: {asked.answer} came while the coroutine ran")
                if named not in (None, turn.turn_id):
                    self._wrong.append(f"G4: {asked.message} hit {turn}")
                alone = turn.superseded_by is None and not self.lines.waiting(asked.message.session_id)
                if turn.epoch is not None and alone and asker == ADA:
                    self._closes.append((asked.message.session_id, asked.number, turn.epoch))
            case Send(session_id=session), Accepted(superseded=before, epoch=epoch) if (
                before is not None and epoch is not None
            ):
                if any(each.turn.turn_id == before.turn_id for each in self._holding(session)):
                    self._wrong.append(f"G3: {asked.answer} came while the predecessor ran")
                self._replaced.append((session, asked.number))

    def _look_at_early_cancels(self, asked: Asked, message: Any, answer: Any) -> None:
        """G4: a cancel that came before its send still counts, at least for as long as its answer says."""
        now, session = self._clock.time(), asked.session
        match message, answer:
            case Cancel(asker=asker, turn_id=str(turn)), CancelAnswer(Verdict.NOT_RUNNING) if asker == ADA:
                if asked.number <= self._freed_after.get(message.session_id, 0):
                    return  # the session that answers is forgotten already, with what it remembers
                until = max(now + (answer.remembered_for or 0.0), asked.at + EARLY_TTL)
                self._early[message.session_id, turn] = asked.at, until
            case Close(), _:
                # What a closed session remembers is gone as soon as it is forgotten.
                self._early = {key: at for key, at in self._early.items() if key[0] != message.session_id}
                if message.free:
                    self._freed_after[message.session_id] = self._number
            case Send(turn_id=str(turn)), Accepted(repeated=False, status=status):
                since, until = self._early.pop((message.session_id, turn), (0.0, 0.0))
                # Of a session that failed meanwhile it is looked at when that has been read again.
                read_again = session is not None and self._failed_at.get(session, -1.0) >= since
                came_at = now if read_again or asked.came_at is None else asked.came_at
                counts = came_at < until
                if counts and status is not TurnStatus.CANCELLED:
                    self._wrong.append(f"G4: {message} began after its cancel")

    # -- What may be demanded now ---------------------------------------------------------------------

    async def check(self) -> None:
        """All has come to rest: everything the registry says is true, and what was due has happened."""
        await settle()
        directory = self.registry.directory
        places = (directory.opening, directory.active, directory.resting, directory.asleep)
        assert sum(map(len, places)) == len(directory.entries), "an entry is in one place"
        self._idle_sessions_sleep()
        sessions = {asked.session for asked in self.asked if asked.session is not None}
        asking = [self.ask(GetSession(session, ADA)) for session in sorted(sessions)]
        queues = [self.ask(GetQueue(session, ADA)) for session in sorted(sessions)]
        await settle()
        listing, counting = self.ask(ListActive(ADA)), self.ask(GetCounts())
        foreign = self.ask(ListActive(BOB))
        await settle()
        views = {asked.session: asked.answer for asked in asking if asked.answer is not None}
        listed = {each.session_id: each.turn.turn_id for each in listing.answer}
        assert foreign.answer == (), "G12"
        assert set(listed) <= set(views) | self._failing()
        for view in views.values():
            self._compare(view, listed.get(view.session_id))
        for asked in queues:
            if asked.answer is not None:
                self._compare_line(views[asked.session], asked.answer)
        await self._compare_conversations(views)
        for asked in (*asking, *queues):
            known = asked.done() or asked.session in self._failing()
            assert known, f"{asked.message} is not answered"
            assert asked.error is None or isinstance(asked.error, UnknownSession)
        self._compare_counts(counting.answer, list(views.values()))
        self._no_question_is_overdue()
        if not self._failing():
            self._compare_holdings()
            self._every_wait_has_its_reason(views)
        self._cancels_come_when_they_are_due()
        self._turns_use_up_what_they_may()
        self._ends_are_true()
        self._check_readers()
        self._check_generators()
        assert not self._wrong, self._wrong

    def _failing(self) -> set[str]:
        """Sessions whose actor failed and whose turn has its grace to end."""
        now = self._clock.time()
        return {session for session, at in self._failed_at.items() if now < at + self._grace}

    def _idle_sessions_sleep(self) -> None:
        """G8: what nothing has touched for `idle_ttl` seconds sleeps, at the latest after the next sweep."""
        sweep = min(30.0, self._settings.idle_ttl / 4)
        busy = {run.turn.session_id for run in self.living} | {r.session for r in self.readers if not r.gone}
        busy |= {session for session in SESSIONS if self._is_awaited_or_undone(session)}
        for session, entry in self.registry.directory.entries.items():
            touched = self._touched.get(session, 0.0), self.lines.ended_at.get(session, 0.0)
            due = max(*touched, self._steady_since) + self._settings.idle_ttl + 2 * sweep
            if session not in busy and self._clock.time() > due:
                assert entry.actor is None, f"G8: {session} has nothing to do and does not sleep"

    def _is_awaited_or_undone(self, session: str) -> bool:
        return bool(self.lines.waiting(session)) or self.lines.undoing(session) is not None

    def _compare_line(self, view: SessionView | None, queue: tuple[QueuedTurn, ...]) -> None:
        """G2: those who wait are those who were accepted, and what readers were shown of them is true."""
        assert view is not None
        session = view.session_id
        if session in self._failing():
            return
        assert [each.turn for each in queue] == list(view.queue)
        if view.state is SessionState.QUEUED:
            assert queue, "a session waits for nothing"
            moments = [each.not_before for each in queue]
            assert queue[0].waits_for in CAPS or None not in moments, f"{queue} wait for nothing"
        self.lines.check(session, queue, all_known=session not in self._failed_at)
        for reader in self._attentive(session):
            self.lines.check_reader(reader, queue)
        self.lines.were_looked_at(session)

    async def _compare_conversations(self, views: dict[str | None, SessionView]) -> None:
        """What was said is what those turns have said that have ended and were not undone."""
        for session, view in views.items():
            if view.session_id in self._failed_at:
                continue
            said = [each for each in await self._said(view.session_id) if isinstance(each, str)]
            closed = view.state is SessionState.CLOSED
            due = [] if closed else self.lines.said.get(view.session_id, [])
            # The oldest ones are forgotten where a user keeps too much.
            some = due[len(due) - len(said) :] if self._settings.max_kept < 10_000 else due
            assert said == some, f"in {session} {said} was said, and not {due}"

    async def _said(self, session: SessionId) -> tuple[Any, ...]:
        shared = self.registry._shared
        assert shared is not None
        return shared.contexts.conversation(session).messages

    def _compare(self, view: SessionView, listed: TurnId | None) -> None:
        session = view.session_id
        holding = self._holding(session)
        assert len(holding) <= 1, "G1"
        undone = self.lines.undoing(session)
        if undone is not None:
            self._compare_undone(view, listed, undone)
            return
        assert (view.state not in AT_REST) == bool(holding), (view, holding)
        given_up = {record.epoch for record in view.quarantined}
        fled = {run.turn.epoch for run in self.living if run.turn.session_id == session and run.turn.over}
        assert given_up <= fled, "G6: a turn is shown to run that has ended"
        if session not in self._failed_at and session not in self._freed:
            assert fled <= given_up, "G6: a turn runs, and nothing shows it"
        held_by = holding[0].turn.turn_id if holding else None
        assert listed == held_by, "the list is the truth"
        for run in holding:
            assert view.turn is not None
            assert view.turn.turn_id == held_by
            if view.state is SessionState.CANCELLING:
                assert run.turn.cancel_requested, f"{run.turn} does not know that it is to stop"
                assert run.cancelled_at, f"G5: no cancel has reached {run.turn}"
        if view.state is SessionState.CLOSED:
            assert not self._attentive(session), "a closed session has readers"

    def _compare_undone(self, view: SessionView, listed: TurnId | None, run: Run) -> None:
        """A turn that is being undone, or whose end is being run, holds its session until that is over."""
        assert not self._holding(view.session_id), "G1"
        # One that nothing has stopped runs until its end is run.
        goes_on = view.state is SessionState.RUNNING and run.turn.reason is None
        assert goes_on or view.state is SessionState.CANCELLING, f"{run.turn} is being undone: {view}"
        assert view.turn is not None
        assert view.turn.turn_id == listed == run.turn.turn_id

    def _compare_counts(self, counts: Counts, views: list[SessionView]) -> None:
        ended = sum(end.record is not None for end in self.ends.values())
        # An end that a failure of the session cut off is reported as an error.
        reported = TERMINAL - {TurnStatus.INTERRUPTED}
        counted = sum(counts.counters.get(f"turn.{status}", 0) for status in reported)
        assert counted == ended, "each end is counted once"
        if not self._failing():
            assert counts.subscribers == sum(not reader.gone for reader in self.readers)
            assert counts.sessions == len(views)
            assert counts.turns_in_flight == sum(view.state not in AT_REST for view in views)
            assert counts.unresponsive == sum(len(view.quarantined) for view in views)
            self._compare_left(views)

    def _compare_left(self, views: list[SessionView]) -> None:
        """G13: what runs on of turns that were given up is counted, and nothing else."""
        if self._failed_at or self._freed:
            return  # what these have left runs on, too
        given_up = {(view.session_id, record.epoch) for view in views for record in view.quarantined}
        left = [run for run in self.living if (run.turn.session_id, run.turn.epoch) in given_up]
        [(_, counts)] = self.registry.meter.gauges_by_label
        tasks = sum(len(run.parts) for run in left if run.do in TASKS)
        threads = sum(run.in_thread for run in left)
        assert counts() == {"tasks": tasks, "threads": threads, "processes": 0}

    def _compare_holdings(self) -> None:
        """G8: what is counted for each user, and in all, is what there is."""
        directory, shared = self.registry.directory, self.registry._shared
        assert shared is not None
        everything, entries = directory.ledger.in_all, directory.entries.values()
        assert everything.sessions == len(entries)
        waiting = [entry.state for entry in entries if isinstance(entry.state, Queued)]
        about_to_start = sum(not waits_for_slots(state) for state in waiting)
        assert everything.in_flight == len(directory.active) + about_to_start
        assert everything.streams == sum(not reader.gone for reader in self.readers)
        conversations = sum(shared.contexts.size_of(SessionId(session)) for session in SESSIONS)
        in_flight = sum(
            each.spec.size
            for entry in entries
            for each in (getattr(entry.state, "turn", None), *waiting_turns(line_of(entry.state)))
            if each is not None and not isinstance(entry.state, Closed)
        )
        results = sum(
            record.result.size
            for entry in entries
            for record in entry.state.memory.records
            if record.result is not None
        )
        logs = sum(entry.log.size for entry in entries)
        titles = sum(size_of_title(entry.title) for entry in entries)
        # Of a session that was forgotten its title is left, with its conversation.
        forgotten = [shared.contexts.left(SessionId(session)) for session in SESSIONS]
        titles += sum(left.size for left in forgotten if left is not None)
        assert everything.kept == logs + conversations + in_flight + results + titles
        users = [directory.ledger.of(asker.user) for asker in (ADA, BOB, ROOT)]
        for name in ("sessions", "turns", "slots", "waiting", "later", "streams", "kept"):
            assert sum(getattr(user, name) for user in users) == getattr(everything, name)
        for user in users:
            assert [entry.state.memory.home.owner for entry in user] == [user.user] * user.sessions
            own = [reader for reader in self.readers if reader.asker.user == user.user]
            assert user.streams == sum(not reader.gone for reader in own)
            directory.ledger.tidy(user)

    def _no_question_is_overdue(self) -> None:
        """A wait is bounded: by the grace of the turn in the way, after that of a failed session's turn."""
        for asked in self.asked:
            self._is_answered_by_the_living(asked)
            if not asked.done() and not isinstance(asked.message, AwaitTurn):
                within = asked.message.within if isinstance(asked.message, CancelMany) else None
                most = 2 * self._grace + self._settings.wind_grace if within is None else within
                due = max(asked.at, self._steady_since) + most
                assert self._clock.time() < due + TINY, f"{asked.message} is not answered"

    def _is_answered_by_the_living(self, asked: Asked) -> None:
        if isinstance(asked.error, SessionLost):
            lost = asked.number <= self._lost_until.get(asked.session, 0)
            assert lost, f"{asked.message} is answered as lost by a session that did not fail"
        else:
            assert asked.error is None or isinstance(asked.error, SessionError), asked.error

    def _every_wait_has_its_reason(self, views: dict[str | None, SessionView]) -> None:
        for asked in self.asked:
            view = views.get(asked.session)
            if asked.done():
                continue
            if isinstance(asked.message, CancelMany):
                states = {each.state for each in views.values()}
                assert SessionState.CANCELLING in states, f"{asked.message} waits for nothing"
                continue
            assert view is not None, f"{asked.message} is not answered"
            if isinstance(asked.message, AwaitTurn):
                assert asked.message.turn_id in _pending(view), f"{asked.message} waits for nothing"
            else:
                assert isinstance(asked.message, Send | Cancel | Close), f"{asked.message} is not answered"
                assert view.state is SessionState.CANCELLING, f"{asked.message} waits for nothing"
        for asked, end in self.ends.items():
            accepted, view = asked.answer, views.get(asked.session)
            if accepted is not None and not accepted.repeated and not end.done():
                assert view is not None
                assert accepted.turn_id in _pending(view), f"G2: {accepted} has no end"

    def _cancels_come_when_they_are_due(self) -> None:
        """G6: a turn is cancelled when its time is up, again at half of its grace, given up at its end."""
        now = self._clock.time() + TINY
        for run in self.living:
            timeout, first = run.turn.spec.timeout, min(run.cancelled_at, default=None)
            if timeout is not None and now >= max(run.started_at, self._steady_since) + timeout + 2 * TINY:
                assert first is not None, f"the time of {run.turn} is up"
            if run.exited:
                assert first is not None, f"a task of {run.turn} has exited, and it goes on"
            elif first is not None:
                since = max(first, self._steady_since)
                grace = run.turn.spec.grace
                if now >= since + grace / 2 + 2 * TINY and not run.in_thread:
                    assert len(run.cancelled_at) > 1, f"{run.turn} was not cancelled again"
                if now >= since + grace + 2 * TINY:
                    assert run.turn.over, f"{run.turn} ignores its grace and holds its session"

    def _turns_use_up_what_they_may(self) -> None:
        """G8: a turn is stopped that emits too much, nothing for too long, or is without a reader for long.

        Not before that, and at most half of that time later.
        """
        self.lines.check_what_undoes(self._steady_since)
        for run in self.living:
            turn, asked = run.turn, run.cancelled_at
            max_events = turn.spec.policy.max_events
            # Another user's reader waits for a session of his own.
            own = [each for each in self.readers if each.session == turn.session_id and each.asker != BOB]
            is_read = any(not each.gone for each in own)
            if not asked and (is_read or turn not in self._read_at):
                self._read_at[turn] = self.now if is_read else run.started_at
            if max_events is not None:
                assert turn.over or turn.n <= max_events + LAST_EVENTS, f"{turn} emits on"
            for since, seconds in self._waits_of(run):
                if not asked and seconds is not None:
                    due = max(since, self._steady_since) + 1.5 * seconds
                    assert self.now < due + TINY, f"{turn} is not stopped"
        for run in self._unjudged:
            if run.cancelled_at and run.turn.reason is not None:
                self._stopped_for_a_reason(run, run.turn.reason.code)
        self._unjudged = [run for run in self.living if not run.cancelled_at]

    def _waits_of(self, run: Run) -> tuple[tuple[float, float | None], ...]:
        """Since when a run emits nothing, and is without a reader, and for how long each may be."""
        policy = run.turn.spec.policy
        alone = policy.abandon_after if policy.on_disconnect is OnDisconnect.CANCEL else None
        return (run.heard_at, policy.stall_timeout), (self._read_at.get(run.turn, 0.0), alone)

    def _stopped_for_a_reason(self, run: Run, code: CancelCode) -> None:
        silent, alone = self._waits_of(run)
        stalled_or_left = {CancelCode.STALLED: silent, CancelCode.CLIENT_DISCONNECTED: alone}
        if code in stalled_or_left:
            since, seconds = stalled_or_left[code]
            assert seconds is not None
            assert run.cancelled_at[0] > since + seconds - TINY, f"{run.turn} was stopped too soon"
        elif code is CancelCode.BUDGET_EXCEEDED:
            policy = run.turn.spec.policy
            much = policy.max_event_bytes is not None or run.turn.n >= (policy.max_events or 0)
            assert much, f"{run.turn} might have emitted more"

    def _ends_are_true(self) -> None:
        """G2: each end is reported once, and the terminal event says the same."""
        for asked, end in self.ends.items():
            assert end.reports <= 1, f"the end of {asked.answer} was reported twice"
            record = end.record
            if record is None:
                continue
            assert record.status in TERMINAL
            if record.epoch is not None and asked.session is not None:
                ends = [
                    name
                    for (session, epoch, _), name in self._names.items()
                    if (session, epoch) == (asked.session, record.epoch) and name in TERMINAL_NAMES
                ]
                assert ends in ([], [f"turn.{record.status}"])
            sent = self.lines.of_end[end]
            if sent.run is not None and sent.run.do == "exit" and record.status is TurnStatus.FAILED:
                assert record.error.code == "system_exit"

    def _check_generators(self) -> None:
        """A generator is closed by the task of its turn, before that ends."""
        assert not self.agents.closed_by_others
        living = [run.turn for run in self.living]
        assert all(turn in living for turn in self.agents.open_generators), "a generator was not closed"

    # -- Readers --------------------------------------------------------------------------------------

    def _check_readers(self) -> None:
        for reader in self.readers:
            reader.check()
            self._names_are_unique(reader)
            self._nothing_is_missing(reader)
            if reader.asker == BOB:
                told = {event.name for event in reader.seen} - {"gap", "snapshot"}
                assert not told or told == {"close"}, "G12: he sees nothing of another user's session"
            elif reader.attentive:
                self._has_seen_all(reader)
        for session, number, epoch in self._closes:
            for reader in self._attentive(session, number):
                assert reader.close_on is CloseOn.NEVER, "a user has stopped the turn, and the stream goes on"
                if epoch in {each for each, _ in reader.ids}:
                    assert reader.saw_close_after(epoch), "a user has stopped the turn, and no close came"
        for session, number in self._replaced:
            for reader in self._attentive(session, number):
                assert reader.close_on is not CloseOn.SUPERSEDED, "a stream has outlived its turn"

    def _attentive(self, session: str, before: float = math.inf) -> list[Reader]:
        """The readers that read what that session publishes, and did so before that question."""
        return [
            each
            for each in self.readers
            if each.attentive and each.session == session and each.asker != BOB and each.number < before
        ]

    def _names_are_unique(self, reader: Reader) -> None:
        for event in reader.seen:
            if event.epoch is not None:
                here = reader.session, event.epoch, event.n
                assert self._names.setdefault(here, event.name) == event.name, "one id is one event"

    def _nothing_is_missing(self, reader: Reader) -> None:
        """G2 and G7: each event follows the one before, or a gap."""
        before = reader.after
        for event in reader.seen:
            if event.name == "gap":
                before = None
            elif event.epoch is not None:
                here = event.epoch, event.n
                assert before is None or self._may_follow(reader.session, before, here), (before, here)
                before = here

    def _may_follow(self, session: str, before: tuple[int, int], here: tuple[int, int]) -> bool:
        ended = self._names.get((session, *before)) in TERMINAL_NAMES
        if before[0] == here[0]:
            return here[1] == before[1] + 1 and not ended
        between = [epoch for epoch in self._epochs[session] if before[0] < epoch < here[0]]
        return here[0] > before[0] and here[1] == 0 and not between

    def _has_seen_all(self, reader: Reader) -> None:
        """What a turn has emitted, and its end, are with every reader that waits in `read()`."""
        assert reader.subscription.parked, "a reader that has nothing to read waits"
        holding = [run.turn for run in self._holding(reader.session)]
        undone = self.lines.undoing(reader.session)
        holding += [] if undone is None else [undone.turn]
        reached = reader.ids[-1] if reader.ids else reader.after
        # Of a turn of which no event is kept there is a gap, and nothing else.
        for turn in [] if reader.has_skipped else holding:
            # The number of its last event is that of its end, which is still to come.
            said = turn.epoch, turn.n - turn.over
            assert reached == said, f"{reached} is not all of {turn.last_event_id}"
        last = reader.last
        if last is not None and last.name not in TERMINAL_NAMES:
            running = last.epoch in [turn.epoch for turn in holding]
            assert running or reader.session in self._failing(), "G2: an end was not published"

    # -- The end --------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Let go of every run and every reader that is left."""
        for run in list(self.living):
            run.say("late")
        for run in self.agents.runs:
            run.let_go()
        for reader in self.readers:
            reader.go_on()
        await settle()
        for reader in self.readers:
            reader.cut()
        await settle()

    async def check_the_end(self) -> None:
        """G10: every question was answered, every stream has ended, and nothing is left."""
        for reader in self.readers:
            reader.go_on()
        await settle()
        for asked in self.asked:
            assert asked.done(), f"G10: {asked.message} was never answered"
            self._is_answered_by_the_living(asked)
        for asked, end in self.ends.items():
            if asked.answer is not None and not asked.answer.repeated:
                assert end.done(), f"G2, G10: {asked.answer} has no end"
                assert end._error is None or isinstance(end._error, SessionLost | ShuttingDown)
        assert all(reader.gone for reader in self.readers), "a reader still waits"
        self._check_readers()
        self._ends_are_true()
        assert not any(self._holding(each.turn.session_id) for each in self.living)
        await self.release()
        assert not self.living
        assert not self.agents.open_generators
        assert asyncio.all_tasks() == {asyncio.current_task()}
        timers: Any = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert not [timer for timer in timers if not timer.cancelled()]
        assert self.registry._shared is not None
        assert not self.registry._shared.orphaned_tasks
        means = self.registry._shared.means
        assert not means.pool.busy
        assert not means.left._begun, "what has ended is still held"
        assert not self.registry.accepting
        try:
            open_registry()
        except NoRegistry:
            pass
        else:
            raise AssertionError("a registry that has stopped is still the open one")
        assert not self._wrong, self._wrong


def _pending(view: SessionView) -> set[TurnId]:
    """The turns of a session that have not ended."""
    current = {view.turn.turn_id} if view.turn is not None and view.state not in AT_REST else set()
    return current | {queued.turn_id for queued in view.queue if queued.status is TurnStatus.QUEUED}
