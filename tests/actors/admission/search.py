"""Every sequence of deeds to a scheduler in a small world, each step watched, until nothing new is met.

Two sequences that lead to the same are merged: what counts is who waits in which order, who has slots, who
was served when, and what the scheduler has yet to look at; the names of users, and numbers, do not. With each
world that is met two more things are tried. It is drained: when one after the other ends, all that wait are
served. And it is flooded: when others send and send, the last one that waits is served all the same.

    python -m tests.actors.admission.search              the small alphabets, as in the tests
    python -m tests.actors.admission.search --large      all of them, until nothing new is met; takes hours
    python -m tests.actors.admission.search caps         those whose names contain the text
    python -m tests.actors.admission.search --most 1000  no more than so many worlds of each
"""

import argparse
import gc
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from turnkeeper.actors.model.slots import Claim
from turnkeeper.actors.model.words import Priority

from .world import Violation, World, expect

INTERACTIVE, NORMAL, BACKGROUND = Priority
Deed: TypeAlias = Callable[[World], object]


@dataclass(frozen=True)
class Alphabet:
    """A small world, and what is done in it."""

    slots: int
    claims: tuple[Claim, ...]
    #: How many turns may wait, and how many that never ask there may be at a time.
    waiting: int
    turns: int = 0
    user_cap: int | None = None
    agent_caps: Mapping[str, int] = field(default_factory=dict)
    #: To what the cap in all, those of all users, and that of the first agent, may change.
    slots_then: tuple[int, ...] = ()
    users_then: tuple[int, ...] = ()
    agent_then: tuple[int, ...] = ()
    #: Whether a grant follows every deed, as it does in a server; or is a deed of its own.
    granting: bool = False
    #: Whether turns ask although they could start, as those do that waited before a restart.
    asking: bool = False

    @property
    def users(self) -> tuple[str, ...]:
        """Those who send."""
        return tuple(dict.fromkeys(claim.user for claim in self.claims))

    @property
    def agents(self) -> tuple[str, ...]:
        """Those that are sent to."""
        return tuple(dict.fromkeys(claim.agent for claim in self.claims))

    def world(self) -> World:
        """How it begins."""
        caps = {} if self.user_cap is None else dict.fromkeys(self.users, self.user_cap)
        return World(self.slots, caps, self.agent_caps)

    def deeds(self, world: World) -> Iterator[tuple[str, Deed]]:
        """What may be done in that world."""
        naive = world.naive
        if len(naive.waiting) < self.waiting:
            for claim in self.claims:
                yield f"{claim.user} sends to {claim.agent}, {claim.lane}", lambda w, c=claim: w.send(c)
                if self.asking:
                    yield f"{claim.user} asks, {claim.agent}, {claim.lane}", lambda w, c=claim: w.ask(c)
        for ticket in {claim: ticket for ticket, claim in naive.granted.items()}.values():
            yield f"{ticket.number} ends", lambda w, t=ticket: w.leave(t)
        for each in naive.waiting:
            yield f"{each.ticket.number} is withdrawn", lambda w, t=each.ticket: w.leave(t)
        if world.left is not None:
            yield f"{world.left.number} is left again", lambda w, t=world.left: w.leave(t)
        if not self.granting:
            yield "grant", lambda w: w.grant()
        if any(each.level for each in naive.waiting):
            yield "time passes", lambda w: w.wait()
        if self.turns:
            for user in self.users:
                for agent in self.agents:
                    if naive.turns.total() < self.turns:
                        yield f"a turn of {user}'s", lambda w, u=user, a=agent: w.turn(u, a, 1)
                    if naive.turns[user, agent]:
                        yield f"a turn of {user}'s ends", lambda w, u=user, a=agent: w.turn(u, a, -1)
        for slots in self.slots_then:
            if slots != world.caps.in_all:
                yield f"{slots} slots", lambda w, s=slots: w.cap(slots=s)
        for most in self.users_then:
            if most != world.said.users[self.users[0]]:
                yield f"{most} of each user's", lambda w, m=most: w.cap(users=dict.fromkeys(self.users, m))
        for most in self.agent_then:
            agent = self.agents[0]
            if most != world.said.agents.get(agent):
                yield f"{most} of {agent}", lambda w, a=agent, m=most: w.cap(agents={a: m})


