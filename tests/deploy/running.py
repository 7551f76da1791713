"""The command and nginx as processes of their own, on 127.0.0.1, ended with the block that started them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.web.fakes_web import PATIENCE, free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "deploy.md").read_text()
FILES = ROOT / "docs" / "examples" / "deploy"
#: The command of this very installation.
TURNKEEPER = (sys.executable, "-m", "turnkeeper.web.command.cli")
#: What is other in a test than where nginx is deployed.
UPSTREAM, LISTENS, LOGS = "server 127.0.0.1:8000;", "listen 80;", "/var/log/nginx/"


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the settings of turnkeeper in it, and with these."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("TURNKEEPER_")}
    ours["TURNKEEPER_DATA"] = ":memory:"
    return {**ours, **more}


@contextmanager
def process(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that is sent SIGTERM at the end of the block, and has ended after it."""
    piped = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=cwd, env=env)
    with piped as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.terminate()
            try:
                started.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                started.kill()
                raise


@contextmanager
def served(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A `turnkeeper serve`, and the port that it has said it listens on."""
    with process(words, cwd=cwd, env=env) as server:
        line = line_of(server.stdout)
        assert " on http://127.0.0.1:" in line, f"it said {line!r}"
        yield server, int(line.split(" on http://127.0.0.1:")[1].split("/")[0])


@contextmanager
def nginx_before(upstream: int, folder: Path) -> Iterator[int]:
    """nginx with the configuration of the docs before that port of this machine; its own port.

    What is around the site's own file is the page's, and otherwise as unhelpful as a distribution's may be.
    """
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("needs nginx: apt-get install nginx")
    port = free_port()
    (folder / "site.conf").write_text(site(port, upstream, folder))
    (folder / "nginx.conf").write_text(_around(folder))
    words = [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(words, cwd=folder, env=environment({}), stderr=subprocess.PIPE) as started:
        said = ""
        while "start worker process " not in said:  # it listens since before that
            line = line_of(started.stderr)
            assert line, f"nginx has ended: {said}"
            said += line
        assert "[warn]" not in said, said
        yield port


def site(port: int, upstream: int, folder: Path) -> str:
    """The site's own file, with ports that are free and a log in this folder."""
    text = (FILES / "nginx.conf").read_text()
    for theirs, ours in (
        (UPSTREAM, f"server 127.0.0.1:{upstream};"),
        (LISTENS, f"listen 127.0.0.1:{port};"),
        (LOGS, f"{folder}/"),
    ):
        assert text.count(theirs) == 1, f"{theirs} once, so that it can be replaced"
        text = text.replace(theirs, ours)
    return text


def _around(folder: Path) -> str:
    from_the_page = PAGE.split("```nginx\n")[1].split("```")[0]
    places = "".join(
        f"{each}_temp_path {folder}/{each};\n"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        daemon off;
        {"user root;" if os.geteuid() == 0 else ""}
        pid {folder}/nginx.pid;
        error_log stderr notice;
        {from_the_page}
        http {{
            {places}
            access_log off;
            gzip on;
            gzip_types *;
            include {folder}/site.conf;
        }}
        """


def line_of(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.readline()


def stop(server: subprocess.Popen[str], number: str) -> int:
    """Send the signal of that name; the exit status."""
    server.send_signal(signal.Signals[number])
    return server.wait(PATIENCE)
