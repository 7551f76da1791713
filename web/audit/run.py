"""`turnkeeper audit`: what impatient users live to see with a chat server, and what its model is made to pay.

An upstream of our own and a crowd of users around any chat server on this machine; see docs/howto/audit.md.
"""

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.http.server import why_not

from .adapters import OURS, Adapter, check_url, read_adapter
from .agent import AGENT, UPSTREAM_VARIABLE
from .judge import Fault, Finding, Log, Report, judge, percentile
from .plan import MOST_TURNS, MOST_USERS, Pace, make_plan
from .upstream import Upstream
from .users import Server, unleash

CLEAN, FAULTY, USAGE, UNREACHABLE = 0, 1, 2, 3
#: Seconds a crowd may take for each of its turns, at most.
PER_TURN = 4.0
#: Seconds until a server of ours must have said where it listens, and until it must be gone.
START_UP, SHUT_DOWN = 20.0, 15.0
MOST_FINDINGS = 100


class Unreachable(Exception):
    """The server under test, or a port of this machine, cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command takes."""

    url: str | None = None
    """The server under test; without it turnkeeper itself is started."""
    adapter: str | None = None
    """The TOML file that describes it; without it, it is a turnkeeper."""
    agent: str = AGENT
    """The agent of the turnkeeper that is started."""
    upstream_port: int = 0
    users: int = 50
    turns: int = 4
    seed: int = 1
    json: bool = False

    def check(self) -> None:
        """Raise `InvalidRequest` for what is out of range or does not go together."""
        for name, most in (("users", MOST_USERS), ("turns", MOST_TURNS)):
            if not 1 <= getattr(self, name) <= most:
                raise InvalidRequest(f"--{name} is 1 to {most}", field=name)
        if not 0 <= self.upstream_port <= 65_535:
            raise InvalidRequest("--upstream-port is 0 to 65535", field="upstream_port")
        if self.url is None and self.adapter is not None:
            raise InvalidRequest("--adapter describes the server at --url", field="adapter")
        if self.url is not None and not self.upstream_port:
            raise InvalidRequest(
                "--url needs --upstream-port, the port of this machine where that server looks for its model",
                field="upstream_port",
            )


def main(options: Any) -> int:
    """Audit; the exit status is 0 (no fault), 1 (faults), 2 (asked wrongly) or 3 (nobody there).

    ``options`` is an `Options`, or anything with the same attributes.
    """
    options = Options(**{each.name: getattr(options, each.name) for each in fields(Options)})
    try:
        options.check()
        url = None if options.url is None else check_url(options.url)
        adapter = OURS if options.adapter is None else read_adapter(_read(options.adapter))
        report = asyncio.run(audit(options, url, adapter, Pace()))
    except InvalidRequest as error:
        return _complain(str(error), USAGE)
    except Unreachable as error:
        return _complain(str(error), UNREACHABLE)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    print(json.dumps(as_json(report), indent=2) if options.json else as_table(report, adapter.name))
    return CLEAN if report.clean else FAULTY


async def audit(options: Options, url: str | None, adapter: Adapter, pace: Pace) -> Report:
    """Play the model and the users, and judge. Cancelling it ends everything it has started.

    Raises `Unreachable`.
    """
    plan = make_plan(options.users, options.turns, options.seed, secrets.token_hex(4), pace)
    log = Log()
    upstream = Upstream(plan, log)
    try:
        async with upstream.serving(options.upstream_port) as base:
            _tell(f"the model is at {base}: {options.users} users, {plan.turns} turns, seed {options.seed}")
            async with _target(url, options.agent, base) as target, _client() as client:
                server = Server(client, target, adapter, pace)
                await unleash(plan, server, upstream, log, PER_TURN * options.turns)
                # What was stopped, or left, may be going on behind everyone's back.
                await asyncio.sleep(pace.lost_after + 4 * pace.token)
                upstream.close()
    except OSError as error:
        text = f"cannot listen on 127.0.0.1 port {options.upstream_port}: {why_not(error)}"
        raise Unreachable(text) from None
    return judge(log, pace.slack, pace.lost_after)


@asynccontextmanager
async def _client() -> AsyncGenerator[aiohttp.ClientSession]:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=jar, trust_env=False
    ) as client:
        yield client


@asynccontextmanager
async def _target(url: str | None, agent: str, upstream: str) -> AsyncGenerator[str]:
    """The address of the server under test, which answers there. Raises `Unreachable`."""
    if url is None:
        async with _turnkeeper(agent, upstream) as address:
            yield address
        return
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            )
    except (OSError, TimeoutError) as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error) or "no answer"
        raise Unreachable(f"nobody answers at {url}: {why}") from None
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    yield url


