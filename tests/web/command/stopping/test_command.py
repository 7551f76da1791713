"""What ``turnkeeper cancel`` takes."""

import pytest

from tests.fakes import ScriptedAgent
from tests.web.command.terminal import said
from tests.web.fakes_web import serving
from turnkeeper.web.command.cli import main

pytestmark = pytest.mark.usefixtures("forks")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "say what to stop"),
        (("--dry-run",), "say what to stop"),
        (("--yes", "--no-wait"), "say what to stop"),
        (("s1", "--user", "ada"), "SESSION stands alone"),
        (("s1", "t1", "--all"), "SESSION stands alone"),
        (("s1", "--dry-run"), "SESSION stands alone"),
        (("s1", "--older-than", "0"), "SESSION stands alone"),
        (("--session", "a b"), "must be 1 to 200"),
        (("--older-than", "soon"), "must be like 90s"),
        (("--state", "completed"), "'queued'"),
        (("--strategy", "queue"), "'interrupt'"),
        (("s1", "--queue", "drop"), "'keep'"),
    ],
)
def test_what_does_not_say_clearly_what_to_stop_is_wrong(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cancel", *arguments]) == 2
    assert text in capsys.readouterr().err


async def test_one_session_or_one_turn_is_stopped_as_ever() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        first, _ = await house.sent("a"), await house.sent("b")
        answer = await said("cancel", "a", first, url=house.url(""))
        assert answer.code == 0
        assert answer.out.startswith("cancelled after ")
        answer = await said("cancel", "b", "--json", url=house.url(""))
        assert answer.code == 0
        assert '"verdict": "cancelled"' in answer.out
        assert (await said("cancel", "b", url=house.url(""))).code == 5


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (("s",), []),
        (("s", "--queue", "clear"), []),
        (("s", "--queue", "keep"), ["t1", "t2"]),
        (("s", "t0"), ["t1", "t2"]),
        (("s", "t0", "--queue", "clear"), []),
        (("--state", "running", "--yes"), ["t1", "t2"]),
        (("--state", "running", "--yes", "--queue", "clear"), []),
    ],
)
async def test_the_queue_is_kept_or_cleared(arguments: tuple[str, ...], left: list[str]) -> None:
    """Of those that are left the first is in flight then."""
    async with serving(ScriptedAgent()) as house:
        for n, strategy in enumerate(("interrupt", "enqueue", "enqueue")):
            await house.sent("s", task_id=f"t{n}", multitask_strategy=strategy)
        answer = await said("cancel", *arguments, url=house.url(""))
        assert answer.code == 0, answer.err
        waiting = [each["task_id"] for each in (await house.get("/chat/s/queue")).body["queue"]]
        turn = (await house.get("/chat/s")).body["turn"]
        running = [] if turn is None or turn["ended_at"] else [turn["task_id"]]
        assert [*running, *waiting] == left
