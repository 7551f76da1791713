"""Who is asking, and what may they; and at the end every route against every role."""

import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.fakes import ScriptedAgent, plain
from tests.web.fakes_web import Answer, House, Transport, by_token, serving
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import Asker, TurnStatus
from turnkeeper.web import Principal, Tokens
from turnkeeper.web.http import access
from turnkeeper.web.http import app as app_module
from turnkeeper.web.http.access import is_loopback, local_only, read_tokens
from turnkeeper.web.http.app import ROUTES
from turnkeeper.web.http.problems import Problem


def request(*, peer: Any = ("127.0.0.1", 4711), **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers=named, transport=Transport(peer=peer))


def bearer(text: str) -> web.Request:
    return request(Authorization=text)


# -- Principals ---------------------------------------------------------------------------------------


def test_a_principal_may_chat_unless_something_else_is_said() -> None:
    assert Principal("ada").asker == Asker("ada", sees_all=False)


def test_an_admin_sees_all() -> None:
    assert Principal("root", frozenset({"admin"})).asker == Asker("root", sees_all=True)


@pytest.mark.parametrize("scopes", [frozenset[str](), frozenset({"music"})])
def test_without_a_scope_that_counts_there_is_no_asker(scopes: frozenset[str]) -> None:
    with pytest.raises(Problem) as refused:
        _ = Principal("ada", scopes).asker

    assert (refused.value.status, refused.value.code) == (403, "SCOPE_MISSING")


# -- Tokens -------------------------------------------------------------------------------------------


def test_a_token_is_presented_as_it_was_given_or_by_its_secret_alone() -> None:
    tokens = Tokens(["ada:s3cret", "root:t0p:admin"])

    for presented in ("s3cret", "ada:s3cret"):
        assert tokens(bearer(f"Bearer {presented}")) == Principal("ada")
    for presented in ("t0p", "root:t0p", "root:t0p:admin"):
        assert tokens(bearer(f"Bearer {presented}")) == Principal("root", frozenset({"chat", "admin"}))


def test_the_scheme_is_bearer_in_any_case() -> None:
    assert Tokens(["ada:s3cret"])(bearer("bEARER s3cret")) == Principal("ada")


@pytest.mark.parametrize(
    "header",
    ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cretx", "Bearer ada", "Bearer ada:",
     "Bearer bob:s3cret", "Bearer S3CRET", "Basic s3cret", "Bearer s3cret s3cret", "Bearer ada:s3cret:admin",
     "Bearer \udcff\udcfe", "Bearer " + "x" * 8000],
)  # fmt: skip
def test_any_other_header_is_nobody(header: str) -> None:
    asked = make_mocked_request("GET", "/")
    object.__setattr__(asked, "_headers", {"Authorization": header})

    assert Tokens(["ada:s3cret"])(asked) is None


def test_without_a_header_nobody_asks() -> None:
    assert Tokens(["ada:s3cret"])(request()) is None


def test_a_secret_need_not_be_ascii() -> None:
    asked = make_mocked_request("GET", "/")
    object.__setattr__(asked, "_headers", {"Authorization": "Bearer grüße"})

    assert Tokens(["ada:grüße"])(asked) == Principal("ada")


@pytest.mark.parametrize(
    "token",
    ["", "ada", "ada:", ":s3cret", ":", "ada:s3cret:", "ada:s3cret:root", "ada:s3cret:admin:x", "ada: s3cret",
     "ada:s3\tcret", "ada:s3cret\n", "a da:s3cret"],
)  # fmt: skip
def test_a_token_of_another_form_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Tokens([token])

    assert refused.value.field == "token"
    assert "s3cret" not in str(refused.value)


