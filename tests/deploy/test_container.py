"""The container file of the docs: read, its steps taken in a clean environment, and its command run. No image
is built: what only an engine can do (the base image, the user) is held against what it must be."""

import asyncio
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.deploy.running import FILES, PAGE, ROOT, environment, process, served, stop
from tests.web.fakes_web import PATIENCE, Door, free_port
from turnkeeper.web import WebSettings
from turnkeeper.web.command.exit_codes import ExitCode

#: Seconds that a step may take: one asks the package index.
PATIENCE_WITH_A_STEP = 240.0
TOKEN = "ada:ada-secret"


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the file, in order, with what follows it."""
    text = (FILES / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [line.partition(" ") for line in lines]
    known = ["FROM", "WORKDIR", "COPY", "RUN", "ENV", "EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK", "CMD"]
    known += ["VOLUME"]
    assert [name for name, _, _ in found if name not in known] == []
    return [(name, rest.strip()) for name, _, rest in found]


INSTRUCTIONS = instructions()


def only(name: str) -> str:
    values = [rest for each, rest in INSTRUCTIONS if each == name]
    assert len(values) == 1, f"{name}: {values}"
    return values[0]


# -- What it says -----------------------------------------------------------------------------------


def test_it_is_built_on_a_python_that_is_tested() -> None:
    assert INSTRUCTIONS[0][0] == "FROM"
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim", only("FROM"))
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in setup["metadata"]["classifiers"].splitlines()


def test_nothing_is_installed_after_it_has_given_up_its_rights() -> None:
    names = [name for name, _ in INSTRUCTIONS]
    assert max(index for index, name in enumerate(names) if name in ("RUN", "COPY")) < names.index("USER")
    assert all(int(number) > 0 for number in only("USER").split(":"))


def test_chats_are_in_a_volume_that_the_server_owns_and_the_page_mounts() -> None:
    user, group = only("USER").split(":")
    assert f"-m 700 -o {user} -g {group} {only('VOLUME')}" in " ".join(rest for _, rest in INSTRUCTIONS)
    assert f"TURNKEEPER_DATA={only('VOLUME')}/turnkeeper.db" in [
        rest for name, rest in INSTRUCTIONS if name == "ENV"
    ]
    assert f":{only('VOLUME')} " in PAGE.split("podman run ")[1].split("```")[0]


def test_what_runs_in_it_is_no_shell_and_is_stopped_as_the_server_expects() -> None:
    assert json.loads(only("CMD"))[0] == "turnkeeper"
    assert json.loads(only("HEALTHCHECK").split(" CMD ")[1])[0] == "python"
    assert only("STOPSIGNAL") == "SIGTERM"


def test_the_pages_run_line_has_a_grace_above_the_deadline_and_descriptors_as_in_the_unit() -> None:
    line = PAGE.split("podman run ")[1].split("```")[0]
    grace = re.search(r"--stop-timeout (\d+)", line)
    files = re.search(r"--ulimit nofile=(\d+):\1 ", line)
    assert grace is not None
    assert files is not None
    assert int(grace[1]) >= WebSettings().shutdown_deadline + 2
    assert f"LimitNOFILE={files[1]}\n" in (FILES / "turnkeeper.service").read_text()
    assert f"worker_rlimit_nofile {files[1]};" in PAGE


# -- What it does -----------------------------------------------------------------------------------


@dataclass
class Container:
    """What an engine would have made, in a folder: its root, and the environment of its processes."""

    root: Path
    workdir: Path
    env: dict[str, str]

    def run(self, words: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.workdir,
            env={**self.env, **more},
            capture_output=True,
            text=True,
            timeout=PATIENCE_WITH_A_STEP,
            check=False,
        )


def build(folder: Path) -> Container:
    """Take the file's steps in their order, in a folder for the root and a clean environment for Python."""
    python = folder / "python"
    venv.create(python, with_pip=True, symlinks=True)
    env = environment({"PATH": f"{python}/bin:/usr/bin:/bin"})
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        env.pop(name, None)
    container = Container(folder / "root", folder / "root", env)
    volume = container.root / only("VOLUME").removeprefix("/")
    for name, rest in INSTRUCTIONS:
        match name:
            case "WORKDIR":
                container.workdir = container.root / rest.removeprefix("/")
                container.workdir.mkdir(parents=True)
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    copy(ROOT / source, container.workdir / target)
            case "RUN":
                done = container.run(["sh", "-ec", in_folder(rest, volume)])
                assert done.returncode == 0, done.stdout + done.stderr
            case "ENV":
                pairs = shlex.split(in_folder(rest, volume))
                container.env.update(dict(pair.split("=", 1) for pair in pairs))
            case _:
                pass  # what only an engine can do
    return container


def in_folder(text: str, volume: Path) -> str:
    """A step with this folder as the volume, and this user as its owner."""
    text = re.sub(r"-o \d+ -g \d+", f"-o {os.getuid()} -g {os.getgid()}", text)
    return re.sub(rf"(?<=[ =]){only('VOLUME')}\b", str(volume), text)


def copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's contents into the target, a file into a target that is a folder."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        assert target.is_dir()
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Container:
    return build(tmp_path_factory.mktemp("container"))


@pytest.fixture
def started(container: Container) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command of the container, on this machine's own address."""
    port = free_port()
    here = {"TURNKEEPER_HOST": "127.0.0.1", "TURNKEEPER_PORT": str(port), "TURNKEEPER_TOKENS": TOKEN}
    with served(json.loads(only("CMD")), cwd=container.workdir, env={**container.env, **here}) as server:
        yield server


async def test_its_steps_install_what_its_command_serves_and_its_check_asks(
    container: Container, started: tuple[subprocess.Popen[str], int]
) -> None:
    server, port = started
    check = json.loads(only("HEALTHCHECK").split(" CMD ")[1])
    async with aiohttp.ClientSession() as client:
        door = Door(port, client, token="ada-secret")
        assert (await door.get("/healthz")).body["status"] == "ok"
        await door.sent("s1", "hello")
    healthy = await asyncio.to_thread(container.run, check, TURNKEEPER_PORT=str(port))
    assert healthy.returncode == 0, healthy.stderr
    assert await asyncio.to_thread(stop, server, only("STOPSIGNAL")) == 0
    kept = container.root / only("VOLUME").removeprefix("/") / "turnkeeper.db"
    assert await asyncio.to_thread(os.path.getsize, kept) > 0
    assert (await asyncio.to_thread(container.run, check, TURNKEEPER_PORT=str(port))).returncode == 1


def test_without_tokens_it_does_not_start(container: Container) -> None:
    with process(
        json.loads(only("CMD")), cwd=container.workdir, env=container.env, stderr=subprocess.PIPE
    ) as server:
        _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == ExitCode.USAGE
    assert "without tokens" in said
