"""Rounds of kills: ``python -m tests.faults.run --kills 60``; ``--check FILE`` judges a history again."""

import argparse
import asyncio
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.attacks.server import COMMAND, records
from tests.faults.agents import AGENTS
from tests.faults.checker import Violation, check
from tests.faults.end import at_the_end, tasks_of
from tests.faults.following import Reader, Together
from tests.faults.history import (
    CancelAnswered,
    Connected,
    History,
    Killed,
    Seen,
    SendAnswered,
    SendAsked,
    Terminated,
    read,
)
from tests.faults.log import id_of
from tests.faults.process import DidNotServe, ServerProcess
from tests.faults.scene import AGAIN, Killer, Scene, end_all
from tests.faults.users import User
from turnkeeper.web.client.client import Client

#: How many kills a round has: then all is checked, and other sessions begin.
ROUND = 20
#: Seconds for which the sessions are used after the last kill.
CALM = 2.0
#: Seconds that readers have to see everything, when nothing runs any more.
CATCH_UP = 10.0
#: How many seconds some readers stay away, and how many sessions others follow at once.
AWAY, AT_ONCE = 4.0, 8
#: How often a turn may be started that is to be tried again.
ATTEMPTS = 3
#: Nothing that a round brings about falls out of memory.
ROOMY: dict[str, object] = {
    "cancel_grace": 1.0,
    "shutdown_deadline": 2.0,
    "attempt_backoff": 0.1,
    "max_attempts": ATTEMPTS,
    "kept_turns": 1_000,
    "log_events": 100_000,
    "log_bytes": 100_000_000,
    "max_kept": 2_000_000_000,
    "log_level": "error",
}
#: Idle sessions sleep at once and are in the file alone, and memory keeps little of the others.
TIGHT: dict[str, object] = {
    **ROOMY,
    "idle_ttl": 0.3,
    "conversation_messages": 8,
    "kept_turns": 3,
    "log_events": 100,
}
#: Most turns wait for a slot, and many are cut off while they wait.
CAPPED: dict[str, object] = {
    **ROOMY,
    "on_cap": "wait",
    "max_in_flight": 12,
    "max_in_flight_in_all": 20,
    "max_waiting": 1_000,
}
#: The settings of the rounds, one after the other.
KINDS = (ROOMY, TIGHT, CAPPED)
#: What the log of a server has where a turn failed because it was to, or was deaf when the server was to end.
AS_PLANNED = ("AsPlanned", "did not stop: ending the process")
#: How many violations are printed.
SHOWN = 20
#: How many characters of each.
MOST = 1_000


class Figures(NamedTuple):
    """What a round consisted of."""

    kills: int
    gently: int
    sends: int
    cancels: int
    events: int
    reconnects: int

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.gently} after a SIGTERM), {self.sends:,} acknowledged sends,"
            f" {self.cancels:,} cancels, {self.events:,} events on streams, resumed {self.reconnects:,} times"
        )


def figures(history: History) -> Figures:
    """What happened, counted."""

    def count(kind: type) -> int:
        return sum(isinstance(record, kind) for record in history.records)

    readers = {record.reader for record in history.records if isinstance(record, Connected)}
    return Figures(
        count(Killed),
        count(Terminated),
        count(SendAnswered),
        count(CancelAnswered),
        count(Seen),
        count(Connected) - len(readers),
    )


async def play(
    server: ServerProcess,
    seed: str,
    sessions: list[str],
    kills: int,
    *,
    calm: float = CALM,
    keeps_closed: bool = True,
) -> History:
    """One round: so many kills under these sessions, ``calm`` seconds more, and what is there then.

    ``keeps_closed``: closed sessions stay known for so long. The server is ended. Raises `DidNotServe`.
    """
    history = History(seed, {name: name for name in AGENTS}, ATTEMPTS)
    async with Client(server.url) as client:
        scene = Scene(server, client, history, keeps_closed=keeps_closed)
        killer = Killer(scene, random.Random(f"{seed} kills"))
        users = [User(scene, name, list(AGENTS), random.Random(f"{seed} {name}")) for name in sessions]
        readers = _readers(scene, seed, sessions)
        playing = [asyncio.create_task(user.play()) for user in users]
        reading = [asyncio.create_task(reader.follow()) for reader in readers]
        try:
            await killer.rage(kills)
            await killer.start()
            await asyncio.sleep(calm)
            scene.over = True
            await asyncio.gather(*playing)
            named = [(r.session, r.task) for r in history.records if isinstance(r, SendAsked)]
            history.end = await at_the_end(client, tasks_of(named))
            await _catch_up(readers, history)
        finally:
            await server.kill()
            await end_all([*playing, *reading, *(task for user in users for task in user.followers)])
    return history


