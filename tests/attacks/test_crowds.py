"""One user who takes all there is, and another one who wants a little."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tests.attacks.clients import Client, Stream
from tests.attacks.rig import attack
from tests.attacks.server import Server
from turnkeeper.actors import HOST
from turnkeeper.web import Principal

TOKENS = ("eve:e", "kim:k", "ada:a")
#: The bounds a user has by default, and how far eve goes beyond each.
MAX_SESSIONS, MAX_TURNS, MAX_STREAMS, MAX_KEPT_MIB = 1_000, 32, 64, 64
BEYOND = 20


class Taken(NamedTuple):
    """What one user got, and how the rest was refused."""

    accepted: int
    refused: int
    codes: list[str]
    without_retry_after: int


class Refusals:
    """Counts the answers of a kind of request."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.codes = set[str]()
        self.silent = 0

    def note(self, status: int, code: str | None, retry_after: str | None) -> None:
        if status in (200, 202):
            self.accepted += 1
            return
        self.refused += 1
        self.codes.add(f"{status} {code}")
        self.silent += retry_after is None

    @property
    def taken(self) -> Taken:
        return Taken(self.accepted, self.refused, sorted(self.codes), self.silent)


def sends(client: Client, name: str, message: str, count: int) -> Taken:
    """Send this to so many sessions."""
    seen = Refusals()
    for number in range(count):
        answer = client.send(f"{name}{number}", message)
        seen.note(answer.status, answer.code, answer.headers.get("Retry-After"))
    return seen.taken


def streams(server: Server, client: Client, count: int, stack: ExitStack) -> Taken:
    """Open so many streams of one session."""
    seen = Refusals()
    for _ in range(count):
        stream = stack.enter_context(Stream(server, "s0", token="e"))
        if stream.status == 200:
            seen.note(200, None, None)
        else:
            again = client.get("/chat/s0/events")  # the same refusal, with its body
            seen.note(again.status, again.code, again.headers.get("Retry-After"))
    return seen.taken


class Wait(NamedTuple):
    """How long ada waits for an answer, in milliseconds."""

    median: float
    p99: float


class Greedy(NamedTuple):
    """What eve and kim took, and what ada got beside them."""

    sessions: Taken
    turns: Taken
    streams: Taken
    kept: Taken
    ada: dict[str, str]
    ada_alone: Wait
    ada_beside_eve: Wait


ASKS = 300


def small_wishes(server: Server) -> dict[str, str]:
    """What ada asks for: a session, a turn to its end, and a stream."""
    with Client(server, "a") as ada, Stream(server, "hers", token="a") as stream:
        sent = ada.send("hers", "say 3")
        event = stream.until("turn.completed").name if sent.status == 202 else ""
        return {
            "send": f"{sent.status} {sent.code or 'accepted'}",
            "stream": f"{stream.status} {event}",
        }


