"""Two workers of one master, of which one does not know what the other one runs.

The tests' own master forks as gunicorn does, so that no package is needed; `behind_gunicorn` asks that one.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.attacks.clients import Client
from tests.attacks.rig import HERE, PATIENCE, ROOT, attack

CANCELS = 20


class Workers(NamedTuple):
    """What two workers made of cancels that named a running turn."""

    workers: int
    said_why: str
    cancels: dict[str, int]
    statuses_without_a_verdict: list[str]


def cancels(port: int) -> tuple[dict[str, int], list[str]]:
    """Run turns, each cancelled by its id over a connection that may lead to another worker."""
    seen: Counter[str] = Counter()
    silent = list[str]()
    for number in range(CANCELS):
        with Client(port) as client, ExitStack() as others:
            answer = client.send(f"s{number}", "hold")
            assert answer.status == 202, answer
            here = client.get("/healthz").json["incarnation"]
            other = client
            # A connection that leads elsewhere, if there is one: the kernel deals them out.
            for _ in range(8):
                other = others.enter_context(Client(port))
                if other.get("/healthz").json["incarnation"] != here:
                    break
            cancel = other.stop(f"s{number}", answer.json["task_id"])
            verdict = cancel.json.get("verdict")
            if verdict is None:
                silent.append(cancel.json["status"])
            seen[f"{cancel.status} {verdict or cancel.code}"] += 1
    return dict(seen), silent


class Master(NamedTuple):
    """The running master: its port, its process, and the file that its workers write to."""

    port: int
    pid: int
    log: int


@contextmanager
def master(**settings: object) -> Generator[Master]:
    named = {f"TURNKEEPER_{name.upper()}": str(setting) for name, setting in settings.items()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.attacks.master"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **named},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        try:
            port, *_ = map(int, process.stdout.readline().split())
            yield Master(port, process.pid, log.fileno())
        finally:
            process.terminate()
            process.wait(PATIENCE)
            process.stdout.close()


def serving(port: int, wanted: int) -> None:
    """Wait until the port is served, by so many workers if there are that many."""
    seen = set[str]()
    until = time.monotonic() + PATIENCE / 5
    while time.monotonic() < until and len(seen) < wanted:
        with Client(port) as client:
            answer = client.get("/healthz")
            if answer.status == 200:
                seen.add(answer.json["incarnation"])
    assert seen, "no worker serves"


def two_workers(**settings: object) -> Workers:
    with master(**settings) as running:
        serving(running.port, 2)
        seen, silent = cancels(running.port)
        if settings.get("single_process") != "false":
            refused(running.pid)
        workers = len(children(running.pid))
        log = os.pread(running.log, 1_000_000, 0).decode()
        said = re.findall(r"^worker \d: .*", log, re.MULTILINE)
        return Workers(workers, " | ".join(said)[:300], seen, silent)


def refused(master: int) -> None:
    """Wait until the second worker has given up; it waits a while for the first one to go."""
    until = time.monotonic() + PATIENCE
    while len(children(master)) > 1 and time.monotonic() < until:
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@attack("two workers make Stop lie (gunicorn -w 2: 19 of 20 cancels said `not_running`)")
def forked_workers() -> dict[str, Workers]:
    return {"by default": two_workers(), "single_process=false": two_workers(single_process="false")}


def test_no_cancel_of_a_running_turn_says_not_running() -> None:
    seen = two_workers()
    assert seen.workers == 1, "the second worker is refused"
    assert "single_process" in seen.said_why
    assert seen.cancels == {"200 cancelled": CANCELS}


def test_a_turn_of_another_process_is_named_as_such() -> None:
    seen = two_workers(single_process="false")
    assert seen.workers == 2
    assert set(seen.cancels) <= {"200 cancelled", "404 TURN_OF_ANOTHER_PROCESS"}
    assert seen.cancels["404 TURN_OF_ANOTHER_PROCESS"] > 0
    assert set(seen.statuses_without_a_verdict) == {"error"}


class Gunicorn(NamedTuple):
    """The same behind gunicorn."""

    started: bool
    cancels: dict[str, int]
    log: str


def behind_gunicorn() -> Gunicorn:
    """Install gunicorn in an environment of its own, and cancel there; not a test, for it asks a registry."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-qq", "gunicorn"], check=True, capture_output=True)
        [site] = (Path(folder) / "lib").glob("python3*/site-packages")
        here = [path for path in sys.path if path.endswith("site-packages")]
        (site / "ours.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in here))
        words = [
            str(python),
            "-m",
            "gunicorn",
            "-w",
            "2",
            "-k",
            "aiohttp.GunicornWebWorker",
            "-b",
            f"{HERE}:0",
        ]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [*words, "tests.attacks.master:app()"], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                return ask_gunicorn(process, log.fileno())
            finally:
                process.terminate()
                process.wait(PATIENCE)


def ask_gunicorn(process: "subprocess.Popen[bytes]", log: int) -> Gunicorn:
    until = time.monotonic() + PATIENCE
    found = None
    while found is None and time.monotonic() < until and process.poll() is None:
        found = re.search(rb"Listening at: http://127\.0\.0\.1:(\d+)", os.pread(log, 100_000, 0))
    if found is None:
        return Gunicorn(False, {}, os.pread(log, 100_000, 0).decode()[-300:])
    serving(int(found[1]), 2)
    seen, _ = cancels(int(found[1]))
    return Gunicorn(True, seen, "")
