"""Which replies of a session a page waits for."""

from typing import Any

import pytest

from tests.turns import record
from turnkeeper.actors.model.messages import SessionView
from turnkeeper.actors.model.records import Cancellation, Reason, SessionId, TurnRecord
from turnkeeper.actors.model.words import CancelCode, SessionState, TurnStatus
from turnkeeper.web.wires.ai_sdk.session import awaited, going_on

RUNS = record("t1", status=TurnStatus.RUNNING)
WAITS = [record(name, None, TurnStatus.QUEUED) for name in ("t2", "t3")]


def stopped(code: CancelCode) -> TurnRecord:
    return record("t1", status=TurnStatus.CANCELLING, cancellation=Cancellation(Reason(code), 3.0))


def view(turn: TurnRecord | None, *queue: TurnRecord) -> SessionView:
    return SessionView(SessionId("c1"), "ada", SessionState.RUNNING, turn, queue)


@pytest.mark.parametrize(
    ("of", "names"),
    [
        (None, []),
        (view(None), []),
        (view(record("t1")), []),
        (view(RUNS), ["t1"]),
        (view(RUNS, *WAITS), ["t1"]),
        (view(None, *WAITS), ["t2"]),
        (view(record("t1"), *WAITS), ["t2"]),
        (view(stopped(CancelCode.USER_REQUEST), *WAITS), ["t1"]),
        (view(stopped(CancelCode.SUPERSEDED)), ["t1"]),
        (view(stopped(CancelCode.SUPERSEDED), *WAITS), ["t1", "t2"]),
    ],
)
def test_it_is_the_one_in_flight_or_that_which_takes_its_place(of: Any, names: list[str]) -> None:
    assert [turn.turn_id for turn in going_on(of)] == names
    last = awaited(of)
    assert (None if last is None else last.turn_id) == (names[-1] if names else None)
