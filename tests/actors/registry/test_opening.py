"""How a session is opened: whose it is, whether there is room, and what waits for the host's word."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    OwnerNotKnown,
    PreconditionFailed,
    SessionIdTaken,
    ShuttingDown,
    TooManySessions,
    TooManyTurns,
    TooManyWaiting,
    TooMuchKept,
    UnknownSession,
)
from turnkeeper.actors.model.messages import Cancel, GetSession, Send
from turnkeeper.actors.model.records import HOST, Asker, SessionId
from turnkeeper.actors.model.words import Layer, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def keeping(turn: Turn) -> None:
    turn.context.messages.append(turn.text)


# -- Whose it is ------------------------------------------------------------------------------------


async def test_the_first_send_decides_whose_a_session_is() -> None:
    """G12."""
    async with opened(done) as registry:
        await registry.send("s1", "hello", user="ada")
        with pytest.raises(SessionIdTaken):
            await registry.send("s1", "hello", user="bob")
        await registry.ask(Send("s1", "hello", ROOT))
        assert (await registry.session("s1")).user == "ada"


async def test_an_id_stays_its_owners_while_the_conversation_is_kept(clock: VirtualClock) -> None:
    """G12."""
    async with opened(keeping, idle_ttl=1, turn_retention=10) as registry:
        await (await registry.send("s1", "one", user="ada")).result()
        await clock.advance(60)
        assert (await registry.counts()).sessions == 0
        with pytest.raises(SessionIdTaken):
            await registry.send("s1", "x", user="bob")
        assert (await registry.counts()).sessions == 0
        await registry.ask(Send("s1", "two", ROOT))
        assert (await registry.session("s1")).user == "ada"


async def test_a_taken_id_is_refused_before_a_precondition_that_fails() -> None:
    async with opened(done) as registry:
        await registry.send("s1", "hello", user="ada")
        for session, error in (("s1", SessionIdTaken), ("s2", PreconditionFailed)):
            with pytest.raises(error):
                await registry.ask(Send(session, "x", BOB, if_match="t"))
        assert (await registry.counts()).sessions == 1


# -- The host's word --------------------------------------------------------------------------------


class Host:
    """A host that says whose a session is when the test lets it."""

    def __init__(self, owners: dict[str, Any] | None = None) -> None:
        self.owners = owners or {}
        self.asked: list[str] = []
        self.answers: dict[str, asyncio.Future[Any]] = {}

    def at_once(self, session: SessionId) -> str | None:
        self.asked.append(session)
        owner = self.owners.get(session)
        if isinstance(owner, Exception):
            raise owner
        return owner

    def later(self, session: SessionId) -> Awaitable[str | None]:
        self.asked.append(session)
        answer = self.answers[session] = asyncio.get_running_loop().create_future()
        return answer


@asynccontextmanager
async def asking(owner_of: Any, agent: Any = done, **settings: Any) -> AsyncIterator[SessionRegistry]:
    async with SessionRegistry(agent, settings=Settings(**settings), owner_of=owner_of) as registry:
        yield registry
        if isinstance(agent, ScriptedAgent):
            agent.release()


async def test_the_host_says_whose_an_unknown_id_is() -> None:
    """G12."""
    host = Host({"s1": "ada"})
    async with asking(host.at_once) as registry:
        with pytest.raises(SessionIdTaken):
            await registry.send("s1", "hello", user="bob")
        assert (await registry.counts()).sessions == 0
        await registry.send("s1", "hello", user="ada")
        await registry.send("s2", "hello", user="bob")
        assert [(await registry.session(session)).user for session in ("s1", "s2")] == ["ada", "bob"]
        await registry.send("s1", "again", user="ada")
        with pytest.raises(SessionIdTaken):
            await registry.send("s1", "again", user="bob")
        assert host.asked == ["s1", "s1", "s2"], "an id that is known needs no host"


@pytest.mark.parametrize("asker", [HOST, ROOT])
async def test_what_an_admin_or_the_host_opens_belongs_to_whom_the_host_says(asker: Asker) -> None:
    async with asking(Host({"s1": "ada"}).at_once) as registry:
        for session in ("s1", "s2"):
            await registry.ask(Send(session, "hello", asker))
        assert [(await registry.session(session)).user for session in ("s1", "s2")] == ["ada", asker.user]


async def test_the_host_is_asked_once_and_all_mail_for_that_id_waits_in_order() -> None:
    """G12, G4: the cancel finds the turn that was sent before it."""
    host, agent = Host(), ScriptedAgent()
    async with asking(host.later, agent) as registry:
        first = registry.ask(Send("s1", "one", ADA, turn_id="t1"))
        taken = registry.ask(Send("s1", "two", BOB))
        cancelling = registry.ask(Cancel("s1", "t1", ADA))
        looking = registry.ask(GetSession("s1", ADA))
        await settle()
        assert host.asked == ["s1"]
        assert not any(each.done() for each in (first, taken, cancelling, looking))
        assert (await registry.counts()).sessions == 0
        host.answers["s1"].set_result(None)
        assert (await first).status is TurnStatus.RUNNING
        with pytest.raises(SessionIdTaken):
            await taken
        assert (await cancelling).verdict is Verdict.CANCELLED
        assert (await looking).user == "ada"
        assert host.asked == ["s1"]


async def test_other_sessions_do_not_wait_for_the_hosts_word() -> None:
    """G14."""
    host = Host()
    async with asking(host.later) as registry:
        slow = registry.ask(Send("s1", "one", ADA))
        await settle()
        quick = registry.ask(Send("s2", "two", BOB))
        await settle()
        host.answers["s2"].set_result("bob")
        await quick
        assert not slow.done()
        host.answers["s1"].set_result("ada")
        await slow


async def test_a_send_that_waits_for_the_hosts_word_counts_as_a_turn() -> None:
    """G8, G14: the host's database is a resource, too."""
    host = Host()
    async with asking(host.later, max_in_flight=2) as registry:
        waiting = [registry.ask(Send(f"s{n}", "x", ADA)) for n in range(2)]
        with pytest.raises(TooManyTurns):
            await registry.send("s2", "x", user="ada")
        assert host.asked == ["s0", "s1"]
        others = registry.ask(Send("s3", "x", BOB))
        await settle()
        for answer in host.answers.values():
            answer.set_result(None)
        for each in (*waiting, others):
            assert (await each).status is TurnStatus.RUNNING


