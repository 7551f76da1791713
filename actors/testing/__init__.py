"""What a host tests its agents with: a virtual clock, a turn of the test's own, and a Stop at every await.

The layout, in the order in which data flows::

    fault, report     what was found, and how it is shown                                 (pure)
    conversation      whether a turn left its conversation in order                       (pure)
    outside           what works outside the event loop
    clock             the loop whose time jumps
    place, stepped    where a coroutine is suspended, and how it is run step by step
    opening           a registry that runs one agent for one turn
    fake_turn         one turn, whose agent a test names
    watch, leftovers  the awaits of a turn, and what is left of it
    trying, sweep     one run that is cancelled, and all of them
    plugin            the fixtures of pytest

Nothing here needs pytest but `plugin`, which pytest loads itself. It need not rewrite asserts here:
PYTEST_DONT_REWRITE.
"""

from .clock import VirtualClock, settle, virtual_time
from .fake_turn import FakeTurn
from .fault import Fault, FaultCode
from .report import Report, Trial
from .sweep import cancel_at_every_await

__all__ = [
    # clock
    "VirtualClock",
    "settle",
    "virtual_time",
    # fake_turn
    "FakeTurn",
    # fault
    "Fault",
    "FaultCode",
    # report
    "Report",
    "Trial",
    # sweep
    "cancel_at_every_await",
]

#: What pytest loads together with this package.
pytest_plugins = ["turnkeeper.actors.testing.plugin"]
