"""The options and arguments that commands share."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.connection import TOKEN_VARIABLE

from .exit_codes import ExitCode
from .pipe import broken_pipe_noticed
from .screen import Screen

DEFAULT_URL = "http://127.0.0.1:8000"
F = TypeVar("F", bound=Callable[..., Any])


def asks(command: Callable[..., Coroutine[Any, Any, int]]) -> Callable[..., int]:
    """Give a coroutine function the options of every client, and run it with a `Client` and a `Screen`."""

    def run(url: str, **options: Any) -> int:
        patience = options.pop("patience", 60.0)

        async def with_client() -> int:
            screen, token = Screen(), os.environ.get(TOKEN_VARIABLE)
            async with Client(url, token, patience=patience) as client:
                with broken_pipe_noticed():
                    return await command(client, screen, **options)

        try:
            return asyncio.run(with_client())
        except KeyboardInterrupt:  # click would write an empty line
            return ExitCode.INTERRUPTED

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    where = f"The server (TURNKEEPER_URL, or {DEFAULT_URL})."
    return click.option("--url", envvar="TURNKEEPER_URL", default=DEFAULT_URL, metavar="URL", help=where)(run)


def checked_session(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """A session's id, for a `click` option or argument. Raises `click.BadParameter`."""
    try:
        return None if text is None else ids.session_id(text)
    except InvalidRequest:
        raise click.BadParameter(f"must be {ids.ID_RULE}") from None


def checked_task(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """A task's id, for a `click` option or argument. Raises `click.BadParameter`."""
    try:
        return None if text is None else ids.turn_id(text)
    except InvalidRequest:
        raise click.BadParameter(f"must be {ids.ID_RULE}") from None


def checked_sessions(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    """The ids of several, each once. Raises `click.BadParameter`."""
    found = (checked_session(context, parameter, text) for text in texts)
    return list(dict.fromkeys(session for session in found if session is not None))


session = click.argument("session", callback=checked_session)
sessions = click.argument(
    "sessions", metavar="SESSION...", nargs=-1, required=True, callback=checked_sessions
)
task = click.argument("task", required=False, callback=checked_task)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
as_json_lines = click.option("--json", "as_json", is_flag=True, help="Print JSON, one event per line.")
patience = click.option(
    "--patience",
    type=click.FloatRange(0),
    default=60.0,
    metavar="SECONDS",
    help="How long to keep retrying a lost connection (60).",
)


def openai_options(command: F) -> F:
    """Give a command the options of ``--agent openai``. Its key is read from OPENAI_API_KEY."""
    for name, kind, metavar, text in reversed(
        (
            ("--base-url", str, "URL", "the API to ask, such as http://127.0.0.1:8080/v1."),
            ("--model", str, "MODEL", "the model's name there."),
            ("--system", str, "TEXT", "the system prompt."),
            ("--temperature", float, "NUMBER", "the sampling temperature, from 0."),
            ("--model-timeout", float, "SECONDS", "how long the model may be silent (60)."),
        )
    ):
        help_text = f"With --agent openai: {text}"
        command = click.option(name, type=kind, metavar=metavar, help=help_text)(command)
    return command
