"""The file that a command is about, and how it ends when that cannot be used."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from turnkeeper.actors.journal.where import IN_MEMORY
from turnkeeper.actors.model.exceptions import JournalCorrupt, JournalInUse, TurnkeeperError
from turnkeeper.web.command.config import Config
from turnkeeper.web.command.exit_codes import CommandFailed, ExitCode
from turnkeeper.web.command.launch import configure
from turnkeeper.web.command.screen import Screen

F = TypeVar("F", bound=Callable[..., Any])


def file_options(command: F) -> F:
    """Give a command the options that name the file, which are those of `serve`."""
    config = click.option(
        "--config",
        metavar="FILE",
        envvar="TURNKEEPER_CONFIG",
        help="The server's settings file in TOML (TURNKEEPER_CONFIG).",
    )
    data = click.option("--data", metavar="PATH", help="The file (TURNKEEPER_DATA, or turnkeeper.db).")
    return data(config(command))


def on_file(command: Callable[..., int]) -> Callable[..., int]:
    """Give a function the options that name the file, and hand it the file and a `Screen`."""

    @wraps(command)
    def run(data: str | None, config: str | None, **options: Any) -> int:
        path = path_of(configure(config, {"data": data}))
        with failures():
            return command(path, Screen(), **options)

    return file_options(run)


def path_of(chosen: Config) -> Path:
    """The file that is meant. Raises `CommandFailed` (2)."""
    data = chosen.options["data"]
    if data == IN_MEMORY:
        raise CommandFailed(ExitCode.USAGE, f"{IN_MEMORY} is no file: --data PATH names one")
    return Path(data)


@contextmanager
def failures() -> Generator[None]:
    """Raise `CommandFailed` for what the tools raise, and for files that cannot be read or written."""
    try:
        yield
    except JournalInUse as error:
        raise CommandFailed(ExitCode.FAILED, f"{error}: stop it first") from None
    except JournalCorrupt as error:
        raise CommandFailed(ExitCode.DAMAGED, str(error)) from None
    except TurnkeeperError as error:
        raise CommandFailed(ExitCode.FAILED, str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{error.filename or 'a file'}: {error.strerror}") from None
