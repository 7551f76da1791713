"""What runs in the server under test, as the operating system shows it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.web.fakes_web import free_port
from turnkeeper.web.audit import inside
from turnkeeper.web.audit.inside import CannotLook, Sight, left_in, server_of
from turnkeeper.web.audit.log import Inside

#: Starts a process for each line that it reads, and says so.
SERVER = "while read line; do sleep 600 & echo $!; done"
START = 1.0


def sight(*processes: str, **threads: float) -> Sight:
    """What is seen of processes, by their names and in order, and of how long threads have worked."""
    names = {(at, START): name for at, name in enumerate(processes, 1)}
    return Sight(frozenset(names), names, {(1, int(name[1:])): done for name, done in threads.items()})


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["bash", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate()


def test_a_process_that_came_up_meanwhile_and_still_runs_was_left() -> None:
    before, after = sight("server", "worker"), sight("server", "worker", "bash")
    assert left_in(before, after, after) == Inside(("bash",), 0, 0, 0)


def test_a_process_that_ends_while_it_is_looked_at_was_not_left() -> None:
    assert left_in(sight("server"), sight("server", "bash"), sight("server")).processes == ()


def test_a_thread_that_works_in_a_quiet_moment_goes_on_working() -> None:
    before, after = sight(t1=5.0), sight(t1=5.0, t2=1.0, t3=2.0)
    left = left_in(before, after, sight(t1=5.0, t2=1.01, t3=2.5, t4=9.0))
    assert left == Inside((), 1, 1, 4), "an idle one of a pool does not, and a new one may just begin"


def test_the_processes_of_a_server_are_seen_with_all_that_came_of_them(
    server: subprocess.Popen[bytes],
) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    looked = server_of(None, server.pid)
    before = looked.look()
    assert list(before.names.values()) == ["bash"]
    server.stdin.write(b"go\n")
    server.stdin.flush()
    started = int(server.stdout.readline())
    after = looked.look()
    assert {pid for pid, _ in after.processes} == {server.pid, started}
    assert len(left_in(before, after, after).processes) == 1


def test_a_server_that_has_ended_cannot_be_looked_into(server: subprocess.Popen[bytes]) -> None:
    looked = server_of(None, server.pid)
    server.kill()
    server.wait()
    with pytest.raises(CannotLook, match="its process has ended"):
        looked.look()


def test_a_server_is_not_looked_into_that_runs_in_the_process_of_the_audit() -> None:
    with pytest.raises(CannotLook, match="in the process of the audit"):
        server_of(None, os.getpid())


def test_a_port_at_which_no_process_is_seen_to_listen_is_not_looked_into() -> None:
    with pytest.raises(CannotLook, match="another user's, or on another machine"):
        server_of(f"http://127.0.0.1:{free_port()}", None)


def test_a_process_of_another_user_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    with pytest.raises(CannotLook, match="its process is another user's"):
        server_of("http://127.0.0.1:1", None)


def test_without_psutil_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "psutil", None)
    with pytest.raises(CannotLook, match=r"turnkeeper\[audit\]"):
        server_of("http://127.0.0.1:1", None)
