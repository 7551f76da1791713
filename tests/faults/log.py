"""A session's log, as a replay shows it at the end, and what must hold of it by itself. Pure."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from tests.faults.history import Event
from tests.faults.plan import Plan, chunks_of

STARTED, INTERRUPTED = "turn.started", "turn.interrupted"
#: The statuses with which a turn ends, and the events that say so; `turn.interrupted` may end an attempt.
FINAL = frozenset({"completed", "failed", "cancelled", "timed_out", "interrupted", "unresponsive"})
ENDS = frozenset(f"turn.{status}" for status in FINAL)


class Id(NamedTuple):
    """The id of an event."""

    epoch: int
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.n}"


def id_of(text: str) -> Id:
    """The id that a text says; ``0`` is before all."""
    epoch, _, n = text.partition("-")
    return Id(int(epoch), int(n or 0))


def task_of(data: Any) -> str | None:
    """Whose turn it is that an event of turnkeeper's own is about."""
    task = data.get("task_id") if isinstance(data, dict) else None
    return task if isinstance(task, str) else None


def ends_turn(name: str, data: Any) -> bool:
    """Whether this event is the one that ends its turn."""
    return name in ENDS and not (name == INTERRUPTED and data.get("will_continue"))


@dataclass
class Epoch:
    """One run of a turn, or what is said between two runs of it: the events of one epoch, in their order."""

    number: int
    task: str | None
    events: list[tuple[Id, Event, Any]] = field(default_factory=list)

    @property
    def last(self) -> Id:
        return self.events[-1][0]

    @property
    def is_run(self) -> bool:
        """Whether the agent ran in it."""
        return self.events[0][1].name == STARTED

    @property
    def end(self) -> str | None:
        """The status with which its turn ended in it, if it did."""
        _, event, data = self.events[-1]
        return event.name.removeprefix("turn.") if ends_turn(event.name, data) else None

    @property
    def chunks(self) -> list[int]:
        """The numbers of the chunks that were said in it."""
        texts = (data["text"] for _, event, data in self.events if event.name == "delta")
        return [number for text in texts for _, number in chunks_of(text)]


class Log:
    """The numbered events of a session, by their ids and by their epochs.

    ``kept`` says of each epoch that was cut by the end of its process what its last event in the log is.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.ids: list[Id] = []
        self.by_id: dict[Id, Event] = {}
        self.epochs: dict[int, Epoch] = {}
        self.kept: dict[int, Id] = {}
        for event in events:
            if event.id is not None:
                self._add(id_of(event.id), event)

    def _add(self, at: Id, event: Event) -> None:
        data = json.loads(event.text)
        self.ids.append(at)
        self.by_id[at] = event
        epoch = self.epochs.setdefault(at.epoch, Epoch(at.epoch, task_of(data)))
        epoch.events.append((at, event, data))
        if event.name == INTERRUPTED and data.get("kept") is not None:
            kept = id_of(data["kept"])
            self.kept[kept.epoch] = kept

    @cached_property
    def of_task(self) -> dict[str, list[Epoch]]:
        """The epochs of each turn, in their order."""
        found: dict[str, list[Epoch]] = {}
        for epoch in self.epochs.values():
            if epoch.task is not None:
                found.setdefault(epoch.task, []).append(epoch)
        return found

    def may_lack(self, at: Id) -> bool:
        """Whether that is the place of an event that readers may have seen before its epoch was cut."""
        kept = self.kept.get(at.epoch)
        return kept is not None and at.n > kept.n


def faults(log: Log, plans: dict[str, Plan], policies: dict[str, str], most: int) -> Iterator[str]:
    """What is wrong with a log by itself.

    ``plans`` are those of all turns that were sent, ``policies`` their agents', ``most`` how many attempts a
    turn has that is tried again.
    """
    for one, other in pairwise(log.ids):
        if other <= one:
            yield f"the log has {other} behind {one}"
    for epoch in log.epochs.values():
        yield from _numbering(epoch)
    yield from _cuts(log)
    for task, epochs in log.of_task.items():
        if task not in plans:
            yield f"the log has a turn {task} that was not sent"
        else:
            yield from _attempts(plans[task], epochs, policies[task], most)


def _numbering(epoch: Epoch) -> Iterator[str]:
    numbers = [at.n for at, _, _ in epoch.events]
    if numbers != list(range(len(numbers))):
        yield f"epoch {epoch.number} has the numbers {numbers}"
    (_, first, data), *others = epoch.events
    if epoch.task is None or first.name not in {STARTED, *ENDS}:
        yield f"epoch {epoch.number} begins with {first.name}"
    for (at, event, before), (_, after, _) in pairwise(epoch.events):
        if ends_turn(event.name, before):
            yield f"turn {epoch.task} ended at {at}, and {after.name} came after it"
    for at, event, data in others:
        if event.name == STARTED or (task_of(data) or epoch.task) != epoch.task:
            yield f"{event.name} of {task_of(data)} at {at}, in the epoch of {epoch.task}"
        if event.name == INTERRUPTED:
            yield f"turn.interrupted at {at} is not in an epoch of its own"


def _cuts(log: Log) -> Iterator[str]:
    """Each run ends with its turn's end, or is cut by a `turn.interrupted` that says where."""
    epochs = [*log.epochs.values(), None]
    for epoch, following in pairwise(epochs):
        assert epoch is not None, "only the last one has none behind it"
        if not epoch.is_run or epoch.end is not None:
            continue
        if following is None:
            yield f"turn {epoch.task} has no end at {epoch.last}"
            continue
        at, event, data = following.events[0]
        if event.name != INTERRUPTED or following.task != epoch.task:
            yield f"turn {epoch.task} has no end at {epoch.last}: {event.name} of {following.task} follows"
        elif data.get("kept") != str(epoch.last):
            yield f"turn.interrupted at {at} keeps {data.get('kept')}, and the log has {epoch.last}"


def spoken(epochs: Iterable[Epoch], policy: str) -> list[int]:
    """The chunks that a turn of that policy has said in these epochs, and that are its reply by then."""
    runs = [epoch.chunks for epoch in epochs if epoch.is_run]
    return [number for chunks in (runs if policy == "continue" else runs[-1:]) for number in chunks]


def _attempts(plan: Plan, epochs: list[Epoch], policy: str, most: int) -> Iterator[str]:
    runs, ends = [epoch for epoch in epochs if epoch.is_run], [e.end for e in epochs if e.end is not None]
    if len(ends) > 1:
        yield f"turn {plan.task} ended {len(ends)} times: {', '.join(ends)}"
    if len(runs) > (1 if policy == "interrupt" else most):
        yield f"turn {plan.task} of the policy {policy} was started {len(runs)} times"
    said: list[int] = []
    for number, run in enumerate(runs):
        message = run.events[0][2].get("message")
        if message != plan.text:
            yield f"turn {plan.task} was started with the message {message!r}"
        said = spoken(runs[: number + 1], policy)
        if said != list(range(len(said))):
            yield f"turn {plan.task} said the chunks {said} by {run.last}"
    if ends == ["completed"] and len(said) != plan.chunks:
        yield f"turn {plan.task} completed, and its events have {len(said)} of {plan.chunks} chunks"
