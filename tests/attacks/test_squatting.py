"""A reader who takes the id of a session that another user is about to open."""

import re
from typing import NamedTuple

from tests.attacks.clients import Client, Stream
from tests.attacks.rig import attack
from tests.attacks.server import Server

TOKENS = ("ada:a", "ben:b", "root:r:admin")


class Squatted(NamedTuple):
    """What ada gets whose id ben has read, and what ben sees of it."""

    ada_sends: str
    ada_reads: int
    owner: str | None
    ben_opened: list[str]
    ben_saw_of_ada: list[str]
    ben_sends: str
    ben_asks: int


def said(status: int, code: str | None) -> str:
    return f"{status} {code or 'accepted'}"


def squatted() -> Squatted:
    """Ben reads an id that nobody knows; ada sends two messages to it; ben tries to send."""
    with (
        Server(tokens=TOKENS, heartbeat=0.3) as server,
        Client(server, "a") as ada,
        Client(server, "b") as ben,
        Client(server, "r") as root,
        Stream(server, "ada-1", token="b", patience=1.0) as early,
    ):
        early.until("snapshot")
        opened = [event.name for event in early.seen]
        sent = ada.send("ada-1", "say 3")
        with Stream(server, "ada-1", token="a", patience=1.0) as hers:
            reads = hers.status
        ada.send("ada-1", "say 3")
        view = root.get("/chat/ada-1")
        more = [event.name for event in early.rest(within=1.0)]
        tried = ben.send("ada-1", "say 1")
        return Squatted(
            said(sent.status, sent.code),
            reads,
            view.json.get("user") if view.status == 200 else None,
            opened,
            more,
            said(tried.status, tried.code),
            ben.get("/chat/ada-1").status,
        )


@attack("a reader alone became the owner of another user's future session")
def squatting() -> Squatted:
    return squatted()


def test_a_reader_owns_nothing_and_sees_nothing_of_whom_the_id_belongs_to() -> None:
    assert squatted() == Squatted("202 accepted", 200, "ada", ["snapshot"], [], "409 SESSION_ID_TAKEN", 404)


class Twins(NamedTuple):
    """What ben is streamed of an id that nobody knows, and of one of ada's in the middle of a turn."""

    unknown: str
    of_another: str


def shown(server: Server, session: str) -> str:
    """A stream's status and its beginning, with the session's name taken out."""
    with Stream(server, session, token="b", patience=0.5) as stream:
        events = "\n".join(f"{event.name} {event.id} {event.data}" for event in stream.rest())
    return f"{stream.status} {events.replace(session, 'ID')}"


@attack("a reader of an id that is not theirs gets the very stream an unknown id gets")
def twins() -> Twins:
    with Server(tokens=TOKENS) as server, Client(server, "a") as ada:
        ada.send("hers", "ticks")
        return Twins(shown(server, "none"), shown(server, "hers"))


def test_an_id_of_anothers_is_streamed_as_an_unknown_one() -> None:
    seen = twins()
    assert seen.of_another == seen.unknown
    assert seen.unknown.startswith("200 snapshot")
    assert '"state":"idle"' in seen.unknown


class Freed(NamedTuple):
    """Who may free an id, and what the freed id is."""

    by_its_owner: int
    by_another: int
    by_an_admin: int
    first_send_of_another: str
    epoch_grew: bool


@attack("DELETE ?free=true, admin only, frees an id; the epoch floor stays")
def freed() -> Freed:
    with (
        Server(tokens=TOKENS) as server,
        Client(server, "a") as ada,
        Client(server, "b") as ben,
        Client(server, "r") as root,
    ):
        first = last_epoch(server, ada, "a")
        path = "/chat/id?free=true"
        owner, other, admin = (client.ask("DELETE", path).status for client in (ada, ben, root))
        answer = ben.send("id", "touch")
        if answer.status != 202:
            return Freed(owner, other, admin, said(answer.status, answer.code), False)
        return Freed(owner, other, admin, "202 accepted", last_epoch(server, ben, "b") > first)


def last_epoch(server: Server, client: Client, token: str) -> int:
    with Stream(server, "id", token=token) as stream:
        client.send("id", "touch")
        stream.until("turn.completed")
    return int((stream.cursor or "0").partition("-")[0])


