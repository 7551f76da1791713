"""The life of one session, as stories; the monitor of the search watches each of them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.actors.session.stories import ADMIN, CLOSE, GONE, GRACE, POLICY, SHUTDOWN, START, USER, Session
from tests.turns import LIMITS, spec
from turnkeeper.actors.model.exceptions import SessionClosed, StageFailed
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    SessionView,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    TurnReturned,
    WoundUp,
)
from turnkeeper.actors.model.records import (
    Extras,
    KeptResult,
    Outcome,
    Raised,
    Reason,
    Returned,
    SessionId,
    Stopped,
    TurnError,
    TurnId,
    TurnSpec,
    Usage,
)
from turnkeeper.actors.model.words import CancelCode, SessionState, Strategy, TurnStatus, Verdict
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    EndTurn,
    NoteClosed,
    Quarantine,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.states import Closed, Idle, Memory
from turnkeeper.actors.session.views import state_name

# -- A send to an idle session ----------------------------------------------------------------------


def test_an_idle_session_starts_what_is_sent_and_says_so(session: Session) -> None:
    asker = session.send("t1")
    assert session.did() == [StartTurn, Reply]
    start = session.one(StartTurn)
    assert (start.spec.turn_id, start.epoch, start.started_at) == ("t1", 1_000_000, session.now)
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
    assert record.result == KeptResult(42, footprint(42))
    assert (record.submitted_at, record.started_at, record.ended_at) == (START, START, START + 1.0)
    assert record.cancel_requested_at is None
    assert running.one(EndTurn).outcome == Returned(42)
    assert running.state == Idle(
        Memory(running.state.memory.home, record.epoch or 0, (record,), results=footprint(42))
    )


def test_a_turn_that_raises_is_failed_with_its_code_and_type(running: Session) -> None:
    record = running.end(Raised(ValueError("secret"), "MODEL_DOWN"))
    assert (record.status, record.error) == (TurnStatus.FAILED, TurnError("MODEL_DOWN", "ValueError"))


def test_a_cancellation_without_a_cancel_is_a_failure(running: Session) -> None:
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


def test_the_record_of_a_failed_turn_has_the_error_after_a_cancel_too(cancelling: Session) -> None:
    assert cancelling.end(Raised(KeyError())).error == TurnError("AGENT_ERROR", "KeyError")


def test_the_record_of_a_turn_that_a_stage_failed_names_the_stage_and_the_error(running: Session) -> None:
    failed = StageFailed("stage x:y failed", stage="x:y")
    failed.__cause__ = KeyError()
    assert running.end(Raised(failed, "stage_failed")).error == TurnError("stage_failed", "KeyError", "x:y")


@pytest.mark.parametrize("outcome", [Returned(), Raised(ValueError()), Stopped()])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("began", [False, True])
def test_the_end_of_a_turn_brings_the_moment_of_its_first_event_and_whether_it_began(
    running: Session, outcome: Outcome, stopped: bool, began: bool
) -> None:
    if stopped:
        running.stop()
    running.tell(TurnEnded(running.epoch, outcome, 1_000.5, began))
    record = running.one(EndTurn).record
    assert (record.first_event_at, record.began) == (1_000.5, began)
    assert running.records[-1] == record


@pytest.mark.parametrize("began", [False, True])
def test_the_tick_that_gives_a_turn_up_brings_the_same(cancelling: Session, began: bool) -> None:
    cancelling.wait(GRACE / 2)
    cancelling.now += GRACE / 2
    cancelling.tell(Tick(1_000.5, began))
    record = cancelling.one(EndTurn).record
    assert (record.first_event_at, record.began) == (1_000.5, began)
    assert record.epoch is not None
    cancelling.tell(TurnEnded(record.epoch, Stopped(), 1_000.5, began))
    late = cancelling.records[-1]
    assert (late.first_event_at, late.began) == (1_000.5, began)


def test_a_turn_that_waited_for_another_says_since_when(running: Session) -> None:
    running.now += 1.0
    running.send("t2")
    asked = running.now
    assert running.one(AnnounceQueued).queued_at == asked
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


# -- How the streams end ----------------------------------------------------------------------------


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


def test_streams_end_with_unresponsive_when_a_task_does_not_stop(running: Session) -> None:
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
    lasts = [] if reason == SHUTDOWN else [NoteClosed]
    assert session.did() == [*lasts, CloseStreams, Reply]
    assert session.one(CloseStreams).end == text
    assert session.answer(asker, SessionView).state is SessionState.CLOSED
    assert isinstance(session.state, Closed)
    assert session.state.reason == reason


@pytest.mark.parametrize(("outcome", "text"), [(Stopped(), "Task cancelled"), (Returned(), "Task finished")])
def test_closing_cancels_first(running: Session, outcome: Outcome, text: str) -> None:
    asker = running.shut()
    cancel = CancelTurn(TurnId("t1"), running.epoch, CLOSE, running.now)
    assert running.effects == (cancel, SetTimer(running.now + GRACE / 2))
    assert asker not in running.answers
    record = running.end(outcome)
    assert running.did() == [EndTurn, NoteClosed, CloseStreams, Reply]
    assert running.one(CloseStreams).end == text
    view = running.answer(asker, SessionView)
    assert (view.state, view.turn, view.recent) == (SessionState.CLOSED, record, (record,))


def test_shutdown_closes_every_stream(running: Session) -> None:
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


@pytest.mark.parametrize("order", [(CLOSE, SHUTDOWN), (SHUTDOWN, CLOSE)])
def test_a_close_holds_for_good_whatever_a_shutdown_does(
    running: Session, order: tuple[Reason, Reason]
) -> None:
    for reason in order:
        running.shut(reason)
    running.end(Stopped())
    assert running.one(NoteClosed) == NoteClosed(CLOSE, running.now)


def test_a_shutdown_closes_for_now_and_a_close_after_it_for_good(session: Session) -> None:
    session.shut(SHUTDOWN)
    assert not session.all(NoteClosed)
    session.shut(CLOSE)
    assert session.one(NoteClosed) == NoteClosed(CLOSE, session.now)
    for reason in (CLOSE, SHUTDOWN):
        session.shut(reason)
        assert session.did() == [Reply]


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
    assert running.did() == [EndTurn, Quarantine, NoteClosed, CloseStreams, Reply]
    assert running.one(CloseStreams).end == "Task unresponsive"
    assert len(running.answer(asker, SessionView).quarantined) == 1


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
        #: How many critical sections were asked for.
        self.held = 0
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
        now = self.session.now
        self.submit(
            spec(f"s{self.sent}", submitted_at=now, timeout=timeout, grace=grace), strategy, wait, match
        )

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
        sent = spec(turn_id, submitted_at=self.session.now, grace=GRACE, fingerprint=fingerprint)
        self.submit(sent, strategy, wait, match)

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

    @precondition(lambda self: self.session.facts.line)
    @rule(reason=REASONS, wait=st.booleans(), data=st.data())
    def stop_one_that_waits(self, reason: Reason, wait: bool, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(self.session.facts.line))
        self.session.ask(Stop(turn.turn_id, reason, wait))

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule(outcome=OUTCOMES)
    def holder_ends(self, outcome: Outcome) -> None:
        self.session.tell(TurnEnded(self.session.facts.epoch, outcome))

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule(outcome=OUTCOMES)
    def holder_ends_with_hooks(self, outcome: Outcome) -> None:
        extras = Extras(usage=Usage(1, 2))
        self.session.tell(TurnEnded(self.session.facts.epoch, outcome, extras=extras, winds=True))

    @precondition(lambda self: self.session.facts.winds is not None)
    @rule(failed=st.integers(0, 1))
    def hooks_have_run(self, failed: int) -> None:
        self.session.tell(WoundUp(self.session.facts.epoch, failed))

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule()
    def holder_returns(self) -> None:
        self.session.tell(TurnReturned(self.session.facts.epoch))

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule(span=st.sampled_from([None, 0.0, 1.0, 99.0]), inside=st.integers(0, 3))
    def hold(self, span: float | None, inside: int) -> None:
        self.held += 1
        self.session.hold(self.held, span, self.held - inside if inside else None)

    @precondition(lambda self: self.session.facts.sections)
    @rule(data=st.data())
    def unhold(self, data: st.DataObject) -> None:
        self.session.unhold(data.draw(st.sampled_from(self.session.facts.sections)).number)

    @precondition(lambda self: self.session.facts.holder is not None)
    @rule()
    def stop_by_force(self) -> None:
        self.session.ask(Stop(None, ADMIN, wait=False, force=True))

    @precondition(lambda self: self.epochs)
    @rule(outcome=OUTCOMES, data=st.data())
    def some_turn_ends(self, outcome: Outcome, data: st.DataObject) -> None:
        self.session.tell(TurnEnded(data.draw(st.sampled_from(self.epochs)), outcome))

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 2.0, 31.0, 51.0]))
    def time_passes(self, seconds: float) -> None:
        self.session.now += seconds

    @rule(winds=st.booleans())
    def tick(self, winds: bool) -> None:
        self.session.tell(Tick(winds=winds))

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
