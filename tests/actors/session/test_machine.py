"""The life of one session, told as stories; the monitor of the search watches each of them."""

from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.actors.session.monitor import Facts, observe
from tests.actors.session.search import Address
from tests.turns import LIMITS
from turnkeeper.actors.model.exceptions import (
    PreconditionFailed,
    SessionBusy,
    SessionClosed,
    SessionError,
    StageFailed,
    TooManyUnresponsive,
    TurnIdReused,
)
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    ReplyAddress,
    SessionView,
    Shut,
    Stop,
    Submit,
    Superseded,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.records import (
    CancelCode,
    LateEnd,
    Outcome,
    Raised,
    Reason,
    Returned,
    SessionId,
    SessionState,
    Stopped,
    Strategy,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
    TurnStatus,
    Verdict,
)
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    Effect,
    EndTurn,
    Quarantine,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import Cancelling, Closed, Home, Idle, Limits, Memory, Running, State
from turnkeeper.actors.session.views import find_turn, state_name

E = TypeVar("E", bound=Effect)
V = TypeVar("V")

START = 1_000.0
GRACE = 4.0
USER = Reason(CancelCode.USER_REQUEST, "ada", "enough")
ADMIN = Reason(CancelCode.ADMIN, "root")
POLICY = Reason(CancelCode.POLICY)
GONE = Reason(CancelCode.CLIENT_DISCONNECTED)
CLOSE = Reason(CancelCode.SESSION_CLOSED, "ada")
SHUTDOWN = Reason(CancelCode.SHUTDOWN)


class Session:
    """A session, the clock on its wall, and all that was ever answered to its askers."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.state: State = Idle(Memory(Home(SessionId("s"), "ada", limits or LIMITS)))
        self.facts = Facts()
        self.now = START
        self.effects: tuple[Effect, ...] = ()
        self.answers: dict[ReplyAddress, Any] = {}
        self.askers = 0

    def tell(self, message: Message, to: ReplyAddress | None = None) -> tuple[Effect, ...]:
        """One step, watched by the monitor."""
        before = self.state
        self.state, self.effects = step(before, message, self.now, to)
        self.facts = observe(self.facts, before, message, self.now, to, self.state, self.effects)
        for effect in self.effects:
            if isinstance(effect, Reply) and effect.to is not None:
                self.answers[effect.to] = effect.answer
            elif isinstance(effect, Refuse) and effect.to is not None:
                self.answers[effect.to] = effect.error
        return self.effects

    def ask(self, message: Message) -> Address:
        """One step on behalf of somebody whose answer is looked up later."""
        self.askers += 1
        asker = Address(self.askers)
        self.tell(message, asker)
        return asker

    def answer(self, asker: Address, kind: type[V]) -> V:
        answer = self.answers[asker]
        assert isinstance(answer, kind)
        return answer

    def send(
        self,
        turn_id: str = "t1",
        *,
        strategy: Strategy = Strategy.INTERRUPT,
        wait: bool = True,
        timeout: float | None = None,
        grace: float = GRACE,
        fingerprint: bytes | None = None,
        if_match: str | None = None,
    ) -> Address:
        spec = TurnSpec(
            SessionId("s"), TurnId(turn_id), "hi", "ada", "agent", self.now, timeout, grace, fingerprint
        )
        return self.ask(Submit(spec, strategy, wait, if_match))

    def stop(
        self,
        turn_id: str | None = None,
        reason: Reason = USER,
        *,
        wait: bool = True,
        if_match: str | None = None,
    ) -> Address:
        return self.ask(Stop(None if turn_id is None else TurnId(turn_id), reason, wait, if_match))

    def shut(self, reason: Reason = CLOSE, grace: float | None = None) -> Address:
        return self.ask(Shut(reason, grace))

    def end(self, outcome: Outcome | None = None, epoch: int | None = None) -> TurnRecord:
        """The coroutine ends; the record it leaves."""
        self.tell(TurnEnded(self.epoch if epoch is None else epoch, outcome or Returned("done")))
        return self.one(EndTurn).record

    def wait(self, seconds: float) -> tuple[Effect, ...]:
        """Time passes, and a tick comes."""
        self.now += seconds
        return self.tell(Tick())

    def swallow(self) -> int:
        """The holder ignores its whole ladder; its epoch."""
        epoch = self.epoch
        self.wait(GRACE / 2)
        self.wait(GRACE / 2)
        return epoch

    @property
    def epoch(self) -> int:
        assert isinstance(self.state, Running | Cancelling)
        return self.state.epoch

    @property
    def records(self) -> tuple[TurnRecord, ...]:
        return self.state.memory.records

    def turn(self, turn_id: str) -> TurnRecord:
        record = find_turn(self.state, turn_id)
        assert record is not None
        return record

    def one(self, kind: type[E]) -> E:
        """The one effect of this kind in the last step."""
        (effect,) = self.all(kind)
        return effect

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def did(self) -> list[type[Effect]]:
        """The kinds of the last step's effects, in order; answers to nobody left out."""
        return [type(effect) for effect in self.effects if getattr(effect, "to", effect) is not None]


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def running(session: Session) -> Session:
    session.send("t1")
    session.now += 1.0
    return session


@pytest.fixture
def cancelling(running: Session) -> Session:
    """t1 was stopped by somebody who did not wait, and for a reason that ends no streams."""
    running.stop("t1", POLICY, wait=False)
    running.now += 1.0
    return running


@pytest.fixture
def superseding(running: Session) -> Session:
    """t2 waits for t1 to settle; nobody waits for the answer."""
    running.send("t2", wait=False)
    running.now += 1.0
    return running


def closed(session: Session) -> Session:
    session.shut()
    return session


# -- A send to an idle session ----------------------------------------------------------------------


