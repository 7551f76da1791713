"""What an onlooker knows of the turns that wait for a session, and of those that are undone.

He knows them by the answers to his own sends, by their ends, and by the runs that begin. Which course a line
takes in each step is held against the monitor (`witness`); here it is what came of it: who was answered, who
began and in which order, what became of each message, and what readers were shown.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.actors.session.facts import said_by_both
from tests.fakes import VirtualClock
from tests.journeys.reader import Reader
from tests.journeys.runs import Run
from turnkeeper.actors.events.event import EDITED, PLACES, SNAPSHOT, STARTED
from turnkeeper.actors.model.messages import (
    Accepted,
    Cancel,
    CancelAnswer,
    CancelledMany,
    CancelMany,
    ChangeQueued,
    QueuedTurn,
    Send,
    TurnEnd,
)
from turnkeeper.actors.model.records import Asker, TurnRecord
from turnkeeper.actors.model.words import QueueMode, Rollback, Strategy, TurnStatus, Verdict, WhoMayStop
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.session.settings import Settings

ADA = Asker("ada")


class End(AsyncioFuture[TurnEnd]):
    """Where the end of a send's turn is reported, once; ``heard`` is called in that moment."""

    def __init__(self) -> None:
        self.reports = 0
        self.heard: Callable[[TurnRecord], object] | None = None

    def set(self, value: TurnEnd | None = None) -> None:
        self.reports += 1
        super().set(value)
        if value is not None and self.heard is not None:
            self.heard(value.turn)

    @property
    def record(self) -> Any:
        """The record of the turn that has ended; ``None`` before, and where its session was lost."""
        return self._value.turn if self.done() and self._error is None else None


class Sent:
    """A send, and what is known of its turn."""

    def __init__(self, message: Send, end: End) -> None:
        self.message = message
        self.session = message.session_id
        self.end = end
        self.answer: Accepted | None = None
        self.run: Run | None = None
        #: What its turn is to be given, as far as that is known.
        self.parts: list[Any] = message.message
        #: Its place among those that were accepted, and whether it keeps its place in the line.
        self.order: int | None = None
        self.stays = message.strategy is Strategy.ENQUEUE and message.after is None

    @property
    def turn_id(self) -> str | None:
        return None if self.answer is None else self.answer.turn_id

    def may_be_stopped_by(self, asker: Asker) -> bool:
        """Whether this user may stop its turn, in a session of ada's."""
        policy = None if self.answer is None else self.answer.own_policy
        if asker.sees_all or policy is None or policy.who_may_stop is WhoMayStop.OWNER:
            return True
        return asker == self.message.asker

    @property
    def waits(self) -> bool:
        """Whether it was accepted, and has neither begun nor ended."""
        return self.answer is not None and self.run is None and not self.end.done()

    @property
    def was_lost(self) -> bool:
        """Whether its session has failed, so that its end is not reported."""
        return self.end.done() and self.end.record is None


