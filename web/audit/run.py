"""`turnkeeper audit`: what users of a chat server experience, and what its model generates in vain.

It plays the model and a crowd of users around a chat server on this machine; see docs/howto/audit.md.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.server.run import why_not

from .adapters.adapter import Adapter
from .adapters.built_in import MODEL, NAMES, OURS, built_in
from .adapters.from_toml import read_adapter
from .agent import AGENT
from .inside import CannotLook, left_in, server_of
from .judging.judge import Judgement, judge
from .log import AuditLog
from .plan import MOST_TURNS, MOST_USERS, Pace, make_plan
from .report import as_json, as_table
from .target import CannotAudit, Target, check_url, reached
from .upstream import Upstream
from .users import run_crowd

CLEAN, FAULTY, USAGE, UNREACHABLE = 0, 1, 2, 3
#: Seconds a crowd may take for each of its turns, at most.
PER_TURN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command."""

    url: str | None = None
    """The server under test; without it, turnkeeper itself is started."""
    adapter: str = OURS
    """The name of an adapter that comes along, else the TOML file that describes the server at the URL."""
    model: str = MODEL
    """What ``{model}`` stands for in the adapter."""
    agent: str = AGENT
    """The agent of the turnkeeper that is started."""
    upstream_port: int = 0
    pid: int | None = None
    """The server's process, if another one has its port; without it, the one that listens there."""
    users: int = 50
    turns: int = 4
    seed: int = 1
    json: bool = False

    def check(self) -> None:
        """Raise `InvalidRequest` if a value is out of range, or two do not go together."""
        for name, most in (("users", MOST_USERS), ("turns", MOST_TURNS)):
            if not 1 <= getattr(self, name) <= most:
                raise InvalidRequest(f"--{name} must be 1 to {most}", field=name)
        if not 0 <= self.upstream_port <= 65_535:
            raise InvalidRequest("--upstream-port must be 0 to 65535", field="upstream_port")
        if self.pid is not None and (self.pid < 1 or self.url is None):
            raise InvalidRequest("--pid is the process of the server at --url", field="pid")
        if self.adapter not in NAMES and not Path(self.adapter).exists():
            text = f"there is no adapter or file {self.adapter!r}: the adapters are {', '.join(NAMES)}"
            raise InvalidRequest(text, field="adapter")
        if self.url is None and self.adapter not in NAMES:
            text = f"--adapter describes the server at --url, if it is not {', '.join(NAMES)}"
            raise InvalidRequest(text, field="adapter")
        if self.url is not None and not self.upstream_port:
            raise InvalidRequest(
                "--url needs --upstream-port, the port of this machine where that server finds its model",
                field="upstream_port",
            )


def main(options: Options) -> int:
    """Audit; the exit status is 0 (no faults), 1 (faults), 2 (wrong options) or 3 (no server, or no port)."""
    try:
        options.check()
        url = None if options.url is None else check_url(options.url)
        adapter = _adapter(options)
        judgement = asyncio.run(audit(options, url, adapter, Pace()))
    except InvalidRequest as error:
        return _complain(str(error), USAGE)
    except CannotAudit as error:
        return _complain(str(error), UNREACHABLE)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    unchecked = tuple(adapter.unchecked)
    if options.json:
        print(json.dumps(as_json(judgement, unchecked), indent=2))
    else:
        print(as_table(judgement, adapter.name, unchecked))
    return CLEAN if judgement.clean else FAULTY


async def audit(options: Options, url: str | None, adapter: Adapter, pace: Pace) -> Judgement:
    """Play the model and the users, and judge the server. Cancelling it ends everything it has started.

    Raises `CannotAudit`.
    """
    plan = make_plan(options.users, options.turns, options.seed, secrets.token_hex(4), pace)
    log = AuditLog()
    upstream = Upstream(plan, log)
    try:
        async with upstream.serving(options.upstream_port) as base:
            _note(f"the model is at {base}: {options.users} users, {plan.turns} turns, seed {options.seed}")
            async with reached(url, options.agent, base) as (address, pid), _client() as client:
                target = Target(client, address, adapter, pace)
                async with _looking_inside(log, address, options.pid or pid, pace.quiet):
                    await run_crowd(plan, target, upstream, log, PER_TURN * options.turns)
                    # What was stopped, or left, may still be running where no user sees it.
                    await asyncio.sleep(pace.lost_after + 4 * pace.token)
                    upstream.close()
    except OSError as error:
        text = f"cannot listen on 127.0.0.1 port {options.upstream_port}: {why_not(error)}"
        raise CannotAudit(text) from None
    return judge(log, pace.slack, pace.lost_after, sessions=adapter.knows_sessions)


@asynccontextmanager
async def _looking_inside(log: AuditLog, url: str, pid: int | None, quiet: float) -> AsyncGenerator[None]:
    """Write down what is left in the server by what happens meanwhile, or why that cannot be seen."""
    try:
        server = await asyncio.to_thread(server_of, url, pid)
        before = await asyncio.to_thread(server.look)
    except CannotLook as why:
        log.not_inside = str(why)
        yield
        return
    yield
    try:
        after = await asyncio.to_thread(server.look)
        await asyncio.sleep(quiet)
        log.inside = left_in(before, after, await asyncio.to_thread(server.look))
    except CannotLook as why:
        log.not_inside = str(why)


@asynccontextmanager
async def _client() -> AsyncGenerator[aiohttp.ClientSession]:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=jar, trust_env=False
    ) as client:
        yield client


def _adapter(options: Options) -> Adapter:
    if options.adapter in NAMES:
        return built_in(options.adapter, options.model)
    return read_adapter(_read(options.adapter), options.model)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidRequest(f"cannot read the adapter {path}: {why}", field="adapter") from None


def _note(text: str) -> None:
    print(f"turnkeeper audit: {text}", file=sys.stderr, flush=True)


def _complain(text: str, status: int) -> int:
    _note(text)
    return status
