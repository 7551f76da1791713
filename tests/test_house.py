"""The rules of the house that no tool holds by itself."""

import ast
import configparser
import dataclasses
import importlib
import inspect
import json
import re
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("actors", "web")
FILES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})
MOST_FILES = 15
MOST_LINES_A_CLASS = 200

_CONFORMANCE = "tests/actors/journal/test_conformance.py holds the journal in a file to the one in memory"
_BAD_DAYS = (
    "test_bad_days.py and tests/actors/journal/test_conformance.py: what it does, and where it is failed"
)
# Files without a test file of their own, each with the reason.
NO_TEST_OF_ITS_OWN = {
    "web/wires/ai_sdk/wire.py": "a table; test_chat.py beside it asks each route over HTTP",
    "web/wires/openai/wire.py": "a table; the tests of its handlers ask each route over HTTP",
    "web/wires/openai/responses/item.py": "test_fold.py beside it folds turns into items of all kinds",
    "actors/admission/chain.py": "test_holdings.py and test_sleepers.py hold two chains against lists",
    "actors/registry/durable/answers.py": "test_loading.py and test_repeats.py ask, with and without answers",
    "actors/registry/durable/mail.py": "test_journaled.py and test_repeats.py send early cancels with it",
    "actors/registry/durable/cargo.py": "test_journaled.py and test_loading.py send it with decisions",
    "actors/registry/durable/restoring.py": "test_loading.py puts sessions into memory with it",
    "actors/registry/durable/sealing.py": "test_journaled.py ends turns with what JSON cannot say",
    "actors/journal/where.py": "tests/web/test_app.py and test_launch.py name files",
    "actors/journal/contract.py": "a protocol and data; the conformance suite holds every journal to it",
    "actors/journal/sqlite/writing/group.py": _CONFORMANCE,
    "actors/journal/sqlite/writing/log.py": _BAD_DAYS,
    "actors/journal/sqlite/writing/mail.py": _BAD_DAYS,
    "actors/journal/sqlite/reading/events.py": _CONFORMANCE,
    "actors/journal/sqlite/reading/lists.py": _CONFORMANCE,
    "actors/journal/sqlite/reading/load.py": _CONFORMANCE,
    "actors/journal/sqlite/reading/queries.py": _CONFORMANCE,
    "actors/journal/sqlite/reading/said.py": _CONFORMANCE,
    "actors/journal/sqlite/rows.py": "data only; the conformance suite writes and reads it",
    "actors/journal/sqlite/database.py": _BAD_DAYS,
    "actors/journal/sqlite/post.py": _BAD_DAYS,
    "actors/journal/sqlite/readers.py": _BAD_DAYS,
    "actors/journal/sqlite/writing/writer.py": _BAD_DAYS,
    "actors/journal/sqlite/writing/tables.py": _CONFORMANCE,
    "actors/journal/tools/exporting.py": "test_importing.py exports what it imports",
    "actors/journal/tools/figures.py": "web/command/journal/test_commands.py shows them",
    "actors/journal/tools/file.py": "web/command/journal/test_commands.py opens files of all kinds with it",
    "actors/journal/tools/lines.py": "test_importing.py reads and writes them",
    "actors/journal/tools/rebuild.py": "test_checking.py holds it to whatever is written",
    "actors/journal/tools/removing.py": "web/command/journal/test_commands.py prunes and forgets with it",
    "web/command/journal/on_file.py": "test_commands.py beside it names files of all kinds",
    "web/command/journal/on_server.py": "test_commands.py beside it has a server forget a user",
    "web/command/journal/tables.py": "test_commands.py beside it shows them",
    "actors/registry/turns/left.py": "test_performer.py ends turns that leave something, and nothing",
    "actors/turn/tools/call.py": "tests/actors/turn/abilities/test_calling.py calls tools with it",
    "actors/turn/winding/published.py": "test_stoppable.py and test_restarts.py ask for what was said",
    "actors/turn/abilities/host.py": "a protocol without a body",
    "actors/turn/abilities/hosted.py": "test_turn.py gives titles, and test_pipeline.py runs stages",
    "actors/turn/abilities/own.py": "what each of the other abilities has to itself, tested with that",
    "actors/turn/abilities/working.py": "the tests of work/ begin tasks, threads and processes with it",
    "actors/turn/work/process.py": "test_processes.py beside it starts and stops it",
    "actors/turn/work/means.py": "what is handed on; tested with what it is handed to",
    "actors/testing/fault.py": "test_sweep.py beside it has an agent for each of the codes",
    "actors/testing/leftovers.py": "test_sweep.py beside it has agents that leave something of each kind",
    "actors/testing/opening.py": "test_fake_turn.py beside it opens registries with it",
    "actors/testing/outside.py": "test_clock.py beside it waits for threads, processes and connections",
    "actors/testing/trying.py": "test_sweep.py beside it has an agent for each fault it looks for",
    "actors/testing/watch.py": "test_sweep.py beside it says at which awaits agents are cancelled",
    "actors/runtime/query.py": "one class without a body; test_actor.py asks one for its reply's type",
    "web/http/several/reader.py": "tests/journeys/test_several_sessions.py reads from it over HTTP",
    "web/http/several/table.py": "tests/journeys/test_several_sessions.py opens, names and ends its streams",
    "web/command/options.py": "test_commands.py, test_launch.py and test_openai.py give them",
    "web/audit/command.py": "test_run.py runs it",
    "web/audit/log.py": "what is written down; test_judge.py and test_users.py read it",
    "web/audit/answer_reader.py": "test_run.py reads with it from good servers and bad ones of each wire",
    "web/audit/judging/faults.py": "data only; test_judge.py beside it plants each of them",
    "web/audit/judging/reads.py": "test_judge.py beside it plants each fault that it finds",
    "web/audit/judging/stops.py": "test_judge.py beside it plants each fault that it finds",
    "web/audit/judging/turns.py": "test_judge.py beside it plants each fault that it finds",
    "web/audit/reader.py": "what the other two readers have in common",
    "web/audit/session_reader.py": "test_users.py reads, drops and comes back with it",
}
# Tests of no single file, each with what it is about.
TESTS_OF_MORE = {
    "actors/admission/simulation/test_figures.py": "a server that one user floods, on a virtual clock",
    "actors/admission/test_search.py": "the exhaustive search over scheduler.py",
    "actors/registry/admitting/test_two.py": "the exhaustive search over two sessions that share slots",
    "actors/registry/durable/test_in_between.py": "what happens between a decision and its landing",
    "actors/registry/durable/test_restarts.py": "what a restart does to turns, their readers and agents",
    "actors/registry/durable/test_interleavings.py": "whatever a disk does between two decisions",
    "actors/journal/sqlite/test_bad_days.py": "a full disk, a lost file, a killed process, each for real",
    "actors/journal/test_conformance.py": "what every journal does",
    "actors/session/test_search.py": "the exhaustive search over machine.py",
    "actors/test_cancelling_on_asyncio.py": "what goes wrong when cancelling on asyncio, row by row",
    "actors/test_joining_messages.py": "the strategy collapse, from a send to its end and over a restart",
    "actors/test_waiting_in_a_turn.py": "every way in which a turn waits for another one",
    "actors/test_plain_agents.py": "agents of def, in their threads",
    "web/openapi/test_docs_page.py": "the page at /docs in a browser",
    "web/pages/test_family.py": "what turns have sent to other chats, on the chat page in a browser",
    "web/pages/test_look.py": "what no event says of a turn, on the chat page in a browser",
    "web/pages/test_old_client.py": "a chat page from before turnkeeper, in a browser",
    "web/pages/test_pages.py": "the chat page in a browser",
    "web/pages/test_queue.py": "the messages that wait, on the chat page in a browser",
    "web/pages/test_vocabulary.py": "the page's words, which are JavaScript's",
}
# Classes that are longer, each with the reason.
LONGER: dict[str, str] = {}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def each_file(parameter: str = "path") -> pytest.MarkDecorator:
    return pytest.mark.parametrize(parameter, FILES, ids=name_of)


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", TOPS)
def test_there_are_files_to_hold_to_the_rules(top: str) -> None:
    assert {ROOT / top / "__init__.py"} < {path for path in FILES if top in path.parts}


