"""`turnkeeper audit`: its options. What it does is in `audit`."""

from typing import Any

import click

from . import run as audits
from .agent import AGENT


@click.command(
    help="Measure what users of a chat server live to see. Plays its model and a crowd that is impatient. "
    "Without --url, turnkeeper itself is started and measured."
)
@click.option("--url", metavar="URL", help="The server under test, on this machine.")
@click.option("--adapter", metavar="TOML", help="A file that says how to speak to it.")
@click.option("--agent", default=AGENT, metavar="AGENT", help="The agent of turnkeeper itself.")
@click.option(
    "--upstream-port", type=int, default=0, metavar="PORT", help="Where to be the model (a free port)."
)
@click.option("--users", type=int, default=50, metavar="NUMBER", help="How many users (50).")
@click.option("--turns", type=int, default=4, metavar="NUMBER", help="How many messages each (4).")
@click.option("--seed", type=int, default=1, metavar="NUMBER", help="The same seed, the same plan (1).")
@click.option("--json", is_flag=True, help="The figures and findings as JSON.")
def audit(**options: Any) -> int:
    """Is told by `help=`."""
    return audits.main(audits.Options(**options))
