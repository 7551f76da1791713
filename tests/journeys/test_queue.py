"""Turns that wait for their session, over HTTP: sent, seen, moved, edited and cancelled (G3, G8, G11)."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, virtual_time
from tests.web.fakes_web import Answer, House, serving, until

NAMES = ["t1", "t2", "t3"]


async def busy(house: House, **more: Any) -> None:
    """A turn runs in ``s``, and three wait behind it."""
    await house.sent("s", "hold", task_id="t0")
    for name in NAMES:
        await house.sent("s", f"say {name}", task_id=name, multitask_strategy="enqueue", **more)


async def queue(house: House) -> list[str]:
    return ids(await house.get("/chat/s/queue"))


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [each["task_id"] for each in answer.body["queue"]]


async def change(house: House, task: str, **what: Any) -> Answer:
    return await house.patch(f"/chat/s/turns/{task}", json=what)


async def test_a_send_is_answered_with_its_place_and_what_it_waits_for() -> None:
    async with serving(ScriptedAgent()) as house:
        started = await house.send("s", task_id="t0")
        assert not {"position", "waits_for", "not_before"} & started.body.keys()
        for place, name in enumerate(NAMES, 1):
            said = (await house.send("s", task_id=name, multitask_strategy="enqueue")).body
            assert (said["task_status"], said["position"], said["waits_for"]) == (
                "queued",
                place,
                "session_busy",
            )
            assert "not_before" not in said
        again = (await house.send("s", task_id="t2", multitask_strategy="enqueue")).body
        assert (again["repeated"], again["position"]) == (True, 2)


async def test_the_queue_shows_each_turn_with_its_place_and_message() -> None:
    async with serving(ScriptedAgent()) as house:
        await busy(house)
        body = (await house.get("/chat/s/queue")).body
        assert (body["status"], body["log_id"]) == ("ok", "s")
        shown = [(each["task_id"], each["position"], each["message"]) for each in body["queue"]]
        assert shown == [(name, place, f"say {name}") for place, name in enumerate(NAMES, 1)]
        assert {each["status"] for each in body["queue"]} == {"queued"}


async def test_those_who_wait_start_in_their_order() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await busy(house)
        for count in range(1, 4):
            agent.runs[-1].finish()
            await until(lambda count=count: len(agent.runs) > count)
        assert [run.turn.turn_id for run in agent.runs] == ["t0", *NAMES]


@pytest.mark.parametrize(
    ("path", "cleared"),
    [
        ("/chat/s/t0/cancel", []),
        ("/chat/s/t0/cancel?queue=clear", NAMES),
        ("/chat/s/cancel_send_task", NAMES),
        ("/chat/s/cancel_send_task?queue=keep", []),
        ("/chat/s/t2/cancel", []),
        ("/chat/s/t2/cancel?queue=clear", ["t1", "t3"]),
    ],
)
async def test_a_cancel_keeps_or_clears_the_queue_and_says_what_it_cleared(
    path: str, cleared: list[str]
) -> None:
    """G3."""
    async with serving(ScriptedAgent()) as house:
        await busy(house)
        answer = await house.post(path)
        assert (answer.body["verdict"], answer.body["cleared"]) == ("cancelled", cleared)
        for name in cleared:
            assert (await house.get(f"/chat/s/turns/{name}")).body["status"] == "cancelled"
        left = [name for name in NAMES if name not in [*cleared, "t2"]] if "/t2/" in path else []
        if "/t0/cancel" in path or "task" in path:
            left = [] if cleared else ["t2", "t3"]
        assert await queue(house) == left


async def test_a_cancel_of_what_does_not_exist_clears_nothing() -> None:
    async with serving(ScriptedAgent()) as house:
        await busy(house)
        answer = await house.post("/chat/s/unknown/cancel?queue=clear")
        assert (answer.status, answer.body["cleared"]) == (404, [])
        assert await queue(house) == NAMES
        answer = await house.post("/chat/s/t0/cancel?queue=some")
        assert (answer.status, answer.body["field"]) == (422, "queue")


async def test_a_turn_for_later_waits_for_its_moment() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        said = (await house.send("s", task_id="t1", after_seconds=3600)).body
        assert (said["task_status"], said["waits_for"]) == ("queued", "not_before")
        assert "position" not in said
        (waiting,) = (await house.get("/chat/s/queue")).body["queue"]
        assert waiting["position"] is None
        assert waiting["not_before"] == said["not_before"]
        assert waiting["not_before"] - waiting["submitted_at"] == pytest.approx(3600)
        assert agent.runs == []
        (moved,) = (await change(house, "t1", move="first")).body["queue"]
        assert (moved["position"], moved["waits_for"], moved["not_before"]) == (0, "start", None)
        await until(lambda: len(agent.runs) == 1)


async def test_a_turn_for_later_starts_at_its_moment_by_its_strategy_then() -> None:
    agent = ScriptedAgent()
    async with virtual_time() as clock, serving(agent) as house:
        said = (await house.send("s", task_id="t1", after_seconds=3600, multitask_strategy="interrupt")).body
        await clock.advance(3599)
        await house.sent("s", task_id="t0")
        assert [run.turn.turn_id for run in agent.runs] == ["t0"]
        await clock.advance(2)
        assert [run.turn.turn_id for run in agent.runs] == ["t0", "t1"]
        turn = (await house.get("/chat/s/turns/t1")).body
        assert turn["started_at"] == pytest.approx(said["not_before"], abs=0.5)
        assert (await house.get("/chat/s/turns/t0")).body["superseded_by"] == "t1"


@pytest.mark.parametrize("seconds", [-1, "soon", 1e9])
async def test_a_moment_that_is_none_is_refused(seconds: Any) -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.send("s", after_seconds=seconds)
        assert (answer.status, answer.body["field"]) == (422, "after_seconds")


async def test_a_full_queue_refuses_or_makes_room() -> None:
    """G8."""
    async with serving(ScriptedAgent(), queue_limit=3) as house:
        await busy(house)
        refused = await house.send("s", multitask_strategy="enqueue")
        assert (refused.status, refused.code) == (429, "QUEUE_FULL")
        assert int(refused.headers["Retry-After"]) >= 1
        await house.sent("s", task_id="t4", multitask_strategy="enqueue", on_full="drop_oldest")
        assert await queue(house) == ["t2", "t3", "t4"]
        dropped = (await house.get("/chat/s/turns/t1")).body
        assert (dropped["status"], dropped["superseded_by"]) == ("cancelled", "t4")


async def test_a_turn_is_moved_first_and_last() -> None:
    async with serving(ScriptedAgent()) as house:
        await busy(house)
        assert ids(await change(house, "t3", move="first")) == ["t3", "t1", "t2"]
        assert ids(await change(house, "t3", move="last")) == NAMES
        assert await queue(house) == NAMES


async def test_a_turn_is_moved_into_the_place_of_the_one_in_flight() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await busy(house)
        await change(house, "t3", move="now")
        await until(lambda: len(agent.runs) == 2)
        assert agent.runs[1].turn.turn_id == "t3"
        assert (await house.get("/chat/s/turns/t0")).body["reason"]["code"] == "superseded"
        assert await queue(house) == ["t1", "t2"]


async def test_a_turn_that_waits_is_given_another_message_and_keeps_its_place() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await busy(house)
        body = (await change(house, "t1", message="rather this")).body
        assert [each["message"] for each in body["queue"]] == ["rather this", "say t2", "say t3"]
        retry = (await house.send("s", "say t1", task_id="t1", multitask_strategy="enqueue")).body
        assert retry["repeated"]
        agent.runs[0].finish()
        await until(lambda: len(agent.runs) == 2)
        assert agent.runs[1].turn.message == "rather this"


@pytest.mark.parametrize("durable", [False, True], ids=["in memory", "with a journal"])
async def test_who_reads_a_session_hears_what_a_turn_says_that_is_edited(
    tmp_path: Path, *, durable: bool
) -> None:
    """An edit moves no cursor, and a large part of it is shown as everywhere; a move is no edit."""
    journal = {"journal": tmp_path / "journal.sqlite"} if durable else {}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 70_000}}
    async with serving(ScriptedAgent(), **journal) as house:
        await busy(house)
        async with house.stream("s") as stream:
            await stream.until("snapshot")
            await change(house, "t3", move="first")
            await change(house, "t1", message="rather this")
            edited = await stream.until("turn.edited")
            assert edited.json == {"task_id": "t1", "by": "local", "message": "rather this"}
            assert edited.own_id is None
            assert stream.names.count("turn.edited") == 1
            await change(house, "t2", message=[{"type": "text", "text": "like this"}, image])
            text, elided = (await stream.until("turn.edited")).json["message"]
            assert text == {"type": "text", "text": "like this"}
            assert (elided["type"], elided["elided"], elided["bytes"] > 70_000) == ("image_url", True, True)


@pytest.mark.parametrize(
    ("task", "what", "status", "code"),
    [
        ("unknown", {"move": "first"}, 404, "UNKNOWN_TURN"),
        ("t0", {"move": "first"}, 409, "NOT_WAITING"),
        ("t0", {"message": "late"}, 409, "NOT_WAITING"),
        ("t1", {}, 422, "INVALID_REQUEST"),
        ("t1", {"move": "first", "message": "both"}, 422, "INVALID_REQUEST"),
        ("t1", {"move": "up"}, 422, "INVALID_REQUEST"),
        ("t1", {"message": []}, 422, "INVALID_REQUEST"),
        ("t1", {"place": 1}, 422, "INVALID_REQUEST"),
    ],
)
async def test_a_change_that_cannot_be_made_changes_nothing(
    task: str, what: dict[str, Any], status: int, code: str
) -> None:
    async with serving(ScriptedAgent()) as house:
        await busy(house)
        before = (await house.get("/chat/s/queue")).body
        answer = await change(house, task, **what)
        assert (answer.status, answer.code) == (status, code)
        assert (await house.get("/chat/s/queue")).body == before


async def test_the_queue_of_an_unknown_session_is_unknown() -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.get("/chat/unknown/queue")
        assert (answer.status, answer.code) == (404, "UNKNOWN_SESSION")


async def test_the_queue_outlives_the_process_in_its_order(tmp_path: Path) -> None:
    """G11."""
    path = tmp_path / "journal.sqlite"
    async with serving(ScriptedAgent(), journal=path) as house:
        await busy(house)
        await change(house, "t3", move="first")
        await change(house, "t1", message="rather this")
        await house.sent("s", task_id="later", after_seconds=3600)
        await house.registry.drain()
    agent = ScriptedAgent()
    async with serving(agent, journal=path) as house:
        await until(lambda: len(agent.runs) == 1)
        assert agent.runs[0].turn.turn_id == "t3"
        body = (await house.get("/chat/s/queue")).body
        assert [each["task_id"] for each in body["queue"]] == ["t1", "t2", "later"]
        assert body["queue"][0]["message"] == "rather this"


async def test_in_python_the_queue_is_read_moved_and_edited() -> None:
    async with serving(ScriptedAgent()) as house:
        await busy(house)
        registry = house.registry
        assert [each.turn.turn_id for each in await registry.queue("s")] == NAMES
        moved = await registry.move("s", "t3", "first")
        assert [(each.turn.turn_id, each.position) for each in moved] == [("t3", 1), ("t1", 2), ("t2", 3)]
        edited = await registry.edit("s", "t3", "rather this")
        assert edited[0].message == "rather this"
        answer = await registry.cancel("s", "t0", queue="clear")
        assert answer.cleared == ("t3", "t1", "t2")
