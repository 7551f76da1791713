"""`turnkeeper serve`: puts the settings, the agents and the tokens together, and runs the server."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from turnkeeper.actors.journal.where import IN_MEMORY
from turnkeeper.actors.model.exceptions import InvalidRequest, JournalNotOpened
from turnkeeper.actors.policy.said import PolicyFields
from turnkeeper.actors.turn.agent import AnyAgent, agent_of
from turnkeeper.web.agents.load import load_agents
from turnkeeper.web.app import REGISTRY, create_app
from turnkeeper.web.http.access.loopback import is_loopback
from turnkeeper.web.http.access.tokens import Tokens
from turnkeeper.web.http.settings import LogFormat, LogLevel
from turnkeeper.web.server.logs import log_to_stderr
from turnkeeper.web.server.run import run, why_not
from turnkeeper.web.wires.agents import listed
from turnkeeper.web.wires.speaking import wires_named

from .config import Config, combine, unknown_variables
from .exit_codes import CommandFailed, ExitCode

Agents: TypeAlias = Mapping[str, AnyAgent]
#: Stands for no other protocol than turnkeeper's own.
NO_WIRE = "none"
Closers: TypeAlias = list[Callable[[Any], Awaitable[None]]]


def configure(path: str | None, flags: Mapping[str, Any]) -> Config:
    """The settings of all layers. Raises `CommandFailed` (2), which names the layer that is wrong."""
    for line in unknown_variables(os.environ):
        click.echo(f"turnkeeper: {line}", err=True)
    try:
        return combine(path, os.environ, flags)
    except InvalidRequest as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None


def agents_of(options: Mapping[str, Any]) -> tuple[Agents, Closers]:
    """The agents that the options name, the default one first, and the functions that close them.

    Raises `InvalidRequest`.
    """
    sys.path.insert(0, str(Path.cwd()))
    for_openai = {name: value for name, value in options.items() if name not in ("agent", "data", "speaks")}
    if options["agent"] == "openai":
        return _openai(for_openai)
    for name in for_openai:
        raise InvalidRequest(f"--{name.replace('_', '-')} goes with --agent openai", field=name)
    return load_agents(options["agent"]), []


def _openai(options: dict[str, Any]) -> tuple[Agents, Closers]:
    if "model" not in options:
        raise InvalidRequest("--agent openai needs --model", field="model")
    try:
        from turnkeeper.web.agents.openai import OpenAIAgent
    except ImportError as error:  # openai is an extra
        raise InvalidRequest(str(error), field="agent") from error
    if "model_timeout" in options:
        options["timeout"] = options.pop("model_timeout")
    agent = OpenAIAgent(**options)

    async def close(_app: object) -> None:
        await agent.aclose()

    return {"default": agent}, [close]


def policed(
    agents: Agents, policies: Mapping[str, PolicyFields], takes: Mapping[str, Sequence[str]]
) -> Agents:
    """The agents, run as the file says. Raises `InvalidRequest` for one that there is not."""
    for name in policies:
        if name not in agents:
            raise InvalidRequest(
                f"[agents.{name[:100]}]: there is no such agent: they are {', '.join(agents)}", field="agents"
            )
    return {
        name: agent_of(agent).saying(policies[name], takes.get(name)) if name in policies else agent
        for name, agent in agents.items()
    }


def spoken(names: str) -> tuple[str, ...]:
    """The protocols in a text of their names, separated by commas; ``none`` is none."""
    return () if names == NO_WIRE else tuple(each.strip() for each in names.split(",") if each.strip())


def launch(config: Config) -> int:
    """Run the server until SIGINT or SIGTERM; the exit code. Raises `CommandFailed`."""
    settings = config.settings
    log_to_stderr(LogFormat(settings.log_format), LogLevel(settings.log_level))
    try:
        tokens = Tokens(config.tokens)
        if not tokens and not is_loopback(settings.host):
            raise InvalidRequest(
                f"without tokens, only loopback addresses are served, not {settings.host}:"
                " add --token user:secret"
            )
        agents, close = agents_of(config.options)
        agents, users = policed(agents, config.agents, config.takes), config.users
        data = config.options["data"]
        wires = wires_named(spoken(config.options["speaks"]))
        app = create_app(
            agents,
            authenticate=tokens or None,
            settings=settings,
            journal=data,
            users=users,
            speaks=[wire.name for wire in wires],
        )
    except InvalidRequest as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None
    app.on_cleanup.extend(close)

    def announce(address: str) -> None:
        click.echo(f"turnkeeper serves {config.options['agent']} on {address}  (Ctrl-C stops it)")
        kept = "nowhere: they end with the server" if data == IN_MEMORY else f"in {Path(data).resolve()}"
        for wire in wires:
            models = f" (models: {listed(app[REGISTRY].agents)})" if wire.names_models else ""
            click.echo(f"Clients of {wire.clients}: {address.rstrip('/')}{wire.base}{models}")
        click.echo(f"Chats are kept {kept}.")
        if not tokens:
            click.echo("No tokens: only this machine is served, and all its users may do everything.")

    try:
        return run(app, settings, announce)
    except JournalNotOpened as error:
        raise CommandFailed(ExitCode.FAILED, f"{error}; --data PATH names another file") from None
    except (OSError, UnicodeError) as error:  # no such address, in use, not allowed, no host name at all
        text = f"cannot listen on {settings.host} port {settings.port}: {why_not(error)}"
        raise CommandFailed(ExitCode.FAILED, text) from None
