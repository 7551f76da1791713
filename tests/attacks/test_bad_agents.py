"""Agents that leave the process, block the loop, or say what forges a log."""

from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from tests.attacks.clients import Client, Stream
from tests.attacks.rig import attack
from tests.attacks.server import Server, logged, records
from tests.attacks.upstream import upstream
from turnkeeper.actors import InvalidRequest, Turn
from turnkeeper.web import setup

# -- Leaving the process ----------------------------------------------------------------------------


class Left(NamedTuple):
    """What is left of the others when one agent leaves the process."""

    server_alive: bool
    turns_left: int
    streams_left: int
    status: str
    log_lines_about_it: int


TURNS, STREAMS_A_TURN = 100, 2


def leaves(message: str, turns: int) -> Left:
    """Run some turns with readers, then one that leaves."""
    with Server() as server, Client(server) as client, ExitStack() as streams:
        readers = [
            streams.enter_context(Stream(server, f"t{number % turns}", patience=5.0))
            for number in range(turns * STREAMS_A_TURN)
        ]
        for number in range(turns):
            client.send(f"t{number}", "hold")
        with Client(server) as agent:
            answer = agent.run("leaver", message)
        status = answer.json["status"] if answer.status == 200 else "no answer"
        listed = client.get("/chat/active_send_tasks")
        left = len(listed.json["active_tasks"]) if listed.status == 200 else 0
        # A stream that is left shows the end of its turn.
        for number in range(turns):
            client.ask("POST", f"/chat/t{number}/cancel_send_task")
        whole = sum("turn.cancelled" in [event.name for event in reader.rest()] for reader in readers)
        about = [line for line in server.log().splitlines() if "leaver" in line or "failed" in line]
        return Left(server.lives_on(0.5), left, whole, status, len(about))


@attack("sys.exit(3) in an agent killed the server in 0.76 s: 100 turns and 200 streams torn, no log line")
def leaving() -> dict[str, Left]:
    return {
        "sys.exit(3) in a turn": leaves("exit 3", TURNS),
        "sys.exit(3) in a task it started": leaves("exit-in-a-task 3", 2),
        "KeyboardInterrupt in a turn": leaves("ctrl-c", 2),
    }


def test_an_agent_that_leaves_the_process_ends_its_own_turn_only() -> None:
    seen = leaves("exit 3", TURNS)
    assert seen.server_alive
    assert (seen.turns_left, seen.streams_left) == (TURNS, TURNS * STREAMS_A_TURN)
    assert seen.status == "failed"
    assert seen.log_lines_about_it >= 1


@pytest.mark.parametrize("message", ["exit-in-a-task 3", "ctrl-c"])
def test_a_task_of_a_turn_or_an_interrupt_raised_in_one_leaves_the_server_alone(message: str) -> None:
    seen = leaves(message, 2)
    assert seen.server_alive
    assert (seen.turns_left, seen.streams_left) == (2, 4)
    assert seen.status == "failed"


# -- Blocking the loop ------------------------------------------------------------------------------


class Stalled(NamedTuple):
    """What the server says of a loop that stood still."""

    records_about_the_turn: int
    names_session: bool
    names_user: bool
    shows_the_stack: bool
    lag_in_healthz: dict[str, Any]


STALL = 1.5
#: One of these is in the name of the figures of `/healthz`.
LAG = ("lag", "stall", "loop")


def stalled(seconds: float = STALL) -> Stalled:
    with Server(tokens=["ada:a"]) as server, Client(server, "a") as client:
        task = client.run("blocker", f"block {seconds}").json["task_id"]
        health = client.get("/healthz").json
        about = [record for record in records(server.log()) if task in record]
        text = "".join(about)
        return Stalled(
            len(about),
            "blocker" in text,
            "ada" in text,
            "a_tool_that_blocks" in text,
            {name: value for name, value in health.items() if any(word in name for word in LAG)},
        )


@attack("an agent that blocks the loop for 3 s is silent")
def blocking() -> Stalled:
    return stalled(3.0)


def test_a_blocked_loop_is_logged_once_with_its_user_and_stack() -> None:
    seen = stalled()
    assert seen.records_about_the_turn == 1
    assert seen.names_session
    assert seen.names_user
    assert seen.shows_the_stack
    assert seen.lag_in_healthz


# -- Log lines --------------------------------------------------------------------------------------


class Forged(NamedTuple):
    """Lines of the log that an agent's text made."""

    failed_turns: int
    forged_records: int


FORGERY = "\n2026-01-01 00:00:00,000 CRITICAL turnkeeper: forged"
FAILS, LINES_EACH = 8, 100


@attack("exception texts are logged raw: newlines forged 872 log lines")
def forging() -> Forged:
    with Server() as server, Client(server) as client:
        ends = [client.run(f"f{number}", "fail x" + FORGERY * LINES_EACH) for number in range(FAILS)]
        log = server.log()
        return Forged(
            sum(end.json["status"] == "failed" for end in ends),
            sum(line.startswith("2026-01-01 00:00:00,000 CRITICAL") for line in log.splitlines()),
        )


def test_no_text_of_an_agent_forges_a_log_line() -> None:
    assert forging() == Forged(FAILS, 0)


class Expected(NamedTuple):
    """How the failure of an upstream is logged."""

    status: str
    warnings: int
    errors: int
    tracebacks: int


@attack("an expected upstream failure (429) is an error with a traceback")
def upstream_says_429() -> Expected:
    with (
        upstream(status=429) as api,
        Server("--base-url", api.base_url, "--model", "m", agent="openai") as server,
        Client(server) as client,
    ):
        status = client.run("s", "hello").json["status"]
        seen = logged(server.log())
        return Expected(status, server.log().count(" WARNING "), seen.errors, seen.tracebacks)


def test_an_expected_failure_of_the_upstream_is_a_warning_without_a_traceback() -> None:
    seen = upstream_says_429()
    assert seen.status == "failed"
    assert seen.warnings >= 1
    assert (seen.errors, seen.tracebacks) == (0, 0)


# -- What is no agent -------------------------------------------------------------------------------


def no_parameters() -> None: ...


def two_parameters(_turn: Turn, _more: object) -> None: ...


class AClass:
    """Called with a turn it makes an object, and no turn runs."""

    def __init__(self, _turn: Turn) -> None: ...


async def an_agent(_turn: Turn) -> None: ...


def not_called_with_a_request() -> None: ...


def mount(**arguments: Any) -> str:
    app = web.Application()
    try:
        setup(app, **{"agents": an_agent, **arguments})
    except (InvalidRequest, TypeError, AttributeError) as error:
        return type(error).__name__
    return "accepted"


@attack("setup takes what cannot be called with one turn, classes, and settings that are a dict")
def mounted() -> dict[str, str]:
    wrong: dict[str, dict[str, Any]] = {
        "an agent without a parameter": {"agents": no_parameters},
        "an agent with two": {"agents": two_parameters},
        "a class": {"agents": AClass},
        "authenticate without a parameter": {"authenticate": not_called_with_a_request},
        "load_context without a parameter": {"load_context": no_parameters},
        "save_context without a parameter": {"save_context": no_parameters},
        "settings that are a dict": {"settings": {"cancel_grace": 5}},
    }
    return {name: mount(**arguments) for name, arguments in wrong.items()}


def test_what_cannot_work_is_refused_at_setup() -> None:
    assert set(mounted().values()) == {"InvalidRequest"}
