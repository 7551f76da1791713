"""``turnkeeper admission``. What is said there is decided by the server."""

from typing import Any

import click

from turnkeeper.actors.model.words import OnCap, Priority
from turnkeeper.web.client.client import Client
from turnkeeper.web.command import options
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.command.screen import Screen

from .tables import caps_table, now_table


@click.group(invoke_without_command=True)
@click.pass_context
def admission(context: click.Context) -> int:
    """See or change how many turns run at a time, and who goes first."""
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    with show.make_context("show", [], parent=context) as shown:
        return int(show.invoke(shown))


@admission.command()
@options.as_json
@options.asks
async def show(client: Client, screen: Screen, as_json: bool) -> int:
    """Show the caps, of agents and users too, and how many turns are in flight and wait for a slot."""
    await client.hello()
    _show(screen, await client.admission(), as_json=as_json)
    return ExitCode.OK


def _number_or_none(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    if text is None or text == "none":
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    raise click.BadParameter("must be a whole number, or none")


@admission.command(name="set")
@click.option(
    "--max-in-flight-in-all", type=int, metavar="NUMBER", help="How many turns may be in flight in all."
)
@click.option("--max-in-flight", type=int, metavar="NUMBER", help="How many turns a user may have in flight.")
@click.option(
    "--max-of-agent",
    metavar="NUMBER|none",
    callback=_number_or_none,
    help="How many turns of one agent may be in flight.",
)
@click.option(
    "--max-waiting", type=int, metavar="NUMBER", help="How many turns of a user may wait for a slot."
)
@click.option(
    "--max-waiting-in-all", type=int, metavar="NUMBER", help="How many turns may wait for one in all."
)
@click.option(
    "--lane-aging", type=float, metavar="SECONDS", help="After how long a turn that waits rises by a lane."
)
@click.option(
    "--on-cap",
    type=click.Choice([each.value for each in OnCap]),
    metavar="|".join(OnCap),
    help="What becomes of a send beyond a cap.",
)
@click.option(
    "--priority",
    type=click.Choice([each.value for each in Priority]),
    metavar="|".join(Priority),
    help="The lane of the turns.",
)
@click.option("--agent", metavar="NAME", help="Say it of this agent instead of all.")
@click.option("--user", metavar="NAME", help="Say it of this user instead of all.")
@click.option("--reset", is_flag=True, help="With one of those: take back what was said of it before.")
@options.as_json
@options.asks
async def change(
    client: Client,
    screen: Screen,
    agent: str | None,
    user: str | None,
    reset: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Change what is given, and nothing else, until the server stops. Shows what holds then."""
    said = {name: None if value == "none" else value for name, value in given.items() if value is not None}
    if agent is not None and user is not None:
        raise click.UsageError("--agent and --user exclude each other")
    kind, name = ("agents", agent) if user is None else ("users", user)
    if reset and name is None:
        raise click.UsageError("--reset goes with --agent or --user")
    if not said and not reset:
        raise click.UsageError("say what to change, such as --max-in-flight-in-all 20")
    await client.hello()
    if name is None:
        found = await client.set_admission(**said)
    else:
        # What is said of one takes the place of all that was said of it.
        before = {} if reset else (await client.admission())[kind].get(name, {})
        found = await client.set_admission(**{kind: {name: {**before, **said}}})
    _show(screen, found, as_json=as_json)
    return ExitCode.OK


def _show(screen: Screen, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        screen.json(found)
        return
    screen.table(caps_table(found))
    screen.line("")
    screen.table(now_table(found["now"]))