def test_tests_mirror_the_rooms() -> None:
    files = {name_of(path) for path in FILES if path.name != "__init__.py"}
    tests = {
        path.relative_to(ROOT / "tests").as_posix()
        for top in TOPS
        for path in (ROOT / "tests" / top).rglob("test_*.py")
    }
    tested = {test.replace("/test_", "/") for test in tests - set(TESTS_OF_MORE)}
    assert set(TESTS_OF_MORE) <= tests, "TESTS_OF_MORE names a test that is not there"
    assert not files - set(NO_TEST_OF_ITS_OWN) - tested, "files without a test file or a reason to have none"
    assert not tested - files, "test files without the file they are about"
    assert not set(NO_TEST_OF_ITS_OWN) & tested, "excused, and tested after all"
    assert not set(NO_TEST_OF_ITS_OWN) - files, "excused, and no longer there"


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST_FILES


@each_file()
def test_a_class_is_one_noun_and_short(path: Path) -> None:
    long = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MOST_LINES_A_CLASS
    ]
    assert long == LONGER.get(name_of(path), "").split(), "longer than that, or no longer longer"


@each_file()
def test_imports_are_relative_inside_a_room_and_absolute_across(path: Path) -> None:
    room = f"turnkeeper.{'.'.join(path.relative_to(ROOT).parts[:-1])}."
    top_level = path.parent.name in TOPS
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        assert getattr(node, "level", 0) <= 1, f"line {node.lineno} climbs out of the room"
        for module in imported(node):
            assert top_level or not f"{module}.".startswith(room), f"line {node.lineno}: relative, please"
            assert module.partition(".")[0] not in TOPS, f"line {node.lineno}: turnkeeper.{module}, please"


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if node.level == 0 else []


