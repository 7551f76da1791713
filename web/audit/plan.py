"""What the crowd is going to do: who sends what, how long each reply is, when Stop is pressed. Pure.

The same seed gives the same plan. The names of the sessions differ from run to run (``run``), so that a
server that remembers an earlier audit is not asked to continue it.
"""

import math
import random
import re
from dataclasses import dataclass
from enum import Enum

MOST_USERS, MOST_TURNS = 500, 50
MARKER = re.compile(r"audit:([A-Za-z0-9_-]{1,100}):(\d{1,6})(?!\d)")


class Act(Enum):
    """What a user does with a turn or two."""

    READ = "send, and read to the end"
    STOP_THEN_SEND = "Stop in the middle, and send again at once"
    STOP_EARLY = "Stop before the first token"
    STOP_RACING = "Stop at the same moment as the send"
    TWO_QUICKLY = "send, and send again at once"
    STOP_TWICE = "Stop twice at the same moment"
    LATE_STOP = "Stop a turn that is over, just after the next one was sent"
    DROP = "drop the stream in the middle, and come back with the cursor"
    SLOW = "read slowly"
    LEAVE = "leave in the middle"


class Fate(Enum):
    """How a turn is meant to end."""

    FINISH = "it is not stopped, and has to run to its end"
    STOP = "its user stops it"
    GIVE_WAY = "another message follows while it runs"
    ANY = "its user is gone"


#: How many messages an act takes.
MESSAGES = {Act.STOP_THEN_SEND: 2, Act.TWO_QUICKLY: 2, Act.LATE_STOP: 2}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the model is, and how much time servers are given. All in seconds."""

    token: float = 0.025
    """Between two tokens."""
    lost_after: float = 0.75
    """How long after a Stop the model may still generate before the Stop counts as lost."""
    patience: float = 3.0
    """How long a user waits for an answer, or for the rest of a reply, beyond what the model needs."""
    quiet: float = 0.5
    """For how long the server is looked at when all turns are over."""

    @property
    def first(self) -> float:
        """From a request to its first token: enough time for a Stop."""
        return 6 * self.token

    @property
    def slack(self) -> float:
        """How far apart events on two connections must be before their order counts."""
        return self.token / 2

    @property
    def long(self) -> int:
        """How many tokens a reply that is stopped has: enough to notice that it goes on."""
        return math.ceil(2 * self.lost_after / self.token)


@dataclass(frozen=True, slots=True)
class PlannedAct:
    """One act of one user, beginning with message number ``n``."""

    kind: Act
    n: int
    after_tokens: int
    """How many tokens the user reads before acting in the middle of a reply."""
    names_turn: bool
    """Whether Stop names its turn, where the server allows it."""
    pause: float
    """How many seconds the user waits before the act."""


@dataclass(frozen=True, slots=True)
class PlannedUser:
    """One user with one session."""

    session: str
    acts: tuple[PlannedAct, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole crowd, and the length of the reply to each message, in tokens."""

    users: tuple[PlannedUser, ...]
    lengths: dict[tuple[str, int], int]
    pace: Pace

    @property
    def turns(self) -> int:
        """How many messages are sent."""
        return len(self.lengths)


def make_plan(users: int, turns: int, seed: int, run: str, pace: Pace) -> Plan:
    """A plan for so many users with so many messages each, with every act about equally often."""
    rng = random.Random(seed)  # noqa: S311 - a plan to be repeated, not a secret
    used = dict.fromkeys(Act, 0)
    lengths: dict[tuple[str, int], int] = {}
    crowd: list[PlannedUser] = []
    for number in range(users):
        session, acts, n = f"audit-{run}-{number}", [], 0
        while n < turns:
            act = _deal(rng, used, turns - n)
            used[act] += 1
            acts.append(
                PlannedAct(act, n, rng.randint(2, 6), rng.random() < 0.5, _pause(rng, pace, first=not n))
            )
            for offset, length in enumerate(_lengths(rng, act, pace)):
                lengths[session, n + offset] = length
            n += MESSAGES.get(act, 1)
        crowd.append(PlannedUser(session, tuple(acts)))
    return Plan(tuple(crowd), lengths, pace)


def _deal(rng: random.Random, used: dict[Act, int], left: int) -> Act:
    """One of the rarest acts so far that fit; leaving comes last."""
    fit = [act for act in Act if MESSAGES.get(act, 1) <= left and (act is not Act.LEAVE or left == 1)]
    return min(fit, key=lambda act: (used[act], rng.random()))


def _pause(rng: random.Random, pace: Pace, *, first: bool) -> float:
    # The crowd arrives bit by bit: otherwise everyone would do the same at the same moment.
    return rng.uniform(0, 20 * pace.token if first else 2 * pace.token)


def _lengths(rng: random.Random, act: Act, pace: Pace) -> tuple[int, ...]:
    some = rng.randint(12, 20)
    match act:
        case Act.STOP_THEN_SEND | Act.TWO_QUICKLY:
            return pace.long, some
        case Act.STOP_EARLY | Act.STOP_RACING | Act.STOP_TWICE:
            return (pace.long,)
        case Act.LATE_STOP:
            return 6, some
        case Act.DROP | Act.SLOW:
            return (some + 12,)
        case Act.READ | Act.LEAVE:
            return (some,)


def message(session: str, n: int) -> str:
    """What a user sends: the marker by which the model knows the turn."""
    return f"audit:{session}:{n}"


def find_marker(text: str) -> tuple[str, int] | None:
    """The last marker in a text."""
    found = MARKER.findall(text)
    return (found[-1][0], int(found[-1][1])) if found else None
