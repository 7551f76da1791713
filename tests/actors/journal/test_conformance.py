"""What every journal does: one suite over all of them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from turnkeeper.actors.journal.contract import Append, Head, History, Journal, Landed, Moved, Tail
from turnkeeper.actors.journal.entries import (
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    Edited,
    EndedLate,
    SessionClosed,
    Started,
    Titled,
)
from turnkeeper.actors.model.exceptions import InvalidRequest, ReadOnlyMessage
from turnkeeper.actors.model.messages import Conversation, SessionPage, SessionSummary
from turnkeeper.actors.model.records import Cancellation, LateEnd, Reason, SessionId, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, SessionState, TurnStatus

from .logs import (
    LIMITS,
    TAIL,
    Told,
    accepted,
    append,
    ended,
    events,
    head_after,
    one_turn,
    opened,
    raw,
    spec,
    started,
)

IDLE = SessionState.IDLE
REASON = Reason(CancelCode.USER_REQUEST, "ada")
S1 = SessionId("s1")


# --- appends ------------------------------------------------------------------------------------------------


async def test_of_two_that_append_to_the_same_head_one_wins(journal: Journal) -> None:
    told = Told()
    for key in ("one", "two"):
        journal.append(Append(S1, None, (opened(), started(key, 1)), key, told))
    await journal.load(S1, TAIL)
    landed, moved = told.answers
    assert landed == Landed("one", Head(2))
    assert moved == Moved("two", Head(2), (opened(), started("one", 1)))


async def test_one_that_comes_too_late_is_told_what_came_before_it(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    await append(journal, "s1", head, ended("t1", 1))
    moved = await append(journal, "s1", head, ended("t1", 2), key="late")
    assert moved == Moved("late", Head(3), (ended("t1", 1),))


async def test_an_append_whose_answer_was_lost_is_not_written_again(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    end = ended("t1", 1, keep=0, add=["hello"])
    first = await append(journal, "s1", head, end, key="k")
    assert await append(journal, "s1", head, end, key="k") == first
    conversation = await journal.messages(S1, None, None)
    assert conversation.messages == ("hello",)


async def test_appends_of_many_sessions_keep_their_order(journal: Journal) -> None:
    told = Told()
    for number in range(200):
        session = SessionId(f"s{number % 50}")
        if number < 50:
            journal.append(Append(session, None, (opened(), started("t", 1)), f"a{number}", told))
        else:
            batch = events(1, number // 50, f"{number}")
            journal.append(Append(session, Head(2), (batch,), f"a{number}", told))
    await journal.load(S1, TAIL)
    assert [answer.key for answer in told.answers] == [f"a{number}" for number in range(200)]
    assert all(isinstance(answer, Landed) for answer in told.answers)
    found = [event.data async for event in journal.read(S1, (1, 0))]
    assert found == ["51", "101", "151"]


async def test_events_of_an_epoch_that_is_over_are_not_written(journal: Journal) -> None:
    head = await one_turn(journal, epoch=1)
    await head_after(journal, "s1", head, started("t2", 2))
    assert isinstance(await append(journal, "s1", head + 1, events(1, 7, "late")), Moved)
    assert isinstance(await append(journal, "s1", None, events(2, 1, "now")), Landed)


# --- loading ------------------------------------------------------------------------------------------------


async def test_a_session_without_a_log_is_not_there(journal: Journal) -> None:
    assert await journal.load(S1, TAIL) is None
    assert [event async for event in journal.read(S1, None)] == []
    assert (await journal.messages(S1, None, None)).messages == ()
    assert (await journal.turns(S1, None, None)).turns == ()
    assert await journal.turn(S1, TurnId("t1")) is None


async def test_a_load_has_all_that_was_appended_before_it(journal: Journal) -> None:
    told = Told()
    journal.append(Append(S1, None, (opened(), started("t1", 1)), "k1", told))
    journal.append(Append(S1, Head(2), (ended("t1", 1),), "k2", told))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.head == 3
    assert loaded.durable.holder is None


async def test_a_turn_that_waits_and_the_one_it_waits_for_are_loaded(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    await head_after(journal, "s1", head, CancelAsked(TurnId("t1"), REASON, 2.0), accepted("t2", 2.0))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    holder, waiting = loaded.durable.holder, loaded.durable.front
    assert holder is not None
    assert waiting is not None
    assert (holder.spec.turn_id, waiting.spec.turn_id) == ("t1", "t2")
    assert holder.cancellation is not None
    assert holder.cancellation.reason == REASON
    await head_after(journal, "s1", head + 2, ended("t1", 1), Started(TurnId("t2"), 2, 3.0))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.durable.front is None
    assert loaded.durable.holder is not None
    assert loaded.durable.holder.queued_at == 2.0
    assert [record.turn_id for record in loaded.durable.records] == ["t1"]
    assert [(event.epoch, event.n, event.name) for event in loaded.events] == [
        (1, 0, "turn.started"),
        (1, 1, "turn.completed"),
        (2, 0, "turn.started"),
    ]


async def test_a_turn_that_waits_is_loaded_with_the_message_that_it_has_now(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1), accepted("t2", 2.0))
    await head_after(journal, "s1", head, Edited(TurnId("t2"), raw(["hello", "there"]), 300, 2))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    front = loaded.durable.front
    assert front is not None
    assert (front.spec.message, front.spec.size, front.joined) == (["hello", "there"], 300, 2)


async def test_a_turn_that_was_given_up_is_remembered_when_it_has_ended(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    head = await head_after(journal, "s1", head, ended("t1", 1, status=TurnStatus.UNRESPONSIVE))
    head = await one_turn(journal, turn="t2", epoch=2, after=head)
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert [record.turn_id for record in loaded.durable.quarantined] == ["t1"]
    assert [record.turn_id for record in loaded.durable.records] == ["t2"]
    assert await journal.sessions() == SessionPage((SessionSummary(S1, "ada", None, IDLE, 2.0, 0, 0, 1),))
    await head_after(journal, "s1", head, EndedLate(TurnId("t1"), LateEnd(TurnStatus.COMPLETED, 3.0)))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.durable.quarantined == ()
    assert [record.turn_id for record in loaded.durable.records] == ["t2", "t1"]


async def test_another_attempt_has_an_epoch_of_its_own_and_waits_for_it(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1), events(1, 1, "a", "b"))
    head = await head_after(journal, "s1", head, AttemptEnded(TurnId("t1"), 2, 2.0, "1-2"))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.durable.holder is None
    assert loaded.durable.front is not None
    assert (loaded.durable.front.attempt, loaded.durable.last_epoch) == (2, 2)
    head = await head_after(journal, "s1", head, Started(TurnId("t1"), 3, 3.0, attempt=2))
    await head_after(journal, "s1", head, ended("t1", 1, 4.0))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert [record.attempt for record in loaded.durable.records] == [2]
    ids = [f"{event.id} {event.name}" async for event in journal.read(S1, None)]
    assert ids == [
        "1-0 turn.started",
        "1-1 delta",
        "1-2 delta",
        "2-0 turn.interrupted",
        "3-0 turn.started",
        "3-1 turn.completed",
    ]


async def test_an_end_in_an_epoch_of_its_own_has_its_event_there(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1), events(1, 1, "a"))
    end = ended("t1", 0, 5.0, status=TurnStatus.INTERRUPTED, epoch=9, kept="1-1", keep=0, add=["hello"])
    await head_after(journal, "s1", head, end)
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert [event.id for event in loaded.events] == ["1-0", "1-1", "9-0"]
    assert loaded.durable.last_epoch == 9
    assert loaded.kept.cursor == "9-0"
    assert isinstance(await append(journal, "s1", None, events(1, 2, "late")), Moved)


async def test_cancels_that_came_before_their_sends_are_kept_until_those_come(journal: Journal) -> None:
    head = await one_turn(journal)
    early = [EarlyCancel(TurnId(turn), REASON, 5.0 + at) for at, turn in enumerate(("t2", "t3"))]
    head = await head_after(journal, "s1", head, *early)
    cancellation = Cancellation(REASON, 5.0)
    end = ended("t2", None, 6.0, status=TurnStatus.CANCELLED, head=spec("t2").head, cancellation=cancellation)
    await head_after(journal, "s1", head, end)
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert [each.turn_id for each in loaded.durable.early] == ["t3"]
    assert [record.turn_id for record in loaded.durable.records] == ["t1", "t2"]


async def test_only_so_much_of_a_long_session_is_loaded(journal: Journal) -> None:
    head: int | None = None
    for number in range(30):
        said = [f"m{number}", f"r{number}"]
        after = head
        head = await one_turn(
            journal,
            turn=f"t{number}",
            epoch=number + 1,
            after=after,
            at=float(number),
            said=said,
            keep=2 * number,
            data=["x" * 10] * 5,
        )
    tail = Tail(events=12, event_bytes=100_000, messages=7, message_bytes=100_000, limits=LIMITS)
    loaded = await journal.load(S1, tail)
    assert loaded is not None
    assert [record.turn_id for record in loaded.durable.records] == [f"t{number}" for number in range(10, 30)]
    transcript = loaded.kept.transcript
    assert transcript.messages == ["r26", "m27", "r27", "m28", "r28", "m29", "r29"]
    assert transcript.omitted == 53
    assert loaded.events[0].id == "29-2"
    assert loaded.dropped == (29, 1)
    small = Tail(events=5_000, event_bytes=25, messages=7, message_bytes=60, limits=LIMITS)
    loaded = await journal.load(S1, small)
    assert loaded is not None
    assert loaded.kept.transcript.messages == ["r29"]
    assert sum(event.size for event in loaded.events) <= 25


async def test_the_newest_event_and_message_are_loaded_whatever_their_size(journal: Journal) -> None:
    await one_turn(journal, said=["x" * 1_000], data=["y" * 1_000])
    small = Tail(events=1, event_bytes=1, messages=1, message_bytes=1, limits=LIMITS)
    loaded = await journal.load(S1, small)
    assert loaded is not None
    assert loaded.kept.transcript.messages == ["x" * 1_000]
    assert [event.name for event in loaded.events] == ["turn.completed"]


async def test_what_is_loaded_of_a_conversation_cannot_be_changed(journal: Journal) -> None:
    await one_turn(journal, said=[{"role": "user", "content": ["hello"]}])
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    conversation = await journal.messages(S1, None, None)
    for message in (loaded.kept.transcript.messages[0], conversation.messages[0]):
        with pytest.raises(ReadOnlyMessage):
            message["role"] = "assistant"


async def test_the_context_s_data_is_what_a_turn_last_made_of_it(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    head = await head_after(journal, "s1", head, ended("t1", 1, data=raw({"a": [1, {"b": None}]})))
    head = await one_turn(journal, turn="t2", epoch=2, after=head, said=["hello"])
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.kept.data == {"a": [1, {"b": None}]}
    assert loaded.kept.data_size > 0
    head = await head_after(journal, "s1", head, started("t3", 3))
    await head_after(journal, "s1", head, ended("t3", 1, data=raw({})))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.kept.data == {}


async def test_a_conversation_goes_when_its_session_is_closed(journal: Journal) -> None:
    head = await one_turn(journal, said=["hello"])
    await head_after(journal, "s1", head, SessionClosed(REASON, 3.0))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.durable.closed == REASON
    assert loaded.kept.transcript.messages == []
    assert loaded.kept.cursor is None
    assert (await journal.messages(S1, None, None)).messages == ()


async def test_a_title_moves_no_head(journal: Journal) -> None:
    head = await one_turn(journal)
    assert await append(journal, "s1", None, Titled("tea"), key="k") == Landed("k", Head(head))
    assert await append(journal, "s1", head, Titled("Tee & Kuchen"), key="l") == Landed("l", Head(head))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert (loaded.title, loaded.head) == ("Tee & Kuchen", head)


async def test_what_json_cannot_say_is_refused_before_anything_is_written(journal: Journal) -> None:
    told = Told()
    with pytest.raises(TypeError):
        journal.append(Append(S1, None, (opened(), started("t1", 1, message=object())), "k", told))
    assert await journal.load(S1, TAIL) is None
    assert told.answers == []


# --- events -------------------------------------------------------------------------------------------------


async def two_turns(journal: Journal) -> list[str]:
    """1-0 to 1-4, and 2-0 to 2-3."""
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    await append(journal, "s1", head, events(1, 1, "a", "b"))
    await append(journal, "s1", head, events(1, 3, {"c": 1}))
    head = await head_after(journal, "s1", head, ended("t1", 4))
    await one_turn(journal, turn="t2", epoch=2, after=head, data=["x", "ü"])
    return ["1-0", "1-1", "1-2", "1-3", "1-4", "2-0", "2-1", "2-2", "2-3"]


async def test_events_are_read_from_the_start_and_from_any_id_on(journal: Journal) -> None:
    ids = await two_turns(journal)
    assert [event.id async for event in journal.read(S1, None)] == ids
    for index, seen in enumerate(ids):
        epoch, n = map(int, seen.split("-"))
        assert [event.id async for event in journal.read(S1, (epoch, n))] == ids[index + 1 :]


async def test_events_are_read_from_ids_that_are_not_there(journal: Journal) -> None:
    ids = await two_turns(journal)
    for seen, left in (((0, 7), ids), ((1, 99), ids[5:]), ((2, 99), []), ((7, 0), [])):
        assert [event.id async for event in journal.read(S1, seen)] == left


async def test_an_event_is_read_as_it_was_published(journal: Journal) -> None:
    await two_turns(journal)
    found = {event.id: event async for event in journal.read(S1, None)}
    assert [found[each].data for each in ("1-1", "1-3", "2-2")] == ["a", {"c": 1}, "ü"]
    assert found["1-0"].data["message"] == "hello"
    assert found["1-4"].data["status"] == "completed"
    assert found["2-3"].turn_id == "t2"


async def test_a_long_turn_is_read_whole(journal: Journal) -> None:
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    for n in range(1, 301, 3):
        await append(journal, "s1", head, events(1, n, n, n + 1, n + 2))
    assert [event.n async for event in journal.read(S1, None)] == list(range(301))
    assert [event.n async for event in journal.read(S1, (1, 200))] == list(range(201, 301))


# --- lists --------------------------------------------------------------------------------------------------


async def listed(journal: Journal, **asked: Any) -> list[str]:
    """The ids of all sessions, page by page."""
    found: list[str] = []
    while True:
        page = await journal.sessions(**asked)
        found += [each.session_id for each in page.sessions]
        if page.before is None:
            return found
        asked["before"] = page.before


async def test_sessions_are_listed_the_last_active_first(journal: Journal) -> None:
    for number in (3, 1, 2):
        await one_turn(journal, f"s{number}", at=float(number))
    await head_after(journal, "s4", None, opened(at=2.5), started("t1", 1, 2.5))
    assert await listed(journal) == ["s3", "s4", "s2", "s1"]
    assert await listed(journal, limit=1) == ["s3", "s4", "s2", "s1"]
    page = await journal.sessions(limit=2)
    assert page.sessions[1] == SessionSummary(SessionId("s4"), "ada", None, SessionState.RUNNING, 2.5, 1)


async def test_sessions_of_the_same_time_are_listed_by_their_ids(journal: Journal) -> None:
    for name in "bdace":
        await one_turn(journal, name)
    for limit in (1, 2, 5, 50):
        assert await listed(journal, limit=limit) == list("edcba")


async def test_what_is_active_meanwhile_is_neither_missed_nor_listed_twice(journal: Journal) -> None:
    heads = [await one_turn(journal, f"s{number}", at=float(number)) for number in range(5)]
    first = await journal.sessions(limit=2)
    later = time.time() + 1_000.0
    await one_turn(journal, "s1", "t2", 2, heads[1], at=later)
    await one_turn(journal, "s4", "t2", 2, heads[4], at=later)
    await one_turn(journal, "s9", at=later)
    assert [each.session_id for each in first.sessions] == ["s4", "s3"]
    assert await listed(journal, before=first.before) == ["s2", "s1", "s0"]


async def test_sessions_are_found_by_how_their_ids_begin(journal: Journal) -> None:
    for name in ("once", "once_", "once_1", "once_:", "once_z", "oncf", "once-1", "ONCE_1", "s1"):
        head = await head_after(journal, name, None, opened(), started("t1", 1))
        if name == "once_z":
            await append(journal, name, head, ended("t1", 1))
        if name == "once_1":
            await append(journal, name, head, ended("t1", 1), SessionClosed(REASON, 2))
    assert sorted(await journal.named("once_")) == ["once_", "once_1", "once_:", "once_z"]
    assert len(await journal.named("")) == 9
    assert await journal.named("nothing") == ()
    await journal.forget(SessionId("once_1"))
    assert "once_1" not in await journal.named("once_")


async def test_a_user_s_sessions_are_listed_by_owner_state_and_title(journal: Journal) -> None:
    head = await one_turn(journal, "s1", at=1.0)
    await append(journal, "s1", head, Titled("Der Große Preis 100%"))
    await one_turn(journal, "s2", at=2.0, owner="bob")
    head = await one_turn(journal, "s3", at=3.0)
    await head_after(journal, "s3", head, SessionClosed(REASON, 4.0))
    await head_after(journal, "s4", None, opened(at=5.0), started("t1", 1, 5.0))
    head = await head_after(journal, "s5", None, opened(at=6.0), started("t1", 1, 6.0))
    await head_after(journal, "s5", head, CancelAsked(TurnId("t1"), REASON, 7.0), accepted("t2", 7.0))
    assert await listed(journal) == ["s5", "s4", "s2", "s1"]
    assert await listed(journal, owner="ada") == ["s5", "s4", "s1"]
    assert await listed(journal, owner="eve") == []
    assert await listed(journal, state=SessionState.CLOSED) == ["s3"]
    assert await listed(journal, state=SessionState.IDLE) == ["s2", "s1"]
    assert await listed(journal, state=SessionState.RUNNING, owner="ada") == ["s4"]
    assert await listed(journal, state=SessionState.CANCELLING) == ["s5"]
    for q in ("gROSSE", "100%", "große preis"):
        assert await listed(journal, q=q) == ["s1"]
    for q in ("1%0", "_", "klein"):
        assert await listed(journal, q=q) == []
    (waiting,) = (await journal.sessions(state=SessionState.CANCELLING)).sessions
    assert (waiting.turns_in_flight, waiting.turns_queued) == (1, 1)


async def test_a_session_in_which_turns_only_wait_is_listed_as_queued(journal: Journal) -> None:
    head = await one_turn(journal, "s1", at=1.0)
    head = await head_after(journal, "s1", head, accepted("t2", 2.0))
    await head_after(journal, "s2", None, opened(at=3.0), accepted("t1", 3.0))
    assert await listed(journal, state=SessionState.QUEUED) == ["s2", "s1"]
    assert await listed(journal, state=IDLE) == []
    await head_after(journal, "s1", head, Started(TurnId("t2"), 2, 4.0))
    assert await listed(journal, state=SessionState.QUEUED) == ["s2"]
    assert await listed(journal, state=SessionState.RUNNING) == ["s1"]


async def test_turns_are_listed_the_one_sent_last_first(journal: Journal) -> None:
    head: int | None = None
    for number in range(7):
        head = await one_turn(journal, turn=f"t{number}", epoch=number + 1, after=head, at=float(number // 2))
    assert head is not None
    head = await head_after(journal, "s1", head, started("t7", 8, 9.0))
    await head_after(journal, "s1", head, accepted("t8", 10.0))
    found: list[str] = []
    page = await journal.turns(S1, None, 2)
    while True:
        found += [f"{turn.turn_id} {turn.status}" for turn in page.turns]
        if page.before is None:
            break
        page = await journal.turns(S1, page.before, 2)
    assert found == ["t8 queued", "t7 running", *(f"t{number} completed" for number in range(6, -1, -1))]
    assert found == [f"{turn.turn_id} {turn.status}" for turn in (await journal.turns(S1, None, None)).turns]


async def test_a_turn_is_found_however_long_ago_it_was(journal: Journal) -> None:
    head: int | None = None
    for number in range(25):
        head = await one_turn(journal, turn=f"t{number}", epoch=number + 1, after=head)
    record = await journal.turn(S1, TurnId("t0"))
    assert record is not None
    assert (record.epoch, record.status, record.started_at, record.ended_at) == (
        1,
        TurnStatus.COMPLETED,
        1.0,
        1.5,
    )
    assert await journal.turn(S1, TurnId("t99")) is None
    assert await journal.turn(SessionId("s9"), TurnId("t0")) is None


@pytest.mark.parametrize("before", ["", "nonsense", "bmFuIG5hbiB4", "a" * 10_000])
async def test_a_malformed_page_is_the_caller_s_mistake(journal: Journal, before: str) -> None:
    await one_turn(journal)
    with pytest.raises(InvalidRequest):
        await journal.sessions(before=before)
    with pytest.raises(InvalidRequest):
        await journal.turns(S1, before, None)
    for limit in (0, 201, True):
        with pytest.raises(InvalidRequest):
            await journal.sessions(limit=limit)
        with pytest.raises(InvalidRequest):
            await journal.messages(S1, None, limit)


async def test_messages_are_read_backwards_also_those_that_are_not_loaded(journal: Journal) -> None:
    head: int | None = None
    for number in range(6):
        said = [f"m{number}", f"r{number}", f"e{number}"]
        head = await one_turn(
            journal, turn=f"t{number}", epoch=number + 1, after=head, said=said, keep=3 * number
        )
    found: list[str] = []
    before: int | None = None
    while before != 0:
        page = await journal.messages(S1, before, 4)
        found[:0] = page.messages
        before = page.omitted
        assert page.cursor == "6-1"
    assert found == [f"{kind}{number}" for number in range(6) for kind in "mre"]


async def test_a_turn_may_leave_less_of_a_conversation_than_it_was_given(journal: Journal) -> None:
    head = await one_turn(journal, said=["a", "b", "c", "d"])
    head = await one_turn(journal, turn="t2", epoch=2, after=head, said=["e"], keep=4)
    head = await one_turn(journal, turn="t3", epoch=3, after=head, said=["x", "y"], keep=2)
    assert (await journal.messages(S1, None, None)).messages == ("a", "b", "x", "y")
    head = await one_turn(journal, turn="t4", epoch=4, after=head, said=[], keep=3)
    assert (await journal.messages(S1, None, None)) == Conversation(S1, ("a", "b", "x"), "4-1")
    head = await one_turn(journal, turn="t5", epoch=5, after=head, said=[], keep=3)
    assert (await journal.messages(S1, None, None)).cursor == "4-1"
    await one_turn(journal, turn="t6", epoch=6, after=head, said=["z"], keep=0)
    assert (await journal.messages(S1, None, None)) == Conversation(S1, ("z",), "6-1")


# --- what goes ----------------------------------------------------------------------------------------------


async def test_what_is_forgotten_is_gone_and_its_id_free(journal: Journal) -> None:
    head = await one_turn(journal, said=["hello"], data=["a"])
    await one_turn(journal, "s2")
    await journal.forget(S1)
    await journal.forget(S1)
    assert await journal.load(S1, TAIL) is None
    assert [event async for event in journal.read(S1, None)] == []
    assert await listed(journal) == ["s2"]
    moved = await append(journal, "s1", head, started("t2", 2), key="k")
    assert moved == Moved("k", Head(0), ())
    await one_turn(journal, owner="bob", epoch=5)
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert (loaded.durable.owner, len(loaded.durable.records)) == ("bob", 1)


class Wakened(frozenset[SessionId]):
    """Sessions that come into memory while those are sought that are too many."""

    def __iter__(self) -> Iterator[SessionId]:
        return iter(())


HISTORY = History(age=None, sessions=1_000, bytes=1 << 30, bytes_in_all=1 << 30)


async def test_the_sessions_of_a_user_that_were_idle_longest_are_forgotten(journal: Journal) -> None:
    for number in range(6):
        await one_turn(journal, f"s{number}", at=float(number), owner="bob" if number == 1 else "ada")
    few = replace(HISTORY, sessions=2)
    assert await journal.prune(few, frozenset({SessionId("s0")})) == 3
    assert await listed(journal) == ["s5", "s1", "s0"]
    assert await journal.prune(few, frozenset()) == 0


async def test_sessions_are_forgotten_by_age_but_none_that_is_in_use(journal: Journal) -> None:
    now = time.time()
    for number in range(4):
        await one_turn(journal, f"s{number}", at=now - 100.0 * number)
    assert await journal.prune(replace(HISTORY, age=150.0), frozenset({SessionId("s3")})) == 1
    assert await listed(journal) == ["s0", "s1", "s3"]


async def test_sessions_are_forgotten_by_bytes_of_one_user_and_in_all(journal: Journal) -> None:
    for number in range(6):
        owner = "bob" if number % 2 else "ada"
        await one_turn(journal, f"s{number}", at=float(number), owner=owner, data=["x" * 10_000])
    assert await journal.prune(replace(HISTORY, bytes=25_000), frozenset()) == 2
    assert await listed(journal) == ["s5", "s4", "s3", "s2"]
    assert await journal.prune(replace(HISTORY, bytes_in_all=35_000), frozenset({SessionId("s2")})) == 1
    assert await listed(journal) == ["s5", "s4", "s2"]


async def test_sessions_with_turns_in_flight_are_named_when_it_is_opened(journal: Journal) -> None:
    await one_turn(journal, "s1")
    await head_after(journal, "s2", None, opened(), started("t1", 1))
    head = await head_after(journal, "s3", None, opened(), started("t1", 1))
    await head_after(journal, "s3", head, ended("t1", 1, status=TurnStatus.UNRESPONSIVE))
    head = await head_after(journal, "s4", None, opened(), started("t1", 1))
    await head_after(journal, "s4", head, AttemptEnded(TurnId("t1"), 2, 2.0))
    await journal.close()
    assert sorted(await journal.open()) == ["s2", "s4"]


async def test_they_are_named_in_the_order_in_which_these_turns_were_sent(journal: Journal) -> None:
    old = await one_turn(journal, "s1", at=1.0)
    await head_after(journal, "s2", None, opened(at=2.0), accepted("t1", 2.0))
    await head_after(journal, "s3", None, opened(at=4.0), accepted("t1", 4.0))
    await head_after(journal, "s1", old, accepted("t2", 3.0))
    await journal.close()
    assert await journal.open() == ("s2", "s1", "s3")


async def test_a_session_that_comes_into_memory_while_others_are_forgotten_is_not(journal: Journal) -> None:
    for number in range(3):
        await one_turn(journal, f"s{number}", at=float(number))
    few = replace(HISTORY, sessions=1)
    await journal.prune(few, Wakened({SessionId("s0")}))
    left = await listed(journal)
    assert "s0" in left
    assert "s1" not in left


async def test_a_session_whose_turn_has_not_ended_is_in_use(journal: Journal) -> None:
    for number in range(3):
        await one_turn(journal, f"s{number}", at=float(number))
    await head_after(journal, "s9", None, opened(), started("t1", 1, at=0.0))
    assert await journal.prune(replace(HISTORY, sessions=1, age=1.0), frozenset()) == 3
    assert await listed(journal) == ["s9"]
