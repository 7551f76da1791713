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
    Happening,
    Letter,
    letters,
    used_ids,
    wound_up,
)
from tests.actors.session.endings import (
    OPEN,
    ends_with_hooks,
    forces,
    holds,
    last_ticks,
    passes,
    restarts_with_hooks,
    returns,
    waiting_forces,
)
from tests.actors.session.facts import Facts, Rung
from turnkeeper.actors.model.exceptions import TooMuchKept
from turnkeeper.actors.model.messages import (
    Edit,
    Granted,
    Rearrange,
    Recover,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Returned, Stopped, TurnHead, TurnId, TurnRecord, TurnSpec
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import MoveTo, OnCap, OnFull, Strategy, TurnStatus, WhoMayStop
from turnkeeper.actors.session.slots import next_ticket
from turnkeeper.actors.session.states import Closed, Idle, Limits, Queued, State
from turnkeeper.actors.session.steps.sections import MOST

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
COLLAPSE, ROLLBACK = Strategy.COLLAPSE, Strategy.ROLLBACK
#: The user who moves and edits: none of those who send.
MOVER = "m"


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
    on_cap: OnCap = OnCap.REFUSE
    granted: bool = False
    timeout: float | None = None
    max_hold: float = 30.0

    def __str__(self) -> str:
        again = "" if self.agent == "ends" else f", {self.agent}"
        moment = "" if self.after is None else f" after {self.after:g} s"
        drops = ", dropping the oldest" if self.on_full is OnFull.DROP_OLDEST else ""
        waits = "" if self.wait else ", not waiting"
        waits += "" if self.queue_limit else ", of none"
        waits += f" in a window of {self.window:.0f} s" if self.window else ""
        waits += ", for a slot" if self.on_cap is OnCap.WAIT else ""
        waits += ", there is one" if self.granted else ""
        waits += "" if self.timeout is None else f", for {self.timeout:g} s"
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
        on_cap=kind.on_cap,
        max_hold=kind.max_hold,
    )
    head = TurnHead(TurnId(turn_id), kind.user, kind.agent, START, fingerprint, kind.strategy, policy)
    return TurnSpec(head, SESSION, "hi", kind.timeout, GRACE, ended_to=Address(f"for the end of {turn_id}"))


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


def some_stops(facts: Facts) -> Iterator[Letter]:
    """Cancels of all there is, and of the last one that waits for a moment; none of them waits."""
    yield Letter("stop", Stop(None, USER, wait=False))
    if facts.line:
        yield Letter("stop, clearing", Stop(None, USER, wait=False, clear=True))
    if facts.later:
        yield Letter("stop the last one of later", Stop(facts.later[-1].turn_id, USER, wait=False))


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


def ticks_in_time(facts: Facts, now: float) -> Iterator[Letter]:
    """What is due comes at its moment, but for the end of a ladder: all coroutines stop before theirs."""
    gives_up = facts.holder is not None and facts.rung is Rung.SECOND and facts.timer == facts.end
    if not gives_up:
        yield from ticks(facts, now)


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
    """Sends that interrupt, reject and enqueue, of two users, one of whom drops earlier ones."""
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
    """Sends that take their place later, by each strategy. No turn is given up."""
    return _later(state, facts, now, 1.0, 2.0, 3.0)


def later_in_step(state: State, facts: Facts, now: float) -> list[Letter]:
    """The same, at moments at which a ladder's rungs are due."""
    return _later(state, facts, now, 2.0, 4.0, 2.0)


def _later(state: State, facts: Facts, now: float, *after: float) -> list[Letter]:
    strategies = INTERRUPT, ENQUEUE, REJECT
    kinds = (Kind(strategy, after=moment) for strategy, moment in zip(strategies, after, strict=True))
    return [
        *sends(facts, now, Kind(INTERRUPT, wait=False), *kinds, Kind(REJECT, after=0.0)),
        *some_stops(facts),
        *late_stops(facts),
        *ends(facts),
        *ticks_in_time(facts, now),
        process(state),
    ]


def later_and_given_up(state: State, facts: Facts, now: float) -> list[Letter]:
    """Some wait for a moment while turns are stopped in each way, and given up."""
    kinds = Kind(INTERRUPT, wait=False), Kind(ENQUEUE, after=2.0)
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
    return [*_moved(state, facts, now, MOVER), *ticks(facts, now)]


