"""What the model was asked, and what came of each message. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from turnkeeper.web.audit.log import ModelRequest, RequestEnd, SendEntry
from turnkeeper.web.audit.plan import Fate

from .faults import Fault, Finding


def overlaps(session: str, requests: Sequence[ModelRequest], slack: float) -> Iterable[Finding]:
    """A turn overlaps if the model still made a token for an earlier one after its own request began."""
    for at, later in enumerate(requests):
        last = max((token for earlier in requests[:at] for token in earlier.tokens), default=-math.inf)
        if last > later.began + slack:
            yield Finding(Fault.OVERLAP, session, later.n)


def repeats(session: str, requests: Sequence[ModelRequest]) -> Iterable[Finding]:
    """A message is repeated if the model was asked about it more than once."""
    for n, times in Counter(request.n for request in requests).items():
        if times > 1:
            yield Finding(Fault.REPEATED, session, n, times - 1)


def sending(
    sent: SendEntry, requests: Sequence[ModelRequest], hit_late: set[tuple[str, int]]
) -> tuple[bool, list[Finding]]:
    """Whether the send was refused for a good reason, and what is wrong with it."""

    def finding(fault: Fault) -> tuple[bool, list[Finding]]:
        return False, [Finding(fault, sent.session, sent.n)]

    if sent.status is None:
        return False, []
    if sent.status == 0:
        return finding(Fault.UNANSWERED)
    if not 200 <= sent.status < 300:
        # Whether something was running is for the model to say, not for the server.
        if any(each.began <= sent.answered and each.ended >= sent.asked for each in requests):
            return True, []
        return False, [Finding(Fault.REFUSED, sent.session, sent.n, status=sent.status)]
    if sent.fate is not Fate.FINISH:
        return False, []
    mine = [request for request in requests if request.n == sent.n]
    if any(request.end is RequestEnd.FINISHED for request in mine):
        return False, []
    if (sent.session, sent.n) in hit_late:
        return finding(Fault.WRONG_TURN)
    return finding(Fault.CUT_SHORT if mine else Fault.NEVER_REACHED)
