import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from tests.web.audit import bad_servers, naive_server, wire_servers
from tests.web.audit.wire_servers import Flaw
from tests.web.fakes_web import free_port
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.audit.adapters.adapter import Adapter
from turnkeeper.web.audit.adapters.built_in import NAMES, built_in
from turnkeeper.web.audit.adapters.from_toml import read_adapter
from turnkeeper.web.audit.judging.faults import Fault
from turnkeeper.web.audit.judging.judge import Judgement
from turnkeeper.web.audit.plan import Pace
from turnkeeper.web.audit.report import as_table
from turnkeeper.web.audit.run import Options, audit, main
from turnkeeper.web.audit.target import CannotAudit
from turnkeeper.web.command import cli

ROOT = Path(__file__).parent.parent.parent.parent
ADAPTERS = {name: built_in(name) for name in NAMES}
OURS = ADAPTERS["turnkeeper"]
PLAIN = read_adapter((ROOT / "docs" / "examples" / "audit_plain.toml").read_text())
QUICK = Pace(token=0.01, lost_after=0.5, patience=2.0)


class Patient(Pace):
    """For turnkeeper, of which everything is to be expected, but not that the machine is quick.

    What is stopped would go on for so long that it does not end by itself while the machine stalls.
    """

    long = property(lambda self: 3_000)  # type: ignore[assignment]


