"""Draws the transition table: `docs/explanation/state-diagram.md` and its picture.

The moves of a session are those of the table, to which the search holds `step`. The moves of its turns are
those that the search sees.

    python -m tests.actors.session.diagram        writes both files anew
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

from tests.actors.session.facts import Facts
from tests.actors.session.search import Node, searches, small_searches
from turnkeeper.actors.model.records import TurnId
from turnkeeper.actors.model.words import SessionState, TurnStatus
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    Effect,
    EndAttempt,
    EndTurn,
    StartTurn,
)
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import Ending, State
from turnkeeper.actors.session.table.rows import ROWS, Row
from turnkeeper.actors.session.views import state_name

FOLDER = Path(__file__).parent.parent.parent.parent / "docs" / "explanation"

Moves: TypeAlias = Mapping[tuple[str, str], Iterable[str]]

# -- The moves ----------------------------------------------------------------------------------------

#: The public name of each state.
NAMES: dict[type[Any], SessionState] = {
    kind: state_name(kind(*(object() for _ in dataclasses.fields(kind)))) for kind in get_args(State)
}


def session_moves(rows: Iterable[Row] = ROWS) -> dict[tuple[str, str], set[str]]:
    """From which state to which a session goes, each with the messages that make it."""
    moves: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        moves[NAMES[row.state], NAMES[row.then or row.state]].add(row.message.__name__)
    return moves


class TurnMoves:
    """From which status to which a turn goes, each with the messages that make it."""

    def __init__(self) -> None:
        self.moves: dict[tuple[str, str], set[str]] = defaultdict(set)

    def witness(self, node: Node, message: Message, after: State, effects: tuple[Effect, ...]) -> None:
        word = type(message).__name__
        is_asked = isinstance(after, Ending) and after.cancellation is not None
        if is_asked and node.facts.cause is None and node.facts.holder is not None:
            self.moves[TurnStatus.RUNNING, TurnStatus.CANCELLING].add(word)
        for effect in effects:
            self._moved(node.facts, effect, word)

    def _moved(self, facts: Facts, effect: Effect, word: str) -> None:
        match effect:
            case AnnounceQueued():
                self.moves[_status(facts, effect.spec.turn_id), TurnStatus.QUEUED].add(word)
            case StartTurn():
                self.moves[_status(facts, effect.spec.turn_id), TurnStatus.RUNNING].add(word)
            case EndAttempt():
                self.moves[_status(facts, effect.record.turn_id), TurnStatus.QUEUED].add(word)
            case EndTurn():
                self.moves[_status(facts, effect.record.turn_id), effect.record.status].add(word)
            case _:
                pass


def _status(facts: Facts, turn_id: TurnId) -> str:
    if facts.holder is not None and facts.holder.turn_id == turn_id:
        return TurnStatus.RUNNING if facts.cause is None else TurnStatus.CANCELLING
    if facts.waits(turn_id) is not None:
        return TurnStatus.QUEUED
    return "sent"


def turn_moves() -> dict[tuple[str, str], set[str]]:
    """What searches of one message less than in the tests see: every move there is."""
    turn = TurnMoves()
    seen = [*searches(-1, witness=turn.witness), *small_searches("collapse", 3, witness=turn.witness)]
    for _, figures in seen:
        assert figures.found is None, str(figures.found)
    return turn.moves


# -- The picture --------------------------------------------------------------------------------------


class Box(NamedTuple):
    x: int
    y: int
    final: bool = False


WIDTH, HEIGHT = 116, 34
SESSION: dict[str, Box] = {
    SessionState.IDLE: Box(90, 50),
    SessionState.QUEUED: Box(325, 150),
    SessionState.RUNNING: Box(560, 50),
    SessionState.CANCELLING: Box(560, 250),
    SessionState.CLOSED: Box(90, 250, final=True),
}
TURN: dict[str, Box] = {
    "sent": Box(90, 480),
    TurnStatus.QUEUED: Box(250, 560),
    TurnStatus.RUNNING: Box(250, 400),
    TurnStatus.CANCELLING: Box(410, 480),
    TurnStatus.COMPLETED: Box(590, 380, final=True),
    TurnStatus.FAILED: Box(590, 430, final=True),
    TurnStatus.TIMED_OUT: Box(590, 480, final=True),
    TurnStatus.UNRESPONSIVE: Box(590, 530, final=True),
    TurnStatus.CANCELLED: Box(590, 580, final=True),
    TurnStatus.INTERRUPTED: Box(590, 630, final=True),
    TurnStatus.MERGED: Box(590, 680, final=True),
}
STYLE = """\
  <style>
    rect { fill: #eef3fb; stroke: #2f4a7a; stroke-width: 1.5 }
    rect.final { fill: #f3f0e6; stroke: #6b5d2e }
    line { stroke: #555; stroke-width: 1.3; marker-end: url(#head) }
    text { font: 13px sans-serif; text-anchor: middle; fill: #222 }
    text.word { font-size: 11px; paint-order: stroke; stroke: #fff; stroke-width: 4px }
    text.title { font-weight: bold; text-anchor: start }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
      <path d="M0 0 L8 4 L0 8 z" fill="#555"/>
    </marker>
  </defs>
  <rect width="680" height="720" style="fill: #fff; stroke: none"/>"""


def picture(session: Moves, turn: Moves) -> str:
    """Both diagrams as one SVG."""
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 720" role="img">',
            "  <title>The states of a session and of its turns</title>",
            STYLE,
            '  <text class="title" x="32" y="20">A session</text>',
            *_drawing(SESSION, session, words=True),
            '  <text class="title" x="32" y="345">A turn</text>',
            *_drawing(TURN, turn, words=False),
            "</svg>",
            "",
        ]
    )


def _drawing(boxes: Mapping[str, Box], moves: Moves, *, words: bool) -> Iterable[str]:
    for (start, end), messages in sorted(moves.items()):
        if start != end:
            yield from _arrow(
                boxes[start], boxes[end], sorted(messages) if words else [], (end, start) in moves
            )
    for name, box in boxes.items():
        kind = ' class="final"' if box.final else ""
        left, top = box.x - WIDTH // 2, box.y - HEIGHT // 2
        yield f'  <rect{kind} x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        yield f'  <text x="{box.x}" y="{box.y + 4}">{name}</text>'


def _arrow(start: Box, end: Box, words: list[str], both_ways: bool) -> Iterable[str]:
    across, down = end.x - start.x, end.y - start.y
    length = (across**2 + down**2) ** 0.5
    # Two arrows between the same boxes run side by side.
    aside = 9.0 if both_ways else 0.0
    right, below = -down / length * aside, across / length * aside
    reach = _reach(across, down)
    x1, y1 = start.x + across * reach + right, start.y + down * reach + below
    x2, y2 = end.x - across * reach + right, end.y - down * reach + below
    yield f'  <line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    if words:
        # Nearer to where the arrow starts, so that the words of two side by side do not meet.
        x, y = x1 + (x2 - x1) * 0.4, y1 + (y2 - y1) * 0.4 + (14.0 if below > 0 else -5.0)
        yield f'  <text class="word" x="{x:.1f}" y="{y:.1f}">{", ".join(words)}</text>'


def _reach(across: float, down: float) -> float:
    """How far along the way between two centres the border of a box is."""
    sideways = WIDTH / 2 / abs(across) if across else 1.0
    upright = HEIGHT / 2 / abs(down) if down else 1.0
    return min(sideways, upright)


# -- The page -----------------------------------------------------------------------------------------

PAGE = """\
# The states of a session and of a turn

Generated by `python -m tests.actors.session.diagram` from the transition table in `actors/session/table`. The
exhaustive search holds the code to the table, and a test holds this page to it. Do not edit it by hand.

![The states of a session and of its turns](state-diagram.svg)

What moves a session is a message: `Submit` is a send, `Stop` a cancel, `Shut` a close or the shutdown,
`Tick` the session's own timer, `Hold` and `Unhold` are the beginning and the end of a critical section,
`TurnReturned` is the end of a coroutine, `TurnEnded` that of a turn with all that it had begun, `WoundUp` the
end of what that runs, and `Recover` says that another process has loaded the session.

## A session

| from | to | by |
|---|---|---|
{session}

A turn that has ended by itself is on its way out, too, while what it has begun is stopped, and what its end
runs is run. Its session stands here under `cancelling`, but is called `running` until it is asked to stop.

## A turn

| from | to | by |
|---|---|---|
{turn}

A turn is also called `interrupted` when its session's actor has failed.

## The transition table

Each message takes exactly one row. *Must* is what is done, in this order; *may* is what may be done besides,
once or several times. Where *to* is empty, the session stays exactly as it is.

{table}

## What is done

| | |
|---|---|
{effects}
"""


def page(session: Moves, turn: Moves) -> str:
    """The page, with every move and every row in a table."""
    return PAGE.format(
        session=_moves(session), turn=_moves(turn), table="\n\n".join(_rows(ROWS)), effects=_effects()
    )


def _moves(moves: Moves) -> str:
    order = [*SESSION, *TURN]
    rows = sorted(moves.items(), key=lambda row: (order.index(row[0][0]), order.index(row[0][1])))
    return "\n".join(f"| {start} | {end} | {_words(sorted(messages))} |" for (start, end), messages in rows)


def _rows(rows: Iterable[Row]) -> Iterable[str]:
    """A table for each state."""
    for kind, name in NAMES.items():
        yield "\n".join(
            [
                f"### {name}",
                "",
                "| by | when | what happens | to | must | may |",
                "|---|---|---|---|---|---|",
                *(
                    f"| `{row.message.__name__}` | {row.when.text} | {row.name} | "
                    f"{'' if row.then is None else NAMES[row.then]} | "
                    f"{_words(each.__name__ for each in row.must)} | "
                    f"{_words(each.__name__ for each in row.may)} |"
                    for row in rows
                    if row.state is kind
                ),
            ]
        )


def _effects() -> str:
    return "\n".join(f"| `{kind.__name__}` | {_said(kind)} |" for kind in get_args(Effect))


def _said(kind: type[Any]) -> str:
    return " ".join((kind.__doc__ or "").split()).replace("``", "`")


def _words(messages: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in messages)


def files(turn: Moves) -> dict[str, str]:
    """What the files in `docs/explanation` must say."""
    session = session_moves()
    return {"state-diagram.md": page(session, turn), "state-diagram.svg": picture(session, turn)}


if __name__ == "__main__":
    for name, text in files(turn_moves()).items():
        (FOLDER / name).write_text(text)
