"""What a turn costs where much has been said before."""

import time
from typing import Any, NamedTuple

from tests.attacks.agents import puppet
from tests.attacks.clients import Bystander, Client
from tests.attacks.rig import attack
from tests.attacks.server import Server
from turnkeeper.actors import SessionRegistry

KEPT = 61_000


class Turns(NamedTuple):
    """Microseconds of CPU that a turn costs with 10 and with 1,000 messages kept."""

    us_with_10: float
    us_with_1000: float
    ratio: float


ROUNDS = 7


async def turns(deed: str, count: int) -> Turns:
    """Compare the two in turn, in one process; the least of some rounds, which is the one least disturbed."""
    best: dict[int, float] = {}
    async with SessionRegistry(puppet) as registry:
        for _ in range(ROUNDS):
            for kept in (10, 1_000):
                await run(registry, f"s{kept}", f"fill {kept}")
                began = time.process_time()
                for _ in range(count):
                    await run(registry, f"s{kept}", deed)
                spent = (time.process_time() - began) / count * 1e6
                best[kept] = round(min(spent, best.get(kept, spent)), 1)
    return Turns(best[10], best[1_000], round(best[1_000] / best[10], 2))


async def run(registry: SessionRegistry, session: str, message: str) -> Any:
    return await (await registry.send(session, message)).result()


# Few enough turns that the ten messages stay few.
LOOK, BLIND = ("look", 40), ("blind", 400)


@attack(
    "10 and 1,000 kept messages within 20 % for a turn that adds two; any number for one that does not look"
)
async def conversations() -> dict[str, Turns]:
    return {
        "a turn that adds two messages": await turns(*LOOK),
        "a turn that does not look": await turns(*BLIND),
    }


class Long(NamedTuple):
    """What a conversation that has grown and grown does to the server."""

    kept: int
    omitted: int
    cpu_ms_a_turn: float
    cpu_ms_a_turn_with_10: float
    bystander_worst_ms: float


LOOKS = 5


@attack("61,000 kept messages: 0.7 s a turn, copied on the loop")
def long_conversation() -> Long:
    with Server() as server, Client(server) as client:
        short, _ = looks(server, client, "short", 10)
        long, worst = looks(server, client, "long", KEPT)
        said = client.get("/chat/long/messages").json
        return Long(len(said["messages"]), said["omitted"], long, short, worst)


def looks(server: Server, client: Client, session: str, kept: int) -> tuple[float, float]:
    """Milliseconds of CPU for a turn that looks at so many messages, and a bystander's longest wait."""
    client.run(session, f"fill {kept}")
    with Bystander(server) as bystander:
        before = server.cpu()
        for _ in range(LOOKS):
            client.run(session, "look")
        spent = server.cpu() - before
    return round(spent / LOOKS * 1000, 1), bystander.worst


def test_a_conversation_is_bounded_and_says_what_it_lacks() -> None:
    seen = long_conversation()
    assert seen.kept <= 1_000
    assert seen.kept + seen.omitted == KEPT + 2 * LOOKS
    # A few milliseconds are what waiting for the end of a turn over HTTP may come to.
    assert seen.cpu_ms_a_turn <= 2 * seen.cpu_ms_a_turn_with_10 + 5


class Bytes(NamedTuple):
    """What is kept of messages of 300 kB each."""

    sent: int
    kept: int
    omitted: int


@attack("a conversation is bounded by 4 MiB")
def megabytes_kept() -> Bytes:
    with Server() as server, Client(server) as client:
        for _ in range(30):
            assert client.run("s", "keep " + "a" * 300_000).json["status"] == "completed"
        said = client.get("/chat/s/messages").json
        return Bytes(30, len(said["messages"]), said["omitted"])


class Growth(NamedTuple):
    """How much memory a conversation takes that only grows."""

    sent_mb: float
    memory_grew_mb: float


@attack("a conversation grows with all that was ever said")
def growth() -> Growth:
    with Server() as server, Client(server) as client:
        client.run("s", "keep")
        before = server.memory()
        for _ in range(60):
            client.run("s", "keep " + "a" * 900_000)
        return Growth(round(60 * 0.9), round((server.memory() - before) / 1e6))


def test_what_is_kept_of_a_conversation_does_not_grow_with_what_was_said() -> None:
    seen = megabytes_kept()
    assert seen.kept + seen.omitted == seen.sent
    grown = growth()
    # Its 4 MiB, the log's 1 MiB, and what the allocator holds on to of bodies that were read.
    assert grown.memory_grew_mb < grown.sent_mb / 2
