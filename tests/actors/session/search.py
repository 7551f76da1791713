"""Every sequence of messages to a depth, through the real `step`, each step watched by the monitor.

Two sequences that lead to the same session and the same facts of the monitor are merged, so that each
distinct pair is expanded once, however many paths lead to it. Pairs are compared with their epochs renumbered
(only their order and equality matter), with the moments that decide something relative to now, and with the
moments that are only shown in records reduced to whether they are set. Every field that is not named here is
compared as it is, with its type: a new one can make the search larger, never blind.

A pair that is cancelling is also drained: left alone but for its timer it must come to rest within two ticks.

Each step is also held against the transition table: it takes exactly one row and does what the row says. What
a few messages cannot bring about from a new session is reached from a seed, so that every row is taken.

    python -m tests.actors.session.search --depth 7
"""

import argparse
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from tests.actors.session.monitor import Broken, Facts, observe
from tests.actors.session.rows import Table, Taken
from turnkeeper.actors.model.messages import ReplyAddress, Shut, Stop, Submit, Tick, TurnEnded
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    LateEnd,
    Outcome,
    Raised,
    Reason,
    Returned,
    SessionId,
    Stopped,
    TurnHead,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.words import CancelCode, Strategy
from turnkeeper.actors.session.effects import Decision, Effect
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import (
    Again,
    Ask,
    Asked,
    Cancelling,
    EarlyCancel,
    Holder,
    Home,
    Idle,
    Limits,
    Memory,
    Running,
    State,
    Successor,
)
from turnkeeper.actors.session.views import find_turn

Witness: TypeAlias = Callable[["Node", Message, State, tuple[Effect, ...]], None]
StepFunction: TypeAlias = Callable[[State, Message, float, ReplyAddress | None], Decision]

START = 1_000.0
GRACE = 4.0
TIMEOUT = 3.0
EARLY_TTL = 30.0
SESSION = SessionId("s")
#: Two remembered turns and two early cancels: enough to find them, and to see one forgotten.
LIMITS = Limits(
    kept_turns=2, turn_retention=3600.0, early_cancels=2, early_cancel_ttl=EARLY_TTL, quarantined=2
)

# -- The alphabet ----------------------------------------------------------------------------------


class Letter(NamedTuple):
    """One thing that may happen next: after ``delay`` seconds, this message."""

    name: str
    message: Message
    delay: float = 0.0


class Address:
    """Where an asker waits."""

    def __init__(self, name: int) -> None:
        self.name = name

    def set(self, value: Any = None, /) -> None:
        raise AssertionError("the core never answers an asker itself")

    def __repr__(self) -> str:
        return f"<asker {self.name}>"


def _spec(turn_id: str, *, timeout: float | None = None, fingerprint: bytes | None = None) -> TurnSpec:
    head = TurnHead(TurnId(turn_id), "u", "agent", START, fingerprint)
    return TurnSpec(head, SESSION, "hi", timeout, GRACE)


INTERRUPT, REJECT = Strategy.INTERRUPT, Strategy.REJECT
A = _spec("a", fingerprint=b"1")
A_OTHER = _spec("a", fingerprint=b"2")
B = _spec("b", fingerprint=b"1", timeout=TIMEOUT)
#: Sends whose ids the server chose: always one that is not in use.
SERVER_SPECS = tuple(_spec(f"s{n}") for n in range(1, 20))
ASKERS = tuple(Address(n) for n in range(20))

USER = Reason(CancelCode.USER_REQUEST, "u")
POLICY = Reason(CancelCode.POLICY)
CLOSE = Reason(CancelCode.SESSION_CLOSED, "u")
SHUTDOWN = Reason(CancelCode.SHUTDOWN)
OUTCOMES: tuple[tuple[str, Outcome], ...] = (
    ("returned", Returned("r")),
    ("raised", Raised(ValueError("v"))),
    ("stopped", Stopped()),
)

