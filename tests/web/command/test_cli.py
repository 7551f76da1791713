import re
import signal
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from tests.web.fakes_web import command, served
from turnkeeper.web.command import cli

# -- What is refused --------------------------------------------------------------------------------


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run the command in this process; its exit status, and the one line it says."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str, **environ: str) -> tuple[int, str]:
        for name, value in environ.items():
            monkeypatch.setenv(f"TURNKEEPER_{name}", value)
        try:
            status = cli.main(arguments)
        except SystemExit as exit_:
            status = int(str(exit_.code))
        said = capsys.readouterr()
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if not line.startswith(("usage:", " "))]
        assert len(lines) == 1, said.err
        assert lines[0].startswith("turnkeeper")
        return status, lines[0]

    return run


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("unknown", "neither echo, stubborn, openai nor package.module:NAME"),
        ("not_there:run", "not_there"),
        ("not_there.at_all:run", "not_there"),
        ("turnkeeper.web.agents.builtin:nothing", "has no nothing"),
        ("turnkeeper.web.agents.builtin:WORD_PAUSE", "neither callable nor a mapping"),
        ("turnkeeper.web.agents.builtin:", "neither"),
        (".agents:echo", "agents"),
        ("", "neither"),
    ],
)
def test_an_agent_that_is_none_is_refused(
    refused: Callable[..., tuple[int, str]], agent: str, says: str
) -> None:
    status, line = refused("serve", "--agent", agent)

    assert status == 2
    assert says in line


def test_an_agent_whose_module_fails_is_refused_in_one_line(
    refused: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fails_here.py").write_text("open('/no/such/file')\n")
    monkeypatch.chdir(tmp_path)

    status, line = refused("serve", "--agent", "fails_here:run")

    assert status == 2
    assert "FileNotFoundError" in line
    assert "listen" not in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
def test_without_tokens_only_loopback_is_served(refused: Callable[..., tuple[int, str]], host: str) -> None:
    status, line = refused("serve", "--host", host)

    assert status == 2
    assert "--token" in line or not host


@pytest.mark.parametrize("token", ["", "ada", "ada:", "ada:s3cret:root", "ada:s3 cret"])
def test_a_token_of_another_form_is_refused_and_not_repeated(
    refused: Callable[..., tuple[int, str]], token: str
) -> None:
    status, line = refused("serve", "--token", token)

    assert status == 2
    assert "user:secret" in line
    assert "s3" not in line


def test_a_bad_token_in_the_environment_or_in_a_file_is_refused(
    refused: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("ada\n")

    assert refused("serve", "--token-file", str(tmp_path / "tokens"))[0] == 2
    assert refused("serve", "--token-file", str(tmp_path / "missing"))[0] == 2
    assert refused("serve", TOKENS="ada:s3cret bob")[0] == 2
    assert refused("serve", TOKENS="", TOKEN_FILE=str(tmp_path / "missing"))[0] == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("PORT", "70000"), ("PORT", "-1"), ("CANCEL_GRACE", "soon"), ("HEARTBEAT", "nan"),
     ("SHUTDOWN_DEADLINE", "-1"), ("HOST", "0.0.0.0"), ("MULTITASK_STRATEGY", "wait"),
     ("MAX_BODY", "1.5")],
)  # fmt: skip
def test_a_bad_value_in_the_environment_is_refused_by_name(
    refused: Callable[..., tuple[int, str]], name: str, value: str
) -> None:
    status, line = refused("serve", **{name: value})

    assert status == 2
    assert name.lower() in line.lower() or name == "HOST"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("serv",),
        ("serve", "--colour"),
        ("serve", "--port", "eighty"),
        ("serve", "--port"),
        ("serve", "extra"),
    ],
)
def test_what_the_command_does_not_know_is_refused(
    refused: Callable[..., tuple[int, str]], arguments: tuple[str, ...]
) -> None:
    assert refused(*arguments)[0] == 2


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_out_of_its_range_is_refused(refused: Callable[..., tuple[int, str]], port: str) -> None:
    status, line = refused("serve", f"--port={port}")

    assert status == 2
    assert "port" in line


