"""What a decision adds to the log of its session."""

from typing import Any

import msgspec
import pytest

from tests.actors.session.stories import CLOSE, GRACE, SHUTDOWN, START, USER, Session
from tests.fakes import plain
from tests.turns import head, record
from tests.turns import spec as make_spec
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.journal.derive import NOTHING_SEALED, Sealed, entries_of
from turnkeeper.actors.journal.entries import (
    Accepted,
    CancelAsked,
    EarlyCancel,
    Ended,
    EndedLate,
    Entry,
    SessionClosed,
    Spec,
    Started,
    decode,
    encode,
)
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import TurnEnded, TurnReturned, WoundUp
from turnkeeper.actors.model.records import (
    Cancellation,
    Extras,
    KeptResult,
    LateEnd,
    Raised,
    Reason,
    Returned,
    StillRunning,
    Stopped,
    TurnError,
    TurnId,
    Usage,
)
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.session.effects import EndTurn, StartTurn

T1, T2 = TurnId("t1"), TurnId("t2")
EPOCH = int(START * 1000)
SUPERSEDED = Reason(CancelCode.SUPERSEDED, "ada")


def spec(turn_id: str, submitted_at: float = START, timeout: float | None = None) -> Spec:
    return Spec(head(turn_id, submitted_at=submitted_at), "hi", GRACE, timeout)


def derived(session: Session, sealed: Sealed = NOTHING_SEALED) -> tuple[Entry, ...]:
    """The entries of the session's last decision."""
    return entries_of(session.effects, lambda _end: sealed)


def test_a_send_to_a_session_at_rest_is_one_entry_with_the_message(session: Session) -> None:
    session.send("t1", timeout=9.0)
    assert derived(session) == (Started(T1, EPOCH, START, spec("t1", timeout=9.0)),)


@pytest.mark.parametrize(
    "message", ["é", "\U0001f350", [{"type": "text", "text": "hi"}], {None: 1, True: (2, 2**70)}]
)
def test_a_message_is_written_as_events_show_it(message: Any) -> None:
    started = StartTurn(make_spec("t1", message=message), 7, START)
    (entry,) = entries_of((started,), lambda _end: NOTHING_SEALED)
    read = decode(encode(entry))
    assert isinstance(read, Started)
    assert read.spec is not None
    assert to_json(read.spec.message) == to_json(message)


@pytest.mark.parametrize("message", [float("nan"), object(), "\ud800", [{"text": "\udc00"}]], ids=plain)
def test_a_message_that_json_cannot_say_is_not_written_as_another(message: Any) -> None:
    started = StartTurn(make_spec("t1", message=message), 7, START)
    with pytest.raises(EventNotJson):
        entries_of((started,), lambda _end: NOTHING_SEALED)


def test_the_usual_end_is_one_entry(running: Session) -> None:
    running.now += 1.0
    running.end()
    sealed = Sealed(7, 2, msgspec.Raw(b'["hi","done"]'), msgspec.Raw(b'{"n":1}'), msgspec.Raw(b'"done"'))
    (entry,) = derived(running, sealed)
    size = running.records[-1].result
    assert size is not None
    assert entry == Ended(
        T1,
        TurnStatus.COMPLETED,
        START + 1.0,
        n=7,
        result=sealed.result,
        result_size=size.size,
        keep=2,
        add=sealed.add,
        data=sealed.data,
    )


def test_a_cancel_is_written_when_it_is_asked_for_and_not_again_when_it_is_delivered(
    running: Session,
) -> None:
    running.hold()
    running.stop("t1", wait=False)
    assert derived(running) == (CancelAsked(T1, USER, START),)
    running.now += 1.0
    running.unhold()
    assert derived(running) == ()
    running.now += 1.0
    running.end(Stopped())
    (entry,) = derived(running)
    assert isinstance(entry, Ended)
    assert entry.cancellation == Cancellation(USER, START, delivered_at=START + 1.0)


def test_a_cancel_for_this_process_only_is_not_written_while_it_waits_either(running: Session) -> None:
    running.hold()
    running.shut(SHUTDOWN, 2.0)
    assert derived(running) == ()
    running.wait(1.0)
    assert derived(running) == ()


def test_a_cancel_of_a_turn_that_has_returned_by_itself_is_written(running: Session) -> None:
    running.tell(TurnReturned(running.epoch))
    assert derived(running) == ()
    running.stop("t1", wait=False)
    assert derived(running) == (CancelAsked(T1, USER, START),)


def test_an_end_has_what_else_is_known_of_the_turn(running: Session) -> None:
    extras = Extras(usage=Usage(1, 2), still_running=StillRunning(threads=1))
    running.tell(TurnEnded(running.epoch, Returned(), extras=extras, winds=True))
    assert derived(running) == ()
    running.tell(WoundUp(running.epoch))
    (entry,) = derived(running)
    assert isinstance(entry, Ended)
    assert entry.extras == extras


