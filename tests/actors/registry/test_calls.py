"""What one can ask of a registry, from code on its event loop."""

import copy
import sys
from contextlib import suppress
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, done, opened, remembering, settle
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import (
    IdempotencyKeyReused,
    InvalidRequest,
    PolicyNotAllowed,
    PreconditionFailed,
    ReadOnlyMessage,
    ResultNotKept,
    ScopeMissing,
    TurnFailed,
    TurnIdReused,
    UnknownAgent,
    UnknownSession,
)
from turnkeeper.actors.model.messages import AwaitTurn, SetPolicy
from turnkeeper.actors.model.policy import Decided
from turnkeeper.actors.model.records import Asker, KeptResult, Returned, SessionId
from turnkeeper.actors.model.words import Layer, Strategy, TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn


async def test_the_messages_of_a_session_are_those_that_are_kept_and_read_only() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append({"role": "user", "content": [turn.text]})

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        (said,) = (await registry.messages("s1")).messages
        with pytest.raises(ReadOnlyMessage):
            said["content"].append("changed")
        assert (await registry.messages("s1")).messages[0] is said
        mine = copy.deepcopy(said)
        mine["content"].append("changed")
        assert said == {"role": "user", "content": ["hello"]}


async def test_a_conversation_is_bounded_and_the_registry_counts_what_was_dropped() -> None:
    """G8."""
    bounds = {"conversation_messages": 3, "contexts": 1}
    async with opened(remembering, **bounds) as registry:
        for word in "abcde":
            await (await registry.send("s1", word)).ended()
        conversation = await registry.messages("s1")
        assert (conversation.messages, conversation.omitted) == (("c", "d", "e"), 2)
        assert await (await registry.send("s1", "f")).result() == ["c", "d", "e"]
        await (await registry.send("s2", "g")).ended()
        counted = (await registry.counts()).counters
        assert (counted["messages_omitted_total"], counted["conversations_forgotten_total"]) == (3, 1)


async def test_a_conversation_is_bounded_in_bytes_and_its_newest_message_is_kept() -> None:
    """G8."""
    async with opened(remembering, conversation_bytes=10_000) as registry:
        for size in (4_000, 5_000, 6_000, 20_000):
            await (await registry.send("s1", "x" * size)).ended()
        conversation = await registry.messages("s1")
        assert ([len(text) for text in conversation.messages], conversation.omitted) == ([20_000], 3)


# -- A precondition, and the epoch ------------------------------------------------------------------


async def test_a_send_may_be_meant_for_the_session_as_its_sender_knows_it() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        with pytest.raises(PreconditionFailed):
            await registry.send("s1", "hello", if_match="t0")
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        with pytest.raises(PreconditionFailed):
            await registry.send("s1", "hello", if_match="t0")
        assert not run.turn.cancel_requested
        receipt = await registry.send("s1", "again", turn_id="t2", if_match="t1")
        assert receipt.superseded is not None
        assert receipt.superseded.turn_id == "t1"
        # The first try may be what made it fail.
        assert (await registry.send("s1", "again", turn_id="t2", if_match="t1")).repeated


async def test_the_epoch_of_a_send_that_waits_is_there_once_its_turn_has_started() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        first = await registry.send("s1", "one")
        run = await agent.run()
        waiting = await registry.send("s1", "two", turn_id="t2", wait=False)
        dropped, waiting = waiting, await registry.send("s1", "three", turn_id="t3", wait=False)
        assert (waiting.epoch, dropped.epoch) == (None, None)
        run.finish()
        turn = (await agent.run()).turn
        assert waiting.epoch == turn.epoch > (first.epoch or 0)
        assert dropped.epoch is None
        agent.last.finish()
        await waiting.ended()
        await registry.cleanup()
        assert waiting.epoch == turn.epoch


# -- Idempotency keys -------------------------------------------------------------------------------


async def test_a_send_with_the_same_key_finds_the_same_turn_while_it_runs_and_after_it() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        first = await registry.send("s1", "hello", user="ada", key="k")
        run = await agent.run()
        again = await registry.send("s1", "hello", user="ada", key="k", strategy="reject", timeout=9)
        assert (again.repeated, again.turn_id, again.epoch) == (True, first.turn_id, first.epoch)
        run.finish("here")
        assert await again.result() == await first.result() == "here"
        late = await registry.send("s1", "hello", user="ada", key="k")
        assert (late.repeated, late.status, await late.result()) == (True, TurnStatus.COMPLETED, "here")
        assert len(agent.runs) == 1


async def test_a_key_stands_for_one_message_of_one_user_in_one_session() -> None:
    agent = ScriptedAgent()
    async with opened({"default": agent, "other": agent}) as registry:
        first = await registry.send("s1", "hello", user="ada", key="k")
        for message, name in (("other", None), ("hello", "other")):
            with pytest.raises(IdempotencyKeyReused, match=first.turn_id):
                await registry.send("s1", message, agent=name, user="ada", key="k")
        # The host's own code sends for no user.
        made = [
            first,
            await registry.send("s2", "x", user="ada", key="k"),
            await registry.send("s1", "x", key="k"),
        ]
        assert len({receipt.turn_id for receipt in made}) == len(agent.runs) == 3


