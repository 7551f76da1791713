"""The proof by kill, in small, and that it could fail. ``make faults`` is the large one."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.history import History
from tests.faults.process import DidNotServe, ServerProcess
from tests.faults.run import ROOMY, figures, grumbles, play, run

SESSIONS = [f"s{number}" for number in range(20)]


def played(folder: Path, kills: int, calm: float) -> History:
    """A round with a server that keeps nothing."""
    server = ServerProcess(folder / "log", "--data", ":memory:", **ROOMY)
    return asyncio.run(play(server, "small", SESSIONS, kills, calm=calm))


def test_without_a_kill_all_is_well_also_without_a_journal(tmp_path: Path) -> None:
    history = played(tmp_path, kills=0, calm=4.0)
    done = figures(history)
    assert check(history) == []
    assert not grumbles((tmp_path / "log").read_text())
    assert min(done.sends, done.cancels, done.events, done.reconnects) > 0, "and something was done"


def test_what_was_acknowledged_is_there_after_kills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    well = run(3, len(SESSIONS), 7, tmp_path)
    assert well, capsys.readouterr().out


def test_a_server_without_a_journal_is_found_to_lose_what_it_acknowledged(tmp_path: Path) -> None:
    found = check(played(tmp_path, kills=2, calm=1.0))
    for lie in ("acknowledged, and the turn is not known", "which the log has not", "had a gap"):
        assert any(lie in violation.says for violation in found), lie


async def test_a_server_that_ends_by_itself_is_no_kill(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "log", "--no-such-option")
    await server.spawn()
    try:
        with pytest.raises(DidNotServe, match="no-such-option"):
            await server.serving()
    finally:
        await server.kill()


def test_an_error_in_the_servers_log_is_a_violation_but_for_turns_that_were_to_fail() -> None:
    planned = "2026-01-01 00:00:00,000 ERROR turnkeeper: turn t ended\n    tests.faults.agents.AsPlanned: t\n"
    other = "2026-01-01 00:00:00,000 ERROR turnkeeper: session s failed\n    KeyError: 't'\n"
    assert grumbles(planned) == []
    assert [violation.says for violation in grumbles(planned + other)] == [other]