def test_an_end_says_why_and_how(running: Session) -> None:
    running.stop()
    running.now += 1.0
    running.end(Raised(OSError()))
    assert derived(running, Sealed(3)) == (
        Ended(
            T1,
            TurnStatus.FAILED,
            START + 1.0,
            n=3,
            cancellation=Cancellation(USER, START),
            error=TurnError("AGENT_ERROR", "OSError"),
        ),
    )


@pytest.mark.parametrize(
    ("result", "sealed", "left_out"),
    [
        (KeptResult(None, 0, left_out=True), Sealed(result=msgspec.Raw(b'"much"')), True),  # its event has it
        (KeptResult(None, 0, left_out=True), NOTHING_SEALED, True),
        (KeptResult(object(), 16), NOTHING_SEALED, True),
        (None, NOTHING_SEALED, False),
    ],
)
def test_a_result_that_its_record_does_not_have_is_marked(
    result: KeptResult | None, sealed: Sealed, left_out: bool
) -> None:
    ended = EndTurn(record("t1", ended_at=2.0, result=result), Returned("much"))
    (entry,) = entries_of((ended,), lambda _end: sealed)
    assert isinstance(entry, Ended)
    assert (entry.result, entry.result_size, entry.result_left_out) == (sealed.result, 0, left_out)


def test_a_send_that_supersedes_asks_one_turn_to_stop_and_waits(running: Session) -> None:
    running.now += 1.0
    running.send("t2")
    assert derived(running) == (
        CancelAsked(T1, SUPERSEDED, START + 1.0),
        Accepted(spec("t2", START + 1.0), START + 1.0),
    )


def test_a_turn_that_waited_starts_without_its_message(running: Session) -> None:
    running.send("t2")
    running.now += 1.0
    running.end(Stopped())
    ended, started = derived(running)
    assert isinstance(ended, Ended)
    assert (ended.turn_id, ended.superseded_by) == (T1, T2)
    assert started == Started(T2, EPOCH + 1000, START + 1.0)


def test_a_turn_that_is_dropped_ends_without_a_number(running: Session) -> None:
    running.send("t2")
    running.stop("t2")
    asked = Cancellation(USER, START)
    assert derived(running) == (Ended(T2, TurnStatus.CANCELLED, START, cancellation=asked, began=False),)


def test_a_turn_whose_cancel_came_first_brings_its_head(session: Session) -> None:
    session.stop("t1")
    assert derived(session) == (EarlyCancel(T1, USER, START),)
    session.send("t1", fingerprint=b"1")
    (entry,) = derived(session)
    assert isinstance(entry, Ended)
    assert entry.head == head("t1", submitted_at=START, fingerprint=b"1")
    assert entry.cancellation == Cancellation(USER, START)


def test_of_the_ladder_only_the_first_rung_is_an_entry(running: Session) -> None:
    running.stop()
    assert derived(running) == (CancelAsked(T1, USER, START),)
    running.stop()
    assert derived(running) == ()
    running.wait(GRACE / 2)
    assert derived(running) == ()
    running.wait(GRACE / 2)
    (entry,) = derived(running, Sealed(1))
    assert isinstance(entry, Ended)
    assert (entry.status, entry.n) == (TurnStatus.UNRESPONSIVE, 1)
    assert entry.cancellation == Cancellation(USER, START, START + GRACE / 2)


def test_the_end_of_a_turn_that_was_given_up_is_an_entry(running: Session) -> None:
    running.stop()
    epoch = running.swallow()
    running.now += 1.0
    running.tell(TurnEnded(epoch, Returned()))
    assert derived(running) == (EndedLate(T1, LateEnd(TurnStatus.COMPLETED, START + GRACE + 1.0)),)


def test_a_close_is_an_entry_once_it_has_happened(running: Session) -> None:
    running.shut(CLOSE)
    assert derived(running) == (CancelAsked(T1, CLOSE, START),)
    running.now += 1.0
    running.end(Stopped())
    ended, closed = derived(running)
    assert isinstance(ended, Ended)
    assert closed == SessionClosed(CLOSE, START + 1.0)


def test_a_shutdown_neither_cancels_nor_closes(running: Session) -> None:
    running.shut(SHUTDOWN)
    assert derived(running) == ()
    running.end(Stopped())
    (ended,) = derived(running)
    assert isinstance(ended, Ended)
    assert ended.cancellation == Cancellation(SHUTDOWN, START)


def test_a_cancel_during_a_shutdown_is_an_entry(running: Session) -> None:
    running.shut(SHUTDOWN)
    running.now += 1.0
    running.stop()
    assert derived(running) == (CancelAsked(T1, USER, START + 1.0),)


def test_what_changes_nothing_adds_nothing(running: Session) -> None:
    running.send("t2", if_match="another")
    assert derived(running) == ()
    running.wait(1.0)
    assert derived(running) == ()
    running.end()
    running.tell(TurnEnded(EPOCH, Returned()))
    assert derived(running) == ()
