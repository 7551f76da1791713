"""The checker finds each lie that is planted in a history, and nothing in one without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.faults.checker import check
from tests.faults.history import (
    AtTheEnd,
    CancelAnswered,
    CloseAnswered,
    CloseAsked,
    Denied,
    Event,
    History,
    Looked,
    Record,
    Seen,
    SendAnswered,
    SendAsked,
    SendRefused,
    StreamRefused,
    Terminated,
    TitleAsked,
    read,
)
from tests.faults.scripted import (
    LACKING,
    LATE,
    MESSAGES,
    OF_T4,
    READER,
    SESSION,
    TITLE,
    answered,
    asked,
    chunk,
    clean,
    ended,
    message,
    reply,
    saw,
    started,
)


def said(history: History) -> list[str]:
    return [violation.says for violation in check(history)]


# --- how to lie ---------------------------------------------------------------------------------------------


def end(history: History, **changes: Any) -> None:
    """Let the server say something else at the end."""
    history.end[SESSION] = msgspec.structs.replace(history.end[SESSION], **changes)


def record_of(history: History, task: str, **changes: Any) -> None:
    """Let a turn's record say something else, in the list as well."""
    there: AtTheEnd = history.end[SESSION]
    old = there.by_id[task]
    assert old is not None
    new = {**old, **changes}
    end(
        history,
        by_id={**there.by_id, task: new},
        turns=tuple(new if each["task_id"] == task else each for each in there.turns),
    )


def note(history: History, *records: Record) -> None:
    """Let something more have happened, at the end."""
    history.records += records


def unsee(history: History, reader: str, *ids: str) -> None:
    """Let a reader have missed these events."""
    history.records = [
        record
        for record in history.records
        if not (isinstance(record, Seen) and record.reader == reader and record.id in ids)
    ]


def never_was(history: History, *ids: str) -> None:
    """Let these events be gone: no reader saw them, and the log has none."""
    events = history.end[SESSION].events
    end(history, events=tuple(event for event in events if event.id not in ids), streams={})
    for reader in {record.reader for record in history.records if isinstance(record, Seen)}:
        unsee(history, reader, *ids)


def instead(history: History, old: str, *new: Event) -> None:
    """Let these events be in the place of another one, for the readers too."""
    events: list[Event] = []
    for event in history.end[SESSION].events:
        events += new if event.id == old else (event,)
    records: list[Record] = []
    for record in history.records:
        mine = isinstance(record, Seen) and record.id == old
        records += saw(record.reader, *new) if isinstance(record, Seen) and mine else (record,)
    history.records = records
    end(history, events=tuple(events), streams={})


def instead_in(history: History, old: str | None, new: Event) -> None:
    """Let one reader, the first, have seen something else."""
    history.records = [
        saw(READER, new)[0]
        if isinstance(record, Seen) and record.id == old and record.reader == READER
        else record
        for record in history.records
    ]


def unsent(history: History, task: str) -> None:
    """Let a turn never have been sent."""
    history.records = [r for r in history.records if not (isinstance(r, SendAsked) and r.task == task)]


def unanswered(history: History, task: str) -> None:
    """Let the answers to a send have been lost."""
    history.records = [r for r in history.records if not (isinstance(r, SendAnswered) and r.task == task)]


def forget_turn(history: History, task: str) -> None:
    """Let the server not know a turn."""
    there = history.end[SESSION]
    end(
        history,
        by_id={**there.by_id, task: None},
        turns=tuple(each for each in there.turns if each["task_id"] != task),
    )


def conversation(history: History, *messages: dict[str, Any]) -> None:
    """Let the conversation be these messages."""
    end(history, messages=messages)


def listed(history: History, state: str, title: str) -> None:
    """Let the session be in that state, and have that title."""
    end(history, state=state, listed=({"log_id": SESSION, "state": state, "title": title},))


def cancel(task: str, at: float, verdict: str, status: str | None = None) -> CancelAnswered:
    return CancelAnswered(SESSION, task, at, at, verdict, status)


Lie = Callable[[History], None]


def both(one: Lie, other: Lie) -> Lie:
    """Plant two lies, one after the other."""

    def plant(history: History) -> None:
        one(history)
        other(history)

    return plant


