"""Every sequence of messages to a depth, through the real `step`, each step watched by the monitor.

A search begins at a new session or at a seed: where a few messages have brought one. Two sequences that lead
to the same session and the same facts of the monitor are merged (`names` says what counts as the same), so
that each distinct pair is expanded once, however many paths lead to it.

A pair that is cancelling is also drained: left alone but for its timer it must come to rest within two ticks,
and within three if its turn is to be undone.

Each step is also held against the transition table: it takes exactly one row and does what the row says. And
against the session's log: what its entries say, written and read again, is what is durable after it.

Beside the messages stands what happens to a session without one: its actor fails, it sleeps for long, or it
is forgotten and opened again.

    python -m tests.actors.session.search             all seeds, as in the tests
    python -m tests.actors.session.search --deeper 1  one message more
    python -m tests.actors.session.search --closed    the small alphabets, until nothing new is met
    python -m tests.actors.session.search --all 3     all letters together, to that depth
"""

import argparse
import gc
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, assert_never

from tests.actors.session.alphabet import (
    ASKERS,
    DURABLE,
    LIMITS,
    OWNER,
    RESTART,
    SAID,
    SESSION,
    START,
    Address,
    Happening,
    Letter,
    letters,
)
from tests.actors.session.alphabets import (
    ALPHABETS,
    SMALL,
    SMALL_DURABLE,
    Alphabet,
    Letters,
    ending,
    everything,
    line,
    slot_line,
)
from tests.actors.session.facts import Facts
from tests.actors.session.logged import Log, check_restored
from tests.actors.session.monitor import Broken, observe, observe_failure
from tests.actors.session.names import Names
from tests.actors.session.rows import Table, Taken
from turnkeeper.actors.journal.durable import durable, restored
from turnkeeper.actors.model.messages import (
    Granted,
    Recover,
    ReplyAddress,
    Tick,
    TurnEnded,
    TurnReturned,
    WoundUp,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.registry.directory import last_epoch
from turnkeeper.actors.session.effects import Decision, Effect
from turnkeeper.actors.session.machine import Message, after_failure, step
from turnkeeper.actors.session.states import Ending, Home, Idle, Limits, Memory, State
from turnkeeper.actors.session.views import owed_answers

Witness: TypeAlias = Callable[["Node", Message, State, tuple[Effect, ...]], None]
#: The messages that no asker waits for.
FACTS = Tick | TurnReturned | TurnEnded | WoundUp | Granted | Recover
StepFunction: TypeAlias = Callable[[State, Message, float, ReplyAddress | None], Decision]


class Found(NamedTuple):
    """A step that broke a guarantee, and what led to it."""

    path: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return f"after {' | '.join(self.path)}:\n{self.what}"


class Node(NamedTuple):
    """One distinct pair, as it was first met."""

    state: State
    facts: Facts
    now: float
    parent: int
    letter: str


@dataclass
class Figures:
    """What a search has seen."""

    depth: int | None
    #: After how many messages nothing was met that was not known, if the search came to its end.
    closed: int | None = None
    states: int = 0
    transitions: int = 0
    paths: int = 0
    drained: int = 0
    seconds: float = 0.0
    found: Found | None = None

    def __str__(self) -> str:
        rate = self.transitions / self.seconds if self.seconds else 0.0
        depth = f"any length, closed after {self.closed}" if self.depth is None else f"depth {self.depth}"
        covering = "" if self.depth is None else f", covering {self.paths:,} paths"
        return (
            f"{depth}: {self.states:,} distinct states, {self.transitions:,} transitions{covering}; "
            f"{self.drained:,} drained; {self.seconds:.1f} s ({rate:,.0f}/s)"
        )


class Seed(NamedTuple):
    """A path from a new session to where a search begins, and how many messages are tried from there."""

    path: tuple[str, ...]
    depth: int
    limits: Limits = LIMITS
    letters: Letters = letters


GIVE_UP = ("the due tick", "the due tick")
RUN = ("send", "the holder returned")
LOADS = RESTART.name
RUNS, ENQUEUED, COLLAPSED = "u sends: interrupt, goes on", "u sends: enqueue", "u sends: collapse"
LATER, REPLACED = "u sends: enqueue after 99 s", "v sends: enqueue, dropping the oldest after 99 s"
INTERRUPTED, UNDONE = "u sends: interrupt, not waiting", "u sends: rollback, not waiting"
UNDONE_LATER = "u sends: rollback after 0.5 s"
POLICY_STOP, VERDICT = "stop, as a policy", "stop, waiting, as a policy"
GIVEN_UP = (RUNS, POLICY_STOP, *GIVE_UP)
TWO, TWO_DURABLE = replace(SMALL, quarantined=2), replace(SMALL_DURABLE, quarantined=2)
Seeds: TypeAlias = Mapping[str, Seed]
#: Of those that wait: a message or two from each.
LINES: Seeds = {
    "new": Seed((), 2, SMALL, line),
    "closed": Seed(("close",), 2, SMALL, line),
    "for later": Seed((LATER,), 2, SMALL, line),
    "for later, full": Seed((REPLACED,), 2, SMALL, line),
    "for later, full, one runs": Seed((RUNS, REPLACED), 2, SMALL, line),
    "for later, full, one is cancelled": Seed((RUNS, REPLACED, POLICY_STOP), 2, SMALL, line),
    "for later, one is cancelled": Seed((RUNS, LATER, VERDICT, GIVE_UP[0]), 2, SMALL, line),
    "for later, one is given up": Seed((RUNS, LATER, VERDICT, *GIVE_UP), 2, SMALL, line),
    "for later, one that a person stopped is given up": Seed(
        (RUNS, LATER, "stop, waiting", GIVE_UP[0]), 2, SMALL, line
    ),
    "called up again": Seed((RUNS, LOADS), 2, SMALL_DURABLE, line),
    "called up again, one behind": Seed((RUNS, LOADS, ENQUEUED), 2, SMALL_DURABLE, line),
    "called up again, full": Seed(
        (RUNS, LOADS, "v sends: enqueue, dropping the oldest"), 2, SMALL_DURABLE, line
    ),
    "called up again, one behind and one later": Seed((RUNS, LOADS, ENQUEUED, LATER), 2, SMALL_DURABLE, line),
    "called up again, one comes that interrupts": Seed(
        (RUNS, LOADS, LATER, "u sends: interrupt after 0.5 s"), 2, SMALL_DURABLE, line
    ),
    "called up again, one comes that rejects": Seed(
        (RUNS, LOADS, "u sends: reject after 0.5 s"), 2, SMALL_DURABLE, line
    ),
    "called up again, one comes that enqueues": Seed(
        (RUNS, LOADS, "u sends: enqueue after 0.5 s"), 2, SMALL_DURABLE, line
    ),
    "called up again, one comes that joins": Seed(
        (RUNS, LOADS, COLLAPSED, "u sends: collapse after 0.5 s in a window of 2 s"), 2, SMALL_DURABLE, line
    ),
    "called up again, one comes that collects": Seed(
        (RUNS, LOADS, "u sends: collapse after 0.5 s in a window of 2 s"), 2, SMALL_DURABLE, line
    ),
    "cancelled, one behind": Seed((RUNS, ENQUEUED, POLICY_STOP), 2, SMALL, line),
    "cancelled, one comes that joins": Seed(
        (RUNS, COLLAPSED, "u sends: collapse after 0.5 s in a window of 2 s", POLICY_STOP), 2, SMALL, line
    ),
    "cancelled, one comes that collects": Seed(
        (RUNS, "u sends: collapse after 0.5 s in a window of 2 s", POLICY_STOP), 2, SMALL, line
    ),
    "one comes that rolls back": Seed((RUNS, UNDONE_LATER), 2, SMALL, line),
    "cancelled, one comes that rolls back": Seed((RUNS, UNDONE_LATER, POLICY_STOP), 2, SMALL, line),
    "superseded, one comes that rolls back": Seed((RUNS, UNDONE_LATER, RUNS), 2, SMALL, line),
    "being undone, one behind": Seed(
        (RUNS, ENQUEUED, UNDONE, POLICY_STOP, "the holder returned"), 2, SMALL, line
    ),
    "being undone, one later": Seed((RUNS, LATER, UNDONE, VERDICT, "the holder stopped"), 2, SMALL, line),
    "being undone, one later, streams end": Seed(
        (RUNS, LATER, UNDONE, "stop, waiting", "the holder stopped"), 2, SMALL, line
    ),
    "given up, being undone, one later": Seed(
        (RUNS, LATER, UNDONE, VERDICT, *GIVE_UP, "the holder returned"), 2, SMALL, line
    ),
    "given up, being undone, one later, streams end": Seed(
        (RUNS, LATER, UNDONE, "stop, waiting", *GIVE_UP, "the holder returned"), 2, SMALL, line
    ),
    "one behind, durable": Seed((RUNS, ENQUEUED), 2, SMALL_DURABLE, line),
    "one behind, shut down": Seed((RUNS, ENQUEUED, "shut down within 1 s"), 2, SMALL_DURABLE, line),
    "closed, one behind": Seed(
        (RUNS, ENQUEUED, "shut down within 1 s", "the holder stopped"), 2, SMALL_DURABLE, line
    ),
    "one given up, one runs, one behind": Seed((*GIVEN_UP, INTERRUPTED, ENQUEUED), 2, TWO_DURABLE, line),
    "one given up, one runs, one later": Seed((*GIVEN_UP, INTERRUPTED, LATER), 2, TWO_DURABLE, line),
    "one given up, one is cancelled, one later": Seed(
        (*GIVEN_UP, INTERRUPTED, LATER, POLICY_STOP), 2, TWO_DURABLE, line
    ),
}
WAITS, GRANTED = "u sends: interrupt, for a slot", "u sends: interrupt, for a slot, there is one"
OTHERS, BEHIND = "u sends: interrupt, goes on, for a slot", "u sends: enqueue, for a slot"
NEEDS_LATER, UNDOES = "u sends: enqueue after 99 s, for a slot", "u sends: rollback, not waiting, for a slot"
GIVEN_UP_THERE = (GRANTED, POLICY_STOP, *GIVE_UP)
#: Of those that wait for a slot: a message or two from each.
SLOTS: Seeds = {
    "none asks": Seed((), 2, SMALL, slot_line),
    "one asks": Seed((WAITS,), 2, SMALL, slot_line),
    "one asks that is known": Seed(("send k, for a slot",), 2, SMALL, slot_line),
    "one asks, one behind": Seed((WAITS, BEHIND), 2, SMALL, slot_line),
    "one asks, one behind that needs none": Seed((WAITS, ENQUEUED), 2, SMALL, slot_line),
    "one asks, one later": Seed((WAITS, NEEDS_LATER), 2, SMALL_DURABLE, slot_line),
    "one later": Seed((NEEDS_LATER,), 2, SMALL, slot_line),
    "one has it": Seed((GRANTED,), 2, SMALL, slot_line),
    "one has it, one behind": Seed((GRANTED, BEHIND, POLICY_STOP), 2, SMALL, slot_line),
    "one has it, one later": Seed((GRANTED, NEEDS_LATER, POLICY_STOP), 2, SMALL, slot_line),
    "one has it, one later, and is given up": Seed(
        (GRANTED, NEEDS_LATER, POLICY_STOP, GIVE_UP[0]), 2, SMALL, slot_line
    ),
    "one has it, another agent's is called up": Seed((GRANTED, OTHERS), 2, SMALL, slot_line),
    "one has it, another agent's is called up, and is given up": Seed(
        (GRANTED, OTHERS, GIVE_UP[0]), 2, SMALL, slot_line
    ),
    "one has it, and is undone": Seed((GRANTED, UNDOES, "the holder stopped"), 2, SMALL, slot_line),
    "one has it, and is undone, another agent's is called up": Seed(
        (GRANTED, UNDOES, OTHERS, "the holder stopped"), 2, SMALL, slot_line
    ),
    "one has it, one later, and is undone": Seed(
        (GRANTED, NEEDS_LATER, UNDOES, VERDICT, "the holder stopped"), 2, SMALL, slot_line
    ),
    "one has it, one later, and is undone, streams end": Seed(
        (GRANTED, NEEDS_LATER, UNDOES, "stop, waiting", "the holder stopped"), 2, SMALL, slot_line
    ),
    "one has it, one behind and one later, and is undone, given up": Seed(
        (GRANTED, BEHIND, NEEDS_LATER, UNDOES, VERDICT, *GIVE_UP), 2, SMALL, slot_line
    ),
    "one has it, one behind, at the end": Seed((GRANTED, BEHIND, VERDICT, GIVE_UP[0]), 1, SMALL, slot_line),
    "one has it, shut down, at the end": Seed(
        ("u sends: interrupt, goes on, for a slot, there is one", "shut down within 1 s", GIVE_UP[0]),
        1,
        SMALL_DURABLE,
        slot_line,
    ),
    "one is to be tried again": Seed(
        ("u sends: interrupt, goes on, for a slot, there is one", LOADS), 2, SMALL_DURABLE, slot_line
    ),
    "one given up, one asks, one behind": Seed(
        (*GIVEN_UP_THERE, WAITS, "u sends: enqueue, goes on, for a slot"), 2, TWO_DURABLE, slot_line
    ),
    "one given up, one has it, one behind and one later": Seed(
        (*GIVEN_UP_THERE, GRANTED, BEHIND, NEEDS_LATER), 2, TWO_DURABLE, slot_line
    ),
}
ONE, FORCE = "u sends: interrupt, goes on, not waiting", "stop by force, waiting and clearing"
RETURNED, BY_ITSELF = "the holder returned, its work goes on", "the holder returned, with hooks"
#: Of those that end: a message or two from each.
ENDS: Seeds = {
    "in a section": Seed((ONE, "hold"), 2, SMALL, ending),
    "in a section, one behind": Seed((ONE, ENQUEUED, "hold"), 1, SMALL, ending),
    "in a section, one behind, durable": Seed((ONE, ENQUEUED, "hold"), 1, SMALL_DURABLE, ending),
    "in a section, one comes that rolls back": Seed((ONE, UNDONE_LATER, "hold"), 1, SMALL, ending),
    "in a section, for 2 s": Seed(
        ("u sends: interrupt, not waiting, for 2 s", "hold"), 1, SMALL_DURABLE, ending
    ),
    "in as many sections as may be": Seed((ONE, *["hold"] * 32), 1, SMALL, ending),
    "in as many sections as may be, held back": Seed((ONE, *["hold"] * 32, POLICY_STOP), 1, SMALL, ending),
    "held back": Seed((ONE, "hold", "hold for 1 s", POLICY_STOP), 2, SMALL_DURABLE, ending),
    "held back, one behind": Seed((ONE, ENQUEUED, "hold", POLICY_STOP), 2, SMALL, ending),
    "held back, shut down": Seed((ONE, "hold", "shut down within 1 s"), 2, SMALL_DURABLE, ending),
    "held back, one waits": Seed((ONE, "hold", RUNS), 1, SMALL, ending),
    "held back, one behind, shut down": Seed(
        (ONE, ENQUEUED, "hold", "shut down within 1 s"), 1, SMALL_DURABLE, ending
    ),
    "held back, to be undone": Seed((ONE, "hold", UNDONE), 2, SMALL, ending),
    "returned": Seed((ONE, RETURNED), 2, SMALL_DURABLE, ending),
    "returned, one behind": Seed((ONE, ENQUEUED, RETURNED), 1, SMALL, ending),
    "returned, one behind, durable": Seed((ONE, ENQUEUED, RETURNED), 1, SMALL_DURABLE, ending),
    "returned, one comes that interrupts": Seed((ONE, LATER, UNDONE_LATER, RETURNED), 1, SMALL, ending),
    "returned, at the end": Seed((ONE, RETURNED, GIVE_UP[0]), 2, SMALL_DURABLE, ending),
    "returned, at the end, one behind": Seed((ONE, ENQUEUED, RETURNED, GIVE_UP[0]), 1, SMALL, ending),
    "returned, at the end, shut down": Seed(
        (ONE, RETURNED, "shut down within 1 s", GIVE_UP[0]), 2, SMALL_DURABLE, ending
    ),
    "ended by itself": Seed((ONE, BY_ITSELF), 2, SMALL_DURABLE, ending),
    "ended by itself, one behind and one later": Seed((ONE, ENQUEUED, LATER, BY_ITSELF), 1, SMALL, ending),
    "ended by itself, given up": Seed(
        (ONE, RETURNED, GIVE_UP[0], "given up, with hooks"), 2, SMALL_DURABLE, ending
    ),
    "ended after a Stop, at the end": Seed((ONE, POLICY_STOP, GIVE_UP[0]), 1, SMALL_DURABLE, ending),
    "interrupted, with hooks": Seed(
        ("u sends: interrupt, not waiting, for 2 s", "its process ends, one with hooks loads it"),
        2,
        SMALL_DURABLE,
        ending,
    ),
}
#: The small alphabets that are about nothing else.
OF_ENDS = "critical", "work", "hooks", "children"
#: The largest search stands last: what the others find is found sooner.
SEEDS: Seeds = {
    **{f"a line: {name}": seed for name, seed in LINES.items()},
    **{f"a slot: {name}": seed for name, seed in SLOTS.items()},
    **{f"an end: {name}": seed for name, seed in ENDS.items()},
    "superseding": Seed(("send", "stop as an admin", "send"), 3),
    "on the second rung": Seed(("send", "send", "the due tick, a little late"), 3),
    "full of records": Seed((*RUN, "it sleeps for long", *RUN, "send", "stop"), 3),
    "one turn given up": Seed(("send", "stop", *GIVE_UP), 4),
    "two turns given up, a third one runs": Seed(("send", "stop", *GIVE_UP, "send", "send", *GIVE_UP), 3),
    "closing": Seed(("send b, rejecting", "close"), 4),
    "closed": Seed((*RUN, "close"), 4),
    "cancelled early": Seed(("stop a", "stop b"), 4),
    "durable": Seed((), 4, DURABLE),
    "waits for its next attempt": Seed(("send", LOADS), 4, DURABLE),
    "in its last attempt": Seed(("send", LOADS, "the due tick"), 3, DURABLE),
    "handed over": Seed(("send", "shut down within 1 s", "the holder stopped"), 4, DURABLE),
    "waits over a shutdown": Seed(("send", "send, not waiting", "shut down within 1 s"), 3, DURABLE),
    "given up, and another waits": Seed(
        ("send", "stop", *GIVE_UP, "send", "send b, not waiting", "shut down within 1 s"), 3, DURABLE
    ),
    "given up, and one without an agent waits": Seed(
        ("send", "stop", *GIVE_UP, "send", "send a", "shut down within 1 s"), 3, DURABLE
    ),
    "given up, and one without an agent runs": Seed(
        ("send", "stop", *GIVE_UP, "send a, rejecting, not waiting"), 3, DURABLE
    ),
    "given up, and another goes on": Seed(
        ("send", "stop", *GIVE_UP, "send b, rejecting", "shut down within 1 s"), 3, DURABLE
    ),
    "given up, and closed": Seed(("send", "stop", *GIVE_UP, "close"), 3, DURABLE),
    "to be undone": Seed(("send", "send, rolling back"), 3),
    "to be undone, and closing": Seed(("send", "send, rolling back", "shut down within 1 s"), 3, DURABLE),
    "being undone": Seed(("send b, rejecting", "stop", "send, rolling back", "the holder returned"), 3),
    "being undone, given up": Seed(("send", "send, rolling back", *GIVE_UP), 3),
    "being undone, ended late": Seed(("send", "send, rolling back", *GIVE_UP, "the holder returned"), 3),
    "being undone after a restart": Seed(("send", "send, rolling back, not waiting", LOADS), 3, DURABLE),
    "being undone after a restart that finds one given up": Seed(
        ("send", "stop", *GIVE_UP, "send", "send, rolling back", LOADS), 2, DURABLE
    ),
    "failed": Seed(("send a", "send b, not waiting", "the actor fails"), 4),
    "new": Seed((), 4),
}


def search(
    depth: int | None,
    step: StepFunction = step,
    witness: Witness | None = None,
    *,
    table: Table | None = None,
    log: Log | None = None,
    seed: tuple[str, ...] = (),
    limits: Limits = LIMITS,
    letters: Letters = letters,
    remembers: bool = True,
) -> Figures:
    """Explore all sequences of ``depth`` messages after ``seed``; stop at the first broken guarantee.

    Without a depth, all of any length: until nothing is met that is not known. Or at the first transition
    outside the ``table``, or which the ``log`` does not have, if there is one.
    """
    try:
        first = grown(seed, limits, letters)
    except Broken as error:
        return Figures(depth, found=Found(seed, str(error)))
    return _Search(depth, step, witness, table, log, first, letters, Names(remembers=remembers)).run()


class _Search:
    def __init__(
        self,
        depth: int | None,
        step: StepFunction,
        witness: Witness | None,
        table: Table | None,
        log: Log | None,
        first: Node,
        letters: Letters,
        names: Names,
    ) -> None:
        self.figures = Figures(depth)
        self.step = step
        self.witness = witness
        self.table = table
        self.log = log
        self.letters = letters
        self.names = names
        self.nodes = [first]
        self.numbers = {self.names.key(first.state, first.facts, first.now): 0}
        #: Of each expanded node the nodes it leads to; of those of the last layer only how many.
        self.edges: list[list[int]] = []
        self.leaves: dict[int, int] = {}

    def run(self) -> Figures:
        figures, began = self.figures, time.perf_counter()
        # A search makes millions of small things and no cycles: the collector would only look at them.
        gc.disable()
        try:
            self._run()
        finally:
            gc.enable()
        figures.states = len(self.nodes)
        figures.seconds = time.perf_counter() - began
        return figures

    def _run(self) -> None:
        first, depth = 0, self.figures.depth
        for layer in itertools.count() if depth is None else range(depth):
            last = len(self.nodes)
            for number in range(first, last):
                if not self._expand(number, leaves=depth is not None and layer == depth - 1):
                    return
            if len(self.nodes) == last:
                self.figures.closed = layer
                break
            first = last
        self.figures.paths = 0 if depth is None else self._paths()

    def _expand(self, number: int, *, leaves: bool) -> bool:
        """Take every letter from this node. What the last one leads to is checked, but not kept."""
        node = self.nodes[number]
        try:
            if self.log is not None:
                check_restored(node.state)
        except Broken as error:
            self.figures.found = Found(self._path(number), str(error))
            return False
        targets: list[int] = []
        taken = 0
        for letter in self.letters(node.state, node.facts, node.now):
            reached = self._take(number, node, letter)
            if reached is None:
                return False
            taken += 1
            if not leaves:
                targets.append(self._number(reached))
        self.figures.transitions += taken
        if leaves:
            self.leaves[number] = taken
        else:
            self.edges.append(targets)
        return self._drain(number, node)

    def _take(self, number: int, node: Node, letter: Letter) -> Node | None:
        try:
            return take(self.step, node, letter, number, self.witness, self.table, self.log)
        except Broken as error:
            self.figures.found = Found((*self._path(number), letter.name), str(error))
            return None

    def _number(self, node: Node) -> int:
        """The number of this node or of the one it equals."""
        number = self.numbers.setdefault(self.names.key(node.state, node.facts, node.now), len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        return number

    def _drain(self, number: int, node: Node) -> bool:
        """No asker waits forever: the timer alone brings every cancelled turn to its end.

        By two ticks, one more if its turn is in critical sections, one if its end runs something, two for
        each turn that waits for a moment, after which it may wait for others to join it, and one that was set
        for what is gone. However late what came before was, it takes no longer than what it may take.
        """
        if not isinstance(node.state, Ending):
            return True
        self.figures.drained += 1
        holder, reached = node.facts.holder, node
        for _ in range(5 + 2 * len(node.facts.later)):
            if reached.facts.holder is not holder:
                break
            wait = max(0.0, (reached.facts.timer or reached.now) - reached.now)
            ticked = self._take(number, reached, Letter("drained", Tick(), wait))
            if ticked is None:
                return False
            reached = ticked
        policy, took = node.state.turn.spec.policy, reached.now - node.now
        most = policy.max_hold + node.state.turn.spec.grace + policy.wind_grace
        if reached.facts.holder is holder or took > most:
            self.figures.found = Found(
                self._path(number), "G6: its ticks do not end a cancelled turn in time"
            )
            return False
        return True

    def _path(self, number: int) -> tuple[str, ...]:
        path: list[str] = []
        while number > 0:
            path.append(self.nodes[number].letter)
            number = self.nodes[number].parent
        return tuple(reversed(path))

    def _paths(self) -> int:
        """How many sequences of that depth there are: counted forward along the edges."""
        counts = {0: 1}
        for _ in range((self.figures.depth or 1) - 1):
            following: dict[int, int] = defaultdict(int)
            for number, count in counts.items():
                for target in self.edges[number]:
                    following[target] += count
            counts = following
        return sum(count * self._choices(number) for number, count in counts.items())

    def _choices(self, number: int) -> int:
        return len(self.edges[number]) if number < len(self.edges) else self.leaves[number]


def start(limits: Limits = LIMITS) -> Node:
    """A new session."""
    return Node(Idle(Memory(Home(SESSION, OWNER, limits))), Facts(), START, -1, "")


def grown(seed: tuple[str, ...], limits: Limits = LIMITS, letters: Letters = letters) -> Node:
    """Where the letters of these names lead from a new session. Raises `Broken` where they do not."""
    node = start(limits)
    for name in seed:
        found = letters(node.state, node.facts, node.now)
        letter = next((each for each in found if each.name == name), None)
        if letter is None:
            raise Broken(f"{name} cannot come next\n  in {node.state}")
        node = take(step, node, letter)
    return node._replace(letter="")


def take(
    step: StepFunction,
    node: Node,
    letter: Letter,
    parent: int = -1,
    witness: Witness | None = None,
    table: Table | None = None,
    log: Log | None = None,
) -> Node:
    """Where this letter leads. Raises `Broken` when the step breaks a guarantee or leaves the table."""
    state, facts, now, message = node.state, node.facts, node.now + letter.delay, letter.message
    if isinstance(message, Happening):
        return Node(*_happened(message, state, facts, now), now, parent, letter.name)
    if isinstance(message, Recover):
        home = state.memory.home
        home = replace(home, limits=letter.limits or home.limits)
        state, facts = restored(durable(state), home), facts.restarted()
    to = None if isinstance(message, FACTS) else _free_asker(facts)
    after, effects = step(state, message, now, to)
    facts = observe(facts, state, message, now, to, after, effects)
    if log is not None:
        log.check(state, after, effects)
    if table is not None:
        table.check(Taken(state, message, now, after, effects))
    if witness is not None:
        witness(node, message, after, effects)
    return Node(after, facts, now, parent, letter.name)


def _happened(happening: Happening, state: State, facts: Facts, now: float) -> tuple[State, Facts]:
    """What the registry makes of a session."""
    match happening:
        case Happening.FAILURE:
            left = after_failure(state, now, SAID, began=True)
            return left, observe_failure(facts, state, now, SAID, left, owed_answers(state))
        case Happening.SLEEP:
            return state, facts
        case Happening.REOPENING:
            floor = last_epoch(state)
            return Idle(Memory(state.memory.home, floor)), Facts(last_epoch=facts.last_epoch)
        case _:
            assert_never(happening)


def _free_asker(facts: Facts) -> Address:
    waiting = [asked.to for asked in facts.asked]
    return next(asker for asker in ASKERS if asker not in waiting)


def searches(
    deeper: int = 0, table: Table | None = None, witness: Witness | None = None, seeds: Seeds = SEEDS
) -> Iterator[tuple[str, Figures]]:
    """One search from each seed."""
    for name, seed in seeds.items():
        path, depth, limits, chosen = seed
        figures = search(
            max(depth + deeper, 1),
            step,
            witness,
            table=table,
            log=Log(),
            seed=path,
            limits=limits,
            letters=chosen,
        )
        yield name, figures


def small_search(
    alphabet: Alphabet, depth: int | None = None, table: Table | None = None, witness: Witness | None = None
) -> Figures:
    """The search of a small alphabet: to that depth, or to its end."""
    return search(
        depth,
        step,
        witness,
        table=table,
        log=Log(),
        limits=alphabet.limits,
        letters=alphabet.letters,
        remembers=alphabet.remembers or depth is not None,
    )


def small_searches(
    only: str = "", depth: int | None = None, table: Table | None = None, witness: Witness | None = None
) -> Iterator[tuple[str, Figures]]:
    """One search of each small alphabet whose name has that text in it."""
    for name, alphabet in ALPHABETS.items():
        if only in name:
            yield name, small_search(alphabet, depth, table, witness)


def searches_of_all(depth: int, table: Table | None = None) -> Iterator[tuple[str, Figures]]:
    """Searches of all letters together, from a new session: without a journal, and with one."""
    for name, limits in {"all letters": LIMITS, "all letters, durable": DURABLE}.items():
        yield name, search(depth, table=table, log=Log(), limits=limits, letters=everything)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deeper", type=int, default=0, help="how many messages more than in the tests")
    parser.add_argument("--first", action="store_true", help="stop at the first seed that finds something")
    parser.add_argument("--closed", action="store_true", help="the small alphabets, to their ends")
    parser.add_argument("--small", type=int, metavar="DEPTH", help="the small alphabets, to that depth")
    parser.add_argument(
        "--line", type=int, metavar="DEPTH", help="the seeds of those that wait, then as --small"
    )
    parser.add_argument("--slots", type=int, metavar="DEPTH", help="the same of those that wait for a slot")
    parser.add_argument("--ends", type=int, metavar="DEPTH", help="the same of those that end")
    parser.add_argument("--all", type=int, metavar="DEPTH", help="all letters together, to that depth")
    parser.add_argument("--only", default="", metavar="TEXT", help="of the small ones those so named")
    given = parser.parse_args(arguments)
    table, found = Table(), False
    some = given.line or given.slots or given.ends or given.all
    whole = not (given.closed or given.small or some)
    if given.line:
        seen = itertools.chain(searches(table=table, seeds=LINES), small_searches("", given.line, table))
    elif given.slots:
        seen = itertools.chain(
            searches(table=table, seeds=SLOTS), small_searches("slots", given.slots, table)
        )
    elif given.ends:
        of_ends = (small_searches(name, given.ends, table) for name in OF_ENDS)
        seen = itertools.chain(searches(table=table, seeds=ENDS), *of_ends)
    elif given.all:
        seen = searches_of_all(given.all, table)
    elif whole:
        # One message less takes a tenth of the time, and finds most of what there is to find.
        shallow = searches(given.deeper - 1, table) if given.first else ()
        seen = itertools.chain(shallow, searches(given.deeper, table))
    else:
        seen = small_searches(given.only, given.small, table)
    for name, figures in seen:
        print(f"{name}, {figures}")
        if figures.found is not None:
            found = True
            print(figures.found)
            if given.first:
                return 1
    if not whole:
        return int(found)
    print(table)
    return 0 if not found and table.covered else 1


if __name__ == "__main__":
    sys.exit(main())
