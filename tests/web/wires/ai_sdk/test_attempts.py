"""What of a turn stands that was started more than once."""

from typing import Any

import pytest

from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.web.wires.ai_sdk.attempts import Attempts
from turnkeeper.web.wires.said import CutOff, Ended, Started, StreamClosed, Text

ENDED: Any = Ended(TurnStatus.COMPLETED, {}, None)  # type: ignore[typeddict-item]
CLOSED = StreamClosed(None)
AGAIN, GOES_ON = CutOff(from_start=True), CutOff(from_start=False)


def taken(attempt: int, *said: Any) -> list[list[Any]]:
    attempts = Attempts(attempt)
    return [attempts.take(each) for each in said]


def test_what_is_said_in_the_present_stands_at_once() -> None:
    assert taken(1, Started(1), Text("a"), ENDED) == [[Started(1)], [Text("a")], [ENDED]]


def test_what_was_said_before_a_restart_stands_where_the_turn_goes_on() -> None:
    assert taken(2, Started(1), Text("a"), GOES_ON, Started(2), Text("b")) == [
        [],
        [],
        [Started(1), Text("a"), GOES_ON],
        [Started(2)],
        [Text("b")],
    ]


@pytest.mark.parametrize("attempt", [2, 3])
def test_what_will_be_said_again_does_not_stand(attempt: int) -> None:
    said = [Started(1), Text("a"), AGAIN] * (attempt - 1)
    assert taken(attempt, *said, Started(attempt), Text("b"))[-2:] == [[Started(attempt)], [Text("b")]]
    assert not any(taken(attempt, *said))


def test_it_stands_after_all_if_the_turn_ends_before_it_says_that_again() -> None:
    assert taken(2, Started(1), Text("a"), AGAIN, ENDED)[-1] == [Started(1), Text("a"), ENDED]


def test_a_restart_that_comes_while_it_is_read_is_passed_on() -> None:
    assert taken(1, Started(1), AGAIN) == [[Started(1)], [AGAIN]]
    assert taken(1, Started(1), GOES_ON) == [[Started(1)], [GOES_ON]]


def test_what_is_held_stands_at_the_end_of_the_stream() -> None:
    assert taken(2, Started(1), Text("a"), CLOSED)[-1] == [Started(1), Text("a"), CLOSED]
