"""The search of small worlds finds nothing, and would find something."""

import gc
from collections.abc import Iterator

import pytest

from tests.actors.admission.planted import BUGS, ROOM
from tests.actors.admission.search import SMALL, Found, search
from tests.planting import Bug, changed
from turnkeeper.actors.admission.scheduling.queue import Queue, Waiting

pytestmark = pytest.mark.exhaustive


@pytest.fixture(autouse=True)
def without_the_collector() -> Iterator[None]:
    """What is met stays."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", SMALL)
def test_no_sequence_of_deeds_breaks_a_rule(name: str) -> None:
    """G8, G14."""
    figures = search(SMALL[name])
    print(f"\n{name}: {figures}")
    assert figures.closed


def test_the_search_finds_a_bug_and_says_what_led_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def last(self: Queue) -> Waiting:
        return [waiting for waiting in self._row if not waiting.left][-1]

    monkeypatch.setattr(Queue, "first", property(last))
    with pytest.raises(
        Found,
        match=r"overtakes another one of its queue\n    after ada sends to coder, normal \| .* \| drained$",
    ):
        search(SMALL["users"])


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_each_planted_bug_has_its_place(bug: Bug) -> None:
    """`python -m tests.actors.admission.planted` asks the search whether it finds them."""
    assert changed(bug, ROOM)
