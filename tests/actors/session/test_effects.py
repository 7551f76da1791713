"""Effects are imperatives, each a value that the actor can perform."""

import dataclasses
import typing

import pytest

from turnkeeper.actors.session import effects
from turnkeeper.actors.session.effects import CancelTurn, Effect, Quarantine, StartTurn

EFFECTS = typing.get_args(Effect)


def test_all_effects_are_in_the_union() -> None:
    defined = {kind for kind in vars(effects).values() if getattr(kind, "__module__", "") == effects.__name__}
    assert {kind for kind in defined if isinstance(kind, type)} == set(EFFECTS)


@pytest.mark.parametrize("kind", EFFECTS, ids=lambda kind: kind.__name__)
def test_an_effect_is_a_hashable_value(kind: type) -> None:
    first, second = (kind(*range(len(dataclasses.fields(kind)))) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize("kind", [StartTurn, CancelTurn, Quarantine])
def test_what_touches_a_coroutine_names_its_epoch(kind: type) -> None:
    assert "epoch" in {field.name for field in dataclasses.fields(kind)}


def test_effects_of_different_types_differ_although_their_fields_do_not() -> None:
    different: set[Effect] = {Quarantine(1), effects.SetTimer(1)}
    assert len(different) == 2
