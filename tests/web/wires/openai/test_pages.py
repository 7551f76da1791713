"""Pages of items: what a query asks for, and what is answered."""

from typing import Any

import pytest

from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.pages import Wanted, page, wanted


def test_a_page_has_twenty_items_and_begins_with_the_newest_unless_it_is_said() -> None:
    assert wanted({}) == Wanted(20, None, oldest_first=False)
    assert wanted({"limit": "100", "order": "asc", "after": "msg_1.s"}) == Wanted(
        100, "msg_1.s", oldest_first=True
    )
    assert wanted({"limit": "1", "order": "desc"}) == Wanted(1)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"limit": limit}, "limit") for limit in ("0", "101", "-1", "x", "", "1.0", "1" * 40, "²")),
        ({"order": "up"}, "order"),
        ({"order": ""}, "order"),
        ({"before": "msg_1.s"}, "before"),
        ({"include[]": "x"}, "include[]"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(query: dict[str, str], param: str) -> None:
    with pytest.raises(Problem) as refused:
        wanted(query)
    assert (refused.value.code, refused.value.field) == (Code.UNSUPPORTED_PARAMETER, param)


def test_an_answer_names_its_first_and_its_last_item() -> None:
    items: Any = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    assert page(items, has_more=True) == {
        "object": "list",
        "data": items,
        "first_id": "a",
        "last_id": "c",
        "has_more": True,
    }
    empty = page([], has_more=False)
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], "", "")
