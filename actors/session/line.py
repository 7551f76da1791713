"""The turns that wait for a session, in the order in which they will start. Pure values.

Nothing of a turn that waits runs: it has no coroutine, and can be dropped without anyone having to stop.

    front   the one that is called up: it starts as soon as it may. It takes the place of the turn that
            held the session, or was cut off and is tried again
    rest    those behind it, first in, first out
    later   those that do not wait for their turn yet, but for a moment, the next one first
"""

from turnkeeper.actors.model.messages import ReplyAddress
from turnkeeper.actors.model.records import TurnId, TurnSpec
from turnkeeper.actors.model.value import replace, value

#: The position of the turn that is called up.
CALLED_UP = 0


@value
class Waiting:
    """A turn that waits.

    ``attempt`` is the one that comes next: above 1, it had been started before. It is not started before the
    moment ``not_before``. ``to`` is where its sender waits for its start. ``joined`` counts the
    messages that make up its own; with ``collects`` others may join it until that moment.
    """

    spec: TurnSpec
    attempt: int = 1
    queued_at: float | None = None
    to: ReplyAddress | None = None
    not_before: float | None = None
    joined: int = 1
    collects: bool = False

    @property
    def is_new(self) -> bool:
        """Whether it was never started, so that what it says may still change."""
        return self.attempt == 1


@value
class Line:
    """The turns that wait for a session, at least one. Where none waits there is no line, but ``None``."""

    front: Waiting | None = None
    rest: tuple[Waiting, ...] = ()
    later: tuple[Waiting, ...] = ()

    @property
    def turns(self) -> tuple[Waiting, ...]:
        """All of them, in order."""
        front = () if self.front is None else (self.front,)
        return (*front, *self.rest, *self.later)

    @property
    def next(self) -> Waiting | None:
        """The one that starts next, if none comes that interrupts; ``None`` if all wait for a moment."""
        return self.front or (self.rest[0] if self.rest else None)

    @property
    def due(self) -> float | None:
        """The moment for which the first of those waits that wait for one."""
        return self.later[0].not_before if self.later else None

    @property
    def places(self) -> tuple[tuple[Waiting, int | None], ...]:
        """All with their positions: `CALLED_UP`, from 1 behind that, none while they wait for a moment."""
        front = () if self.front is None else ((self.front, CALLED_UP),)
        rest = ((turn, place) for place, turn in enumerate(self.rest, 1))
        return (*front, *rest, *((turn, None) for turn in self.later))


def line_of(
    front: Waiting | None, rest: tuple[Waiting, ...] = (), later: tuple[Waiting, ...] = ()
) -> Line | None:
    """The line of these turns."""
    return None if front is None and not rest and not later else Line(front, rest, later)


def waiting_turns(line: Line | None) -> tuple[Waiting, ...]:
    """All that wait, in order."""
    return () if line is None else line.turns


def front_of(line: Line | None) -> Waiting | None:
    """The one that is called up."""
    return None if line is None else line.front


def find(line: Line | None, turn_id: TurnId | None) -> Waiting | None:
    """The turn of that id, if it waits."""
    return next((turn for turn in waiting_turns(line) if turn.spec.turn_id == turn_id), None)


def without(line: Line | None, turn: Waiting) -> Line | None:
    """The line when that turn has left it."""
    if line is None:
        return None
    front = None if line.front is turn else line.front
    rest = tuple([each for each in line.rest if each is not turn])
    later = tuple([each for each in line.later if each is not turn])
    return line_of(front, rest, later)


def with_front(line: Line | None, turn: Waiting | None) -> Line | None:
    """The line with this turn called up, in the place of the one that was, if one was."""
    if line is None:
        return None if turn is None else Line(turn)
    return line_of(turn, line.rest, line.later)


def behind(line: Line | None, turn: Waiting) -> Line:
    """The line with this turn behind all that wait for their turn."""
    return Line(None, (turn,)) if line is None else replace(line, rest=(*line.rest, turn))


def in_front(line: Line | None, turn: Waiting) -> Line:
    """The line with this turn before all that wait behind the one that is called up."""
    return Line(None, (turn,)) if line is None else replace(line, rest=(turn, *line.rest))


def instead(line: Line, turn: Waiting, other: Waiting) -> Line:
    """The line with the ``other`` one in this turn's place."""
    front = other if line.front is turn else line.front
    rest = tuple([other if each is turn else each for each in line.rest])
    later = tuple([other if each is turn else each for each in line.later])
    return Line(front, rest, later)


def for_a_moment(line: Line | None, turn: Waiting) -> Line:
    """The line with this turn among those that wait for a moment; of the same one, the first that came."""
    if line is None:
        return Line(later=(turn,))
    later = sorted((*line.later, turn), key=lambda each: each.not_before or 0.0)
    return replace(line, later=tuple(later))


def called_up(line: Line) -> tuple[Waiting | None, Line | None]:
    """The turn that starts next, and the line behind it."""
    if line.front is not None:
        return line.front, line_of(None, line.rest, line.later)
    if line.rest:
        return line.rest[0], line_of(None, line.rest[1:], line.later)
    return None, line


def delayed(line: Line, by: float) -> Line:
    """The same line, in force ``by`` seconds later: the turn that is called up counts its wait from then."""
    front = line.front
    if front is None or front.not_before is None:
        return line
    return replace(line, front=replace(front, not_before=front.not_before + by))
