"""Two sessions, the slots that they share, and a mailbox each, in which a grant may wait: every sequence.

The sessions are the real `step`, the slots the real `Slots` with their `Scheduler`, and a send is given its
slot by the real `with_room`. Nothing else is: an actor is a list of the grants that it has not read yet.

After each step it is looked at who has a slot, who waits and which grants are on their way. And each world
that is met is drained: grants are read and turns end until nothing happens, and then all must be at rest.

    python -m tests.actors.registry.admitting.two              all worlds, until nothing new is met
    python -m tests.actors.registry.admitting.two --most 1000  no more than so many of each
"""

import argparse
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.model.messages import Granted, Shut, Stop, Submit, TurnEnded
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Reason, Returned, SessionId, TurnHead, TurnId, TurnSpec
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.words import CancelCode, OnCap, Priority, Strategy
from turnkeeper.actors.registry.admitting.room import with_room
from turnkeeper.actors.registry.admitting.slots import Slots
from turnkeeper.actors.session.effects import AskSlot, Effect, LeaveSlot
from turnkeeper.actors.session.machine import Message, after_failure, step
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.slots import next_ticket, slot_of
from turnkeeper.actors.session.states import Closed, Ending, Home, Idle, Memory, Queued, Running, State
from turnkeeper.actors.session.views import line_of

SETTINGS = Settings(kept_turns=1)
NOW = 1_000.0
POLICY, CLOSE = Reason(CancelCode.POLICY), Reason(CancelCode.SESSION_CLOSED)
INTERRUPT, ENQUEUE, REJECT = Strategy.INTERRUPT, Strategy.ENQUEUE, Strategy.REJECT
#: More steps than any world needs to come to rest.
STEPS = 60


class Violation(AssertionError):
    """What must not be has come about."""


def expect(holds: object, otherwise: str) -> None:
    """Raise `Violation`, unless that holds."""
    if not holds:
        raise Violation(otherwise)


class Loop:
    """The event loop, as far as slots need one: what is to be called soon."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return NOW

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)


def clock() -> float:
    """Nothing here takes time."""
    return NOW


class Meter:
    """A meter that keeps nothing."""

    def __init__(self) -> None:
        self.waits = dict.fromkeys(Priority, self)

    def observe(self, _seconds: float) -> None:
        """One that waited has come by its slot."""


class Actor:
    """A session's actor, as far as slots know one: the grants in its mailbox."""

    def __init__(self) -> None:
        self.box: list[Ticket] = []

    def tell_if_alive(self, message: Granted) -> bool:
        self.box.append(message.ticket)
        return True


@dataclass
class CapsSaid:
    """The caps of each user and of each agent."""

    user: int
    agent: int | None

    def of_user(self, user: str, agent: str) -> int:
        return self.user

    def of_agent(self, agent: str) -> int | None:
        return self.agent if agent == "rare" else None


class Kind(NamedTuple):
    """What the sends of one letter have in common."""

    strategy: Strategy
    agent: str = "common"
    lane: Priority = Priority.NORMAL

    def __str__(self) -> str:
        return f"{self.strategy} {self.agent} {self.lane}"


@dataclass(frozen=True)
class Alphabet:
    """Two sessions' owners, the caps, and what is sent."""

    owners: tuple[str, str]
    kinds: tuple[Kind, ...]
    slots: int = 1
    user: int = 9
    agent: int | None = None
    #: Whether sessions are closed and lost.
    ends: bool = False
    slots_class: type[Slots] = field(default=Slots)
    actor_class: type[Actor] = field(default=Actor)
    step: Callable[..., tuple[State, tuple[Effect, ...]]] = step


@cache
def spec_of(session: str, owner: str, kind: Kind, number: int) -> TurnSpec:
    """A turn of this kind: the same object for the same one."""
    policy = Policy(kind.strategy, queue_limit=1, priority=kind.lane, on_cap=OnCap.WAIT)
    head = TurnHead(TurnId(f"t{number}"), owner, kind.agent, NOW, None, kind.strategy, policy)
    return TurnSpec(head, SessionId(session), "hi", None, 4.0)


