"""How OpenAI's API says that something is refused. Pure but for the answer that it makes."""

from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from turnkeeper.web.http.codec import encode
from turnkeeper.web.http.mount import UNSEEN
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.openapi.operation import JSON

#: The codes that this API has for some of our refusals; the others are ours, in small letters.
_CODES: Final = {
    Code.UNAUTHORIZED: "invalid_api_key",
    Code.UNKNOWN_AGENT: "model_not_found",
    Code.SESSION_BUSY: "conversation_locked",
    Code.PRECONDITION_FAILED: "previous_response_not_latest",
}
#: The statuses that this API has for some of them: it knows no 410 and 412, and what is wrong with a body is
#: 400.
_STATUSES: Final = {Code.UNKNOWN_AGENT: 404, Code.PRECONDITION_FAILED: 400, Code.EVENTS_LOST: 400}
_OF_BODIES: Final = {422: 400}
#: The kinds of errors, by their status.
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
#: What it calls the fields that are called otherwise here.
_FIELDS: Final = {"agent": "model", "message": "input"}
#: What is ``params`` here is a field for each of them there: `instructions`, `metadata` and the like.
_PARAMS_OF_AGENT: Final = "all that is for the agent beside its messages"
#: What is said otherwise than where the request says it in our own words.
_SENTENCES: Final = {Code.IDEMPOTENCY_KEY_REUSED: "this Idempotency-Key was used for another request"}
#: The fields that these are about.
_PARAMS: Final = {Code.UNKNOWN_AGENT: "model", Code.PRECONDITION_FAILED: "previous_response_id"}
#: Its clients send again what is refused with 409 or 503; they keep to this header if there is one.
NEVER_AGAIN: Final = {"x-should-retry": "false"}


class ErrorBody(msgspec.Struct):
    """What is wrong, as this API says it; ``turnkeeper_code`` is the stable code of the refusal here."""

    message: str
    type: str
    param: str | None
    code: str
    turnkeeper_code: str
    response_id: str | UnsetType = UNSET
    """The response that goes on, and can be asked for later."""


class ErrorAnswer(msgspec.Struct):
    """The body of a refusal."""

    error: ErrorBody


class GoesOn(Problem):
    """The server shuts down before a response has ended that the next one goes on with."""

    def __init__(self, response: str) -> None:
        text = f"the server is shutting down: ask for {response} later"
        super().__init__(Code.SHUTTING_DOWN, text, headers=NEVER_AGAIN)
        self.response = response


def unsupported(field: str, why: str) -> Problem:
    """The refusal of a request that asks for more than can be done here: ``why`` goes on after the name."""
    return Problem(Code.UNSUPPORTED_PARAMETER, f"{field} {why}", field=field)


def kind_of(status: int) -> str:
    """The type of an error with that status."""
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def error_of(problem: Problem) -> tuple[int, ErrorBody]:
    """The status and the error that this refusal is."""
    code = problem.code
    status = _STATUSES.get(code, _OF_BODIES.get(problem.status, problem.status))
    field = _PARAMS.get(code)
    message = _SENTENCES.get(code, problem.detail)
    if problem.field == "params":
        message = message.replace("params", _PARAMS_OF_AGENT, 1)
    elif isinstance(problem.field, str):
        field = _FIELDS.get(problem.field, problem.field)
        message = message.replace(problem.field, field, 1)
    response = problem.response if isinstance(problem, GoesOn) else UNSET
    named = _CODES.get(code, code.lower())
    return status, ErrorBody(message, kind_of(status), field, named, code, response)


def refuse(problem: Problem) -> web.Response:
    """The answer."""
    status, error = error_of(problem)
    headers = {"Content-Type": JSON, **UNSEEN, **problem.headers}
    if status == 409:
        headers |= NEVER_AGAIN
    return web.Response(status=status, body=encode(ErrorAnswer(error)), headers=headers)
