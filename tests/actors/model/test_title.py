from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest, TitleTooLong
from turnkeeper.actors.model.title import OF_A_MESSAGE, check_title, title_of


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("hello", "hello"),
        ("\n \n  What is\ta turn? \nSecond line", "What is a turn?"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ([{"type": "image", "data": "x"}, {"type": "text", "text": "Look"}], "Look"),
        ([{"type": "text", "text": " "}, {"type": "text", "text": "second"}], "second"),
        ([{"type": "image", "data": "x"}, "text", {"text": 1}], None),
        ({"text": "a dict of the host's"}, None),
        (None, None),
        ("", None),
    ],
)
def test_a_title_is_made_of_the_first_line_with_words_of_a_message(message: Any, title: str | None) -> None:
    assert title_of(message, 200) == title


def test_a_long_first_line_is_cut_and_shows_it() -> None:
    title = title_of("word " * 100_000, 200)
    assert title is not None
    assert len(title) <= OF_A_MESSAGE
    assert title.endswith("word…")
    assert title_of("x" * OF_A_MESSAGE, 200) == "x" * OF_A_MESSAGE
    assert title_of("hello", 3) == "he…"


def test_a_dict_of_a_hosts_kind_is_read_by_dicts_own_method() -> None:
    class Odd(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError

    assert title_of([Odd(text="hello")], 200) == "hello"


def test_a_title_that_is_given_loses_its_doubled_spaces_and_control_characters() -> None:
    assert check_title("  My \n\n chat\x07 ", 200) == "My chat"
    assert check_title("x" * 5, 5) == "x" * 5


@pytest.mark.parametrize("title", ["", " \n\t", "\x00", None, 1, ["x"]])
def test_a_title_that_says_nothing_is_refused(title: Any) -> None:
    with pytest.raises(InvalidRequest, match="title must") as refused:
        check_title(title, 200)
    assert refused.value.field == "title"
    assert type(refused.value) is InvalidRequest


@pytest.mark.parametrize("title", ["x" * 6, "x" * 1_000_000, "x" + " " * 20 + "y"])
def test_a_title_may_have_so_many_characters(title: str) -> None:
    with pytest.raises(TitleTooLong, match="longer than 5 characters") as refused:
        check_title(title, 5)
    assert refused.value.field == "title"
