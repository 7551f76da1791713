import asyncio
import sys
from pathlib import Path

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.agents.builtin import BUILT_IN
from turnkeeper.web.agents.load import load_agent


def test_an_agent_that_comes_along_is_named_by_its_name() -> None:
    assert {name: load_agent(name) for name in BUILT_IN} == BUILT_IN


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "agent.py").write_text(
        "import asyncio\nasync def run(turn): pass\nclass Box:\n    run = staticmethod(run)\nnumber = 1\n"
    )
    (tmp_path / "breaks.py").write_text("1 / 0\n")
    (tmp_path / "odd.py").write_text("def (\n")
    (tmp_path / "needs.py").write_text("import not_installed_here\n")
    (tmp_path / "files.py").write_text("open('/no/such/file')\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["mine.agent:run", "mine.agent:Box.run"])
def test_an_agent_is_found_by_its_module_and_its_name(modules: Path, name: str) -> None:
    assert asyncio.iscoroutinefunction(load_agent(name))


@pytest.mark.parametrize(
    "name",
    ["", "ehco", ":", "mine.agent", "mine.agent:", ":run", "mine.agent:nothing", "mine.agent:Box.nothing",
     "mine.agent:number", "mine.agent:run.", "nowhere:run", "mine.nowhere:run", ".agent:run", "..:x",
     "breaks:run", "odd:run", "needs:run", "files:run", "leaves:run", "a b:run"],
)  # fmt: skip
def test_what_is_no_agent_is_refused_by_its_name(modules: Path, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        load_agent(name)

    assert refused.value.field == "agent"
    assert repr(name) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_agent_whose_import_fails_says_what_was_missing(modules: Path) -> None:
    with pytest.raises(InvalidRequest, match="not_installed_here"):
        load_agent("needs:run")
    with pytest.raises(InvalidRequest, match="ZeroDivisionError"):
        load_agent("breaks:run")
