"""Small alphabets, each about one thing, with so few letters and bounds that the search comes to an end.

There is no longest sequence in them: whatever is sent and however often, no session is met that is not known.
What keeps them small: few turns are remembered and may wait, and no more than two askers wait at a time.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple, TypeAlias

from tests.actors.session.alphabet import (
    BACKOFF,
    CLOSE,
    EARLY_TTL,
    FAILS,
    GRACE,
    POLICIES,
    POLICY,
    RESTART,
    RETENTION,
    SESSION,
    SHUTDOWN,
    START,
    USER,
    Address,
    Letter,
    used_ids,
)
from tests.actors.session.facts import Facts
from turnkeeper.actors.model.messages import (
    Edit,
    Rearrange,
    Recover,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    WoundUp,
)
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Returned, Stopped, TurnHead, TurnId, TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import MoveTo, OnFull, Strategy, WhoMayStop
from turnkeeper.actors.session.states import Limits, State

Letters: TypeAlias = Callable[[State, Facts, float], list[Letter]]

#: One turn of each kind is remembered.
SMALL = Limits(
    kept_turns=1,
    turn_retention=RETENTION,
    early_cancels=1,
    early_cancel_ttl=EARLY_TTL,
    quarantined=1,
    result=1_000,
    attempts=2,
    backoff=BACKOFF,
    agents=frozenset(POLICIES),
)
SMALL_DURABLE = replace(SMALL, durable=True)
INTERRUPT, REJECT, ENQUEUE = Strategy.INTERRUPT, Strategy.REJECT, Strategy.ENQUEUE
COLLAPSE = Strategy.COLLAPSE


class Kind(NamedTuple):
    """What the sends of one letter have in common."""

    strategy: Strategy
    user: str = "u"
    agent: str = "ends"
    queue_limit: int = 2
    on_full: OnFull = OnFull.REJECT
    after: float | None = None
    wait: bool = True
    who_may_stop: WhoMayStop = WhoMayStop.OWNER
    window: float = 0.0

    def __str__(self) -> str:
        again = "" if self.agent == "ends" else f", {self.agent}"
        moment = "" if self.after is None else f" after {self.after:g} s"
        drops = ", dropping the oldest" if self.on_full is OnFull.DROP_OLDEST else ""
        waits = "" if self.wait else ", not waiting"
        waits += "" if self.queue_limit else ", of none"
        waits += f" in a window of {self.window:.0f} s" if self.window else ""
        return f"{self.user} sends: {self.strategy}{drops}{moment}{again}{waits}"


@cache
def spec_of(kind: Kind, turn_id: str, fingerprint: bytes | None = None) -> TurnSpec:
    """A turn of this kind: the same object for the same one."""
    policy = Policy(
        kind.strategy,
        queue_limit=kind.queue_limit,
        on_full=kind.on_full,
        collapse_parts=2,
        collapse_window=kind.window,
        on_restart=POLICIES[kind.agent],
        who_may_stop=kind.who_may_stop,
    )
    head = TurnHead(TurnId(turn_id), kind.user, kind.agent, START, fingerprint, kind.strategy, policy)
    return TurnSpec(head, SESSION, "hi", None, GRACE, ended_to=Address(f"for the end of {turn_id}"))


def sends(facts: Facts, now: float, *kinds: Kind) -> Iterator[Letter]:
    """A send of each kind, of a turn that nothing is known of."""
    used = used_ids(facts)
    turn_id = next(name for name in (f"s{n}" for n in range(1, 20)) if name not in used)
    for kind in kinds:
        moment = None if kind.after is None else now + kind.after
        yield Letter(str(kind), Submit(spec_of(kind, turn_id), kind.strategy, kind.wait, not_before=moment))


def stops(facts: Facts) -> Iterator[Letter]:
    """Cancels of all there is, of the turn in flight, and of one at each place; each also clearing."""
    aims: dict[str, TurnId | None] = {"": None}
    if facts.holder is not None:
        aims[" the holder"] = facts.holder.turn_id
    for place, turns in (("front", (facts.front,)), ("rest", facts.rest), ("later", facts.later)):
        if turns and turns[-1] is not None:
            aims[f" the last one of {place}"] = turns[-1].turn_id
    for name, aim in aims.items():
        yield Letter(f"stop{name}", Stop(aim, USER, wait=False))
        if facts.line:
            yield Letter(f"stop{name}, clearing", Stop(aim, USER, wait=False, clear=True))
    if not facts.asked:
        yield Letter("stop, waiting, clearing", Stop(None, USER, clear=True))


def late_stops(facts: Facts) -> Iterator[Letter]:
    """Cancels of what is over: they clear nothing."""
    for record in (*facts.kept[-1:], *(fled.record for fled in facts.fled)):
        yield Letter("stop a finished one, clearing", Stop(record.turn_id, USER, wait=False, clear=True))


def ends(facts: Facts) -> Iterator[Letter]:
    """The ends of the coroutines there are."""
    if facts.holder is not None:
        yield Letter("the holder returned", TurnEnded(facts.epoch, Returned("r")))
        yield Letter("the holder stopped", TurnEnded(facts.epoch, Stopped()))
    for fled in facts.fled:
        yield Letter("the quarantined one returned", TurnEnded(fled.epoch, Returned("r")))


def ticks(facts: Facts, now: float) -> Iterator[Letter]:
    """What is due comes at its moment."""
    if facts.timer is not None:
        yield Letter("the due tick", Tick(), max(0.0, facts.timer - now))


def shuts(facts: Facts) -> Iterator[Letter]:
    """A close, and a shutdown."""
    if len(facts.asked) < 2:
        yield Letter("close", Shut(CLOSE))
        yield Letter("shut down within 1 s", Shut(SHUTDOWN, 1.0))


def process(state: State) -> Letter:
    """What ends the process, or all that there is of the session in it."""
    return RESTART if state.memory.home.limits.durable else FAILS


# -- The alphabets ------------------------------------------------------------------------------------


SENDS = Kind(INTERRUPT), Kind(REJECT), Kind(ENQUEUE), Kind(ENQUEUE, "v", on_full=OnFull.DROP_OLDEST)


def queue(state: State, facts: Facts, now: float) -> list[Letter]:
    """Sends of all strategies, of two users, one of whom takes the places of earlier ones."""
    return [*sends(facts, now, *SENDS), *stops(facts), *late_stops(facts), *ends(facts)]


def short_queue(state: State, facts: Facts, now: float) -> list[Letter]:
    """One may wait. Turns are given up, sessions are closed and lost."""
    kinds = Kind(INTERRUPT, wait=False), Kind(ENQUEUE, queue_limit=1)
    return [
        *sends(facts, now, *kinds),
        *stops(facts),
        *ends(facts),
        *ticks(facts, now),
        *shuts(facts),
        process(state),
    ]


def later(state: State, facts: Facts, now: float) -> list[Letter]:
    """Sends that take their place later, by each strategy."""
    kinds = (
        Kind(INTERRUPT, wait=False),
        Kind(INTERRUPT, after=1.0),
        Kind(ENQUEUE, after=2.0),
        Kind(REJECT, after=3.0),
    )
    return [
        *sends(facts, now, *kinds),
        *stops(facts),
        *late_stops(facts),
        *ends(facts),
        *ticks(facts, now),
        process(state),
    ]


def move(state: State, facts: Facts, now: float) -> list[Letter]:
    """Those that wait are moved, and made to say something else."""
    kinds = Kind(INTERRUPT, wait=False), Kind(ENQUEUE), Kind(ENQUEUE, after=2.0)
    return [*sends(facts, now, *kinds), *moves(facts), *ends(facts), *ticks(facts, now), process(state)]


def moves(facts: Facts) -> Iterator[Letter]:
    """One at each place is moved to each place, and edited."""
    places = {"front": (facts.front,), "rest": facts.rest, "later": facts.later}
    aims = {name: turns[-1].spec for name, turns in places.items() if turns and turns[-1] is not None}
    if facts.holder is not None:
        aims["those that run"] = facts.holder
    for name, aim in aims.items():
        for to in MoveTo:
            yield Letter(f"move the last one of {name}: {to}", Rearrange(aim.turn_id, aim.user, to))
        yield Letter(f"edit the last one of {name}", Rearrange(aim.turn_id, aim.user, None, Edit("ho", 2)))


def collapse(state: State, facts: Facts, now: float) -> list[Letter]:
    """Messages that become one: in a window and without, sent for now and for later, of two users."""
    kinds = (
        Kind(COLLAPSE),
        Kind(COLLAPSE, "v", on_full=OnFull.DROP_OLDEST),
        Kind(COLLAPSE, window=2.0),
        Kind(COLLAPSE, after=1.0, window=2.0),
    )
    return [*sends(facts, now, *kinds), *ends(facts), *ticks(facts, now), process(state)]


def collapse_and_move(state: State, facts: Facts, now: float) -> list[Letter]:
    """What others may join, or have joined, is moved and edited, and makes way."""
    kinds = Kind(COLLAPSE, window=2.0), Kind(INTERRUPT, wait=False)
    return [*sends(facts, now, *kinds), *moves(facts), *ends(facts), *ticks(facts, now)]


ROLLBACK = Strategy.ROLLBACK
DROPS = OnFull.DROP_OLDEST
#: Long after all else that is due.
LONG = 99.0


def line(state: State, facts: Facts, now: float) -> list[Letter]:
    """All that may happen to those that wait: for a message or two after a seed."""
    kinds = (
        Kind(INTERRUPT, agent="goes on"),
        Kind(INTERRUPT, wait=False),
        Kind(ROLLBACK, wait=False),
        Kind(ENQUEUE),
        Kind(ENQUEUE, "v", queue_limit=1, on_full=DROPS),
        Kind(COLLAPSE),
        Kind(INTERRUPT, after=0.5),
        Kind(ROLLBACK, after=0.5),
        Kind(REJECT, after=0.5),
        Kind(ENQUEUE, after=0.5),
        Kind(COLLAPSE, after=0.5, window=2.0),
        Kind(ENQUEUE, after=LONG),
        Kind(ENQUEUE, "v", queue_limit=1, on_full=DROPS, after=LONG),
        Kind(ENQUEUE, queue_limit=0),
        Kind(ENQUEUE, queue_limit=0, after=LONG),
    )
    return [
        *sends(facts, now, *kinds),
        *stops(facts),
        *policy_stops(facts),
        *late_stops(facts),
        *moves(facts),
        Letter("move one that is not known", Rearrange(TurnId("x"), "u", MoveTo.FIRST)),
        *ends(facts),
        *([] if facts.winds is None else [Letter("it is undone", WoundUp(facts.epoch))]),
        *ticks(facts, now),
        *shuts(facts),
        *processes(state),
    ]


def policy_stops(facts: Facts) -> Iterator[Letter]:
    """Cancels after which streams go on, and some that wait for the verdict beside others."""
    yield Letter("stop, as a policy", Stop(None, POLICY, wait=False))
    if len(facts.asked) < 2:
        yield Letter("stop, waiting", Stop(None, USER))
        yield Letter("stop, waiting, as a policy", Stop(None, POLICY))
        yield Letter("stop, waiting and clearing, as a policy", Stop(None, POLICY, clear=True))


def processes(state: State) -> Iterator[Letter]:
    """What ends the process, and other ones that know other agents."""
    yield process(state)
    if state.memory.home.limits.durable:
        for agent in ("goes on", "ends"):
            knows = replace(state.memory.home.limits, agents=frozenset({agent}))
            yield Letter(f"one that knows only the agent {agent!r} loads it", Recover(), limits=knows)


class Alphabet(NamedTuple):
    """Letters that are searched until nothing new is found, from a new session with these limits."""

    letters: Letters
    limits: Limits


ALPHABETS = {
    "queue": Alphabet(queue, SMALL),
    "short queue": Alphabet(short_queue, SMALL),
    "short queue, durable": Alphabet(short_queue, SMALL_DURABLE),
    "later": Alphabet(later, SMALL),
    "move": Alphabet(move, SMALL),
    "move, durable": Alphabet(move, SMALL_DURABLE),
    "later, durable": Alphabet(later, SMALL_DURABLE),
    "collapse": Alphabet(collapse, SMALL),
    "collapse and move": Alphabet(collapse_and_move, SMALL),
    "collapse, durable": Alphabet(collapse, SMALL_DURABLE),
}
