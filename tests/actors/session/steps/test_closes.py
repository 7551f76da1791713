"""What a close and a shutdown do with those who wait in line."""

import pytest

from tests.turns import memory, running, spec
from turnkeeper.actors.model.messages import Shut
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session.effects import CancelTurn, EndTurn, NoteClosed
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.states import Closed, Ending, Queued
from turnkeeper.actors.session.steps import closes

CLOSE, SHUTDOWN = Reason(CancelCode.SESSION_CLOSED, "u"), Reason(CancelCode.SHUTDOWN)
MEMORY = memory()
KEPT = replace(MEMORY, home=replace(MEMORY.home, limits=replace(MEMORY.home.limits, durable=True)))
LINE = Line(
    None, (Waiting(spec("b"), 1, 1.0), Waiting(spec("c"), 1, 2.0)), (Waiting(spec("d"), 1, 3.0, None, 9.0),)
)


def ended(effects: object) -> list[str]:
    return [each.record.turn_id for each in effects if isinstance(each, EndTurn)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kept", "reason"),
    [(MEMORY, CLOSE), (MEMORY, SHUTDOWN), (KEPT, CLOSE)],
    ids=["close", "shutdown", "journal"],
)
def test_those_who_wait_are_dropped_in_their_order(kept: object, reason: Reason) -> None:
    state = replace(running(spec(), deadline=None, memory=kept), line=LINE)  # type: ignore[arg-type]
    after, effects = closes.running(state, Shut(reason), 5.0, None)
    assert isinstance(after, Ending)
    assert (ended(effects), after.line) == (["b", "c", "d"], None)
    assert isinstance(effects[3], CancelTurn)


def test_over_a_shutdown_those_who_wait_are_left_to_another_process() -> None:
    state = replace(running(spec(), deadline=None, memory=KEPT), line=LINE)
    after, effects = closes.running(state, Shut(SHUTDOWN), 5.0, None)
    assert isinstance(after, Ending)
    assert (ended(effects), after.line) == ([], LINE)
    closed, _ = closes.queued(Queued(KEPT, LINE), Shut(SHUTDOWN), 5.0, None)
    assert isinstance(closed, Closed)
    assert closed.left == LINE


def test_a_close_for_good_after_a_shutdown_drops_those_who_were_left() -> None:
    after, effects = closes.closed(Closed(KEPT, SHUTDOWN, left=LINE), Shut(CLOSE), 6.0, None)
    assert isinstance(after, Closed)
    assert (ended(effects), after.left, after.for_good) == (["b", "c", "d"], None, CLOSE)
    assert isinstance(effects[3], NoteClosed)
