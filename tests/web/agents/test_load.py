import asyncio
import sys
from pathlib import Path

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.web.agents.builtin import BUILT_IN
from turnkeeper.web.agents.load import load_agents


def test_an_agent_that_comes_along_is_named_by_its_name() -> None:
    assert load_agents("echo") == BUILT_IN
    assert load_agents("stubborn") == {"default": BUILT_IN["stubborn"]}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "agent.py").write_text(
        "import asyncio\nfrom turnkeeper.actors import Agent\nasync def run(turn): pass\n"
        "class Box:\n    run = staticmethod(run)\nagain = Agent(run, on_restart='rerun')\nnumber = 1\n"
        "several = {'default': run, 'coder': run}\nempty = {}\nodd = {'default': 1}\nnumbers = {1: run}\n"
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
    (agent,) = load_agents(name).values()
    assert asyncio.iscoroutinefunction(agent)


def test_an_agent_with_its_policies_is_one_too(modules: Path) -> None:
    (agent,) = load_agents("mine.agent:again").values()
    assert isinstance(agent, Agent)


def test_a_mapping_is_several_agents_by_their_names(modules: Path) -> None:
    agents = load_agents("mine.agent:several")

    assert list(agents) == ["default", "coder"]
    assert all(map(asyncio.iscoroutinefunction, agents.values()))


@pytest.mark.parametrize(
    "name",
    ["", "ehco", ":", "mine.agent", "mine.agent:", ":run", "mine.agent:nothing", "mine.agent:Box.nothing",
     "mine.agent:number", "mine.agent:empty", "mine.agent:odd",
     "mine.agent:numbers", "mine.agent:run.", "nowhere:run", "mine.nowhere:run", ".agent:run", "..:x",
     "breaks:run", "odd:run", "needs:run", "files:run", "leaves:run", "a b:run"],
)  # fmt: skip
def test_what_is_no_agent_is_refused_by_its_name(modules: Path, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        load_agents(name)

    assert refused.value.field == "agent"
    assert repr(name) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_agent_whose_import_fails_says_what_was_missing(modules: Path) -> None:
    with pytest.raises(InvalidRequest, match="not_installed_here"):
        load_agents("needs:run")
    with pytest.raises(InvalidRequest, match="ZeroDivisionError"):
        load_agents("breaks:run")
