from turnkeeper.actors.metrics.turn_figures import ANSWERS, WAITS, TurnFigures


def test_ends_are_counted_by_status_and_strategy() -> None:
    figures = TurnFigures()
    for _ in range(2):
        figures.end("completed", "interrupt")
    figures.end("completed", "reject")
    assert figures.ends == {("completed", "interrupt"): 2, ("completed", "reject"): 1}


def test_the_bounds_of_spans_rise() -> None:
    for bounds in (WAITS, ANSWERS):
        assert list(bounds) == sorted(set(bounds))