def move_own(state: State, facts: Facts, now: float) -> list[Letter]:
    """The same, by their own sender. No turn is given up."""
    return [*_moved(state, facts, now, "u"), *ticks_in_time(facts, now)]


def _moved(state: State, facts: Facts, now: float, by: str) -> list[Letter]:
    kinds = Kind(INTERRUPT, wait=False), Kind(ENQUEUE), Kind(ENQUEUE, after=2.0)
    return [*sends(facts, now, *kinds), *moves(facts, by), *ends(facts), process(state)]


def moves(facts: Facts, by: str = MOVER) -> Iterator[Letter]:
    """One at each place is moved to each place, and edited, by this user."""
    places = {"front": (facts.front,), "rest": facts.rest, "later": facts.later}
    aims = {name: turns[-1].spec for name, turns in places.items() if turns and turns[-1] is not None}
    if facts.holder is not None:
        aims["those that run"] = facts.holder
    for name, aim in aims.items():
        for to in MoveTo:
            yield Letter(f"move the last one of {name}: {to}", Rearrange(aim.turn_id, by, to))
        edit = Rearrange(aim.turn_id, by, None, Edit("ho", 2))
        yield Letter(f"edit the last one of {name}", edit)
        yield Letter(f"edit the last one of {name}, without room", replace(edit, no_room=TooMuchKept("full")))


def collapse(state: State, facts: Facts, now: float) -> list[Letter]:
    """Messages that become one: in a window and without, sent for now and for later, of two users."""
    goes_on = Kind(COLLAPSE, agent="goes on")
    kinds = (
        goes_on,
        goes_on._replace(user="v", on_full=OnFull.DROP_OLDEST),
        goes_on._replace(window=2.0),
        goes_on._replace(after=1.0, window=2.0),
    )
    return [*sends(facts, now, *kinds), *ends(facts), *ticks(facts, now), process(state)]


def collapse_and_move(state: State, facts: Facts, now: float) -> list[Letter]:
    """What others may join, or have joined, is moved and edited by its sender. No turn is given up."""
    kind = Kind(COLLAPSE, window=2.0)
    return [*sends(facts, now, kind), *moves(facts, "u"), *ends(facts), *ticks_in_time(facts, now)]


