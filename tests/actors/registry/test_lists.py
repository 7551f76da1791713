"""Lists of sessions: whose they are, in which order, and page by page."""

import asyncio
import random
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    TitleTooLong,
    TurnOver,
    UnknownSession,
    WrongThread,
)
from turnkeeper.actors.model.messages import ListSessions, SessionPage, SetTitle
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.words import SessionState
from turnkeeper.actors.registry import directory, lists
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> None:
    turn.context.messages.append(turn.text)


async def said(
    registry: SessionRegistry, clock: VirtualClock, session: str, text: str = "hello", **more: Any
) -> None:
    await (await registry.send(session, text, **more)).ended()
    await clock.advance(1)


def ids_of(page: SessionPage) -> list[str]:
    return [each.session_id for each in page.sessions]


async def all_pages(registry: SessionRegistry, limit: int, **more: Any) -> list[str]:
    found: list[str] = []
    before: str | None = None
    while True:
        page = await registry.sessions(before=before, limit=limit, **more)
        found += ids_of(page)
        before = page.before
        if before is None:
            return found


async def test_sessions_are_listed_with_the_last_active_first(clock: VirtualClock) -> None:
    async with opened(done) as registry:
        for session in ("s1", "s2", "s3", "s1"):
            await said(registry, clock, session)
        page = await registry.sessions()
        assert ids_of(page) == ["s1", "s3", "s2"]
        assert page.before is None
        times = [each.last_active_at for each in page.sessions]
        assert times == sorted(times, reverse=True)


async def test_a_session_is_listed_with_its_title_its_state_and_its_counts(clock: VirtualClock) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened({"default": done, "long": agent}, cancel_grace=10) as registry:
        await said(registry, clock, "s1", "What is a turn?\nTell me.", user="ada")
        stream = await registry.subscribe("s1")
        await registry.send("s1", "again", user="ada", agent="long")
        await registry.send("s1", "and again", user="ada", wait=False)
        await settle()
        (listed,) = (await registry.sessions()).sessions
        turn = (await registry.session("s1")).turn
        assert turn is not None
        assert (listed.session_id, listed.user, listed.title) == ("s1", "ada", "What is a turn?")
        assert (listed.state, listed.last_active_at) == ("cancelling", turn.started_at)
        assert (listed.turns_in_flight, listed.turns_queued, listed.unresponsive_turns) == (1, 1, 0)
        assert listed.subscribers == 1
        await clock.advance(11)
        (listed,) = (await registry.sessions()).sessions
        assert (listed.state, listed.turns_in_flight, listed.turns_queued) == ("idle", 0, 0)
        assert listed.unresponsive_turns == 1
        stream.close()


async def test_a_title_is_made_of_the_first_message_that_has_a_text(clock: VirtualClock) -> None:
    async with opened(done) as registry:
        await said(registry, clock, "s1", [{"type": "image", "data": "x"}])  # type: ignore[arg-type]
        assert (await registry.sessions()).sessions[0].title is None
        await said(registry, clock, "s1", "a text")
        (listed,) = (await registry.sessions()).sessions
        assert listed.title == "a text"


async def test_readers_and_questions_are_no_activity(clock: VirtualClock) -> None:
    async with opened(done, idle_ttl=1000) as registry:
        for session in ("s1", "s2"):
            await said(registry, clock, session)
        (await registry.subscribe("s1")).close()
        await registry.session("s1")
        await registry.cancel("s1", "not-yet")
        await settle()
        assert ids_of(await registry.sessions()) == ["s2", "s1"]


async def test_users_see_their_own_and_admins_all_or_one_users(clock: VirtualClock) -> None:
    async with opened(done) as registry:
        for session, user in (("a1", "ada"), ("b1", "bob"), ("a2", "ada")):
            await said(registry, clock, session, user=user)
        assert ids_of(await registry.sessions(user="ada")) == ["a2", "a1"]
        assert ids_of(await registry.ask(ListSessions(ADA, owner="ada"))) == ["a2", "a1"]
        assert await registry.ask(ListSessions(ADA, owner="bob")) == SessionPage()
        assert await registry.ask(ListSessions(ADA, owner="nobody-by-that-name")) == SessionPage()
        assert ids_of(await registry.ask(ListSessions(ROOT))) == ["a2", "b1", "a1"]
        assert ids_of(await registry.ask(ListSessions(ROOT, owner="bob"))) == ["b1"]


