"""A history against what is there at its end. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.faults import conversation, log, readers, sessions, turns
from tests.faults.history import AtTheEnd, History, Record, SendAsked, Terminated
from tests.faults.plan import plan_of


class Violation(NamedTuple):
    """Something that must not be."""

    session: str
    says: str


def check(history: History) -> list[Violation]:
    """All that is wrong, session by session."""
    gently = any(isinstance(record, Terminated) for record in history.records)
    usual = {*readers.USUAL_ENDS, readers.SHUTDOWN} if gently else {*readers.USUAL_ENDS}
    return [
        Violation(session, says)
        for session, records in history.by_session().items()
        for says in _session(records, history.end.get(session, AtTheEnd(state=None)), history, usual)
    ]


def _session(records: list[Record], end: AtTheEnd, history: History, usual: set[str]) -> Iterator[str]:
    sent = [record for record in records if isinstance(record, SendAsked)]
    plans = {record.task: plan_of(record.text) for record in sent}
    policies = {record.task: history.policies[record.agent] for record in sent}
    kept = log.Log(end.events)
    yield from log.faults(kept, plans, policies, history.attempts)
    yield from turns.faults(turns.known_of(records), end, kept)
    there = {task: turn for task, turn in end.by_id.items() if turn is not None}
    yield from sessions.faults(session := sessions.known_of(records), end)
    if end.state != "closed":
        yield from conversation.faults(end.messages, there, plans, policies, kept)
    ends = {*usual, readers.CLOSED} if session.closing else usual
    yield from readers.faults(readers.readers_of(records).values(), kept, ends)
    for task, events in end.streams.items():
        own = [event for epoch in kept.of_task.get(task, ()) for _, event, _ in epoch.events]
        if [event for event in events if event.id] != own:
            yield f"the stream of turn {task} is not what the session's own has of it"