PATIENT = Patient(token=0.01, lost_after=0.4, patience=60.0)
#: For servers of which nothing is to be expected.
IMPATIENT = Pace(token=0.002, lost_after=0.05, patience=0.1)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit gives servers all the time that a stalled machine needs."""
    monkeypatch.setattr("turnkeeper.web.audit.run.Pace", lambda: PATIENT)
    monkeypatch.setattr("turnkeeper.web.audit.run.PER_TURN", PATIENT.patience)


@asynccontextmanager
async def on_a_port(app: web.Application) -> AsyncGenerator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def found_in(
    app: web.Application, upstream_port: int = 0, adapter: Adapter = PLAIN, pace: Pace = QUICK
) -> Judgement:
    async with on_a_port(app) as url:
        options = Options(url=url, upstream_port=upstream_port, users=11, turns=3, seed=7)
        return await audit(options, url, adapter, pace)


def faults(report: Judgement) -> set[Fault]:
    return {each.fault for each in report.findings}


# -- What it finds ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_turnkeeper_itself_comes_out_clean(seed: int) -> None:
    report = await audit(Options(users=16, turns=4, seed=seed), None, OURS, PATIENT)

    assert report.findings == ()
    assert report.stops > 10
    assert report.late_stops > 0
    assert report.silence
    assert report.seen > report.generated / 2
    assert "No faults found." in as_table(report, "turnkeeper")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("wire", [name for name in NAMES if name != "turnkeeper"])
async def test_turnkeeper_comes_out_clean_on_each_wire_that_it_speaks(wire: str) -> None:
    # A hang-up has no answer to wait for: how long it takes depends on the machine.
    pace = replace(PATIENT, lost_after=3.0)
    report = await audit(Options(users=16, turns=4, seed=2), None, ADAPTERS[wire], pace)

    assert report.findings == ()
    assert report.stops > 10
    assert report.silence
    assert report.streams > 30
    assert report.whole > 20
    assert (report.late_stops > 0) is (ADAPTERS[wire].stop_turn is not None)


async def test_what_turns_leave_running_in_the_server_is_found_out() -> None:
    leaking = Options(users=2, turns=1, agent="tests.web.audit.leaking:model")
    report = await audit(leaking, None, OURS, replace(PATIENT, quiet=1.0))

    assert faults(report) == {Fault.PROCESSES, Fault.THREADS}
    assert report.inside is not None
    assert report.inside.processes == ("cat",)
    table = as_table(report, "leaking")
    assert re.search(r"^processes that were left running +1 \(cat\)$", table, re.MULTILINE)


async def test_a_naive_server_is_found_out() -> None:
    port = free_port()
    wanted = {Fault.OVERLAP, Fault.LOST_STOP, Fault.LIE, Fault.AFTER_STOP, Fault.LOST}
    # It loses a Stop when the next send comes before the next token: a busy machine needs a slower model.
    for token in (0.01, 0.05, 0.15):
        pace = Pace(token=token, lost_after=max(0.5, 8 * token), patience=10.0)
        report = await found_in(naive_server.make_app(f"http://127.0.0.1:{port}/v1"), port, pace=pace)
        if faults(report) >= wanted:
            break

    assert faults(report) >= wanted
    table = as_table(report, "naive")
    assert re.search(r"^Stops that got lost +[1-9]\d* of \d+$", table, re.MULTILINE)
    assert "Faults found." in table


async def test_a_server_that_says_stopped_and_generates_on_is_found_out() -> None:
    port = free_port()
    app = bad_servers.lying(f"http://127.0.0.1:{port}/v1")
    report = await found_in(app, port, read_adapter('[stream]\ncursor = "Last-Event-ID"'))

    assert faults(report) >= {Fault.LIE, Fault.LOST_STOP, Fault.AFTER_STOP, Fault.OVERLAP}
    assert report.count(Fault.LOST_STOP) == report.stops, "every single one"
    # It has its cursors right, and that is seen as well.
    assert not faults(report) & {Fault.LOST, Fault.DOUBLED, Fault.INVENTED, Fault.NEVER_REACHED}


async def test_a_server_that_does_nothing_gets_no_good_mark() -> None:
    report = await found_in(bad_servers.idle(), pace=IMPATIENT)

    assert faults(report) >= {Fault.NOTHING, Fault.NEVER_REACHED}
    assert "No message reached the model" in as_table(report, "idle")


async def test_a_server_that_plays_canned_events_gets_no_good_mark() -> None:
    report = await found_in(bad_servers.canned(), pace=IMPATIENT)

    assert faults(report) >= {Fault.NOTHING, Fault.NEVER_REACHED, Fault.INVENTED}


async def test_a_server_that_refuses_everything_gets_no_good_mark() -> None:
    # A refusal is waited for, also on a slow machine.
    report = await found_in(bad_servers.refusing(), pace=replace(IMPATIENT, patience=0.5))

    assert faults(report) >= {Fault.NOTHING, Fault.REFUSED}
    assert report.count(Fault.REFUSED) == report.sends
    assert report.refused_while_busy == 0, "that something runs is not for it to say"


# -- What it finds where the answer to a send is the stream ------------------------------------------

WIRES: dict[str, Callable[[str, Flaw], web.Application]] = {
    "openai-completions": wire_servers.completions,
    "openai-responses": wire_servers.responses,
    "openai-responses-foreground": wire_servers.responses,
    "ai-sdk": wire_servers.ai_sdk,
}
#: What each flaw comes to; what depends on an answer to Stop, or on coming back, only where there is any.
FOUND = {
    Flaw.GOES_ON: {Fault.LOST_STOP, Fault.OVERLAP},
    Flaw.OVERLAPS: {Fault.OVERLAP},
    Flaw.BUFFERS: {Fault.BUFFERED},
    Flaw.LEAVES_OPEN: {Fault.ENDLESS},
    Flaw.CUTS_OFF: {Fault.ENDLESS},
    Flaw.LOSES: {Fault.LOST},
    Flaw.FORGETS: {Fault.LOST},
    Flaw.REPEATS: {Fault.DOUBLED},
    Flaw.HITS_NEXT: {Fault.WRONG_TURN},
}
COMING_BACK = {Flaw.LOSES, Flaw.FORGETS, Flaw.REPEATS}


def speaking(wire: str, flaw: Flaw) -> tuple[web.Application, int]:
    """A server with that flaw, and the port where it looks for its model."""
    port = free_port()
    return WIRES[wire](f"http://127.0.0.1:{port}/v1", flaw), port


def can_show(wire: str, flaw: Flaw) -> bool:
    adapter = ADAPTERS[wire]
    if wire == "openai-responses-foreground" and flaw is not Flaw.GOES_ON:
        return False  # the same server in the background has shown it
    if flaw in COMING_BACK:
        return adapter.can_come_back
    return flaw is not Flaw.HITS_NEXT or adapter.stop_turn is not None


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("wire", WIRES)
async def test_a_good_server_that_speaks_the_wire_comes_out_clean(wire: str) -> None:
    app, port = speaking(wire, Flaw.NONE)
    report = await found_in(app, port, ADAPTERS[wire], PATIENT)

    assert report.findings == ()
    assert report.stops > 8
    assert report.silence
    assert report.streams > 20
    assert report.whole > 12


@pytest.mark.parametrize(
    ("wire", "flaw"), [(wire, flaw) for wire in WIRES for flaw in FOUND if can_show(wire, flaw)]
)
async def test_a_flaw_of_a_server_that_speaks_the_wire_is_found(wire: str, flaw: Flaw) -> None:
    app, port = speaking(wire, flaw)
    report = await found_in(app, port, ADAPTERS[wire])

    assert faults(report) >= FOUND[flaw]
    if flaw is Flaw.GOES_ON:
        # Who hangs up may be sooner than the server with its request to the model.
        assert report.count(Fault.LOST_STOP) > report.stops / 2
        assert (Fault.LIE in faults(report)) is (report.answers > 0), "who hung up has no answer"


def test_every_flaw_can_be_shown_on_some_wire() -> None:
    assert set(FOUND) == set(Flaw) - {Flaw.NONE}
    assert all(any(can_show(wire, flaw) for wire in WIRES) for flaw in FOUND)


async def test_a_server_that_opens_no_session_gets_no_good_mark() -> None:
    app, port = speaking("openai-completions", Flaw.NONE)
    report = await found_in(app, port, ADAPTERS["openai-responses"])

    assert faults(report) == {Fault.NOTHING, Fault.REFUSED}
    assert {each.status for each in report.findings if each.fault is Fault.REFUSED} == {404}


async def test_turns_that_overlap_are_held_against_no_server_that_is_given_no_session() -> None:
    wire = ADAPTERS["openai-completions"]
    # Each message is in a session of its own, as the server sees it.
    without = replace(wire, send=replace(wire.send, headers={"X-OpenWebUI-Chat-Id": "{message}"}))
    app, port = speaking("openai-completions", Flaw.GOES_ON)
    report = await found_in(app, port, without)

    assert faults(report) == {Fault.LOST_STOP}
    assert re.search(r"^turns that overlapped +-$", as_table(report, "stateless"), re.MULTILINE)


async def test_where_no_event_is_the_last_one_the_end_of_the_stream_is() -> None:
    wire = ADAPTERS["openai-completions"]
    app, port = speaking("openai-completions", Flaw.CUTS_OFF)
    report = await found_in(app, port, replace(wire, events=replace(wire.events, end=())))

    assert report.streams > 20
    assert Fault.ENDLESS not in faults(report)


# -- The command ------------------------------------------------------------------------------------


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "turnkeeper.web.command.cli", "audit", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.usefixtures("patient")
def test_the_command_prints_json_and_says_with_its_status_that_nothing_was_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["audit", "--users", "3", "--turns", "2", "--json"])

    done = capsys.readouterr()
    assert status == 0, done.out
    report = json.loads(done.out)
    assert report["clean"] is True
    assert report["sends"] == 6
    assert set(report["faults"].values()) == {0}
    assert "the model is at http://127.0.0.1:" in done.err


def test_the_turnkeeper_that_is_audited_says_of_its_turns_what_is_asked_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TURNKEEPER_LOG_LEVEL", raising=False)
    assert " INFO " not in command("--users", "1", "--turns", "1").stderr
    monkeypatch.setenv("TURNKEEPER_LOG_LEVEL", "info")
    assert " INFO turnkeeper: turn " in command("--users", "1", "--turns", "1").stderr


def test_the_command_ends_with_3_where_nothing_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = command("--url", url, "--upstream-port", "0")
    assert done.returncode == 2, "a server is pointed at a port, not at any"

    done = command("--url", url, "--upstream-port", str(free_port()))
    assert done.returncode == 3
    assert done.stderr.endswith(f"turnkeeper audit: no server answers at {url}: Connection refused\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://192.0.2.1:80", "--upstream-port", "9"], "only servers on this machine"),
        (["--url", "ftp://127.0.0.1", "--upstream-port", "9"], "is no address like"),
        (["--url", "http://127.0.0.1:1"], "--upstream-port"),
        (["--pid", "5"], "--pid is the process of the server at --url"),
        (["--users", "0"], "--users must be 1 to"),
        (["--turns", "51"], "--turns must be 1 to"),
        (["--upstream-port", "70000"], "--upstream-port must be 0 to"),
        (
            ["--adapter", "nonsense"],
            "there is no adapter or file 'nonsense': the adapters are ai-sdk, openai-",
        ),
        (["--adapter", __file__], "--adapter describes the server at --url, if it is not ai-sdk, openai-"),
        (
            ["--url", "http://127.0.0.1:1", "--upstream-port", "9", "--adapter", "not there"],
            "there is no adapter or file 'not there': the adapters are ai-sdk, openai-",
        ),
        (
            ["--url", "http://127.0.0.1:1", "--upstream-port", "9", "--adapter", "/"],
            "cannot read the adapter /: Is a directory\n",
        ),
    ],
)
def test_wrong_arguments_are_reported_and_nothing_is_started(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    async def taken() -> int:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(main, Options(upstream_port=port, users=1, turns=1))

    assert asyncio.run(taken()) == 3
    assert re.search(
        r"cannot listen on 127\.0\.0\.1 port \d+: address already in use\n", capsys.readouterr().err
    )


async def test_an_agent_that_cannot_be_loaded_is_reported_in_time() -> None:
    with pytest.raises(CannotAudit, match="turnkeeper did not start"):
        await audit(Options(agent="no.such:agent", users=1, turns=1), None, OURS, QUICK)


def test_options_have_bounds() -> None:
    Options().check()
    with pytest.raises(InvalidRequest):
        Options(users=501).check()
