"""The tree of errors is the one that its docstring draws, and each code means one thing."""

import inspect
import re

import pytest

from turnkeeper.actors.model import exceptions
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    SessionBusy,
    TurnFailed,
    TurnkeeperError,
    TurnNotCompleted,
)

ERRORS: list[type[TurnkeeperError]] = [
    kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, TurnkeeperError)
]
#: Families that are raised only as one of their members.
FAMILIES = {"TurnkeeperError", "SessionError", "AgentError", "RuntimeMisuse"}


def drawn() -> dict[str, str | None]:
    """The tree in the docstring: each error and its parent."""
    tree: dict[str, str | None] = {"TurnkeeperError": None}
    above = ["TurnkeeperError"]
    for line in (exceptions.__doc__ or "").splitlines():
        found = re.match(r"    ([| ]*)\+-- (\w+)", line)
        if found:
            depth = len(found[1]) // 4 + 1
            above[depth:] = [found[2]]
            tree[found[2]] = above[depth - 1]
    return tree


def test_the_docstring_draws_the_tree() -> None:
    assert drawn() == {
        kind.__name__: None if kind is TurnkeeperError else kind.__bases__[0].__name__ for kind in ERRORS
    }


def test_each_code_means_one_error() -> None:
    codes = [kind.code for kind in ERRORS if kind.__name__ not in FAMILIES]
    assert len(set(codes)) == len(codes)
    assert TurnkeeperError.code not in codes


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_a_code_is_upper_snake(kind: type[TurnkeeperError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Z_]*[A-Z]", kind.code)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_says_what_it_means(kind: type) -> None:
    assert (inspect.getdoc(kind) or "").endswith((".", ")"))
    assert "__doc__" in vars(kind)


def test_errors_carry_what_programs_need() -> None:
    assert SessionBusy("busy", turn_id="t").turn_id == "t"
    assert InvalidRequest("no", field="turn_id").field == "turn_id"
    failed = TurnFailed("failed", turn_id="t", status="failed")
    assert isinstance(failed, TurnNotCompleted)
    assert (failed.turn_id, failed.status, str(failed)) == ("t", "failed", "failed")
