"""Trees of turns, over HTTP: seen, stopped as one, and shown by the command (G3, G5, G12)."""

from typing import Any

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import House, serving
from turnkeeper.actors import Turn
from turnkeeper.web.command.tables import turns_table


async def two_levels(turn: Turn) -> Any:
    """An agent that sends on to the sessions that its message names."""
    first, _, rest = turn.text.partition(" ")
    return await turn.send(first, rest or "go", agent="default" if rest else "leaf")


async def grown(house: House, leaf: ScriptedAgent) -> str:
    """A tree of three turns: in the sessions ``s1``, ``s2`` and ``s3``."""
    await house.sent("s1", "s2 s3", task_id="t1")
    run = await leaf.run()
    return run.turn.turn_id


async def test_the_lists_of_turns_in_flight_show_the_tree() -> None:
    leaf = ScriptedAgent()
    async with serving({"default": two_levels, "leaf": leaf}) as house:
        deepest = await grown(house, leaf)
        listed = (await house.get("/chat/active_send_tasks")).body["active_tasks"]
        assert "parent" not in listed["s1"]
        assert listed["s2"]["parent"] == {"log_id": "s1", "task_id": "t1"}
        middle = listed["s2"]["task_id"]
        assert listed["s3"]["parent"] == {"log_id": "s2", "task_id": middle}
        active = (await house.get("/chat/s2/active_tasks")).body["active_tasks"]
        assert active["parent"] == {"log_id": "s1", "task_id": "t1"}
        assert active["children"] == [{"log_id": "s3", "task_id": deepest}]
        rows = [row[0] for row in turns_table(listed, 200).rows]
        assert rows == ["s1", "└ s2", "  └ s3"]
        leaf.release()


async def test_a_turn_of_a_tree_shows_both_ways_and_says_when_it_sent() -> None:
    leaf = ScriptedAgent()
    async with serving({"default": two_levels, "leaf": leaf}) as house:
        await grown(house, leaf)
        leaf.last.finish("found")
        async with house.stream("s1", "?last_event_id=0") as stream:
            ended = (await stream.until("turn.completed")).json
        assert (ended["result"], ended["children"][0]["log_id"]) == ("found", "s2")
        child = (await house.get(f"/chat/s2/turns/{ended['children'][0]['task_id']}")).body
        assert child["parent"] == {"log_id": "s1", "task_id": "t1"}
        assert child["policy"]["on_cap"] == {"value": "refuse", "layer": "default", "name": None}
        turn = (await house.get("/chat/s1/turns/t1")).body
        steps = [each for each in turn["timeline"] if each["step"].startswith("child_")]
        assert [(each["step"], each["turn"]["log_id"], each.get("status")) for each in steps] == [
            ("child_sent", "s2", None),
            ("child_ended", "s2", "completed"),
        ]


async def test_a_stop_of_the_first_turn_stops_the_whole_tree() -> None:
    leaf = ScriptedAgent()
    async with serving({"default": two_levels, "leaf": leaf}) as house:
        deepest = await grown(house, leaf)
        answer = await house.post("/chat/s1/t1/cancel")
        assert (answer.status, answer.body["verdict"]) == (200, "cancelled")
        turn = (await house.get(f"/chat/s3/turns/{deepest}")).body
        assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "parent_cancelled")
        assert (await house.get("/chat/active_send_tasks")).body["active_tasks"] == {}


async def test_the_stream_of_a_child_says_at_its_start_which_turn_sent_for_it() -> None:
    leaf = ScriptedAgent()
    async with serving({"default": two_levels, "leaf": leaf}) as house:
        await grown(house, leaf)
        async with house.stream("s2", "?last_event_id=0") as stream:
            started = (await stream.until("turn.started")).json
        assert started["parent"] == {"log_id": "s1", "task_id": "t1"}
        leaf.release()
