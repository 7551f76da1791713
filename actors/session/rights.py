"""Who may stop a turn. Pure."""

from typing import assert_never

from turnkeeper.actors.model.records import TurnSpec
from turnkeeper.actors.model.words import WhoMayStop


def may_stop(turn: TurnSpec, owner: str, asker: str | None) -> bool:
    """Whether this user may stop a turn of a session of ``owner``'s; ``None`` may stop every turn."""
    if asker is None:
        return True
    who = turn.policy.who_may_stop
    match who:
        case WhoMayStop.OWNER:
            return asker == owner
        case WhoMayStop.SENDER:
            return asker == turn.head.user
        case _:
            assert_never(who)
