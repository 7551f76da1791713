"""Values: dataclasses to who asks, structs at run time."""

import copy
import dataclasses
import pickle

import msgspec
import pytest

from turnkeeper.actors.model.messages import Cancel, Query
from turnkeeper.actors.model.records import HOST, Asker, Reason
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.model.words import CancelCode


@value
class Basket:
    """What was put into it."""

    owner: str
    fruits: list[str] = dataclasses.field(default_factory=list)
    weight: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.fruits


def test_a_value_never_changes() -> None:
    reason = Reason(CancelCode.TIMEOUT)
    with pytest.raises(AttributeError):
        reason.by = "ada"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        reason.other = "ada"  # type: ignore[attr-defined]
    assert replace(reason, by="ada") == Reason(CancelCode.TIMEOUT, "ada")
    assert reason.by is None


def test_replace_knows_no_other_fields() -> None:
    with pytest.raises(TypeError):
        replace(Basket("ada"), colour="red")


def test_a_value_has_the_defaults_methods_and_docstring_of_its_class() -> None:
    one, other = Basket("ada"), Basket("ada")
    assert one == other
    assert one.empty
    one.fruits.append("pear")
    assert (other.fruits, other.weight, Basket.__doc__) == ([], 0.0, "What was put into it.")
    assert repr(one) == "Basket(owner='ada', fruits=['pear'], weight=0.0)"


def test_dataclasses_takes_a_value_for_one_of_its_own() -> None:
    basket = Basket("ada", ["pear"])
    assert [field.name for field in dataclasses.fields(Basket)] == ["owner", "fruits", "weight"]
    assert dataclasses.asdict(basket) == {"owner": "ada", "fruits": ["pear"], "weight": 0.0}
    assert dataclasses.replace(basket, owner="bob") == Basket("bob", ["pear"])


def test_a_value_with_a_base_is_one_of_its_kind() -> None:
    assert isinstance(Cancel("s"), Query)
    assert isinstance(HOST, Asker)
    with pytest.raises(AttributeError):
        HOST.user = "ada"  # type: ignore[misc]


def test_a_value_can_be_copied_and_sent_to_another_process() -> None:
    cancel = Cancel("s", asker=Asker("ada"), code=CancelCode.POLICY)
    assert copy.deepcopy(cancel) == cancel == pickle.loads(pickle.dumps(cancel))


def test_a_value_can_be_matched_by_position() -> None:
    match Basket("ada", ["pear"]):
        case Basket(owner, fruits):
            assert (owner, fruits) == ("ada", ["pear"])


def test_what_has_its_default_is_not_written() -> None:
    assert msgspec.json.encode(Basket("ada")) == b'{"owner":"ada"}'
    assert msgspec.json.encode(Basket("ada", ["pear"], 1.0)) == (
        b'{"owner":"ada","fruits":["pear"],"weight":1.0}'
    )
