"""Who may reach what: every route against every role."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import Answer, House, Stream, by_token, read_answer, serving
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.web import app as app_module
from turnkeeper.web.http.mount import problem_response
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.http.routes import ROUTES

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
        "/chat/s/send", "202 409 202 401 401 403 401 401 401", [{"type": "text", "text": "next"}]
    ),
    ("POST", "/chat"): Row("/chat", "200 200 200 401 401 403 401 401 401"),
    ("GET", "/chat"): Row("/chat", "200 200 200 401 401 403 401 401 401"),
    ("PATCH", "/chat/{log_id}"): Row(
        "/chat/s", "200 404 200 401 401 403 401 401 401", {"title": "named"}, unknown="/chat/unknown"
    ),
    ("POST", "/chat/{log_id}/{task_id}/cancel"): Row(
        "/chat/s/t/cancel", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/t/cancel"
    ),
    ("POST", "/chat/{log_id}/cancel_send_task"): Row(
        "/chat/s/cancel_send_task",
        "200 200 200 401 401 403 401 401 401",
        unknown="/chat/unknown/cancel_send_task",
    ),
    ("POST", "/chat/cancel_send_tasks"): Row(
        "/chat/cancel_send_tasks", "200 200 200 401 401 403 401 401 401", {"log_ids": ["s"]}
    ),
    ("GET", "/chat/{log_id}/active_tasks"): Row(
        "/chat/s/active_tasks", "200 200 200 401 401 403 401 401 401", unknown="/chat/unknown/active_tasks"
    ),
    ("GET", "/chat/active_send_tasks"): Row("/chat/active_send_tasks", "200 200 200 401 401 403 401 401 401"),
    ("POST", "/chat/cleanup_completed_tasks"): Row(
        "/chat/cleanup_completed_tasks", "200 200 200 401 401 403 401 401 401"
    ),
    ("GET", "/chat/admission"): Row("/chat/admission", "403 403 200 401 401 403 401 401 401"),
    ("PUT", "/chat/admission"): Row(
        "/chat/admission", "403 403 200 401 401 403 401 401 401", {"max_waiting": 5}
    ),
    ("GET", "/chat/{log_id}/events"): Row("/chat/s/events", "200 200 200 401 401 403 200 401 401"),
    ("GET", "/chat/events"): Row("/chat/events", "200 200 200 401 401 403 200 200 401"),
    ("PATCH", "/chat/events"): Row(
        "/chat/events?stream=x", "404 404 404 401 401 403 401 401 401", {"add": []}
    ),
    ("GET", "/chat/{log_id}"): Row("/chat/s", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown"),
    ("GET", "/chat/{log_id}/turns"): Row(
        "/chat/s/turns", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/turns"
    ),
    ("GET", "/chat/{log_id}/turns/{task_id}"): Row(
        "/chat/s/turns/t", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/turns/t"
    ),
    ("PATCH", "/chat/{log_id}/turns/{task_id}"): Row(
        "/chat/s/turns/t",
        "409 404 409 401 401 403 401 401 401",
        {"move": "first"},
        unknown="/chat/unknown/turns/t",
    ),
    ("GET", "/chat/{log_id}/queue"): Row(
        "/chat/s/queue", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/queue"
    ),
    ("GET", "/chat/{log_id}/turns/{task_id}/events"): Row(
        "/chat/s/turns/t/events",
        "200 404 200 401 401 403 200 401 401",
        unknown="/chat/unknown/turns/t/events",
    ),
    ("GET", "/chat/{log_id}/policy"): Row(
        "/chat/s/policy", "200 404 200 401 401 403 401 401 401", unknown="/chat/unknown/policy"
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
    ("GET", "/metrics"): Row("/metrics", "403 403 200 401 401 403 401 401 401"),
}
ALLOWED = ("owner", "admin")


def test_every_route_has_its_row_in_the_table() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(TABLE)


@asynccontextmanager
async def adas_house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[House, "Tickets"]]:
    """Ada's session ``s`` runs its turn ``t``; her other session is ``u``."""
    tickets = Tickets()
    monkeypatch.setattr(app_module, "time", SimpleNamespace(monotonic=lambda: tickets.now))
    async with serving(ScriptedAgent(), authenticate=by_token, metrics=True) as house:
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
        if answer.status == 409 and "/turns/" in row.path:
            assert answer.code == "NOT_WAITING"
        elif answer.status >= 400 and answer.status != 404:
            expected = {401: "UNAUTHORIZED", 403: "SCOPE_MISSING", 409: "SESSION_ID_TAKEN"}[answer.status]
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


def shown(stream: Stream, session: str) -> list[tuple[str, str | None, str]]:
    """What a stream has shown so far, without the session's name."""
    return [(each.event, each.own_id, each.data.replace(f'"{session}"', '"_"')) for each in stream.seen]


