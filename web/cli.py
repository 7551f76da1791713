"""The `turnkeeper` command."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from turnkeeper.actors.exceptions import InvalidRequest
from turnkeeper.actors.turn import Turn

from . import audit
from .access import Tokens, is_loopback, read_tokens
from .agents import BUILT_IN, load_agent
from .app import create_app
from .server import run
from .settings import WebSettings

USAGE = 2
TOKENS_VARIABLE = "TURNKEEPER_TOKENS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 (it failed), or 2 (it was asked wrongly)."""
    options = _parser().parse_args(arguments)
    if options.command == "audit":
        return audit.main(options)
    try:
        return _serve(options)
    except InvalidRequest as error:
        return _complain(str(error), USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="turnkeeper", description="Keeps the turns of chat sessions.")
    version = f"turnkeeper {metadata.version('turnkeeper')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="start a chat server",
        description="Start a chat server. Every setting is also read from TURNKEEPER_<NAME>.",
    )
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on, 0 for a free one (8000)")
    serve.add_argument(
        "--agent",
        default="echo",
        metavar="AGENT",
        help="echo (the default), openai, or package.module:callable",
    )
    _add_openai_options(serve)
    serve.add_argument(
        "--token",
        action="append",
        default=[],
        metavar="USER:SECRET[:admin]",
        help=f"who may ask; repeatable. Also from {TOKENS_VARIABLE}, separated by spaces",
    )
    serve.add_argument("--token-file", metavar="FILE", help="tokens, one a line")
    audit.add_options(commands.add_parser("audit", help="measure what users of a chat server live to see"))
    return parser


def _add_openai_options(serve: argparse.ArgumentParser) -> None:
    group = serve.add_argument_group("with --agent openai", "The key is read from OPENAI_API_KEY.")
    group.add_argument("--base-url", metavar="URL", help="the API to ask, such as http://127.0.0.1:8080/v1")
    group.add_argument("--model", help="the model's name there")
    group.add_argument("--system", metavar="TEXT", help="the system prompt")
    group.add_argument("--temperature", type=float, metavar="NUMBER", help="how freely it speaks")
    group.add_argument(
        "--model-timeout", type=float, metavar="SECONDS", help="how long the model may be silent (60)"
    )


def _agent(options: argparse.Namespace) -> tuple[Callable[[Turn], Any], list[Callable[[Any], Any]]]:
    """The agent to serve, and what closes it."""
    names = ("base_url", "model", "system", "temperature", "model_timeout")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.agent != "openai":
        for name in given:
            raise InvalidRequest(f"--{name.replace('_', '-')} goes with --agent openai", field=name)
        return load_agent(options.agent), []
    if "model" not in given:
        raise InvalidRequest("--agent openai needs --model", field="model")
    try:
        from .openai_agent import OpenAIAgent
    except ImportError as error:  # openai is an extra
        raise InvalidRequest(str(error), field="agent") from error
    if "model_timeout" in given:
        given["timeout"] = given.pop("model_timeout")
    agent = OpenAIAgent(**given)
    # The client brings so many objects that a full collection of them would stop the server for 0.1 s.
    gc.freeze()

    async def close(_app: object) -> None:
        await agent.aclose()

    return agent, [close]


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = WebSettings.from_environment(os.environ, host=options.host, port=options.port)
    tokens = Tokens(_tokens(options, os.environ))
    if not tokens and not is_loopback(settings.host):
        raise InvalidRequest(
            f"without tokens only loopback is served, not {settings.host}: add --token user:secret"
        )
    sys.path.insert(0, str(Path.cwd()))
    agent, close = _agent(options)
    agents = BUILT_IN if options.agent == "echo" else {"default": agent}
    app = create_app(agents, authenticate=tokens or None, settings=settings)
    app.on_cleanup.extend(close)

    def announce(address: str) -> None:
        print(f"turnkeeper serves {options.agent} on {address}  (Ctrl-C ends it)", flush=True)
        if not tokens:
            print("No tokens: everyone on this machine may everything, nobody else may anything.", flush=True)

    try:
        return run(app, settings, announce)
    except (OSError, UnicodeError) as error:  # no such address, in use, not allowed, no host name at all
        reason = (getattr(error, "strerror", None) or str(error)).rsplit(": ", 1)[-1]
        return _complain(f"cannot listen on {settings.host} port {settings.port}: {reason}", 1)


def _tokens(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    tokens = [*options.token, *environ.get(TOKENS_VARIABLE, "").split()]
    path = options.token_file or environ.get("TURNKEEPER_TOKEN_FILE")
    return [*tokens, *(read_tokens(path) if path else ())]


def _complain(text: str, status: int) -> int:
    print(f"turnkeeper: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