def test_an_idle_session_starts_what_is_sent_and_says_so(session: Session) -> None:
    asker = session.send("t1")
    assert session.did() == [StartTurn, Reply]
    start = session.one(StartTurn)
    assert (start.spec.turn_id, start.epoch) == ("t1", 1_000_000)
    assert session.answer(asker, Accepted) == Accepted(
        SessionId("s"), TurnId("t1"), 1_000_000, TurnStatus.RUNNING
    )
    assert state_name(session.state) is SessionState.RUNNING


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("wait", [True, False])
def test_an_idle_session_starts_whatever_the_strategy(
    session: Session, strategy: Strategy, wait: bool
) -> None:
    asker = session.send(strategy=strategy, wait=wait)
    assert session.answer(asker, Accepted).status is TurnStatus.RUNNING


def test_a_turn_with_a_timeout_sets_a_timer(session: Session) -> None:
    session.send(timeout=3.0)
    assert session.one(SetTimer).at == START + 3.0


def test_a_turn_without_a_timeout_sets_none(session: Session) -> None:
    session.send()
    assert not session.all(SetTimer)
    assert session.wait(1e6) == ()


# -- Epochs -------------------------------------------------------------------------------------------


def test_the_epoch_is_the_clock_in_milliseconds(session: Session) -> None:
    session.now = 1_234.5678
    session.send()
    assert session.epoch == 1_234_567


def test_epochs_grow_when_the_clock_stands_still(session: Session) -> None:
    epochs = []
    for n in range(5):
        session.send(f"t{n}")
        epochs.append(session.epoch)
        session.end()
    assert epochs == [1_000_000, 1_000_001, 1_000_002, 1_000_003, 1_000_004]


def test_epochs_grow_when_the_clock_steps_back(session: Session) -> None:
    session.send("t1")
    first = session.epoch
    session.end()
    session.now -= 500.0
    session.send("t2")
    assert session.epoch == first + 1


def test_epochs_grow_past_a_quarantined_turn(running: Session) -> None:
    first = running.epoch
    running.stop()
    running.now = START
    running.wait(3.0)
    running.wait(2.0)
    running.now = START
    running.send("t2")
    assert running.epoch == first + 1


# -- How a turn ends ----------------------------------------------------------------------------------


def test_a_turn_that_returns_is_completed(running: Session) -> None:
    record = running.end(Returned(42))
    assert (record.status, record.error, record.reason) == (TurnStatus.COMPLETED, None, None)
    assert (record.submitted_at, record.started_at, record.ended_at) == (START, START, START + 1.0)
    assert record.cancel_requested_at is None
    assert running.one(EndTurn).outcome == Returned(42)
    assert running.state == Idle(Memory(running.state.memory.home, record.epoch or 0, (record,)))


def test_a_turn_that_raises_is_failed_and_tells_its_code_and_type(running: Session) -> None:
    record = running.end(Raised(ValueError("secret"), "MODEL_DOWN"))
    assert (record.status, record.error) == (TurnStatus.FAILED, TurnError("MODEL_DOWN", "ValueError"))


def test_a_cancellation_that_nobody_asked_for_is_a_failure(running: Session) -> None:
    record = running.end(Stopped())
    assert record.status is TurnStatus.FAILED
    assert record.error == TurnError("spontaneous_cancel", "CancelledError")


@pytest.mark.parametrize(
    ("outcome", "status", "verdict"),
    [
        (Stopped(), TurnStatus.CANCELLED, Verdict.CANCELLED),
        (Returned("anyway"), TurnStatus.COMPLETED, Verdict.FINISHED_FIRST),
        (Raised(ValueError()), TurnStatus.FAILED, Verdict.FINISHED_FIRST),
    ],
)
def test_after_a_cancel_the_coroutine_decides_what_it_was(
    running: Session, outcome: Outcome, status: TurnStatus, verdict: Verdict
) -> None:
    asker = running.stop()
    asked_at = running.now
    running.now += 0.25
    record = running.end(outcome)
    assert (record.status, record.cancel_requested_at, record.reason) == (status, asked_at, USER)
    assert running.answer(asker, CancelAnswer) == CancelAnswer(verdict, record, 250.0)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Stopped(), TurnStatus.TIMED_OUT),
        (Returned("just in time"), TurnStatus.COMPLETED),
        (Raised(ValueError()), TurnStatus.FAILED),
    ],
)
def test_after_its_deadline_a_turn_is_timed_out_unless_it_finished(
    session: Session, outcome: Outcome, status: TurnStatus
) -> None:
    session.send(timeout=3.0)
    session.wait(3.0)
    record = session.end(outcome)
    assert (record.status, record.reason) == (status, Reason(CancelCode.TIMEOUT))


def test_the_record_of_a_failed_turn_tells_the_error_also_after_a_cancel(cancelling: Session) -> None:
    assert cancelling.end(Raised(KeyError())).error == TurnError("AGENT_ERROR", "KeyError")


def test_the_record_of_a_turn_that_a_stage_failed_tells_which_and_why(running: Session) -> None:
    failed = StageFailed("stage x:y failed", stage="x:y")
    failed.__cause__ = KeyError()
    assert running.end(Raised(failed, "stage_failed")).error == TurnError("stage_failed", "KeyError", "x:y")


@pytest.mark.parametrize("outcome", [Returned(), Raised(ValueError()), Stopped()])
@pytest.mark.parametrize("stopped", [False, True])
def test_the_end_of_a_turn_brings_the_moment_of_its_first_event(
    running: Session, outcome: Outcome, stopped: bool
) -> None:
    if stopped:
        running.stop()
    running.tell(TurnEnded(running.epoch, outcome, 1_000.5))
    assert running.one(EndTurn).record.first_event_at == 1_000.5
    assert running.records[-1].first_event_at == 1_000.5


def test_the_tick_that_gives_a_turn_up_brings_the_moment_of_its_first_event(cancelling: Session) -> None:
    cancelling.wait(GRACE / 2)
    cancelling.now += GRACE / 2
    cancelling.tell(Tick(1_000.5))
    assert cancelling.one(EndTurn).record.first_event_at == 1_000.5
    epoch = cancelling.one(EndTurn).record.epoch
    assert epoch is not None
    cancelling.tell(TurnEnded(epoch, Stopped(), 1_000.5))
    assert cancelling.records[-1].first_event_at == 1_000.5


