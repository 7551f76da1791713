"""Whether a turn that was cut off left its conversation in order."""

from typing import Any

import pytest

from turnkeeper.actors.testing.conversation import fault_of, in_order

USER: dict[str, Any] = {"role": "user", "content": "hi"}
REPLY: dict[str, Any] = {"role": "assistant", "content": "hello"}
CALL: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": "42"}


@pytest.mark.parametrize(
    ("before", "after", "whole", "is_in_order"),
    [
        ([], [], [USER, REPLY], True),
        ([], [USER, REPLY], [USER, REPLY], True),
        ([], [USER], [USER, REPLY], False),
        ([], [USER, {**REPLY, "content": "hel", "cut_off": True}], [USER, REPLY], True),
        ([USER, REPLY], [USER, REPLY], [USER, REPLY, USER, REPLY], True),
        ([USER, REPLY], [USER], [USER, REPLY, USER, REPLY], False),
        ([], [USER, CALL], [USER, CALL, RESULT, REPLY], False),
        ([], [USER, CALL, RESULT], [USER, CALL, RESULT, REPLY], True),
        ([], [USER, CALL, RESULT, REPLY], [USER], True),
        ([], [USER, CALL, REPLY], [USER], False),
        (["a"], ["a", "b"], ["a", "b"], True),
        (["a"], ["a", "b"], ["a", "b", "c"], False),
        ([], [USER, "b"], [], False),
    ],
)
def test_a_conversation_is_in_order_as_it_was_or_whole_or_with_a_complete_exchange(
    before: list[Any], after: list[Any], whole: list[Any], is_in_order: bool
) -> None:
    assert in_order(before, after, whole) is is_in_order


def test_a_check_of_the_hosts_says_what_is_wrong_in_its_own_way() -> None:
    def asserts(before: Any, after: Any) -> None:
        assert not after, "too many\nand more"

    assert fault_of(asserts, [], []) is None
    assert fault_of(asserts, [], [1]) == "too many"
    assert fault_of(lambda before, after: len(after) == 1, [], [1]) is None
    assert fault_of(lambda before, after: len(after) == 1, [], []) == "the check failed"
