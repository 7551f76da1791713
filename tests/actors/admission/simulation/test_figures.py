"""The simulation says what it measures, and the page what the simulation says."""

import pytest

from tests.actors.admission.simulation.crowd import LANES, Crowd, Flood
from tests.actors.admission.simulation.figures import AIM, FLOODS, SEEDS, measured, percentile, saved
from tests.actors.admission.simulation.orders import ORDERS
from tests.actors.admission.simulation.page import PAGE, PLOT, page, read
from tests.actors.admission.simulation.plot import plot
from turnkeeper.actors.model.words import Priority

REDO = "run `make simulate`"


def test_whoever_floods_the_others_hardly_wait() -> None:
    """G14: the aim of the scheduler, in every lane."""
    ours = [figure for figure in saved() if figure.order == "turnkeeper"]
    assert [(figure.messages, figure.lane) for figure in ours] == [
        (each.messages, each.lane) for each in FLOODS
    ]
    assert all(seconds < AIM for figure in ours for seconds in figure.p99.values())


@pytest.mark.parametrize("order", ["turnkeeper", "lanes only"])
def test_the_figures_are_what_the_simulation_comes_to(order: str) -> None:
    flood = Flood(600, Priority.NORMAL)
    found = measured(order, flood)
    (kept,) = [each for each in saved() if (each.order, each.messages, each.lane) == (order, *flood)]
    assert found.of == kept.of, REDO
    assert found.lasted == pytest.approx(kept.lasted, abs=0.1), REDO
    assert found.p99 == pytest.approx(kept.p99, abs=0.01), REDO


def test_the_page_and_its_plot_are_what_the_figures_say() -> None:
    assert read(PAGE) == page(read(PAGE), saved()), REDO
    assert read(PLOT) == plot(saved()), REDO


@pytest.mark.parametrize("order", ORDERS)
def test_whatever_the_order_all_of_the_flood_starts_and_the_users_have_the_same_chances(order: str) -> None:
    seen = Crowd(ORDERS[order](), Flood(50, Priority.BACKGROUND), SEEDS[0]).run()
    assert seen.lasted > 0.0
    assert all(seen.waits[lane] for lane in LANES)


def test_a_percentile_is_a_value_that_so_many_do_not_exceed() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert (percentile(hundred, 99), percentile(hundred, 50), percentile([3.0], 99)) == (99.0, 50.0, 3.0)