def rollback(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns are undone: in time or not, after a Stop, and over a close and a shutdown."""
    kinds = Kind(INTERRUPT, wait=False), Kind(ROLLBACK)
    return [
        *sends(facts, now, *kinds),
        *some_stops(facts),
        *ends(facts),
        *wound_up(facts),
        *ticks(facts, now),
        *(() if facts.asked else shuts(facts)),
        process(state),
    ]


def rollback_later(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns are undone as one comes whose moment it is."""
    kinds = Kind(INTERRUPT, wait=False), Kind(ROLLBACK), Kind(ROLLBACK, after=2.0, wait=False)
    return [
        *sends(facts, now, *kinds),
        *ends(facts),
        *wound_up(facts),
        *ticks(facts, now),
        process(state),
    ]


#: One that is run again, and may hold a cancel back for less time than it has.
HOLDS = Kind(INTERRUPT, agent="goes on", wait=False, max_hold=3.0)


def critical(state: State, facts: Facts, now: float) -> list[Letter]:
    """Critical sections, one in another and beside it: cancels wait for their ends, but for one by force."""
    return [
        *sends(facts, now, HOLDS, HOLDS._replace(timeout=2.0)),
        Letter("stop", Stop(None, USER, wait=False)),
        *forces(facts),
        *holds(facts),
        *passes(facts),
        *ends(facts),
        *ticks(facts, now),
        *(() if facts.asked else shuts(facts)),
        process(state),
    ]


def work(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns return, and what they have begun runs on: it is stopped, in time or not."""
    return [
        *sends(facts, now, Kind(INTERRUPT, agent="goes on", wait=False)),
        *some_stops(facts),
        *returns(facts),
        *ends(facts),
        *ticks(facts, now),
        *last_ticks(facts, now),
        *(() if facts.asked else shuts(facts)),
        process(state),
    ]


def hooks(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns whose ends run something: however they end, after a Stop, and over a close and a restart."""
    return [
        *sends(facts, now, Kind(INTERRUPT, agent="goes on", wait=False), Kind(ROLLBACK, wait=False)),
        *some_stops(facts),
        *ends(facts),
        *ends_with_hooks(facts),
        *wound_up(facts),
        *ticks(facts, now),
        *last_ticks(facts, now, hooks=True),
        *(() if facts.asked else shuts(facts)),
        process(state),
        *restarts_with_hooks(state),
    ]


def children(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns that have returned or stopped, at whose ladder's end only their children run."""
    return [
        *sends(facts, now, Kind(INTERRUPT, agent="goes on", wait=False)),
        Letter("stop", Stop(None, USER, wait=False)),
        *returns(facts),
        *wound_up(facts),
        *ticks(facts, now),
        *last_ticks(facts, now, children=True),
        *(() if facts.asked else shuts(facts)),
        process(state),
    ]


#: A turn whose id its client chose. Who may stop it is its sender, and not the owner of the session.
CHOSEN = Kind(INTERRUPT, "v", who_may_stop=WhoMayStop.SENDER)
A, B = TurnId("a"), TurnId("b")


def chosen(facts: Facts, now: float, *, wait: bool = False) -> Iterator[Letter]:
    """Sends of a turn whose id is known: once more, with another message, and if it is the one in flight."""
    one, other = spec_of(CHOSEN, A, b"1"), spec_of(CHOSEN, A, b"2")
    yield Letter("v sends a", Submit(one, INTERRUPT, wait))
    yield Letter("v sends a if it matches", Submit(one, INTERRUPT, wait, if_match=A))
    yield Letter("v sends another a", Submit(other, INTERRUPT, wait))
    yield from sends(facts, now, Kind(INTERRUPT, wait=False))


def known_ids(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns that are known, and sent again: as long as they are kept, and then."""
    one = spec_of(CHOSEN, A, b"1")
    past = TurnRecord(one.head, 1, TurnStatus.COMPLETED, ended_at=START, began=True)
    forgotten = [Letter("v sends a, which the log knows", Submit(one, INTERRUPT, past=past))]
    return [
        *chosen(facts, now, wait=True),
        *(forgotten if facts.record(A) is None else ()),
        Letter("v sends a, enqueueing, not waiting", Submit(one, ENQUEUE, wait=False)),
        Letter("stop a", Stop(A, USER, wait=False)),
        *ends(facts),
        *_waits_long(state, facts),
        process(state),
    ]


def cancelled_early(state: State, facts: Facts, now: float) -> list[Letter]:
    """Cancels that come before their sends, of more turns than are remembered, and by one who may not."""
    return [
        *chosen(facts, now),
        Letter("stop a", Stop(A, USER, wait=False)),
        Letter("stop a as one who may not", Stop(A, USER, wait=False, asker="u")),
        Letter("stop b", Stop(B, USER, wait=False)),
        *ends(facts),
        process(state),
    ]


def known_and_given_up(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns that are known, given up and still running, and that end late."""
    known = facts.record(A) is not None
    return [
        *chosen(facts, now),
        *([Letter("stop a", Stop(A, USER, wait=False))] if known else ()),
        *ends(facts),
        *ticks(facts, now),
        process(state),
    ]


def _waits_long(state: State, facts: Facts) -> Iterator[Letter]:
    """It is quiet for so long that early cancels, and what is kept of turns, no longer count."""
    if isinstance(state, Idle | Closed):
        if facts.early:
            yield Letter("an early cancel's time passes", Happening.SLEEP, EARLY_TTL)
        if facts.kept:
            yield Letter("it sleeps for long", Happening.SLEEP, RETENTION)
        if not facts.fled and facts.last_epoch:
            yield Letter("it is forgotten, and opened again", Happening.REOPENING)


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
        *(Kind(strategy, after=0.0) for strategy in Strategy),
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
        *wound_up(facts),
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
    yield from restarts_with_hooks(state)
    if state.memory.home.limits.durable:
        for agent in ("goes on", "ends"):
            knows = replace(state.memory.home.limits, agents=frozenset({agent}))
            name = f"one that knows only the agent {agent!r} loads it"
            yield Letter(name, Recover(extras=OPEN), limits=knows)
            yield Letter(f"{name}, with hooks", Recover(winds=True, extras=OPEN), limits=knows)


# -- Those who wait for a slot ------------------------------------------------------------------------

WAIT = OnCap.WAIT


def slot_sends(state: State, facts: Facts, now: float, *kinds: Kind) -> Iterator[Letter]:
    """A send of each kind, and where it could start at once also one that brings its slot along."""
    yield from sends(facts, now, *kinds)
    if type(state) is Idle or (type(state) is Queued and state.line.front is None):
        ticket = next_ticket(state.memory)
        needy = [kind for kind in kinds if kind.on_cap is WAIT and kind.after is None]
        for letter in sends(facts, now, *(kind._replace(granted=True) for kind in needy)):
            assert isinstance(letter.message, Submit)
            yield letter._replace(message=replace(letter.message, granted=ticket))


def grants(facts: Facts) -> Iterator[Letter]:
    """There is a slot for the turn that asks; or for one that asked before, and does so no more."""
    if facts.ticket is not None and facts.asks:
        yield Letter("granted", Granted(facts.ticket))
        yield Letter("granted before", Granted(Ticket(SESSION, facts.ticket.number - 1)))
    else:
        yield Letter("granted in vain", Granted(Ticket(SESSION, facts.last_ticket)))


def slots(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns of two agents that wait for slots: they make way, are stopped, given up, closed and lost."""
    kinds = (
        Kind(INTERRUPT, on_cap=WAIT),
        Kind(INTERRUPT, agent="goes on", wait=False, on_cap=WAIT),
        Kind(REJECT, on_cap=WAIT),
        Kind(ENQUEUE, queue_limit=1, on_cap=WAIT),
    )
    return [
        *slot_sends(state, facts, now, *kinds),
        *grants(facts),
        *some_stops(facts),
        *ends(facts),
        *ticks(facts, now),
        Letter("a tick", Tick()),
        *(() if facts.asked else shuts(facts)),
        process(state),
    ]


def slots_and_moves(state: State, facts: Facts, now: float) -> list[Letter]:
    """Turns that wait for slots, behind others and for a moment, are moved and edited."""
    kinds = (
        Kind(INTERRUPT, wait=False),
        Kind(ENQUEUE, on_cap=WAIT),
        Kind(INTERRUPT, agent="goes on", after=2.0, on_cap=WAIT),
    )
    return [
        *slot_sends(state, facts, now, *kinds),
        *grants(facts),
        *some_stops(facts),
        *moves(facts),
        *ends(facts),
        *ticks_in_time(facts, now),
        process(state),
    ]


def slot_line(state: State, facts: Facts, now: float) -> list[Letter]:
    """All that may happen to those that wait for a slot: for a message or two after a seed."""
    kinds = (
        Kind(INTERRUPT, on_cap=WAIT),
        Kind(INTERRUPT, agent="goes on", on_cap=WAIT),
        Kind(INTERRUPT, wait=False),
        Kind(ROLLBACK, wait=False, on_cap=WAIT),
        Kind(REJECT, on_cap=WAIT),
        Kind(ENQUEUE, on_cap=WAIT),
        Kind(ENQUEUE, agent="goes on", on_cap=WAIT),
        Kind(ENQUEUE),
        Kind(COLLAPSE, on_cap=WAIT),
        Kind(COLLAPSE, on_cap=WAIT, window=2.0),
        *(Kind(strategy, after=0.5, on_cap=WAIT) for strategy in Strategy),
        Kind(INTERRUPT, after=0.5),
        Kind(INTERRUPT, after=0.0, on_cap=WAIT),
        Kind(ENQUEUE, after=LONG, on_cap=WAIT),
    )
    known = spec_of(Kind(INTERRUPT, on_cap=WAIT), "k", b"1")
    return [
        *slot_sends(state, facts, now, *kinds),
        *grants(facts),
        Letter("send k, for a slot", Submit(known, INTERRUPT)),
        *last_ticks(facts, now, children=True),
        *stops(facts),
        *policy_stops(facts),
        *moves(facts),
        *ends(facts),
        *wound_up(facts),
        *ticks(facts, now),
        Letter("a tick", Tick()),
        *shuts(facts),
        *processes(state),
    ]


def ending(state: State, facts: Facts, now: float) -> list[Letter]:
    """All that may happen to a turn that ends: for a message or two after a seed."""
    kinds = (
        Kind(INTERRUPT, agent="goes on"),
        Kind(INTERRUPT, agent="goes on", wait=False),
        Kind(INTERRUPT, wait=False, timeout=2.0),
        Kind(ROLLBACK),
        Kind(ROLLBACK, wait=False),
        Kind(REJECT),
        Kind(ENQUEUE),
        Kind(INTERRUPT, after=0.5),
        Kind(ROLLBACK, after=0.5),
        Kind(ENQUEUE, after=LONG),
    )
    return [
        *sends(facts, now, *kinds),
        *stops(facts),
        *policy_stops(facts),
        *forces(facts),
        *waiting_forces(facts),
        *holds(facts, MOST + 1),
        *passes(facts),
        *returns(facts),
        *ends(facts),
        *ends_with_hooks(facts),
        *moves(facts),
        *wound_up(facts),
        *ticks(facts, now),
        *last_ticks(facts, now, hooks=True, children=True),
        *shuts(facts),
        *processes(state),
    ]


class Alphabet(NamedTuple):
    """Letters that are searched until nothing new is found, from a new session with these limits.

    Unless it ``remembers``, two sessions are the same that only keep other records of turns which have ended.
    """

    letters: Letters
    limits: Limits
    remembers: bool = False


ALPHABETS = {
    "queue": Alphabet(queue, SMALL),
    "short queue": Alphabet(short_queue, SMALL),
    "short queue, durable": Alphabet(short_queue, SMALL_DURABLE),
    "known ids": Alphabet(known_ids, SMALL, remembers=True),
    "known ids, durable": Alphabet(known_ids, SMALL_DURABLE, remembers=True),
    "known ids, cancelled early": Alphabet(cancelled_early, SMALL, remembers=True),
    "known ids, cancelled early, durable": Alphabet(cancelled_early, SMALL_DURABLE, remembers=True),
    "known ids, given up": Alphabet(known_and_given_up, SMALL, remembers=True),
    "known ids, given up, durable": Alphabet(known_and_given_up, SMALL_DURABLE, remembers=True),
    "rollback": Alphabet(rollback, SMALL),
    "rollback, durable": Alphabet(rollback, SMALL_DURABLE),
    "rollback, later": Alphabet(rollback_later, SMALL),
    "rollback, later, durable": Alphabet(rollback_later, SMALL_DURABLE),
    "collapse": Alphabet(collapse, SMALL),
    "collapse, durable": Alphabet(collapse, SMALL_DURABLE),
    "collapse and move": Alphabet(collapse_and_move, SMALL),
    "critical sections": Alphabet(critical, SMALL),
    "critical sections, durable": Alphabet(critical, SMALL_DURABLE),
    "work": Alphabet(work, SMALL),
    "work, durable": Alphabet(work, SMALL_DURABLE),
    "hooks": Alphabet(hooks, SMALL),
    "hooks, durable": Alphabet(hooks, SMALL_DURABLE),
    "children": Alphabet(children, SMALL),
    "children, durable": Alphabet(children, SMALL_DURABLE),
    "later": Alphabet(later, SMALL),
    "later, durable": Alphabet(later_in_step, SMALL_DURABLE),
    "later, given up": Alphabet(later_and_given_up, SMALL),
    "later, given up, durable": Alphabet(later_and_given_up, SMALL_DURABLE),
    "move": Alphabet(move, SMALL),
    "move, durable": Alphabet(move_own, SMALL_DURABLE),
    "slots": Alphabet(slots, SMALL),
    "slots, durable": Alphabet(slots, SMALL_DURABLE),
    "slots, moved": Alphabet(slots_and_moves, SMALL),
    "slots, moved, durable": Alphabet(slots_and_moves, SMALL_DURABLE),
}


def everything(state: State, facts: Facts, now: float) -> list[Letter]:
    """All letters together."""
    # Of those with the same name only the first.
    chosen = (letters, line, ending, *dict.fromkeys(each.letters for each in ALPHABETS.values()))
    named: dict[str, Letter] = {}
    for of_some in chosen:
        for letter in of_some(state, facts, now):
            named.setdefault(letter.name, letter)
    return list(named.values())
