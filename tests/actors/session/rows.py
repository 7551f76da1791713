"""Holds transitions against the table: each takes one row and does what it says, and every row is taken."""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

from tests.actors.session.monitor import Broken
from turnkeeper.actors.model.messages import Submit
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.session.effects import Effect, LeaveSlot
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import State
from turnkeeper.actors.session.table.conditions import Test
from turnkeeper.actors.session.table.rows import ROWS, Row


class Taken(NamedTuple):
    """A transition that took a row, as it was first seen."""

    before: State
    message: Message
    now: float
    after: State
    effects: tuple[Effect, ...]


def _without_slot(taken: Taken) -> Taken:
    """The transition, but for a slot that was taken for a send which does not need it.

    That is given back first, whatever row the send takes, and its ticket is drawn.
    """
    message, after = taken.message, taken.after
    if not isinstance(message, Submit) or message.granted is None:
        return taken
    if taken.effects[:1] != (LeaveSlot(message.granted),):
        return taken
    drawn = replace(taken.before.memory, last_ticket=message.granted.number)
    unchanged = after == replace(taken.before, memory=drawn)
    return taken._replace(after=taken.before if unchanged else after, effects=taken.effects[1:])


class Branch(NamedTuple):
    """Rows with the same first tests: those that have no more, and the others by their next one."""

    rows: list[tuple[int, Row]]
    more: dict[Test, "Branch"]

    def add(self, number: int, row: Row) -> None:
        """Put a row where its tests lead."""
        branch = self
        for test in row.when.tests:
            branch = branch.more.setdefault(test, Branch([], {}))
        branch.rows.append((number, row))


class Table:
    """The rows by state and message, with what was seen of each."""

    def __init__(self, rows: tuple[Row, ...] = ROWS) -> None:
        self.rows = rows
        self.seen: Counter[int] = Counter()
        #: For each row that was seen one transition that took it, and what it did of what it may.
        self.taken: dict[int, Taken] = {}
        self.done: dict[int, set[type[Effect]]] = defaultdict(set)
        self._blocks: dict[tuple[type[Any], type[Any]], Branch] = defaultdict(lambda: Branch([], {}))
        for number, row in enumerate(rows):
            self._blocks[row.state, row.message].add(number, row)

    def check(self, taken: Taken) -> None:
        """Note which row this transition takes. Raises `Broken` for one outside the table."""
        number, row = self.row(taken.before, taken.message, taken.now)
        taken = _without_slot(taken)
        fault = row.fault(taken.before, taken.after, taken.effects)
        if fault is not None:
            raise Broken(f"table: {row}: {fault}\n  {taken.message}\n  {taken.effects}\n  {taken.before}")
        self.seen[number] += 1
        if row.may:
            self.done[number].update(map(type, taken.effects))
        if number not in self.taken:
            self.taken[number] = taken

    def row(self, state: State, message: Message, now: float) -> tuple[int, Row]:
        """The one row that this message takes in this state, with its number."""
        # Many rows share their tests, and the search asks a million times: each test is made once, if at all.
        known: dict[Test, bool] = {}
        found: list[tuple[int, Row]] = []
        branches = [self._blocks[type(state), type(message)]]
        for branch in branches:
            found += branch.rows
            for test, further in branch.more.items():
                holds = known.get(test)
                if holds is None:
                    holds = known[test] = test(state, message, now)
                if holds:
                    branches.append(further)
        if len(found) != 1:
            names = [row for _, row in found]
            raise Broken(f"table: one row, please, and not {names}\n  message {message}\n  before {state}")
        return found[0]

    @property
    def covered(self) -> bool:
        """Whether every row was taken, and has done all that it may."""
        return not self.unseen() and not self.undone()

    def __str__(self) -> str:
        return "\n".join(
            [
                f"table: {len(self.taken)} of {len(self.rows)} rows taken",
                *(f"never taken: {row}" for row in self.unseen()),
                *(f"never done: {kind.__name__} in {row}" for row, kind in self.undone()),
            ]
        )

    def unseen(self) -> list[Row]:
        """The rows that no transition took."""
        return [row for number, row in enumerate(self.rows) if not self.seen[number]]

    def undone(self) -> list[tuple[Row, type[Effect]]]:
        """What a row allows, and no transition did."""
        return [
            (row, kind)
            for number, row in enumerate(self.rows)
            for kind in row.may
            if kind not in self.done[number]
        ]
