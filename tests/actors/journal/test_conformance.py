"""What every journal does: one suite over all of them."""

from turnkeeper.actors.journal.contract import Append, Head, Journal, Landed, Moved
from turnkeeper.actors.journal.entries import CancelAsked, Started
from turnkeeper.actors.model.records import Reason, SessionId, TurnId
from turnkeeper.actors.model.words import CancelCode

from .logs import (
    TAIL,
    Told,
    accepted,
    append,
    ended,
    events,
    head_after,
    one_turn,
    opened,
    started,
)

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
    reason = Reason(CancelCode.SUPERSEDED, "ada")
    head = await head_after(journal, "s1", None, opened(), started("t1", 1))
    await head_after(journal, "s1", head, CancelAsked(TurnId("t1"), reason, 2.0), accepted("t2", 2.0))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    holder, waiting = loaded.durable.holder, loaded.durable.waiting
    assert holder is not None
    assert waiting is not None
    assert (holder.spec.turn_id, waiting.spec.turn_id) == ("t1", "t2")
    assert holder.cancellation is not None
    assert holder.cancellation.reason == reason
    await head_after(journal, "s1", head + 2, ended("t1", 1), Started(TurnId("t2"), 2, 3.0))
    loaded = await journal.load(S1, TAIL)
    assert loaded is not None
    assert loaded.durable.waiting is None
    assert loaded.durable.holder is not None
    assert loaded.durable.holder.queued_at == 2.0
    assert [record.turn_id for record in loaded.durable.records] == ["t1"]
    assert [(event.epoch, event.n, event.name) for event in loaded.events] == [
        (1, 0, "turn.started"),
        (1, 1, "turn.completed"),
        (2, 0, "turn.started"),
    ]
