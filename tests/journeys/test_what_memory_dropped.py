"""What memory has dropped comes over HTTP from a file of chats, once and in order (G7)."""

from pathlib import Path
from typing import Any

from tests.fakes import ScriptedAgent, chatty
from tests.web.fakes_web import House, serving
from turnkeeper.web.client.client import Client

MANY = 600


async def all_of(house: House, path: str, after: str = "0") -> list[Any]:
    """All that an EventSource gets, which comes back with its last id until nothing is left."""
    found: list[Any] = []
    for _ in range(200):
        async with house.stream(path, headers={"Last-Event-ID": after}) as stream:
            await stream.rest()
        found += stream.seen
        after = stream.ids[-1] if stream.ids else after
        if "close" in stream.names:
            return found
    raise AssertionError("it never comes to an end")


async def test_a_slow_reader_of_a_long_turn_sees_every_event_once(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    async with serving(agent, journal=tmp_path / "chats.db", log_events=50, flush_interval=0.01) as house:
        await house.sent("s", task_id="t1")
        run = await agent.run()
        for n in range(MANY):
            run.turn.emit("delta", {"text": "x" * 100, "n": n})
        async with house.stream("s/turns/t1") as stream:
            await stream.rest()
        assert "close" not in stream.names
        run.finish()
        seen = [*stream.seen, *await all_of(house, "s/turns/t1", stream.ids[-1])]
        assert [each.json["n"] for each in seen if each.event == "delta"] == list(range(MANY))
        assert [each.event for each in (seen[0], *seen[-2:])] == ["turn.started", "turn.completed", "close"]


async def test_a_reader_from_the_beginning_gets_everything_after_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "chats.db"
    async with serving(chatty, journal=journal) as house:
        for turn_id in ("t1", "t2"):
            await (await house.registry.send("s", str(MANY), turn_id=turn_id)).ended()
    async with serving(chatty, journal=journal, log_events=50, kept_turns=1) as house:
        turn = ["turn.started", *MANY * ["word"], "turn.completed"]
        async with Client(house.url("")) as client:
            assert [event.name async for event in client.kept("s")] == 2 * turn
        first = await all_of(house, "s/turns/t1")
        assert [each.event for each in first] == [*turn, "close"]
        assert [each.json for each in first if each.event == "word"] == list(range(MANY))
        last = {"Last-Event-ID": first[-1].last_event_id}
        assert (await house.get("/chat/s/turns/t1/events", headers=last)).status == 204
