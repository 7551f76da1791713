"""A send that is retried with its key, across the end of the process (G11)."""

import asyncio
import signal
from pathlib import Path

from tests.web.fakes_web import Door, served
from turnkeeper.actors.turn.turn import Turn

ROOT = Path(__file__).parents[2]
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd"}


async def test_a_key_finds_its_turn_in_the_next_process_after_a_kill(tmp_path: Path) -> None:
    """G11."""
    data = ("--data", str(tmp_path / "turnkeeper.db"))
    async with served(*data) as (server, door):
        first = await door.sent("s", "hello", headers=KEY)
        async with door.stream("s", "?last_event_id=0") as stream:
            await stream.until("turn.completed")
        server.signal(signal.SIGKILL)
        await server.ended()
    async with served(*data) as (_, door):
        again = await door.send("s", "hello", headers=KEY)
        assert (again.status, again.body["task_id"], again.body["repeated"]) == (202, first, True)
        assert again.body["task_status"] == "completed"
        other = await door.send("s", "something else", headers=KEY)
        assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert len((await door.get("/chat/s/turns")).body["turns"]) == 1


async def endless(turn: Turn) -> None:
    """Speak, and then wait for what never comes."""
    turn.emit("delta", {"text": "one moment"})
    await asyncio.Event().wait()


async def test_a_key_finds_its_turn_that_a_kill_has_cut_off(tmp_path: Path) -> None:
    """G11."""
    data = ("--data", str(tmp_path / "turnkeeper.db"), "--agent", f"{__name__}:endless")
    async with served(*data, cwd=ROOT) as (server, door):
        first = await door.sent("s", "hello", headers=KEY)
        again = await door.send("s", "hello", headers=KEY)
        assert (again.body["task_status"], again.body["repeated"]) == ("running", True)
        server.signal(signal.SIGKILL)
        await server.ended()
    async with served(*data, cwd=ROOT) as (_, door):
        again = await door.send("s", "hello", headers=KEY)
        assert (again.body["task_id"], again.body["task_status"]) == (first, "interrupted")
        assert again.body["repeated"]


async def test_a_key_finds_its_turn_that_only_the_journal_still_has(tmp_path: Path) -> None:
    """G11: let go of by memory, in this process and in the next one."""
    data = ("--data", str(tmp_path / "turnkeeper.db"))
    async with served(*data, TURNKEEPER_KEPT_TURNS="1") as (_, door):
        first = await door.sent("s", "hello", headers=KEY)
        for text in ("one", "two"):
            await door.sent("s", text, multitask_strategy="enqueue")
        async with door.stream("s", "?last_event_id=0") as stream:
            for _ in range(3):
                await stream.until("turn.completed")
        assert await retried(door) == first
    async with served(*data, TURNKEEPER_KEPT_TURNS="1") as (_, door):
        assert await retried(door) == first
        assert len((await door.get("/chat/s/turns")).body["turns"]) == 3


async def retried(door: Door) -> str:
    """The turn that the key finds, and no other message does."""
    again = await door.send("s", "hello", headers=KEY)
    assert (again.status, again.body["repeated"], again.body["task_status"]) == (202, True, "completed")
    other = await door.send("s", "something else", headers=KEY)
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    task_id = again.body["task_id"]
    assert isinstance(task_id, str)
    return task_id