def test_a_turn_that_waited_for_another_says_since_when(running: Session) -> None:
    running.now += 1.0
    running.send("t2")
    asked = running.now
    assert running.one(AnnounceQueued).record.queued_at == asked
    assert running.turn("t2").queued_at == asked
    running.now += 1.0
    running.send("t3")
    assert running.turn("t2").queued_at == asked  # dropped, and cancelled
    running.end(Stopped())
    assert (running.turn("t1").queued_at, running.turn("t3").queued_at) == (None, asked + 1.0)
    running.stop()
    assert running.turn("t3").queued_at == asked + 1.0
    assert running.end(Stopped()).queued_at == asked + 1.0


def test_a_stale_report_changes_nothing_and_is_counted(running: Session) -> None:
    first = running.epoch
    running.end()
    running.send("t2")
    for _ in range(2):
        before = running.state
        assert running.tell(TurnEnded(first, Returned())) == (CountStale(),)
        assert running.state == before
        running.stop("t2", wait=False)
    running.end()
    assert running.tell(TurnEnded(first, Returned())) == (CountStale(),)


# -- A send to a busy session -------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["running", "cancelling", "superseding"])
def test_a_rejecting_send_to_a_busy_session_is_refused(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    asker = session.send("t9", strategy=Strategy.REJECT)
    assert session.answer(asker, SessionBusy).turn_id == "t1"


def test_an_interrupting_send_cancels_and_waits_in_line(running: Session) -> None:
    asker = running.send("t2")
    assert running.did() == [CancelTurn, SetTimer, AnnounceQueued]
    assert running.one(CancelTurn).reason == Reason(CancelCode.SUPERSEDED, "ada")
    queued = running.one(AnnounceQueued).record
    assert (queued.turn_id, queued.status, queued.epoch) == ("t2", TurnStatus.QUEUED, None)
    assert asker not in running.answers


def test_a_send_in_line_starts_when_its_predecessor_has_settled(running: Session) -> None:
    asker = running.send("t2")
    running.now += 0.5
    record = running.end(Stopped())
    assert running.did() == [EndTurn, StartTurn, Reply]
    assert (record.status, record.superseded_by) == (TurnStatus.CANCELLED, "t2")
    accepted = running.answer(asker, Accepted)
    assert accepted.status is TurnStatus.RUNNING
    assert accepted.epoch == running.epoch
    assert accepted.superseded == Superseded(TurnId("t1"), Verdict.CANCELLED, 500.0)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(Returned(), Verdict.FINISHED_FIRST), (Raised(OSError()), Verdict.FINISHED_FIRST)],
)
def test_a_send_is_told_that_its_predecessor_finished_first(
    running: Session, outcome: Outcome, verdict: Verdict
) -> None:
    asker = running.send("t2")
    running.end(outcome)
    superseded = running.answer(asker, Accepted).superseded
    assert superseded is not None
    assert superseded.verdict is verdict


def test_a_send_that_does_not_wait_is_told_requested(running: Session) -> None:
    asker = running.send("t2", wait=False)
    superseded = Superseded(TurnId("t1"), Verdict.REQUESTED, None)
    expected = Accepted(SessionId("s"), TurnId("t2"), None, TurnStatus.QUEUED, superseded)
    assert running.answer(asker, Accepted) == expected
    running.end(Stopped())
    assert running.one(StartTurn).spec.turn_id == "t2"


def test_a_send_after_a_stop_waits_for_the_same_end(cancelling: Session) -> None:
    cancelling.send("t2", wait=False)
    assert cancelling.did() == [AnnounceQueued, Reply]
    cancelling.end(Stopped())
    assert cancelling.one(StartTurn).spec.turn_id == "t2"


def test_of_three_quick_sends_the_last_one_runs(running: Session) -> None:
    """t2 is over before it began, and its sender hears of it; t1 is cancelled once."""
    second = running.send("t2")
    third = running.send("t3")
    assert running.did() == [EndTurn, Reply, AnnounceQueued]
    dropped = running.one(EndTurn).record
    assert (dropped.turn_id, dropped.status, dropped.epoch) == ("t2", TurnStatus.CANCELLED, None)
    assert (dropped.superseded_by, dropped.started_at) == ("t3", None)
    answer = running.answer(second, Accepted)
    assert answer.status is TurnStatus.CANCELLED
    assert answer.superseded == Superseded(TurnId("t1"), Verdict.REQUESTED, None)
    record = running.end(Stopped())
    assert record.superseded_by == "t3"
    assert running.answer(third, Accepted).status is TurnStatus.RUNNING


def test_a_successor_with_a_timeout_gets_its_whole_time(running: Session) -> None:
    running.send("t2", timeout=3.0)
    running.now += 2.0
    running.end(Stopped())
    assert running.one(SetTimer).at == running.now + 3.0


def test_a_successor_starts_after_a_quarantine_and_not_before(running: Session) -> None:
    asker = running.send("t2")
    running.wait(GRACE / 2)
    assert running.did() == [CancelTurn, SetTimer]
    running.wait(GRACE / 2)
    assert running.did() == [EndTurn, Quarantine, StartTurn, Reply]
    superseded = running.answer(asker, Accepted).superseded
    assert superseded == Superseded(TurnId("t1"), Verdict.UNRESPONSIVE, GRACE * 1000)


def test_a_session_whose_turns_do_not_stop_takes_no_more_sends_at_its_bound() -> None:
    """G8: each would leave another coroutine running."""
    session = Session(replace(LIMITS, quarantined=2))
    epochs = []
    for turn_id in ("t1", "t2"):
        session.send(turn_id)
        session.stop()
        epochs.append(session.swallow())
    assert isinstance(session.answer(session.send("t3"), SessionError), TooManyUnresponsive)
    assert not session.all(StartTurn)
    session.tell(TurnEnded(epochs[0], Stopped()))
    session.send("t4")
    assert session.one(StartTurn).spec.turn_id == "t4"


def test_a_retry_is_answered_even_at_that_bound() -> None:
    session = Session(replace(LIMITS, quarantined=1))
    session.send("t1", fingerprint=b"same")
    session.stop()
    session.swallow()
    assert session.answer(session.send("t1", fingerprint=b"same"), Accepted).repeated


