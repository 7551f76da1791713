"""About how much memory a message takes."""

import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest

from turnkeeper.actors.model.footprint import MOST_BEHIND_OBJECTS, UNKNOWN, footprint
from turnkeeper.actors.model.frozen import frozen


@pytest.mark.parametrize("text", ["", "hello", "x" * 10_000, "Grüße", "🙂" * 1_000], ids=len)
def test_a_text_takes_what_python_says_that_it_takes(text: str) -> None:
    # What is beside the characters differs by some bytes, and by whether it has been encoded before.
    assert footprint(text) == pytest.approx(sys.getsizeof(text), abs=64)


def test_a_message_takes_what_its_parts_take_and_something_for_itself() -> None:
    text = "x" * 10_000
    parts = [{"type": "text", "text": text}, {"type": "text", "text": text + "!"}]
    assert 20_000 < footprint({"role": "user", "content": parts}) < 22_000
    assert footprint([1, 2.5, True, None]) < 300


def test_a_message_of_many_tiny_parts_takes_far_more_than_its_texts() -> None:
    parts = [{"type": "text", "text": f"{n}"} for n in range(1_000)]
    assert footprint(parts) > 100 * 1_000


def test_names_count_too() -> None:
    assert footprint({"x" * 5_000: 1}) > 5_000


def test_frozen_or_not_makes_no_difference() -> None:
    message = {"role": "user", "parts": [{"text": "hello"}, (1, 2)]}
    assert footprint(frozen(message)) == pytest.approx(footprint(message), rel=0.1)


def test_what_a_message_holds_more_than_once_counts_once_and_it_may_hold_itself() -> None:
    part = {"text": "x" * 10_000}
    assert footprint([part, part, part]) < 11_000
    circle: list[Any] = ["x" * 100]
    circle.append(circle)
    assert footprint(circle) < 500
    bomb: list[Any] = ["boom"]
    for _ in range(60):
        bomb = [bomb, bomb]
    assert footprint(bomb) < 10_000


@dataclass
class Part:
    text: str


@dataclass(slots=True)
class Message:
    parts: list[Part]


@pytest.mark.parametrize(
    "message",
    [Message([Part("x" * 10_000)]), deque(["x" * 10_000]), {"x" * 10_000}, b"x" * 10_000],
    ids=lambda message: type(message).__name__,
)
def test_objects_take_what_they_hold(message: Any) -> None:
    assert 10_000 < footprint(message) < 12_000


def test_an_object_that_leads_to_anything_is_looked_at_only_for_so_long() -> None:
    world = [Part(f"{n}") for n in range(100 * MOST_BEHIND_OBJECTS)]
    assert footprint(Message(world)) < 1_000 * MOST_BEHIND_OBJECTS
    assert footprint([sys, Part, test_names_count_too]) < 1_000, "what all share does not count"


def test_an_object_whose_size_cannot_be_had_is_taken_to_need_something() -> None:
    class Evil:
        __slots__ = ()

        def __sizeof__(self) -> int:
            raise OSError("surprise")

    assert footprint(Evil()) == UNKNOWN