async def test_where_turns_wait_a_send_that_waits_for_the_hosts_word_is_one_of_those() -> None:
    """G8, G14: it takes no slot before it has an owner."""
    host = Host()
    async with asking(host.later, on_cap="wait", max_in_flight_in_all=1, max_waiting=2) as registry:
        waiting = [registry.ask(Send(f"s{n}", "x", ADA)) for n in range(2)]
        with pytest.raises(TooManyWaiting):
            await registry.send("s2", "x", user="ada")
        in_all = registry.directory.ledger.in_all
        assert (in_all.in_flight, in_all.later, in_all.active) == (0, 2, 0)
        for answer in host.answers.values():
            answer.set_result(None)
        assert {(await each).status for each in waiting} == {TurnStatus.RUNNING, TurnStatus.QUEUED}
        assert (in_all.later, in_all.waiting) == (0, 1)


async def test_a_send_for_later_that_waits_for_the_hosts_word_takes_no_turns_place() -> None:
    """G8, G14."""
    host = Host()
    async with asking(host.later, max_in_flight=1, max_waiting=1) as registry:
        sends = [registry.ask(Send("s0", "x", ADA, after=60)), registry.ask(Send("s1", "x", ADA))]
        with pytest.raises(TooManyWaiting):
            await registry.ask(Send("s2", "x", ADA, after=60))
        for answer in host.answers.values():
            answer.set_result(None)
        assert [(await each).status for each in sends] == [TurnStatus.QUEUED, TurnStatus.RUNNING]


async def test_how_many_sends_of_a_user_wait_for_the_hosts_word_the_users_policy_says() -> None:
    """G8, G14."""
    host = Host()
    async with asking(host.later, max_in_flight=2) as registry:
        await registry.set_policy(Layer.USER, "ada", {"max_in_flight": 1})
        waiting = registry.ask(Send("s0", "x", ADA))
        for session in ("s0", "s1"):
            with pytest.raises(TooManyTurns):
                await registry.send(session, "x", user="ada")
        host.answers["s0"].set_result(None)
        assert (await waiting).status is TurnStatus.RUNNING


