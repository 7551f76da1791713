import base64
import random
from typing import Any

import pytest

from turnkeeper.actors.admission.page import MOST, USUAL, Cursor, Page, Place, check_limit
from turnkeeper.actors.model.exceptions import InvalidRequest


def shown(page: Page, *places: tuple[float, str]) -> list[str]:
    for at, name in places:
        if page.takes(at):
            page.add(at, name)
    return [place.name for place in page.places]


def test_a_page_has_the_newest_first_in_whatever_order_they_are_shown_to_it() -> None:
    page = Page(None, 2, now=10.0)
    assert shown(page, (1.0, "a"), (3.0, "c"), (2.0, "b")) == ["c", "b"]
    following = Page(page.before, 2, now=99.0)
    assert following.as_of == 10.0
    assert shown(following, (1.0, "a"), (3.0, "c"), (2.0, "b")) == ["a"]
    assert following.before is None


def test_a_page_that_is_full_to_the_brim_is_the_last_one() -> None:
    page = Page(None, 2, now=10.0)
    assert shown(page, (1.0, "a"), (2.0, "b")) == ["b", "a"]
    assert page.before is None


def test_what_has_the_same_time_is_in_the_order_of_its_names() -> None:
    names: list[str] = []
    before: str | None = None
    while len(names) < 5:
        page = Page(before, 2, now=10.0)
        names += shown(page, *((1.0, name) for name in "badce"))
        before = page.before
    assert names == list("edcba")


def test_pages_together_are_the_whole_list() -> None:
    places = [(float(random.randrange(20)), str(number)) for number in range(100)]
    names, before = list[str](), None
    while True:
        page = Page(before, 7, now=50.0)
        names += shown(page, *random.sample(places, 100))
        before = page.before
        if before is None:
            break
    assert names == [name for _, name in sorted(places, reverse=True)]


def test_a_cursor_is_a_text_that_fits_into_a_query() -> None:
    cursor = Cursor(1763842008.1234567, Place(0.1, "a:b@c"))
    assert Cursor.read(str(cursor)) == cursor
    assert not set("+/=&? ") & set(str(cursor))


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "%",
        "é",
        "0",
        encoded("1.0 2.0"),
        encoded("nan 1.0 s"),
        encoded("1.0 inf s"),
        encoded("a b c"),
        1,
        b"x",
    ],
)
def test_a_cursor_of_no_page_is_refused(text: Any) -> None:
    with pytest.raises(InvalidRequest, match="before must") as refused:
        Page(text, None, now=1.0)
    assert refused.value.field == "before"


def test_a_page_has_a_usual_length_and_a_longest() -> None:
    assert check_limit(None) == USUAL
    assert check_limit(MOST) == MOST
    assert check_limit(1) == 1


@pytest.mark.parametrize("limit", [0, -1, MOST + 1, True, 1.5, "1"])
def test_any_other_length_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidRequest, match="from 1 to 200") as refused:
        Page(None, limit, now=1.0)
    assert refused.value.field == "limit"
