"""Tests of an agent: what it says, how it is stopped, and a Stop at each of its awaits."""

import asyncio

from turnkeeper.actors import Turn
from turnkeeper.actors.testing import FakeTurn, VirtualClock, cancel_at_every_await


async def agent(turn: Turn) -> str:
    for word in turn.text.split():
        await asyncio.sleep(0.5)  # the model takes its time
        turn.emit("delta", {"text": word})
    return "done"


async def test_it_repeats_what_it_is_told(virtual_clock: VirtualClock) -> None:
    async with FakeTurn("one two") as turn:
        assert await turn.run(agent) == "done"
    assert turn.said == "onetwo"
    assert virtual_clock.elapsed == 1.0


async def test_a_stop_keeps_what_it_had_said(virtual_clock: VirtualClock) -> None:
    async with FakeTurn("one two") as turn:
        await turn.start(agent)
        await turn.until("delta")
        await turn.cancel()
    assert turn.status == "cancelled"
    assert turn.emitted == [("delta", {"text": "one"})]


async def test_it_can_be_stopped_at_any_moment() -> None:
    report = await cancel_at_every_await(agent, "one two")
    report.assert_clean()