class Lines:
    """Those who wait, in all sessions. ``say`` is called with what is wrong in the moment."""

    def __init__(
        self, clock: VirtualClock, say: Callable[[str], object], settings: Settings, runs: list[Run]
    ) -> None:
        """``runs`` are all that there are: more and more."""
        self._clock = clock
        self._runs = runs
        self._say = say
        self._settings = settings
        self.of_end: dict[End, Sent] = {}
        self._known: dict[tuple[str, str], Sent] = {}
        self._orders = itertools.count(1)
        #: The order of the last one that began of those that keep their places, by session.
        self._last: dict[str, int] = {}
        #: Whether the registry is being stopped, which may leave the end of a turn no time for its hooks.
        self.stops = False
        #: Whether the host has a hook for the end of every turn.
        self.hears_ends = False
        #: When sessions failed last: of their turns not every end is reported.
        self.failed_at: dict[str, float] = {}
        #: How many turns of each session have ended, and were given up; which of those ends was each send's.
        self._ended: dict[str, int] = {}
        self._given_up: dict[str, int] = {}
        self._ended_as: dict[Sent, int] = {}
        #: When a turn of each session ended last.
        self.ended_at: dict[str, float] = {}
        #: Which turn each key stands for, in its session.
        self._of_key: dict[tuple[str, str], str] = {}
        #: Those that waited when a cancel was put that clears the line, by its number.
        self._to_be_cleared: dict[int, list[Sent]] = {}
        #: What was said in each session, and is kept.
        self.said: dict[str, list[str]] = {}
        #: What each reader was last shown of the places, and how much of what it has seen was looked at.
        self._shown: dict[Reader, list[str] | None] = {}
        self._looked: dict[Reader, int] = {}
        #: What turns of each session say that were edited since readers were looked at.
        self._edits: dict[str, dict[str, Any]] = {}

    # -- As it happens ----------------------------------------------------------------------------------

    def sent(self, message: Send, end: End) -> None:
        """A send is put."""
        sent = self.of_end[end] = Sent(message, end)
        end.heard = lambda record: self._heard(sent, record)

    def waiting(self, session: str) -> list[Sent]:
        """Those that wait for this session, as far as that is known, in the order in which they were sent."""
        return [each for each in self.of_end.values() if each.session == session and each.waits]

    def began(self, run: Run) -> Sent | None:
        """A run begins; the send that it is of, if that is known."""
        sent = self.of_end.get(run.turn.spec.ended_to)
        if sent is None:
            return None
        sent.run = run
        self._accept(sent)
        if run.turn.message != sent.parts:
            self._say(f"{run.turn} is given {run.turn.message}, and not {sent.parts}")
        if sent.stays and sent.order is not None:
            if sent.order < self._last.get(sent.session, 0):
                self._say(f"G2: {run.turn} begins after one that came later")
            self._last[sent.session] = sent.order
        return sent

    def _now(self) -> float:
        return time.time()  # as it is on stage

    def _accept(self, sent: Sent) -> None:
        if sent.order is None:
            sent.order = next(self._orders)

    def _heard(self, sent: Sent, record: TurnRecord) -> None:
        """The end of a turn is reported."""
        session, run = sent.session, sent.run
        self._ended[session] = self._ended.get(session, 0) + 1
        self._ended_as[sent] = self._ended[session]
        self.ended_at[session] = self._clock.time()
        if record.status is TurnStatus.UNRESPONSIVE:
            self._given_up[session] = self._given_up.get(session, 0) + 1
        if record.status is TurnStatus.MERGED:
            self._merged(sent, record.merged_into)
        if run is None or record.status is TurnStatus.INTERRUPTED:
            return
        if record.epoch is None or run.turn.epoch != record.epoch:
            self._say(f"G2: {record} is not the end of {run.turn}")
        if record.rollback is None and record.status is not TurnStatus.UNRESPONSIVE:
            self.said.setdefault(session, []).append(run.said)
        self._was_stopped(run, record)
        self._was_undone(run, record)
        self._was_heard(run, record)

    def _merged(self, sent: Sent, into: str | None) -> None:
        taker = None if into is None else self._known.get((sent.session, into))
        if taker is not None and not taker.was_lost:
            if taker.run is not None or taker.end.done():
                self._say(f"{sent.message} has joined {into}, which does not wait")
            if taker.message.asker != sent.message.asker:
                self._say(f"{sent.message} has joined another sender's")
            taker.parts = said_by_both(taker.parts, sent.parts)
            self._edits.get(sent.session, {}).pop(into or "", None)

    def _was_stopped(self, run: Run, record: TurnRecord) -> None:
        """If it was stopped, what it has registered for it was called, in order and while there was time.

        One that had failed by itself, and was asked to stop after that, was not stopped.
        """
        stopped = record.reason is not None and record.status is not TurnStatus.COMPLETED
        every = list(range(len(run.stops.kinds))) if stopped else []
        begun = run.stops.begun
        late = run.is_undone_late or self.stops
        failed_before = record.status is TurnStatus.FAILED and (run.exited or not run.cancelled_at)
        if (
            begun != every
            and not (begun == every[: len(begun)] and late)
            and not (failed_before and not begun)
        ):
            self._say(f"of the hooks for a stop of {run.turn} {begun} were called, and it ended as {record}")

    def _was_heard(self, run: Run, record: TurnRecord) -> None:
        """The host's hook for its end was called, once and before that, while there was time."""
        begun, due = run.ends.begun, [0] if self.hears_ends else []
        if begun != due and not (begun == [] and (run.is_undone_late or self.stops)):
            self._say(f"the hook for the end of {run.turn} was called as {begun}, and it ended as {record}")

    def _was_undone(self, run: Run, record: TurnRecord) -> None:
        """Its hooks were run if it was to be undone, in reverse order, and all of them if its end says so."""
        own, host = run.hooks, run.host
        every = list(reversed(range(len(own.kinds))))
        if record.rollback is None:
            if own.begun or host.begun:
                self._say(f"{run.turn} was undone, and {record} does not say so")
        elif own.begun != every[: len(own.begun)] or (host.begun and own.begun != every):
            self._say(f"what undoes {run.turn} was run in the order {own.begun}")
        elif (own.done == every and host.done == [0]) is not (record.rollback is Rollback.DONE):
            if record.rollback is Rollback.PARTLY and (run.is_undone_late or self.stops):
                return
            self._say(f"{record} says {record.rollback}, where {own.done} and {host.done} were done")

    # -- Answers ----------------------------------------------------------------------------------------

    def answered(self, message: Any, answer: Any) -> None:
        """An answer is given."""
        match message, answer:
            case Send(ended_to=End() as end), Accepted():
                self._accepted(self.of_end[end], answer)
            case ChangeQueued(), tuple():
                self._changed(message, answer)
            case Cancel(asker=asker), CancelAnswer():
                self._stopped(message.session_id, answer, asker)
                self._cleared(message.session_id, answer.cleared, asker)
            case CancelMany(), CancelledMany():
                self._stopped_many(message, answer)
            case _:
                pass

    def _accepted(self, sent: Sent, answer: Accepted) -> None:
        key = (sent.session, answer.turn_id)
        if sent.message.key is not None:
            named = self._of_key.setdefault((sent.session, sent.message.key), answer.turn_id)
            if named != answer.turn_id:
                self._say(f"the key of {sent.message} stands for {named}, and not for {answer}")
        if answer.repeated:
            return
        before = self._known.get(key)
        if before is not None and self._is_remembered(before):
            self._say(f"{sent.message} is another turn, and not that of {before.answer}")
        sent.answer = answer
        self._known[key] = sent
        self._accept(sent)
        self._made_room(sent, answer)
        if answer.status is TurnStatus.MERGED and answer.merged_into is None:
            self._say(f"{answer} does not say what has its message")
        before_it = answer.superseded
        if before_it is not None and before_it.verdict is not Verdict.REQUESTED:
            ran = self._known.get((sent.session, before_it.turn_id))
            undoes = answer.own_policy is not None and answer.own_policy.strategy is Strategy.ROLLBACK
            if undoes and before_it.rollback is None and ran is not None and ran.run is not None:
                if ran.run.stops.begun or ran.run.ends.begun:
                    return  # its end was being run already, which is too late
                self._say(f"{answer} does not say how far the turn before it was undone")

    def _made_room(self, sent: Sent, answer: Accepted) -> None:
        """One that waits behind others may have had an earlier one dropped: its sender's own."""
        if not answer.position and answer.not_before is None:
            return
        for other in self.of_end.values():
            record = other.end.record
            if record is None or other.session != sent.session or other.run is not None:
                continue
            if record.superseded_by == answer.turn_id and other.message.asker != sent.message.asker:
                self._say(f"{other.message} of another sender has made room for {sent.message}")

    def _stopped(self, session: str, answer: CancelAnswer, asker: Asker) -> None:
        sent = None if answer.turn is None else self._known.get((session, answer.turn.turn_id))
        if sent is not None and answer.verdict is Verdict.CANCELLED and not sent.may_be_stopped_by(asker):
            self._say(f"{sent.message} was stopped by {asker}, who may not")

    def _is_remembered(self, sent: Sent) -> bool:
        """Whether the record of its turn must still be known, as far as that is certain."""
        session, record = sent.session, sent.end.record
        if session in self.failed_at or sent.was_lost:
            return False
        if record is None:
            return True
        since = self._ended[session] - self._ended_as[sent] + self._given_up.get(session, 0)
        return (
            since < self._settings.kept_turns
            and self._now() < record.ended_at + self._settings.turn_retention
        )

    def _changed(self, message: ChangeQueued, queue: tuple[QueuedTurn, ...]) -> None:
        sent = self._known.get((message.session_id, message.turn_id))
        if message.asker.user == "bob":
            self._say(f"G12: {message} was answered with {queue}")
        if sent is None:
            return
        if message.to is None and not message.asker.sees_all and message.asker != sent.message.asker:
            self._say(f"{message} has edited what another user sent")
        if message.to is not None:
            sent.stays = False
        else:
            sent.parts = message.message
            self._edits.setdefault(sent.session, {})[message.turn_id] = sent.parts
            shown = [each.message for each in queue if each.turn.turn_id == message.turn_id]
            if shown != [sent.parts]:
                self._say(f"{message} was answered with {shown}")

    def clears(self, number: int, cancel: Cancel) -> None:
        """A cancel is put; it may be one that clears the line."""
        if cancel.turn_id is None and cancel.queue != QueueMode.KEEP:
            self._to_be_cleared[number] = self.waiting(cancel.session_id)

    def has_cleared(self, number: int, answer: CancelAnswer) -> None:
        """A cancel is answered: those that waited before it began before it, or have ended."""
        hit = None if answer.turn is None else answer.turn.turn_id
        there = self._to_be_cleared.pop(number, [])
        own = [sent for sent in there if sent.may_be_stopped_by(ADA)]
        left = [sent.answer for sent in own if sent.waits and sent.turn_id != hit]
        if left:
            self._say(f"{left} wait on although they were to be cleared away")

    def _cleared(self, session: str, cleared: Iterable[str], asker: Asker) -> None:
        for turn_id in cleared:
            sent = self._known.get((session, turn_id))
            if sent is None or sent.was_lost:
                continue
            if not sent.may_be_stopped_by(asker):
                self._say(f"{sent.message} was cleared away by {asker}, who may not stop it")
            record = sent.end.record
            if record is None or record.status is not TurnStatus.CANCELLED or record.epoch is not None:
                self._say(f"{turn_id} of {session} was cleared away, and ended as {record}")

    def _stopped_many(self, message: CancelMany, answer: CancelledMany) -> None:
        if answer.matched != len(answer.results) + answer.truncated:
            self._say(f"{answer} does not add up")
        for each in answer.results:
            sent = self._known.get((each.session_id, each.turn_id))
            if not message.asker.may_see(each.owner):
                self._say(f"G12: {message} was answered with {each}")
            if message.dry_run != (each.verdict is None and each.error is None):
                self._say(f"{message} was answered with {each}")
            if each.verdict is Verdict.REQUESTED and message.wait and message.within is None:
                self._say(f"{message} was answered with {each}, and waits for nothing")
            if each.verdict is Verdict.CANCELLED and sent is not None and not sent.end.done():
                self._say(f"G3: {each} was answered while it went on")
            self._cleared(each.session_id, each.cleared, message.asker)

    def forget(self, session: str) -> None:
        """The session is closed: what begins in it later, once it is forgotten, is the first."""
        self.said.pop(session, None)
        self._known = {key: sent for key, sent in self._known.items() if key[0] != session}

    # -- At rest ----------------------------------------------------------------------------------------

    def undoing(self, session: str) -> Run | None:
        """The run that is being undone, which holds the session still."""
        there = [run for run in self._runs if run.turn.session_id == session]
        return next((run for run in there if self._is_held(run)), None)

    def _is_held(self, run: Run) -> bool:
        """Whether what undoes it holds its session: until its turn has ended.

        No end is reported where the session has failed since the send: then for as long as that may take.
        """
        if not run.is_held:
            return False
        sent = self.of_end.get(run.turn.spec.ended_to)
        if sent is not None and not sent.was_lost:
            return not sent.end.done()
        return not run.is_undone_late

    def failed(self, session: str, at: float) -> None:
        """The session's actor has failed."""
        self.failed_at[session] = at
        for run in self._runs:
            if run.turn.session_id == session:
                run.lose()

    def check(self, session: str, queue: tuple[QueuedTurn, ...], *, all_known: bool) -> None:
        """Those who wait are those who were accepted, in this order. ``all_known``: and there is no other."""
        behind = [each.turn.turn_id for each in queue if each.position != 0]
        front = [each.turn.turn_id for each in queue if each.position == 0]
        known = {each.turn_id for each in self.waiting(session)}
        assert known <= {*behind, *front}, f"G2: {known} were accepted, and {behind} wait"
        if all_known:
            assert set(behind) <= known, f"G2: {behind} wait, and {known} were accepted"
        positions = [each.position for each in queue if each.position is not None]
        assert positions == list(range(1 - len(front), len(positions) + 1 - len(front))), "no place is empty"

    def check_reader(self, reader: Reader, queue: tuple[QueuedTurn, ...]) -> None:
        """What a reader was shown of the places is how they are, but for those that have ended or begun."""
        shown = self._shown.get(reader)
        new = reader.seen[self._looked.get(reader, 0) :]
        if reader in self._looked and not any(event.name == "gap" for event in new):
            heard = {event.turn_id: event.data["message"] for event in new if event.name == EDITED}
            edits = self._edits.get(reader.session, {})
            assert edits.items() <= heard.items(), f"a reader was shown {heard} of {edits}"
        for event in new:
            if event.name in (PLACES, SNAPSHOT):
                shown = [each["task_id"] for each in event.data["queue"] if each["position"] != 0]
            elif event.name == "gap":
                shown = None
            elif shown and (event.ends_turn or event.name == STARTED) and event.turn_id in shown:
                shown.remove(event.turn_id)
        self._shown[reader], self._looked[reader] = shown, len(reader.seen)
        behind = [each.turn.turn_id for each in queue if each.position != 0]
        assert shown is None or shown == behind, f"a reader was shown {shown}, and {behind} wait"

    def were_looked_at(self, session: str) -> None:
        """All readers of the session were: from now on it is about what comes then."""
        self._edits.pop(session, None)

    def check_what_undoes(self, steady_since: float) -> None:
        """What undoes a turn has at most so long; then it is cancelled, and lets go of the session."""
        for run in self._runs:
            if not run.is_being_undone:
                continue
            sent = self.of_end.get(run.turn.spec.ended_to)
            end = None if sent is None or sent.was_lost else sent.end
            if end is not None and end.done():
                assert run.is_stubborn, f"{run.turn} has ended, and goes on being undone"
            elif end is not None or not run.is_stubborn:
                assert run.is_held, f"{run.turn} was lost, and goes on being undone"
                due = max(run.undone_at, steady_since) + run.turn.spec.policy.wind_grace
                assert self._clock.time() < due + 0.01, f"{run.turn} is undone for too long"
