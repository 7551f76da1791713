"""The conversation of a session against its turns. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tests.faults.log import Log, spoken
from tests.faults.plan import Plan, plan_of

#: The statuses after which a turn that began is in the conversation, with its message at least.
RECORDED = frozenset({"completed", "failed", "cancelled", "timed_out", "unresponsive"})


class Said(NamedTuple):
    """One turn's part of a conversation: its message, and the reply that follows it, if one does."""

    task: str
    reply: dict[str, Any] | None


def said_in(messages: Sequence[Mapping[str, Any]]) -> Iterator[Said | str]:
    """The turns' parts of a conversation, in its order; a text about what is neither message nor reply."""
    waiting: str | None = None
    for message in messages:
        match message.get("role"):
            case "user":
                if waiting is not None:
                    yield Said(waiting, None)
                try:
                    waiting = plan_of(message["content"]).task
                except (msgspec.DecodeError, TypeError, KeyError):
                    waiting = None
                    yield f"the conversation has a message that was not sent: {message}"
            case "assistant" if waiting is not None:
                yield Said(waiting, dict(message))
                waiting = None
            case _:
                yield f"the conversation has what nobody asked for: {message}"
    if waiting is not None:
        yield Said(waiting, None)


def faults(
    messages: Sequence[Mapping[str, Any]],
    turns: Mapping[str, Mapping[str, Any]],
    plans: Mapping[str, Plan],
    policies: Mapping[str, str],
    log: Log,
) -> Iterator[str]:
    """What is wrong with a conversation; ``turns`` are the records at the end, ``policies`` their agents'."""
    parts: list[Said] = []
    for part in said_in(messages):
        if isinstance(part, str):
            yield part
        elif part.task not in plans:
            yield f"the conversation has a turn {part.task} that was not sent"
        else:
            parts.append(part)
    order = [part.task for part in parts]
    for task in dict.fromkeys(order):
        if order.count(task) > 1:
            yield f"the conversation has the message of turn {task} {order.count(task)} times"
    for part in parts:
        said = spoken(log.of_task.get(part.task, ()), policies[part.task])
        yield from _reply(part, plans[part.task], turns.get(part.task, {}).get("status"), said)
    for task, turn in turns.items():
        if turn["status"] == "completed" and task in plans and turn["result"] != plans[task].result:
            yield f"turn {task} completed, and its result is {turn['result']!r}"
        cut = turn["status"] == "interrupted" and any(epoch.is_run for epoch in log.of_task.get(task, ()))
        if (cut or (turn["status"] in RECORDED and turn.get("began"))) and task not in order:
            yield f"turn {task} {turn['status']}, and the conversation has not its message"
    ended = {task: epochs[-1].number for task, epochs in log.of_task.items()}
    known = [task for task in dict.fromkeys(order) if task in ended]
    if known != sorted(known, key=ended.__getitem__):
        yield f"the conversation has the turns in the order {', '.join(known)}"


def _reply(part: Said, plan: Plan, status: str | None, said: list[int]) -> Iterator[str]:
    content = "" if part.reply is None else part.reply.get("content")
    if status == "completed" and content == plan.reply and not (part.reply or {}).get("cut_off"):
        return
    if status == "completed":
        yield f"turn {part.task} completed, and its reply is {part.reply}"
    elif content != "".join(map(plan.chunk, said)):
        yield f"turn {part.task} {status}, and its reply is {part.reply}; its events say {said}"