async def test_a_key_and_a_turn_id_stand_for_what_was_said_beside_the_message_too() -> None:
    async with opened(done) as registry:
        first = await registry.send("s1", "hello", user="ada", key="k", params={"a": 1, "b": 2})
        again = await registry.send("s1", "hello", user="ada", key="k", params={"b": 2, "a": 1})
        assert (again.repeated, again.turn_id) == (True, first.turn_id)
        for other in (None, {"a": 1}, {"a": 1, "b": "2"}):
            with pytest.raises(IdempotencyKeyReused):
                await registry.send("s1", "hello", user="ada", key="k", params=other)
            with pytest.raises(TurnIdReused):
                await registry.send("s1", "hello", user="ada", turn_id=first.turn_id, params=other)
        await registry.send("s1", "hello", user="ada", turn_id="t", params={})
        assert (await registry.send("s1", "hello", user="ada", turn_id="t")).repeated


async def test_a_key_is_a_turn_id_and_goes_without_another_one() -> None:
    async with opened(done) as registry:
        with pytest.raises(InvalidRequest) as caught:
            await registry.send("s1", "hello", key="k", turn_id="t1")
        assert caught.value.field == "key"
        first = await registry.send("s1", "hello", user="ada", key="k")
        assert (await registry.send("s1", "hello", user="ada", turn_id=first.turn_id)).repeated


async def test_a_send_whose_keyed_turn_was_cancelled_before_it_is_over() -> None:
    async with opened(done) as registry:
        turn = ids.keyed_turn_id("ada", SessionId("s1"), "k")
        await registry.cancel("s1", turn, user="ada")
        receipt = await registry.send("s1", "hello", user="ada", key="k")
        assert (receipt.turn_id, receipt.status) == (turn, TurnStatus.CANCELLED)


# -- The result of a turn that has ended ------------------------------------------------------------


async def returning(turn: Turn) -> Any:
    match turn.text.split():
        case ["none"]:
            return None
        case ["list"]:
            return ["x", {"n": 1}]
        case ["text", size]:
            return "x" * int(size)
        case ["object"]:
            return OPAQUE
        case _:
            raise ValueError("no")


OPAQUE = object()


async def again(registry: SessionRegistry, turn_id: str, text: str) -> Any:
    """What a retry gets after the end."""
    await (await registry.send("s1", text, turn_id=turn_id)).ended()
    receipt = await registry.send("s1", text, turn_id=turn_id)
    assert receipt.repeated
    return await receipt.result()


@pytest.mark.parametrize(
    ("text", "result"),
    [("none", None), ("list", ["x", {"n": 1}]), ("text 10", "x" * 10), ("object", OPAQUE)],
    ids=["none", "list", "text", "object"],
)
async def test_the_result_of_a_turn_is_there_for_those_who_ask_after_its_end(text: str, result: Any) -> None:
    async with opened(returning) as registry:
        assert await again(registry, "t1", text) == result
        await registry.cleanup()
        end = await registry.ask(AwaitTurn("s1", "t1"))
        assert end.outcome == Returned(result)


async def test_a_result_that_is_too_large_is_not_kept_and_that_is_said() -> None:
    """G8."""
    async with opened(returning, kept_result=1_000) as registry:
        with pytest.raises(ResultNotKept) as caught:
            await again(registry, "t1", "text 1000")
        assert (caught.value.code, caught.value.turn_id) == ("RESULT_NOT_KEPT", "t1")
        kept = (await registry.turn("s1", "t1")).result
        assert kept == KeptResult(None, 0, left_out=True)
        assert (await registry.counts()).counters["results_not_kept_total"] == 1
        first = await registry.send("s1", "text 2000")
        assert len(await first.result()) == 2_000  # who waited gets it whole
        assert len(await again(registry, "t2", "text 900")) == 900


async def test_a_turn_that_failed_has_no_result_and_neither_has_one_that_never_started() -> None:
    async with opened(returning) as registry:
        with pytest.raises(TurnFailed):
            await again(registry, "t1", "raise")
        assert (await registry.turn("s1", "t1")).result is None
        assert (await registry.ask(AwaitTurn("s1", "t1"))).outcome is None


async def test_results_count_as_kept_until_their_records_are_forgotten() -> None:
    """G8."""
    async with opened(returning, kept_turns=2, log_events=1, record=False) as registry:

        async def kept() -> int:
            return (await registry.counts()).kept

        await (await registry.send("s1", "none")).ended()
        before = await kept()
        sizes = []
        for size in (10_000, 20_000, 30_000):
            await (await registry.send("s1", f"text {size}")).ended()
            for _ in range(2):
                await (await registry.send("s2", "none")).ended()
            sizes.append(await kept() - before)
        assert [round(size, -4) for size in sizes] == [20_000, 50_000, 80_000]
        for _ in range(2):
            await (await registry.send("s1", "none")).ended()
        assert await kept() - before < 1_000
        await registry.close("s1", free=True)
        await registry.close("s2", free=True)
        await settle()
        assert await kept() == 0


