from turnkeeper.actors.journal.contract import Append, Landed, Moved
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.records import SessionId

from .logs import TAIL, Told, one_turn, opened, started


async def test_an_append_is_answered_before_it_returns() -> None:
    journal, told = MemoryJournal(), Told()
    journal.append(Append(SessionId("s1"), None, (opened(), started("t1", 1)), "k1", told))
    (answer,) = told.answers
    assert isinstance(answer, Landed)
    journal.append(Append(SessionId("s1"), None, (opened(), started("t2", 2)), "k2", told))
    assert isinstance(told.answers[-1], Moved)


async def test_what_is_loaded_is_what_the_whole_log_says() -> None:
    journal = MemoryJournal()
    await one_turn(journal, said=["hello", "hi"], data=["a", "b"])
    loaded = await journal.load(SessionId("s1"), TAIL)
    assert loaded is not None
    assert [record.turn_id for record in loaded.durable.records] == ["t1"]
    assert loaded.kept.transcript.messages == ["hello", "hi"]
    assert loaded.kept.cursor == "1-3"
    assert [(event.n, event.name) for event in loaded.events] == [
        (0, "turn.started"),
        (1, "delta"),
        (2, "delta"),
        (3, "turn.completed"),
    ]
    assert await journal.open() == ()
