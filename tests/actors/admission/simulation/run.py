"""Simulates a server that one user floods, and writes what that comes to into the docs: `make simulate`.

python -m tests.actors.admission.simulation.run
"""

from .figures import FLOODS, measured, save
from .orders import ORDERS
from .page import PAGE, PLOT, page, read
from .plot import plot


def main() -> None:
    """Measure everything, and write the figures, the page and its plot."""
    figures = [measured(order, flood) for flood in FLOODS for order in ORDERS]
    save(figures)
    PAGE.write_text(page(read(PAGE), figures), encoding="utf-8")
    PLOT.write_text(plot(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
