"""What is aimed at: each aim in words, the benchmark that finds its figure, and the bound. Pure data."""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never


class Of(Enum):
    """What an aim bounds: the figure, or its ratio to the floor."""

    FIGURE = "figure"
    RATIO = "ratio"


class Side(Enum):
    """On which side of its bound the value should be."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True)
class Aim:
    """A bound for one row."""

    work: str
    benchmark: str
    bound: float
    of: Of = Of.RATIO
    side: Side = Side.AT_MOST
    unit: str = "x the floor"

    def __str__(self) -> str:
        return f"{self.side.value} {self.bound:,g} {self.unit}"

    def met_by(self, value: float) -> bool:
        """Whether a value is on the right side of the bound, or on it."""
        match self.side:
            case Side.AT_MOST:
                return value <= self.bound
            case Side.AT_LEAST:
                return value >= self.bound
        assert_never(self.side)


TOKEN_BESIDE_QUEUE = Aim("one streamed token, CPU, beside a queue per reader", "tokens", 0.9)
TOKEN_BESIDE_LIBRARY = Aim("one streamed token, CPU, beside aiohttp-sse", "tokens", 0.75)
LATE = Aim("emit -> client p99 with a core 70 % busy, beside a queue per reader", "tokens", 0.6)
FAN_OUT = Aim("one event to 10,000 readers, CPU, beside bare writes", "readers", 1.0)
STREAM_BYTES = Aim("bytes per idle stream, beside a bare one", "readers", 1.25)
HTTP_SEND = Aim("HTTP send, beside a bare POST (instructions)", "instructions", 1.54)
HTTP_CANCEL = Aim("HTTP cancel, beside a bare POST (instructions)", "instructions", 1.67)
TURN = Aim("trivial turn, beside a raw task (instructions)", "instructions", 4.1)
SUPERSEDE = Aim("supersede, beside the floor that awaits (instructions)", "instructions", 2.9)
CANCEL = Aim("cancel p50 at 100,000 busy, beside the floor that awaits", "cancels", 4.0)
PASS = Aim("longest pass with 100,000 sessions, stop included", "growth", 25.0, Of.FIGURE, unit="ms")
USERS_LIST = Aim("list of one user's 100 turns among 100,000", "growth", 1.0, Of.FIGURE, unit="ms")
IDLE_BYTES = Aim("bytes per idle session", "memory", 2_000, Of.FIGURE, unit="bytes")
BUSY_BYTES = Aim("bytes per session with a turn in flight", "memory", 3_500, Of.FIGURE, unit="bytes")
LIST = Aim("list of 100,000 sessions", "growth", 25.0, Of.FIGURE, unit="ms")
STOP = Aim("stop with 100,000 busy: half the deadline", "growth", 5.0, Of.FIGURE, unit="s")
CANCEL_GROWTH = Aim("cancel p50, 100,000 busy / 1,000 busy, beside the floor's growth", "cancels", 1.25)
ASKS = Aim("asks, beside a bare future", "asks", 0.75, side=Side.AT_LEAST, unit="of the floor")
BURSTS = Aim("16 events at a time, beside a write for each", "streams", 2.0, side=Side.AT_LEAST)
DURABLE_TURNS = Aim(
    "durable turns of 1,000 callers, beside turns in memory",
    "journal_turns",
    0.5,
    side=Side.AT_LEAST,
    unit="of the floor",
)
DURABLE_SEND = Aim("a durable send, p50, more than one in memory", "journal_sends", 1.0, Of.FIGURE, unit="ms")
DURABLE_TOKENS = Aim("a durable token, CPU, beside one in memory", "journal_tokens", 1.15)
DURABLE_EVENTS = Aim(
    "durable events as fast as can be, beside events in memory",
    "journal_events",
    0.6,
    side=Side.AT_LEAST,
    unit="of the floor",
)
OPEN = Aim("open a file of 100,000 sessions and a million turns", "journal_file", 100.0, Of.FIGURE, unit="ms")
OPEN_BYTES = Aim("memory with that file, beside an empty one", "journal_file", 1.1)
WAKE = Aim("wake a session of ten turns of that file", "journal_file", 5.0, Of.FIGURE, unit="ms")

#: All of them, in the order in which the page shows them.
AIMS = (
    TOKEN_BESIDE_QUEUE,
    TOKEN_BESIDE_LIBRARY,
    LATE,
    FAN_OUT,
    BURSTS,
    STREAM_BYTES,
    HTTP_SEND,
    HTTP_CANCEL,
    TURN,
    SUPERSEDE,
    CANCEL,
    CANCEL_GROWTH,
    PASS,
    STOP,
    LIST,
    USERS_LIST,
    IDLE_BYTES,
    BUSY_BYTES,
    ASKS,
    DURABLE_TURNS,
    DURABLE_SEND,
    DURABLE_TOKENS,
    DURABLE_EVENTS,
    OPEN,
    OPEN_BYTES,
    WAKE,
)
