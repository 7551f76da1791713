"""The commands and their options. What they do is done elsewhere: here it is asked for."""

import asyncio
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import aclosing, contextmanager, nullcontext
from importlib import metadata
from typing import Any

import click

from turnkeeper.actors.events.event import CLOSE
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import FINAL_ENDS
from turnkeeper.web.audit.command import audit
from turnkeeper.web.http.access.principal import ADMIN
from turnkeeper.web.http.access.tokens import Tokens

from . import follow
from .client import Client, Unreachable
from .exit_codes import Exit, Failure
from .options import openai_options
from .serve import configure
from .serve import serve as run_server
from .tables import Screen, moment, settings_table, turns_table

DEFAULT_URL = "http://127.0.0.1:8000"
VERDICTS = {
    "cancelled": Exit.OK,
    "finished_first": Exit.OK,
    "unresponsive": Exit.UNRESPONSIVE,
    "not_running": Exit.UNKNOWN,
}


def _say_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        click.echo(f"turnkeeper {metadata.version('turnkeeper')}")
        raise SystemExit(Exit.OK)


@click.group(
    name="turnkeeper",
    help="Keeps the turns of chat sessions: a server, and what one needs to look into it.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Say the version and end.",
)
def turnkeeper() -> None:
    """Is told by `help=`."""


# -- The server -------------------------------------------------------------------------------------


@turnkeeper.command(
    help="Start a chat server. Every setting is also read from --config and from TURNKEEPER_<NAME>."
)
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on, 0 for a free one (8000).")
@click.option("--agent", metavar="AGENT", help="echo (the default), openai, or package.module:callable.")
@openai_options
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="USER:SECRET[:admin]",
    help="Who may ask; repeatable. Also from TURNKEEPER_TOKENS, separated by spaces.",
)
@click.option("--token-file", metavar="FILE", help="Tokens, one a line.")
@click.option(
    "--config",
    metavar="FILE",
    envvar="TURNKEEPER_CONFIG",
    help="Settings from a TOML file (TURNKEEPER_CONFIG).",
)
@click.option("--show-config", is_flag=True, help="Show each setting and where it comes from, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --show-config: as JSON.")
def serve(config: str | None, show_config: bool, as_json: bool, **flags: Any) -> int:
    """Is told by `help=`."""
    if as_json and not show_config:
        raise click.UsageError("--json goes with --show-config")
    chosen = configure(config, flags)
    if not show_config:
        return run_server(chosen)
    screen = Screen()
    if as_json:
        screen.json([{"name": each.name, "value": each.value, "from": each.source} for each in chosen.told])
    else:
        rows = [(each.name, json.dumps(each.value, ensure_ascii=False), each.source) for each in chosen.told]
        screen.table(settings_table(rows))
    return Exit.OK


@turnkeeper.command(help="Make a token for USER. It is given to serve, and kept secret.")
@click.argument("user")
@click.option("--admin", is_flag=True, help="One that may see and stop everybody's turns.")
def token(user: str, admin: bool) -> int:
    """Is told by `help=`."""
    made = f"{user}:{secrets.token_urlsafe(32)}" + (f":{ADMIN}" if admin else "")
    try:
        if ":" in user or user.startswith("#"):  # one begins the secret, the other a comment in a file
            raise InvalidRequest("no such name")
        Tokens([made])
    except InvalidRequest:
        raise click.UsageError("USER must be a name without spaces and colons") from None
    click.echo(made)
    return Exit.OK


turnkeeper.add_command(audit)

# -- What asks a server -----------------------------------------------------------------------------


def _asks(command: Callable[..., Coroutine[Any, Any, int]]) -> Callable[..., int]:
    """Give a coroutine function the options every client has, and run it with a client and a screen."""

    def run(url: str, **options: Any) -> int:
        patience = options.pop("patience", 60.0)

        async def with_client() -> int:
            screen = Screen()
            token_here = os.environ.get("TURNKEEPER_TOKEN")
            async with Client(url, token_here, patience=patience) as client:
                with _reader_watched():
                    return await command(client, screen, **options)

        try:
            return asyncio.run(with_client())
        except KeyboardInterrupt:  # click would write an empty line
            return Exit.INTERRUPTED

    run.__name__ = command.__name__
    where = f"The server (TURNKEEPER_URL, or {DEFAULT_URL})."
    return click.option("--url", envvar="TURNKEEPER_URL", default=DEFAULT_URL, metavar="URL", help=where)(run)


