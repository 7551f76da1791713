"""What a record of the log is about: attributes of the record, for whatever formats or filters it.

``logger.info("...", extra=about(session_id, spec.head, ms=3.1))`` gives the record a ``session``, a ``turn``,
a ``user``, an ``agent`` and ``ms``.
"""

from typing import TypedDict

from .logger import escaped
from .records import TurnHead


class About(TypedDict, total=False):
    """What a record is about, and what came of that. What does not apply is not there."""

    session: str
    turn: str
    user: str
    agent: str
    status: str
    verdict: str
    ms: float


#: The names of these attributes.
FIELDS = tuple(About.__annotations__)


def about(
    session: str,
    turn: TurnHead | None = None,
    *,
    status: str | None = None,
    verdict: str | None = None,
    ms: float | None = None,
) -> About:
    """The attributes of a record about a session, or about one of its turns.

    ``status`` is how the turn ended, ``verdict`` what its cancel came to, and ``ms`` how many milliseconds
    that took: the turn since its send, the cancel since it was requested.
    """
    fields: About = {"session": session}
    if turn is not None:
        fields.update({"turn": turn.turn_id, "user": escaped(turn.user), "agent": turn.agent})
    if status is not None:
        fields["status"] = status
    if verdict is not None:
        fields["verdict"] = verdict
    if ms is not None:
        fields["ms"] = round(ms, 3)
    return fields
