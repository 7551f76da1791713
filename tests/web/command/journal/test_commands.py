"""The commands about a journal's file, on real files and beside a server."""

import asyncio
import io
import json
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.actors.journal.tools.files import written
from tests.fakes import ScriptedAgent
from tests.web.command.fake_terminal import Tty
from tests.web.fakes_web import by_token, serving
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.journal.sqlite import SqliteJournal
from turnkeeper.web.command import cli
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.command.journal.on_server import forget_user
from turnkeeper.web.command.screen import Screen


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a journal with three sessions, of ada's and bob's, which is the one that is meant."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TURNKEEPER_DATA", raising=False)
    asyncio.run(written(tmp_path / "turnkeeper.db", Random(5), 60))
    return tmp_path / "turnkeeper.db"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command answers in JSON."""
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == ExitCode.OK
    return json.loads(out)


def sessions(path: Path) -> dict[str, str]:
    """Whose sessions are in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT id, owner FROM session").fetchall())


# -- Looking ------------------------------------------------------------------------------------------------


def test_stats_show_how_much_is_in_the_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "journal", "stats")
    assert (found["sessions"], found["users"], found["version"]) == (3, 2, 1)
    assert [each["user"] for each in found["largest"]] in (["ada", "bob"], ["bob", "ada"])
    assert sum(each["bytes"] for each in found["largest"]) == found["log_bytes"] > 0
    assert found["file_bytes"] >= path.stat().st_size
    code, out, _ = run(capsys, "journal", "stats")
    assert code == ExitCode.OK
    assert f"{found['turns']}, {found['open_turns']} of them not ended" in out
    assert "ada" in out


def test_check_says_that_a_sound_file_is_sound(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "journal", "check") == []
    assert run(capsys, "journal", "check") == (0, "", "turnkeeper: turnkeeper.db is sound\n")


