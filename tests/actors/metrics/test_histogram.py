import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.metrics.histogram import Histogram


@pytest.mark.parametrize(
    ("seconds", "below"),
    [
        (0.0, [1, 1, 1]),
        (1.0, [1, 1, 1]),
        (1.001, [0, 1, 1]),
        (2.0, [0, 1, 1]),
        (2.1, [0, 0, 1]),
        (-1.0, [1, 1, 1]),
    ],
)
def test_a_span_is_counted_below_the_first_bound_that_it_does_not_exceed(
    seconds: float, below: list[int]
) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(seconds)
    assert histogram.below == [(1.0, below[0]), (2.0, below[1]), (math.inf, below[2])]
    assert histogram.sum == seconds


@given(st.lists(st.floats(0, 10)))
def test_below_each_bound_are_all_that_do_not_exceed_it(spans: list[float]) -> None:
    histogram = Histogram((0.5, 1.0, 5.0))
    for each in spans:
        histogram.observe(each)
    assert histogram.below == [
        (bound, sum(each <= bound for each in spans)) for bound in (0.5, 1.0, 5.0, math.inf)
    ]
