"""Many turns stopped from code on the event loop."""

import asyncio

import pytest

from tests.fakes import ScriptedAgent, opened
from turnkeeper.actors.model.exceptions import InvalidRequest, UnknownAgent, WaitsForItself
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.turn.turn import Turn


async def test_each_word_of_the_call_is_one_of_the_message() -> None:
    agent = ScriptedAgent()
    async with opened({"default": agent, "coder": agent}) as registry:
        for session, user, name in (("a", "ada", "coder"), ("b", "bob", "coder"), ("c", "ada", "default")):
            await registry.send(session, "hello", user=user, agent=name, strategy="reject")

        async def found(**said: object) -> list[str]:
            answer = await registry.cancel_many(dry_run=True, **said)  # type: ignore[arg-type]
            return [each.session_id for each in answer.results]

        assert await found(all=True) == ["a", "b", "c"]
        assert await found(sessions=(name for name in "ac")) == ["a", "c"]
        assert await found(owner="ada", agent="coder") == ["a"]
        named = [(each.session_id, each.turn_id) for each in await registry.active(user="ada")]
        assert sorted(await found(turns=named)) == ["a", "c"]
        assert await found(state="running", strategy="reject", older_than=0) == ["a", "b", "c"]
        assert await found(strategy="interrupt") == []
        assert await found(all=True, as_of=1.0) == []
        assert await found(all=True, limit=1, user="bob") == ["b"]
        answer = await registry.cancel_many(owner="bob", text="enough", code=CancelCode.POLICY, within=5)
        assert [each.verdict for each in answer.results] == [Verdict.CANCELLED]
        (turn,) = (await registry.session("b")).recent
        assert turn.reason is not None
        assert (turn.reason.code, turn.reason.text) == (CancelCode.POLICY, "enough")


async def test_nothing_is_stopped_without_a_word_that_says_what() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("a", "hello")
        run = await agent.run()
        with pytest.raises(InvalidRequest):
            await registry.cancel_many()
        with pytest.raises(UnknownAgent):
            await registry.cancel_many(agent="nobody")
        with pytest.raises(InvalidRequest):
            await registry.cancel_many(all=True, within=-1)
        assert not run.turn.cancel_requested


async def test_a_turn_that_would_wait_for_its_own_end_is_refused() -> None:
    refused = asyncio.Event()

    async def agent(_turn: Turn) -> None:
        with pytest.raises(WaitsForItself):
            await registry.cancel_many(all=True)
        assert (await registry.cancel_many(all=True, dry_run=True)).matched == 1
        refused.set()
        await registry.cancel_many(all=True, wait=False)
        await asyncio.Event().wait()

    async with opened(agent) as registry:
        receipt = await registry.send("a", "hello")
        assert (await receipt.ended()).status is TurnStatus.CANCELLED
        assert refused.is_set()
