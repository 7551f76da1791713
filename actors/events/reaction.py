"""What a reader's stream does when a `close` is due: one decision, for every reader and every end. Pure."""

from enum import Enum, auto
from typing import Any, assert_never

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import CloseOn, StreamEnd, is_final


class Reaction(Enum):
    """What becomes of one stream."""

    PASS_OVER = auto()
    """Nothing is written: this reader is not concerned."""
    GO_ON = auto()
    """`close` is written, and the stream goes on."""
    END = auto()
    """`close` is written, and the stream ends."""


def reaction(close_on: CloseOn, end: StreamEnd, *, superseded: bool) -> Reaction:
    """What the stream of a reader who asked for ``close_on`` does at this end.

    ``superseded``: the turn that ended had to make way for a newer message, which runs next.
    """
    if is_final(end):
        return Reaction.END
    match close_on:
        case CloseOn.CANCELLED:
            return Reaction.PASS_OVER if superseded else Reaction.END
        case CloseOn.SUPERSEDED:
            return Reaction.END
        case CloseOn.NEVER:
            return Reaction.PASS_OVER if superseded else Reaction.GO_ON
        case _:
            assert_never(close_on)


#: By name: hosts, queries and environments hand in anything.
_NAMED: dict[Any, CloseOn] = {each.value: each for each in CloseOn}


def close_on_named(name: Any) -> CloseOn:
    """The `CloseOn` of that name. Raises `InvalidRequest`."""
    try:
        return _NAMED[name]
    except (KeyError, TypeError):
        text = f"close_on must be one of: {', '.join(CloseOn)}"
        raise InvalidRequest(text, field="close_on") from None
