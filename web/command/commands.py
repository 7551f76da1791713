"""The commands. What they do is done elsewhere: here it is asked for."""

import json
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from importlib import metadata
from typing import Any

import click

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import CloseOn, OnCap, SessionState, Strategy
from turnkeeper.web.audit.command import audit
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.several import SessionEvent
from turnkeeper.web.client.sse_parser import StreamEvent
from turnkeeper.web.http.access.principal import ADMIN, METRICS
from turnkeeper.web.http.access.tokens import Tokens
from turnkeeper.web.http.settings import LogFormat, LogLevel

from . import follow, options
from .admitting.commands import admission
from .exit_codes import ExitCode
from .journal.commands import forget, journal
from .launch import configure, launch
from .screen import Screen
from .stopping.command import cancel
from .tables import sessions_table, settings_table, turns_table
from .timeline import (
    other_turns,
    other_turns_table,
    policy_table,
    session_text,
    timeline_table,
    turn_text,
)
from .watch import NOTHING
from .watch import watch as watch_turns


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        click.echo(f"turnkeeper {metadata.version('turnkeeper')}")
        raise SystemExit(ExitCode.OK)


@click.group(
    name="turnkeeper",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def turnkeeper() -> None:
    """Keep the turns of chat sessions: start a server, or look into a running one."""


turnkeeper.add_command(audit)
turnkeeper.add_command(journal)
turnkeeper.add_command(forget)
turnkeeper.add_command(cancel)
turnkeeper.add_command(admission)

# -- The server -------------------------------------------------------------------------------------


@turnkeeper.command()
@click.option("--host", help="The address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="The port to listen on; 0 takes a free one (8000).")
@click.option(
    "--agent", metavar="AGENT", help="echo (the default), openai, or package.module:NAME of one or a dict."
)
@options.openai_options
@click.option(
    "--data",
    metavar="PATH",
    help="The file in which chats outlive the server (turnkeeper.db); :memory: for none.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="USER:SECRET[:admin|:metrics]",
    help="A user who may connect; repeatable. Also from TURNKEEPER_TOKENS, separated by spaces.",
)
@click.option(
    "--max-in-flight", type=int, metavar="NUMBER", help="How many turns a user may have in flight (32)."
)
@click.option(
    "--max-in-flight-in-all",
    type=int,
    metavar="NUMBER",
    help="How many turns may be in flight in all (10,000).",
)
@click.option(
    "--on-cap",
    metavar="|".join(OnCap),
    help="What becomes of a send beyond that: it is refused, or waits (refuse).",
)
@click.option("--token-file", metavar="FILE", help="A file of tokens, one per line.")
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    callback=lambda _context, _option, origins: ",".join(origins) or None,
    help="An origin whose pages may use the API from a browser; repeatable. * is all of them.",
)
@click.option(
    "--speaks",
    multiple=True,
    metavar="PROTOCOL",
    callback=lambda _context, _option, names: ",".join(names) or None,
    help="A protocol that is spoken too, beside turnkeeper's own; repeatable (all of them). none is none.",
)
@click.option(
    "--log-format",
    metavar="|".join(LogFormat),
    help="How the log is written (text); json is an object on each line.",
)
@click.option("--log-level", metavar="|".join(LogLevel), help="From which level on (info).")
@click.option("--access-log", is_flag=True, default=None, help="Log each request too, without its query.")
@click.option(
    "--config",
    metavar="FILE",
    envvar="TURNKEEPER_CONFIG",
    help="A settings file in TOML (TURNKEEPER_CONFIG).",
)
@click.option("--show-config", is_flag=True, help="Show every setting and where it comes from, and exit.")
@click.option("--json", "as_json", is_flag=True, help="With --show-config: print JSON.")
def serve(config: str | None, show_config: bool, as_json: bool, **flags: Any) -> int:
    """Start a chat server. Every setting can also be given in --config and as TURNKEEPER_<NAME>."""
    if as_json and not show_config:
        raise click.UsageError("--json goes with --show-config")
    chosen = configure(config, flags)
    if not show_config:
        return launch(chosen)
    screen = Screen()
    if as_json:
        screen.json([{"name": each.name, "value": each.value, "from": each.source} for each in chosen.rows])
    else:
        rows = [(each.name, json.dumps(each.value, ensure_ascii=False), each.source) for each in chosen.rows]
        screen.table(settings_table(rows))
    return ExitCode.OK


@turnkeeper.command()
@click.argument("user")
@click.option("--admin", is_flag=True, help="Allow seeing and stopping everyone's turns.")
@click.option("--metrics", is_flag=True, help="Allow /metrics and nothing else, for Prometheus.")
def token(user: str, admin: bool, metrics: bool) -> int:
    """Make a token for USER, to be given to serve and kept secret."""
    if admin and metrics:
        raise click.UsageError("--admin and --metrics exclude each other")
    role = f":{ADMIN}" if admin else f":{METRICS}" if metrics else ""
    made = f"{user}:{secrets.token_urlsafe(32)}{role}"
    try:
        if ":" in user or user.startswith("#"):  # one begins the secret, the other a comment in a file
            raise InvalidRequest("no such name")
        Tokens([made])
    except InvalidRequest:
        raise click.UsageError("USER must be a name without spaces and colons") from None
    click.echo(made)
    return ExitCode.OK


# -- What asks a server -----------------------------------------------------------------------------


@turnkeeper.command()
@click.option("--watch", is_flag=True, help="Keep showing the list, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    metavar="SECONDS",
    help="With --watch: how often to refresh (1).",
)
@options.as_json
@options.asks
async def ps(client: Client, screen: Screen, watch: bool, interval: float, as_json: bool) -> int:
    """List the turns in flight: your own, or everyone's for an admin. Below them stand those that wait for a
    slot, each with what it waits for.
    """
    if watch:
        await watch_turns(client, screen, interval, as_json=as_json)
    await client.hello()
    active = await client.busy()
    if as_json:
        screen.json(active)
        return ExitCode.OK
    screen.table(turns_table(active, screen.width))
    if not active and screen.is_terminal:
        screen.note(NOTHING)
    return ExitCode.OK


@turnkeeper.command()
@click.option("--user", metavar="USER", help="Only this user's; of other users' only an admin sees any.")
@click.option(
    "--state",
    type=click.Choice([each.value for each in SessionState]),
    metavar="|".join(SessionState),
    help="Only those in this state, instead of all but the closed ones.",
)
@click.option("--q", metavar="TEXT", help="Only those with this in their title, in whatever case.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, metavar="NUMBER", help="How many to list at most (50)."
)
@options.as_json
@options.asks
async def sessions(
    client: Client,
    screen: Screen,
    user: str | None,
    state: str | None,
    q: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """List sessions: your own, or everyone's for an admin. The last active come first."""
    await client.hello()
    found = await client.sessions(limit + 1, user=user, state=state, q=q)
    if as_json:
        screen.json(found[:limit])
    else:
        screen.table(sessions_table(found[:limit], screen.width))
    if len(found) > limit:
        screen.note(f"there are more than these {limit}: --limit lists more of them")
    elif not found and screen.is_terminal:
        screen.note("there are no such sessions")
    return ExitCode.OK


@turnkeeper.command()
@options.session
@click.argument("title")
@options.as_json
@options.asks
async def rename(client: Client, screen: Screen, session: str, title: str, as_json: bool) -> int:
    """Give SESSION a title. Without one it is called by the first words said in it."""
    await client.hello()
    named = await client.set_title(session, title)
    if as_json:
        screen.json(named)
    else:
        screen.line(f"session {session} is now called {named['title']}")
    return ExitCode.OK


@turnkeeper.command()
@options.session
@click.argument("text")
@click.option("--agent", metavar="NAME", help="One of the server's agents, instead of the default one.")
@click.option(
    "--strategy",
    "multitask_strategy",
    type=click.Choice([each.value for each in Strategy]),
    metavar="|".join(Strategy),
    help="What to do if a turn is in flight.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End the turn after this many seconds.",
)
@options.patience
@options.as_json_lines
@options.asks
async def send(client: Client, screen: Screen, session: str, text: str, as_json: bool, **more: Any) -> int:
    """Send TEXT to SESSION and follow the reply. Ctrl-C stops the turn; a second Ctrl-C exits at once.
    If TEXT is -, it is read from standard input.
    """
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError:
            raise click.UsageError("standard input is not text") from None
    return await follow.send(client, screen, session, text, as_json=as_json, **more)


@turnkeeper.command()
@options.session
@options.task
@options.as_json
@options.asks
async def show(client: Client, screen: Screen, session: str, task: str | None, as_json: bool) -> int:
    """Show why a turn ended, step by step. Without TASK it is the turn that SESSION runs, or ran last."""
    await client.hello()
    found: dict[str, Any] | None = None
    if task is None:
        found = await client.session(session)
        task = (found["turn"] or {}).get("task_id")
    turn = None if task is None else await client.turn(session, task)
    if as_json:
        screen.json(turn if found is None else {**found, "turn": turn})
        return ExitCode.OK
    if (turn or {}).get("status") == "queued" or (found or {}).get("queue"):
        waiting = {each["task_id"]: each for each in await client.queue(session)}
        turn = None if turn is None else {**turn, **waiting.get(turn["task_id"], {})}
        if found is not None:
            found["queue"] = [waiting.get(each["task_id"], each) for each in found["queue"]]
    now = time.time()
    if found is not None:
        screen.line(session_text(found))
    if turn is not None:
        screen.line(turn_text(turn, now))
        screen.table(timeline_table(turn, now))
        policy = policy_table(turn)
        if policy is not None:
            screen.table(policy)
    others = [] if found is None else other_turns(found)
    if others:
        screen.line("Its other turns:")
        screen.table(other_turns_table(others, now))
    return ExitCode.OK


@turnkeeper.command()
@options.sessions
@click.option(
    "--turn",
    "task",
    callback=options.checked_task,
    metavar="TASK",
    help="Show this turn, from first to last event.",
)
@click.option("--after", metavar="CURSOR", help="Start after this event; 0 starts with the first one kept.")
@click.option("--follow", "-f", "forever", is_flag=True, help="Go on after a cancel instead of ending there.")
@click.option("--no-follow", "at_once", is_flag=True, help="Show what is kept, and exit.")
@options.patience
@options.as_json_lines
@options.asks
async def tail(
    client: Client,
    screen: Screen,
    sessions: list[str],
    task: str | None,
    after: str | None,
    forever: bool,
    at_once: bool,
    as_json: bool,
) -> int:
    """Show the events of a session, or of several, as they come. Goes on across lost connections, until the
    stream of each ends.
    """
    if task is not None and forever:
        raise click.UsageError("--follow and --turn exclude each other")
    if at_once and forever:
        raise click.UsageError("--follow and --no-follow exclude each other")
    if len(sessions) > 1 and (task is not None or after is not None):
        raise click.UsageError("--turn and --after are for one session")
    close_on = CloseOn.NEVER if forever else CloseOn.CANCELLED
    session, more = sessions[0], sessions[1:]
    if at_once:
        await client.hello()
        found = _of_each({each: client.kept(each, after or "0", task) for each in sessions})
    elif more:
        found = client.events_of(sessions, close_on=close_on, notice=screen.note)
    elif task is not None:
        found = _of_each({session: client.turn_events(session, task, after, notice=screen.note)})
    else:
        found = _of_each({session: client.events(session, after, close_on=close_on, notice=screen.note)})
    width = max(map(len, sessions)) if more else 0
    async with aclosing(found) as events:
        async for session, event in events:
            if as_json:
                screen.json({"log_id": session, "id": event.id, "event": event.name, "data": event.data})
            else:
                screen.event(event, session.ljust(width) if more else None)
    return ExitCode.OK


async def _of_each(
    streams: Mapping[str, AsyncGenerator[StreamEvent, None]],
) -> AsyncGenerator[SessionEvent, None]:
    """The events of these sessions' streams, one stream after the other."""
    for session, stream in streams.items():
        async with aclosing(stream) as events:
            async for event in events:
                yield SessionEvent(session, event)


@turnkeeper.command()
@options.as_json
@options.asks
async def cleanup(client: Client, screen: Screen, as_json: bool) -> int:
    """Put idle sessions to sleep now, and list them. Of each session's events, the last one is kept."""
    await client.hello()
    asleep = await client.cleanup()
    if as_json:
        screen.json(asleep)
        return ExitCode.OK
    for name in asleep:
        screen.line(name)
    if screen.is_terminal:
        screen.note(f"{len(asleep)} put to sleep")
    return ExitCode.OK