def _checked_session(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    try:
        return ids.session_id(text)
    except InvalidRequest:
        raise click.BadParameter(ids.ID_RULE) from None


def _checked_task(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else ids.turn_id(text)
    except InvalidRequest:
        raise click.BadParameter(ids.ID_RULE) from None


_session = click.argument("session", callback=_checked_session)
_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_json_lines = click.option("--json", "as_json", is_flag=True, help="As JSON, one event a line.")
_patience = click.option(
    "--patience",
    type=click.FloatRange(0),
    default=60.0,
    metavar="SECONDS",
    help="For how long to try again on a lost connection (60).",
)


@turnkeeper.command(help="Show what runs where, for whom and since when. Yours, or all for an admin.")
@click.option("--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    metavar="SECONDS",
    help="With --watch: how often to look (1).",
)
@_json
@_asks
async def ps(client: Client, screen: Screen, watch: bool, interval: float, as_json: bool) -> int:
    """Is told by `help=`."""
    await client.hello()
    active = await client.active()
    if not watch:
        if as_json:
            screen.json(active)
        else:
            screen.table(turns_table(active, screen.width))
        if not active and not as_json and screen.is_terminal:
            screen.note("nothing runs")
        return Exit.OK
    return await _watch(client, screen, interval, as_json, active)


async def _watch(client: Client, screen: Screen, interval: float, as_json: bool, active: Any) -> int:
    """Show the list again and again. A pipe gets it only when it has changed."""
    lost_at: float | None = None
    before: Any = None
    changing = nullcontext(None) if as_json else screen.changing()
    with changing as show:
        while True:
            now = time.time()
            if active != before or (screen.is_terminal and not as_json):
                if show is None:
                    screen.json(active)
                else:
                    caption = "" if active else "nothing runs"
                    if lost_at is not None:
                        caption = f"no answer since {moment(lost_at, now)}: this is how it was; trying again"
                    show(turns_table(active, screen.width, now, caption if screen.is_terminal else None))
            before = active
            await asyncio.sleep(interval)
            try:
                await client.hello()
                active = await client.active()
                lost_at = None
            except Unreachable as error:
                if lost_at is None:
                    lost_at = time.time()
                    if not screen.is_terminal:
                        screen.note(f"{error}; trying again")


@turnkeeper.command(
    help="Send TEXT to SESSION and follow the answer. Ctrl-C stops the turn, a second one leaves at once. "
    "TEXT may be - for what comes in."
)
@_session
@click.argument("text")
@click.option("--agent", metavar="NAME", help="One of the server's agents, if not its default one.")
@click.option(
    "--strategy",
    "multitask_strategy",
    type=click.Choice(["interrupt", "reject"]),
    metavar="interrupt|reject",
    help="What to do if a turn is in flight.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End the turn after so long.",
)
@_patience
@_json_lines
@_asks
async def send(client: Client, screen: Screen, session: str, text: str, as_json: bool, **more: Any) -> int:
    """Is told by `help=`."""
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError:
            raise click.UsageError("what comes in is not text") from None
    return await follow.send(client, screen, session, text, as_json=as_json, **more)


@turnkeeper.command(help="Stop what SESSION does, or only TASK, and say what came of it.")
@_session
@click.argument("task", required=False, callback=_checked_task)
@click.option("--no-wait", is_flag=True, help="Ask for it, and do not wait for what comes of it.")
@_json
@_asks
async def cancel(
    client: Client, screen: Screen, session: str, task: str | None, no_wait: bool, as_json: bool
) -> int:
    """Is told by `help=`."""
    await client.hello()
    answer = await client.cancel(session, task, wait=not no_wait)
    verdict = answer["verdict"]
    if as_json:
        screen.json(answer)
    else:
        screen.line(follow.verdict_told(answer))
    if verdict == "requested":
        return Exit.OK if no_wait else Exit.UNRESPONSIVE
    return VERDICTS.get(verdict, Exit.FAILED)


@turnkeeper.command(
    help="Show the events of SESSION as they come. Goes on over lost connections, until the server ends it."
)
@_session
@click.option("--after", metavar="CURSOR", help="Begin behind this event; 0: at the first that is kept.")
@click.option("--follow", "-f", "forever", is_flag=True, help="Go on after a cancel has ended the stream.")
@_patience
@_json_lines
@_asks
async def tail(
    client: Client, screen: Screen, session: str, after: str | None, forever: bool, as_json: bool
) -> int:
    """Is told by `help=`."""
    while True:
        async with aclosing(client.events(session, after, notice=screen.note)) as events:
            async for event in events:
                after = event.cursor or after
                if as_json:
                    screen.json({"id": event.id, "event": event.name, "data": event.data})
                else:
                    screen.event(event)
                if event.name == CLOSE and (event.text in FINAL_ENDS or not forever):
                    return Exit.OK


@turnkeeper.command(help="Put idle sessions to sleep now, and name them. Of their events the last is kept.")
@_json
@_asks
async def cleanup(client: Client, screen: Screen, as_json: bool) -> int:
    """Is told by `help=`."""
    await client.hello()
    asleep = await client.cleanup()
    if as_json:
        screen.json(asleep)
        return Exit.OK
    for name in asleep:
        screen.line(name)
    if screen.is_terminal:
        screen.note(f"{len(asleep)} put to sleep")
    return Exit.OK


@contextmanager
def _reader_watched() -> Generator[None]:
    """Notice that whoever reads our pipe has gone, also while there is nothing to write."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(number)  # it stays readable: once is enough
        task.cancel()

    try:
        number = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            raise OSError
        # A pipe's writing end becomes readable when its last reader closes it.
        loop.add_reader(number, leave)
    except (OSError, ValueError, NotImplementedError):  # no pipe, or no stdout, or no way to be told
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(number)


# -- The ending -------------------------------------------------------------------------------------


def run(arguments: list[str] | None) -> int:
    """Run the command; its exit code. Every refusal is one line. Raises nothing but `SystemExit`."""
    try:
        answer = turnkeeper.main(arguments, prog_name="turnkeeper", standalone_mode=False)
        return int(answer or 0)
    except click.exceptions.Exit as exited:
        return exited.exit_code
    except click.ClickException as error:
        return _complain(error)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer has nowhere to go, and would be complained about at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.NOBODY_READS
    except Failure as error:
        click.echo(f"turnkeeper: {error}", err=True)
        return error.exit_code


def _complain(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    hint = f" ({context.command_path} --help tells more)" if context is not None else ""
    click.echo(f"turnkeeper: {' '.join(error.format_message().split())}{hint}", err=True)
    return Exit.USAGE