def _readers(scene: Scene, seed: str, sessions: list[str]) -> list[Reader]:
    """Those who follow: half of the sessions always, a quarter now and then, a quarter several at once."""
    readers: list[Reader] = []
    for name in [name for number, name in enumerate(sessions) if number % 4 != 0]:
        away = AWAY if len(readers) % 3 == 0 else AGAIN
        readers.append(
            Reader(scene, f"{name}-reader", name, random.Random(f"{seed} {name} reads"), away=away)
        )
    others = sessions[::4]
    for first in range(0, len(others), AT_ONCE):
        together = others[first : first + AT_ONCE]
        readers.append(Together(scene, f"{first}-reader", together, random.Random(f"{seed} {first} reads")))
    return readers


async def _catch_up(readers: list[Reader], history: History) -> None:
    """Wait for the readers to see all that there is, for as long as they may take."""
    last = {
        session: [id_of(event.id) for event in end.events if event.id is not None][-1:]
        for session, end in history.end.items()
    }
    until = time.monotonic() + CATCH_UP
    for reader in readers:
        while time.monotonic() < until and any(
            id_of(cursor) < at for name, cursor in reader.cursors.items() for at in last.get(name, [])
        ):
            await asyncio.sleep(0.05)
        reader.stop()


def run(
    kills: int,
    sessions: int,
    seed: int,
    folder: Path,
    kinds: Sequence[Mapping[str, object]] = KINDS,
) -> bool:
    """Rounds until there were so many kills; whether all was well."""
    log, file = folder / "server.log", folder / "turnkeeper.db"
    for number in range((kills + ROUND - 1) // ROUND):
        began = time.monotonic()
        kind, many = kinds[number % len(kinds)], min(ROUND, kills - number * ROUND)
        server = ServerProcess(log, "--data", str(file), **kind)
        names = [f"r{number}s{each}" for each in range(sessions)]
        try:
            history = asyncio.run(
                play(server, f"{seed} {number}", names, many, keeps_closed=kind is not TIGHT)
            )
        except DidNotServe as error:
            print(f"round {number + 1}: the server did not serve any more: {error}\nits files: {folder}")
            return False
        found = check(history) + grumbles(log.read_text(errors="replace")) + unsound(file)
        took = f"{time.monotonic() - began:.0f} s"
        print(f"round {number + 1}, {took}: {len(found)} violations; {figures(history)}", flush=True)
        if found:
            path = folder / f"history-{number}.json"
            history.write(path)
            show(found)
            print(f"the history: {path}\nthe server's log: {log}\nagain: SEED={seed}")
            return False
    return True


def grumbles(log: str) -> list[Violation]:
    """What a server has logged as an error, beside the turns that were to fail."""
    return [
        Violation("the server", record)
        for record in records(log)
        if not any(text in record for text in AS_PLANNED) and " ERROR " in record.partition("\n")[0]
    ]


def unsound(file: Path) -> list[Violation]:
    """What ``turnkeeper journal check`` finds wrong with the file."""
    words = [*COMMAND, "journal", "check", "--data", str(file)]
    checked = subprocess.run(words, capture_output=True, text=True, check=False)
    return [] if checked.returncode == 0 else [Violation("the file", checked.stdout + checked.stderr)]


def show(found: list[Violation]) -> None:
    """Print the first violations."""
    for violation in found[:SHOWN]:
        print(f"  {violation.session}: {violation.says[:MOST]}")
    if len(found) > SHOWN:
        print(f"  and {len(found) - SHOWN} more")


def main() -> int:
    """The exit code: 0 if all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run's choices, not its timing")
    parser.add_argument("--capped", action="store_true", help="only rounds in which turns wait for slots")
    parser.add_argument("--check", type=Path, metavar="FILE", help="judge this history again")
    given = parser.parse_args()
    if given.check is not None:
        show(found := check(read(given.check)))
        return 1 if found else 0
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    print(f"{given.kills} kills under {given.sessions} sessions, SEED={seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="turnkeeper-faults."))
    well = run(given.kills, given.sessions, seed, folder, (CAPPED,) if given.capped else KINDS)
    if well:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