# -- Repeated ids and preconditions -------------------------------------------------------------------


def test_a_repeated_send_to_the_running_turn_starts_nothing(session: Session) -> None:
    session.send("a", fingerprint=b"1")
    asker = session.send("a", fingerprint=b"1")
    assert session.did() == [Reply]
    expected = Accepted(SessionId("s"), TurnId("a"), session.epoch, TurnStatus.RUNNING, repeated=True)
    assert session.answer(asker, Accepted) == expected


def test_a_repeated_send_is_told_how_its_turn_stands(running: Session) -> None:
    def told(strategy: Strategy = Strategy.INTERRUPT) -> TurnStatus:
        answer = running.answer(running.send("a", strategy=strategy, fingerprint=b"1"), Accepted)
        assert answer.repeated
        return answer.status

    running.send("a", fingerprint=b"1")
    assert told() is TurnStatus.QUEUED
    running.end(Stopped())
    assert told(Strategy.REJECT) is TurnStatus.RUNNING
    running.stop()
    assert told() is TurnStatus.CANCELLING
    epoch = running.swallow()
    assert told() is TurnStatus.UNRESPONSIVE
    running.tell(TurnEnded(epoch, Returned()))
    assert told() is TurnStatus.UNRESPONSIVE
    running.shut()
    assert told() is TurnStatus.UNRESPONSIVE


@pytest.mark.parametrize("over", [False, True])
def test_an_id_that_stands_for_another_message_is_refused(session: Session, over: bool) -> None:
    session.send("a", fingerprint=b"1")
    if over:
        session.end()
    session.answer(session.send("a", fingerprint=b"2"), TurnIdReused)


def test_a_forgotten_id_starts_anew(session: Session) -> None:
    session = Session(replace(LIMITS, kept_turns=1))
    session.send("a", fingerprint=b"1")
    session.end()
    session.send("t2")
    session.end()
    assert not session.answer(session.send("a", fingerprint=b"2"), Accepted).repeated


@pytest.mark.parametrize("match", ["t1", None])
def test_a_send_whose_precondition_holds_is_taken(running: Session, match: str | None) -> None:
    running.end()
    running.answer(running.send("t2", if_match=match), Accepted)


def test_a_precondition_may_name_the_turn_in_flight(running: Session) -> None:
    running.answer(running.send("t2", wait=False, if_match="t1"), Accepted)
    running.answer(running.send("t3", wait=False, if_match="t1"), Accepted)


