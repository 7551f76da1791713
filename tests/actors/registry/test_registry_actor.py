"""RegistryActor: starts sessions, routes to them, lists them, puts them to sleep, and ends them all."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any, get_args

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.journal.contract import Answer
from turnkeeper.actors.model import messages
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    MessageTooLarge,
    SessionError,
    SessionIdTaken,
    TurnCancelled,
    UnknownSession,
)
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Cancel,
    Close,
    GetCounts,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Send,
    Subscribe,
    TurnEnded,
)
from turnkeeper.actors.model.records import Asker, Returned, SessionId
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry import lists, registry_actor, session_actor
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session import machine
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> list[Any]:
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def ask(registry: SessionRegistry, message: str, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


# -- What is refused --------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("INVALID_REQUEST", {"session_id": "a/b"}),
    ("INVALID_REQUEST", {"session_id": None}),
    ("INVALID_REQUEST", {"session_id": ["s1"]}),
    ("INVALID_REQUEST", {"session_id": "events"}),
    ("INVALID_REQUEST", {"turn_id": "a b"}),
    ("INVALID_REQUEST", {"turn_id": 5}),
    ("INVALID_REQUEST", {"strategy": "queue"}),
    ("INVALID_REQUEST", {"strategy": []}),
    ("INVALID_REQUEST", {"timeout": "soon"}),
    ("INVALID_REQUEST", {"timeout": float("nan")}),
    ("INVALID_REQUEST", {"message": ""}),
    ("INVALID_REQUEST", {"message": [{"type": "text", "text": ""}]}),
    ("UNKNOWN_AGENT", {"agent": "nobody"}),
    ("UNKNOWN_AGENT", {"agent": []}),
]


@pytest.mark.parametrize(("code", "fields"), WRONG, ids=[str(fields) for _, fields in WRONG])
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "sent"])
async def test_a_send_that_breaks_a_rule_is_refused_with_a_stable_code_and_opens_nothing(
    code: str, fields: dict[str, Any], asked: bool
) -> None:
    async with opened(done) as registry:
        send = Send(**{"session_id": "s1", "message": "hello", **fields})
        if asked:
            with pytest.raises(SessionError) as caught:
                await registry.ask(send)
            assert caught.value.code == code
        else:
            registry.ref.tell(send)
        assert (await registry.counts()).sessions == 0
        assert await ask(registry, "still here") == "done: still here"


@pytest.mark.parametrize("text", [5, ["x"], "\ud800", "x" * 2_001, b"x"], ids=lambda text: repr(text)[:9])
@pytest.mark.parametrize("known", [True, False])
async def test_a_cancel_whose_words_no_event_could_carry_is_refused(text: Any, known: bool) -> None:
    """G7: it would otherwise break the streams of everyone who follows the session."""
    async with opened(done) as registry:
        if known:
            await ask(registry, "hello")
        with pytest.raises(InvalidRequest) as caught:
            await registry.cancel("s1", "t1", text=text)
        assert caught.value.field == "text"


async def test_a_message_that_is_too_large_is_refused_and_counted() -> None:
    """G8."""
    async with opened(done, message_text=10, message_parts=2) as registry:
        for message in ("x" * 11, [{"type": "image"}] * 3):
            with pytest.raises(MessageTooLarge):
                await registry.send("s1", message)
            registry.ref.tell(Send("s1", message))
        counts = await registry.counts()
        assert (counts.sessions, counts.counters["messages_too_large_total"]) == (0, 4)


async def test_a_message_of_the_wrong_kind_does_not_take_the_sessions_along() -> None:
    async with opened(done) as registry:
        for message in (None, "text", object(), {"session_id": "s1"}):
            registry.ref.tell(message)
        for bad in (Send("s1", "x", asker=None), Cancel("s1", asker=5), Subscribe("s1", asker="ada")):  # type: ignore[arg-type]
            registry.ref.tell(bad)
        await settle()
        assert await ask(registry, "still here") == "done: still here"


# -- Whose it is ------------------------------------------------------------------------------------


async def test_an_unknown_session_and_another_users_give_the_same_answer() -> None:
    """G12."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello", user="ada", turn_id="t1")
        run = await agent.run()
        asks: list[Any] = [
            lambda session: registry.session(session, user="bob"),
            lambda session: registry.turn(session, "t1", user="bob"),
            lambda session: registry.messages(session, user="bob"),
            lambda session: registry.close(session, user="bob"),
            lambda session: registry.cancel(session, user="bob"),
            lambda session: registry.cancel(session, "t1", user="bob"),
            lambda session: registry.cancel(session, "t1", user="bob", wait=False),
        ]
        for each in asks:
            answers = []
            for session in ("s1", "s2"):
                try:
                    answers.append(await each(session))
                except UnknownSession as error:
                    answers.append((error.code, str(error).replace(session, "_")))
            assert answers[0] == answers[1]
        assert not run.turn.cancel_requested
        with pytest.raises(SessionIdTaken):
            await registry.send("s1", "x", user="bob")
        assert await registry.active(user="bob") == ()
        assert (await registry.session("s1", user="ada")).user == "ada"


