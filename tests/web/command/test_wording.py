import json
import re
from typing import Any

import pytest

from turnkeeper.actors.events.shown import shown
from turnkeeper.actors.events.wire import to_json
from turnkeeper.web.command.wording import event_text, moment, ms, one_line, plain, size, span

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m00s"), (125, "2m05s"), (3_725, "1h02m"), (90_000, "1d01h"),
     (1e7, "115d17h")],
)  # fmt: skip
def test_a_span_is_written_in_at_most_two_units(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0.24, "0.2 ms"), (9.96, "10.0 ms"), (3000.4, "3000 ms"), (None, "an unknown time")]
)
def test_milliseconds_are_rounded(number: float | None, shown: str) -> None:
    assert ms(number) == shown


@pytest.mark.parametrize(
    ("in_bytes", "words"),
    [(70_002, "70 kB"), (999_000, "999 kB"), (1_000_000, "1.0 MB"), (2_999_950, "3.0 MB")],
)
def test_an_amount_of_data_is_rounded(in_bytes: int, words: str) -> None:
    assert size(in_bytes) == words


def test_an_event_has_words_for_the_parts_that_are_not_shown() -> None:
    parts = [
        {"type": "image_url", "url": "A" * 3_000_000},
        {"url": "A" * 70_000},
        {"type": "text", "text": "hé"},
    ]
    text = to_json({"task_id": "t", "message": shown(parts, 65_536, 1_000_000).message})
    assert json.loads(event_text(text)) == {
        "task_id": "t",
        "message": ["[image, 3.0 MB]", "[part, 70 kB]", {"type": "text", "text": "hé"}],
    }
    assert "hé" in event_text(text)


@pytest.mark.parametrize(
    "data",
    [
        {"message": "hello"},
        {"message": '"elided":true'},
        {"message": [{"elided": True}]},
        {"message": [{"type": "text", "bytes": "many", "elided": True}]},
        [{"elided": True}],
    ],
    ids=str,
)
def test_any_other_event_is_shown_as_it_is(data: Any) -> None:
    text = to_json(data)
    assert event_text(text) == text


def test_a_moment_of_another_day_has_its_date() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d", moment(NOW, NOW + 5))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", moment(NOW, NOW + 100_000))


def test_what_could_steer_a_terminal_is_shown_as_its_number() -> None:
    assert plain("a\x1b[2J\x07b\r\nc\rd\u202e\x9b\ud800") == "a\\x1b[2J\\x07b\nc\\x0dd\\x202e\\x9b\\xd800"
    assert one_line("a\nb\tc") == "a\\nb c"


def test_what_languages_need_is_left_alone() -> None:
    text = "naïve 日本語 👩\u200d💻 க்\u200cஷ\u00a0x"
    assert plain(text) == text
