"""Very many turns that wait for a slot, and how many instructions a step takes then."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.holdings import Held
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority
from turnkeeper.actors.session.settings import Settings

from .world import SESSION

AGENTS = ("coder", "echo")

#: How many turns wait.
MANY = 100_000
#: How many of Python's instructions one step may take, and one pass of the loop: a million take about 10 ms.
STEP, PASS = 5_000, 1_000_000


def instructions(deed: Callable[[], object]) -> int:
    """How many of Python's instructions that takes. What runs in C counts as one."""
    number, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal number
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        number += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        deed()
    finally:
        sys.settrace(before)
    return number


def crowded(users: int) -> tuple[Scheduler, Caps, list[Ticket]]:
    """A scheduler with 20 slots, all of them granted, and very many turns that wait, of so many users."""
    given = Settings(max_in_flight=1_000, max_in_flight_in_all=20, lane_aging=1_000.0)
    caps = Caps.of(given)
    scheduler = Scheduler(Ledger[Held](Bounds.of(given), caps), caps)
    tickets = [Ticket(SESSION, number) for number in range(MANY)]
    lanes = list(Priority)
    for number, ticket in enumerate(tickets):
        lane, agent = lanes[number // users % 3], AGENTS[number % 2]
        scheduler.ask(ticket, Claim(f"user {number % users}", agent, lane), 0.0)
    return scheduler, caps, [*scheduler.grant(0.0)]
