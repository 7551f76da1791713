"""The rig of ``conftest.py``, tested by tests that break its rules: a check that cannot fail is a defect.

The samples run once, in a pytest of their own with this project's ``setup.cfg`` and ``conftest.py``.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parent.parent

SAMPLES = """
import asyncio, contextlib, socket, subprocess, tempfile, threading, time, warnings

import hypothesis, pykka, pytest
from aiohttp import web
from hypothesis import strategies as st

kept = []


class Idle(pykka.ThreadingActor):
    pass


# --- what is refused ---

async def test_bad_task():
    kept.append(asyncio.create_task(asyncio.Event().wait()))

async def test_bad_task_that_would_end_soon():
    kept.append(asyncio.create_task(asyncio.sleep(30)))

@pytest.fixture
async def careless():
    kept.append(asyncio.create_task(asyncio.Event().wait()))
    yield

async def test_bad_task_of_a_fixture(careless):
    pass

@hypothesis.settings(max_examples=2)
@hypothesis.given(st.booleans())
async def test_bad_task_of_a_property(x):
    kept.append(asyncio.create_task(asyncio.Event().wait()))

def test_bad_thread():
    threading.Thread(target=kept_event.wait, name="lingerer", daemon=True).start()

kept_event = threading.Event()

def test_bad_socket():
    kept.append(socket.socket())

async def test_bad_server():
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    kept.append(socket.socket(fileno=socket.dup(server.sockets[0].fileno())))
    server.close()

def test_bad_process():
    kept.append(subprocess.Popen(["sleep", "60"]))

def test_bad_file():
    tempfile.mkstemp(prefix="forgotten-")

def test_bad_actor():
    kept.append(Idle.start())

@pytest.mark.timeout(0.5)
async def test_bad_hang():
    await asyncio.Event().wait()

async def test_bad_blocking_call():
    time.sleep(0.001)

async def test_bad_blocking_call_that_is_swallowed():
    with contextlib.suppress(Exception):
        time.sleep(0.001)

async def test_bad_blocking_wait_for_a_thread():
    ref = Idle.start()
    try:
        ref.ask("x", block=False).get(timeout=1)
    finally:
        await asyncio.to_thread(ref.stop)

async def test_bad_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

def test_bad_warning():
    warnings.warn("w", DeprecationWarning)

@pytest.mark.blocks_the_loop
async def test_bad_marker_without_a_reason():
    pass

@pytest.mark.leaves_behind("tsaks", why="typo")
def test_bad_marker_with_a_typo():
    pass

# --- what is fine ---

async def test_ok_plain():
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

def test_ok_file(tmp_path):
    (tmp_path / "kept").touch()
    with tempfile.NamedTemporaryFile():
        pass

async def test_ok_executor():
    await asyncio.to_thread(time.sleep, 0.001)
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)

async def test_ok_actor():
    ref = Idle.start()
    await asyncio.to_thread(ref.stop)

async def test_ok_http(aiohttp_client):
    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: 1\\n\\n")
        await asyncio.Event().wait()
    app = web.Application()
    app.router.add_get("/", stream)
    client = await aiohttp_client(app)
    response = await client.get("/")
    assert await response.content.readline() == b"data: 1\\n"

async def test_ok_import_on_the_loop():
    import wsgiref.validate

async def test_ok_subprocess():
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0

@hypothesis.given(st.integers())
async def test_ok_property(x):
    await asyncio.sleep(0)

@pytest.mark.blocks_the_loop("to see that it may")
async def test_ok_marked_block():
    time.sleep(0.001)

everything = "tasks", "threads", "sockets", "processes", "actors", "files"

@pytest.mark.leaves_behind(*everything, why="to see that it may")
async def test_ok_marked_leaver():
    await asyncio.to_thread(tempfile.mkstemp)
    kept.append(await asyncio.to_thread(subprocess.Popen, ["sleep", "60"]))
    kept.append(asyncio.create_task(asyncio.Event().wait()))
    kept.append(socket.socket())
    kept.append(Idle.start())

@pytest.mark.loop_errors("to see that it may")
async def test_ok_marked_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

@pytest.fixture(scope="module", autouse=True)
def end():
    yield
    kept_event.set()
    for thing in kept:
        if isinstance(thing, socket.socket):
            thing.close()
        elif isinstance(thing, subprocess.Popen):
            thing.kill()
            thing.wait()
        elif isinstance(thing, pykka.ActorRef):
            thing.stop()

# --- skips ---

@pytest.mark.skip(reason="no reason")
def test_skip_by_mark():
    pass

def test_skip_by_call():
    pytest.skip("no reason")

@pytest.mark.xfail(reason="no reason")
def test_skip_by_xfail():
    assert False

@pytest.mark.parametrize("x", [])
def test_skip_by_no_parameters(x):
    pass
