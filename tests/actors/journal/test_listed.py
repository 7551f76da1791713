from turnkeeper.actors.journal.durable import Durable, OpenTurn
from turnkeeper.actors.journal.listed import state_of, turns_of
from turnkeeper.actors.model.records import (
    Cancellation,
    Reason,
    SessionId,
    TurnHead,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.words import CancelCode, SessionState, TurnStatus

REASON = Reason(CancelCode.USER_REQUEST, "ada")


def head(turn: str) -> TurnHead:
    return TurnHead(TurnId(turn), "ada", "default", 1.0)


def spec(turn: str) -> TurnSpec:
    return TurnSpec(head(turn), SessionId("s1"), "hello", None, 5.0)


def test_the_state_is_that_of_the_turn_that_holds_the_session() -> None:
    holder = OpenTurn(spec("t1"), 7, 1.0)
    stopped = OpenTurn(spec("t1"), 7, 1.0, cancellation=Cancellation(REASON, 2.0))
    assert state_of(Durable("ada")) is SessionState.IDLE
    assert state_of(Durable("ada", holder=holder)) is SessionState.RUNNING
    assert state_of(Durable("ada", holder=stopped)) is SessionState.CANCELLING
    assert state_of(Durable("ada", closed=REASON)) is SessionState.CLOSED


def test_turns_are_listed_whether_they_have_ended_or_not() -> None:
    durable = Durable(
        "ada",
        7,
        records=(TurnRecord(head("t1"), 5, TurnStatus.COMPLETED),),
        quarantined=(TurnRecord(head("t2"), 6, TurnStatus.UNRESPONSIVE),),
        holder=OpenTurn(spec("t3"), 7, 3.0, 2.5, cancellation=Cancellation(REASON, 4.0)),
        front=OpenTurn(spec("t4"), queued_at=4.0),
    )
    assert [(turn.turn_id, turn.status) for turn in turns_of(durable)] == [
        ("t1", TurnStatus.COMPLETED),
        ("t2", TurnStatus.UNRESPONSIVE),
        ("t3", TurnStatus.CANCELLING),
        ("t4", TurnStatus.QUEUED),
    ]
    held, queued = turns_of(durable)[2:]
    assert (held.epoch, held.started_at, held.queued_at, held.reason) == (7, 3.0, 2.5, REASON)
    assert (queued.epoch, queued.started_at, queued.queued_at) == (None, None, 4.0)
    held = turns_of(Durable("ada", holder=OpenTurn(spec("t3"), 7, 3.0)))[0]
    assert held.status is TurnStatus.RUNNING
