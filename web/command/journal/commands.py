"""``turnkeeper journal`` and ``turnkeeper forget``. What they do is done elsewhere: here it is asked for."""

import asyncio
import os
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from turnkeeper.actors.journal.contract import History
from turnkeeper.actors.journal.tools import removing
from turnkeeper.actors.journal.tools.checking import Fault, faults
from turnkeeper.actors.journal.tools.exporting import lines
from turnkeeper.actors.journal.tools.figures import figures
from turnkeeper.actors.journal.tools.file import looked_at
from turnkeeper.actors.journal.tools.importing import read_in
from turnkeeper.web.command import options
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.command.launch import configure
from turnkeeper.web.command.screen import Screen

from .on_file import failures, file_options, on_file, path_of
from .on_server import forget_user
from .tables import figures_table, users_table

#: Stands for the standard input and output.
PIPE = "-"


@click.group()
def journal() -> None:
    """Look after the file in which chats outlive the server."""


@journal.command()
@options.as_json
@on_file
def stats(path: Path, screen: Screen, as_json: bool) -> int:
    """Show how much is in the file, and who has the most. A server may have it open."""
    with looked_at(path) as connection:
        found = figures(connection, path)
    if as_json:
        screen.json(msgspec.to_builtins(found))
        return ExitCode.OK
    screen.table(figures_table(found, path, time.time()))
    if found.largest:
        screen.line("")
        screen.table(users_table(found))
    return ExitCode.OK


@journal.command()
@options.as_json
@on_file
def check(path: Path, screen: Screen, as_json: bool) -> int:
    """Check that the file is sound, and name all that is wrong. A server may have it open."""
    found: list[Fault] = []
    with looked_at(path) as connection, screen.progress("checking") as progress:
        for fault in faults(connection, progress):
            found.append(fault)
            if not as_json:
                screen.line(_fault_text(fault))
    if as_json:
        screen.json(msgspec.to_builtins(found))
    else:
        screen.note(f"{len(found)} faults" if found else f"{path} is sound")
    return ExitCode.DAMAGED if found else ExitCode.OK


def _fault_text(fault: Fault) -> str:
    where = "" if fault.session is None else f"session {fault.session}: "
    at = "" if fault.position is None else f"position {fault.position}: "
    return f"{where}{at}{fault.text}"


@journal.command()
@click.argument("file", default=PIPE, required=False)
@on_file
def export(path: Path, screen: Screen, file: str) -> int:
    """Write all as JSON lines into FILE, or to the output. A server may have the file of chats open, and FILE
    must be new.
    """
    with looked_at(path) as connection, _written(file) as out, screen.progress("exporting") as progress:
        for line in lines(connection, progress):
            out.write(line + b"\n")
        out.flush()
    return ExitCode.OK


@contextmanager
def _written(file: str) -> Generator[BinaryIO]:
    """A new file that only its owner can read, which is removed if writing it fails; or the output."""
    if file == PIPE:
        yield sys.stdout.buffer
        return
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(number, "wb") as out:
            yield out
    except BaseException:
        with suppress(OSError):
            Path(file).unlink()
        raise


@journal.command(name="import")
@click.argument("file")
@options.as_json
@on_file
def import_(path: Path, screen: Screen, file: str, as_json: bool) -> int:
    """Make a new file of chats of what was exported. FILE is where that is; - is the standard input."""
    with _read(file) as text, screen.progress("importing") as progress:
        heading = read_in(text, path, progress)
    if as_json:
        screen.json({"sessions": heading.sessions, "entries": heading.entries})
    else:
        screen.line(f"{heading.sessions} sessions with {heading.entries} entries are in {path}")
    return ExitCode.OK


@contextmanager
def _read(file: str) -> Generator[Iterable[bytes]]:
    if file == PIPE:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as text:
        yield text


@journal.command()
@click.option("--history-age", type=float, metavar="SECONDS", help="Sessions that were idle for so long go.")
@click.option("--history-sessions", type=int, metavar="NUMBER", help="How many of a user are kept.")
@click.option("--history-bytes", type=int, metavar="BYTES", help="How much of a user is kept.")
@click.option("--history-bytes-in-all", type=int, metavar="BYTES", help="How much is kept in all.")
@click.option("--dry-run", is_flag=True, help="Only name what would be forgotten.")
@options.as_json
@file_options
def prune(data: str | None, config: str | None, dry_run: bool, as_json: bool, **bounds: Any) -> int:
    """Forget the sessions that were idle longest. How much is kept is what a server's settings say, or the
    options. A session with a turn that has not ended stays.
    """
    chosen, screen = configure(config, {"data": data, **bounds}), Screen()
    settings = chosen.settings
    history = History(
        settings.history_age, settings.history_sessions, settings.history_bytes, settings.history_bytes_in_all
    )
    with failures():
        if dry_run:
            found = removing.too_many(path_of(chosen), history)
            if as_json:
                screen.json({"would_forget": found})
            for session in () if as_json else found:
                screen.line(session)
            return ExitCode.OK
        with screen.progress("forgetting") as progress:
            count = removing.prune(path_of(chosen), history, progress)
    return _forgotten(screen, count, as_json=as_json)


@click.command()
@click.option("--user", required=True, metavar="NAME", help="Whose sessions are forgotten.")
@click.option("--url", metavar="URL", help="Have the server there do it, with the token of an admin.")
@options.as_json
@file_options
def forget(user: str, url: str | None, data: str | None, config: str | None, as_json: bool) -> int:
    """Forget all sessions of a user. They go from a file that no server has open, or with --url from a server
    that runs, where turns in flight are cancelled first.
    """
    screen = Screen()
    if url is not None:
        if data is not None:
            raise click.UsageError("--data and --url exclude each other")
        return _forgotten(screen, asyncio.run(forget_user(url, user, screen)), as_json=as_json)
    path = path_of(configure(config, {"data": data}))
    with failures(), screen.progress("forgetting") as progress:
        count = removing.forget_user(path, user, progress)
    return _forgotten(screen, count, as_json=as_json)


def _forgotten(screen: Screen, count: int, *, as_json: bool) -> int:
    if as_json:
        screen.json({"forgotten": count})
    else:
        screen.line(f"{count} sessions forgotten")
    return ExitCode.OK