#: What may happen whatever the session is doing.
ALWAYS = (
    Letter("send a", Submit(A, INTERRUPT)),
    Letter("send a, rejecting, not waiting", Submit(A, REJECT, wait=False)),
    Letter("send b, not waiting", Submit(B, INTERRUPT, wait=False)),
    Letter("send b, rejecting", Submit(B, REJECT)),
    Letter("stop", Stop(None, USER)),
    Letter("stop, not waiting", Stop(None, USER, wait=False)),
    Letter("stop a", Stop(TurnId("a"), USER)),
    Letter("stop b", Stop(TurnId("b"), USER)),
    Letter("stop if another turn matches", Stop(None, USER, if_match="x")),
    Letter("close", Shut(CLOSE)),
    Letter("shut down within 1 s", Shut(SHUTDOWN, 1.0)),
    Letter("tick", Tick()),
)


def letters(state: State, facts: Facts, now: float) -> list[Letter]:
    """All that may happen next, aimed at the turns there are."""
    return [*ALWAYS, *_sends(state, facts), *_aimed_stops(facts), *_ends(facts), *_ticks(facts, now)]


def _sends(state: State, facts: Facts) -> Iterator[Letter]:
    spec = _unused(state, facts)
    yield Letter("send", Submit(spec, INTERRUPT))
    yield Letter("send, not waiting", Submit(spec, INTERRUPT, wait=False))
    yield Letter("send, rejecting", Submit(spec, REJECT))
    yield Letter("send if another turn matches", Submit(spec, INTERRUPT, if_match="x"))
    current = facts.holder or (facts.last[0] if facts.last is not None else None)
    if current is not None:
        yield Letter("send if the turn matches", Submit(spec, INTERRUPT, if_match=current.turn_id))
    if find_turn(state, A.turn_id) is not None:
        # Where a is unknown, this would be a by another name.
        yield Letter("send another a", Submit(A_OTHER, INTERRUPT))
    if any(turn_id == B.turn_id for turn_id, _ in facts.early):
        yield Letter("send b after the early cancel's time", Submit(B, INTERRUPT), delay=EARLY_TTL)


def _unused(state: State, facts: Facts) -> TurnSpec:
    """The first server-chosen id that nothing knows: reusing a forgotten one is a renaming."""
    memory = state.memory
    used: set[TurnId | None] = set()
    for record in (*memory.records, *memory.quarantined):
        used |= {record.turn_id, record.superseded_by}
    used |= {spec.turn_id for spec in (facts.holder, facts.waiting) if spec is not None}
    if facts.last is not None:
        used.add(facts.last[0].turn_id)
    return next(spec for spec in SERVER_SPECS if spec.turn_id not in used)


def _aimed_stops(facts: Facts) -> Iterator[Letter]:
    """Stops aimed at the holder, the successor and a finished turn; a and b may be not yet sent."""
    if facts.holder is not None:
        yield Letter("stop the holder", Stop(facts.holder.turn_id, USER))
        yield Letter("stop the holder, not waiting", Stop(facts.holder.turn_id, USER, wait=False))
        yield Letter("stop the holder if it matches", Stop(None, POLICY, if_match=facts.holder.turn_id))
        if facts.due() is not None:
            yield Letter("stop the holder, late", Stop(facts.holder.turn_id, USER), delay=GRACE)
    if facts.waiting is not None:
        yield Letter("stop the successor", Stop(facts.waiting.turn_id, USER))
        yield Letter("stop the successor, not waiting", Stop(facts.waiting.turn_id, POLICY, wait=False))
    if facts.last is not None:
        yield Letter("stop a finished one", Stop(facts.last[0].turn_id, USER))
        yield Letter("stop a finished one, not waiting", Stop(facts.last[0].turn_id, USER, wait=False))
    for fled in facts.fled[-1:]:
        yield Letter("stop a quarantined one", Stop(fled.spec.turn_id, USER))