async def test_params_count_as_kept_while_their_turn_waits_runs_and_is_remembered() -> None:
    """G8."""
    agent = ScriptedAgent()
    async with opened(agent, kept_turns=2, log_events=1, record=False) as registry:

        async def kept() -> int:
            return round((await registry.counts()).kept, -4)

        async def send(size: int) -> None:
            await registry.send("s1", "x", strategy="enqueue", params={"x": "a" * size})

        assert await kept() == 0
        await send(20_000)
        assert await kept() == 20_000
        await send(30_000)
        assert await kept() == 50_000
        for left in (50_000, 50_000):
            (await agent.run()).finish()
            await settle()
            assert await kept() == left
        for left in (30_000, 0):
            await registry.send("s1", "x")
            (await agent.run()).finish()
            await settle()
            assert await kept() == left


async def test_a_send_or_cancel_at_the_end_of_a_deep_stack_costs_the_registry_nothing() -> None:
    """G14. A handler that met a RecursionError there would leave half of its work undone."""

    async def deep(depth: int, session: str) -> None:
        if depth:
            await deep(depth - 1, session)
            return
        await registry.send(session, "hello")
        await registry.cancel(session)

    depths = range(sys.getrecursionlimit() - 200, sys.getrecursionlimit())
    async with opened(ScriptedAgent()) as registry:
        for depth in depths:
            with suppress(RecursionError):
                await deep(depth, f"s{depth}")
        for depth in depths:
            receipt = await registry.send(f"s{depth}", "hello")
            await registry.cancel(f"s{depth}")
            assert (await receipt.ended()).status is TurnStatus.CANCELLED

        assert not registry.directory.opening
        assert registry.directory.ledger.in_all.turns == 0


# -- Policies -----------------------------------------------------------------------------------------


async def test_a_turn_is_run_as_the_host_says_of_its_agent_and_user_and_keeps_that() -> None:
    agent = ScriptedAgent()
    agents = {"default": agent, "coder": Agent(agent, cancel_grace=30, turn_timeout=60)}
    async with opened(agents, users={"ada": {"cancel_grace": 3}}, turn_timeout=600) as registry:
        for session, user, name, grace in (
            ("s1", "ada", "coder", Decided(3.0, Layer.USER, "ada")),
            ("s2", "bob", "coder", Decided(30.0, Layer.AGENT, "coder")),
            ("s3", "bob", "default", Decided(5.0, Layer.DEFAULT)),
        ):
            receipt = await registry.send(session, "hello", user=user, agent=name)
            await agent.run()
            record = await registry.turn(session, receipt.turn_id)
            assert record.policy.decided("cancel_grace") == grace
            await registry.cancel(session)
            assert (await registry.turn(session, receipt.turn_id)).policy == record.policy


async def test_a_send_says_how_its_turn_is_run_and_narrows_what_bounds_it() -> None:
    async with opened(Agent(remembering, turn_timeout=60)) as registry:
        receipt = await registry.send("s1", "hello", timeout=600, policy={"stall_timeout": 20})
        policy = (await receipt.ended()).policy
        assert policy.decided("turn_timeout") == Decided(60.0, Layer.AGENT, "default", 600.0)
        assert policy.decided("stall_timeout") == Decided(20.0, Layer.REQUEST)
        with pytest.raises(PolicyNotAllowed):
            await registry.send("s1", "hello", policy={"priority": "interactive"})


async def test_what_holds_for_the_sends_of_a_sessions_owner_can_be_asked() -> None:
    agents = {"default": remembering, "coder": Agent(remembering, strategy="reject")}
    async with opened(agents, users={"ada": {"queue_limit": 3}}) as registry:
        await (await registry.send("s1", "hello", user="ada")).ended()
        view = await registry.policy("s1", user="ada", agent="coder")
        assert (view.user, view.agent, "strategy" in view.may_be_set) == ("ada", "coder", True)
        assert view.policy.decided("strategy") == Decided(Strategy.REJECT, Layer.AGENT, "coder")
        assert (await registry.policy("s1")).policy.decided("queue_limit") == Decided(3, Layer.USER, "ada")
        with pytest.raises(UnknownSession):
            await registry.policy("s1", user="bob")
        with pytest.raises(UnknownAgent):
            await registry.policy("s1", agent="nobody")


async def test_what_the_host_says_anew_holds_for_the_sends_from_then_on() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        before = await registry.send("s1", "hello", user="ada")
        await agent.run()
        await registry.set_policy(Layer.USER, "ada", {"strategy": "reject", "cancel_grace": 1})
        assert (await registry.turn("s1", before.turn_id)).policy.cancel_grace == 5
        after = await registry.send("s2", "hello", user="ada")
        assert after.turn_id != before.turn_id
        assert (await registry.turn("s2", after.turn_id)).policy.cancel_grace == 1
        with pytest.raises(ScopeMissing):
            await registry.ask(SetPolicy(Layer.USER, "ada", {}, Asker("ada")))