def test_one_secret_is_one_persons() -> None:
    with pytest.raises(InvalidRequest) as refused:
        Tokens(["ada:s3cret", "bob:s3cret"])

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("presented", ["one", "two", "three", "nothing", ""])
def test_every_token_is_compared_in_constant_time_whichever_fits(
    presented: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare_digest(secret: bytes, given: bytes) -> bool:
        compared.append(secret)
        return hmac.compare_digest(secret, given)

    monkeypatch.setattr(access, "hmac", SimpleNamespace(compare_digest=compare_digest))
    tokens = Tokens(["a:one", "b:two", "c:three"])

    tokens(bearer(f"Bearer {presented}"))

    assert {b"one", b"two", b"three"} <= set(compared)
    assert len(compared) == 9


def test_tokens_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who may\n\nada:s3cret\n  root:t0p:admin  \n  # not bob:x\n")

    assert read_tokens(str(file)) == ["ada:s3cret", "root:t0p:admin"]


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(InvalidRequest, match=path.name) as refused:
            read_tokens(str(path))
        assert refused.value.field == "token_file"
        assert "Errno" not in str(refused.value)


# -- This machine only --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", "localhost.", "::ffff:127.0.0.1"]
)
def test_this_machine_has_many_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.example.com",
     "2130706433", "127.1", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_others_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:1", "127.0.0.1", "[::1]", "[::1]:8000", "LocalHost:8000"],
)
def test_everyone_on_this_machine_is_local_and_may_everything(host: str) -> None:
    assert local_only(request(Host=host)) == Principal("local", frozenset({"chat", "admin"}))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "10.0.0.1:8000", "localhost.evil.example", "[::2]:8000", "[::1", "",
     "]", "localhost@evil.example", "0.0.0.0:8000"],
)  # fmt: skip
def test_a_foreign_host_is_refused(host: str) -> None:
    assert refused_as(request(Host=host)) == "FOREIGN_HOST"


def test_no_host_at_all_is_refused() -> None:
    assert refused_as(request()) == "FOREIGN_HOST"


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8000", "http://localhost", "",
     "http://[", "file://", "localhost:8000", "http://localhost:8000.evil.example"],
)  # fmt: skip
def test_a_page_from_elsewhere_is_refused(origin: str) -> None:
    assert refused_as(request(Host="localhost:8000", Origin=origin)) == "FOREIGN_ORIGIN"


def test_a_link_from_elsewhere_is_refused() -> None:
    assert refused_as(request(Host="localhost:8000", Sec_Fetch_Site="cross-site")) == "FOREIGN_ORIGIN"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_servers_own_pages_may_ask(site: str) -> None:
    own = request(Host="localhost:8000", Origin="http://localhost:8000", Sec_Fetch_Site=site)

    assert local_only(own).user == "local"


@pytest.mark.parametrize(
    "peer", [("10.0.0.7", 1), ("192.168.1.2", 1), ("fe80::1", 1, 0, 0), ("::ffff:10.0.0.7", 1, 0, 0)]
)
def test_another_machine_is_refused_whatever_host_it_claims_to_ask(peer: Any) -> None:
    assert refused_as(request(peer=peer, Host="localhost:8000")) == "FOREIGN_PEER"


@pytest.mark.parametrize(
    "peer", [("127.0.0.1", 1), ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0), "", None]
)
def test_this_machine_may_ask_over_any_loopback_or_a_unix_socket(peer: Any) -> None:
    assert local_only(request(peer=peer, Host="localhost:8000")).user == "local"


def refused_as(asked: web.Request) -> str:
    with pytest.raises(Problem) as refused:
        local_only(asked)
    assert refused.value.status == 403
    return refused.value.code


async def test_a_mount_without_authenticate_serves_this_machine_only() -> None:
    async with serving() as house:
        assert (await house.get("/chat/active_send_tasks")).status == 200
        for headers in (
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await house.post("/chat/s/send", json=[{"type": "text", "text": "x"}], headers=headers)
            assert answer.status == 403
            assert answer.code in ("FOREIGN_HOST", "FOREIGN_ORIGIN")
            assert (await house.get("/chat/s/events", headers=headers)).status == 403
        assert (await house.registry.counts()).sessions == 0


# -- The host's own authenticate ----------------------------------------------------------------------


async def test_authenticate_may_be_a_function_or_a_coroutine_function() -> None:
    async def later(request: web.Request) -> Principal | None:
        return by_token(request)

    for authenticate in (by_token, later):
        async with serving(authenticate=authenticate) as house:
            assert (await house.get("/chat/active_send_tasks", token="ada-token")).status == 200
            answer = await house.get("/chat/active_send_tasks")
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "answer", [RuntimeError("the vault is at /srv/vault"), "not a principal"], ids=["raises", "text"]
)
async def test_an_authenticate_that_fails_lets_nobody_in_and_tells_nothing(answer: Any) -> None:
    def authenticate(_request: web.Request) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with serving(authenticate=authenticate) as house:
        refused = await house.send("s")
        assert (refused.status, refused.code) == (500, "INTERNAL")
        assert "vault" not in refused.text
        assert (await house.registry.counts()).sessions == 0


