"""What an onlooker of a living registry knows by himself, and what he may demand of it.

The onlooker plays the agents, so he knows which coroutines live; he asks every question himself, so he knows
who has not been answered; he reads along with every reader. Of the house's own word he believes nothing.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

from tests.fakes import VirtualClock, settle
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.exceptions import SessionLost, ShuttingDown, UnknownSession
from turnkeeper.actors.model.messages import (
    Accepted,
    AwaitTurn,
    Cancel,
    CancelAnswer,
    Close,
    Counts,
    GetCounts,
    GetSession,
    ListActive,
    Send,
    SessionView,
    Subscribe,
    TurnEnd,
)
from turnkeeper.actors.model.records import Asker, TurnId
from turnkeeper.actors.model.words import TERMINAL, SessionState, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.turn.turn import Turn

ADA, BOB = Asker("ada"), Asker("bob")
AT_REST = {SessionState.IDLE, SessionState.CLOSED}
TERMINAL_NAMES = {f"turn.{status}" for status in TERMINAL}


class Run:
    """A coroutine of an agent's, from its first step to its last."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self._word: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def say(self, word: Any) -> None:
        """Let it go on: return this, or raise it."""
        if not self._word.done():
            self._word.set_result(word)

    async def play(self) -> Any:
        """Do what the message says, and then what `say` says."""
        do: str = self.turn.message["do"]
        self.turn.context.messages.append(do)
        if do == "return":
            return "at once"
        if do == "raise":
            raise ZeroDivisionError("at once")
        if do == "chat":
            for n in range(3):
                self.turn.emit("word", n)
        swallows = {"swallow": 1, "stubborn": 1_000}.get(do, 0)
        while True:
            try:
                word = await asyncio.shield(self._word)
                break
            except asyncio.CancelledError:
                if do == "answer":
                    return "in spite of it"
                if do == "break":
                    raise OSError("while it cleaned up") from None
                swallows -= 1
                if swallows < 0:
                    raise
        if isinstance(word, Exception):
            raise word
        return word


class Asked(AsyncioFuture[Any]):
    """A question of the onlooker's. He looks at its answer in the moment in which it is given."""

    def __init__(self, message: Any, look: Callable[[Any, Any], None]) -> None:
        self.message = message
        self._look = look
        self.error: BaseException | None = None
        self.answer: Any = None

    def set(self, value: Any = None) -> None:
        super().set(value)
        self.answer = value
        self._look(self.message, value)

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        self.error = self._error

    @property
    def session(self) -> str | None:
        return getattr(self.message, "session_id", None)


class Reader:
    """What one reader has seen, and the id after which it wanted to read."""

    def __init__(self, message: Subscribe, subscription: Subscription) -> None:
        self.session = message.session_id
        self.subscription = subscription
        self.seen: list[Event] = []
        epoch, _, n = (message.cursor or "").partition("-")
        self.after = (int(epoch), int(n)) if epoch.isdigit() and n.isdigit() else None

    @property
    def last(self) -> Event | None:
        """The last event with an id."""
        return next((event for event in reversed(self.seen) if event.epoch is not None), None)