"""
SKIPPED_MODULE = "import pytest\npytest.importorskip('no_such_module_anywhere')\n"
OPTIONS = ("-q", "--continue-on-collection-errors", "--junitxml=report.xml")


def in_a_run_of_its_own(
    folder: Path, samples: Mapping[str, str], *options: str, no_skips: str = ""
) -> subprocess.CompletedProcess[str]:
    """What pytest says of these files under this project's ``setup.cfg`` and ``conftest.py``."""
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "setup.cfg", folder)
    shutil.copy(ROOT / "tests/conftest.py", folder / "tests")
    for name, text in samples.items():
        (folder / "tests" / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *options],
        cwd=folder,
        env=os.environ | {"NO_SKIPS": no_skips, "RIG_PATIENCE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run(folder: Path, *options: str, no_skips: str) -> Mapping[str, str]:
    """The outcome of every sample: passed, skipped, or what was said against it."""
    samples = {"test_samples.py": SAMPLES, "test_skipped_module.py": SKIPPED_MODULE}
    finished = in_a_run_of_its_own(folder, samples, *options, no_skips=no_skips)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    outcomes: dict[str, str] = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        entries = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
        outcome = "passed"
        if entries:
            outcome = " ".join(f"{entry.tag}: {entry.get('message')} {entry.text}" for entry in entries)
        outcomes[case.get("name", "").partition("[")[0]] = outcome
    return outcomes


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return run(tmp_path_factory.mktemp("lenient"), no_skips="")


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return run(tmp_path_factory.mktemp("demanding"), "-k", "skip", no_skips="1")


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("test_bad_task", "left behind: <Task"),
        ("test_bad_task_that_would_end_soon", "left behind: <Task"),
        ("test_bad_task_of_a_fixture", "left behind: <Task"),
        ("test_bad_task_of_a_property", "left behind: <Task"),
        ("test_bad_thread", "left behind: thread lingerer"),
        ("test_bad_socket", "left behind: open socket"),
        ("test_bad_server", "left behind: open socket"),
        ("test_bad_process", "left behind: process"),
        ("test_bad_file", "left behind: file forgotten-"),
        ("test_bad_hang", "Timeout"),
        ("test_bad_actor", "left behind: actor Idle"),
        ("test_bad_blocking_call", "Blocking call to time.sleep"),
        ("test_bad_blocking_call_that_is_swallowed", "blocked the event loop"),
        ("test_bad_blocking_wait_for_a_thread", "blocked the event loop"),
        ("test_bad_callback", "the event loop reported"),
        ("test_bad_warning", "DeprecationWarning"),
        ("test_bad_marker_without_a_reason", "says why"),
        ("test_bad_marker_with_a_typo", "leaves_behind takes some of"),
    ],
)
def test_a_test_that_breaks_the_rule_fails(lenient: Mapping[str, str], sample: str, said: str) -> None:
    assert said in lenient[sample]
    assert lenient[sample].startswith(("failure:", "error:"))


def test_what_keeps_the_rules_passes(lenient: Mapping[str, str]) -> None:
    good = {name: outcome for name, outcome in lenient.items() if name.startswith("test_ok_")}
    assert len(good) == SAMPLES.count("def test_ok_")
    assert set(good.values()) == {"passed"}, good


def test_an_address_in_the_name_of_a_test_ends_the_run(tmp_path: Path) -> None:
    sample = """import pytest\n@pytest.mark.parametrize("x", [object()], ids=repr)\ndef test_x(x): pass\n"""
    finished = in_a_run_of_its_own(tmp_path, {"test_names.py": sample})
    assert finished.returncode == pytest.ExitCode.USAGE_ERROR
    assert "an address in the name of a test: tests/test_names.py::test_x" in finished.stderr


def test_the_rig_allows_coverage_to_be_measured(tmp_path: Path) -> None:
    sample = "import asyncio\nasync def test_x():\n    await asyncio.sleep(0)\n"
    finished = in_a_run_of_its_own(tmp_path, {"test_x.py": sample}, "--cov=tests")
    assert finished.returncode == pytest.ExitCode.OK, finished.stdout
    assert "100%" in finished.stdout


SKIPS = ["test_skip_by_mark", "test_skip_by_call", "test_skip_by_xfail", "test_skip_by_no_parameters"]


@pytest.mark.parametrize("sample", SKIPS)
def test_a_skip_is_a_skip_on_an_ordinary_run(lenient: Mapping[str, str], sample: str) -> None:
    assert lenient[sample].startswith("skipped:")


@pytest.mark.parametrize("sample", SKIPS)
def test_a_skip_is_a_failure_where_nothing_may_be_skipped(demanding: Mapping[str, str], sample: str) -> None:
    assert "NO_SKIPS=1" in demanding[sample]
    assert demanding[sample].startswith(("failure:", "error:"))


def test_a_skipped_module_is_a_failure_where_nothing_may_be_skipped(
    lenient: Mapping[str, str], demanding: Mapping[str, str]
) -> None:
    (name,) = (name for name in lenient if "skipped_module" in name)
    assert lenient[name].startswith("skipped:")
    assert demanding[name].startswith("error:")
