"""Records are values: hashable, equal by type and fields, and not assignable to the type checkers."""

import dataclasses
import inspect

import pytest

from turnkeeper.actors.model import records
from turnkeeper.actors.model.records import HOST, Asker, Raised, Reason, Returned, Stopped
from turnkeeper.actors.model.words import CancelCode

VALUES = [
    kind
    for _, kind in inspect.getmembers(records, inspect.isclass)
    if dataclasses.is_dataclass(kind) and kind.__module__ == records.__name__
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_a_record_is_a_hashable_value_without_a_dict(kind: type) -> None:
    first, second = (kind(*range(len(dataclasses.fields(kind)))) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert not hasattr(first, "__dict__")


def test_values_of_different_types_differ_although_their_fields_do_not() -> None:
    error = ValueError()
    assert len({Returned(), Stopped(), Returned(error), Raised(error)}) == 4


def test_a_session_is_seen_by_its_owner_and_by_admins() -> None:
    assert HOST.may_see("ada")
    assert not Asker("bob").may_see("ada")
    assert Asker("ada").may_see("ada")
    assert Asker("root", sees_all=True).may_see("ada")


def test_the_host_is_a_value_of_its_own() -> None:
    """G8: the bounds of one user are not for the host, so no user may be taken for it."""
    assert HOST == HOST
    assert Asker(HOST.user, HOST.sees_all, HOST.bounded) != HOST
    assert not HOST.bounded
    assert Asker("root", sees_all=True).bounded


def test_a_reason_needs_neither_a_name_nor_words() -> None:
    assert Reason(CancelCode.TIMEOUT) == Reason(CancelCode.TIMEOUT, None, None)