class Onlooker:
    def __init__(self, clock: VirtualClock, grace: float) -> None:
        self.registry: SessionRegistry
        self._clock = clock
        self._grace = grace
        self.living: list[Run] = []
        self.asked: list[Asked] = []
        #: Where the end of each send's turn is reported.
        self._ends: dict[Asked, AsyncioFuture[TurnEnd]] = {}
        self.readers: list[Reader] = []
        self._epochs: dict[str, set[int]] = defaultdict(set)
        self._names: dict[tuple[str, int, int], str] = {}
        self._failed_at: dict[str, float] = {}
        self._cut_off: dict[Turn, float] = {}
        #: When the turns were cancelled that had not been sent yet.
        self._early: dict[tuple[str, str], float] = {}
        #: What was wrong where an AssertionError would not have been noticed.
        self._wrong: list[str] = []

    # -- The agents -----------------------------------------------------------------------------------

    async def coroutine(self, turn: Turn) -> Any:
        for other in self.living:
            if other.turn.session_id == turn.session_id and not self._has_let_go(other.turn):
                self._wrong.append(f"G1: {turn} began while {other.turn} held the session")
        run = Run(turn)
        self.living.append(run)
        self._epochs[turn.session_id].add(turn.epoch)
        try:
            return await run.play()
        finally:
            self.living.remove(run)

    async def generator(self, turn: Turn) -> AsyncIterator[Any]:
        yield "a word"
        yield "end", await self.coroutine(turn)

    def plain(self, turn: Turn) -> Any:
        """A function that starts a task of its own, or raises before there is one."""
        self._epochs[turn.session_id].add(turn.epoch)
        if turn.message["do"] == "raise":
            raise ZeroDivisionError("before there was a coroutine")
        return asyncio.get_running_loop().create_task(self.coroutine(turn))

    def _has_let_go(self, turn: Turn) -> bool:
        """Whether a coroutine that lives was given up: only after a whole grace, also by a failed session."""
        cut_off_at = self._cut_off.get(turn)
        return turn.over and (cut_off_at is None or self._clock.time() >= cut_off_at + self._grace)

    def _holders(self, session: str) -> list[Turn]:
        return [run.turn for run in self.living if run.turn.session_id == session and not run.turn.over]

    # -- Questions ------------------------------------------------------------------------------------

    def ask(self, message: Any, *, thread: bool = False) -> Asked:
        """Put it, on the loop or in a thread, without waiting for anything."""
        asked = Asked(message, self._look)
        self.asked.append(asked)
        if isinstance(message, Send) and message.ended_to is not None:
            self._ends[asked] = message.ended_to  # type: ignore[assignment]
        put = threading.Thread(target=self.registry.ref.forward, args=(message, asked))
        if thread:
            put.start()
            put.join()
        else:
            put.run()
        return asked

    def crash(self, session: str) -> None:
        """Let the session's actor fail at its next message."""
        entry = self.registry.directory.entries.get(session)  # type: ignore[call-overload]
        if entry is not None and entry.actor is not None and entry.actor.is_alive():
            entry.actor.tell(Subscribe(session, cursor=5))  # type: ignore[arg-type]
            asyncio.get_running_loop().call_soon(self._has_crashed, session, self._holders(session))

    def _has_crashed(self, session: str, cut_off: list[Turn]) -> None:
        """In the same pass as it does, because the clock may have jumped since then."""
        now = self._clock.time()
        self._failed_at[session] = now
        self._cut_off |= dict.fromkeys(cut_off, now)

    def _look(self, message: Any, answer: Any) -> None:
        self._look_at_early_cancels(message, answer)
        match answer:
            case CancelAnswer(verdict=Verdict.CANCELLED, turn=turn) if turn is not None:
                if any(each.epoch == turn.epoch for each in self._holders(message.session_id)):
                    self._wrong.append(f"G3: {answer} came while the coroutine ran")
                if message.turn_id not in (None, turn.turn_id):
                    self._wrong.append(f"G4: {message} hit {turn}")
            case Accepted(superseded=before, epoch=epoch) if before is not None and epoch is not None:
                if any(each.turn_id == before.turn_id for each in self._holders(message.session_id)):
                    self._wrong.append(f"G3: {answer} came while the predecessor ran")

    def _look_at_early_cancels(self, message: Any, answer: Any) -> None:
        """G4: a cancel that came before its send still counts."""
        match message, answer:
            case Cancel(asker=asker, turn_id=str(turn)), CancelAnswer(Verdict.NOT_RUNNING) if asker == ADA:
                self._early[message.session_id, turn] = self._clock.time()
            case Close(), _:
                # What a closed session remembers is gone as soon as it is forgotten.
                self._early = {key: at for key, at in self._early.items() if key[0] != message.session_id}
            case Send(turn_id=str(turn)), Accepted(repeated=False, status=status):
                asked_at = self._early.pop((message.session_id, turn), None)
                counts = asked_at is not None and self._clock.time() < asked_at + 30
                if counts and status is not TurnStatus.CANCELLED:
                    self._wrong.append(f"G4: {message} began after its cancel")

    # -- What may be demanded now ---------------------------------------------------------------------

    async def check(self) -> None:
        """The house has come to rest: everything that it says is true, and no one waits for nothing."""
        await settle()
        directory = self.registry.directory
        places = (directory.active, directory.resting, directory.asleep)
        assert sum(map(len, places)) == len(directory.entries), "an entry is in one place"
        sessions = {asked.session for asked in self.asked if asked.session is not None}
        asking = [self.ask(GetSession(session, ADA)) for session in sorted(sessions)]
        listing, counting = self.ask(ListActive(ADA)), self.ask(GetCounts())
        foreign = self.ask(ListActive(BOB))
        await settle()
        self._collect_readers()
        views = {asked.session: asked.answer for asked in asking if asked.answer is not None}
        listed = {each.session_id: each.turn.turn_id for each in listing.answer}
        assert foreign.answer == (), "G12"
        assert set(listed) <= set(views) | self._failing()
        for view in views.values():
            self._compare(view, listed.get(view.session_id))
        for asked in asking:
            known = asked.done() or asked.session in self._failing()
            assert known, f"{asked.message} is not answered"
            assert asked.error is None or isinstance(asked.error, UnknownSession)
        if not self._failing():
            self._compare_counts(counting.answer, list(views.values()))
            self._nobody_waits_for_nothing(views)
        for reader in self.readers:
            self._read(reader)
        self._ends_are_told_truly()
        assert not self._wrong, self._wrong

    def _failing(self) -> set[str]:
        """Sessions whose actor failed and whose turn has its grace to end."""
        now = self._clock.time()
        return {session for session, at in self._failed_at.items() if now < at + self._grace}

    def _compare(self, view: SessionView, listed: TurnId | None) -> None:
        holders = self._holders(view.session_id)
        assert len(holders) <= 1, "G1"
        assert (view.state not in AT_REST) == bool(holders), (view, holders)
        given_up = {record.epoch for record in view.quarantined}
        for run in self.living:
            if (
                run.turn.session_id == view.session_id
                and run.turn.over
                and view.session_id not in self._failed_at
            ):
                assert run.turn.epoch in given_up, f"G6: {run.turn} lives, and nothing shows it"
        held_by = holders[0].turn_id if holders else None
        assert listed == held_by, "the list is the truth"
        if held_by is not None:
            assert view.turn is not None
            assert view.turn.turn_id == held_by

    def _compare_counts(self, counts: Counts, views: list[SessionView]) -> None:
        assert counts.sessions == len(views)
        assert counts.turns_in_flight == sum(view.state not in AT_REST for view in views)
        assert counts.unresponsive == sum(len(view.quarantined) for view in views)
        assert counts.subscribers == sum(view.subscribers for view in views)

    def _nobody_waits_for_nothing(self, views: dict[str | None, SessionView]) -> None:
        for asked in self.asked:
            view = views.get(asked.session)
            if asked.done():
                continue
            assert view is not None, f"{asked.message} is not answered"
            if isinstance(asked.message, AwaitTurn):
                assert asked.message.turn_id in _pending(view), f"{asked.message} waits for nothing"
            else:
                assert isinstance(asked.message, Send | Cancel | Close), f"{asked.message} is not answered"
                assert view.state is SessionState.CANCELLING, f"{asked.message} waits for nothing"
        for asked, end in self._ends.items():
            accepted, view = asked.answer, views.get(asked.session)
            if accepted is not None and not accepted.repeated and not end.done():
                assert view is not None
                assert accepted.turn_id in _pending(view), f"G2: {accepted} has no end"

    def _ends_are_told_truly(self) -> None:
        """G2: the receipt and the terminal event tell the same."""
        for asked, end in self._ends.items():
            if not end.done() or end._error is not None:
                continue
            record = end._value.turn
            assert record.status in TERMINAL
            if record.epoch is not None and asked.session is not None:
                ends = [
                    name
                    for (session, epoch, _), name in self._names.items()
                    if (session, epoch) == (asked.session, record.epoch) and name in TERMINAL_NAMES
                ]
                assert ends in ([], [f"turn.{record.status}"])

    # -- Readers --------------------------------------------------------------------------------------

    def _collect_readers(self) -> None:
        for asked in self.asked:
            if isinstance(asked.answer, Subscription):
                self.readers.append(Reader(asked.message, asked.answer))
        self.asked = [asked for asked in self.asked if not isinstance(asked.answer, Subscription)]

    def _read(self, reader: Reader) -> None:
        """G2 and G7: each event once and in order, or a gap."""
        subscription = reader.subscription
        while batch := subscription.take():
            for event in batch:
                assert not reader.seen or reader.seen[-1].name != "close", "nothing comes after close"
                reader.seen.append(event)
                if event.epoch is not None:
                    here = reader.session, event.epoch, event.n
                    assert self._names.setdefault(here, event.name) == event.name, "one id is one event"
        before = reader.after
        for event in reader.seen:
            if event.name == "gap":
                before = None
            elif event.epoch is not None:
                here = event.epoch, event.n
                assert before is None or self._may_follow(reader.session, before, here), (before, here)
                before = here
        numbered = [(event.epoch, event.n) for event in reader.seen if event.epoch is not None]
        assert all(first < second for first, second in pairwise(numbered)), "in order, and once"
        last = reader.last
        if last is not None and not subscription.ended and last.name not in TERMINAL_NAMES:
            running = [turn.epoch for turn in self._holders(reader.session)]
            assert last.epoch in running or reader.session in self._failing(), "G2: an end was not published"

    def _may_follow(self, session: str, before: tuple[int, int], here: tuple[int, int]) -> bool:
        ended = self._names.get((session, *before)) in TERMINAL_NAMES
        if before[0] == here[0]:
            return here[1] == before[1] + 1 and not ended
        between = [epoch for epoch in self._epochs[session] if before[0] < epoch < here[0]]
        return here[0] > before[0] and here[1] == 0 and not between

    async def release(self) -> None:
        """Let go of every run that is left."""
        for run in list(self.living):
            run.say("late")
        await settle()

    # -- The end --------------------------------------------------------------------------------------

    async def check_the_end(self) -> None:
        """G10: everyone was answered, and nothing is left."""
        await settle()
        self._collect_readers()
        for asked in self.asked:
            assert asked.done(), f"G10: {asked.message} was never answered"
        for asked, end in self._ends.items():
            if asked.answer is not None and not asked.answer.repeated:
                assert end.done(), f"G2, G10: {asked.answer} has no end"
                assert end._error is None or isinstance(end._error, SessionLost | ShuttingDown)
        for reader in self.readers:
            self._read(reader)
            assert reader.subscription.ended
        self._ends_are_told_truly()
        assert not any(self._holders(each.turn.session_id) for each in self.living)
        await self.release()
        assert not self.living
        assert asyncio.all_tasks() == {asyncio.current_task()}
        timers: Any = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert not [timer for timer in timers if not timer.cancelled()]
        assert not self._wrong, self._wrong


def _pending(view: SessionView) -> set[TurnId]:
    """The turns of a session that have not ended."""
    current = {view.turn.turn_id} if view.turn is not None and view.state not in AT_REST else set()
    return current | {queued.turn_id for queued in view.queue if queued.status is TurnStatus.QUEUED}