async def test_another_users_early_cancel_does_not_count() -> None:
    """G4, G12."""
    async with opened(done) as registry:
        await registry.cancel("s1", "t1", user="bob")
        assert await ask(registry, "hello", user="ada", turn_id="t1") == "done: hello"


async def test_an_admin_may_stop_any_users_turn_and_is_named_in_its_record() -> None:
    """G12."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        await agent.run()
        assert [turn.owner for turn in await registry.ask(ListActive(ROOT))] == ["ada"]
        assert (await registry.ask(Cancel("s1", asker=ROOT))).verdict is Verdict.CANCELLED
        reason = (await receipt.ended()).reason
        assert reason is not None
        assert (reason.code, reason.by) == (CancelCode.ADMIN, "root")


# -- What was said ----------------------------------------------------------------------------------


async def test_a_conversation_holds_what_ended_turns_left_and_nothing_of_the_one_that_runs() -> None:
    agent = ScriptedAgent()
    async with opened({"default": remembering, "slow": agent}) as registry:
        first = await registry.send("s1", "one")
        await first.ended()
        await registry.send("s1", "two", agent="slow")
        run = await agent.run()
        run.turn.context.messages.append("two")
        conversation = await registry.messages("s1")
        assert conversation.messages == ("one",)
        followed = registry.events("s1", after=conversation.cursor)
        async with aclosing(followed):
            event = await anext(followed)
        assert (event.name, event.data["message"]) == ("turn.started", "two")
        run.finish()
        await settle()
        assert (await registry.messages("s1")).messages == ("one", "two")


async def test_what_a_stopped_turn_left_is_part_of_the_conversation_and_what_an_unresponsive_one_does_is_not(
    clock: VirtualClock,
) -> None:
    """G6."""
    stops, stubborn = ScriptedAgent(), ScriptedAgent(swallows=FOREVER)
    async with opened({"default": stops, "stubborn": stubborn}, cancel_grace=1) as registry:
        for agent, name in ((stops, "default"), (stubborn, "stubborn")):
            await registry.send("s1", name, agent=name)
            (await agent.run()).turn.context.messages.append(name)
            await registry.cancel("s1")
        stubborn.release()
        await settle()
        assert (await registry.messages("s1")).messages == ("default",)


async def test_a_sleeping_session_shows_its_conversation_and_sleeps_on(clock: VirtualClock) -> None:
    async with opened(remembering, idle_ttl=1) as registry:
        await ask(registry, "one", user="ada")
        assert await registry.cleanup() == ("s1",)
        for asker in (ADA, ROOT):
            assert (await registry.ask(GetMessages("s1", asker))).messages == ("one",)
        entry = registry.directory.entries[SessionId("s1")]
        assert entry.actor is None


async def test_a_forgotten_session_shows_its_owner_the_conversation_and_stays_forgotten(
    clock: VirtualClock,
) -> None:
    """G12."""
    async with opened(remembering, idle_ttl=1, turn_retention=10) as registry:
        await ask(registry, "one", user="ada")
        await clock.advance(60)
        for asker in (ADA, ROOT):
            assert (await registry.ask(GetMessages("s1", asker))).messages == ("one",)
        with pytest.raises(UnknownSession):
            await registry.ask(GetMessages("s1", BOB))
        assert (await registry.counts()).sessions == 0


async def test_another_users_session_is_not_opened_to_a_user_who_was_there_before(
    clock: VirtualClock,
) -> None:
    """G12: whose the session is now counts, not whose conversation was kept once."""
    agents = {"default": remembering, "silent": done}
    async with opened(agents, idle_ttl=1, turn_retention=10, contexts=1, record=False) as registry:
        await ask(registry, "mine", user="ada")
        await clock.advance(60)
        await ask(registry, "other", session="s2", user="ada")  # it takes the only place
        await ask(registry, "hello", user="bob", agent="silent")
        assert (await registry.ask(GetMessages("s1", BOB))).messages == ()
        with pytest.raises(UnknownSession):
            await registry.ask(GetMessages("s1", ADA))


async def test_a_closed_session_shows_nothing_of_its_conversation() -> None:
    async with opened(remembering) as registry:
        await ask(registry, "one")
        await registry.close("s1")
        assert (await registry.messages("s1")).messages == ()


async def test_nor_does_it_keep_what_a_turn_leaves_that_the_close_has_cancelled() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.context.messages.append("said")
        await registry.close("s1")
        assert (await registry.messages("s1")).messages == ()


async def test_a_host_that_loads_the_conversation_itself_keeps_it_itself() -> None:
    kept: dict[str, Context] = {}

    async def load(session: SessionId, user: str) -> Context:
        return kept.setdefault(session, Context(session, user))

    async with opened(remembering, load_context=load) as registry:
        await ask(registry, "one")
        assert kept["s1"].messages == ["one"]
        assert (await registry.messages("s1")).messages == ("one",)


@pytest.mark.parametrize("session", ["a/b", None, "events"])
async def test_a_conversation_of_what_is_no_session_id_is_refused(session: Any) -> None:
    async with opened(done) as registry:
        with pytest.raises(InvalidRequest):
            await registry.messages(session)


# -- Early cancels ----------------------------------------------------------------------------------


async def test_a_cancel_before_its_send_in_an_unknown_session_still_counts(clock: VirtualClock) -> None:
    """G4."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        answer = await registry.cancel("s1", "t1", user="ada", text="never mind")
        assert (answer.verdict, answer.remembered_for) == (Verdict.NOT_RUNNING, 30.0)
        assert (await registry.counts()).sessions == 0
        await clock.advance(29)
        receipt = await registry.send("s1", "hello", user="ada", turn_id="t1")
        assert receipt.status is TurnStatus.CANCELLED
        with pytest.raises(TurnCancelled):
            await receipt.result()
        reason = (await receipt.ended()).reason
        assert reason is not None
        assert (reason.by, reason.text) == ("ada", "never mind")
        assert agent.runs == []
        again = await registry.send("s1", "hello", user="ada", turn_id="t1")
        assert (again.repeated, again.status) == (True, TurnStatus.CANCELLED)