@asynccontextmanager
async def _turnkeeper(agent: str, upstream: str) -> AsyncGenerator[str]:
    """A turnkeeper of our own, in a process of its own, whose agent asks the upstream."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TURNKEEPER_")}
    # The last two are what the clients of OpenAI's API look for.
    environ |= {UPSTREAM_VARIABLE: upstream, "OPENAI_BASE_URL": upstream, "OPENAI_API_KEY": "audit"}
    command = (sys.executable, "-m", "turnkeeper.web.command.cli", "serve", "--port", "0", "--agent", agent)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL, env=environ
    )
    try:
        assert process.stdout is not None
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_UP):
                line = await process.stdout.readline()
        found = re.search(r"http://[^\s/]+", line.decode(errors="replace"))
        if found is None:
            raise Unreachable("turnkeeper did not start")
        yield found[0]
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(SHUT_DOWN):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.communicate()


# -- What is printed --------------------------------------------------------------------------------

#: What each count is out of.
_OF = {
    Fault.AFTER_STOP: "generated",
    Fault.OVERLAP: "requests",
    Fault.LOST_STOP: "stops",
    Fault.LIE: "stops",
    Fault.WRONG_TURN: "late_stops",
    Fault.LOST: "generated",
    Fault.DOUBLED: "seen",
    Fault.INVENTED: "seen",
    Fault.NEVER_REACHED: "sends",
    Fault.CUT_SHORT: "sends",
    Fault.REPEATED: "sends",
    Fault.REFUSED: "sends",
    Fault.UNANSWERED: "",
    Fault.OUT_OF_TIME: "",
}


def rows(report: Report) -> Sequence[tuple[str, str]]:
    """The figures, each with its name."""
    table = [(fault.value, _figure(report, fault, of)) for fault, of in _OF.items()]
    half, most = percentile(report.silence, 50), percentile(report.silence, 99)
    spans = "-" if half is None or most is None else f"{half * 1000:.0f} ms / {most * 1000:.0f} ms"
    return [*table, ("time from Stop to silence, p50 / p99", spans)]


def _figure(report: Report, fault: Fault, of: str) -> str:
    count = report.count(fault)
    if not of:
        return str(count)
    whole = getattr(report, of)
    return f"{count} of {whole}" if whole else "-"


def as_table(report: Report, name: str) -> str:
    """The figures for people."""
    table = rows(report)
    width = max(len(title) for title, _ in table)
    lines = [f"{'':{width}}  {name}", *(f"{title:{width}}  {figure}" for title, figure in table), ""]
    if report.clean:
        return "\n".join([*lines, "No fault was found."])
    if report.count(Fault.NOTHING):
        lines.append("Nothing of it reached the model: does the server ask it at the address above, and pass")
        lines.append("the user's message on?")
    kinds = dict.fromkeys(each.fault for each in report.findings)
    first = [next(each for each in report.findings if each.fault is kind) for kind in kinds]
    lines.append("Faults were found. The first of each kind:")
    return "\n".join([*lines, *(f"  {_told(each)}" for each in first)])


def _told(finding: Finding) -> str:
    where = f": {finding.session}, message {finding.n}" if finding.session else ""
    return finding.fault.value + where + (f", answered {finding.status}" if finding.status else "")


def as_json(report: Report) -> dict[str, Any]:
    """The figures for programs, and the first of the findings."""
    half, most = percentile(report.silence, 50), percentile(report.silence, 99)
    numbers = {
        name: getattr(report, name)
        for name in ("sends", "stops", "late_stops", "requests", "unmarked", "generated", "seen")
    }
    return {
        "clean": report.clean,
        "faults": {fault.name.lower(): report.count(fault) for fault in Fault},
        **numbers,
        "refused_while_busy": report.refused_while_busy,
        "stop_to_silence_ms": {
            "p50": None if half is None else round(half * 1000, 1),
            "p99": None if most is None else round(most * 1000, 1),
        },
        "findings": [
            {
                "fault": each.fault.name.lower(),
                "session": each.session,
                "message": each.n,
                "count": each.count,
                "status": each.status,
            }
            for each in report.findings[:MOST_FINDINGS]
        ],
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidRequest(f"cannot read the adapter {path}: {why}", field="adapter") from None


def _tell(text: str) -> None:
    print(f"turnkeeper audit: {text}", file=sys.stderr, flush=True)


def _complain(text: str, status: int) -> int:
    _tell(text)
    return status
