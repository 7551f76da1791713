from typing import Any

import pytest
from aiohttp import web

from tests.fakes import plain
from tests.web.fakes_web import by_token, serving
from turnkeeper.actors.model.records import HOST, Asker
from turnkeeper.web import Principal
from turnkeeper.web.http.problems import Problem


def test_a_principal_may_chat_unless_something_else_is_said() -> None:
    assert Principal("ada").asker == Asker("ada", sees_all=False)


def test_an_admin_sees_all() -> None:
    assert Principal("root", frozenset({"admin"})).asker == Asker("root", sees_all=True)


def test_the_bounds_of_one_user_hold_for_a_principal_unless_something_else_is_said() -> None:
    """G8."""
    assert Principal("ada").asker.bounded
    assert not Principal("gateway", bounded=False).asker.bounded


def test_no_principal_is_the_host() -> None:
    for scopes in (frozenset({"chat"}), frozenset({"chat", "admin"})):
        for bounded in (True, False):
            assert Principal(HOST.user, scopes, bounded).asker != HOST


@pytest.mark.parametrize("scopes", [frozenset[str](), frozenset({"music"})])
def test_without_a_scope_that_counts_there_is_no_asker(scopes: frozenset[str]) -> None:
    with pytest.raises(Problem) as refused:
        _ = Principal("ada", scopes).asker

    assert (refused.value.status, refused.value.code) == (403, "SCOPE_MISSING")


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
async def test_an_authenticate_that_fails_lets_no_request_in_and_reveals_nothing(answer: Any) -> None:
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
def test_a_principals_user_is_a_text_that_can_be_written(user: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Principal(user)
