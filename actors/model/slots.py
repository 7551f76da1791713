"""What a turn asks for that is to have a slot, and where it stands while it waits for one. Data only."""

from .records import SessionId
from .value import value
from .words import Priority, WaitsFor


@value
class Ticket:
    """One ask for a slot. The session draws the ``number``, and never draws it again."""

    session_id: SessionId
    number: int


@value
class Claim:
    """Whom a slot is counted for: the session's owner and the agent; and how urgent the turn is."""

    user: str
    agent: str
    lane: Priority


@value
class Standing:
    """Where a turn that waits for a slot stands.

    ``position`` is its place among the turns of its user that wait in its lane, from 1; those of others may
    come first. ``waiting`` is how many turns wait in all.
    """

    waits_for: WaitsFor
    position: int
    waiting: int
