"""Writes the commands of `docs/reference/command.md` from the code: ``python docs/command_table.py``."""

from collections.abc import Iterator
from pathlib import Path

import click

from turnkeeper.web.command.commands import turnkeeper

PAGE = Path(__file__).parent / "reference" / "command.md"
PIPE = r"\|"  # which would end a cell
MARK = "<!-- written by docs/command_table.py from here on -->\n"
ORDER = (
    "ps", "sessions", "show", "send", "cancel", "tail", "rename", "cleanup", "admission", "token", "serve",
    "journal", "forget", "audit",
)  # fmt: skip


def sections(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """A command, or those of a group."""
    if not isinstance(command, click.Group):
        yield section(name, command, parent)
        return
    context = click.Context(command, info_name=name, parent=parent)
    for each in command.commands:
        yield from sections(each, command.commands[each], context)


def section(name: str, command: click.Command, parent: click.Context) -> str:
    """One command, with its options."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [
        f"| `{record[0].replace('|', PIPE)}` | {option.help} |"
        for option in command.params
        if isinstance(option, click.Option) and (record := option.get_help_record(context)) is not None
    ]
    summary = " ".join((command.help or "").split()).replace("TURNKEEPER_<NAME>", "`TURNKEEPER_<NAME>`")
    table = "\n".join(["| option | |", "|---|---|", *rows])
    return f"### {context.command_path}\n\n```console\n{usage}\n```\n\n{summary}\n\n{table}\n"


def page() -> str:
    """The whole page: the part written by hand, then the commands."""
    assert sorted(ORDER) == sorted(turnkeeper.commands)
    parent = click.Context(turnkeeper, info_name="turnkeeper")
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return (
        by_hand
        + MARK
        + "\n"
        + "\n".join(text for name in ORDER for text in sections(name, turnkeeper.commands[name], parent))
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