def test_only_an_admin_frees_an_id() -> None:
    seen = freed()
    assert seen.by_its_owner in (403, 404)
    assert seen.by_another in (403, 404)
    assert seen.by_an_admin == 200
    assert seen.first_send_of_another == "202 accepted"
    assert seen.epoch_grew


class Made(NamedTuple):
    """Ids that the server makes."""

    status: int
    ids: int
    shortest: int


@attack("POST /chat makes an unguessable id")
def made() -> Made:
    with Server(tokens=TOKENS) as server, Client(server, "a") as ada:
        answers = [ada.ask("POST", "/chat") for _ in range(20)]
        ids = {answer.json.get("log_id", "") for answer in answers if answer.status == 200}
        return Made(answers[0].status, len(ids), min(map(len, ids), default=0))


def test_the_server_makes_ids_that_cannot_be_guessed() -> None:
    seen = made()
    assert seen.status == 200
    assert seen.ids == 20
    assert seen.shortest >= 16


class Locked(NamedTuple):
    """What a page, a name or a header gets from a server without tokens."""

    refused: list[str]
    accepted: list[str]


def proxied(port: int) -> dict[str, dict[str, str]]:
    host = {"Host": f"127.0.0.1:{port}"}
    return {
        "Forwarded": {"Forwarded": "for=203.0.113.7"},
        "X-Forwarded-For": {"X-Forwarded-For": "203.0.113.7"},
        "X-Forwarded-Host": {"X-Forwarded-Host": "chat.example.com"},
        "X-Forwarded-Proto": {"X-Forwarded-Proto": "https"},
        "X-Forwarded-Port": {"X-Forwarded-Port": "443"},
        "X-Real-IP": {"X-Real-IP": "203.0.113.7"},
        "Via": {"Via": "1.1 proxy"},
        "Sec-Fetch-Site: same-site": {"Sec-Fetch-Site": "same-site"},
        "Sec-Fetch-Site: cross-site": {"Sec-Fetch-Site": "cross-site"},
        "Host with userinfo": {"Host": f"evil@127.0.0.1:{port}"},
        "Host with a password": {"Host": f"a:b@localhost:{port}"},
        "foreign Host": {"Host": "chat.example.com"},
        "foreign Origin": {**host, "Origin": "http://evil.example"},
        "Origin null": {**host, "Origin": "null"},
    }


HARMLESS = {
    "nothing more": {},
    "Sec-Fetch-Site: same-origin": {"Sec-Fetch-Site": "same-origin"},
    "Sec-Fetch-Site: none": {"Sec-Fetch-Site": "none"},
}


@attack("a reverse proxy on the same machine made every visitor an admin: Forwarded, Via and the like pass")
def local_only() -> Locked:
    with Server() as server:
        refused, accepted = list[str](), list[str]()
        for name, headers in {**proxied(server.port), **HARMLESS}.items():
            with Client(server) as client:
                answer = client.ask("GET", "/chat/active_send_tasks", headers=headers)
            (accepted if answer.status == 200 else refused).append(name)
            assert answer.status in (200, 403), f"{name}: {answer.status}"
        return Locked(refused, accepted)


def test_what_came_through_a_proxy_or_from_another_site_is_refused_without_tokens() -> None:
    seen = local_only()
    assert seen.accepted == list(HARMLESS)


class Shared(NamedTuple):
    """What a page on another origin gets that was allowed, and one that was not."""

    preflight: int
    allowed_origin: str | None
    of_another: str | None


ORIGIN = "http://localhost:3000"


@attack("serve --allow-origin lets a page of that origin in, and no other")
def allow_origin() -> Shared:
    try:
        server = Server("--allow-origin", ORIGIN, tokens=TOKENS)
    except AssertionError as error:
        found = re.search(r"No such option[^\n]*", str(error))
        return Shared(0, found[0] if found else str(error)[-100:], None)
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with server, Client(server) as client:
        path = "/chat/s/send"
        answer = client.ask("OPTIONS", path, headers={"Origin": ORIGIN, **ask})
        other = client.ask("OPTIONS", path, headers={"Origin": "http://evil.example", **ask})
        name = "Access-Control-Allow-Origin"
        return Shared(answer.status, answer.headers[name], other.headers[name])


def test_only_an_allowed_origin_is_let_in() -> None:
    seen = allow_origin()
    assert seen.preflight in (200, 204)
    assert seen.allowed_origin == ORIGIN
    assert seen.of_another is None