@pytest.mark.parametrize("cursor", ["", "&last_event_id=0", "&last_event_id=7-1"])
@pytest.mark.parametrize("with_ticket", [False, True])
async def test_another_users_session_is_streamed_as_an_unknown_one(
    monkeypatch: pytest.MonkeyPatch, cursor: str, with_ticket: bool
) -> None:
    """G12: a stream shows nothing of it, neither that it is there, nor what happens in it."""
    async with adas_house(monkeypatch) as (house, _):
        query, token = cursor.replace("&", "?"), "bob-token"
        if with_ticket:
            issued = await house.post("/chat/ticket", json={"log_ids": ["s", "t"]}, token=token)
            query, token = f"?ticket={issued.body['ticket']}{cursor}", ""
        async with (
            house.stream("s", query, token=token) as theirs,
            house.stream("t", query, token=token) as unknown,
        ):
            for stream in (theirs, unknown):
                await stream.until("snapshot")
            await house.sent("s", "superseding", token="ada-token")
            await house.delete("/chat/s", token="ada-token")
            await house.runner.cleanup()
            for stream in (theirs, unknown):
                await stream.rest()
        assert shown(theirs, "s") == shown(unknown, "t")
        assert [event for event, _id, _data in shown(theirs, "s")] == ["gap"] * ("7-1" in cursor) + [
            "snapshot",
            "close",
        ]


async def test_an_admins_cancel_of_anothers_session_says_that_it_was_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with adas_house(monkeypatch) as (house, _):
        answer = await house.post("/chat/s/cancel_send_task", token="root-token")

        assert answer.body["turn"]["reason"].items() >= {"code": "admin", "by": "root"}.items()
        assert answer.body["turn"]["status"] == TurnStatus.CANCELLED


async def test_a_session_belongs_to_the_user_of_its_first_send_and_not_to_its_first_reader() -> None:
    """G12."""
    async with serving(authenticate=by_token) as house, house.stream("s", token="ada-token"):
        await house.sent("s", token="bob-token")
        answer = await house.send("s", token="ada-token")
        assert (answer.status, answer.code) == (409, "SESSION_ID_TAKEN")
        assert (await house.get("/chat/s", token="bob-token")).body["user"] == "bob"


# -- Refusals -----------------------------------------------------------------------------------------


def test_the_response_is_problem_json_with_the_problems_headers_and_is_counted() -> None:
    problem, meter = Problem(Code.UNAUTHORIZED, "x", headers={"WWW-Authenticate": "Bearer"}), Meter()
    response = problem_response(problem, meter)

    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert meter.refusals == {"UNAUTHORIZED": 1}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/chat", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/chat/", 404, "NOT_FOUND"),
        ("GET", "/chat/s/", 404, "NOT_FOUND"),
        ("GET", "/chat/s/nothing", 404, "NOT_FOUND"),
        ("PATCH", "/chat/s/t/u/v/w", 404, "NOT_FOUND"),
        ("PUT", "/healthz", 405, "METHOD_NOT_ALLOWED"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/ai"])
async def test_on_our_paths_every_refusal_is_a_problem(
    method: str, path: str, status: int, code: str, prefix: str
) -> None:
    async with serving(prefix=prefix) as house:
        answer = await house.ask(method, path)

        assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("path", ["/chatter", "/healthz/x", "/", "/ready"])
async def test_the_paths_of_the_host_are_the_hosts(path: str) -> None:
    async with serving() as house:
        answer = await house.get(path)

        assert (answer.status, answer.headers["Content-Type"][:10]) == (404, "text/plain")


async def test_a_path_of_ours_that_leads_nowhere_asks_for_authentication() -> None:
    async with serving(authenticate=by_token) as house:
        for path in ("/chat/", "/chat/s/nothing"):
            assert (await house.get(path)).status == 401
            assert (await house.get(path, token="ada-token")).status == 404


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/chat/s/send"), ("GET", "/chat/s/t/cancel"), ("POST", "/healthz")]
)
async def test_a_method_that_a_path_does_not_have_asks_for_authentication(method: str, path: str) -> None:
    async with serving(authenticate=by_token) as house:
        assert (await house.ask(method, path)).status == 401
        assert (await house.ask(method, path, token="ada-token")).status == 405


async def test_an_expectation_is_met_or_refused_as_a_problem() -> None:
    async with serving(ScriptedAgent()) as house:
        body = b'{"message": "x"}'
        asked = (
            f"POST /chat/s/send HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: {len(body)}\r\n".encode()
        )

        refused = await house.raw(asked + b"Expect: tea\r\n\r\n" + body)
        assert (refused.status, refused.code) == (417, "EXPECTATION_FAILED")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(asked + b"Expect: 100-Continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await read_answer(reader)).status == 202
        writer.close()
        # HTTP/1.0 has no such header.
        old = await house.raw(asked.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Expect: tea\r\n\r\n" + body)
        assert old.status == 202
