import re

import pytest

from turnkeeper.web.command.wording import moment, ms, one_line, plain, span

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m00s"), (125, "2m05s"), (3_725, "1h02m"), (90_000, "1d01h"),
     (1e7, "115d17h")],
)  # fmt: skip
def test_a_span_is_told_in_at_most_two_units(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0.24, "0.2 ms"), (9.96, "10.0 ms"), (3000.4, "3000 ms"), (None, "an unknown time")]
)
def test_milliseconds_are_rounded(number: float | None, shown: str) -> None:
    assert ms(number) == shown


def test_a_moment_of_another_day_has_its_date() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d", moment(NOW, NOW + 5))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", moment(NOW, NOW + 100_000))


def test_what_could_steer_a_terminal_is_shown_as_its_number() -> None:
    assert plain("a\x1b[2J\x07b\r\nc\rd\u202e\x9b\ud800") == "a\\x1b[2J\\x07b\nc\\x0dd\\x202e\\x9b\\xd800"
    assert one_line("a\nb\tc") == "a\\nb c"


def test_what_languages_need_is_left_alone() -> None:
    text = "naïve 日本語 👩\u200d💻 க்\u200cஷ\u00a0x"
    assert plain(text) == text
