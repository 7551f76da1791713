"""The options of `turnkeeper audit`."""

from typing import Any

import click

from . import run as audits
from .agent import AGENT


@click.command()
@click.option("--url", metavar="URL", help="The server to audit, on this machine.")
@click.option("--adapter", metavar="TOML", help="A file that describes that server's API.")
@click.option("--agent", default=AGENT, metavar="AGENT", help="Without --url: turnkeeper's agent.")
@click.option(
    "--upstream-port",
    type=int,
    default=0,
    metavar="PORT",
    help="Where to listen as the model (a free port).",
)
@click.option("--users", type=int, default=50, metavar="NUMBER", help="How many users (50).")
@click.option("--turns", type=int, default=4, metavar="NUMBER", help="How many messages each user sends (4).")
@click.option("--seed", type=int, default=1, metavar="NUMBER", help="The same seed, the same plan (1).")
@click.option("--json", is_flag=True, help="Print the figures and findings as JSON.")
def audit(**options: Any) -> int:
    """Measure how a chat server treats impatient users. The audit plays its model and a crowd of users.
    Without --url it starts and measures turnkeeper itself.
    """
    return audits.main(audits.Options(**options))
