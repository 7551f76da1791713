"""A list of items, page by page, as this API's clients ask for it and read it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from turnkeeper.actors.model.value import value
from turnkeeper.web.http.problems import Problem

from .refusals import unsupported

#: How many items a page has where nothing is said, and at most.
USUAL: Final = 20
MOST: Final = 100
#: How much of an unknown parameter's name an answer repeats.
_MAX_NAME: Final = 100
#: The orders, each with whether the oldest comes first.
_ORDERS: Final = {"asc": True, "desc": False}


@value
class Wanted:
    """Which page is asked for: at most so many items, behind the one of the id ``after``."""

    limit: int = USUAL
    after: str | None = None
    oldest_first: bool = False


def wanted(query: Mapping[str, str]) -> Wanted:
    """What this query asks for. Raises `Problem`."""
    for name in query:
        if name not in ("limit", "order", "after"):
            raise unsupported(name[:_MAX_NAME], "is not supported")
    order = query.get("order", "desc")
    if order not in _ORDERS:
        raise unsupported("order", f"must be one of: {', '.join(_ORDERS)}")
    return Wanted(_limit(query.get("limit")), query.get("after"), _ORDERS[order])


def _limit(number: str | None) -> int:
    if number is None:
        return USUAL
    if number.isascii() and number.isdigit() and len(number) <= len(str(MOST)) and 1 <= int(number) <= MOST:
        return int(number)
    raise unsupported("limit", f"must be a whole number from 1 to {MOST}")


def no_such_item() -> Problem:
    """The refusal of a page behind an item that the list does not have."""
    return unsupported("after", "must be the id of an item of this list that is still kept")


def page(items: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """The answer. An empty one has no ids, which this API's types do not know."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }
