"""The README's figures, between two marks; they come from the same results as the page's."""

from pathlib import Path

from tests.benchmarks import aims, table
from tests.benchmarks.aims import Aim, Of
from tests.benchmarks.figures import Figure
from tests.benchmarks.page import of_aim
from tests.benchmarks.results import Results

BEGIN = "<!-- from the benchmarks: `make bench` writes these lines -->\n"
END = "<!-- end of the figures -->\n"

#: What is shown, and how it is said there.
SHOWN: tuple[tuple[Aim, str], ...] = (
    (aims.TOKEN_BESIDE_QUEUE, "CPU of a streamed token, beside a queue per reader"),
    (aims.TOKEN_BESIDE_LIBRARY, "the same, beside aiohttp-sse"),
    (aims.FAN_OUT, "CPU of one event to 10,000 readers, beside bare writes"),
    (
        aims.CANCEL,
        "from a cancel to the turn's end, 100,000 in flight, beside `task.cancel(); await task`",
    ),
    (aims.USERS_LIST, "list of a user's 100 turns among 100,000"),
    (aims.IDLE_BYTES, "memory of an idle session"),
    (aims.BUSY_BYTES, "memory of a session with a turn in flight"),
)


def block(results: Results) -> str:
    """The lines between the marks. A run of a smaller size gives none to quote."""
    if not results.conditions.full:
        return "The figures follow with the next full run of the benchmarks.\n"
    cells: list[list[str]] = []
    for aim, words in SHOWN:
        row = of_aim(aim, results)
        measured, _, ratio = table.measured(row)
        beside = f"{ratio} x" if aim.of is Of.RATIO and isinstance(row, Figure) else ""
        cells.append([words, measured, beside])
    return "\n".join(["| | measured | beside it |", "|---|--:|--:|", *table.lines(cells)]) + "\n"


def write(results: Results, path: Path) -> None:
    """Put them between the marks. Raises `ValueError` if the README has none."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path.name} has no {BEGIN.strip()} ... {END.strip()}")
    path.write_text(before + begin + "\n" + block(results) + "\n" + end + after)
