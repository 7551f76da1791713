import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web import WebSettings
from turnkeeper.web.command.config import NAMES, OPTIONS, Config, combine

Written = Callable[[str], str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write a settings file; its path."""

    def write(text: str) -> str:
        path = tmp_path / "turnkeeper.toml"
        path.write_text(text)
        return str(path)

    return write


def refusal(path: str | None = None, environ: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        combine(path, environ or {}, flags)
    text = str(refused.value)
    assert "\n" not in text
    return text


def source(config: Config, name: str) -> str:
    (setting,) = [each for each in config.rows if each.name == name]
    return setting.source


# -- Layers -----------------------------------------------------------------------------------------


def test_without_anything_everything_is_the_default() -> None:
    config = combine(None, {}, {})

    assert config.settings == WebSettings()
    assert (config.options["agent"], config.tokens) == ("echo", ())
    assert {each.source for each in config.rows} == {"default"}
    assert {field.name for field in fields(WebSettings)} <= {each.name for each in config.rows}


def test_a_flag_stands_above_the_environment_and_that_above_the_file(written: Written) -> None:
    path = written("port = 1\nhost = '::1'\n\n# three\nheartbeat = 3\n")
    environ = {"TURNKEEPER_PORT": "2", "TURNKEEPER_HOST": "localhost"}

    config = combine(path, environ, {"port": 3, "host": None})

    assert (config.settings.port, config.settings.host, config.settings.heartbeat) == (3, "localhost", 3)
    assert source(config, "port") == "--port"
    assert source(config, "host") == "TURNKEEPER_HOST"
    assert source(config, "heartbeat") == f"{path} line 5"
    assert source(config, "retry") == "default"


def test_every_setting_can_stand_in_the_file(written: Written) -> None:
    given = {field.name: field.default for field in fields(WebSettings)}
    without_a_default = {"turn_timeout": 5, "history_age": 9e8, "max_connections": 100, "stall_timeout": 5}
    without_a_default |= {
        "max_events": 9,
        "max_event_bytes": 9,
        "max_tokens": 9,
        "max_of_agent": 9,
        "policy_allow": "priority",
    }
    given |= without_a_default
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())

    config = combine(written(text), {}, {})

    assert config.settings == WebSettings(**without_a_default)
    assert not {each.name for each in config.rows if each.source == "default"} - set(OPTIONS)


@pytest.mark.parametrize("name", ["turn_timeout", "history_age", "max_connections"])
def test_the_file_can_say_none_where_none_is_a_value(written: Written, name: str) -> None:
    assert getattr(combine(written(f"{name} = 'none'\n"), {}, {}).settings, name) is None


def test_a_key_may_be_written_with_hyphens_like_its_flag(written: Written) -> None:
    assert combine(written("cancel-grace = 2\n"), {}, {}).settings.cancel_grace == 2


def test_tokens_add_up_and_are_shown_without_their_secrets(written: Written, tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("dan:four:admin\n")
    path = written('tokens = ["ada:one"]\ntoken_file = "secrets"\n')

    config = combine(path, {"TURNKEEPER_TOKENS": "bob:two"}, {"tokens": ("cyd:three",)})

    assert config.tokens == ("ada:one", "bob:two", "cyd:three", "dan:four:admin")
    tokens = [(each.value, each.source) for each in config.rows if each.name == "token"]
    assert tokens == [
        ("ada:***", f"{path} line 1"),
        ("bob:***", "TURNKEEPER_TOKENS"),
        ("cyd:***", "--token"),
        ("dan:***:admin", f"{path} line 2: {tmp_path / 'secrets'}"),
    ]


def test_the_agent_comes_from_any_layer(written: Written) -> None:
    path = written("agent = 'a:a'\n")

    assert combine(path, {}, {}).options["agent"] == "a:a"
    assert combine(path, {"TURNKEEPER_AGENT": "b:b"}, {}).options["agent"] == "b:b"
    assert combine(path, {"TURNKEEPER_AGENT": "b:b"}, {"agent": "c:c"}).options["agent"] == "c:c"


# -- Agents and users -------------------------------------------------------------------------------


def test_the_sections_say_how_the_turns_of_agents_and_users_are_run(written: Written) -> None:
    path = written(
        "port = 1\n[agents.coder]\nstrategy = 'reject'\ncancel-grace = 30\nturn_timeout = 'none'\n"
        "[users.'ada@example.com']\nmax_in_flight = 2\nallow = ['priority']\n"
    )
    config = combine(path, {}, {})
    assert config.agents == {"coder": {"strategy": "reject", "cancel_grace": 30, "turn_timeout": None}}
    assert config.users == {"ada@example.com": {"max_in_flight": 2, "allow": ["priority"]}}
    assert config.settings.port == 1
    shown = {each.name: (each.value, each.source) for each in config.rows}
    assert shown["agents.coder.cancel_grace"] == (30, f"{path} line 2")
    assert shown["users.ada@example.com.max_in_flight"] == (2, f"{path} line 6")


def test_a_section_says_which_parts_an_agent_takes(written: Written) -> None:
    path = written("[agents.coder]\ntakes = ['text']\n[agents.eye]\nstrategy = 'reject'\n")
    config = combine(path, {}, {})
    assert (config.takes, config.agents) == (
        {"coder": ("text",)},
        {"coder": {}, "eye": {"strategy": "reject"}},
    )
    shown = {each.name: (each.value, each.source) for each in config.rows}
    assert shown["agents.coder.takes"] == (["text"], f"{path} line 1")


def test_without_sections_nothing_is_said_about_agents_and_users(written: Written) -> None:
    assert (combine(None, {}, {}).agents, combine(written("port = 1\n"), {}, {}).users) == ({}, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[agents.coder]\nqueue_limits = 1\n", "line 1, [agents.coder]: there is no field 'queue_limits'"),
        ("\n[agents.a]\n[agents.b]\nstrategy = 'queue'\n", "line 3, [agents.b]: strategy must be"),
        ("[users.ada]\nqueue_limit = 'many'\n", "line 1, [users.ada]: queue_limit must be a whole number"),
        ("[users.ada]\ncancel_grace = 'none'\n", "line 1, [users.ada]: cancel_grace must be a number"),
        ("[users.ada]\nallow = 'priority'\n", "line 1, [users.ada]: allow must be names of: "),
        ("[users.ada]\ndeny = ['patience']\n", "line 1, [users.ada]: deny must be names of: "),
        ("[agents.a]\ntakes = 'text'\n", "line 1, [agents.a]: takes must be types of parts"),
        ("[users.ada]\ntakes = ['text']\n", "line 1, [users.ada]: there is no field 'takes'"),
        ("port = 1\nagents = 3\n", "line 2: agents are sections [agents.NAME]"),
        ("[users]\nada = 3\n", "line 1: users are sections [users.NAME]"),
        ("agents = {coder = {patience = 1}}\n", "line 1, [agents.coder]: there is no field 'patience'"),
        ("x = [\n[1],\n]\n[agents.coder]\n", "line 1: there is no setting 'x'"),
        ("[agents.coder]\nstrategy = 'reject'\n[server]\n", "line 3: there is no section 'server'"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_section_is_reported_with_the_section_and_the_key(
    written: Written, text: str, says: str
) -> None:
    path = written(text)
    assert refusal(path).startswith(f"{path} {says}")


def test_a_file_with_very_many_sections_is_read_at_once(written: Written) -> None:
    users = "".join(f"[users.u{number}]\nmax_in_flight = 2\n" for number in range(3_000))
    config = combine(written(users), {}, {})
    assert len(config.users) == 3_000


# -- What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("prot = 1\n", 1, "'prot'; did you mean port?"),
        ("port = 1\n\n[server]\nport = 2\n", 3, "no section 'server': settings go outside of sections"),
        ("# one\nport = 'eighty'\n", 2, "port must be a whole number"),
        ("port = 70000\n", 1, "port must be a whole number"),
        ("port = true\n", 1, "port"),
        ("heartbeat = [\n1,\n]\n", 1, "heartbeat"),
        ("cancel_grace = nan\n", 1, "cancel_grace"),
        ("\n\nagent = 3\n", 3, "agent must be a string"),
        ("tokens = 'ada:s3cret'\n", 1, "tokens must be a list"),
        ("tokens = [1]\n", 1, "tokens must be a list"),
        ("retry = 2\ntokens = [\n  'ada:s3cret:boss',\n]\n", 2, "user:secret"),
        ("token_file = 3\n", 1, "token_file must be a string"),
        ("note = '''\nport = 1\n'''\n", 1, "'note'"),
    ],
)
def test_what_is_wrong_in_the_file_is_reported_with_its_line_and_its_name(
    written: Written, text: str, line: int, says: str
) -> None:
    path = written(text)
    text = refusal(path)

    assert text.startswith(f"{path} line {line}: ")
    assert says in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("text", "where"),
    [("port = \n", "line 1"), ("host = 'a'\nport = 1 2\n", "line 2"), ("a = 1\na = 2\n", "line 2"),
     ('host = "a\n', "line 1"), ("tokens = [", "at its end")],
)  # fmt: skip
def test_what_is_no_toml_is_reported_with_its_place(written: Written, text: str, where: str) -> None:
    path = written(text)
    text = refusal(path)

    assert text.startswith(path)
    assert where in text


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")

    assert "No such file" in refusal(str(tmp_path / "missing"))
    assert "directory" in refusal(str(tmp_path)).lower()
    assert "not UTF-8" in refusal(str(tmp_path / "binary"))


@pytest.mark.parametrize(("name", "text"), [("PORT", "eighty"), ("PORT", "70000"), ("HEARTBEAT", "nan")])
def test_what_is_wrong_in_the_environment_is_reported_with_the_variable(name: str, text: str) -> None:
    assert refusal(None, {f"TURNKEEPER_{name}": text}).startswith(f"TURNKEEPER_{name}: ")


def test_an_invalid_number_is_reported_in_words() -> None:
    assert refusal(None, {"TURNKEEPER_PORT": "eighty"}) == "TURNKEEPER_PORT: 'eighty' is not a whole number"
    assert refusal(None, {"TURNKEEPER_RETRY": "soon"}) == "TURNKEEPER_RETRY: 'soon' is not a number"


def test_what_is_wrong_in_a_flag_is_reported_with_the_flag() -> None:
    assert refusal(port=70_000).startswith("--port: port must be")
    assert refusal(tokens=("ada",)).startswith("--token: a token is user:secret")


def test_a_name_is_a_setting_an_option_or_about_tokens() -> None:
    assert len(set(NAMES)) == len(NAMES)
