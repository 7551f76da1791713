import asyncio
import sys
from pathlib import Path

import pytest

from tests.fakes import names, opened, read_to_end, settle, virtual_time
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import TurnStatus, Verdict
from turnkeeper.web.agents import builtin as agents
from turnkeeper.web.agents.builtin import BUILT_IN, echo, load_agent, stubborn


async def test_echo_streams_the_message_back_word_by_word_and_remembers_it() -> None:
    async with virtual_time() as clock, opened(echo) as registry:
        subscription = await registry.subscribe("s")
        receipt = await registry.send("s", "one two\nthree ")
        assert await receipt.result() == "one two\nthree "
        assert clock.elapsed == pytest.approx(3 * agents.WORD_PAUSE, abs=0.1)
        await registry.close("s")
        events = await read_to_end(subscription)

    words = [event.data["text"] for event in events if event.name == "delta"]
    assert words == ["one ", "two\n", "three "]
    assert names(events)[-2:] == ["turn.completed", "close"]


async def test_echo_has_nothing_to_say_to_nothing() -> None:
    async with opened(echo) as registry:
        assert await (await registry.send("s", [{"type": "image", "url": "x"}])).result() == ""


async def test_echo_that_is_stopped_keeps_what_it_had_said_as_cut_off() -> None:
    conversations = []

    async def spy(turn: object) -> None:
        conversations.append(turn.context.messages)  # type: ignore[attr-defined]

    async with virtual_time() as clock, opened({"echo": echo, "spy": spy}) as registry:
        await registry.send("s", "one two three", agent="echo")
        await clock.advance(agents.WORD_PAUSE * 1.5)
        answer = await registry.cancel("s")
        assert answer.verdict is Verdict.CANCELLED
        await (await registry.send("s", "and?", agent="spy")).ended()

    assert conversations == [
        [
            {"role": "user", "content": "one two three"},
            {"role": "assistant", "content": "one ", "cut_off": True},
        ]
    ]


async def test_stubborn_does_not_listen_and_ends_by_itself() -> None:
    async with virtual_time() as clock, opened(stubborn) as registry:
        receipt = await registry.send("s", "hello")
        answer = await registry.cancel("s")
        assert answer.verdict is Verdict.UNRESPONSIVE
        await clock.advance(61)
        await settle()
        record = await registry.turn("s", receipt.turn_id)

    assert record.ended_late is not None
    assert record.ended_late.outcome is TurnStatus.COMPLETED


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