# --- public names -------------------------------------------------------------------------------------------


def reexported(room: str) -> dict[str, str]:
    """What a room's __init__ imports from its files: name -> file, in that order."""
    tree = ast.parse((ROOT / room / "__init__.py").read_text())
    return {
        alias.asname or alias.name: node.module or ""
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }


def public() -> Iterator[tuple[str, str]]:
    for room in TOPS:
        module = importlib.import_module(f"turnkeeper.{room}")
        yield from ((room, name) for name in module.__all__)


@pytest.mark.parametrize("room", TOPS)
def test_public_names_stand_grouped_by_file_in_the_order_of_their_imports(room: str) -> None:
    names: list[str] = importlib.import_module(f"turnkeeper.{room}").__all__
    assert len(names) == len(set(names))
    # Ruff keeps the imports sorted, by file and within each.
    assert [name for name in names if name in reexported(room)] == list(reexported(room))


@pytest.mark.parametrize(("room", "name"), list(public()))
def test_a_public_name_is_there_and_documented(room: str, name: str) -> None:
    thing = getattr(importlib.import_module(f"turnkeeper.{room}"), name)
    if inspect.isclass(thing):
        said = thing.__dict__.get("__doc__") or ""
        # A dataclass or named tuple without a docstring is given its own signature for one.
        assert said, f"{name} has no docstring"
        assert not said.startswith(f"{name}("), f"{name} has no docstring"
    elif inspect.isroutine(thing):
        assert inspect.getdoc(thing), f"{name} has no docstring"
    else:
        source = reexported(room).get(name, "__init__").replace(".", "/")
        assert is_told(ROOT / room / f"{source}.py", name), f"{name}: a comment or a string should tell it"


def test_what_a_public_value_is_made_of_is_public() -> None:
    """A reader of `TurnEnd.outcome` needs `Returned`, one of `TurnRecord.head` needs `TurnHead`."""
    room = importlib.import_module("turnkeeper.actors")
    ours = {getattr(room, name): name for name in room.__all__ if inspect.isclass(getattr(room, name))}
    for kind in [kind for kind in ours if dataclasses.is_dataclass(kind)]:
        for hint in typing.get_type_hints(kind).values():
            for part in (hint, *typing.get_args(hint)):
                mine = inspect.isclass(part) and part.__module__.startswith("turnkeeper.")
                assert not mine or part in ours, f"{ours[kind]} has a {part.__name__}"


def is_told(path: Path, name: str) -> bool:
    """Whether an assigned name has a comment above or beside it, or a string below it."""
    text = path.read_text()
    lines, body = text.splitlines(), ast.parse(text).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert node.end_lineno is not None
            around = [lines[node.lineno - 2].strip()[:1], *("#" * ("#" in lines[node.end_lineno - 1]))]
            below = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            return "#" in around or below
    return False


