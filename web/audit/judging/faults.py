"""What can be wrong with a server, and where that was seen. Data only."""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """What can be wrong, in the report's words."""

    AFTER_STOP = "tokens generated after Stop was answered"
    OVERLAP = "turns that overlapped"
    LOST_STOP = "Stops that got lost"
    LIE = "answers that said stopped when it was not"
    WRONG_TURN = "late Stops that hit the next turn"
    LOST = "tokens that readers lost"
    DOUBLED = "tokens that readers got twice or out of order"
    INVENTED = "tokens that readers got but no model generated"
    BUFFERED = "replies that came only when they were complete"
    ENDLESS = "streams that did not end with their turn"
    NEVER_REACHED = "messages that never reached the model"
    CUT_SHORT = "turns cut short without a Stop"
    REPEATED = "messages given to the model twice"
    REFUSED = "sends refused while nothing ran"
    UNANSWERED = "requests without an answer"
    PROCESSES = "processes that were left running"
    THREADS = "threads that went on working"
    OUT_OF_TIME = "users who did not finish in time"
    NOTHING = "no message reached the model"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault at one turn of one session, ``count`` times or tokens.

    ``status`` is the status of the answer, where that is the fault.
    """

    fault: Fault
    session: str = ""
    n: int = -1
    count: int = 1
    status: int | None = None
