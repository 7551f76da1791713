"""The options of `turnkeeper audit`."""

from typing import Any

import click

from . import run as audits
from .adapters.built_in import MODEL, NAMES, OURS
from .agent import AGENT


@click.command()
@click.option("--url", metavar="URL", help="The server to audit, on this machine.")
@click.option(
    "--adapter",
    default=OURS,
    metavar="NAME",
    help=f"The API that it speaks: {', '.join(NAMES)}; or a TOML file that describes it ({OURS}).",
)
@click.option("--model", default=MODEL, metavar="MODEL", help=f"The model to name to it ({MODEL}).")
@click.option("--agent", default=AGENT, metavar="AGENT", help="Without --url: turnkeeper's agent.")
@click.option(
    "--upstream-port",
    type=int,
    default=0,
    metavar="PORT",
    help="Where to listen as the model (a free port).",
)
@click.option(
    "--pid", type=int, metavar="PID", help="The server's process, if another one listens at its port."
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