#: Each lie by its name, with what the checker says of it.
LIES: dict[str, tuple[Lie, str]] = {
    # Sends.
    "a send is lost": (
        lambda h: forget_turn(h, "t1"),
        "the send of turn t1 was acknowledged, and the turn is not known",
    ),
    "the whole session is lost": (
        lambda h: h.end.clear(),
        "the send of turn t5 was acknowledged, and the turn is not known",
    ),
    "a retry starts the turn again": (
        lambda h: note(h, asked("t1", 9.3), answered("t1", 9.4)),
        "the send of turn t1 was acknowledged, and again as a new one",
    ),
    "a turn is there twice": (
        lambda h: end(h, turns=(*h.end[SESSION].turns, h.end[SESSION].turns[0])),
        "the list has turn t8 2 times",
    ),
    "a turn runs twice": (
        lambda h: instead(
            h,
            "3000-0",
            ended(3000, 0, "t2", "interrupted", kept="2000-2", will_continue=True),
            started(3500, "t2"),
            ended(3500, 1, "t2", "interrupted", will_continue=False),
        ),
        "turn t2 of the policy interrupt was started 2 times",
    ),
    "a turn is not in the list": (
        lambda h: end(h, turns=h.end[SESSION].turns[1:]),
        "turn t8 is not in the list",
    ),
    "the list says something else": (
        lambda h: end(h, turns=tuple({**each, "status": "failed"} for each in h.end[SESSION].turns)),
        "turn t1 is failed in the list, and completed by itself",
    ),
    "a refused send runs": (
        lambda h: end(h, by_id={**h.end[SESSION].by_id, "t6": h.end[SESSION].by_id["t1"]}),
        "the send of turn t6 was refused (SESSION_BUSY), and the turn is completed",
    ),
    "a turn runs that was not sent": (
        lambda h: unsent(h, "t1"),
        "the log has a turn t1 that was not sent",
    ),
    "a turn is given another message": (
        lambda h: instead(h, "4000-0", Event("4000-0", "turn.started", '{"task_id":"t3","message":"hi"}')),
        "turn t3 was started with the message 'hi'",
    ),
    "a turn that was seen is lost": (
        both(lambda h: forget_turn(h, "t1"), lambda h: unanswered(h, "t1")),
        "turn t1 was completed for a look, and is not known",
    ),
    # Endings.
    "a turn reads running for ever": (
        lambda h: record_of(h, "t2", status="running", ended_at=None),
        "turn t2 is running at the end",
    ),
    "a turn still runs after the restart": (
        lambda h: note(h, Looked(SESSION, "t2", 4.5, "running")),
        "turn t2 was running for a look, 1.5 s after its end",
    ),
    "a turn that ran waits after the restart": (
        lambda h: note(h, Looked(SESSION, "t2", 4.5, "queued")),
        "turn t2 was queued for a look, 1.5 s after its end",
    ),
    "the session is running for ever": (
        lambda h: end(h, state="running"),
        "the session is running at the end",
    ),
    "a turn's status changes after its end": (
        lambda h: record_of(h, "t1", status="interrupted"),
        "turn t1 was completed for a look, and is interrupted",
    ),
    "a turn ends twice": (
        lambda h: instead(
            h,
            "3000-0",
            ended(3000, 0, "t2", "interrupted", kept="2000-2"),
            ended(3500, 0, "t2", "interrupted"),
        ),
        "turn t2 ended 2 times: interrupted, interrupted",
    ),
    "a turn that ended is interrupted by the restart": (
        lambda h: instead(
            h, "1000-4", ended(1000, 4, "t1", "completed"), ended(1500, 0, "t1", "interrupted", kept="1000-4")
        ),
        "turn t1 ended 2 times: completed, interrupted",
    ),
    "an ending that a reader saw is lost": (
        lambda h: note(h, *saw(LATE, ended(9000, 1, "t2", "completed"))),
        "saw turn.completed at 9000-1, which the log has not",
    ),
    "an ending that a reader saw is replaced by the restart": (
        lambda h: instead_in(h, LACKING.id, ended(2000, 3, "t2", "completed")),
        "saw turn.completed at 2000-3, which the log has not",
    ),
    "an ending has no event": (
        lambda h: never_was(h, "4000-2"),
        "turn t3 has no end at 4000-1: turn.started of t4 follows",
    ),
    "the record ends otherwise than the log": (
        lambda h: instead(h, "6500-3", ended(6500, 3, "t4", "failed")),
        "turn t4 is completed, and the log ends it with ['failed']",
    ),
    "a result is lost": (
        lambda h: record_of(h, "t1", result=None),
        "turn t1 completed, and its result is None",
    ),
    "an attempt is not counted": (
        lambda h: record_of(h, "t4", attempt=1),
        "turn t4 completed in attempt 1, and the log has 2",
    ),
    # The session.
    "a cancel is refused": (
        lambda h: note(h, Denied(SESSION, "stop_turn", "UNKNOWN_SESSION")),
        "a stop_turn was refused: UNKNOWN_SESSION",
    ),
    "a close is lost": (
        lambda h: note(h, CloseAsked(SESSION), CloseAnswered(SESSION)),
        "the session's close was acknowledged, and it is idle",
    ),
    "a session is closed that nobody closed": (
        lambda h: listed(h, "closed", TITLE),
        "the session is closed at the end",
    ),
    "a conversation outlives the close": (
        both(lambda h: note(h, CloseAsked(SESSION)), lambda h: listed(h, "closed", TITLE)),
        "the session is closed, and its conversation has 10 messages",
    ),
    "a session is not in the list": (
        lambda h: end(h, listed=()),
        "the list of sessions has it 0 times",
    ),
    "a session is in the list twice": (
        lambda h: end(h, listed=2 * h.end[SESSION].listed),
        "the list of sessions has it 2 times",
    ),
    "the list of sessions says something else": (
        lambda h: end(h, listed=({**h.end[SESSION].listed[0], "state": "running"},)),
        "the list of sessions has it as running, and it is idle",
    ),
    "a title is lost": (
        lambda h: listed(h, "idle", "as of t1"),
        "the title 'as of t3' was acknowledged, and it is 'as of t1'",
    ),
    # Cancels.
    "a cancel is lost": (
        lambda h: record_of(h, "t3", cancel_requested_at=None),
        "the cancel of turn t3 was acknowledged, and its record has none",
    ),
    "a cancelled turn completes": (
        lambda h: note(h, cancel("t4", 6.7, "cancelled")),
        "turn t4 was acknowledged as cancelled, and is completed",
    ),
    "an unresponsive turn is cancelled": (
        lambda h: note(h, cancel("t3", 4.8, "unresponsive")),
        "turn t3 was acknowledged as unresponsive, and is cancelled",
    ),
    "an attempt follows an acknowledged cancel": (
        lambda h: note(h, cancel("t4", 5.4, "requested")),
        "turn t4 was started at 6500, after its cancel was acknowledged",
    ),
    "a remembered cancel is forgotten": (
        lambda h: record_of(h, "t8", status="completed"),
        "the cancel of turn t8 was remembered, and the turn completed",
    ),
    "a turn is tried too often": (
        lambda h: setattr(h, "attempts", 1),
        "turn t4 of the policy rerun was started 2 times",
    ),
    # Streams.
    "a stream has a hole": (
        lambda h: unsee(h, READER, "1000-2"),
        "reader reader: missed 1000-2",
    ),
    "a stream lacks a whole turn": (
        lambda h: unsee(h, READER, "4000-0", "4000-1", "4000-2"),
        "reader reader: missed 4000-0, 4000-1, 4000-2",
    ),
    "a turn's stream has a hole": (
        lambda h: unsee(h, OF_T4, "6000-0"),
        "reader t4-reader: missed 6000-0",
    ),
    "a turn's stream shows another turn": (
        lambda h: h.records.insert(-1, saw(OF_T4, started(8500, "t5"))[0]),
        "follows turn t4, and saw 8500-0 of another one",
    ),
    "a stream shows an event twice": (
        lambda h: h.records.insert(-1, saw(READER, ended(8500, 3, "t5", "completed"))[0]),
        "reader reader: 8500-3 came behind 8500-3",
    ),
    "a stream goes back": (
        lambda h: h.records.insert(-1, saw(READER, started(1000, "t1"))[0]),
        "reader reader: 1000-0 came behind 8500-3",
    ),
    "a stream stops short": (
        lambda h: unsee(h, READER, "8500-3"),
        "reader reader: had the time to see 8500-3, and saw no more than 8500-2",
    ),
    "a stream without a cursor begins within a turn": (
        lambda h: unsee(h, LATE, "4000-0"),
        "reader late: came without a cursor, and began with 4000-1",
    ),
    "a cursor is not known after the restart": (
        lambda h: note(h, Seen(READER, None, "gap", '{"since":"2000-3"}')),
        'reader reader: had a gap: {"since":"2000-3"}',
    ),
    "a stream is lost": (
        lambda h: note(h, Seen(READER, None, "close", "Session lost")),
        "reader reader: its stream was ended: Session lost",
    ),
    "a stream is refused": (
        lambda h: note(h, StreamRefused(OF_T4, "EVENTS_LOST")),
        "reader t4-reader: was refused: EVENTS_LOST",
    ),
    "an id is given twice": (
        lambda h: instead_in(h, "4000-1", chunk(4000, 1, "t3", 1)),
        "4000-1 was delta",
    ),
    "an id that the log lacks is given twice": (
        both(
            lambda h: h.records.insert(-1, saw(LATE, chunk(2000, 3, "t2", 2))[0]),
            lambda h: h.records.insert(-1, saw(OF_T4, chunk(2000, 3, "t2", 3))[0]),
        ),
        "2000-3 was delta",
    ),
    "an event is lost that was followed by others": (
        lambda h: instead_in(h, LACKING.id, chunk(2000, 4, "t2", 3)),
        "saw 2000-4 behind 2000-2: there is a hole",
    ),
    "an event of a whole epoch is lost": (
        lambda h: h.records.insert(-1, saw(READER, chunk(8500, 4, "t5", 4))[0]),
        "saw delta at 8500-4, which the log has not",
    ),
    # The log.
    "the interruption is in the old epoch": (
        lambda h: instead(h, "3000-0", ended(2000, 3, "t2", "interrupted", kept="2000-2")),
        "turn.interrupted at 2000-3 is not in an epoch of its own",
    ),
    "the interruption says a wrong last id": (
        lambda h: instead(h, "3000-0", ended(3000, 0, "t2", "interrupted", kept="2000-3")),
        "turn.interrupted at 3000-0 keeps 2000-3, and the log has 2000-2",
    ),
    "a cut turn has no interruption": (
        lambda h: never_was(h, "3000-0"),
        "turn t2 has no end at 2000-2: turn.started of t3 follows",
    ),
    "a batch of events is dropped": (
        lambda h: never_was(h, "1000-1", "1000-2"),
        "epoch 1000 has the numbers [0, 3, 4]",
    ),
    "a batch of events is dropped, and the next ones have its numbers": (
        both(
            lambda h: never_was(h, "1000-3", "1000-4"),
            lambda h: instead(h, "1000-2", chunk(1000, 2, "t1", 2), ended(1000, 3, "t1", "completed")),
        ),
        "turn t1 said the chunks [0, 2] by 1000-3",
    ),
    "a last batch of events is dropped": (
        both(
            lambda h: never_was(h, "8500-3"),
            lambda h: instead(h, "8500-2", ended(8500, 2, "t5", "completed")),
        ),
        "turn t5 completed, and its events have 3 of 4 chunks",
    ),
    "a turn that goes on says what it had said": (
        lambda h: instead(h, "8500-1", chunk(8500, 1, "t5", 1)),
        "turn t5 said the chunks [0, 1, 1, 3] by 8500-3",
    ),
    "something follows a turn's end": (
        lambda h: instead(h, "6500-3", ended(6500, 3, "t4", "completed"), chunk(6500, 4, "t4", 2)),
        "turn t4 ended at 6500-3, and delta came after it",
    ),
    "the last turn has no end": (
        lambda h: never_was(h, "8500-3"),
        "turn t5 has no end at 8500-2",
    ),
    "two turns share an epoch": (
        lambda h: instead(h, "4000-1", Event("4000-1", "turn.completed", '{"task_id":"t1"}')),
        "turn.completed of t1 at 4000-1, in the epoch of t3",
    ),
    "the log is out of order": (
        lambda h: end(h, events=tuple(reversed(h.end[SESSION].events))),
        "the log has 8500-2 behind 8500-3",
    ),
    "a turn's own stream is another": (
        lambda h: end(h, streams={"t4": h.end[SESSION].streams["t4"][1:]}),
        "the stream of turn t4 is not what the session's own has of it",
    ),
    # The conversation.
    "a reply is said twice": (
        lambda h: conversation(h, message("t1"), reply("t1.0 t1.1 t1.0 t1.1 t1.2 "), *MESSAGES[2:]),
        "turn t1 completed, and its reply is",
    ),
    "a cut reply is said twice": (
        lambda h: conversation(h, *MESSAGES[:3], reply("t2.0 t2.0 t2.1 ", cut_off=True), *MESSAGES[4:]),
        "turn t2 interrupted, and its reply is",
    ),
    "a cut reply is not what was said": (
        lambda h: conversation(h, *MESSAGES[:3], reply("t2.0 ", cut_off=True), *MESSAGES[4:]),
        "turn t2 interrupted, and its reply is",
    ),
    "a reply is not whole": (
        lambda h: conversation(h, *MESSAGES[:-1], reply("t5.2 t5.3 ")),
        "turn t5 completed, and its reply is",
    ),
    "a whole reply is marked as cut off": (
        lambda h: conversation(h, *MESSAGES[:-1], {**MESSAGES[-1], "cut_off": True}),
        "turn t5 completed, and its reply is",
    ),
    "a message is there twice": (
        lambda h: conversation(h, *MESSAGES, *MESSAGES[-2:]),
        "the conversation has the message of turn t5 2 times",
    ),
    "a completed turn is not in the conversation": (
        lambda h: conversation(h, *MESSAGES[:-2]),
        "turn t5 completed, and the conversation has not its message",
    ),
    "a cancelled turn is not in the conversation": (
        lambda h: conversation(h, *MESSAGES[:4], *MESSAGES[6:]),
        "turn t3 cancelled, and the conversation has not its message",
    ),
    "an interrupted turn is not in the conversation": (
        lambda h: conversation(h, *MESSAGES[:2], *MESSAGES[4:]),
        "turn t2 interrupted, and the conversation has not its message",
    ),
    "a completed turn has no reply": (
        lambda h: conversation(h, *MESSAGES[:-1]),
        "turn t5 completed, and its reply is None",
    ),
    "a reply is lost between two turns": (
        lambda h: conversation(h, *MESSAGES[:1], *MESSAGES[2:]),
        "turn t1 completed, and its reply is None",
    ),
    "two turns are exchanged": (
        lambda h: conversation(h, *MESSAGES[2:4], *MESSAGES[:2], *MESSAGES[4:]),
        "the conversation has the turns in the order t2, t1, t3, t4, t5",
    ),
    "a message is nobody's": (
        lambda h: conversation(h, *MESSAGES, {"role": "user", "content": "hello"}),
        "the conversation has a message that was not sent",
    ),
    "a reply is nobody's": (
        lambda h: conversation(h, reply("hello"), *MESSAGES),
        "the conversation has what nobody asked for",
    ),
}


