"""Whether a turn that was cut off left its conversation in order. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

#: Called with the messages before the turn and those after it; returns whether that is as it should be, or
#: raises AssertionError.
Check: TypeAlias = Callable[[Sequence[Any], Sequence[Any]], object]


def in_order(before: Sequence[Any], after: Sequence[Any], whole: Sequence[Any]) -> bool:
    """Whether messages are as they were, as the ``whole`` turn leaves them, or end with a complete exchange.

    Complete is what ends with a reply, or with the result of a tool, and has a result for each call of one.
    Of messages of a kind of the host's own that is not known.
    """
    if list(after) in (list(before), list(whole)):
        return True
    return is_complete(after[_common(before, after) :])


def is_complete(messages: Sequence[Any]) -> bool:
    """Whether these messages, in the shape that models take them, ask for nothing that does not follow."""
    if not messages or not all(isinstance(message, dict) and "role" in message for message in messages):
        return False
    calls = {call.get("id") for message in messages for call in message.get("tool_calls") or ()}
    results = {message.get("tool_call_id") for message in messages if message["role"] == "tool"}
    return messages[-1]["role"] in ("assistant", "tool") and calls <= results


def _common(before: Sequence[Any], after: Sequence[Any]) -> int:
    """How many messages both begin with."""
    for n, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return n
    return min(len(before), len(after))


def fault_of(check: Check, before: Sequence[Any], after: Sequence[Any]) -> str | None:
    """What a check of the host's says against it, if anything."""
    try:
        answer = check(before, after)
    except AssertionError as error:
        return str(error).partition("\n")[0] or "the check failed"
    return None if answer is None or answer is True else "the check failed"
