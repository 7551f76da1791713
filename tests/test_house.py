"""The rules of the house that no tool holds by itself."""

import ast
import configparser
import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("actors", "web")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MOST_LINES = 400

# Files without a test file of their own, each with the reason.
NO_TEST_OF_ITS_OWN = {
    "actors/values.py": "one decorator; every message and record is a test of it",
    "actors/receipt.py": "test_registry.py and test_services.py ask every receipt",
    "actors/under_way.py": "two notebooks of the registry actor; test_registry_actor.py reads them",
    "actors/readers.py": "test_subscription.py and test_session_actor.py read through it",
    "web/openai_options.py": "test_serve.py and test_openai_agent.py give them",
    "web/audit_command.py": "test_audit.py runs it",
}
# Tests of no single file, each with what it is about.
TESTS_OF_MORE = {
    "actors/test_session_search.py": "the exhaustive search over session.py",
    "actors/test_cancelling_on_asyncio.py": "what goes wrong when cancelling on asyncio, row by row",
}
# Files that are longer, each with the reason.
LONGER = {
    "actors/session.py": "rule 1 at its top: everything that decides what happens to a session is in it",
    "actors/runtime.py": "an actor and its ref know each other's insides, as in Pykka",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def each_file(parameter: str = "path") -> pytest.MarkDecorator:
    return pytest.mark.parametrize(parameter, FILES, ids=name_of)


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_files_to_hold_to_the_rules(room: str) -> None:
    assert {ROOT / room / "__init__.py"} < {path for path in FILES if path.parent.name == room}


@pytest.mark.parametrize("room", ROOMS)
def test_tests_mirror_the_rooms(room: str) -> None:
    files = {path.stem for path in FILES if path.parent == ROOT / room} - {"__init__"}
    # A folder of data, such as the pages, has its test file too.
    files |= {path.name for path in (ROOT / room).iterdir() if path.is_dir() and path.name != "__pycache__"}
    excused = {Path(name).stem for name in NO_TEST_OF_ITS_OWN if name.startswith(f"{room}/")}
    more = {Path(name).stem.removeprefix("test_") for name in TESTS_OF_MORE if name.startswith(f"{room}/")}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).rglob("test_*.py")}
    assert more <= tested, "TESTS_OF_MORE names a test that is not there"
    tested -= more
    assert not files - excused - tested, "files without their test file, or a reason in NO_TEST_OF_ITS_OWN"
    assert not tested - files, "test files without their room file"
    assert not excused & tested, "excused, and tested after all"
    assert not excused - files, "excused, and no longer there"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_stay_flat(room: str) -> None:
    assert not [name_of(path) for path in FILES if path.parent.name != room and room in path.parts]


@each_file()
def test_no_file_is_too_long_to_be_read_at_one_sitting(path: Path) -> None:
    long = len(path.read_text().splitlines()) > MOST_LINES
    assert long == (name_of(path) in LONGER), "longer than that, or no longer longer"


@each_file()
def test_imports_are_relative_inside_a_room_and_absolute_across(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        assert getattr(node, "level", 0) <= 1, f"line {node.lineno} climbs out of the room"
        for module in imported(node):
            assert not f"{module}.".startswith(f"turnkeeper.{room}."), f"line {node.lineno}: relative, please"
            assert module.partition(".")[0] not in ROOMS, f"line {node.lineno}: turnkeeper.{module}, please"


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
    for room in ROOMS:
        module = importlib.import_module(f"turnkeeper.{room}")
        yield from ((room, name) for name in module.__all__)


@pytest.mark.parametrize("room", ROOMS)
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
        source = reexported(room).get(name, "__init__")
        assert is_told(ROOT / room / f"{source}.py", name), f"{name}: a comment or a string should tell it"


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


@pytest.mark.parametrize("room", ROOMS)
def test_an_import_under_the_bare_name_says_the_right_one(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    assert room not in sys.modules
    with pytest.raises(ImportError, match=rf"turnkeeper\.{room}"):
        importlib.import_module(room)
    assert room not in sys.modules


def test_every_room_is_listed_as_a_package() -> None:
    config = setup_cfg()
    packages = config["options"]["packages"].split()
    assert packages == [f"turnkeeper.{room}" for room in ROOMS]
    assert config["options"]["package_dir"].split() == [
        word for room in ROOMS for word in (f"turnkeeper.{room}", "=", room)
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
    return {match.group() for match in found if match}


def test_every_dependency_has_a_line_with_its_reason() -> None:
    page = (ROOT / "docs/explanation/dependencies.md").read_text()
    told = dict(re.findall(r"^- `([\w.-]+)`: (.{10,})$", page, re.MULTILINE))
    assert set(told) == dependencies()


# Hosts of package registries, and folders of one machine: neither is anybody else's business.
NOT_OURS = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|deb[.]debian[.]org|/opt/py[p]i"
    r"|(?<![\w.$}])/(?:root|work|home|Users)/",
)
MADE = {"__pycache__", "_build", "node_modules"}


def written() -> Iterator[Path]:
    for top in ROOT.iterdir():
        if top.is_file() and top.name != ".git":  # a worktree's says where it is
            yield top
        elif top.name in {*ROOMS, "tests", "docs", ".ci"}:
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
