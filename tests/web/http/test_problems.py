import json
import logging
from typing import Any

import pytest
from pykka import ActorDeadError

from turnkeeper.actors.model import exceptions
from turnkeeper.web.http.codec import encode
from turnkeeper.web.http.problems import TITLES, Code, Problem, problem_of


def refusals(kind: type[Any] = exceptions.SessionError) -> list[type[Any]]:
    """Those of turnkeeper's own: other tests have some of a host's."""
    below = [each for each in kind.__subclasses__() if each.__module__.startswith("turnkeeper.")]
    return below + [other for each in below for other in refusals(each)]


@pytest.mark.parametrize("kind", refusals(), ids=lambda kind: kind.__name__)
def test_every_refusal_of_the_actors_is_in_the_table(kind: type[exceptions.SessionError]) -> None:
    assert kind.code in set(Code), f"Code in web/http/problems.py lacks {kind.__name__}"


def test_every_code_has_a_status_with_a_title_and_a_meaning() -> None:
    for code in Code:
        assert code.status in TITLES, code
        assert code.meaning, code
        assert code.name == code.value


def test_a_problem_has_a_code_a_status_and_a_text_for_people() -> None:
    problem = Problem(Code.BODY_TOO_LARGE, "too much", headers={"Connection": "close"}, field="body")

    assert (problem.status, problem.code, problem.detail) == (413, "BODY_TOO_LARGE", "too much")
    assert problem.headers == {"Connection": "close"}
    assert problem.field == "body"
    assert str(problem) == "too much"


def test_problems_do_not_share_headers() -> None:
    headers = {"A": "1"}
    one = Problem(Code.UNAUTHORIZED, "x", headers=headers)
    one.headers["B"] = "2"

    assert headers == {"A": "1"}
    assert Problem(Code.UNAUTHORIZED, "x").headers == {}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.UnknownSession("x"), 404, "UNKNOWN_SESSION"),
        (exceptions.UnknownTurn("x"), 404, "UNKNOWN_TURN"),
        (exceptions.UnknownAgent("x"), 422, "UNKNOWN_AGENT"),
        (exceptions.PartNotTaken("x", part="image_url", agent="coder"), 422, "PART_NOT_TAKEN"),
        (exceptions.SessionBusy("x"), 409, "SESSION_BUSY"),
        (exceptions.SessionClosed("x"), 409, "SESSION_CLOSED"),
        (exceptions.TurnIdReused("x"), 422, "TURN_ID_REUSED"),
        (exceptions.IdempotencyKeyReused("x"), 422, "IDEMPOTENCY_KEY_REUSED"),
        (exceptions.PreconditionFailed("x"), 412, "PRECONDITION_FAILED"),
        (exceptions.InvalidRequest("x"), 422, "INVALID_REQUEST"),
        (exceptions.SessionLost("x"), 503, "SESSION_LOST"),
        (exceptions.ShuttingDown("x"), 503, "SHUTTING_DOWN"),
        (exceptions.JournalDown("x"), 503, "JOURNAL_DOWN"),
        (ActorDeadError("RegistryActor (urn:uuid:17) not found"), 503, "SHUTTING_DOWN"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_refusal_has_its_status_and_its_code(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)

    assert (problem.status, problem.code) == (status, code)
    assert ("Retry-After" in problem.headers) == (status == 503)
    assert "urn:uuid" not in problem.detail


def test_a_refusal_names_the_field_or_the_turn_it_is_about() -> None:
    assert problem_of(exceptions.InvalidRequest("x", field="timeout")).field == "timeout"
    assert problem_of(exceptions.SessionBusy("x", turn_id="t1")).task_id == "t1"


def test_a_problem_is_the_problem_it_is() -> None:
    problem = Problem(Code.SCOPE_MISSING, "x")

    assert problem_of(problem) is problem


@pytest.mark.parametrize(
    "error",
    [
        KeyError("/srv/secret"),
        RuntimeError("password=hunter2"),
        exceptions.LoopClosed("this registry has not been started"),
        exceptions.TurnFailed("x", turn_id="t", status="failed"),
        OSError(13, "Permission denied", "/etc/shadow"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_not_foreseen_is_written_to_the_log_and_to_no_client(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "turnkeeper"):
        problem = problem_of(error)

    assert (problem.status, problem.code) == (500, "INTERNAL")
    text = encode(problem.body).decode()
    assert str(error) not in text
    assert type(error).__name__ not in text
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


def test_the_body_has_the_members_of_rfc_9457_and_ours() -> None:
    body = Problem(Code.PRECONDITION_FAILED, "stale", task_id="t1").body

    assert json.loads(encode(body)) == {
        "type": "about:blank",
        "title": "Precondition Failed",
        "status": 412,
        "detail": "stale",
        "code": "PRECONDITION_FAILED",
        "task_id": "t1",
    }