class World:
    """What there is at one moment."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        said = CapsSaid(alphabet.user, alphabet.agent)
        caps = Caps(
            in_all=alphabet.slots,
            of_user=said.of_user,
            of_agent=said.of_agent,
            max_waiting=9,
            max_waiting_in_all=9,
            aging=30.0,
        )
        ledger: Ledger[Any] = Ledger(Bounds.of(SETTINGS), caps)
        loop: Any = Loop()
        meter: Any = Meter()
        self.slots = alphabet.slots_class(Scheduler(ledger, caps), loop, clock, meter)
        self.actors = [alphabet.actor_class() for _ in alphabet.owners]
        self.ledger, self.loop = ledger, loop
        self.states: list[State] = [
            Idle(Memory(Home(SessionId(f"s{n}"), owner, SETTINGS.limits)))
            for n, owner in enumerate(alphabet.owners)
        ]

    def copy(self) -> "World":
        """The same world, to go another way. The states are values, and shared."""
        other = World.__new__(World)
        other.alphabet, other.states = self.alphabet, list(self.states)
        parts = self.slots, self.actors, self.ledger, self.loop
        other.slots, other.actors, other.ledger, other.loop = pickle.loads(pickle.dumps(parts))
        return other

    # -- What happens -----------------------------------------------------------------------------------

    def tell(self, number: int, message: Message) -> None:
        """A session decides a message, and does it: as in `Decisions`."""
        before = self.states[number]
        if isinstance(message, Submit):
            directory: Any = SimpleNamespace(ledger=self.ledger)
            message = with_room(directory, self.slots, before, message)
        after, effects = self.alphabet.step(before, message, NOW, None)
        self.states[number] = after
        if after is not before and self.slots.asking:
            self.slots.grant()
        for effect in effects:
            if isinstance(effect, AskSlot):
                self.slots.ask(effect.ticket, effect.claim, self.actors[number])  # type: ignore[arg-type]
            elif isinstance(effect, LeaveSlot):
                self.slots.leave(effect.ticket)
        self.check()

    def read(self, number: int) -> None:
        """A grant is read that has waited in the session's mailbox."""
        self.tell(number, Granted(self.actors[number].box.pop(0)))

    def fail(self, number: int) -> None:
        """The session's actor fails, and another one goes on: as in `Decisions.abandon`."""
        state = self.states[number]
        self.actors[number].box.clear()
        self.states[number] = after_failure(state, NOW)
        slot = slot_of(state)
        if slot is not None:
            self.slots.leave(slot.ticket)
        self.slots.leave(next_ticket(state.memory))
        self.check()

    # -- What must be so --------------------------------------------------------------------------------

    def check(self) -> None:
        """Who has a slot, who waits for one, and to whom one is on its way."""
        for call in self.loop.soon:
            call()
        self.loop.soon.clear()
        alphabet, in_all, scheduler = self.alphabet, self.ledger.in_all, self.slots.scheduler
        held = waiting = coming = 0
        of_user, of_agent = dict[str, int](), dict[str, int]()
        eligible: list[TurnSpec] = []
        for state, actor in zip(self.states, self.actors, strict=True):
            slot = slot_of(state)
            expect(slot is not None or not isinstance(state, Running | Ending), "a turn runs without a slot")
            if slot is None:
                continue
            has = slot.granted or slot.ticket in actor.box
            held, coming = held + slot.granted, coming + (has and not slot.granted)
            waits = scheduler.standing(slot.ticket) is not None
            expect(has is not waits, "a turn waits to which no slot will be granted, or that has one")
            waiting += waits
            owner, agent = state.memory.home.owner, slot.spec.agent
            if has:
                of_user[owner] = of_user.get(owner, 0) + 1
                of_agent[agent] = of_agent.get(agent, 0) + 1
            else:
                eligible.append(slot.spec)
        expect(held + coming <= alphabet.slots, "there are more turns than slots")
        expect(all(most <= alphabet.user for most in of_user.values()), "a user has too many turns")
        if alphabet.agent is not None:
            expect(of_agent.get("rare", 0) <= alphabet.agent, "an agent has too many turns")
        expect(in_all.slots == held + coming, "a slot is held that no session has, or is not")
        expect(in_all.waiting == waiting, "a turn waits that no session has asked for, or does not")
        expect(len(self.slots.asking) == waiting, "an actor waits for a grant that does not come")
        for spec in eligible:
            full = held + coming >= alphabet.slots or of_user.get(spec.user, 0) >= alphabet.user
            rare = alphabet.agent is not None and spec.agent == "rare"
            full = full or (rare and of_agent.get("rare", 0) >= (alphabet.agent or 0))
            expect(full, "a slot is free that a turn waits for")

    def drain(self) -> None:
        """Grants are read and turns end until nothing happens: then all have started, and nothing is held."""
        for _ in range(STEPS):
            if not any(self._goes_on(number) for number in range(len(self.states))):
                break
        for state in self.states:
            expect(isinstance(state, Idle | Closed), "a turn waits for ever")
        in_all = self.ledger.in_all
        expect((in_all.slots, in_all.waiting) == (0, 0), "a session at rest has a slot")
        expect(not self.slots.asking, "a session at rest asks for a slot")

    def _goes_on(self, number: int) -> bool:
        state = self.states[number]
        if self.actors[number].box:
            self.read(number)
        elif isinstance(state, Running | Ending):
            self.tell(number, TurnEnded(state.turn.epoch, Returned()))
        else:
            return False
        return True

    # -- What may happen --------------------------------------------------------------------------------

    def letters(self) -> Iterator[tuple[str, Callable[["World"], None]]]:
        """Each with what it does to a world like this one."""
        for number, (state, actor) in enumerate(zip(self.states, self.actors, strict=True)):
            yield from self._sends(number, state)
            if actor.box:
                yield f"{number} reads", _reads(number)
            if isinstance(state, Running | Ending):
                ended = TurnEnded(state.turn.epoch, Returned())
                yield f"{number} ends", _tells(number, ended)
            if not isinstance(state, Idle | Closed):
                yield f"{number} stops", _tells(number, Stop(None, POLICY, wait=False))
            line = line_of(state)
            if line is not None and line.rest:
                clears = Stop(None, POLICY, wait=False, clear=True)
                yield f"{number} stops all", _tells(number, clears)
            if self.alphabet.ends:
                yield f"{number} fails", _fails(number)
                if not isinstance(state, Closed):
                    yield f"{number} closes", _tells(number, Shut(CLOSE))

    def _sends(self, number: int, state: State) -> Iterator[tuple[str, Callable[["World"], None]]]:
        if isinstance(state, Closed):
            return
        home, line = state.memory.home, line_of(state)
        used = {turn.spec.turn_id for turn in (() if line is None else line.turns)}
        used |= {record.turn_id for record in state.memory.records}
        if isinstance(state, Running | Ending):
            used.add(state.turn.spec.turn_id)
        free = next(n for n in range(20) if f"t{n}" not in used)
        for kind in self.alphabet.kinds:
            spec = spec_of(home.session_id, home.owner, kind, free)
            yield f"{number} sends {kind}", _tells(number, Submit(spec, kind.strategy, wait=False))

    # -- When two worlds are the same -------------------------------------------------------------------

    def key(self) -> object:
        """What decides of what may still happen, but for names, and for grants that come in vain."""
        sessions = [_key(state, actor) for state, actor in zip(self.states, self.actors, strict=True)]
        order = sorted(self.slots.asking, key=list(self.slots.asking).index)
        users = sorted({home.owner for home in (state.memory.home for state in self.states)})
        holdings: Any = self.ledger._holdings
        served = sorted((holdings[user].served, user) for user in users if user in holdings)
        return (
            tuple(sessions),
            tuple([ticket.session_id for ticket in order]),
            tuple([user for _, user in served]),
            tuple(sorted(each.user for each in self.ledger.in_all.moved)),
        )


