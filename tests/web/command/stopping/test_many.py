"""Many turns found, shown and stopped from the command line."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent
from tests.web.command.terminal import CTRL_C, at_terminal, said
from tests.web.fakes_web import House, by_token, serving
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.command.stopping.many import CHUNK, exit_code_of

pytestmark = pytest.mark.usefixtures("forks")

ROOT = "root-token"


@asynccontextmanager
async def busy(agents: Any = None, count: int = 3, **settings: Any) -> AsyncIterator[House]:
    """A server with turns of ada's in s0, s1 and so on, and one of bob's in b."""
    async with serving(agents or ScriptedAgent(), authenticate=by_token, token=ROOT, **settings) as house:
        for number in range(count):
            await house.sent(f"s{number}", token="ada-token", task_id=f"t{number}")
        await house.sent("b", token="bob-token", task_id="tb")
        yield house


async def left(house: House) -> int:
    return (await house.registry.counts()).turns_in_flight


# -- In pipes ---------------------------------------------------------------------------------------


async def test_without_a_terminal_it_stops_without_asking_and_says_what_came_of_each() -> None:
    async with busy() as house:
        answer = await said("cancel", "--user", "ada", url=house.url(""), token=ROOT)
        assert (answer.code, answer.err) == (0, "")
        lines = answer.out.splitlines()
        assert lines[0].split() == ["SESSION", "USER", "AGENT", "TASK", "OUTCOME"]
        assert len(lines) == 4
        assert all(re.search(r"ada +default +t\d +cancelled after [\d.]+ ms$", line) for line in lines[1:])
        assert await left(house) == 1


async def test_a_dry_run_shows_what_would_be_stopped() -> None:
    async with busy() as house:
        answer = await said(
            "cancel", "--user", "ada", "--older-than", "0s", "--dry-run", url=house.url(""), token=ROOT
        )
        assert answer.code == 0
        assert [line.split()[-1] for line in answer.out.splitlines()] == ["STATE", *["running"] * 3]
        assert await left(house) == 4
        none = await said("cancel", "--older-than", "10m", "--dry-run", url=house.url(""), token=ROOT)
        assert (none.code, none.out, none.err) == (5, "", "turnkeeper: there are no such turns\n")


async def test_options_are_filters_that_must_all_fit() -> None:
    async with busy({"default": ScriptedAgent(), "coder": ScriptedAgent()}) as house:
        await house.sent("c", task_id="tc", agent="coder", multitask_strategy="reject")

        async def found(*options: str) -> list[str]:
            answer = await said("cancel", "--dry-run", "--json", *options, url=house.url(""), token=ROOT)
            return sorted(each["task_id"] for each in json.loads(answer.out)["results"])

        assert await found("--all") == ["t0", "t1", "t2", "tb", "tc"]
        assert await found("--session", "s0", "--session", "b") == ["t0", "tb"]
        assert await found("--session", "s0", "--session", "b", "--user", "bob") == ["tb"]
        assert await found("--agent", "coder") == ["tc"]
        assert await found("--strategy", "reject", "--state", "running") == ["tc"]
        assert await found("--state", "queued") == []
        assert await left(house) == 5


async def test_json_is_what_the_server_answers_about_all_of_them() -> None:
    async with busy() as house:
        answer = await said("cancel", "--all", "--json", url=house.url(""), token=ROOT)
        assert answer.code == 0
        body = json.loads(answer.out)
        assert (body["matched"], body["cancelled"], body["truncated"], body["dry_run"]) == (4, 4, 0, False)
        assert {each["verdict"] for each in body["results"]} == {"cancelled"}


async def test_more_than_one_request_takes_are_stopped_in_several() -> None:
    count = CHUNK * 2 + 1
    async with busy(count=count, max_in_flight=count + 1) as house:
        answer = await said("cancel", "--user", "ada", "--json", url=house.url(""), token=ROOT)
        body = json.loads(answer.out)
        assert (body["cancelled"], len(body["results"])) == (count, count)
        assert len({each["task_id"] for each in body["results"]}) == count
        assert await left(house) == 1


async def test_a_turn_that_does_not_stop_is_told_and_is_the_exit_code() -> None:
    agents = {"default": ScriptedAgent(), "stubborn": ScriptedAgent(swallows=FOREVER)}
    async with busy(agents, cancel_grace=0.2) as house:
        await house.sent("c", agent="stubborn")
        answer = await said("cancel", "--all", url=house.url(""), token=ROOT)
        assert answer.code == 6
        assert answer.out.count("cancelled after") == 4
        assert answer.out.count("unresponsive after") == 1


async def test_one_that_is_not_waited_for_is_requested() -> None:
    async with busy(ScriptedAgent(swallows=FOREVER)) as house:
        answer = await said("cancel", "--all", "--no-wait", url=house.url(""), token=ROOT)
        assert answer.code == 0
        assert answer.out.count("requested") == 4


def test_the_exit_code_is_that_of_the_worst() -> None:
    def of(*verdicts: str | None, waited: bool = True, **more: Any) -> ExitCode:
        return exit_code_of([{"verdict": each, **more} for each in verdicts], waited=waited)

    assert of("cancelled", "finished_first", "not_running", None) is ExitCode.OK
    assert of("cancelled", "requested") is ExitCode.UNRESPONSIVE
    assert of("cancelled", "requested", waited=False) is ExitCode.OK
    assert of("cancelled", "of_a_later_server") is ExitCode.FAILED
    assert of("of_a_later_server", "unresponsive") is ExitCode.UNRESPONSIVE
    assert of(None, error="SESSION_LOST") is ExitCode.FAILED


# -- At a terminal ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 1), (CTRL_C, 130)]
)
async def test_a_person_is_shown_them_and_asked_first(keys: bytes, code: int) -> None:
    async with busy() as house:
        async with at_terminal("cancel", "--user", "ada", url=house.url(""), token=ROOT) as terminal:
            seen = await terminal.until("Stop these 3 turns? [y/N]")
            assert "running" in seen
            assert await left(house) == 4
            terminal.press(keys)
            assert await terminal.ended() == code
        assert await left(house) == (1 if code == 0 else 4)
        assert ("cancelled after" in terminal.seen) == (code == 0)


async def test_one_turn_and_yes_are_not_asked_about() -> None:
    async with busy() as house:
        async with at_terminal("cancel", "--user", "bob", url=house.url(""), token=ROOT) as terminal:
            assert await terminal.ended() == 0
        async with at_terminal("cancel", "--all", "--yes", url=house.url(""), token=ROOT) as terminal:
            assert await terminal.ended() == 0
            assert terminal.seen.count("cancelled after") == 3
        assert await left(house) == 0
