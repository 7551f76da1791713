"""How OpenAI's API says that something is refused."""

import json
from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.refusals import refuse, unsupported


def answer(problem: Problem) -> tuple[int, dict[str, Any]]:
    response = refuse(problem)
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)["error"]


@pytest.mark.parametrize("code", Code, ids=plain)
def test_every_refusal_has_a_form(code: Code) -> None:
    status, error = answer(Problem(code, "it is so"))
    assert (error["message"] == "it is so") == (code is not Code.IDEMPOTENCY_KEY_REUSED)
    assert error["turnkeeper_code"] == code
    assert 400 <= status < 600
    assert status not in (412, 422)


@pytest.mark.parametrize(
    ("problem", "status", "kind", "code", "param"),
    [
        (Problem(Code.UNAUTHORIZED, "x"), 401, "authentication_error", "invalid_api_key", None),
        (
            Problem(Code.UNKNOWN_AGENT, "x"),
            404,
            "invalid_request_error",
            "model_not_found",
            "model",
        ),
        (Problem(Code.SESSION_BUSY, "x"), 409, "invalid_request_error", "conversation_locked", None),
        (
            Problem(Code.PRECONDITION_FAILED, "x"),
            400,
            "invalid_request_error",
            "previous_response_not_latest",
            "previous_response_id",
        ),
        (
            Problem(Code.INVALID_REQUEST, "x", field="message"),
            400,
            "invalid_request_error",
            "invalid_request",
            "input",
        ),
        (Problem(Code.EVENTS_LOST, "x"), 400, "invalid_request_error", "events_lost", None),
        (unsupported("n", "must be 1"), 400, "invalid_request_error", "unsupported_parameter", "n"),
        (Problem(Code.TOO_MANY_TURNS, "x"), 429, "rate_limit_error", "too_many_turns", None),
        (Problem(Code.SHUTTING_DOWN, "x"), 503, "server_error", "shutting_down", None),
    ],
    ids=plain,
)
def test_it_is_said_in_the_words_of_that_api(
    problem: Problem, status: int, kind: str, code: str, param: str | None
) -> None:
    found, error = answer(problem)
    assert (found, error["type"], error["code"], error["param"]) == (status, kind, code, param)


def test_what_is_for_the_agent_beside_the_messages_is_no_field_of_that_api() -> None:
    problem = Problem(
        Code.MESSAGE_TOO_LARGE, "params must not take more than 9 bytes as JSON", field="params"
    )
    status, error = answer(problem)
    assert (status, error["param"]) == (400, None)
    assert error["message"] == (
        "all that is for the agent beside its messages must not take more than 9 bytes as JSON"
    )


def test_what_is_locked_is_not_to_be_tried_again_by_itself() -> None:
    assert refuse(Problem(Code.SESSION_BUSY, "x")).headers["x-should-retry"] == "false"
    assert "x-should-retry" not in refuse(Problem(Code.TOO_MANY_TURNS, "x")).headers


def test_the_headers_of_a_refusal_are_kept() -> None:
    refusal = refuse(Problem(Code.TOO_MANY_TURNS, "x", headers={"Retry-After": "1"}))
    assert refusal.headers["Retry-After"] == "1"


def test_half_of_a_surrogate_pair_in_a_name_does_not_stop_its_refusal() -> None:
    _, error = answer(unsupported("\ud800", "is not supported"))
    assert (error["param"], error["message"]) == ("\ud800", "\ud800 is not supported")