Deed: TypeAlias = Callable[[World], None]


def _tells(number: int, message: Message) -> Deed:
    return lambda world: world.tell(number, message)


def _reads(number: int) -> Deed:
    return lambda world: world.read(number)


def _fails(number: int) -> Deed:
    return lambda world: world.fail(number)


def _key(state: State, actor: Actor) -> object:
    slot, line = slot_of(state), line_of(state)
    holder = _claims(state.turn.spec) if isinstance(state, Running | Ending) else None
    waiting = () if line is None else tuple([(turn is line.front, _claims(turn.spec)) for turn in line.turns])
    asks = isinstance(state, Queued) and state.asked is not None
    return type(state), holder, waiting, asks, slot is not None and slot.ticket in actor.box, bool(actor.box)


def _claims(spec: TurnSpec) -> tuple[str, Priority]:
    return spec.agent, spec.policy.priority


# -- The search ---------------------------------------------------------------------------------------


@dataclass
class Met:
    """What a search has met; ``found``: the letters that led to what must not be, and what that is."""

    worlds: int = 0
    steps: int = 0
    found: tuple[tuple[str, ...], str] | None = None
    closed: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        end = "all there are" if self.closed else "not all"
        text = f"{self.worlds:,} worlds, {end}, {self.steps:,} steps; {self.seconds:.1f} s"
        return text if self.found is None else f"{text}\nafter {' | '.join(self.found[0])}:\n{self.found[1]}"


