"""The plot of the figures: one line for each flood and order, one dot on it for each lane of the others."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from .figures import AIM, Figure

COLOURS: Final = {"interactive": "#2f4a7a", "normal": "#c08a2d", "background": "#a8503f"}
#: Where the axis begins and ends, in seconds; what is less stands at its beginning.
FIRST, LAST = 0.1, 300.0
LEFT, RIGHT, LINE, TITLE = 150, 690, 17, 24
STYLE = """\
  <style>
    text { font: 11px sans-serif; fill: #222 }
    text.title { font-weight: bold }
    text.end { text-anchor: end }
    text.tick { text-anchor: middle; fill: #555 }
    line { stroke: #ddd }
    line.aim { stroke: #3a7d44; stroke-dasharray: 4 3 }
  </style>"""


def plot(figures: Sequence[Figure]) -> str:
    """The figures as an SVG. Its ground is white, so it reads in light and dark."""
    floods = list(dict.fromkeys((each.messages, each.lane) for each in figures))
    orders = list(dict.fromkeys(each.order for each in figures))
    bottom = 2 * TITLE + len(floods) * (TITLE + LINE * len(orders))
    drawn = [*_axis(TITLE + 12, bottom)]
    below = 2 * TITLE
    for messages, lane in floods:
        drawn.append(_text(10, below + 8, f"{messages:,} messages in the {lane} lane", "title"))
        below += TITLE
        for figure in figures:
            if (figure.messages, figure.lane) == (messages, lane):
                drawn += _dots(figure, below)
                below += LINE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {bottom + 30}" role="img">',
            "  <title>How long 99 of 100 messages wait at most, while another user floods the server</title>",
            STYLE,
            f'  <rect width="720" height="{bottom + 30}" fill="#fff"/>',
            *_legend(),
            *drawn,
            "</svg>",
            "",
        ]
    )


def _at(seconds: float) -> float:
    share = math.log(max(seconds, FIRST) / FIRST) / math.log(LAST / FIRST)
    return LEFT + share * (RIGHT - LEFT)


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'  <text class="{kind}" x="{x:.1f}" y="{y:.1f}">{text}</text>'


def _legend() -> Iterator[str]:
    for number, (lane, colour) in enumerate(COLOURS.items()):
        yield f'  <circle cx="{LEFT + 110 * number}" cy="14" r="4" fill="{colour}"/>'
        yield _text(LEFT + 8 + 110 * number, 18, lane, "lane")
    yield _text(RIGHT, 18, "the lane of those who wait", "end")


def _axis(top: int, bottom: int) -> Iterator[str]:
    for seconds in (FIRST, AIM, 10.0, 100.0):
        kind = "aim" if seconds == AIM else "grid"
        x = _at(seconds)
        yield f'  <line class="{kind}" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>'
        label = f"{seconds:g} s or less" if seconds == FIRST else f"{seconds:g} s"
        yield _text(x, bottom + 16, label, "tick")


def _dots(figure: Figure, below: int) -> Iterator[str]:
    yield _text(LEFT - 12, below + 4, figure.order, "end")
    for number, (lane, seconds) in enumerate(figure.p99.items()):
        # A little apart, so that those are seen that wait as long as another.
        y = below + 3 * (number - 1)
        yield f'  <circle cx="{_at(seconds):.1f}" cy="{y}" r="4" fill="{COLOURS[lane]}" fill-opacity="0.85"/>'
