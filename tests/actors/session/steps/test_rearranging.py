"""Turns that wait are moved, and made to say something else."""

import pytest

from tests.turns import cancelling, memory, running, spec
from turnkeeper.actors.model.exceptions import TooMuchKept
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Edit, QueuedTurn, Rearrange
from turnkeeper.actors.model.records import Cancellation, Reason, TurnId
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, MoveTo, Place
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    CancelTurn,
    EditWaiting,
    EndTurn,
    MoveWaiting,
    Refuse,
    Reply,
    ReplyPlaced,
    StartTurn,
)
from turnkeeper.actors.session.line import Line, Waiting, waiting_turns
from turnkeeper.actors.session.machine import step
from turnkeeper.actors.session.states import Closed, Closing, Ending, Idle, Queued, Running, State
from turnkeeper.actors.session.views import line_of

SHUTDOWN = Reason(CancelCode.SHUTDOWN)
MEMORY = memory()
B, C, D = Waiting(spec("b"), 1, 1.0), Waiting(spec("c"), 1, 2.0), Waiting(spec("d"), 1, 3.0, None, 99.0)
LINE = Line(None, (B, C), (D,))
RUNNING = replace(running(spec("a"), memory=MEMORY), line=LINE)
FRONT = Waiting(spec("f"), 1, 3.0)
ENDING = replace(cancelling(running(spec("a"), memory=MEMORY), SHUTDOWN), line=replace(LINE, front=FRONT))


def moved(state: State, turn_id: str, to: MoveTo) -> tuple[State, tuple[object, ...]]:
    return step(state, Rearrange(TurnId(turn_id), "eve", to), 5.0)


def order(state: State) -> list[str]:
    return [turn.spec.turn_id for turn in waiting_turns(line_of(state))]


@pytest.mark.parametrize(
    ("turn_id", "to", "expected"),
    [
        ("c", MoveTo.FIRST, "cbd"),
        ("b", MoveTo.FIRST, "bcd"),
        ("d", MoveTo.FIRST, "dbc"),
        ("b", MoveTo.LAST, "cbd"),
        ("d", MoveTo.LAST, "bcd"),
    ],
)
def test_a_turn_is_moved_among_those_that_wait(turn_id: str, to: MoveTo, expected: str) -> None:
    after, effects = moved(RUNNING, turn_id, to)
    assert isinstance(after, Running)
    assert "".join(order(after)) == expected
    kinds = [type(effect) for effect in effects]
    assert kinds[:2] == [MoveWaiting, AnnouncePlaces]
    reply = effects[-1]
    assert isinstance(reply, Reply)
    assert "".join(queued.turn.turn_id for queued in reply.answer) == expected
    assert all(type(queued) is QueuedTurn for queued in reply.answer)


def test_one_that_waited_for_a_moment_waits_for_its_turn_from_then_on() -> None:
    after, _ = moved(RUNNING, "d", MoveTo.LAST)
    assert isinstance(after, Running)
    assert after.line == Line(None, (B, C, replace(D, not_before=None)))


def test_one_that_is_to_come_now_takes_the_place_of_the_turn_in_flight() -> None:
    after, effects = moved(RUNNING, "c", MoveTo.NOW)
    assert isinstance(after, Ending)
    assert after.line == Line(C, (B,), (D,))
    assert after.cancellation.reason == Reason(CancelCode.SUPERSEDED, "eve"), "who moved it, not who sent it"
    assert isinstance(effects[0], CancelTurn)
    assert MoveWaiting(TurnId("c"), Place.FRONT) in effects


def test_one_that_is_to_come_now_takes_the_place_of_the_one_called_up_too() -> None:
    after, effects = moved(ENDING, "c", MoveTo.NOW)
    assert isinstance(after, Ending)
    assert after.line == Line(C, (B,), (D,))
    (ended,) = [effect for effect in effects if isinstance(effect, EndTurn)]
    assert (ended.record.turn_id, ended.record.superseded_by) == ("f", "c")
    assert ended.record.cancellation == Cancellation(Reason(CancelCode.SUPERSEDED, "eve"), 5.0)


