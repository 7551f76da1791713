"""What a reader's stream does when a `close` is due, for every reader and every end."""

from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.actors.events.reaction import Reaction, close_on_named, reaction
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import CloseOn, StreamEnd, is_final

FINAL = [end for end in StreamEnd if is_final(end)]
OF_A_TURN = [end for end in StreamEnd if not is_final(end)]


@pytest.mark.parametrize("close_on", CloseOn)
@pytest.mark.parametrize("end", FINAL)
def test_an_end_that_is_final_ends_every_stream(close_on: CloseOn, end: StreamEnd) -> None:
    assert reaction(close_on, end, superseded=False) is Reaction.END


@pytest.mark.parametrize("end", OF_A_TURN)
def test_the_end_of_a_cancelled_turn_is_said_to_every_reader_and_leaves_open_what_is_to_stay_open(
    end: StreamEnd,
) -> None:
    found = {close_on: reaction(close_on, end, superseded=False) for close_on in CloseOn}
    assert found == {
        CloseOn.CANCELLED: Reaction.END,
        CloseOn.SUPERSEDED: Reaction.END,
        CloseOn.NEVER: Reaction.GO_ON,
    }


@pytest.mark.parametrize("end", OF_A_TURN)
def test_the_end_of_a_superseded_turn_concerns_only_those_who_asked_for_it(end: StreamEnd) -> None:
    found = {close_on: reaction(close_on, end, superseded=True) for close_on in CloseOn}
    assert found == {
        CloseOn.CANCELLED: Reaction.PASS_OVER,
        CloseOn.SUPERSEDED: Reaction.END,
        CloseOn.NEVER: Reaction.PASS_OVER,
    }


@pytest.mark.parametrize("close_on", CloseOn)
def test_every_word_is_known_by_its_name(close_on: CloseOn) -> None:
    assert close_on_named(close_on.value) is close_on


@pytest.mark.parametrize("name", ["", "Never", "sometimes", None, 0, True, ["never"]], ids=plain)
def test_any_other_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidRequest, match="cancelled, superseded, never") as caught:
        close_on_named(name)
    assert caught.value.field == "close_on"
