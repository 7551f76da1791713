"""When a session has to look again."""

import pytest

from tests.turns import cancelling, memory, running, spec
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session.due import due, rung_due
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.states import Again, Asked, Closed, Closing, Idle, Queued, State

SHUTDOWN = Reason(CancelCode.SHUTDOWN)
MEMORY = memory()
AT_SIX = Line(later=(Waiting(spec("l"), not_before=6.0), Waiting(spec("m"), not_before=8.0)))
RUNNING = running(spec(), deadline=9.0, memory=MEMORY)
ENDING = cancelling(RUNNING, SHUTDOWN, phase=Asked(5.0, 7.0))


@pytest.mark.parametrize(
    ("state", "moment"),
    [
        (Idle(MEMORY), None),
        (Closed(MEMORY, SHUTDOWN, left=AT_SIX), None),
        (RUNNING, 9.0),
        (replace(RUNNING, deadline=None), None),
        (replace(RUNNING, line=AT_SIX), 6.0),
        (replace(RUNNING, deadline=None, line=AT_SIX), 6.0),
        (replace(RUNNING, deadline=5.0, line=AT_SIX), 5.0),
        (ENDING, 5.0),
        (replace(ENDING, phase=Again(7.0), line=AT_SIX), 6.0),
        (replace(ENDING, phase=Again(7.0), line=AT_SIX, closing=Closing(SHUTDOWN, ())), 7.0),
        (Queued(MEMORY, AT_SIX), 6.0),
        (Queued(MEMORY, replace(AT_SIX, front=Waiting(spec("f"), 2, not_before=3.0))), 3.0),
    ],
)
def test_the_first_moment_of_all_that_it_waits_for_counts(state: State, moment: float | None) -> None:
    assert due(state) == moment


def test_the_next_rung_is_the_one_not_taken_yet() -> None:
    assert [rung_due(phase) for phase in (Asked(5.0, 7.0), Again(7.0))] == [5.0, 7.0]
