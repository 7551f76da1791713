"""What a conversation has of calls of tools that were cut off. Pure.

A model's API refuses a conversation in which the assistant has called a tool and no result follows, and with
it every later message of the session. So what a turn leaves that was stopped has a result for each.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from turnkeeper.actors.model.frozen import FrozenDict

#: What stands in the conversation for the model to read of such a call.
CUT_OFF: Final = "The call was cut off: nothing is known of what it did."


def answered(messages: Sequence[Any]) -> list[Any]:
    """The messages, and after each one that calls tools a result for every call that has none there.

    They are those of the chat completions protocol; others stay as they are.
    """
    whole: list[Any] = []
    waits: dict[str, None] = {}
    for message in messages:
        if isinstance(message, dict) and dict.get(message, "role") == "tool":
            waits.pop(str(dict.get(message, "tool_call_id")), None)
        else:
            whole += map(_answer, waits)
            waits = dict.fromkeys(_calls_of(message))
        whole.append(message)
    return [*whole, *map(_answer, waits)]


def _calls_of(message: Any) -> list[str]:
    """The ids of the calls that a message of the assistant's makes."""
    calls = dict.get(message, "tool_calls") if isinstance(message, dict) else None
    if not isinstance(calls, list | tuple):
        return []
    ids = [dict.get(call, "id") for call in calls if isinstance(call, dict)]
    return [each for each in ids if isinstance(each, str)]


def _answer(call_id: str) -> FrozenDict:
    return FrozenDict(role="tool", tool_call_id=call_id, content=CUT_OFF, cut_off=True)


@contextmanager
def answering(context: Any) -> Generator[None]:
    """Let the messages of a context be `answered` meanwhile, if it has a list of messages."""
    messages = getattr(context, "messages", None)
    if not isinstance(messages, list):
        yield
        return
    whole = answered(messages)
    if len(whole) == len(messages):
        yield
        return
    context.messages = whole
    try:
        yield
    finally:
        context.messages = messages
