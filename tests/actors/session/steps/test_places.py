"""A turn that waits gets another place, or the session."""

import pytest

from tests.turns import cancelling, memory, running, spec
from turnkeeper.actors.model.records import Reason, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, MoveTo, Place
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    CancelTurn,
    EndTurn,
    MoveWaiting,
    NoteUndo,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.states import Ending, Idle, Queued, Running
from turnkeeper.actors.session.steps.places import is_free, put, take_the_place, with_line

MEMORY = memory()
B, C = Waiting(spec("b"), 1, 1.0), Waiting(spec("c"), 1, 2.0)
LATER = Waiting(spec("d"), 1, 3.0, None, 99.0)
#: Behind it one waits, and another for a moment.
LINE = Line(None, (B,), (LATER,))
RUNNING = replace(running(spec("a"), memory=MEMORY), line=LINE)
FRONT = Waiting(spec("f"), 1, 3.0)
EVES = Reason(CancelCode.SUPERSEDED, "eve")
ENDING = replace(cancelling(running(spec("a"), memory=MEMORY), EVES), line=replace(LINE, front=FRONT))


def test_a_session_is_free_in_which_all_wait_for_a_moment() -> None:
    assert is_free(Queued(MEMORY, Line(later=(LATER,))), Line(later=(LATER,)))
    assert not is_free(Queued(MEMORY, Line(FRONT)), Line(FRONT))
    assert not is_free(RUNNING, None)


def test_without_a_line_a_session_that_nothing_holds_is_idle() -> None:
    assert with_line(Queued(MEMORY, LINE), MEMORY, None) == Idle(MEMORY)
    assert with_line(Idle(MEMORY), MEMORY, LINE) == Queued(MEMORY, LINE)
    assert with_line(RUNNING, MEMORY, None) == replace(RUNNING, line=None)


@pytest.mark.parametrize(
    ("to", "rest", "first"), [(MoveTo.FIRST, (C, B), True), (MoveTo.LAST, (B, C), False)]
)
def test_it_waits_before_or_behind_the_others_and_the_next_moment_still_comes(
    to: MoveTo, rest: tuple[Waiting, ...], first: bool
) -> None:
    after, effects = put(RUNNING, LINE, C, to, 5.0, "eve")
    assert after == replace(RUNNING, line=Line(None, rest, (LATER,)))
    moved = MoveWaiting(TurnId("c"), Place.REST, first=first)
    assert effects == (moved, AnnouncePlaces(), SetTimer(99.0))


@pytest.mark.parametrize("to", MoveTo)
def test_it_starts_where_it_is_free_to(to: MoveTo) -> None:
    line = Line(later=(LATER,))
    after, effects = put(Queued(MEMORY, line), line, C, to, 5.0, "eve")
    assert isinstance(after, Running)
    assert (after.turn.spec, after.line) == (C.spec, line)
    assert (type(effects[0]), type(effects[-1])) == (StartTurn, AnnouncePlaces)


@pytest.mark.parametrize("undo", [False, True])
def test_what_holds_the_session_is_cancelled_for_it_once_and_by_that_user(undo: bool) -> None:
    after, effects = put(RUNNING, LINE, C, MoveTo.NOW, 5.0, "eve", undo=undo)
    assert isinstance(after, Ending)
    assert (after.line, after.cancellation.reason) == (replace(LINE, front=C), EVES)
    assert after.undo == (5.0 if undo else None)
    (cancel,) = [effect for effect in effects if isinstance(effect, CancelTurn)]
    assert cancel.reason == EVES
    assert any(isinstance(effect, NoteUndo) for effect in effects) is undo
    assert MoveWaiting(TurnId("c"), Place.FRONT) in effects


def test_the_one_that_was_called_up_makes_way_for_it_too() -> None:
    after, effects = take_the_place(ENDING, ENDING.line, C, 5.0, "eve")
    assert isinstance(after, Ending)
    assert after.line == replace(LINE, front=C)
    (ended,) = effects
    assert isinstance(ended, EndTurn)
    assert (ended.record.turn_id, ended.record.superseded_by) == ("f", "c")
    assert ended.record.cancellation is not None
    assert ended.record.cancellation.reason == EVES
