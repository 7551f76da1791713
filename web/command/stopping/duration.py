"""Spans of time as people write them: ``90s``, ``10m``, ``1h30m``. Pure."""

import re

import click

_UNITS = {"d": 24 * 3600.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_WRITTEN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def checked_span(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """A span as the value of a `click` option, in seconds. Raises `click.BadParameter`."""
    seconds = None if text is None else seconds_of(text)
    if seconds is None and text is not None:
        raise click.BadParameter("must be like 90s, 10m, 2h, 1h30m, or a number of seconds")
    return seconds


def seconds_of(text: str) -> float | None:
    """The seconds of a span; ``None`` for a text that is none. A number alone is one of seconds."""
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _WRITTEN.fullmatch(text)
    if found is None or not text:
        return None
    return sum(int(count) * unit for count, unit in zip(found.groups("0"), _UNITS.values(), strict=True))
