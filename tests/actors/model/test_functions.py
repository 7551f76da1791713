"""Whether a host's function can be called as it will be."""

import inspect

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.functions import check_callable, check_function, takes


def test_a_builtin_that_does_not_tell_what_it_takes_is_believed() -> None:
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(max)
    assert takes(max, 1)
    check_function(max, "authenticate", "a request")


def test_what_cannot_be_called_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest, match="the thing cannot be called") as caught:
        check_callable(1, "field", "the thing")
    assert caught.value.field == "field"
    with pytest.raises(InvalidRequest, match="on_rollback cannot be called without arguments"):
        check_function(lambda turn: None, "on_rollback")