async def test_an_early_cancel_is_forgotten_after_thirty_seconds(clock: VirtualClock) -> None:
    """G4, G8."""
    async with opened(done) as registry:
        await registry.cancel("s1", "t1")
        await clock.advance(30.5)
        assert await ask(registry, "hello", turn_id="t1") == "done: hello"


async def test_early_cancels_are_bounded_for_each_user() -> None:
    """G8."""
    async with opened(done, early_cancels_per_user=3) as registry:
        for n in range(5):
            await registry.cancel(f"s{n}", "t", user="ada")
        statuses = [(await registry.send(f"s{n}", "x", user="ada", turn_id="t")).status for n in range(5)]
        assert [status is TurnStatus.CANCELLED for status in statuses] == [False, False, True, True, True]


async def test_a_cancel_without_a_turn_of_an_unknown_session_is_not_remembered() -> None:
    async with opened(done) as registry:
        answer = await registry.cancel("s1")
        assert (answer.verdict, answer.remembered_for) == (Verdict.NOT_RUNNING, None)
        assert await ask(registry, "hello") == "done: hello"


# -- Many -------------------------------------------------------------------------------------------


async def test_a_list_of_many_sessions_lets_others_run_between_its_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G9."""
    monkeypatch.setattr(lists, "PASS", 10)
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=100) as registry:
        for n in range(95):
            await registry.send(f"s{n}", "hello", user=("ada", "bob")[n % 2])
        listing = registry.ask(ListActive())
        passes = 0
        while not listing.done():
            await asyncio.sleep(0)
            passes += 1
        assert passes >= 9
        assert len(await listing) == 95
        assert len(await registry.active(user="bob")) == 47
        counts = await registry.counts()
        assert (counts.sessions, counts.turns_in_flight) == (95, 95)


async def test_one_reads_ones_own_writes() -> None:
    """What was answered is in the index already."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        assert [each.turn.turn_id for each in await registry.active()] == [receipt.turn_id]
        await registry.cancel("s1")
        assert await registry.active() == ()


