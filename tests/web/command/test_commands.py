import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from turnkeeper.web.command import cli, commands
from turnkeeper.web.http.access.tokens import Tokens

ROOT = Path(__file__).parent.parent.parent.parent
NOBODY = "http://127.0.0.1:1"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("command_table", ROOT / "docs" / "command_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- Help -------------------------------------------------------------------------------------------


def test_the_page_of_the_command_is_what_the_code_says() -> None:
    assert table().PAGE.read_text() == table().page(), "run python docs/command_table.py"


def commands_of(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    """All commands, those of groups too, by how they are called."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *names, name)
        else:
            yield " ".join((*names, name)), command


ALL = dict(commands_of(commands.turnkeeper))


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_help_of_a_command_and_its_page_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *name.split(), "--help")
    page = table().PAGE.read_text().split(f"### turnkeeper {name}\n")[1].split("\n### ")[0]

    assert code == 0
    helped = set(re.findall(r"(--[a-z][a-z-]*)", out.split("Options:")[1])) - {"--help"}
    assert helped == set(re.findall(r"(--[a-z][a-z-]*)", page))
    assert all(command.help for command in ALL.values())


def test_every_option_says_what_it_is_for() -> None:
    for command in ALL.values():
        options = [each for each in command.params if isinstance(each, click.Option)]
        assert all(option.help for option in options)


@pytest.mark.parametrize("group", [[], ["journal"]])
def test_the_list_of_commands_cuts_no_sentence_short(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, *group, "--help")

    assert code == 0
    assert "..." not in out.split("Commands:")[1]


# -- Tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--admin",), ("--metrics",)])
def test_a_token_is_made_that_the_server_takes(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "token", "ada", *flags)

    assert (code, err) == (0, "")
    user, secret, *role = out.strip().split(":")
    assert (user, role) == ("ada", [flag.removeprefix("--") for flag in flags])
    assert len(secret) >= 43
    assert len(Tokens([out.strip()])) == 1
    assert run(capsys, "token", "ada", *flags)[1] != out


@pytest.mark.parametrize("user", ["", "a b", "a:b", "a\n", "#a"])
def test_a_name_that_no_token_can_have_is_refused(user: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "token", user)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1


# -- What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("ps", "extra"),
        ("ps", "--interval", "0"),
        ("ps", "--url", "nowhere"),
        ("send", "s"),
        ("send", "a/b", "hello"),
        ("send", "turns", "hello"),
        ("send", "s", "hello", "--strategy", "wait"),
        ("send", "s", "hello", "--timeout", "0"),
        ("cancel",),
        ("cancel", "s", "a b"),
        ("cancel", ".."),
        ("tail", ""),
        ("tail", "s", "--follow", "--no-follow"),
        ("tail",),
        ("tail", "s", "a/b"),
        ("tail", "s1", "s2", "--after", "0"),
        ("tail", "s1", "s2", "--turn", "t1"),
        ("token", "ada", "--admin", "--metrics"),
        ("show",),
        ("show", "s", "a b"),
        ("sessions", "--limit", "0"),
        ("sessions", "--state", "asleep"),
        ("rename", "s"),
        ("rename", "a/b", "title"),
        ("serve", "--json"),
        ("serve", "--config", "not-there.toml"),
    ],
)
def test_a_command_that_is_asked_wrongly_says_one_line_and_ends_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)

    assert (code, out) == (2, "")
    assert re.fullmatch(r"turnkeeper: [^\n]+\n", err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ps",),
        ("ps", "--watch"),
        ("send", "s", "x"),
        ("cancel", "s"),
        ("tail", "s"),
        ("show", "s"),
        ("sessions",),
        ("rename", "s", "title"),
        ("tail", "s", "--no-follow"),
        ("tail", "s1", "s2"),
        ("cleanup",),
        ("admission", "show"),
        ("admission", "set", "--on-cap", "wait"),
    ],
)
def test_a_server_that_is_not_there_is_reported_in_one_line_and_ends_with_3(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments, "--url", NOBODY)

    assert (code, out) == (3, "")
    assert re.fullmatch(r"turnkeeper: cannot reach http://127\.0\.0\.1:1/: [^\n]+\n", err)
