"""One table of routes."""

from turnkeeper.actors.model.ids import RESERVED_IDS
from turnkeeper.web.http.routes import ROUTES


def clashing(one: str, other: str) -> str | None:
    """The word of ``one`` that may be no id, for a path that could be read as either of the two.

    It is the first word that stands where the other has an id: with that word taken, ``one`` is meant.
    """
    pairs = list(zip(one.split("/"), other.split("/"), strict=False))
    differing = [(a, b) for a, b in pairs if ("{" in a) != ("{" in b)]
    if one.count("/") != other.count("/") or any(a != b and "{" not in a + b for a, b in pairs):
        return None
    return next((a for a, b in differing[:1] if "{" in b), None)


def test_the_reserved_words_are_those_that_stand_where_an_id_may() -> None:
    paths = {route.path for route in ROUTES}
    words = {word for one in paths for other in paths if (word := clashing(one, other))}
    assert words == RESERVED_IDS - {".", ".."}
