"""What all sessions of one registry share, and the switch for its debug logs."""

import logging

import pytest

from tests.fakes import ScriptedAgent, opened, plain
from turnkeeper.actors.registry import shared
from turnkeeper.actors.registry.shared import debug_from


@pytest.fixture
def bare_logger(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger as it is in a process that has set up no logging."""
    bare = logging.Logger("turnkeeper")  # noqa: LOG001  one that pytest does not know
    monkeypatch.setattr(shared, "logger", bare)
    return bare


@pytest.mark.parametrize("text", ["True", "true", " TRUE ", "1"])
def test_the_environment_turns_debug_logs_on(bare_logger: logging.Logger, text: str) -> None:
    debug_from({"MR_DEBUG": text})
    assert bare_logger.level == logging.DEBUG
    assert len(bare_logger.handlers) == 1
    debug_from({"MR_DEBUG": text})
    assert len(bare_logger.handlers) == 1


@pytest.mark.parametrize(
    "environ", [{}, {"MR_DEBUG": ""}, {"MR_DEBUG": "False"}, {"MR_DEBUG": "0"}], ids=plain
)
def test_anything_else_leaves_the_logs_alone(bare_logger: logging.Logger, environ: dict[str, str]) -> None:
    debug_from(environ)
    assert bare_logger.level == logging.NOTSET
    assert bare_logger.handlers == []


async def test_debug_logs_tell_every_transition_and_nothing_that_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="turnkeeper")
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "secret")
        await agent.run()
        await registry.cancel("s1")
    for transition in ("idle -> running on Submit", "running -> cancelling on Stop", "-> idle on TurnEnded"):
        assert transition in caplog.text
    assert "secret" not in caplog.text


async def test_sessions_of_one_registry_share_its_counters_and_those_of_another_do_not() -> None:
    async with opened() as one, opened() as other:
        for session in ("s1", "s2"):
            await (await one.send(session, "hello")).ended()
        assert (await one.counts()).counters["turn.completed"] == 2
        assert (await other.counts()).counters.get("turn.completed", 0) == 0
