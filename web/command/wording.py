"""Texts for people: harmless ones out of anything, and spans and moments of time. Pure."""

import json
import re
from datetime import datetime
from typing import Any

DAY = 24 * 3600
#: What could steer a terminal, or make a line look like another one. What languages need is left alone.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with every character that could steer a terminal replaced by its number."""
    return _STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same, on one line."""
    return plain(text).replace("\n", "\\n").replace("\t", " ")


def span(seconds: float) -> str:
    """A span of time, in at most two units."""
    whole = max(0, int(seconds))
    for size, unit, small, smaller in ((DAY, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small:02d}{smaller}"
    return f"{whole}s"


def moment(at: float, now: float) -> str:
    """The local time of day, with the date unless it is within the last day. Both in Unix seconds."""
    there = datetime.fromtimestamp(at).astimezone()
    return there.strftime("%H:%M:%S" if now - at < DAY else "%Y-%m-%d %H:%M")


def ms(span_ms: float | None) -> str:
    """A span in milliseconds."""
    if span_ms is None:
        return "an unknown time"
    return f"{span_ms:.1f} ms" if span_ms < 10 else f"{span_ms:.0f} ms"


def size(in_bytes: int) -> str:
    """An amount of data."""
    return f"{in_bytes / 1e3:.0f} kB" if in_bytes < 1e6 else f"{in_bytes / 1e6:.1f} MB"


def event_text(text: str) -> str:
    """The data of an event, with words for the parts of a message that the server does not show."""
    if '"elided":true' not in text:
        return text
    data = json.loads(text)
    if isinstance(data, dict) and isinstance(data.get("message"), list):
        data["message"] = list(map(_part, data["message"]))
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _part(part: Any) -> Any:
    match part:
        case {"elided": True, "bytes": int(in_bytes), "type": str() | None as kind}:
            return f"[{(kind or 'part').removesuffix('_url')}, {size(in_bytes)}]"
        case _:
            return part