def _ends(facts: Facts) -> Iterator[Letter]:
    for name, outcome in OUTCOMES:
        if facts.holder is not None:
            yield Letter(f"the holder {name}", TurnEnded(facts.epoch, outcome))
        if facts.over is not None:
            yield Letter(f"a finished one {name}", TurnEnded(facts.over, outcome))
        for n, fled in enumerate(facts.fled):
            yield Letter(f"the quarantined {n} {name}", TurnEnded(fled.epoch, outcome))
    if facts.holder is not None and facts.due() is not None:
        # The report and the timer race: the report is first, at a moment when the timer was due.
        yield Letter("the holder stopped, late", TurnEnded(facts.epoch, Stopped()), delay=GRACE)


def _ticks(facts: Facts, now: float) -> Iterator[Letter]:
    """The due tick comes at its moment; a loop that was blocked delivers it long after."""
    if facts.timer is not None:
        yield Letter("the due tick", Tick(), delay=max(0.0, facts.timer - now))
        yield Letter("the due tick, late", Tick(), delay=2 * GRACE)


# -- The same, but for names -----------------------------------------------------------------------

#: How a field takes part in a comparison. Moments that decide something count relative to now, those that
#: are only shown count as set or not; epochs count by their order.
DECIDES, SHOWN, EPOCH, AS_IT_IS = "decides", "shown", "epoch", "as it is"
HOW: dict[tuple[type, str], str] = {
    (Running, "deadline"): DECIDES,
    (Asked, "again_at"): DECIDES,
    (Asked, "end_at"): DECIDES,
    (Again, "end_at"): DECIDES,
    (EarlyCancel, "asked_at"): DECIDES,
    (TurnHead, "submitted_at"): SHOWN,
    (Holder, "queued_at"): SHOWN,
    (Holder, "started_at"): SHOWN,
    (Cancellation, "asked_at"): SHOWN,
    (Cancellation, "again_at"): SHOWN,
    (TurnRecord, "queued_at"): SHOWN,
    (TurnRecord, "started_at"): SHOWN,
    (TurnRecord, "first_event_at"): SHOWN,
    (TurnRecord, "ended_at"): SHOWN,
    (LateEnd, "at"): SHOWN,
    (Ask, "at"): SHOWN,
    (Successor, "queued_at"): SHOWN,
    (Holder, "epoch"): EPOCH,
    (TurnRecord, "epoch"): EPOCH,
    (Memory, "last_epoch"): EPOCH,
}
#: From when on a moment that decides is as good as any earlier one.
PAST = {EarlyCancel: -EARLY_TTL}
#: Values that many states share, and in which no moment decides.
LASTING = frozenset({TurnRecord, TurnSpec, TurnHead, Holder, Cancellation, Reason, Home})
Field: TypeAlias = tuple[str, Callable[[Any], Any]]


