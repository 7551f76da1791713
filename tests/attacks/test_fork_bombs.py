"""A tool whose processes multiply, and go on in their children faster than they can be looked for."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.attacks import bomb
from tests.attacks.clients import Bystander, Client, Stream
from tests.attacks.rig import attack
from tests.attacks.server import Server

GRACE = 3.0
#: How many processes there are at a time: twice as many, where one starts the next one.
CHAINS = 100


class Stopped(NamedTuple):
    """What came of a Stop while a bomb went off."""

    verdict: str
    said_to_run: int
    runs: bool
    answers_meanwhile: int
    worst_wait_ms: float
    other_process_alive: bool
    ended_late: bool


@contextmanager
def alive(folder: Path) -> Iterator[tuple[Path, int]]:
    """A FIFO that all processes of a bomb hold open, and its other end."""
    fifo = folder / "alive"
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield fifo, end
    finally:
        os.close(end)


def runs(end: int) -> bool:
    """Whether any process of the bomb does, now."""
    try:
        while os.read(end, 65_536):
            pass
    except BlockingIOError:
        return True
    return False


def stopped(folder: Path, groups: str, chains: int, grace: float = GRACE) -> Stopped:
    """Stop the turn of the bomb when it goes off, beside another user's tool and a bystander."""
    with (
        Server(tokens=["ada:a", "bob:b"], cancel_grace=grace) as server,
        Client(server, "a") as ada,
        Client(server, "b") as bob,
        alive(folder) as (fifo, end),
    ):
        with Stream(server, "quiet", token="b") as stream:
            bob.send("quiet", "tool sleep 600")
            other = stream.until("ran").json["pid"]
        task = ada.send("bomb", f"tool {sys.executable} -S {bomb.__file__} {fifo} {chains} {groups}").json
        os.set_blocking(end, True)
        while not os.read(end, 1):  # nothing holds its other end yet
            pass
        os.set_blocking(end, False)
        with Bystander(server) as bystander:
            answer = ada.stop("bomb", task["task_id"]).json
            left = runs(end)
        still = answer.get("still_running", {}).get("processes", 0)
        while runs(end):
            pass
        turn = ada.get(f"/chat/bomb/turns/{task['task_id']}").json
        while still and not turn.get("ended_late"):
            turn = ada.get(f"/chat/bomb/turns/{task['task_id']}").json
        state = Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[0]
        bob.ask("POST", "/chat/quiet/cancel_send_task")
        return Stopped(
            answer["verdict"],
            still,
            left,
            len(bystander.waits),
            bystander.worst,
            state not in "ZX",
            bool(turn.get("ended_late")),
        )


@attack("a fork bomb of one process group was cancelled, and ran on: no reading of /proc had it")
def fork_bombs() -> dict[str, Stopped]:
    found = {}
    for groups in ("same", "own"):
        with TemporaryDirectory() as folder:
            found[groups] = stopped(Path(folder), groups, CHAINS)
    return found


@pytest.mark.parametrize("chains", [1, CHAINS])
def test_nothing_of_a_fork_bomb_runs_when_its_stop_is_answered(chains: int, tmp_path: Path) -> None:
    """G3, G9, G13, G14."""
    # They all end, so the grace is a limit only: a loaded machine may need longer for so many.
    seen = stopped(tmp_path, "same", chains, grace=10.0)
    assert (seen.verdict, seen.said_to_run, seen.runs) == ("cancelled", 0, False)
    assert seen.answers_meanwhile > 5
    assert seen.worst_wait_ms < 1000 * GRACE
    assert seen.other_process_alive


@pytest.mark.parametrize("chains", [1, 10])
def test_a_bomb_whose_processes_have_groups_of_their_own_harms_no_others_and_is_said_to_run_on(
    chains: int, tmp_path: Path
) -> None:
    """No signal reaches those that are never found, and mostly they are said to run on.

    Not always: between two readings one may have left the last group that is known. The guarantees say so.
    """
    seen = stopped(tmp_path, "own", chains)
    if seen.verdict == "cancelled":
        assert seen.said_to_run == 0
    else:
        assert (seen.verdict, seen.said_to_run, seen.ended_late) == ("unresponsive", 1, True)
    assert seen.answers_meanwhile > 5
    assert seen.other_process_alive
