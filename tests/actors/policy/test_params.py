"""What a send says to the agent beside its message: checked, and kept as JSON."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.model.exceptions import InvalidRequest, MessageTooLarge
from turnkeeper.actors.model.frozen import DEPTH, FrozenDict
from turnkeeper.actors.model.records import params_of
from turnkeeper.actors.policy.params import written

MOST = 1_000
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int) -> Any:
    """Lists in an object, so many levels in all."""
    inner: Any = 1
    for _ in range(depth - 1):
        inner = [inner]
    return {"x": inner}


@given(st.dictionaries(st.text(), anything, max_size=3))
def test_what_json_can_say_is_kept_as_it_was_said(params: dict[str, Any]) -> None:
    text = written(params, 100_000)
    assert dict(params_of(text)) == params
    assert text is None or [*params_of(text)] == [*json.loads(text)] == [*params]


@pytest.mark.parametrize("none", [None, {}, MappingProxyType({}), FrozenDict()], ids=repr)
def test_no_params_and_empty_ones_are_the_same(none: Any) -> None:
    assert written(none, MOST) is None
    assert params_of(None) == {}


class Odd(Mapping[str, Any]):
    """A host's own kind of mapping, which cannot be read."""

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("odd")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "params",
    [
        *("text", 1, True, ["x"], [("a", 1)], object()),
        {1: 2},
        {None: 1},
        {"x": object()},
        {"x": {1, 2}},
        {"x": b"bytes"},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": "\ud800"},
        {"\udfff": 1},
        {"x": {("a", "b"): 1}},
        pytest.param(nested(DEPTH + 1), id="a little too deep"),
        pytest.param(nested(100_000), id="much too deep"),
        pytest.param(Odd(), id="odd"),
    ],
    ids=lambda params: repr(params)[:20],
)
def test_what_is_no_object_of_json_is_refused(params: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        written(params, 1_000_000)
    assert (caught.value.code, caught.value.field) == ("INVALID_REQUEST", "params")


def test_params_may_be_nested_as_deep_as_they_can_be_made_read_only() -> None:
    assert params_of(written(nested(DEPTH), MOST)) == nested(DEPTH)


def test_params_may_take_so_many_bytes_as_json_and_no_more() -> None:
    """G8."""
    for params in ({"x": "a" * 992}, {"x": "\u20ac" * 330 + "aa"}):
        assert len(written(params, MOST) or "") <= MOST
        with pytest.raises(MessageTooLarge, match="1000 bytes") as caught:
            written({**params, "x": params["x"] + "a"}, MOST)
        assert (caught.value.code, caught.value.field) == ("MESSAGE_TOO_LARGE", "params")