async def test_an_authenticate_may_answer_by_itself() -> None:
    def authenticate(_request: web.Request) -> Principal:
        raise web.HTTPFound("/login")

    async with serving(authenticate=authenticate) as house:
        answer = await house.get("/chat/s")
        assert (answer.status, answer.headers["Location"]) == (302, "/login")


@pytest.mark.parametrize("user", [5, b"ada", None, "", "a\udcff"], ids=plain)
def test_a_principals_user_is_a_text_that_can_be_told(user: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Principal(user)


# -- Every route, every role ------------------------------------------------------------------------

ROLES = (
    "owner", "other", "admin", "nobody", "wrong", "scopeless", "ticket", "ticket_elsewhere", "ticket_expired",
)  # fmt: skip
TOKENS = {
    "owner": "ada-token",
    "other": "bob-token",
    "admin": "root-token",
    "wrong": "eve-token",
    "scopeless": "scopeless-token",
}


@dataclass(frozen=True)
class Row:
    """One route: how it is asked about ada's session ``s`` and its turn ``t``, and who gets what."""

    path: str
    codes: str
    body: Any = None
    unknown: str | None = None

    def code(self, role: str) -> int:
        return int(self.codes.split()[ROLES.index(role)])


# The codes: owner other admin nobody wrong scopeless, and three tickets.
TABLE: dict[tuple[str, str], Row] = {
    ("POST", "/chat/{log_id}/send"): Row(
        "/chat/s/send", "202 404 202 401 401 403 401 401 401", [{"type": "text", "text": "next"}]
    ),
    ("POST", "/chat/{log_id}/{task_id}/cancel"): Row(
        "/chat/s/t/cancel", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/t/cancel"
    ),
    ("POST", "/chat/{log_id}/cancel_send_task"): Row(
        "/chat/s/cancel_send_task",
        "200 200 200 401 401 403 401 401 401",
        unknown="/chat/unknown/cancel_send_task",
    ),
    ("GET", "/chat/{log_id}/active_tasks"): Row(
        "/chat/s/active_tasks", "200 200 200 401 401 403 401 401 401", unknown="/chat/unknown/active_tasks"
    ),
    ("GET", "/chat/active_send_tasks"): Row("/chat/active_send_tasks", "200 200 200 401 401 403 401 401 401"),
    ("POST", "/chat/cleanup_completed_tasks"): Row(
        "/chat/cleanup_completed_tasks", "200 200 200 401 401 403 401 401 401"
    ),
    ("GET", "/chat/{log_id}/events"): Row("/chat/s/events", "200 404 200 401 401 403 200 401 401"),
    ("GET", "/chat/{log_id}"): Row("/chat/s", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown"),
    ("GET", "/chat/{log_id}/turns/{task_id}"): Row(
        "/chat/s/turns/t", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/turns/t"
    ),
    ("GET", "/chat/{log_id}/messages"): Row(
        "/chat/s/messages", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/messages"
    ),
    ("DELETE", "/chat/{log_id}"): Row(
        "/chat/s", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown"
    ),
    ("POST", "/chat/ticket"): Row("/chat/ticket", "200 200 200 401 401 403 401 401 401", {"log_ids": ["s"]}),
    ("GET", "/healthz"): Row("/healthz", "200 200 200 200 200 200 200 200 200"),
    ("GET", "/readyz"): Row("/readyz", "200 200 200 200 200 200 200 200 200"),
}
ALLOWED = ("owner", "admin")


def test_every_route_has_its_row_in_the_table() -> None:
    assert {(method, path) for method, path, _ in ROUTES} == set(TABLE)


@asynccontextmanager
async def adas_house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[House, "Tickets"]]:
    """Ada's session ``s`` runs its turn ``t``; her other session is ``u``."""
    tickets = Tickets()
    monkeypatch.setattr(app_module, "time", SimpleNamespace(monotonic=lambda: tickets.now))
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        await house.sent("s", task_id="t", token="ada-token")
        yield house, tickets


class Tickets:
    now = 1000.0

    async def ask(self, house: House, role: str, method: str, path: str, body: Any = None) -> Answer:
        """Ask in that role."""
        more = {} if body is None else {"json": body}
        if not role.startswith("ticket"):
            return await house.ask(method, path, token=TOKENS.get(role), **more)
        session = "u" if role == "ticket_elsewhere" else "s"
        issued = await house.post("/chat/ticket", json={"log_ids": [session]}, token="ada-token")
        if role == "ticket_expired":
            self.now += issued.body["expires_in"]
        return await house.ask(method, f"{path}?ticket={issued.body['ticket']}", **more)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", TABLE, ids=" ".join)
async def test_every_route_answers_every_role_as_the_table_says(
    route: tuple[str, str], role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = TABLE[route]
    async with adas_house(monkeypatch) as (house, tickets):
        before = await house.registry.session("s")

        answer = await tickets.ask(house, role, route[0], row.path, row.body)

        assert answer.status == row.code(role), answer.text
        if answer.status >= 400 and answer.status != 404:
            expected = {401: "UNAUTHORIZED", 403: "SCOPE_MISSING"}[answer.status]
            assert answer.code == expected
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        if role not in ALLOWED:
            after = await house.registry.session("s")
            assert (after.state, after.turn, after.queue) == (before.state, before.turn, before.queue)
        if role == "other":
            assert re.search(r"\bada\b", answer.text) is None  # it is also in some hexadecimal numbers
            if row.unknown is not None:
                unknown = await tickets.ask(house, role, route[0], row.unknown, row.body)
                assert unknown.status == answer.status
                assert unknown.text.replace("unknown", "s") == answer.text


async def test_lists_and_cleanups_are_of_ones_own_sessions_and_of_all_for_an_admin() -> None:
    agent = ScriptedAgent()
    async with serving({"default": agent, "done": lambda turn: _nothing()}, authenticate=by_token) as house:
        for person in ("ada", "bob"):
            await house.sent(f"busy-{person}", token=f"{person}-token")
            task = await house.sent(f"idle-{person}", token=f"{person}-token", agent="done")
            async for event in house.registry.events(f"idle-{person}", after="0"):
                if event.name == "turn.completed":
                    break
            assert task

        async def listed(token: str) -> set[str]:
            return set((await house.get("/chat/active_send_tasks", token=token)).body["active_tasks"])

        assert await listed("ada-token") == {"busy-ada"}
        assert await listed("root-token") == {"busy-ada", "busy-bob"}
        cleaned = await house.post("/chat/cleanup_completed_tasks", token="ada-token")
        assert cleaned.body["cleaned_up"] == ["idle-ada"]
        cleaned = await house.post("/chat/cleanup_completed_tasks", token="root-token")
        assert cleaned.body["cleaned_up"] == ["idle-bob"]
        agent.release()


async def _nothing() -> None:
    pass


async def test_a_ticket_for_somebody_elses_session_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with adas_house(monkeypatch) as (house, _):
        issued = await house.post("/chat/ticket", json={"log_ids": ["s"]}, token="bob-token")

        answer = await house.get(f"/chat/s/events?ticket={issued.body['ticket']}")

        assert (answer.status, answer.code) == (404, "UNKNOWN_SESSION")


async def test_an_admins_cancel_of_anothers_session_says_that_it_was_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with adas_house(monkeypatch) as (house, _):
        answer = await house.post("/chat/s/cancel_send_task", token="root-token")

        assert answer.body["turn"]["reason"].items() >= {"code": "admin", "by": "root"}.items()
        assert answer.body["turn"]["status"] == TurnStatus.CANCELLED


async def test_a_session_belongs_to_whoever_opened_its_stream_first() -> None:
    async with serving(authenticate=by_token) as house, house.stream("s", token="ada-token"):
        answer = await house.send("s", token="bob-token")
        assert (answer.status, answer.code) == (404, "UNKNOWN_SESSION")
        assert (await house.send("s", token="ada-token")).status == 202