async def test_each_send_that_waits_for_the_hosts_word_about_one_id_counts() -> None:
    """G8, G14: what waits is kept, also when its asker has left."""
    host = Host()
    async with asking(host.later, max_in_flight=2) as registry:
        waiting = [registry.ask(Send("s1", "x", ADA)) for _ in range(3)]
        other = registry.ask(Send("s1", "x", BOB))
        with pytest.raises(TooManyTurns):
            await waiting.pop()
        assert (host.asked, registry.directory.ledger.in_all.turns) == (["s1"], 3)
        host.answers["s1"].set_result("ada")
        for each in waiting:
            await each
        with pytest.raises(SessionIdTaken):
            await other
        await registry.close("s1", free=True)
        assert (registry.directory.ledger.in_all.turns, len(registry.directory.ledger)) == (0, 0)


class Broken(Exception):
    pass


@pytest.mark.parametrize("answer", [Broken("the database is at /srv/db"), 5, "", ["ada"]], ids=repr)
@pytest.mark.parametrize("later", [True, False])
async def test_a_host_that_cannot_say_whose_it_is_refuses_the_send_and_the_log_says_why(
    answer: Any, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host({"s1": answer})
    async with asking(host.later if later else host.at_once) as registry:
        sends = [registry.ask(Send("s1", "x", asker)) for asker in (ADA, BOB)]
        looking = registry.ask(GetSession("s1", ADA))
        await settle()
        if later:
            future = host.answers["s1"]
            future.set_exception(answer) if isinstance(answer, Exception) else future.set_result(answer)
        for send in sends:
            with pytest.raises(OwnerNotKnown) as caught:
                await send
            assert "srv" not in str(caught.value)
        with pytest.raises(UnknownSession):
            await looking
        assert (await registry.counts()).sessions == 0
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == (1 if later else 2)
    assert all(record.exc_info for record in errors)


async def test_a_message_about_what_is_no_id_is_refused_while_the_host_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that is sent without an asker ends nothing."""
    host = Host()
    async with asking(host.later) as registry:
        send = registry.ask(Send("s1", "x", ADA))
        await settle()
        malformed: Any = ["s1"]
        registry.ref.tell(Cancel(malformed, None, ADA))
        with pytest.raises(InvalidRequest):
            await registry.ask(GetSession(malformed, ADA))
        host.answers["s1"].set_result(None)
        assert (await send).status is TurnStatus.RUNNING
    assert "Cancel refused" in caplog.text


async def test_a_host_whose_answer_is_cancelled_has_not_answered() -> None:
    host = Host()
    async with asking(host.later) as registry:
        send = registry.ask(Send("s1", "x", ADA))
        await settle()
        host.answers["s1"].cancel()
        with pytest.raises(OwnerNotKnown):
            await send


async def test_what_waits_for_the_hosts_word_is_answered_when_the_registry_shuts_down() -> None:
    """G10."""
    host = Host()
    async with asking(host.later) as registry:
        send, cancelling = registry.ask(Send("s1", "x", ADA)), registry.ask(Cancel("s1", "t1", ADA))
        await settle()
        await registry.drain()
        with pytest.raises(ShuttingDown):
            await send
        assert (await cancelling).verdict is Verdict.NOT_RUNNING
        assert host.answers["s1"].cancelled()
        in_all = registry.directory.ledger.in_all
        assert (in_all.turns, len(registry.directory.ledger)) == (0, 0)


async def test_a_coroutine_of_the_hosts_is_ended_when_the_registry_stops() -> None:
    """G10."""
    ended = asyncio.Event()

    async def owner_of(_session: SessionId) -> str | None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return None

    registry = await SessionRegistry(done, owner_of=owner_of).start()
    send = registry.ask(Send("s1", "x", ADA))
    await settle()
    await registry.stop()
    with pytest.raises(ShuttingDown):
        await send
    await ended.wait()


# -- Room -------------------------------------------------------------------------------------------


async def test_a_user_has_exactly_as_many_sessions_as_the_bound_says_and_another_user_their_own() -> None:
    """G8, G14."""
    async with opened(done, max_sessions=3) as registry:
        for n in range(3):
            await registry.send(f"a{n}", "x", user="ada")
        with pytest.raises(TooManySessions):
            await registry.send("a3", "x", user="ada")
        await registry.send("a2", "again", user="ada")
        await registry.send("b0", "x", user="bob")
        counts = await registry.counts()
        assert counts.sessions == 4
        assert counts.counters["too_many_sessions_total"] == 1
        await registry.close("a0", free=True)
        await registry.send("a3", "x", user="ada")


async def test_there_are_exactly_as_many_sessions_as_the_bound_says_in_all() -> None:
    """G8: the host has this bound only."""
    async with opened(done, max_sessions=2, max_sessions_in_all=3) as registry:
        for n in range(3):
            await registry.send(f"s{n}", "x")
        for user in ("ada", None):
            with pytest.raises(TooManySessions):
                await registry.send("s3", "x", user=user)


async def test_a_sleeping_session_of_the_same_user_gives_way_to_a_new_one() -> None:
    """G8: the one that has slept the longest, and none that is in use."""
    async with opened(done, max_sessions=3) as registry:
        for user in ("ada", "bob"):
            for n in range(3):
                await (await registry.send(f"{user}{n}", "x", user=user)).result()
                if n < 2:
                    await registry.cleanup(user=user)
        await registry.send("ada3", "x", user="ada")
        sessions = [name for name in registry.directory.entries if name.startswith("ada")]
        assert sessions == ["ada1", "ada2", "ada3"]
        counts = await registry.counts()
        assert (counts.sessions, counts.asleep) == (6, 3)
        assert counts.counters["sessions_forgotten_early_total"] == 1
        assert "too_many_sessions_total" not in counts.counters


async def test_the_session_that_has_slept_the_longest_of_all_gives_way_at_the_total() -> None:
    """G8: known sleeping sessions have a cap."""
    async with opened(done, max_sessions_in_all=3) as registry:
        for session, user in (("s0", "bob"), ("s1", "ada"), ("s2", "ada")):
            await (await registry.send(session, "x", user=user)).result()
            await registry.cleanup()
        await registry.session("s0")  # it wakes, and is the last to fall asleep again
        await registry.cleanup()
        await registry.send("s3", "x", user="ada")
        assert list(registry.directory.entries) == ["s0", "s2", "s3"]
        assert (await registry.counts()).counters["sessions_forgotten_early_total"] == 1


async def test_what_gave_way_comes_back_with_a_higher_epoch() -> None:
    """G7: epochs only grow, whatever was forgotten in between."""
    async with opened(done, max_sessions_in_all=1) as registry:
        epochs = []
        for session in ("s1", "s2", "s1"):
            epochs.append((await (await registry.send(session, "x")).ended()).epoch or 0)
            await registry.cleanup()
        assert epochs[0] < epochs[1] < epochs[2]


async def test_many_sends_at_once_open_no_more_than_the_bounds_allow() -> None:
    """G8: none of them has been decided when the next one comes. What is refused has opened nothing."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=5, max_in_flight_in_all=8) as registry:
        sends = [registry.ask(Send(f"{name}{n}", "x", Asker(name))) for n in range(10) for name in ("a", "b")]
        await settle()
        refused = [send for send in sends if isinstance(send._error, TooManyTurns)]
        assert len(refused) == 12
        counts = await registry.counts()
        assert (counts.sessions, counts.turns_in_flight) == (8, 8)
        assert counts.counters["too_many_turns_total"] == 12


async def test_nothing_is_opened_when_too_much_is_kept() -> None:
    """G8."""
    async with opened(done, max_kept=1_000) as registry:
        await (await registry.send("s1", "x" * 2_000, user="ada")).result()
        with pytest.raises(TooMuchKept):
            await registry.send("s2", "x", user="ada")
        await registry.send("s3", "x", user="bob")
        await registry.send("s4", "x")
        assert sorted(registry.directory.entries) == ["s1", "s3", "s4"]