def test_check_names_what_is_wrong_and_ends_with_a_code_of_its_own(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE session SET owner = 'eve' WHERE number = 1")
        connection.execute("UPDATE entry SET body = '{' WHERE session = 2 AND position = 2")
    code, out, err = run(capsys, "journal", "check")
    assert code == ExitCode.DAMAGED
    owner, _, entry = out.splitlines()
    assert ": owner is 'eve', and the log says '" in owner
    assert ": position 2: the entry is none" in entry
    assert err == "turnkeeper: 3 faults\n"
    code, out, _ = run(capsys, "journal", "check", "--json")
    assert code == ExitCode.DAMAGED
    assert [each["position"] for each in json.loads(out)].count(2) == 1


def test_a_file_that_is_no_journal_is_named_and_left_alone(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("hello\n" * 1_000)
    (tmp_path / "empty").touch()
    with closing(sqlite3.connect(tmp_path / "other")) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
    for data, code, complaint in (
        ("none", ExitCode.FAILED, "there is no file none"),
        ("text", ExitCode.DAMAGED, "its file is damaged"),
        ("empty", ExitCode.FAILED, "nothing has been written into the file"),
        ("other", ExitCode.FAILED, "of another program"),
        (":memory:", ExitCode.USAGE, "is no file"),
    ):
        for command in (("journal", "stats"), ("journal", "prune"), ("forget", "--user", "ada")):
            if (data, command[-1]) == ("empty", "prune") or (data, command[0]) == ("empty", "forget"):
                continue  # an empty file is made a journal when it is to be changed
            ended, out, err = run(capsys, *command, "--data", data)
            assert (ended, out) == (code, ""), (command, data)
            assert complaint in err
    assert not (tmp_path / "none").exists()
    assert (tmp_path / "text").read_text() == "hello\n" * 1_000


def test_a_file_of_a_newer_version_is_left_alone(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for command in ("stats", "check", "export", "prune"):
        code, _, err = run(capsys, "journal", command)
        assert (code, err) == (1, "turnkeeper: a newer turnkeeper has written the journal\n")


# -- Beside a server ----------------------------------------------------------------------------------------


def test_what_changes_the_file_says_who_has_it_open_and_what_looks_at_it_does_not_mind(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def beside_a_server() -> list[int]:
        server = SqliteJournal(path)
        await server.open()
        try:
            return [
                await asyncio.to_thread(cli.main, command)
                for command in (
                    ["journal", "stats"], ["journal", "check"], ["journal", "export"], ["journal", "prune"],
                    ["forget", "--user", "ada"],
                )
            ]  # fmt: skip
        finally:
            await server.close()

    assert asyncio.run(beside_a_server()) == [0, 0, 0, 1, 1]
    err = capsys.readouterr().err
    assert "has the journal open: stop it first" in err
    assert "turnkeeper: process " in err
    assert len(sessions(path)) == 3


async def test_a_server_forgets_a_user_when_an_admin_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNKEEPER_TOKEN", "root-token")
    agent, journal = ScriptedAgent(), MemoryJournal()
    async with serving(agent, authenticate=by_token, token="root-token", journal=journal) as house:
        for session in ("s1", "s2", "s3"):
            await house.sent(session, token="ada-token")
            await agent.run()
        await house.sent("s4", token="bob-token")
        await house.delete("/chat/s3", token="ada-token")
        url = f"http://127.0.0.1:{house.port}"
        assert await forget_user(url, "ada", Screen(io.StringIO(), io.StringIO())) == 3
        assert list(journal._logs) == ["s4"]
        assert (await house.get("/chat/s1", token="ada-token")).status == 404
        assert await forget_user(url, "ada", Screen(io.StringIO(), io.StringIO())) == 0
        assert (await house.send("s1", token="bob-token")).status == 202, "its id is free"


# -- Export and import --------------------------------------------------------------------------------------


def test_what_was_exported_is_imported_elsewhere(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "journal", "export", "chats.jsonl") == (0, "", "")
    assert stat.S_IMODE((tmp_path / "chats.jsonl").stat().st_mode) == 0o600
    found = asked(capsys, "journal", "import", "chats.jsonl", "--data", "new.db")
    assert (found["sessions"], sessions(tmp_path / "new.db")) == (3, sessions(path))
    assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600
    code, out, _ = run(capsys, "journal", "export", "--data", "new.db")
    assert (code, out) == (0, (tmp_path / "chats.jsonl").read_text())


def test_an_export_can_go_through_a_pipe(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text, _ = run(capsys, "journal", "export")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code, out, _ = run(capsys, "journal", "import", "-", "--data", "new.db")
    assert (code, "3 sessions" in out) == (0, True)
    assert sessions(tmp_path / "new.db") == sessions(path)


def test_no_file_is_written_over(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept").write_text("mine")
    code, _, err = run(capsys, "journal", "export", "kept")
    assert (code, "kept: File exists" in err) == (1, True)
    run(capsys, "journal", "export", "chats.jsonl")
    code, _, err = run(capsys, "journal", "import", "chats.jsonl")
    assert (code, "there is a file turnkeeper.db already" in err) == (1, True)
    assert (tmp_path / "kept").read_text() == "mine"


def test_an_export_of_a_damaged_file_leaves_none(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entry SET body = '{' WHERE session = 2 AND position = 2")
    assert run(capsys, "journal", "export", "chats.jsonl")[0] == ExitCode.DAMAGED
    assert not (tmp_path / "chats.jsonl").exists()


def test_what_is_no_export_is_not_imported(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("hello\n")
    code, _, err = run(capsys, "journal", "import", "text", "--data", "new.db")
    assert (code, "line 1: this is no exported journal" in err) == (1, True)
    assert not (tmp_path / "new.db").exists()
    code, _, err = run(capsys, "journal", "import", "none", "--data", "new.db")
    assert (code, "none: No such file" in err) == (1, True)


# -- Forgetting ---------------------------------------------------------------------------------------------


def test_prune_forgets_what_is_beyond_the_bounds_and_can_say_so_first(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE session SET in_flight = 0, queued = 0")
    assert asked(capsys, "journal", "prune") == {"forgotten": 0}
    few = ("journal", "prune", "--history-sessions", "1")
    [idle] = asked(capsys, *few, "--dry-run")["would_forget"]
    assert run(capsys, *few, "--dry-run") == (0, f"{idle}\n", "")
    assert len(sessions(path)) == 3
    assert run(capsys, *few) == (0, "1 sessions forgotten\n", "")
    assert sorted([*sessions(path), idle]) == ["a", "b", "c"]
    assert asked(capsys, "journal", "prune", "--history-age", "10") == {"forgotten": 2}
    assert asked(capsys, "journal", "check") == []
    code, _, err = run(capsys, "journal", "prune", "--history-sessions", "0")
    assert (code, "--history-sessions" in err) == (ExitCode.USAGE, True)


def test_the_bounds_are_those_of_the_server(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE session SET in_flight = 0, queued = 0")
    monkeypatch.setenv("TURNKEEPER_HISTORY_SESSIONS", "1")
    monkeypatch.setenv("TURNKEEPER_DATA", str(path))
    assert asked(capsys, "journal", "prune") == {"forgotten": 1}


def test_what_a_user_said_is_gone_from_the_file_when_the_user_is_forgotten(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, "forget", "--user", "eve") == {"forgotten": 0}
    assert asked(capsys, "forget", "--user", "ada") == {"forgotten": 2}
    assert sessions(path) == {"b": "bob"}
    assert b'"owner":"ada"' not in path.read_bytes()
    assert b'"owner":"bob"' in path.read_bytes()
    assert not path.with_name("turnkeeper.db-wal").exists()
    assert asked(capsys, "journal", "check") == []


def test_a_user_is_forgotten_in_a_file_or_in_a_server(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "forget", "--user", "ada", "--data", "x", "--url", "http://127.0.0.1:1")
    assert (code, "exclude each other" in err) == (ExitCode.USAGE, True)
    code, _, _ = run(capsys, "forget", "--user", "ada", "--url", "http://127.0.0.1:1")
    assert code == ExitCode.UNREACHABLE


# -- A bar --------------------------------------------------------------------------------------------------


def test_a_terminal_shows_a_bar_and_nothing_else_does() -> None:
    out, err = io.StringIO(), Tty()
    with Screen(out, err).progress("checking") as progress:
        progress(1, 2)
    assert "checking" in err.getvalue()
    assert out.getvalue() == ""
    plain = io.StringIO()
    with Screen(out, plain).progress("checking") as progress:
        progress(1, 2)
    assert plain.getvalue() == ""