async def test_a_user_of_very_many_sessions_sees_their_own_as_well(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LISTED", 2)
    async with opened(done) as registry:
        for session, user in (("a1", "ada"), ("b1", "bob"), ("a2", "ada"), ("a3", "ada")):
            await said(registry, clock, session, user=user)
        assert ids_of(await registry.sessions(user="ada")) == ["a3", "a2", "a1"]


async def test_a_list_may_be_of_one_state(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened({"default": done, "long": agent}) as registry:
        await said(registry, clock, "idle")
        await said(registry, clock, "closed")
        await registry.close("closed")
        await registry.send("running", "hello", agent="long")
        assert ids_of(await registry.sessions()) == ["running", "idle"]
        for state in ("idle", "running", "closed"):
            assert ids_of(await registry.sessions(state=SessionState(state))) == [state]
        assert ids_of(await registry.sessions(state=SessionState.CANCELLING)) == []
        with pytest.raises(InvalidRequest, match="state must be one of: idle"):
            await registry.sessions(state="busy")  # type: ignore[arg-type]


async def test_titles_are_searched_in_whatever_case(clock: VirtualClock) -> None:
    async with opened(done) as registry:
        for session, text in (("s1", "Straße und Weg"), ("s2", "hello World"), ("s3", [{"type": "image"}])):
            await said(registry, clock, session, text)  # type: ignore[arg-type]
        assert ids_of(await registry.sessions(q="WORLD")) == ["s2"]
        assert ids_of(await registry.sessions(q="STRASSE")) == ["s1"]
        assert ids_of(await registry.sessions(q="second line")) == []
        assert ids_of(await registry.sessions(q="")) == ["s3", "s2", "s1"]
        with pytest.raises(InvalidRequest, match="q must"):
            await registry.sessions(q=1)  # type: ignore[arg-type]


async def test_a_session_is_listed_while_it_sleeps_and_while_only_its_conversation_is_left(
    clock: VirtualClock,
) -> None:
    async with opened(remembering, idle_ttl=10, turn_retention=100) as registry:
        await said(registry, clock, "s1", "first", user="ada")
        await registry.set_title("s1", "kept")
        before = (await registry.sessions()).sessions
        await clock.advance(20)
        assert (await registry.counts()).asleep == 1
        assert (await registry.sessions()).sessions == before
        await clock.advance(200)
        assert (await registry.counts()).sessions == 0
        assert (await registry.sessions()).sessions == before
        assert (await registry.sessions(user="ada", q="KEPT")).sessions == before
        assert (await registry.sessions(user="bob")).sessions == ()
        assert (await registry.sessions(state=SessionState.IDLE)).sessions == before
        assert (await registry.sessions(state=SessionState.RUNNING)).sessions == ()
        named = await registry.set_title("s1", "renamed", user="ada")
        assert (named.title, named.state) == ("renamed", "idle")
        await said(registry, clock, "s1", "second", user="ada")
        (listed,) = (await registry.sessions()).sessions
        assert listed.title == "renamed"
        assert listed.last_active_at > before[0].last_active_at


async def test_a_closed_session_is_gone_from_the_list_with_its_conversation(clock: VirtualClock) -> None:
    async with opened(remembering, idle_ttl=10, turn_retention=100) as registry:
        await said(registry, clock, "s1", user="ada")
        await clock.advance(200)
        await registry.close("s1", user="ada")
        await clock.advance(200)
        assert (await registry.sessions()).sessions == ()
        assert (await registry.sessions(state=SessionState.CLOSED)).sessions == ()
        assert registry.directory.ledger.in_all.kept == 0


# -- Pages --------------------------------------------------------------------------------------------


async def test_pages_have_no_hole_and_no_double_while_sessions_are_active(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "QUIET", 5.0)
    monkeypatch.setattr(lists, "PASS", 4)
    chance = random.Random(7)
    async with opened(done, idle_ttl=100_000, turn_retention=40) as registry:
        sessions = [f"s{number}" for number in range(20)]
        for number in range(6):
            for session in chance.sample(sessions, 10):
                await said(registry, clock, session)
            for session in sessions:
                await said(registry, clock, session)
            await clock.advance(chance.choice([0, 1, 60]))
            expected = ids_of(await registry.sessions())
            found: list[str] = []
            before: str | None = None
            while True:
                page = await registry.sessions(before=before, limit=3)
                found += ids_of(page)
                before = page.before
                if before is None:
                    break
                await clock.advance(0.01)
                for session in chance.choices(sessions, k=3):
                    await (await registry.send(session, "hello")).ended()
                    await clock.advance(chance.choice([0.01, 0.5]))
                await registry.send(f"new{number}", "hello")
            assert found == expected


async def test_a_session_whose_old_turns_are_forgotten_keeps_its_place_in_the_pages(
    clock: VirtualClock,
) -> None:
    async with opened(done, idle_ttl=100_000, turn_retention=1_000) as registry:
        for session in ("s1", "s2"):
            await said(registry, clock, session)
        await clock.advance(5_000)
        await said(registry, clock, "s3")
        first = await registry.sessions(limit=2)
        assert ids_of(first) == ["s3", "s2"]
        await clock.advance(1)
        for session in ("s1", "s2", "s1", "s2"):
            await said(registry, clock, session)
        assert ids_of(await registry.sessions(limit=2, before=first.before)) == ["s1"]


async def test_a_session_that_is_opened_after_the_first_page_is_not_on_the_next_ones(
    clock: VirtualClock,
) -> None:
    async with opened(done) as registry:
        for session in ("s1", "s2", "s3"):
            await said(registry, clock, session)
        first = await registry.sessions(limit=2)
        await said(registry, clock, "s4")
        assert ids_of(await registry.sessions(limit=2, before=first.before)) == ["s1"]
        assert ids_of(await registry.sessions(limit=2)) == ["s4", "s3"]


async def test_what_is_forgotten_between_two_pages_is_left_out(clock: VirtualClock) -> None:
    async with opened(done) as registry:
        for session in ("s1", "s2", "s3"):
            await said(registry, clock, session)
        first = await registry.sessions(limit=1)
        await registry.close("s3", free=True)
        await registry.close("s2", free=True)
        assert ids_of(await registry.sessions(limit=1, before=first.before)) == ["s1"]


async def test_a_long_list_is_made_in_passes(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """G9."""
    monkeypatch.setattr(lists, "PASS", 2)
    async with opened(done) as registry:
        for number in range(7):
            await said(registry, clock, f"s{number}")
        asked = registry.ref.ask_now(ListSessions())
        assert not asked.done()
        await registry.close("s3", free=True)
        assert ids_of(await asked) == ["s6", "s5", "s4", "s2", "s1", "s0"]
        assert await all_pages(registry, 2) == ["s6", "s5", "s4", "s2", "s1", "s0"]


@pytest.mark.parametrize(("field", "given"), [("before", "nonsense"), ("limit", 0), ("limit", 201)])
async def test_a_page_that_cannot_be_is_refused(field: str, given: Any) -> None:
    async with opened(done) as registry:
        with pytest.raises(InvalidRequest) as refused:
            await registry.sessions(**{field: given})
        assert refused.value.field == field


async def test_a_list_that_is_told_and_not_asked_for_is_answered_nowhere() -> None:
    async with opened(done) as registry:
        registry.ref.tell(ListSessions())
        registry.ref.tell(ListSessions(limit=0))
        await settle()
        assert (await registry.sessions()).sessions == ()


# -- What was said, and the turns -----------------------------------------------------------------------


async def test_a_conversation_is_read_backwards_page_by_page(clock: VirtualClock) -> None:
    async with opened(remembering, conversation_messages=7, idle_ttl=10) as registry:
        for number in range(10):
            await said(registry, clock, "s1", str(number))
        await clock.advance(100)
        assert (await registry.counts()).asleep == 1
        pages: list[tuple[Any, ...]] = []
        before: int | None = None
        while before is None or before:
            page = await registry.messages("s1", before=before, limit=3)
            assert page.cursor is not None
            if not page.messages:
                break
            pages.append(page.messages)
            before = page.omitted
        assert pages == [("7", "8", "9"), ("4", "5", "6"), ("3",)]
        assert (await registry.messages("s1", before=2)).omitted == 2
        assert (await registry.messages("s1", before=99)).messages == tuple("3456789")
        assert (await registry.messages("s1", before=5)).messages == ("3", "4")
        assert (await registry.messages("s1")).omitted == 3
        for given in ({"before": -1}, {"before": "3"}, {"before": True}, {"limit": 0}, {"limit": 201}):
            with pytest.raises(InvalidRequest):
                await registry.messages("s1", **given)  # type: ignore[arg-type]
        with pytest.raises(UnknownSession):
            await registry.messages("s1", user="ada", limit=0)


async def test_the_turns_of_a_session_are_read_backwards_page_by_page(clock: VirtualClock) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened({"default": done, "long": agent}, cancel_grace=10) as registry:
        for number in range(4):
            await said(registry, clock, "s1", turn_id=f"t{number}", user="ada")
        await registry.send("s1", "hello", turn_id="stuck", agent="long")
        await clock.advance(1)
        await registry.send("s1", "hello", turn_id="next", agent="long", wait=False)
        await settle()
        found = await registry.turns("s1", user="ada")
        assert [turn.turn_id for turn in found.turns] == ["next", "stuck", "t3", "t2", "t1", "t0"]
        assert [turn.status for turn in found.turns[:3]] == ["queued", "cancelling", "completed"]
        assert found.before is None
        first = await registry.turns("s1", limit=3)
        await clock.advance(20)
        await registry.send("s1", "hello", turn_id="newer", agent="long", wait=False)
        second = await registry.turns("s1", limit=3, before=first.before)
        assert [turn.turn_id for turn in second.turns] == ["t2", "t1", "t0"]
        assert second.before is None
        assert [turn.turn_id for turn in (await registry.turns("s1", limit=3)).turns] == [
            "newer",
            "next",
            "stuck",
        ]
        for session, user in (("s1", "bob"), ("s2", "ada")):
            with pytest.raises(UnknownSession):
                await registry.turns(session, user=user, limit=0)
        with pytest.raises(InvalidRequest):
            await registry.turns("s1", before="nonsense")


# -- Titles -------------------------------------------------------------------------------------------


async def test_a_title_is_given_by_those_who_may_see_the_session(clock: VirtualClock) -> None:
    async with opened(done, title_length=10) as registry:
        await said(registry, clock, "s1", "hello", user="ada")
        named = await registry.set_title("s1", " My  chat ", user="ada")
        assert named.title == "My chat"
        assert named == (await registry.sessions()).sessions[0]
        assert (await registry.ask(SetTitle("s1", "by root", ROOT))).title == "by root"
        for session, user in (("s1", "bob"), ("s2", "ada"), ("s2", None)):
            with pytest.raises(UnknownSession):
                await registry.set_title(session, "mine", user=user)
        with pytest.raises(UnknownSession):  # also where the title would be refused
            await registry.set_title("s1", "x" * 11, user="bob")
        with pytest.raises(TitleTooLong):
            await registry.set_title("s1", "x" * 11, user="ada")
        with pytest.raises(InvalidRequest):
            await registry.set_title("s1", " ", user="ada")
        assert (await registry.sessions()).sessions[0].title == "by root"
        assert (await registry.counts()).counters["titles_too_long_total"] == 1


async def test_giving_a_title_is_no_activity_and_the_next_message_leaves_it(clock: VirtualClock) -> None:
    async with opened(done) as registry:
        for session in ("s1", "s2"):
            await said(registry, clock, session)
        await registry.set_title("s1", "named")
        assert ids_of(await registry.sessions()) == ["s2", "s1"]
        await said(registry, clock, "s1", "another message")
        assert (await registry.sessions()).sessions[0].title == "named"


async def test_an_agent_gives_its_session_a_title() -> None:
    turns: list[Turn] = []

    async def agent(turn: Turn) -> None:
        turns.append(turn)
        with pytest.raises(TitleTooLong):
            turn.set_title("x" * 201)
        with pytest.raises(InvalidRequest):
            turn.set_title("")
        with pytest.raises(WrongThread):
            await asyncio.to_thread(turn.set_title, "from a thread")
        turn.set_title(f"About {turn.text}")

    async with opened(agent) as registry:
        await (await registry.send("s1", "turns")).result()
        assert (await registry.sessions()).sessions[0].title == "About turns"
        with pytest.raises(TurnOver):
            turns[0].set_title("too late")
        assert (await registry.counts()).counters["titles_too_long_total"] == 1


async def test_a_title_counts_among_what_is_kept_until_its_session_is_forgotten(clock: VirtualClock) -> None:
    """G8."""
    async with opened(done, log_events=1, idle_ttl=10, turn_retention=100, record=False) as registry:
        await said(registry, clock, "s1", user="ada")
        kept = registry.directory.ledger.kept("ada")
        await registry.set_title("s1", "x" * 105)
        assert registry.directory.ledger.kept("ada") == kept + 100
        await registry.set_title("s1", "hello")
        assert registry.directory.ledger.kept("ada") == kept
        await clock.advance(300)
        assert registry.directory.ledger.in_all.kept == 0
