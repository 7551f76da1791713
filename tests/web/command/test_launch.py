import json
import os
import sys
from pathlib import Path

import pytest

from turnkeeper.actors import InvalidRequest
from turnkeeper.actors.turn.agent import agent_of
from turnkeeper.web.agents.builtin import BUILT_IN
from turnkeeper.web.command import cli
from turnkeeper.web.command.exit_codes import CommandFailed, ExitCode
from turnkeeper.web.command.launch import agents_of, configure, launch, policed


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PORT", "HOST", "TOKENS", "TOKEN_FILE", "CONFIG", "AGENT"):
        monkeypatch.delenv(f"TURNKEEPER_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_what_is_wrong_is_a_usage_failure_in_the_words_of_its_layer() -> None:
    with pytest.raises(CommandFailed, match="--port: port must be") as failed:
        configure(None, {"port": -1})

    assert failed.value.exit_code is ExitCode.USAGE


def test_without_tokens_only_loopback_is_served() -> None:
    with pytest.raises(CommandFailed, match="only loopback") as failed:
        launch(configure(None, {"host": "0.0.0.0"}))

    assert failed.value.exit_code is ExitCode.USAGE


def test_the_built_in_agents_come_with_echo_and_one_of_ones_own_alone(tmp_path: Path) -> None:
    (tmp_path / "mine_here.py").write_text("async def shout(turn): ...\n")

    assert agents_of({"agent": "echo"}) == (BUILT_IN, [])
    agents, close = agents_of({"agent": "mine_here:shout"})
    assert (list(agents), close) == (["default"], [])


def test_an_agent_that_no_turn_could_run_is_a_usage_failure(tmp_path: Path) -> None:
    (tmp_path / "wrong_here.py").write_text("class Agent: ...\n")

    with pytest.raises(CommandFailed, match="agent 'default' is a class: pass an instance") as failed:
        launch(configure(None, {"agent": "wrong_here:Agent"}))

    assert failed.value.exit_code is ExitCode.USAGE


def test_the_file_says_how_an_agent_is_run_above_what_its_code_says(tmp_path: Path) -> None:
    (tmp_path / "said_here.py").write_text(
        "from turnkeeper.actors import Agent\nasync def f(turn): ...\n"
        "agents = {'a': Agent(f, cancel_grace=3, queue_limit=2), 'b': f}\n"
    )
    agents, _ = agents_of({"agent": "said_here:agents"})
    found = policed(agents, {"a": {"cancel_grace": 9}}, {})
    assert agent_of(found["a"]).policy == {"cancel_grace": 9, "queue_limit": 2}
    assert found["b"] is agents["b"]
    found = policed(agents, {"a": {}, "b": {}}, {"b": ("text",)})
    assert (agent_of(found["a"]).takes, agent_of(found["b"]).takes) == (None, ("text",))


def test_a_section_about_an_agent_that_there_is_not_is_a_usage_failure(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("[agents.codr]\nqueue_limit = 1\n")
    with pytest.raises(CommandFailed, match=r"\[agents.codr\]: there is no such agent") as failed:
        launch(configure("t.toml", {}))
    assert failed.value.exit_code is ExitCode.USAGE


def test_show_config_says_each_value_and_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.toml").write_text('heartbeat = 5\ntokens = ["ada:s3cret"]\n')
    monkeypatch.setenv("TURNKEEPER_HOST", "::1")

    assert cli.main(["serve", "--config", "t.toml", "--port", "1", "--show-config"]) == 0

    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split(None, 2)[1:] for line in said.splitlines()}
    assert rows["heartbeat"] == ["5", "t.toml line 1"]
    assert rows["host"] == ['"::1"', "TURNKEEPER_HOST"]
    assert rows["port"] == ["1", "--port"]
    assert rows["retry"] == ["2.0", "default"]
    assert rows["token"] == ['"ada:***"', "t.toml line 2"]
    assert "s3cret" not in said


def test_show_config_as_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--port", "1", "--show-config", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert {"name": "port", "value": 1, "from": "--port"} in shown
    assert {"name": "turn_timeout", "value": None, "from": "default"} in shown


@pytest.mark.parametrize("name", ["base_url", "model", "system", "temperature", "model_timeout"])
def test_what_is_for_a_model_is_refused_with_another_agent(name: str) -> None:
    config = configure(None, {name: "1"})
    with pytest.raises(InvalidRequest, match=f"--{name.replace('_', '-')} goes with --agent openai"):
        agents_of(config.options)


def test_a_number_may_come_from_the_environment_and_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNKEEPER_TEMPERATURE", "0.5")
    assert configure(None, {}).options["temperature"] == 0.5
    monkeypatch.setenv("TURNKEEPER_TEMPERATURE", "warm")
    with pytest.raises(CommandFailed, match="TURNKEEPER_TEMPERATURE: temperature must be a number"):
        configure(None, {})


def test_a_variable_without_a_setting_is_reported_and_the_server_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("TURNKEEPER_")]:
        monkeypatch.delenv(name)
    for name in ("TURNKEEPER_PROT", "TURNKEEPER_URL", "TURNKEEPER_TOKEN", "TURNKEEPERS", "TURNKEEPER_PORT"):
        monkeypatch.setenv(name, "7")

    assert configure(None, {}).settings.port == 7
    assert capsys.readouterr().err == (
        "turnkeeper: TURNKEEPER_PROT: there is no such setting; did you mean TURNKEEPER_PORT?\n"
    )