async def test_a_reader_that_comes_with_a_send_does_not_hide_the_turn() -> None:
    """G3. What a session said of its readers was believed when a turn had begun since."""
    async with opened(ScriptedAgent()) as registry:
        following, sending = registry.ask(Subscribe("s1")), registry.ask(Send("s1", "hello"))
        subscription = await following
        await sending
        await settle()
        assert [each.session_id for each in await registry.active()] == ["s1"]
        subscription.close()


async def test_a_question_without_an_asker_does_not_end_the_session() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        for message in (GetTurn("s1", "nobodys"), AwaitTurn("s1", "nobodys"), GetSession("s1")):
            registry.ref.tell(message)
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.RUNNING


async def test_a_subscription_without_an_asker_is_not_made() -> None:
    """G8: nothing could end it, and the session would never sleep."""
    async with opened(done) as registry:
        registry.ref.tell(Subscribe("s1"))
        await settle()
        assert (await registry.counts()).subscribers == 0


async def test_a_conversation_is_forgotten_also_if_its_turn_ends_in_the_moment_of_the_close() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        run = await agent.run()
        run.turn.context.messages.append("secret")
        closing = registry.ask(Close("s1", ADA))
        # Before the registry looks at the close, so that the session gets its turn's end first.
        entry = registry.directory.entries[receipt.session_id]
        entry.actor.tell(TurnEnded(run.turn.epoch, Returned()))
        await closing
        assert registry._shared is not None
        assert registry._shared.contexts.owner(receipt.session_id) is None
        run.finish()


async def test_the_actor_answers_threads() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        accepted = await asyncio.to_thread(registry.ref.ask, Send("s1", "hello"), timeout=60)
        assert accepted.status is TurnStatus.RUNNING
        await agent.run()
        answer = await asyncio.to_thread(registry.ref.ask, Cancel("s1"), timeout=60)
        assert answer.verdict is Verdict.CANCELLED
        await asyncio.to_thread(registry.ref.tell, Send("s2", "hello"))
        assert (await agent.run()).turn.session_id == "s2"
        with pytest.raises(UnknownSession):
            await asyncio.to_thread(registry.ref.ask, GetSession("s9"), timeout=60)
        assert (await asyncio.to_thread(registry.ref.ask, GetCounts(), timeout=60)).sessions == 2


# -- What is understood -----------------------------------------------------------------------------

#: What an actor answers with, and addresses: nothing that it is sent.
NOT_SENT = {
    "Accepted",
    "ActiveTurn",
    "CancelAnswer",
    "CancelledMany",
    "Conversation",
    "Counts",
    "LoopLag",
    "PolicyView",
    "Query",
    "ReplyAddress",
    "SessionPage",
    "SessionSummary",
    "Edit",
    "QueuedTurn",
    "SessionView",
    "StoppedTurn",
    "Superseded",
    "TurnEnd",
    "TurnPage",
    "WaitingTurn",
    "Admission",
}


def test_every_message_there_is_has_an_actor_that_understands_it() -> None:
    defined = {
        name
        for name, each in vars(messages).items()
        if isinstance(each, type) and each.__module__ == messages.__name__
    }
    understood = {*registry_actor.MESSAGES, *session_actor.MESSAGES, *session_actor.DECIDED}
    answers = {each.__name__ for each in get_args(Answer)}
    assert {each.__name__ for each in understood} - answers == defined - NOT_SENT


def test_what_a_session_decides_is_what_the_machine_takes() -> None:
    assert session_actor.DECIDED | {messages.Tick, messages.Recover} == set(get_args(machine.Message))


async def test_a_message_of_another_kind_is_treated_as_pykka_does(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as registry:
        assert await registry.ref.ask("what is this?", block=False) is None
        assert "Unexpected message" in caplog.text


async def test_the_debug_log_says_what_the_registry_itself_refuses_and_to_whom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "turnkeeper")
    async with opened(done) as registry:
        for session, agent in (("s1", "cook"), ("a" * 1_000, None)):
            with pytest.raises(SessionError):
                await registry.send(session, "hello", user="ada", agent=agent)
    known, shortened = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    assert known == "session s1: Send by ada refused: UNKNOWN_AGENT: no agent is called 'cook'"
    assert shortened.startswith(f"session {'a' * 200}: Send by ada refused: INVALID_REQUEST: ")
