"""Spans of time as people write them."""

import click
import pytest

from turnkeeper.web.command.stopping.duration import checked_span, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86_400),
        ("1h30m", 5400),
        ("2d1h1m1s", 176_461),
        ("0", 0),
        ("45", 45),
        ("0.5", 0.5),
    ],
)
def test_a_span_is_a_number_of_each_unit_or_of_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "10x", "10 m", "30m1h", "-5", "-5m", "1e3", "10m\n", "1.5h", "\u0663m"]
)
def test_anything_else_is_none(text: str) -> None:
    assert seconds_of(text) is None


def test_an_option_that_is_none_says_how_to_write_one() -> None:
    option = click.Option(["--older-than"])
    context = click.Context(click.Command("cancel"))
    with pytest.raises(click.BadParameter, match="90s, 10m"):
        checked_span(context, option, "soon")
    assert checked_span(context, option, "10m") == 600
    assert checked_span(context, option, None) is None
