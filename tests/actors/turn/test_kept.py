"""What is kept of a session between its turns."""

from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.transcript import Bound

BOUND = Bound(3, 1_000_000)


def test_it_takes_what_its_messages_and_its_data_take() -> None:
    empty = Kept("ada")
    assert empty.size == 0
    kept = empty.after(Changes(0, ("hello",), {"x": 1}), BOUND, "7-3")
    assert kept.size == footprint("hello") + footprint({"x": 1})
    assert kept.after(Changes(1, (), {}), BOUND, "8-1").size == footprint("hello") + footprint({})
    assert empty.size == 0, "it is never changed"


def test_it_knows_which_turn_last_changed_the_messages() -> None:
    kept = Kept("ada").after(Changes(0, ("hello",)), BOUND, "7-3")
    assert kept.cursor == "7-3"
    assert kept.after(Changes(1, ("more",)), BOUND, "8-1").cursor == "8-1"
    assert kept.after(Changes(0), BOUND, "8-1").cursor == "8-1"


def test_a_turn_that_left_the_messages_as_they_were_has_no_part_in_them() -> None:
    kept = Kept("ada").after(Changes(0, tuple("abcde"), {"x": 1}), BOUND, "7-3")
    after = kept.after(Changes(5, (), {"x": 2}), BOUND, "8-1")
    assert (after.cursor, after.data) == ("7-3", {"x": 2})
    assert after.transcript is kept.transcript
    assert kept.after(Changes(5), BOUND, "8-1") == kept
    assert kept.after(Changes(5, ("f",)), BOUND, "8-1").data is kept.data