@pytest.mark.parametrize("to", MoveTo)
def test_where_nothing_is_in_its_way_a_turn_that_is_moved_starts(to: MoveTo) -> None:
    after, effects = moved(Queued(MEMORY, Line(later=(D,))), "d", to)
    assert isinstance(after, Running)
    assert (after.turn.spec.turn_id, after.line) == ("d", None)
    assert isinstance(effects[0], StartTurn)


def test_an_edited_turn_keeps_its_place_and_what_it_is_known_by() -> None:
    other = replace(C, spec=spec("c", fingerprint=b"f"))
    state = replace(RUNNING, line=Line(None, (B, other), (D,)))
    after, effects = step(state, Rearrange(TurnId("c"), "ada", None, Edit("other words", 7)), 5.0)
    assert isinstance(after, Running)
    assert after.line is not None
    edited = after.line.rest[1].spec
    assert (edited.message, edited.size, edited.fingerprint) == ("other words", 7, b"f")
    assert order(after) == ["b", "c", "d"]
    assert EditWaiting(edited, by="ada") in effects


@pytest.mark.parametrize("waits_for", ["the end of the one before it", "a slot"])
def test_one_that_is_called_up_can_be_edited_until_it_starts(waits_for: str) -> None:
    state: State = ENDING
    if waits_for == "a slot":
        state = Queued(MEMORY, replace(LINE, front=FRONT), Ticket(MEMORY.home.session_id, 1))
    after, effects = step(state, Rearrange(TurnId("f"), "ada", None, Edit("other words")), 5.0)
    edited = replace(FRONT, spec=replace(FRONT.spec, message="other words"))
    assert after == replace(state, line=replace(LINE, front=edited))
    assert [type(effect) for effect in effects] == [
        EditWaiting,
        Reply if waits_for != "a slot" else ReplyPlaced,
    ]


def test_one_that_was_cut_off_and_is_called_up_again_says_what_it_said() -> None:
    again = Queued(MEMORY, replace(LINE, front=replace(FRONT, attempt=2)))
    after, (refused,) = step(again, Rearrange(TurnId("f"), "ada", None, Edit("other words")), 5.0)
    assert after is again
    assert isinstance(refused, Refuse)
    assert refused.error.code == "NOT_WAITING"


def test_an_edited_turn_keeps_its_params_and_what_they_take() -> None:
    params = '{"seed":1}'
    sent = spec("c", params_json=params, size=5 + footprint(params))
    state = replace(RUNNING, line=Line(None, (B, replace(C, spec=sent))))
    full = TooMuchKept("full")
    for size, taken in ((6, False), (5, True), (4, True)):
        edit = Rearrange(TurnId("c"), "ada", None, Edit("other", size), no_room=full)
        after, effects = step(state, edit, 5.0)
        (edited,) = [turn.spec for turn in waiting_turns(line_of(after)) if turn.spec.turn_id == "c"]
        assert (edited.message, edited.params) == ("other" if taken else "hi", {"seed": 1})
        assert edited.size == (size if taken else 5) + footprint(params)
        assert any(isinstance(effect, EditWaiting) for effect in effects) is taken


@pytest.mark.parametrize(
    ("state", "turn_id", "code"),
    [
        (RUNNING, "a", "NOT_WAITING"),
        (RUNNING, "x", "UNKNOWN_TURN"),
        (Idle(MEMORY), "x", "UNKNOWN_TURN"),
        (ENDING, "f", "NOT_WAITING"),
        (replace(ENDING, closing=Closing(SHUTDOWN, ())), "b", "SESSION_CLOSED"),
        (Closed(MEMORY, SHUTDOWN, left=LINE), "b", "SESSION_CLOSED"),
    ],
)
def test_only_a_turn_that_waits_behind_others_or_for_a_moment_is_moved(
    state: State, turn_id: str, code: str
) -> None:
    after, (refused,) = moved(state, turn_id, MoveTo.FIRST)
    assert after is state
    assert isinstance(refused, Refuse)
    assert refused.error.code == code