@pytest.mark.parametrize("state", ["session", "running", "superseding"])
def test_a_send_whose_precondition_is_stale_is_refused(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    session.answer(session.send("t9", if_match="t2"), PreconditionFailed)


@pytest.mark.parametrize("state", ["session", "running", "superseding"])
def test_a_stop_whose_precondition_is_stale_is_refused(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    session.answer(session.stop(if_match="t2"), PreconditionFailed)


def test_a_stop_whose_precondition_holds_is_taken(running: Session) -> None:
    running.stop(if_match="t1", wait=False)
    assert running.one(CancelTurn).epoch == running.epoch


def test_a_repeated_send_is_known_although_it_made_its_own_precondition_stale(running: Session) -> None:
    """The answer to the first try was lost on its way; the retry must not read as a conflict."""
    running.end()
    running.send("a", fingerprint=b"1", if_match="t1")
    assert running.answer(running.send("a", fingerprint=b"1", if_match="t1"), Accepted).repeated


def test_a_turn_that_never_started_is_not_the_last_turn(superseding: Session) -> None:
    superseding.stop()
    superseding.end(Stopped())
    superseding.answer(superseding.send("t3", if_match="t2"), PreconditionFailed)
    superseding.answer(superseding.send("t3", if_match="t1"), Accepted)


# -- Stops ------------------------------------------------------------------------------------------------


def test_a_stop_cancels_and_is_answered_when_the_coroutine_has_ended(running: Session) -> None:
    asker = running.stop()
    assert running.did() == [CancelTurn, SetTimer]
    assert asker not in running.answers
    running.end(Stopped())
    assert running.did() == [EndTurn, Reply, CloseStreams]


def test_a_stop_that_does_not_wait_is_told_requested(running: Session) -> None:
    answer = running.answer(running.stop(wait=False), CancelAnswer)
    assert answer.verdict is Verdict.REQUESTED
    assert answer.turn is not None
    assert answer.turn.status is TurnStatus.CANCELLING
    assert answer.settled_after_ms is None


@pytest.mark.parametrize("wait", [True, False])
def test_a_stop_of_an_idle_session_is_told_not_running(session: Session, wait: bool) -> None:
    assert session.answer(session.stop(wait=wait), CancelAnswer) == CancelAnswer(Verdict.NOT_RUNNING)


def test_two_stops_are_one_stop(running: Session) -> None:
    first = running.stop()
    running.now += 1.0
    second = running.stop()
    assert running.effects == ()
    record = running.end(Stopped())
    assert running.answer(first, CancelAnswer) == CancelAnswer(Verdict.CANCELLED, record, 1000.0)
    assert running.answer(second, CancelAnswer) == CancelAnswer(Verdict.CANCELLED, record, 0.0)


def test_the_first_reason_is_the_turns_reason(running: Session) -> None:
    running.stop(reason=POLICY)
    running.stop(reason=USER)
    assert running.end(Stopped()).reason == POLICY


def test_a_second_stop_may_not_wait(running: Session) -> None:
    running.stop()
    assert running.answer(running.stop(wait=False), CancelAnswer).verdict is Verdict.REQUESTED


def test_many_stops_that_do_not_wait_are_remembered_once(running: Session) -> None:
    for _ in range(1000):
        running.stop(wait=False)
    assert isinstance(running.state, Cancelling)
    assert len(running.state.asks) == 1


def test_an_unaimed_stop_drops_the_successor_too(running: Session) -> None:
    sender = running.send("t2")
    asker = running.stop()
    assert running.did() == [EndTurn, Reply]
    assert running.answer(sender, Accepted).status is TurnStatus.CANCELLED
    assert running.turn("t2").reason == USER
    record = running.end(Stopped())
    assert running.answer(asker, CancelAnswer).turn == record
    assert isinstance(running.state, Idle)


def test_a_stop_aimed_at_the_holder_leaves_the_successor(running: Session) -> None:
    running.send("t2")
    asker = running.stop("t1")
    assert running.effects == ()
    running.end(Stopped())
    assert running.answer(asker, CancelAnswer).verdict is Verdict.CANCELLED
    assert running.one(StartTurn).spec.turn_id == "t2"
    assert not running.all(CloseStreams)


@pytest.mark.parametrize("wait", [True, False])
def test_a_stop_aimed_at_the_successor_drops_it_and_says_cancelled(running: Session, wait: bool) -> None:
    sender = running.send("t2")
    asker = running.stop("t2", wait=wait)
    answer = running.answer(asker, CancelAnswer)
    assert (answer.verdict, answer.turn, answer.settled_after_ms) == (
        Verdict.CANCELLED,
        running.turn("t2"),
        0.0,
    )
    assert running.answer(sender, Accepted).status is TurnStatus.CANCELLED
    running.end(Stopped())
    assert isinstance(running.state, Idle)
    assert running.one(CloseStreams).end == "Task cancelled", "a person stopped it, and nothing goes on"


@pytest.mark.parametrize("outcome", [Returned(), Raised(OSError()), Stopped()])
def test_a_stop_aimed_at_a_finished_turn_is_told_how_it_ended(running: Session, outcome: Outcome) -> None:
    record = running.end(outcome)
    answer = running.answer(running.stop("t1"), CancelAnswer)
    assert answer == CancelAnswer(Verdict.FINISHED_FIRST, record, 0.0)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_late_stop_does_not_hit_the_successor(running: Session, stopped: bool) -> None:
    record = running.end()
    running.send("t2")
    if stopped:
        running.stop("t2", wait=False)
    before = running.state
    answer = running.answer(running.stop("t1"), CancelAnswer)
    assert answer == CancelAnswer(Verdict.FINISHED_FIRST, record, 0.0)
    assert running.state == before


def test_a_stop_aimed_at_a_quarantined_turn_is_told_unresponsive_until_it_ends(running: Session) -> None:
    running.stop()
    epoch = running.swallow()
    assert running.answer(running.stop("t1"), CancelAnswer).verdict is Verdict.UNRESPONSIVE
    running.tell(TurnEnded(epoch, Returned()))
    assert running.answer(running.stop("t1"), CancelAnswer).verdict is Verdict.FINISHED_FIRST


def test_a_turn_that_somebody_tells_to_stop_needs_no_reply_address(running: Session) -> None:
    running.tell(Stop(None, USER))
    running.end(Stopped())
    assert running.did() == [EndTurn, CloseStreams]


# -- Early cancels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["session", "running", "cancelling", "superseding"])
def test_a_cancel_that_comes_before_its_send_counts(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    answer = session.answer(session.stop("a"), CancelAnswer)
    assert answer == CancelAnswer(Verdict.NOT_RUNNING, remembered_for=30.0)
    asked_at = session.now
    session.now += 29.0
    sender = session.send("a", fingerprint=b"1")
    assert session.did() == [EndTurn, Reply]
    record = session.one(EndTurn).record
    assert (record.status, record.reason, record.epoch) == (TurnStatus.CANCELLED, USER, None)
    assert (record.cancel_requested_at, record.ended_at) == (asked_at, session.now)
    assert session.answer(sender, Accepted).status is TurnStatus.CANCELLED


def test_an_early_cancel_counts_once_and_the_retry_is_told(session: Session) -> None:
    session.stop("a")
    session.send("a", fingerprint=b"1")
    assert session.state.memory.early == ()
    retry = session.answer(session.send("a", fingerprint=b"1"), Accepted)
    assert (retry.status, retry.repeated) == (TurnStatus.CANCELLED, True)


def test_an_early_cancel_is_forgotten_after_its_time(session: Session) -> None:
    session.stop("a")
    session.now += 30.0
    assert session.answer(session.send("a", fingerprint=b"1"), Accepted).status is TurnStatus.RUNNING


def test_asking_again_renews_an_early_cancel(session: Session) -> None:
    session.stop("a")
    session.now += 20.0
    session.stop("a")
    session.now += 20.0
    assert len(session.state.memory.early) == 1
    assert session.answer(session.send("a", fingerprint=b"1"), Accepted).status is TurnStatus.CANCELLED


def test_early_cancels_are_bounded_and_the_oldest_goes_first(session: Session) -> None:
    for n in range(9):
        session.stop(f"a{n}")
    assert [early.turn_id for early in session.state.memory.early] == [f"a{n}" for n in range(1, 9)]


def test_early_cancels_that_are_too_old_are_let_go(session: Session) -> None:
    session.stop("a")
    session.now += 30.0
    session.stop("b")
    assert [early.turn_id for early in session.state.memory.early] == ["b"]


def test_an_early_cancel_does_not_hit_another_turn(session: Session) -> None:
    session.stop("a")
    assert session.answer(session.send("b", fingerprint=b"1"), Accepted).status is TurnStatus.RUNNING


# -- The ladder ---------------------------------------------------------------------------------------


def test_the_ladder_is_cancelled_cancelled_again_quarantined(running: Session) -> None:
    asker = running.stop()
    asked_at = running.now
    assert running.one(SetTimer).at == asked_at + GRACE / 2
    running.wait(GRACE / 2)
    assert running.effects == (CancelTurn(running.epoch, USER), SetTimer(asked_at + GRACE))
    assert running.turn("t1").cancelled_again_at == asked_at + GRACE / 2
    epoch = running.epoch
    running.wait(GRACE / 2)
    assert running.did() == [EndTurn, Quarantine, Reply, CloseStreams]
    assert running.one(Quarantine).epoch == epoch
    record = running.one(EndTurn).record
    assert (record.status, record.ended_at) == (TurnStatus.UNRESPONSIVE, asked_at + GRACE)
    assert record.cancelled_again_at == asked_at + GRACE / 2
    assert running.answer(asker, CancelAnswer) == CancelAnswer(Verdict.UNRESPONSIVE, record, GRACE * 1000)
    assert running.state.memory.quarantined == (record,)
    assert running.records == ()


def test_a_tick_that_comes_too_early_sets_the_timer_again(session: Session) -> None:
    session.send(timeout=10.0)
    assert session.wait(9.0) == (SetTimer(START + 10.0),)
    session.stop()
    assert session.wait(1.0) == (SetTimer(START + 11.0),)
    session.wait(1.0)
    assert session.wait(1.0) == (SetTimer(START + 13.0),)


def test_a_tick_that_comes_very_late_skips_no_rung(running: Session) -> None:
    """The loop was blocked, so the coroutine had no chance yet to end."""
    running.stop()
    running.wait(10 * GRACE)
    assert running.effects == (CancelTurn(running.epoch, USER), SetTimer(running.now + GRACE / 2))
    running.wait(GRACE / 2)
    assert running.did() == [EndTurn, Quarantine, Reply, CloseStreams]


def test_a_tick_at_rest_does_nothing(session: Session) -> None:
    assert session.wait(1.0) == ()
    assert closed(session).wait(1.0) == ()


def test_the_end_of_the_time_starts_the_ladder(session: Session) -> None:
    session.send(timeout=3.0)
    session.wait(3.0)
    assert session.effects == (
        CancelTurn(session.epoch, Reason(CancelCode.TIMEOUT)),
        SetTimer(START + 3.0 + GRACE / 2),
    )
    session.wait(GRACE / 2)
    session.wait(GRACE / 2)
    record = session.one(EndTurn).record
    assert (record.status, record.reason) == (TurnStatus.UNRESPONSIVE, Reason(CancelCode.TIMEOUT))


def test_a_stop_after_the_timeout_is_told_that_the_turn_timed_out(session: Session) -> None:
    session.send(timeout=3.0)
    session.wait(3.0)
    asker = session.stop()
    assert session.effects == ()
    record = session.end(Stopped())
    answer = session.answer(asker, CancelAnswer)
    assert (answer.verdict, answer.turn) == (Verdict.FINISHED_FIRST, record)
    assert record.status is TurnStatus.TIMED_OUT
    assert session.one(CloseStreams).end == "Task finished"


def test_a_timeout_after_a_stop_changes_nothing(session: Session) -> None:
    session.send(timeout=3.0)
    session.now += 2.0
    session.stop()
    session.wait(1.0)
    assert session.effects == (SetTimer(START + 2.0 + GRACE / 2),)
    assert session.end(Stopped()).status is TurnStatus.CANCELLED


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Returned(), TurnStatus.COMPLETED),
        (Raised(OSError()), TurnStatus.FAILED),
        (Stopped(), TurnStatus.CANCELLED),
    ],
)
def test_the_late_end_of_a_quarantined_turn_is_noted_and_not_published(
    running: Session, outcome: Outcome, status: TurnStatus
) -> None:
    running.send("t2")
    epoch = running.swallow()
    running.now += 7.0
    assert running.tell(TurnEnded(epoch, outcome)) == ()
    record = running.turn("t1")
    assert (record.status, record.ended_late) == (TurnStatus.UNRESPONSIVE, LateEnd(status, running.now))
    assert running.state.memory.quarantined == ()
    assert running.records == (record,)
    assert running.turn("t2").status is TurnStatus.RUNNING


