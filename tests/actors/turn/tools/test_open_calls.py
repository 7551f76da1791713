"""Which calls of tools are open, and for how long they went on."""

from turnkeeper.actors.model.records import ToolCall
from turnkeeper.actors.model.words import ToolStatus
from turnkeeper.actors.turn.tools.open_calls import OpenCalls

ONE, TWO = ToolCall("1", "search"), ToolCall("2", "fetch")


def test_a_call_is_open_until_it_ends_however_it_does() -> None:
    calls = OpenCalls()
    calls.begin(ONE, 10.0)
    calls.begin(TWO, 11.0)
    assert (calls.open, calls.running, "1" in calls, len(calls)) == ((ONE, TWO), (ONE, TWO), True, 2)
    assert calls.end("1", ToolStatus.DONE, 12.5, stopped=True) == 2.5
    assert calls.end("2", ToolStatus.FAILED, 12.5, stopped=True) == 1.5
    assert (calls.open, "1" in calls, len(calls)) == ((), False, 0)


def test_a_call_that_a_stop_has_cut_off_stays_open_and_goes_on_no_more() -> None:
    calls = OpenCalls()
    calls.begin(ONE, 10.0)
    calls.begin(TWO, 10.0)
    calls.end("2", ToolStatus.CANCELLED, 11.0, stopped=True)
    assert (calls.open, calls.running, "2" in calls) == ((TWO, ONE), (ONE,), True)


def test_a_call_that_the_agent_has_cut_off_itself_is_not_open() -> None:
    calls = OpenCalls()
    calls.begin(ONE, 10.0)
    calls.end("1", ToolStatus.CANCELLED, 11.0, stopped=False)
    assert calls.open == ()