# --- import names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", TOPS)
def test_an_import_under_the_bare_name_says_the_right_one(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    assert room not in sys.modules
    with pytest.raises(ImportError, match=rf"turnkeeper\.{room}"):
        importlib.import_module(room)
    assert room not in sys.modules


def test_every_room_is_listed_as_a_package() -> None:
    config = setup_cfg()
    assert config["options"]["packages"].split() == sorted(
        f"turnkeeper.{name_of(folder).replace('/', '.')}" for folder in FOLDERS
    )
    assert config["options"]["package_dir"].split() == [
        word for top in TOPS for word in (f"turnkeeper.{top}", "=", top)
    ]


# --- what is written down -----------------------------------------------------------------------------------


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    return config


def dependencies() -> set[str]:
    config = setup_cfg()
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lists += tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    found = {re.match(r"[\w.-]+", line) for text in lists for line in text.split("\n") if line}
    vendored = {json.loads(path.read_text())["name"] for path in (ROOT / "web").rglob("package.json")}
    in_node = json.loads((ROOT / "tests/clients/package.json").read_text())["dependencies"]
    return {match.group() for match in found if match} | vendored | {f"npm:{name}" for name in in_node}


def test_every_dependency_has_a_line_with_its_reason() -> None:
    page = (ROOT / "docs/explanation/dependencies.md").read_text()
    reasons = dict(re.findall(r"^- `([\w.@/:-]+)`: (.{10,})$", page, re.MULTILINE))
    assert set(reasons) == dependencies()


def test_ci_is_held_to_a_version_of_everything_it_installs() -> None:
    config, makefile = setup_cfg(), (ROOT / "Makefile").read_text()
    testing = re.findall(r"^TESTING := (\S+)$", makefile, re.MULTILINE)
    extras = [*testing[0].split(","), "lint", "docs"]
    lists = [
        config["options"]["install_requires"],
        *(config["options.extras_require"][each] for each in extras),
    ]
    needed = {match.group() for text in lists for match in re.finditer(r"^[\w.-]+", text, re.MULTILINE)}
    assert needed <= held_to("constraints"), "run: make constraints"
    assert "schemathesis" in held_to("schemathesis")


def held_to(name: str) -> set[str]:
    """The packages in that file, each a name with one version; registries' hosts are none of it."""
    lines = (ROOT / ".ci" / f"{name}.txt").read_text().splitlines()[1:]
    version = re.compile(r"([a-z0-9.-]+)==[\w.]+(; python_version [=><]= \"3\.\d+\"( or .*)?)?")
    found = [version.fullmatch(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return {match[1] for match in found if match}


def test_the_clients_for_node_are_held_to_contents_and_not_to_a_host() -> None:
    lock = json.loads((ROOT / "tests/clients/package-lock.json").read_text())
    packages = [each for name, each in lock["packages"].items() if name]
    assert packages
    assert all("integrity" in each and "resolved" not in each for each in packages), "npm writes where it was"


# Hosts of package registries, and folders of one machine: neither belongs in the repository.
NOT_OURS = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|deb[.]debian[.]org|/opt/py[p]i"
    r"|(?<![\w.$}])/(?:root|work|home|Users)/",
)
MADE = {"__pycache__", "_build", "node_modules"}


def written() -> Iterator[Path]:
    for top in ROOT.iterdir():
        if top.is_file() and top.name not in {".git", ".coverage"}:  # made here, and they say where
            yield top
        elif top.name in {*TOPS, "tests", "docs", ".ci"}:
            yield from (p for p in top.rglob("*") if p.is_file() and not MADE & set(p.parts))


def test_no_file_names_a_registry_or_a_folder_of_one_machine() -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in written()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if NOT_OURS.search(line)
    ]
    assert not found


def test_the_pattern_finds_what_it_is_for() -> None:
    host, folder = "files.python" + "hosted.org", "/ro" + "ot/.cache"
    assert NOT_OURS.search(f"https://{host}/simple")
    assert NOT_OURS.search(f"cp x {folder}")
    assert not NOT_OURS.search("$HOME/.pyenv")
    assert not NOT_OURS.search('app.router.add_get("/chat/{log_id}/work/", x)')
