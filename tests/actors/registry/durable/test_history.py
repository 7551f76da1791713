"""Older turns and messages than memory has are read from the journal."""

import pytest

from tests.fakes import done, opened
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import UnknownTurn
from turnkeeper.actors.model.messages import AwaitTurn
from turnkeeper.actors.model.records import Returned
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


async def turns(registry: SessionRegistry, count: int) -> list[str]:
    """So many turns, one after the other: their ids."""
    ids = []
    for number in range(count):
        receipt = await registry.send("s1", f"message {number}")
        await receipt.ended()
        ids.append(receipt.turn_id)
    return ids


async def test_turns_page_back_past_those_that_a_session_remembers() -> None:
    async with opened(done, journal=MemoryJournal(), kept_turns=2) as registry:
        ids = await turns(registry, 6)
        first = await registry.turns("s1", limit=4)
        rest = await registry.turns("s1", limit=4, before=first.before)
        assert [turn.turn_id for turn in (*first.turns, *rest.turns)] == ids[::-1]
        assert rest.before is None


async def test_messages_page_back_past_those_that_are_in_memory() -> None:
    async def silent(_turn: Turn) -> None:
        pass

    async with opened(silent, journal=MemoryJournal(), conversation_messages=2) as registry:
        await turns(registry, 6)
        here = await registry.messages("s1")
        assert here.omitted == 4
        page = await registry.messages("s1", before=here.omitted, limit=3)
        assert [message["content"] for message in page.messages] == ["message 1", "message 2", "message 3"]
        assert page.omitted == 1


async def test_a_list_of_sessions_shows_those_in_memory_as_they_stand() -> None:
    async with opened(done, journal=MemoryJournal()) as registry:
        await turns(registry, 1)
        stream = await registry.subscribe("s1")
        assert [each.subscribers for each in (await registry.sessions()).sessions] == [1]
        stream.close()


async def test_a_turn_that_its_session_does_not_remember_is_still_known_and_so_is_its_result() -> None:
    async with opened(done, journal=MemoryJournal(), kept_turns=2) as registry:
        ids = await turns(registry, 6)
        assert (await registry.turn("s1", ids[0])).status is TurnStatus.COMPLETED
        end = await registry.ask(AwaitTurn("s1", ids[0]))
        assert isinstance(end.outcome, Returned)
        assert end.outcome.result == "done: message 0"
        with pytest.raises(UnknownTurn):
            await registry.turn("s1", "another")
