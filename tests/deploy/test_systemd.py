"""The systemd unit of the docs: held against the settings, checked by systemd, and its command run."""

import asyncio
import configparser
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.deploy.running import FILES, PAGE, TURNKEEPER, environment, process, served, stop
from tests.web.fakes_web import PATIENCE, Door
from turnkeeper.web import WebSettings
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.server.run import SIGNALS

UNIT = FILES / "turnkeeper.service"


def parsed() -> configparser.ConfigParser:
    """The unit. No key stands twice in it, which this parser refuses."""
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    return unit


SERVICE = parsed()["Service"]
#: Where systemd makes the service's folder.
STATE = Path("/var/lib") / SERVICE["StateDirectory"]


def here(folder: Path) -> list[str]:
    """What follows the program in the unit's command, with this folder as the service's."""
    return SERVICE["ExecStart"].replace(str(STATE), str(folder)).split()[1:]


def test_the_server_has_its_deadline_before_systemd_ends_it() -> None:
    assert float(SERVICE["TimeoutStopSec"]) >= WebSettings().shutdown_deadline + 2


def test_a_stop_is_a_signal_that_the_server_handles_and_goes_to_no_other_process() -> None:
    assert signal.Signals[SERVICE["KillSignal"]] in SIGNALS
    assert SERVICE["KillMode"] == "mixed"


def test_a_restart_follows_every_failure_that_it_can_cure() -> None:
    assert SERVICE["Restart"] == "on-failure"
    assert [int(code) for code in SERVICE["RestartPreventExitStatus"].split()] == [ExitCode.USAGE]


def test_chats_are_kept_where_the_service_may_write_and_nobody_else_may_read() -> None:
    words = SERVICE["ExecStart"].split()
    assert Path(words[words.index("--data") + 1]).parent == STATE
    assert SERVICE["StateDirectoryMode"] == "0700"
    assert f"{STATE}/" in PAGE


def test_the_server_gives_up_its_rights() -> None:
    assert SERVICE["DynamicUser"] == SERVICE["NoNewPrivileges"] == SERVICE["ProtectHome"] == "yes"
    assert SERVICE["ProtectSystem"] == "strict"
    assert SERVICE["CapabilityBoundingSet"] == ""


def test_systemd_finds_no_fault_with_it_and_little_exposed(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    here = tmp_path / UNIT.name
    places = {SERVICE["ExecStart"].split()[0]: shutil.which("true"), SERVICE["WorkingDirectory"]: tmp_path}
    text = UNIT.read_text()
    for theirs, ours in places.items():
        text = text.replace(f"={theirs}", f"={ours}")
    here.write_text(text)
    for words in (["verify"], ["security", "--offline=true", "--no-pager", "--threshold=20"]):
        done = subprocess.run(
            [analyze, *words, str(here)], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if words == ["verify"]:
            assert done.stderr == ""


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """What is in the environment's file, which the lines of the page make, for its owner alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "turnkeeper").write_text(f'#!/bin/sh\nexec {shlex.join(TURNKEEPER)} "$@"\n')
    (folder / "turnkeeper").chmod(0o700)
    lines = PAGE.split("<!-- tokens: a test runs these lines -->")[1].split("```console\n")[1].split("```")[0]
    subprocess.run(
        ["bash", "-euc", lines],
        cwd=tmp_path,
        env=environment({"PATH": f"{folder}:/usr/bin:/bin"}),
        timeout=PATIENCE,
        check=True,
    )
    made = tmp_path / Path(SERVICE["EnvironmentFile"]).name
    assert made.stat().st_mode & 0o077 == 0
    return dict(line.split("=", 1) for line in made.read_text().splitlines())


@pytest.fixture
def started(given: dict[str, str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The unit's command, as systemd starts it."""
    words = (*TURNKEEPER, *here(tmp_path))
    with served(words, cwd=tmp_path, env=environment({**given, "TURNKEEPER_PORT": "0"})) as server:
        yield server


async def test_its_command_serves_with_the_tokens_of_the_page_and_ends_as_the_unit_ends_it(
    given: dict[str, str], started: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    server, port = started
    tokens = [token.split(":") for token in given["TURNKEEPER_TOKENS"].split()]
    assert [(user, role) for user, _, *role in tokens] == [("ada", []), ("root", ["admin"])]
    async with aiohttp.ClientSession() as client:
        door = Door(port, client)
        for _, secret, *_ in tokens:
            assert (await door.get("/chat/active_send_tasks", token=secret)).status == 200
        assert (await door.get("/chat/active_send_tasks")).status == 401
        [of_ada] = [secret for user, secret, *_ in tokens if user == "ada"]
        await door.sent("s1", token=of_ada)
    assert await asyncio.to_thread(stop, server, SERVICE["KillSignal"]) == 0
    assert await asyncio.to_thread(os.path.getsize, tmp_path / "turnkeeper.db") > 0


def test_a_wrong_setting_ends_it_with_the_status_that_is_not_tried_again(tmp_path: Path) -> None:
    words = (*TURNKEEPER, *here(tmp_path))
    wrong = environment({"TURNKEEPER_CANCEL_GRACE": "soon"})
    with process(words, cwd=tmp_path, env=wrong, stderr=subprocess.PIPE) as server:
        _, said = server.communicate(timeout=PATIENCE)
    assert "TURNKEEPER_CANCEL_GRACE" in said
    assert server.returncode == int(SERVICE["RestartPreventExitStatus"])