# --- what the checker says ----------------------------------------------------------------------------------


def test_a_history_in_which_all_is_well_has_no_violation() -> None:
    assert said(clean()) == []


@pytest.mark.parametrize("name", LIES)
def test_a_planted_lie_is_found(name: str) -> None:
    plant, expected = LIES[name]
    history = clean()
    plant(history)
    assert [says for says in said(history) if expected in says], said(history)


def test_a_violation_names_its_session() -> None:
    history = clean()
    listed(history, "running", TITLE)
    assert [tuple(violation) for violation in check(history)] == [
        (SESSION, "the session is running at the end")
    ]


def test_a_closed_session_has_no_conversation_and_its_streams_end() -> None:
    history = clean()
    note(history, CloseAsked(SESSION), Seen(READER, None, "close", "Session closed"), CloseAnswered(SESSION))
    listed(history, "closed", TITLE)
    conversation(history)
    assert said(history) == []


def test_streams_end_with_a_server_that_is_asked_to_end() -> None:
    history = clean()
    note(history, Seen(READER, None, "close", "Server shutting down"))
    assert said(history) == ["reader reader: its stream was ended: Server shutting down"]
    note(history, Terminated(4, 9.9))
    assert said(history) == []


def test_a_title_that_was_not_acknowledged_may_be_there_or_not() -> None:
    history = clean()
    note(history, TitleAsked(SESSION, "as of t8"))
    assert said(history) == []
    listed(history, "idle", "as of t8")
    assert said(history) == []


def test_a_refused_send_that_had_been_acknowledged_may_have_run() -> None:
    """Its first try was taken, the answer was lost, and a second one was refused."""
    history = clean()
    note(history, asked("t1", 9.3), SendRefused(SESSION, "t1", "SESSION_BUSY"))
    assert said(history) == []


def test_a_turn_reads_running_until_its_end_is_durable() -> None:
    history = clean()
    note(history, Looked(SESSION, "t2", 3.9, "running"))
    assert said(history) == []


def test_a_history_is_judged_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    history = clean()
    forget_turn(history, "t1")
    history.write(tmp_path / "history.json")
    assert check(read(tmp_path / "history.json")) == check(history)
