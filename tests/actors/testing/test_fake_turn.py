"""FakeTurn: a turn of a test's own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from turnkeeper.actors import (
    Agent,
    AlreadyStarted,
    Context,
    EventsLost,
    InterruptedTurn,
    InvalidRequest,
    LoopClosed,
    Settings,
    Turn,
    TurnCancelled,
    TurnRecord,
    TurnStatus,
    Verdict,
)
from turnkeeper.actors.testing import FakeTurn, VirtualClock

SAID: tuple[Any, ...] = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"})


async def words(turn: Turn) -> str:
    for word in turn.text.split():
        await asyncio.sleep(1)
        turn.emit("delta", {"text": word})
    return f"{len(turn.context.messages)} before"


async def generated(turn: Turn) -> AsyncIterator[Any]:
    yield "one"
    yield "mood", ["good"]


async def fails(turn: Turn) -> None:
    raise ValueError("not today")


async def test_an_agent_runs_to_its_end_and_what_came_of_it_can_be_seen(virtual_clock: VirtualClock) -> None:
    async with FakeTurn("one two", messages=SAID, user="ada") as turn:
        assert await turn.run(words) == "2 before"
        assert turn.emitted == [("delta", {"text": "one"}), ("delta", {"text": "two"})]
        assert turn.said == "onetwo"
        assert turn.status is TurnStatus.COMPLETED
        assert turn.record.user == "ada"
        assert len(await turn.conversation()) == 4
    assert turn.status == "completed"
    assert turn.said == "onetwo"
    assert (await turn.conversation())[:2] == SAID


async def test_an_agent_is_cancelled_in_the_middle(virtual_clock: VirtualClock) -> None:
    async with FakeTurn("one two") as turn:
        await turn.start(words)
        assert await turn.until("delta") == {"text": "one"}
        answer = await turn.cancel(text="enough")
        assert answer.verdict is Verdict.CANCELLED
        with pytest.raises(TurnCancelled):
            await turn.result()
    assert turn.status is TurnStatus.CANCELLED
    assert turn.record.reason is not None
    assert turn.record.reason.text == "enough"
    assert [message.get("cut_off") for message in await turn.conversation()] == [None, True]


async def test_a_turn_that_still_runs_is_cancelled_at_the_end_of_the_block(
    virtual_clock: VirtualClock,
) -> None:
    async with FakeTurn("one two") as turn:
        await turn.start(words)
        assert turn.status is TurnStatus.RUNNING
    assert turn.status is TurnStatus.CANCELLED


async def test_what_the_agent_raises_the_test_gets() -> None:
    async with FakeTurn() as turn:
        with pytest.raises(ValueError, match="not today"):
            await turn.run(fails)
    assert turn.status is TurnStatus.FAILED


async def test_an_agent_of_every_kind_runs_and_its_policy_and_the_settings_hold(
    virtual_clock: VirtualClock,
) -> None:
    async with FakeTurn() as turn:
        assert await turn.run(generated) is None
        assert turn.emitted == [("delta", {"text": "one"}), ("mood", ["good"])]
    async with FakeTurn("a b c", settings=Settings(turn_timeout=2.5)) as turn:
        with pytest.raises(TurnCancelled):
            await turn.run(words)
        assert turn.status is TurnStatus.TIMED_OUT
    async with FakeTurn("a b c") as turn:
        with pytest.raises(TurnCancelled):
            await turn.run(Agent(words, max_events=1))
        assert turn.said == "a"


async def test_every_event_is_there_however_many_there_are() -> None:
    async def chatty(turn: Turn) -> None:
        for n in range(6_000):
            turn.emit("n", n)

    async with FakeTurn(settings=Settings(log_bytes=10_000_000)) as turn:
        await turn.run(chatty)
        assert [data for _, data in turn.emitted] == list(range(6_000))
    async with FakeTurn(settings=Settings(log_bytes=10_000)) as turn:
        await turn.run(chatty)
        with pytest.raises(EventsLost, match="log_bytes"):
            turn.emitted


async def test_a_host_that_keeps_conversations_itself_is_asked_and_told() -> None:
    saved: list[Any] = []

    async def load(session_id: str, user: str) -> Context:
        return Context(session_id, user)

    async def save(context: Context) -> None:
        saved.append(context.data)

    async def agent(turn: Turn) -> None:
        turn.context.data["n"] = 1

    async with FakeTurn(load_context=load, save_context=save) as turn:
        await turn.run(agent)
        assert await turn.conversation() == ()
    assert saved == [{"n": 1}]
    with pytest.raises(InvalidRequest, match="leave out"):
        FakeTurn(messages=SAID, load_context=load)


async def test_a_turn_may_send_to_other_agents() -> None:
    async def agent(turn: Turn) -> str:
        return str(await turn.send("other", "one two", agent="helper"))

    async def helper(turn: Turn) -> str:
        return turn.text.upper()

    async with FakeTurn(agents={"helper": helper}) as turn:
        assert await turn.run(agent) == "ONE TWO"
    with pytest.raises(InvalidRequest, match="the kit's own"):
        FakeTurn(agents={"agent": helper})


async def test_the_hooks_of_the_host_are_called_at_its_end(virtual_clock: VirtualClock) -> None:
    interrupted: list[InterruptedTurn] = []
    ended: list[TurnRecord] = []
    async with FakeTurn(
        "one two", messages=["before"], on_interrupt=interrupted.append, on_turn_end=ended.append
    ) as turn:
        await turn.start(words)
        await turn.until("delta")
        await turn.cancel()
        assert [each.partial for each in interrupted] == [turn.said]
        assert [record.status for record in ended] == [TurnStatus.CANCELLED]


async def test_waiting_for_an_event_that_does_not_come_ends_with_the_turn() -> None:
    async with FakeTurn() as turn:
        await turn.start(generated)
        with pytest.raises(AssertionError, match="ended as completed, and emitted no 'usage'"):
            await turn.until("usage")


async def test_misuse_has_its_own_errors() -> None:
    async with FakeTurn() as turn:
        assert turn.emitted == []
        assert repr(turn) == "<FakeTurn 'hello', not started>"
        for use in (turn.result, turn.cancel, lambda: turn.until("delta")):
            with pytest.raises(LoopClosed, match="not been started"):
                await use()
        with pytest.raises(LoopClosed):
            turn.status
        await turn.run(generated)
        with pytest.raises(AlreadyStarted):
            await turn.run(generated)
        assert repr(turn) == "<FakeTurn 'hello', completed>"