def claims(users: int, agents: int = 1, lanes: tuple[Priority, ...] = (NORMAL,)) -> tuple[Claim, ...]:
    """All of these."""
    return tuple(
        Claim(user, agent, lane)
        for user in ("ada", "bob", "cat")[:users]
        for agent in ("coder", "echo")[:agents]
        for lane in lanes
    )


LANES = (INTERACTIVE, NORMAL, BACKGROUND)
SMALL = {
    "users": Alphabet(1, claims(3), 2),
    "lanes": Alphabet(1, claims(1, 1, LANES), 2),
    "two agents": Alphabet(1, claims(1, 2), 2, granting=True),
    "user caps": Alphabet(2, claims(2), 2, user_cap=1),
    "agent caps": Alphabet(2, claims(2, 2), 2, agent_caps={"coder": 1}, granting=True),
    "changing caps of users": Alphabet(2, claims(2), 1, user_cap=1, users_then=(1, 2)),
    "lanes of users": Alphabet(1, claims(2, 1, (INTERACTIVE, BACKGROUND)), 3, granting=True),
    "turns that never ask": Alphabet(2, claims(2), 1, turns=1, user_cap=1),
    "changing caps": Alphabet(1, claims(2), 1, slots_then=(1, 2), agent_then=(1, 2)),
    "shares": Alphabet(2, claims(2), 3, granting=True),
    "asking": Alphabet(
        3, (Claim("ada", "coder", INTERACTIVE), Claim("bob", "coder", NORMAL)), 3, user_cap=1, asking=True
    ),
}
LARGE = {
    "users": Alphabet(2, claims(3), 4),
    "lanes": Alphabet(1, claims(2, 1, LANES), 3),
    "lanes, granting": Alphabet(2, claims(3, 1, LANES), 3, granting=True),
    "user caps": Alphabet(3, claims(3), 4, user_cap=2),
    "agent caps": Alphabet(2, claims(3, 2), 3, agent_caps={"coder": 1}),
    "turns that never ask": Alphabet(2, claims(2, 2), 3, turns=2, user_cap=1, agent_caps={"coder": 1}),
    "changing caps": Alphabet(
        1, claims(3), 3, turns=1, user_cap=1, slots_then=(1, 2, 3), users_then=(1, 2), agent_then=(1, 2)
    ),
    "asking": Alphabet(2, claims(3), 3, user_cap=1, asking=True),
    "all": Alphabet(
        2,
        claims(2, 2, LANES),
        3,
        turns=1,
        user_cap=2,
        agent_caps={"coder": 1},
        slots_then=(1, 2),
        users_then=(1, 2),
        agent_then=(1, 2),
        granting=True,
    ),
}


def name_of(world: World) -> Any:
    """What a world is known by: the same for those that behave alike."""
    naive, scheduler, now = world.naive, world.scheduler, world.now
    # Those who were served are told apart by when that was; nothing else is known of users.
    users = {user: number for number, user in enumerate(naive.served)}
    turns: dict[str, list[tuple[str, int]]] = {}
    for (user, agent), number in naive.turns.items():
        if number:
            turns.setdefault(user, []).append((agent, number))
    strangers = sorted(sorted(each) for user, each in turns.items() if user not in users)
    queues = [
        (
            users[holdings.user],
            agent,
            lane,
            queue.entry is not None
            and (
                queue.entry[0],
                queue.entry[1] - holdings.served,
                queue.bucket.in_flight - holdings.in_flight,
            ),
        )
        for holdings, of_user in scheduler._queues.items()
        for (agent, lane), queue in of_user.items()
    ]
    return (
        world.caps.in_all,
        world.said.users.get("ada"),
        tuple(sorted(world.said.agents.items())),
        tuple(
            (
                users[each.claim.user],
                each.claim.agent,
                each.rank,
                each.level,
                each.level and max(0.0, each.asked_at + (each.rank - each.level + 1) - now),
            )
            for each in naive.waiting
        ),
        tuple(sorted((users[each.user], each.agent) for each in naive.granted.values())),
        tuple(sorted((users[user], *sorted(each)) for user, each in turns.items() if user in users)),
        tuple(map(tuple, strangers)),
        tuple(sorted(users.get(holdings.user, -1) for holdings in world.ledger.in_all.moved)),
        tuple(sorted(queues)),
        world.settled,
    )


