"""``turnkeeper admission``: how turns are let in, shown and changed."""

import json

import pytest

from tests.fakes import ScriptedAgent
from tests.web.command.terminal import said
from tests.web.fakes_web import by_token, serving
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.web.command.cli import main

pytestmark = pytest.mark.usefixtures("forks")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "say what to change"),
        (("--reset",), "--reset goes with"),
        (("--agent", "a", "--user", "b", "--on-cap", "wait"), "exclude each other"),
        (("--user", "ada"), "say what to change"),
        (("--max-of-agent", "many"), "must be a whole number, or none"),
        (("--max-of-agent", "-1"), "must be a whole number, or none"),
        (("--on-cap", "hope"), "'refuse'"),
        (("--priority", "urgent"), "'interactive'"),
    ],
)
def test_what_does_not_say_clearly_what_to_change_is_wrong(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admission", "set", *arguments]) == 2
    assert text in capsys.readouterr().err


async def test_without_more_it_shows_what_there_is() -> None:
    async with serving(ScriptedAgent(), on_cap="wait", max_in_flight_in_all=1) as house:
        await house.sent("s1")
        await house.sent("s2")
        short, long = (
            await said("admission", url=house.url("")),
            await said("admission", "show", url=house.url("")),
        )
        assert (short.code, short.out) == (0, long.out)
        rows = [line.split() for line in short.out.splitlines()]
        assert ["max_in_flight_in_all", "1"] in rows
        assert ["turns", "in", "flight", "1"] in rows
        assert ["normal,", "for", "the", "server_cap", "1"] in rows


async def test_what_is_given_changes_of_all_of_an_agent_and_of_a_user() -> None:
    agents = {"default": ScriptedAgent(), "coder": Agent(ScriptedAgent(), max_of_agent=2, cancel_grace=9)}
    async with serving(agents) as house:

        async def change(*arguments: str) -> dict[str, object]:
            answer = await said("admission", "set", *arguments, "--json", url=house.url(""))
            assert answer.code == 0, answer.err
            found: dict[str, object] = json.loads(answer.out)
            return found

        found = await change("--max-in-flight-in-all", "20", "--on-cap", "wait", "--lane-aging", "2.5")
        assert (found["max_in_flight_in_all"], found["on_cap"], found["lane_aging"]) == (20, "wait", 2.5)
        await change("--agent", "coder", "--priority", "background")
        found = await change("--agent", "coder", "--max-of-agent", "none")
        assert found["agents"] == {"default": {}, "coder": {"max_of_agent": None, "priority": "background"}}
        assert (await change("--agent", "coder", "--reset"))["agents"] == {"default": {}, "coder": {}}
        assert (await change("--user", "ada", "--max-in-flight", "2"))["users"] == {
            "ada": {"max_in_flight": 2}
        }
        assert (await change("--user", "ada", "--reset", "--on-cap", "wait"))["users"] == {
            "ada": {"on_cap": "wait"}
        }
        assert (await change("--user", "ada", "--reset"))["users"] == {}
        assert found["max_in_flight_in_all"] == 20


async def test_what_the_server_refuses_is_said_in_one_line() -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        for token, arguments, code, text in [
            ("ada-token", (), 4, "only an admin"),
            ("root-token", ("set", "--max-waiting", "0"), 2, "max_waiting must be a whole number from 1"),
            (
                "root-token",
                ("set", "--agent", "nobody", "--on-cap", "wait"),
                2,
                "no agent is called 'nobody'",
            ),
        ]:
            answer = await said("admission", *arguments, url=house.url(""), token=token)
            assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
            assert text in answer.err