@pytest.mark.parametrize("state", ["idle", "cancelling", "closed"])
def test_a_late_end_is_noted_in_every_state(running: Session, state: str) -> None:
    running.stop()
    epoch = running.swallow()
    match state:
        case "cancelling":
            running.send("t2")
            running.stop()
        case "closed":
            running.shut()
        case _:
            pass
    assert running.tell(TurnEnded(epoch, Returned())) == ()
    assert running.turn("t1").ended_late == LateEnd(TurnStatus.COMPLETED, running.now)
    assert running.tell(TurnEnded(epoch, Returned())) == (CountStale(),)


def test_several_turns_may_be_quarantined_and_end_in_any_order(running: Session) -> None:
    epochs = []
    for n in (2, 3):
        running.send(f"t{n}")
        epochs.append(running.swallow())
    assert [record.turn_id for record in running.state.memory.quarantined] == ["t1", "t2"]
    running.tell(TurnEnded(epochs[1], Returned()))
    running.tell(TurnEnded(epochs[0], Returned()))
    assert [record.turn_id for record in running.records] == ["t2", "t1"]
    assert running.epoch > max(epochs)


# -- What is remembered -------------------------------------------------------------------------------


def test_twenty_finished_turns_are_kept(session: Session) -> None:
    for n in range(25):
        session.send(f"t{n}")
        session.end()
    assert [record.turn_id for record in session.records] == [f"t{n}" for n in range(5, 25)]


def test_turns_older_than_an_hour_are_let_go_when_the_next_one_ends(session: Session) -> None:
    for turn_id in ("t1", "t2"):
        session.send(turn_id)
        session.end()
        session.now += 1800.0
    session.now += 1.0
    session.send("t3")
    session.end()
    assert [record.turn_id for record in session.records] == ["t2", "t3"]


def test_a_turn_exactly_an_hour_old_is_kept(session: Session) -> None:
    session.send("t1")
    session.end()
    session.now += 3600.0
    session.send("t2")
    session.end()
    assert [record.turn_id for record in session.records] == ["t1", "t2"]


# -- What the streams are told ------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [USER, ADMIN])
@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Stopped(), "Task cancelled"),
        (Returned(), "Task finished"),
        (Raised(OSError()), "Task finished"),
    ],
)
def test_a_cancel_by_a_user_or_an_admin_ends_the_streams(
    running: Session, reason: Reason, outcome: Outcome, text: str
) -> None:
    running.stop(reason=reason, wait=False)
    running.end(outcome)
    assert running.one(CloseStreams).end == text
    assert running.did() == [EndTurn, CloseStreams], "the terminal event comes first"


