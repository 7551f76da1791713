"""What `make bench-instructions` counts, as rows: instructions instead of seconds."""

from tests.benchmarks import aims
from tests.benchmarks.aims import Aim
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.instructions import callgrind, run
from tests.benchmarks.instructions.count import FLOORS

AIMS: dict[str, Aim] = {
    "turn": aims.TURN,
    "supersede": aims.SUPERSEDE,
    "http_send": aims.HTTP_SEND,
    "http_cancel": aims.HTTP_CANCEL,
}


async def instructions(_size: Size) -> list[Figure]:
    """Everything once: counts do not depend on a size. Raises `RuntimeError` without valgrind."""
    if lacking := callgrind.missing():
        raise RuntimeError(lacking)
    return [
        Figure(
            f"{row.operation}, beside: {FLOORS[row.operation]}",
            "instructions",
            row.instructions,
            row.floor,
            row.ratio,
            AIMS.get(row.operation),
        )
        for row in await run.measure()
    ]