def search(alphabet: Alphabet, most: int | None = None) -> Met:
    """Take every letter in every world that is met, and drain each; until nothing new is met, or so many."""
    met, began = Met(), time.perf_counter()
    first = World(alphabet)
    seen, todo = {first.key()}, deque([(first, ())])
    met.worlds = 1
    while todo:
        world, path = todo.popleft()
        for name, deed in list(world.letters()):
            other, way = world.copy(), (*path, name)
            met.steps += 1
            try:
                deed(other)
                key = other.key()
                if key in seen:
                    continue
                other.copy().drain()
            except Violation as error:
                met.found = way, str(error)
                met.seconds = time.perf_counter() - began
                return met
            seen.add(key)
            met.worlds += 1
            todo.append((other, way))
            if most is not None and met.worlds >= most:
                met.seconds = time.perf_counter() - began
                return met
    met.closed, met.seconds = True, time.perf_counter() - began
    return met


RARE = Kind(INTERRUPT, "rare")
ALPHABETS = {
    "one slot": Alphabet(("ada", "bob"), (Kind(INTERRUPT), Kind(ENQUEUE))),
    "one slot, one user": Alphabet(("ada", "ada"), (Kind(INTERRUPT), Kind(ENQUEUE))),
    "two agents": Alphabet(("ada", "bob"), (Kind(INTERRUPT), RARE, Kind(ENQUEUE, "rare"))),
    "two lanes": Alphabet(
        ("ada", "ada"), (Kind(INTERRUPT), Kind(INTERRUPT, lane=Priority.BACKGROUND), Kind(REJECT))
    ),
    "a cap of the user": Alphabet(("ada", "ada"), (Kind(INTERRUPT), Kind(ENQUEUE)), slots=2, user=1),
    "a cap of the agent": Alphabet(("ada", "bob"), (Kind(INTERRUPT), RARE, Kind(ENQUEUE)), slots=2, agent=1),
    "closed and lost": Alphabet(("ada", "bob"), (Kind(INTERRUPT), Kind(ENQUEUE)), ends=True),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, help="no more worlds of each than so many")
    given = parser.parse_args(arguments)
    found = False
    for name, alphabet in ALPHABETS.items():
        met = search(alphabet, given.most)
        print(f"{name}: {met}", flush=True)
        found = found or met.found is not None
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