def test_streams_are_told_when_a_task_does_not_stop(running: Session) -> None:
    running.stop()
    running.swallow()
    assert running.one(CloseStreams).end == "Task unresponsive"


@pytest.mark.parametrize("reason", [POLICY, GONE])
def test_other_cancels_leave_the_streams_open(running: Session, reason: Reason) -> None:
    running.stop(reason=reason)
    running.end(Stopped())
    assert not running.all(CloseStreams)


def test_a_user_who_joins_another_cancel_ends_the_streams(running: Session) -> None:
    running.stop(reason=POLICY)
    running.stop(reason=USER, wait=False)
    running.end(Stopped())
    assert running.one(CloseStreams).end == "Task cancelled"


def test_a_supersede_leaves_the_streams_open(superseding: Session) -> None:
    superseding.end(Stopped())
    assert not superseding.all(CloseStreams)


def test_a_stop_that_is_followed_by_a_send_leaves_the_streams_open(running: Session) -> None:
    running.stop()
    running.send("t2")
    running.end(Stopped())
    assert not running.all(CloseStreams)


def test_a_stop_of_the_whole_session_ends_the_streams_also_while_superseding(superseding: Session) -> None:
    superseding.stop()
    superseding.end(Stopped())
    assert superseding.one(CloseStreams).end == "Task cancelled"


# -- Closing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reason", "text"), [(CLOSE, "Session closed"), (SHUTDOWN, "Server shutting down")])
def test_an_idle_session_is_closed_at_once(session: Session, reason: Reason, text: str) -> None:
    asker = session.shut(reason)
    assert session.did() == [CloseStreams, Reply]
    assert session.one(CloseStreams).end == text
    assert session.answer(asker, SessionView).state is SessionState.CLOSED
    assert isinstance(session.state, Closed)
    assert session.state.reason == reason


@pytest.mark.parametrize(("outcome", "text"), [(Stopped(), "Task cancelled"), (Returned(), "Task finished")])
def test_closing_cancels_first(running: Session, outcome: Outcome, text: str) -> None:
    asker = running.shut()
    assert running.effects == (CancelTurn(running.epoch, CLOSE), SetTimer(running.now + GRACE / 2))
    assert asker not in running.answers
    record = running.end(outcome)
    assert running.did() == [EndTurn, CloseStreams, Reply]
    assert running.one(CloseStreams).end == text
    view = running.answer(asker, SessionView)
    assert (view.state, view.turn, view.recent) == (SessionState.CLOSED, record, (record,))


def test_shutdown_tells_every_stream(running: Session) -> None:
    running.shut(SHUTDOWN)
    record = running.end(Stopped())
    assert (record.status, record.reason) == (TurnStatus.CANCELLED, SHUTDOWN)
    assert running.one(CloseStreams).end == "Server shutting down"


def test_a_close_does_not_hide_a_shutdown(running: Session) -> None:
    first = running.shut(SHUTDOWN)
    second = running.shut(CLOSE)
    running.end(Stopped())
    assert running.one(CloseStreams).end == "Server shutting down"
    assert {first, second} <= running.answers.keys()


def test_a_shutdown_overtakes_a_close(running: Session) -> None:
    running.shut(CLOSE)
    running.shut(SHUTDOWN)
    running.end(Stopped())
    assert running.one(CloseStreams).end == "Server shutting down"


def test_closing_answers_everyone_who_waits(running: Session) -> None:
    stopper, sender = running.stop(), running.send("t2")
    closer, again = running.shut(), running.shut()
    assert running.answer(sender, Accepted).status is TurnStatus.CANCELLED
    running.end(Stopped())
    assert running.answer(stopper, CancelAnswer).verdict is Verdict.CANCELLED
    assert running.answer(closer, SessionView) == running.answer(again, SessionView)
    assert len(running.all(CloseStreams)) == 1


def test_a_stop_while_closing_waits_for_the_same_end(running: Session) -> None:
    running.shut()
    asker = running.stop()
    running.end(Stopped())
    assert running.answer(asker, CancelAnswer).verdict is Verdict.CANCELLED
    assert isinstance(running.state, Closed)


def test_a_closing_session_takes_no_sends(running: Session) -> None:
    running.shut()
    running.answer(running.send("t2"), SessionClosed)


def test_a_closing_session_refuses_also_what_was_cancelled_early(running: Session) -> None:
    running.stop("a")
    running.shut()
    running.answer(running.send("a", fingerprint=b"1"), SessionClosed)


def test_a_closed_session_takes_no_sends_and_knows_its_turns(running: Session) -> None:
    record = running.end()
    running.shut()
    running.answer(running.send("t2"), SessionClosed)
    assert running.answer(running.stop(), CancelAnswer).verdict is Verdict.NOT_RUNNING
    assert running.answer(running.stop("t1"), CancelAnswer).turn == record
    assert running.answer(running.stop("a"), CancelAnswer).verdict is Verdict.NOT_RUNNING
    assert running.answer(running.shut(), SessionView).state is SessionState.CLOSED
    assert running.tell(TurnEnded(1, Returned())) == (CountStale(),)


def test_closing_quarantines_what_does_not_stop(running: Session) -> None:
    asker = running.shut()
    running.swallow()
    assert running.did() == [EndTurn, Quarantine, CloseStreams, Reply]
    assert running.one(CloseStreams).end == "Task unresponsive"
    assert len(running.answer(asker, SessionView).quarantined) == 1


def test_a_shutdown_may_give_less_grace_but_not_more(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN, grace=1.0)
    assert session.one(SetTimer).at == START + 0.5
    other = Session()
    other.send("t1")
    other.shut(SHUTDOWN, grace=100.0)
    assert other.one(SetTimer).at == START + GRACE / 2


def test_a_shutdown_shortens_the_ladder_and_keeps_its_rungs(running: Session) -> None:
    running.stop()
    running.shut(SHUTDOWN, grace=1.0)
    assert running.one(SetTimer).at == running.now + 0.5
    running.wait(0.5)
    assert running.did() == [CancelTurn, SetTimer]
    running.wait(0.5)
    assert running.did() == [EndTurn, Quarantine, Reply, CloseStreams, Reply]


