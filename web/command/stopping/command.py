"""``turnkeeper cancel``. What it does is done elsewhere: here it is asked for."""

from typing import Any

import click

from turnkeeper.actors.model.words import QueueMode, Strategy, TurnStatus, is_terminal
from turnkeeper.web.client.client import Client
from turnkeeper.web.command import options
from turnkeeper.web.command.outcomes import cancel_exit_code, cleared_text, verdict_text
from turnkeeper.web.command.screen import Screen

from .duration import checked_span
from .many import stop_many

_STATES = [status.value for status in TurnStatus if not is_terminal(status)]


@click.command()
@click.argument("session", required=False, callback=options.checked_session)
@options.task
@click.option(
    "--session",
    "log_ids",
    multiple=True,
    metavar="SESSION",
    callback=options.checked_sessions,
    help="Turns of this session; repeatable.",
)
@click.option("--user", metavar="NAME", help="Turns in this user's sessions.")
@click.option("--agent", metavar="NAME", help="Turns of this agent.")
@click.option("--state", type=click.Choice(_STATES), metavar="|".join(_STATES), help="Turns in this state.")
@click.option(
    "--strategy",
    type=click.Choice([each.value for each in Strategy]),
    metavar="|".join(Strategy),
    help="Turns that were sent with this strategy.",
)
@click.option(
    "--older-than",
    metavar="SPAN",
    callback=checked_span,
    help="Turns sent longer ago: 90s, 10m, 2h, 1h30m.",
)
@click.option("--all", "everything", is_flag=True, help="All turns: your own, or everyone's for an admin.")
@click.option("--dry-run", is_flag=True, help="Only show which turns those are.")
@click.option("--yes", "-y", is_flag=True, help="Stop several without asking.")
@click.option(
    "--queue",
    type=click.Choice([each.value for each in QueueMode]),
    metavar="|".join(QueueMode),
    help="What becomes of the turns that wait; without it, clear for SESSION alone, else keep.",
)
@click.option("--force", is_flag=True, help="Stop steps too that must not be interrupted, as an admin.")
@click.option("--no-wait", is_flag=True, help="Return at once, without waiting for the outcome.")
@options.as_json
@options.asks
async def cancel(
    client: Client,
    screen: Screen,
    session: str | None,
    task: str | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
    queue: str | None,
    force: bool,
    no_wait: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    """Stop what SESSION is running, or only TASK. Reports the outcome. Without SESSION it stops all turns
    that every option given fits, and asks before it stops several, if a person is there.
    """
    given = {name: value for name, value in filters.items() if value}
    if filters["older_than"] is not None:
        given["older_than"] = filters["older_than"]
    if everything:
        given["all"] = True
    if session is None:
        if not given:
            raise click.UsageError("say what to stop: SESSION, options such as --user, or --all")
        how: dict[str, Any] = {"queue": queue, "force": force, "dry_run": dry_run, "yes": yes}
        return await stop_many(client, screen, given, **how, wait=not no_wait, as_json=as_json)
    if given or dry_run:
        raise click.UsageError("SESSION stands alone: use --session SESSION with other options")
    await client.hello()
    answer = await client.cancel(session, task, wait=not no_wait, queue=queue, force=force)
    if as_json:
        screen.json(answer)
    else:
        screen.line(verdict_text(answer))
        if cleared := answer.get("cleared"):
            screen.line(cleared_text(cleared))
    return int(cancel_exit_code(answer, waited=not no_wait))
