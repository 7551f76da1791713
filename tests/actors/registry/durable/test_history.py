"""Older turns and messages than memory has are read from the journal."""

from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, done, opened
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import UnknownTurn
from turnkeeper.actors.model.messages import AwaitTurn, Conversation, GetMessages
from turnkeeper.actors.model.records import HOST, Returned, SessionId
from turnkeeper.actors.model.words import SessionState, TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


async def turns(registry: SessionRegistry, count: int, session: str = "s1") -> list[str]:
    """So many turns, one after the other: their ids."""
    ids = []
    for number in range(count):
        receipt = await registry.send(session, f"message {number}")
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


async def test_of_large_messages_no_more_are_read_than_there_is_room_for() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal, conversation_messages=1) as registry:
        for number in range(20):
            await (await registry.send("s1", f"{number} " + "x" * 1_000)).ended()
        whole = (await registry.messages("s1", limit=100)).messages
        assert (len(whole), journal.messages_read) == (40, 40)
        journal.messages_read, before, pages = 0, None, list[Any]()
        while before != 0:
            page = await registry.ask(GetMessages("s1", HOST, before, 100, room=5_000))
            assert 0 < len(page.messages) < 10
            assert journal.messages_read < 12, "of forty"
            journal.messages_read, before, pages = 0, page.omitted, [*page.messages, *pages]
        assert pages == list(whole)
        alone = await registry.ask(GetMessages("s1", HOST, None, 100, room=1))
        assert alone.messages == whole[-2:]
        assert (await registry.ask(GetMessages("s1", HOST, 40, 3, room=10**6))).messages == whole[-3:]


async def test_a_conversation_that_is_cut_off_while_it_is_read_is_given_as_far_as_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal, conversation_messages=1) as registry:
        await turns(registry, 6)
        whole, read = (await registry.messages("s1", limit=100)).messages, journal.messages

        async def cut_off(session_id: SessionId, before: int | None, limit: int | None) -> Conversation:
            return await read(session_id, 3 if before is not None else None, limit)

        monkeypatch.setattr(journal, "messages", cut_off)
        page = await registry.ask(GetMessages("s1", HOST, None, 100, room=10**6))
        assert (page.messages, page.omitted) == (whole[-2:], 10)


async def test_a_list_of_sessions_shows_those_in_memory_as_they_stand() -> None:
    async with opened(done, journal=MemoryJournal()) as registry:
        await turns(registry, 1)
        stream = await registry.subscribe("s1")
        assert [each.subscribers for each in (await registry.sessions()).sessions] == [1]
        stream.close()


async def in_state(registry: SessionRegistry, state: SessionState | None) -> set[str]:
    return {each.session_id for each in (await registry.sessions(state=state)).sessions}


async def test_a_list_of_one_state_is_of_those_that_stand_so_now_whatever_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened({"default": done, "long": agent}, journal=journal) as registry:
        for session in ("idle", "runs", "stops", "closes"):
            await turns(registry, 1, session)
        # Lists are read from what was written by now.
        monkeypatch.setattr(journal, "sessions", journal.after_a_kill().sessions)
        agent.swallows = FOREVER
        for session in ("runs", "stops", "new"):
            await registry.send(session, "hi", agent="long")
        await registry.cancel("stops", wait=False)
        await registry.close("closes")
        assert await in_state(registry, SessionState.RUNNING) == {"runs", "new"}
        assert await in_state(registry, SessionState.CANCELLING) == {"stops"}
        assert await in_state(registry, SessionState.QUEUED) == set()
        assert await in_state(registry, SessionState.IDLE) == {"idle"}
        assert await in_state(registry, None) == {"idle", "runs", "stops"}
        first = await registry.sessions(state=SessionState.RUNNING, limit=1)
        rest = await registry.sessions(state=SessionState.RUNNING, limit=1, before=first.before)
        assert {each.session_id for each in (*first.sessions, *rest.sessions)} == {"runs", "new"}


async def test_a_turn_that_its_session_does_not_remember_is_still_known_and_so_is_its_result() -> None:
    async with opened(done, journal=MemoryJournal(), kept_turns=2) as registry:
        ids = await turns(registry, 6)
        assert (await registry.turn("s1", ids[0])).status is TurnStatus.COMPLETED
        end = await registry.ask(AwaitTurn("s1", ids[0]))
        assert isinstance(end.outcome, Returned)
        assert end.outcome.result == "done: message 0"
        with pytest.raises(UnknownTurn):
            await registry.turn("s1", "another")