def test_a_shutdown_late_in_the_ladder_does_not_lengthen_it(running: Session) -> None:
    running.stop()
    end_at = running.now + GRACE
    running.wait(GRACE / 2)
    running.shut(SHUTDOWN, grace=100.0)
    assert running.one(SetTimer).at == end_at


def test_a_close_without_a_grace_leaves_the_ladder_as_it_is(running: Session) -> None:
    running.stop()
    again_at = running.now + GRACE / 2
    running.shut()
    assert running.one(SetTimer).at == again_at


# -- Longer runs --------------------------------------------------------------------------------------

IDS = st.sampled_from([TurnId(f"c{n}") for n in range(4)])
REASONS = st.sampled_from([USER, ADMIN, POLICY, GONE])
GRACES = st.sampled_from([0.0, 1.0, GRACE])
OUTCOMES = st.sampled_from([Returned("r"), Raised(ValueError("v")), Stopped()])
MATCHES = st.sampled_from([None, None, None, "holder", "c0"])


class AnyLife(RuleBasedStateMachine):
    """Any messages at any times, far longer than the search can look."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(replace(LIMITS, kept_turns=3, turn_retention=50.0, early_cancels=3))
        self.sent = 0
        self.epochs: list[int] = []

    def match(self, match: str | None) -> str | None:
        if match == "holder" and self.session.facts.holder is not None:
            return self.session.facts.holder.turn_id
        return match

    def submit(self, spec: TurnSpec, strategy: Strategy, wait: bool, match: str | None) -> None:
        self.session.ask(Submit(spec, strategy, wait, self.match(match)))

    @rule(
        strategy=st.sampled_from(Strategy),
        wait=st.booleans(),
        timeout=st.sampled_from([None, 0.0, 3.0]),
        grace=GRACES,
        match=MATCHES,
    )
    def send(
        self, strategy: Strategy, wait: bool, timeout: float | None, grace: float, match: str | None
    ) -> None:
        self.sent += 1
        turn_id = TurnId(f"s{self.sent}")
        spec = TurnSpec(SessionId("s"), turn_id, "hi", "u", "agent", self.session.now, timeout, grace)
        self.submit(spec, strategy, wait, match)

    @rule(
        turn_id=IDS,
        strategy=st.sampled_from(Strategy),
        wait=st.booleans(),
        fingerprint=st.sampled_from([b"1", b"1", b"2"]),
        match=MATCHES,
    )
    def send_again(
        self, turn_id: TurnId, strategy: Strategy, wait: bool, fingerprint: bytes, match: str | None
    ) -> None:
        now = self.session.now
        spec = TurnSpec(SessionId("s"), turn_id, "hi", "u", "agent", now, None, GRACE, fingerprint)
        self.submit(spec, strategy, wait, match)

    @rule(reason=REASONS, wait=st.booleans(), match=MATCHES)
    def stop(self, reason: Reason, wait: bool, match: str | None) -> None:
        self.session.ask(Stop(None, reason, wait, self.match(match)))

    @rule(turn_id=IDS, reason=REASONS, wait=st.booleans())
    def stop_some(self, turn_id: TurnId, reason: Reason, wait: bool) -> None:
        self.session.ask(Stop(turn_id, reason, wait))

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule(reason=REASONS, wait=st.booleans())
    def stop_the_holder(self, reason: Reason, wait: bool) -> None:
        assert self.session.facts.holder is not None
        self.session.ask(Stop(self.session.facts.holder.turn_id, reason, wait))

    @precondition(lambda self: self.session.facts.waiting is not None)
    @rule(reason=REASONS, wait=st.booleans())
    def stop_the_successor(self, reason: Reason, wait: bool) -> None:
        assert self.session.facts.waiting is not None
        self.session.ask(Stop(self.session.facts.waiting.turn_id, reason, wait))

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule(outcome=OUTCOMES)
    def holder_ends(self, outcome: Outcome) -> None:
        self.session.tell(TurnEnded(self.session.facts.epoch, outcome))

    @precondition(lambda self: self.epochs)
    @rule(outcome=OUTCOMES, data=st.data())
    def some_turn_ends(self, outcome: Outcome, data: st.DataObject) -> None:
        self.session.tell(TurnEnded(data.draw(st.sampled_from(self.epochs)), outcome))

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 2.0, 31.0, 51.0]))
    def time_passes(self, seconds: float) -> None:
        self.session.now += seconds

    @rule()
    def tick(self) -> None:
        self.session.tell(Tick())

    @precondition(lambda self: self.session.facts.timer is not None)
    @rule()
    def due_tick(self) -> None:
        self.session.now = max(self.session.now, self.session.facts.timer or 0.0)
        self.session.tell(Tick())

    # A closed session has little to tell: most lives should stay open for long.
    @precondition(lambda self: self.sent > 8)
    @rule(reason=st.sampled_from([CLOSE, SHUTDOWN]), grace=st.sampled_from([None, 0.0, 1.0, 100.0]))
    def shut(self, reason: Reason, grace: float | None) -> None:
        self.session.ask(Shut(reason, grace))

    @invariant()
    def memory_is_bounded(self) -> None:
        memory = self.session.state.memory
        assert len(memory.records) <= 3
        assert len(memory.early) <= 3

    @invariant()
    def all_epochs_are_known(self) -> None:
        if self.session.facts.last_epoch not in {0, *self.epochs[-1:]}:
            self.epochs.append(self.session.facts.last_epoch)

    def teardown(self) -> None:
        """Left alone, the session comes to rest, and everyone has an answer."""
        for _ in range(8):
            if self.session.facts.due() is not None:
                self.due_tick()
        if self.session.facts.holder is not None:
            self.session.tell(TurnEnded(self.session.facts.epoch, Returned()))
        assert len(self.session.answers) == self.session.askers


AnyLife.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyLife = AnyLife.TestCase