class Names:
    """Turns a session and its facts into a key that is equal when they are the same but for names."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._known: dict[int, tuple[object, int, list[Epoch]]] = {}
        self._plans: dict[type, list[Field]] = {}

    def key(self, state: State, facts: Facts, now: float) -> Any:
        epochs: list[Epoch] = []
        shape = (self._shape(state, now, epochs), self._facts(facts, now, epochs))
        order = {epoch: n for n, epoch in enumerate(sorted(set(epochs)))}
        return (shape, tuple([order[epoch] for epoch in epochs]))

    def _facts(self, facts: Facts, now: float, epochs: list[Epoch]) -> Any:
        epochs += (facts.epoch if facts.holder is not None else 0, facts.over or 0, facts.last_epoch)
        epochs += [fled.epoch for fled in facts.fled]
        last = facts.last
        cancelled = facts.cause is not None and facts.holder is not None
        return (
            facts.holder and id(facts.holder),
            None if facts.deadline is None or facts.holder is None else max(facts.deadline - now, 0.0),
            (facts.cause, max(facts.half - now, 0.0), max(facts.end - now, 0.0), facts.again)
            if cancelled
            else None,
            facts.waiting and id(facts.waiting),
            tuple([id(fled.spec) for fled in facts.fled]),
            None if last is None else (id(last[0]), last[1]),
            tuple([(turn_id, max(until - now, 0.0)) for turn_id, until in facts.early]),
            tuple([(id(asked.to), asked.word, asked.turn_id) for asked in facts.asked]),
            None if facts.timer is None else max(facts.timer - now, 0.0),
            facts.shut,
            facts.shutdown,
        )

    def _shape(self, value: Any, now: float, epochs: list[Epoch]) -> Any:
        kind = type(value)
        if value is None or kind is str:
            return value
        if kind is tuple:
            return tuple([self._shape(each, now, epochs) for each in value])
        if kind in LASTING:
            return self._once(value, epochs)
        return self._fields(value, now, epochs) or (kind, value)

    def _fields(self, value: Any, now: float, epochs: list[Epoch]) -> Any:
        """The fields of one of our values; nothing for what is none."""
        kind = type(value)
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = _plan(kind)
        if not plan:
            return None
        shape: list[Any] = [kind]
        for how, get in plan:
            part = get(value)
            if how is EPOCH:
                epochs.append(-1 if part is None else part)
            elif how is DECIDES:
                shape.append(None if part is None else max(part - now, PAST.get(kind, 0.0)))
            elif how is SHOWN:
                shape.append(part is not None)
            else:
                shape.append(self._shape(part, now, epochs))
        return tuple(shape)

    def _once(self, value: Any, epochs: list[Epoch]) -> int:
        """The number of a value that many states share: it is looked at once."""
        known = self._known.get(id(value))
        if known is None:
            own: list[Epoch] = []
            shape = self._fields(value, 0.0, own)
            number = self._numbers.setdefault(shape, len(self._numbers))
            # Kept with the value itself, so that no other object gets its identity.
            known = self._known[id(value)] = (value, number, own)
        epochs += known[2]
        return known[1]


def _plan(kind: type) -> list[Field]:
    """How each field of a class takes part; what is no value of ours has no plan."""
    if not hasattr(kind, "__dataclass_fields__"):
        return []
    return [(HOW.get((kind, each.name), AS_IT_IS), attrgetter(each.name)) for each in fields(kind)]


# -- The search ------------------------------------------------------------------------------------


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

    depth: int
    states: int = 0
    transitions: int = 0
    paths: int = 0
    drained: int = 0
    seconds: float = 0.0
    found: Found | None = None

    def __str__(self) -> str:
        rate = self.transitions / self.seconds if self.seconds else 0.0
        return (
            f"depth {self.depth}: {self.states:,} distinct states, {self.transitions:,} transitions, "
            f"covering {self.paths:,} paths; {self.drained:,} drained; {self.seconds:.1f} s ({rate:,.0f}/s)"
        )


#: Paths to what a few messages from a new session do not reach. Here: a turn runs, and two were given up.
GIVE_UP = ("the due tick", "the due tick")
SEEDS = {"crowded": ("send", "stop", *GIVE_UP, "send", "send", *GIVE_UP)}
SEED_DEPTH = 3


def search(
    depth: int,
    step: StepFunction = step,
    witness: Witness | None = None,
    *,
    table: Table | None = None,
    seed: tuple[str, ...] = (),
) -> Figures:
    """Explore all sequences of ``depth`` messages after ``seed``; stop at the first broken guarantee.

    Or at the first transition outside the ``table``, if there is one.
    """
    return _Search(depth, step, witness, table, seed).run()


class _Search:
    def __init__(
        self,
        depth: int,
        step: StepFunction,
        witness: Witness | None,
        table: Table | None,
        seed: tuple[str, ...],
    ) -> None:
        self.figures = Figures(depth)
        self.step = step
        self.witness = witness
        self.table = table
        self.names = Names()
        first = grown(seed)
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
        first = 0
        for layer in range(self.figures.depth):
            last = len(self.nodes)
            for number in range(first, last):
                if not self._expand(number, leaves=layer == self.figures.depth - 1):
                    return
            first = last
        self.figures.paths = self._paths()

    def _expand(self, number: int, *, leaves: bool) -> bool:
        """Take every letter from this node. What the last one leads to is checked, but not kept."""
        node = self.nodes[number]
        targets: list[int] = []
        taken = 0
        for letter in letters(node.state, node.facts, node.now):
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
            return take(self.step, node, letter, number, self.witness, self.table)
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
        """No asker waits forever: the timer alone brings every cancelled turn to its end."""
        if not isinstance(node.state, Cancelling):
            return True
        self.figures.drained += 1
        holder, reached = node.facts.holder, node
        for _ in range(2):
            if reached.facts.holder is not holder:
                break
            wait = max(0.0, (reached.facts.timer or reached.now) - reached.now)
            ticked = self._take(number, reached, Letter("drained", Tick(), wait))
            if ticked is None:
                return False
            reached = ticked
        if reached.facts.holder is holder:
            self.figures.found = Found(self._path(number), "G6: two ticks do not end a cancelled turn")
            return False
        return True

    def _path(self, number: int) -> tuple[str, ...]:
        path: list[str] = []
        while number > 0:
            path.append(self.nodes[number].letter)
            number = self.nodes[number].parent
        return tuple(reversed(path))

    def _paths(self) -> int:
        """How many sequences of ``depth`` messages there are: counted forward along the edges."""
        counts = {0: 1}
        for _ in range(self.figures.depth - 1):
            following: dict[int, int] = defaultdict(int)
            for number, count in counts.items():
                for target in self.edges[number]:
                    following[target] += count
            counts = following
        return sum(count * self._choices(number) for number, count in counts.items())

    def _choices(self, number: int) -> int:
        return len(self.edges[number]) if number < len(self.edges) else self.leaves[number]


def start() -> Node:
    """A new session."""
    return Node(Idle(Memory(Home(SESSION, "u", LIMITS))), Facts(), START, -1, "")


def grown(seed: tuple[str, ...]) -> Node:
    """Where the letters of these names lead from a new session."""
    node = start()
    for name in seed:
        found = letters(node.state, node.facts, node.now)
        node = take(step, node, next(letter for letter in found if letter.name == name))
    return node._replace(letter="")


def take(
    step: StepFunction,
    node: Node,
    letter: Letter,
    parent: int = -1,
    witness: Witness | None = None,
    table: Table | None = None,
) -> Node:
    """Where this letter leads. Raises `Broken` when the step breaks a guarantee or leaves the table."""
    state, facts, now, message = node.state, node.facts, node.now + letter.delay, letter.message
    to = None if isinstance(message, Tick | TurnEnded) else _free_asker(facts)
    after, effects = step(state, message, now, to)
    facts = observe(facts, state, message, now, to, after, effects)
    if table is not None:
        table.check(Taken(state, message, now, after, effects))
    if witness is not None:
        witness(node, message, after, effects)
    return Node(after, facts, now, parent, letter.name)


def _free_asker(facts: Facts) -> Address:
    waiting = [asked.to for asked in facts.asked]
    return next(asker for asker in ASKERS if asker not in waiting)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=6, help="how many messages (default: 6)")
    table = Table()
    depth = parser.parse_args(arguments).depth
    searches = {"": search(depth, table=table)}
    for name, seed in SEEDS.items():
        searches[f"{name}, "] = search(min(depth, SEED_DEPTH), table=table, seed=seed)
    for name, figures in searches.items():
        print(f"{name}{figures}")
        if figures.found is not None:
            print(figures.found)
    print(table)
    return 0 if not any(figures.found for figures in searches.values()) and table.covered else 1


if __name__ == "__main__":
    sys.exit(main())