def drain(world: World) -> None:
    """Let all end that have begun, until nothing waits: one by one, so that all who wait are served."""
    _left_alone(world)
    rounds = len(world.naive.waiting) + len(world.naive.granted)
    world.grant()
    while world.naive.granted:
        expect(rounds > 0, "turns that wait are not served when all others have ended")
        rounds -= 1
        world.leave(next(iter(world.naive.granted)))
        world.grant()
    expect(not world.naive.waiting, "turns wait although nothing runs")


def flood(world: World) -> None:
    """One user sends and sends, to all agents and in the highest lane: the last one that waits is served."""
    _left_alone(world)
    target = world.naive.waiting[-1]
    # Each of those who wait may be served before it, and the flooding user once with each lane that it rises.
    rounds = 3 * (len(world.naive.waiting) + len(world.naive.granted) + target.rank + 2)
    while world.scheduler.standing(target.ticket) is not None:
        expect(rounds > 0, "a turn starves")
        rounds -= 1
        for agent in ("coder", "echo"):
            world.send(Claim("dan", agent, INTERACTIVE))
        if world.naive.granted:
            world.leave(next(iter(world.naive.granted)))
        world.wait()
        world.grant()


def _left_alone(world: World) -> None:
    """The turns that never asked end."""
    world.watched = False
    for user, agent in list(world.naive.turns.elements()):
        world.turn(user, agent, -1)


@dataclass
class Figures:
    """What a search has seen."""

    worlds: int = 0
    steps: int = 0
    longest: int = 0
    closed: bool = True
    seconds: float = 0.0

    def __str__(self) -> str:
        """In one line."""
        end = "until nothing new is met" if self.closed else "broken off"
        return (
            f"{self.worlds:,} distinct worlds, {self.steps:,} steps, {end}; "
            f"the longest way {self.longest} deeds; {self.seconds:.1f} s"
        )


class Found(Exception):
    """A violation, and what led to it."""


def search(alphabet: Alphabet, most: int | None = None) -> Figures:
    """Do all that can be done, but meet no more than so many worlds. Raises `Found`."""
    figures, began = Figures(), time.process_time()
    first = alphabet.world()
    met = {name_of(first)}
    ways: deque[tuple[bytes, tuple[str, ...]]] = deque([(pickle.dumps(first), ())])
    while ways:
        packed, way = ways.popleft()
        figures.worlds += 1
        figures.longest = len(way)
        if figures.worlds == most:
            figures.closed = False
            break
        for what, deed in alphabet.deeds(pickle.loads(packed)):
            world: World = pickle.loads(packed)
            _watched(world, deed, alphabet, (*way, what))
            figures.steps += 1
            name = name_of(world)
            if name not in met:
                met.add(name)
                ways.append((pickle.dumps(world), (*way, what)))
        if way:
            _watched(pickle.loads(packed), drain, alphabet, (*way, "drained"))
            world = pickle.loads(packed)
            if world.naive.waiting:
                _watched(world, flood, alphabet, (*way, "flooded"))
    figures.seconds = time.process_time() - began
    return figures


def _watched(world: World, deed: Deed, alphabet: Alphabet, way: tuple[str, ...]) -> None:
    try:
        deed(world)
        if alphabet.granting:
            world.grant()
    except Violation as violation:
        raise Found(f"{violation}\n    after {' | '.join(way)}") from violation
    except Exception as error:
        raise Found(f"{error!r}\n    after {' | '.join(way)}") from error


def main() -> int:
    """Search, and print what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="texts, of which an alphabet's name contains one")
    parser.add_argument("--large", action="store_true", help="the large alphabets")
    parser.add_argument("--most", type=int, default=None, help="how many worlds of each")
    given = parser.parse_args()
    gc.disable()  # what is met stays
    for name, alphabet in (LARGE if given.large else SMALL).items():
        if given.names and not any(each in name for each in given.names):
            continue
        try:
            print(f"{name}: {search(alphabet, given.most)}", flush=True)
        except Found as found:
            print(f"FOUND in {name}: {found}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
