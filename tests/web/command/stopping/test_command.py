"""What ``turnkeeper cancel`` takes."""

import pytest

from tests.fakes import ScriptedAgent
from tests.web.command.terminal import said
from tests.web.fakes_web import serving
from turnkeeper.web.command.cli import main


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