@pytest.mark.parametrize("host", ["256.0.0.1", "x" * 100, "no-such-host.invalid"])
def test_an_invalid_address_is_reported_in_one_line(
    refused: Callable[..., tuple[int, str]], host: str
) -> None:
    status, line = refused("serve", "--host", host, "--port", "0", "--token", "ada:s3cret")

    assert status == 1
    assert host in line


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(["--version"])

    assert exited.value.code == 0
    assert re.fullmatch(r"turnkeeper \d+\.\d+\S*\n", capsys.readouterr().out)


# -- What is served ---------------------------------------------------------------------------------


async def test_it_says_what_it_serves_where_and_to_whom() -> None:
    async with served() as (process, door):
        assert re.fullmatch(
            rf"turnkeeper serves echo on http://127\.0\.0\.1:{door.port}/  \(Ctrl-C stops it\)\n",
            process.announced,
        )
        assert process.process.stdout is not None
        for end in ("/v1 (models: echo, stubborn)", "/api/chat"):
            line = await process.process.stdout.readline()
            assert line.decode().endswith(f": http://127.0.0.1:{door.port}{end}\n")
        assert b"Chats are kept nowhere" in await process.process.stdout.readline()
        assert b"No tokens" in await process.process.stdout.readline()
        assert (await door.get("/")).headers["Content-Type"].startswith("text/html")
        assert (await door.send("s", "hello")).status == 202
        assert (await door.get("/chat/s", headers={"Host": "evil.example"})).code == "FOREIGN_HOST"


async def test_it_speaks_the_protocols_that_are_named() -> None:
    async with served("--speaks", "ai-sdk") as (_, door):
        assert (await door.get("/api/chat/c/stream")).status == 204
        assert (await door.get("/v1/models")).status == 404
    async with served("--speaks", "none") as (process, door):
        assert process.process.stdout is not None
        assert b"Chats are kept nowhere" in await process.process.stdout.readline()
        assert (await door.get("/api/chat/c/stream")).status == 404


def test_a_protocol_that_there_is_not_is_reported_in_one_line(
    refused: Callable[..., tuple[int, str]],
) -> None:
    status, line = refused("serve", "--speaks", "gopher", "--port", "0")

    assert status == 2
    assert "gopher" in line


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text("async def shout(turn):\n    yield turn.text.upper()\n")
    (tmp_path / "tokens").write_text("cyd:three\n")
    return tmp_path


async def test_an_agent_of_ones_own_is_found_where_the_command_is_started(here: Path) -> None:
    async with served("--agent", "mine:shout", cwd=here) as (process, door):
        assert process.announced.startswith("turnkeeper serves mine:shout on ")
        async with door.stream("s") as stream:
            await door.sent("s", "hello")
            assert (await stream.until("delta")).json == {"text": "HELLO"}


async def test_tokens_come_from_the_command_line_the_environment_and_a_file(here: Path) -> None:
    arguments = ("--token", "ada:one", "--token", "root:zero:admin", "--token-file", str(here / "tokens"))
    async with served(*arguments, TOKENS="bob:two") as (_, door):
        for token, user in (("one", "ada"), ("bob:two", "bob"), ("three", "cyd"), ("zero", "root")):
            await door.sent(f"s-{user}", token=token)
        assert (await door.get("/chat/s-ada")).code == "UNAUTHORIZED"
        assert (await door.get("/chat/s-ada", token="two")).status == 404
        listed = await door.get("/chat/active_send_tasks", token="zero")
        assert {name: each["user"] for name, each in listed.body["active_tasks"].items()}["s-cyd"] == "cyd"
        assert (await door.get("/healthz", headers={"Host": "chat.example"})).status == 200


async def test_with_tokens_any_address_is_served() -> None:
    async with served("--host", "0.0.0.0", "--token", "ada:one") as (process, door):
        assert "http://0.0.0.0:" in process.announced
        assert (await door.send("s", token="one")).status == 202


async def test_a_name_of_this_machine_is_served_and_ended_like_its_address() -> None:
    async with served("--host", "localhost") as (process, _):
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


def test_the_installed_command_is_this_one() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="turnkeeper")

    assert script.load() is cli.main


async def test_a_real_command_that_is_asked_wrongly_says_one_line_and_no_traceback() -> None:
    async with command("serve", "--agent", "not_there:run") as process:
        complaint = await process.complaint()
        assert await process.ended() == 2

    assert complaint.count("\n") == 1
    assert complaint.startswith("turnkeeper: agent 'not_there:run'")
