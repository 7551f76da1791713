"""States are types, and the page that draws them is held to the code."""

import dataclasses
import typing

import pytest

from tests.actors.session import diagram
from turnkeeper.actors.model.words import SessionState, TurnStatus
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, Running, State
from turnkeeper.actors.session.views import state_name


@pytest.fixture(scope="module")
def turn() -> diagram.Moves:
    return diagram.turn_moves()


SESSION = diagram.session_moves()


def test_every_state_is_a_type_with_a_public_name() -> None:
    named = {Idle: "idle", Queued: "queued", Running: "running", Ending: "cancelling", Closed: "closed"}
    assert set(typing.get_args(State)) == set(named)
    assert set(named.values()) == set(SessionState)
    for kind, name in named.items():
        assert state_name(kind(*(object() for _ in dataclasses.fields(kind)))) == name


def test_no_state_has_a_flag() -> None:
    for kind in typing.get_args(State):
        assert bool not in typing.get_type_hints(kind).values()


def test_every_state_remembers() -> None:
    for kind in typing.get_args(State):
        assert dataclasses.fields(kind)[0].name == "memory"


def test_a_session_reaches_every_state() -> None:
    assert {end for _, end in SESSION} == set(SessionState)


def test_nothing_leaves_closed() -> None:
    assert {end for start, end in SESSION if start == "closed"} == {"closed"}


def test_a_turn_reaches_every_status(turn: diagram.Moves) -> None:
    assert {end for _, end in turn} == set(TurnStatus)


def test_only_a_report_a_restart_or_the_end_of_the_ladder_lets_go_of_the_session() -> None:
    assert SESSION["running", "idle"] == {"TurnEnded", "Recover"}
    assert SESSION["running", "queued"] == {"TurnEnded", "Recover"}
    assert SESSION["cancelling", "idle"] == {"TurnEnded", "WoundUp", "Tick", "Recover"}
    assert SESSION["cancelling", "running"] == {"TurnEnded", "WoundUp", "Tick", "Recover"}


def test_a_turn_is_started_again_only_where_it_waits_after_a_restart(turn: diagram.Moves) -> None:
    """Within a process nothing that held its session goes back to waiting, but over a shutdown."""
    assert turn["running", "queued"] == {"Recover"}
    assert turn["cancelling", "queued"] == {"TurnEnded", "Tick", "Recover"}
    assert ("running", "closed") not in SESSION


def test_the_pages_say_what_the_table_says(turn: diagram.Moves) -> None:
    for name, text in diagram.files(turn).items():
        assert (diagram.FOLDER / name).read_text() == text, "run: python -m tests.actors.session.diagram"
