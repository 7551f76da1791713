"""Anonymous noise, what answers give away, and what the log says of it all."""

import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.attacks.clients import Client, Stream, raw, send_and_leave
from tests.attacks.rig import HERE, PATIENCE, attack
from tests.attacks.server import Server, logged

TOKENS = ("ada:a", "root:r:admin")

# -- Noise ------------------------------------------------------------------------------------------


def post(more: str, body: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /chat/s/send HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: {size}\r\n{more}\r\n"
    return head.encode() + body


GET = f"GET /healthz HTTP/1.1\r\nHost: {HERE}\r\n"
NOISE: dict[str, bytes] = {
    "a body that is no gzip": post("Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00rubbish that is no gzip"),
    "a body that is no deflate": post("Content-Encoding: deflate\r\n", b"rubbish"),
    "an encoding that nobody knows": post("Content-Encoding: rot13\r\n", b"rubbish"),
    "Expect: 100-continue, and leave": post("Expect: 100-continue\r\n", length=100),
    "another Expect": post("Expect: a-miracle\r\n", b"{}"),
    "a body broken off": post("", b'{"mess', 100),
    "a body in broken chunks": (
        f"POST /chat/s/send HTTP/1.1\r\nHost: {HERE}\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n".encode()
    ),
    "two lengths": post("Content-Length: 5\r\n", b"{}"),
    "no HTTP at all": b"\x00\x01\x02\xff\xfe\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a broken request line": b"GET\r\n\r\n",
    "a header without a colon": f"{GET}nonsense\r\n\r\n".encode(),
    "a header with a control character": f"{GET}X: a\x00b\r\n\r\n".encode(),
    "a header of 20 kB": f"{GET}X: {'a' * 20_000}\r\n\r\n".encode(),
    "a path of 20 kB": f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: {HERE}\r\n\r\n".encode(),
    "a header left unfinished": GET.encode(),
    "a forged line in the path": b"GET /%0a2026-01-01%20CRITICAL HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


SILENT_FOR = 0.3


class Noise(NamedTuple):
    """What one kind of noise is answered, and what the log says of it."""

    requests: int
    answer: str
    lines: int
    tracebacks: int


def make(server: Server, data: bytes) -> Noise:
    """Send it, and wait for what is said; then send it again, and leave at once, also in the middle of it."""
    before = len(server.log())
    answer = raw(server, data, patience=SILENT_FOR)
    send_and_leave(server, data)
    send_and_leave(server, data[: len(data) * 2 // 3])
    with Client(server) as client:
        assert client.get("/healthz").status == 200
    seen = logged(server.log()[before:])
    line = answer.partition(b"\r\n")[0].decode(errors="replace")
    return Noise(3, line or "nothing", seen.lines, seen.tracebacks)


@attack("anonymous noise (bad gzip, Expect and leave, malformed HTTP): tracebacks")
def noise() -> dict[str, Noise]:
    with Server(tokens=TOKENS) as server:
        return {name: make(server, data) for name, data in NOISE.items()}


@attack("the same bodies from a user with a token")
def noise_with_a_token() -> dict[str, Noise]:
    with Server(tokens=TOKENS) as server:
        return {
            name: make(server, data.replace(b"\r\nHost", b"\r\nAuthorization: Bearer a\r\nHost", 1))
            for name, data in NOISE.items()
            if data.startswith(b"POST")
        }


@pytest.mark.parametrize("measure", [noise, noise_with_a_token], ids=["anonymous", "with a token"])
def test_noise_makes_one_line_at_the_most_and_no_traceback(measure: Callable[[], dict[str, Noise]]) -> None:
    for name, seen in measure().items():
        assert seen.tracebacks == 0, name
        assert seen.lines <= seen.requests, name
        assert not re.match(r"HTTP/1\.[01] [25]", seen.answer), name


# -- What answers give away -------------------------------------------------------------------------


class Headers(NamedTuple):
    """What is wrong with the headers of the answers, of so many."""

    answers: int
    servers: list[str]
    without_nosniff: list[str]
    without_no_store: list[str]


ASKS: tuple[tuple[str, str, bytes | None], ...] = (
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("POST", "/chat/s/send", b'{"message": "say 1"}'),
    ("GET", "/chat/s", None),
    ("GET", "/chat/s/messages", None),
    ("GET", "/chat/s/active_tasks", None),
    ("GET", "/chat/active_send_tasks", None),
    ("POST", "/chat/cleanup_completed_tasks", None),
    ("POST", "/chat/ticket", b'{"log_ids": ["s"]}'),
    ("POST", "/chat/s/cancel_send_task", None),
    ("POST", "/chat/s/unknown/cancel", None),
    ("GET", "/chat/s/turns/unknown", None),
    ("GET", "/chat/unknown", None),
    ("POST", "/chat/s/send", b"no json"),
    ("PUT", "/chat/s/send", None),
    ("GET", "/nowhere", None),
    ("DELETE", "/chat/s", None),
)


@attack("versions in `Server:`; no nosniff and no-store on JSON")
def headers() -> Headers:
    with Server() as server, Client(server) as client:
        servers, sniffed, stored = set[str](), list[str](), list[str]()
        for method, path, body in ASKS:
            answer = client.ask(method, path, body)
            name = f"{method} {path} {answer.status}"
            servers.add(answer.headers.get("Server", ""))
            if "json" in answer.headers.get("Content-Type", ""):
                if answer.headers.get("X-Content-Type-Options") != "nosniff":
                    sniffed.append(name)
                if "no-store" not in answer.headers.get("Cache-Control", ""):
                    stored.append(name)
        broken = raw(server, b"GET\r\n\r\n", fin=True).decode(errors="replace")
        servers.update(re.findall(r"^Server: ([^\r\n]*)", broken, re.MULTILINE))
        return Headers(len(ASKS), sorted(servers), sniffed, stored)


def test_no_answer_names_a_version_and_no_json_is_sniffed_or_stored() -> None:
    seen = headers()
    assert not [server for server in seen.servers if re.search(r"\d", server)]
    assert not seen.without_nosniff
    assert not seen.without_no_store


# -- SIGINT -----------------------------------------------------------------------------------------


class Ended(NamedTuple):
    """How a server ends that has little time for it."""

    exit_code: int
    invalid_state_errors: int
    tracebacks: int
    streams_told: int


SESSIONS = 20


@attack("SIGINT with a short deadline logs InvalidStateError")
def sigint() -> Ended:
    """End it while turns swallow their cancel, streams are open, and cancels and sends wait for them."""
    with (
        Server(shutdown_deadline=4, cancel_grace=30) as server,
        Client(server) as client,
        ExitStack() as stack,
    ):
        streams = [
            stack.enter_context(Stream(server, f"s{number}", patience=PATIENCE)) for number in range(SESSIONS)
        ]
        for number in range(SESSIONS):
            client.send(f"s{number}", "swallow 30")
        threads = []
        for number in range(SESSIONS):
            for ask in (f"/chat/s{number}/cancel_send_task", f"/chat/s{number}/send"):
                body = b'{"message": "say 1"}' if ask.endswith("send") else None
                threads.append(threading.Thread(target=ask_and_wait, args=(server.port, ask, body)))
        for thread in threads:
            thread.start()
        while (
            sum("cancelling" in client.get(f"/chat/s{n}").json["state"] for n in range(SESSIONS)) < SESSIONS
        ):
            pass
        server.send_signal(signal.SIGINT)
        code = server.wait(PATIENCE)
        told = sum("close" in [event.name for event in stream.rest()] for stream in streams)
        for thread in threads:
            thread.join()
        log = server.log()
        return Ended(code, log.count("InvalidStateError"), logged(log).tracebacks, told)


def ask_and_wait(port: int, path: str, body: bytes | None) -> None:
    with Client(port, patience=PATIENCE) as client:
        client.ask("POST", path, body)


def test_an_end_with_little_time_logs_no_error_of_its_own() -> None:
    seen = sigint()
    assert seen.invalid_state_errors == 0
    assert seen.tracebacks == 0
    assert seen.streams_told == SESSIONS


# -- Debug ------------------------------------------------------------------------------------------


class Debug(NamedTuple):
    """What of a Stop, a refusal, a sleep and a forgetting is in the debug log."""

    turn_and_asker_and_verdict_and_ms: bool
    refusal: bool
    sleep: bool
    forgetting: bool


@attack("MR_DEBUG=True logs no turn id, asker, verdict and milliseconds, and no refusals")
def debug() -> Debug:
    with (
        Server(
            tokens=TOKENS,
            environ={"MR_DEBUG": "True"},
            idle_ttl=0.05,
            turn_retention=0.1,
            early_cancel_ttl=0.1,
        ) as server,
        Client(server, "a") as ada,
        Client(server, "r") as root,
    ):
        task = ada.send("stopped", "hold").json["task_id"]
        ada.send("stopped", "say 1", multitask_strategy="reject")
        ada.stop("stopped", task)
        ada.run("sleeper", "touch")

        def look() -> Debug:
            lines = server.log().splitlines()

            def one(*words: str) -> bool:
                return any(all(re.search(word, line) for word in words) for line in lines)

            return Debug(
                one(re.escape(task), "DEBUG", "ada", "cancelled", r"\d ms"),
                one("stopped: .*refused", "ada", "SESSION_BUSY"),
                one("sleeper: .*asleep"),
                one("sleeper: .*forgotten"),
            )

        until = time.monotonic() + PATIENCE
        while not all(look()) and time.monotonic() < until:
            root.ask("POST", "/chat/cleanup_completed_tasks")
            threading.Event().wait(0.05)
        return look()


def test_the_debug_log_says_who_stopped_what_and_what_was_refused_put_to_sleep_and_forgotten() -> None:
    assert debug() == Debug(True, True, True, True)


# -- Sleeping sessions ------------------------------------------------------------------------------


class Sleeping(NamedTuple):
    """How many sessions were opened, how many are known, and how memory grew for each beyond the bound."""

    taken: int
    known: int
    bytes_each: int


SLEEPERS, CAP = 4_000, 1_000


@attack("known sleeping sessions have no cap")
def sleeping() -> Sleeping:
    """Open many more sessions than there may be, and let them sleep now and then."""
    with Server(max_sessions_in_all=CAP, contexts=CAP) as server, Client(server) as client:
        taken, before = 0, 0
        for number in range(SLEEPERS):
            if number % (CAP // 2) == 0:
                client.ask("POST", "/chat/cleanup_completed_tasks")
            if number == CAP:
                before = server.memory()
            taken += client.send(f"sleeper{number}", "blind").status == 202
        grew = server.memory() - before
        known = [client.get(f"/chat/sleeper{number}").status for number in range(SLEEPERS)].count(200)
        return Sleeping(taken, known, grew // (SLEEPERS - CAP))


def test_of_very_many_sleeping_sessions_the_oldest_are_forgotten() -> None:
    seen = sleeping()
    assert (seen.taken, seen.known) == (SLEEPERS, CAP)
    assert seen.bytes_each < 500, "memory grows with those that are forgotten"