def wait(server: Server) -> Wait:
    with Client(server, "a") as ada:
        waits = []
        for _ in range(ASKS):
            began = time.perf_counter()
            assert ada.get("/chat/active_send_tasks").status == 200
            waits.append((time.perf_counter() - began) * 1000)
    waits.sort()
    return Wait(round(waits[ASKS // 2], 2), round(waits[ASKS * 99 // 100], 2))


def most_beside(alone: Wait) -> float:
    """How many milliseconds ada may wait beside eve, with whom she shares one loop, in the median.

    She waits for one answer of eve's beside her own. The p99 is in the table.
    """
    return 3 * alone.median + 5


@contextmanager
def hammering(server: Server) -> Generator[None]:
    """Eve sends and sends, whatever she is answered."""
    over = threading.Event()

    def hammer() -> None:
        with Client(server, "e") as eve:
            while not over.is_set():
                eve.send("one-more", "blind")

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@attack("no bound a user: sessions, turns in flight, streams, kept bytes")
def greedy() -> Greedy:
    """Eve goes to the bounds of sessions, turns and streams, kim to that of kept bytes."""
    with Server(tokens=TOKENS) as server, ExitStack() as stack:
        eve, kim = (stack.enter_context(Client(server, token)) for token in ("e", "k"))
        alone = wait(server)
        sessions = sends(eve, "s", "blind", MAX_SESSIONS + BEYOND)
        turns = sends(eve, "s", "hold", MAX_TURNS + BEYOND)
        opened = streams(server, eve, MAX_STREAMS + BEYOND, stack)
        kept = sends(kim, "kept", "keep " + "a" * 1_000_000, MAX_KEPT_MIB + BEYOND)
        with hammering(server):
            beside = wait(server)
            ada = small_wishes(server)
        for _ in range(4):  # other work of the machine may hold her up, but not each time
            if beside.median > most_beside(alone):
                alone = wait(server)
                with hammering(server):
                    beside = wait(server)
        return Greedy(sessions, turns, opened, kept, ada, alone, beside)


def test_one_user_has_bounds_and_another_user_does_not_notice() -> None:
    seen = greedy()
    assert seen.sessions == Taken(MAX_SESSIONS, BEYOND, ["429 TOO_MANY_SESSIONS"], 0)
    assert seen.turns == Taken(MAX_TURNS, BEYOND, ["429 TOO_MANY_TURNS"], 0)
    assert seen.streams == Taken(MAX_STREAMS, BEYOND, ["429 TOO_MANY_STREAMS"], 0)
    assert seen.kept.codes == ["429 TOO_MUCH_KEPT"]
    assert seen.kept.without_retry_after == 0
    # The message that goes over the bound is the last one that is taken.
    assert seen.kept.accepted == MAX_KEPT_MIB * 2**20 // 1_000_000 + 1
    assert seen.ada == {"send": "202 accepted", "stream": "200 turn.completed"}
    assert seen.ada_beside_eve.median <= most_beside(seen.ada_alone)


class Totals(NamedTuple):
    """What everyone gets on a server without tokens, which has the totals only."""

    turns: Taken
    streams: int


@attack("a server without tokens has the totals only")
def without_tokens() -> Totals:
    with Server() as server, Client(server) as client, ExitStack() as stack:
        turns = sends(client, "held", "hold", MAX_TURNS + BEYOND)
        opened = [stack.enter_context(Stream(server, "s")).status for _ in range(MAX_STREAMS + BEYOND)]
        return Totals(turns, opened.count(200))


def test_a_server_without_tokens_has_the_totals_only() -> None:
    seen = without_tokens()
    assert seen.turns.accepted == MAX_TURNS + BEYOND
    assert seen.streams == MAX_STREAMS + BEYOND


class Lists(NamedTuple):
    """Microseconds of the server's CPU for one user's list of turns in flight."""

    alone: float
    beside_others: float


OTHERS, LISTS = 3_000, 300


def least(cost: Callable[[], float]) -> float:
    """What it costs where nothing else comes between: other work of the machine only adds to that."""
    return min(cost() for _ in range(3))


@attack("a user's list walks every user's sessions")
def lists() -> Lists:
    """Ask for a list of one, beside no other turn and beside many of another user's."""
    with (
        Server(tokens=TOKENS, max_in_flight=2 * OTHERS, max_sessions=2 * OTHERS) as server,
        Client(server, "a") as ada,
        Client(server, "e") as eve,
    ):
        ada.send("hers", "hold")

        def cost() -> float:
            before = server.cpu()
            for _ in range(LISTS):
                assert len(ada.get("/chat/active_send_tasks").json["active_tasks"]) == 1
            return round((server.cpu() - before) / LISTS * 1e6)

        cost()  # warm
        alone = least(cost)
        sends(eve, "held", "hold", OTHERS)
        return Lists(alone, least(cost))


def test_a_users_list_costs_the_same_beside_many_others() -> None:
    seen = lists()
    assert seen.beside_others <= 1.5 * seen.alone


class Host(NamedTuple):
    """Who is taken for the host itself, which has the totals only."""

    principals_that_equal_it: list[str]


@attack("HOST can be equalled by a principal")
def host() -> Host:
    """Try the names that it is known by, and the one that everyone has on a server without tokens."""
    names = {HOST.user, "local", "host", "HOST"}
    scopes = (frozenset({"chat"}), frozenset({"chat", "admin"}))
    return Host(sorted(name for name in names for some in scopes if Principal(name, some).asker == HOST))


def test_no_principal_is_the_host() -> None:
    assert host() == Host([])
