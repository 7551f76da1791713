"""Exception -> status and problem body (RFC 9457). One table."""

import json
import logging
from typing import Any

from aiohttp import web
from pykka import ActorDeadError

from turnkeeper.actors.model import exceptions as errors

from .problems import Problem

logger = logging.getLogger("turnkeeper")

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}

#: What each refusal of the actors is over HTTP.
STATUS: dict[type[errors.TurnkeeperError], int] = {
    errors.UnknownSession: 404,
    errors.UnknownTurn: 404,
    errors.UnknownAgent: 422,
    errors.SessionBusy: 409,
    errors.SessionClosed: 409,
    errors.TooManyUnresponsive: 429,
    errors.TurnIdReused: 422,
    errors.PreconditionFailed: 412,
    errors.InvalidRequest: 422,
    errors.SessionLost: 503,
    errors.ShuttingDown: 503,
}
#: What HTTP calls otherwise than the actors.
HTTP_NAMES = {"session_id": "log_id", "turn_id": "task_id"}
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def problem_of(error: BaseException) -> Problem:
    """The problem an exception is. What is nobody's business stays in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, errors.TurnkeeperError) and type(error) in STATUS:
        status = STATUS[type(error)]
        detail, more = str(error), dict[str, Any]()
        if (holder := getattr(error, "turn_id", None)) is not None:
            more["task_id"] = holder
        if (field := getattr(error, "field", None)) is not None:
            name = more["field"] = HTTP_NAMES.get(field) or str(field)
            detail = detail.replace(field, name, 1)
        headers = RETRY_AFTER if status in (429, 503) else None
        return Problem(status, error.code, detail, headers=headers, **more)
    if isinstance(error, ActorDeadError):
        text = "the server is shutting down"
        return Problem(503, errors.ShuttingDown.code, text, headers=RETRY_AFTER)
    logger.error("unhandled error in a request", exc_info=error)
    return Problem(500, "INTERNAL", "the server failed to handle this request")


def problem_body(problem: Problem) -> dict[str, Any]:
    """The members of the problem body, RFC 9457 section 3.1, and ours."""
    return {
        "type": "about:blank",
        "title": TITLES.get(problem.status, "Error"),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        **problem.more,
    }


def problem_response(error: BaseException) -> web.Response:
    """The answer to a request that ended with this exception."""
    problem = problem_of(error)
    response = web.Response(
        status=problem.status,
        text=json.dumps(problem_body(problem)) + "\n",
        content_type=PROBLEM_JSON,
        headers=problem.headers,
    )
    if problem.headers.get("Connection") == "close":
        response.force_close()  # the header alone would leave the connection open
    return response
