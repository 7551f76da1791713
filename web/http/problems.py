"""Refusals: their codes with the HTTP status of each, and the problem bodies (RFC 9457) they are."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from msgspec import UNSET, Meta, Struct, UnsetType
from pykka import ActorDeadError

from turnkeeper.actors.model import exceptions as errors
from turnkeeper.actors.model.logger import logger

RETRY_AFTER = {"Retry-After": "1"}


class Code(StrEnum):
    """The codes of refusals. Each is stable, and has the HTTP status and the meaning given beside it."""

    status: int
    meaning: str

    def __new__(cls, code: str, status: int, meaning: str) -> Self:
        """A code with its status and what it means."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.meaning = meaning
        return member

    @property
    def status_text(self) -> str:
        """Its status in words, as RFC 9110 has them."""
        return TITLES[self.status]

    MALFORMED_REQUEST = "MALFORMED_REQUEST", 400, "the request is not HTTP"
    BODY_INCOMPLETE = "BODY_INCOMPLETE", 400, "the body ended early, or is not encoded as its headers say"
    UNSUPPORTED_PARAMETER = (
        "UNSUPPORTED_PARAMETER",
        400,
        "a client of another protocol asks for what cannot be done here; `field` names it",
    )
    UNAUTHORIZED = "UNAUTHORIZED", 401, "no token or ticket, or not a valid one"
    SCOPE_MISSING = errors.ScopeMissing.code, 403, "the token has none of the scopes that this needs"
    POLICY_NOT_ALLOWED = errors.PolicyNotAllowed.code, 403, "the policy lets no request say this `field`"
    NOT_YOURS_TO_STOP = (
        errors.NotYoursToStop.code,
        403,
        "the policy of the turn lets only its sender, and admins, stop it; `task_id` names it",
    )
    NOT_YOURS_TO_EDIT = errors.NotYoursToEdit.code, 403, "only the sender of `task_id`, and admins, change it"
    FOREIGN_PEER = "FOREIGN_PEER", 403, "a server without tokens was asked from another machine"
    FOREIGN_HOST = "FOREIGN_HOST", 403, "a server without tokens was asked under a name that is not loopback"
    FOREIGN_ORIGIN = "FOREIGN_ORIGIN", 403, "a page asked whose origin `allow_origin` does not name"
    FORWARDED = "FORWARDED", 403, "a server without tokens was asked through a proxy"
    UNKNOWN_SESSION = errors.UnknownSession.code, 404, "no session of yours has this id"
    UNKNOWN_TURN = errors.UnknownTurn.code, 404, "the session does not know this turn, or no longer does"
    UNKNOWN_STREAM = "UNKNOWN_STREAM", 404, "you have no open stream of this name"
    NOT_FOUND = "NOT_FOUND", 404, "there is no such path"
    TURN_OF_ANOTHER_PROCESS = (
        "TURN_OF_ANOTHER_PROCESS",
        404,
        "the turn belongs to another process, or to an earlier one: what became of it is not known here",
    )
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED", 405, "the path has other methods: see `Allow`"
    HEADER_TIMEOUT = "HEADER_TIMEOUT", 408, "the head of the request took longer than `header_timeout`"
    BODY_TIMEOUT = "BODY_TIMEOUT", 408, "the body took longer than `body_timeout`"
    SESSION_ID_TAKEN = errors.SessionIdTaken.code, 409, "the session is another user's"
    SESSION_BUSY = (
        errors.SessionBusy.code,
        409,
        "a turn is in flight and the strategy is `reject`; `task_id` names it",
    )
    OWN_LINEAGE = (
        errors.OwnLineage.code,
        409,
        "an agent sent to the session of its own turn, or to one of a turn that waits for it",
    )
    CHILD_NOT_STARTED = (
        errors.ChildNotStarted.code,
        409,
        "the turn that an agent had sent for waited longer for its session than `child_wait`",
    )
    HOLD_REFUSED = (
        errors.HoldRefused.code,
        409,
        "an agent asked for a critical section once its turn was cancelled or over, or in too many of them",
    )
    SESSION_CLOSED = errors.SessionClosed.code, 409, "the session was closed"
    NOT_WAITING = (
        errors.NotWaiting.code,
        409,
        "the turn has started or ended; or it is called up, and cannot be moved, nor edited if it has run",
    )
    EVENTS_LOST = (
        errors.EventsLost.code,
        410,
        "the turn's first events, or the ones after the cursor, are no longer kept",
    )
    PRECONDITION_FAILED = (
        errors.PreconditionFailed.code,
        412,
        "`If-Match` does not name the current or last turn",
    )
    BODY_TOO_LARGE = "BODY_TOO_LARGE", 413, "the body is larger than `max_body`"
    EXPECTATION_FAILED = "EXPECTATION_FAILED", 417, "`Expect` asks for something other than `100-continue`"
    INVALID_JSON = "INVALID_JSON", 422, "the body is not JSON"
    INVALID_REQUEST = errors.InvalidRequest.code, 422, "a field breaks its rule; `field` names it"
    MESSAGE_TOO_LARGE = (
        errors.MessageTooLarge.code,
        422,
        "larger than `message_text`, `message_parts`, `max_params` or, of a large body, `body_values` allow",
    )
    PART_NOT_TAKEN = (
        errors.PartNotTaken.code,
        422,
        "the message has a part of a type that its agent does not take",
    )
    STREAM_TOO_WIDE = (
        "STREAM_TOO_WIDE",
        422,
        "one stream follows at most 32 sessions, whose ids have at most 3,000 characters in all",
    )
    UNKNOWN_PRIORITY = errors.UnknownPriority.code, 422, "there is no priority of that name"
    INVALID_CAP = errors.InvalidCap.code, 422, "a cap is a whole number from 1; `field` names it"
    INVALID_DELAY = (
        errors.InvalidDelay.code,
        422,
        "`after_seconds` is a number of seconds from 0 to a week",
    )
    TITLE_TOO_LONG = errors.TitleTooLong.code, 422, "the title has more characters than `title_length`"
    UNKNOWN_AGENT = errors.UnknownAgent.code, 422, "there is no agent of that name; `field` names it"
    TURN_ID_REUSED = errors.TurnIdReused.code, 422, "the `task_id` stands for another message already"
    IDEMPOTENCY_KEY_REUSED = (
        errors.IdempotencyKeyReused.code,
        422,
        "the `Idempotency-Key` stands for another message already",
    )
    QUEUE_FULL = (
        errors.QueueFull.code,
        429,
        "as many turns wait for the session as `queue_limit` says; with `on_full` it makes room for itself",
    )
    TOO_MANY_UNRESPONSIVE = (
        errors.TooManyUnresponsive.code,
        429,
        "too many turns of the session, of its owner or of all ignored being cancelled and still run",
    )
    TOO_MANY_SESSIONS = (
        errors.TooManySessions.code,
        429,
        "the user, or all together, have as many sessions as `max_sessions` and `max_sessions_in_all` say",
    )
    TOO_MANY_TURNS = (
        errors.TooManyTurns.code,
        429,
        "the same for turns in flight: `max_in_flight`, `max_in_flight_in_all`",
    )
    TOO_MANY_OF_AGENT = (
        errors.TooManyOfAgent.code,
        429,
        "the agent has as many turns in flight as `max_of_agent` says",
    )
    TOO_MANY_WAITING = (
        errors.TooManyWaiting.code,
        429,
        "as many turns wait for a slot, or for a moment, as `max_waiting` and `max_waiting_in_all` say",
    )
    TOO_DEEP = errors.TooDeep.code, 429, "the tree of the agent's turn has as many levels as `max_depth` says"
    TOO_MANY_CHILDREN = (
        errors.TooManyChildren.code,
        429,
        "the agent's turn has sent to as many turns of other sessions as `max_children` says",
    )
    TOO_MANY_STREAMS = (
        errors.TooManyStreams.code,
        429,
        "the same for streams: `max_streams`, `max_streams_in_all`",
    )
    TOO_MUCH_KEPT = (
        errors.TooMuchKept.code,
        429,
        "the same for the bytes of events and messages: `max_kept`, `max_kept_in_all`",
    )
    TOO_MANY_POLICIES = (
        errors.TooManyPolicies.code,
        429,
        "as many users have a policy of their own as `max_user_policies` says",
    )
    TOO_MANY_TICKETS = "TOO_MANY_TICKETS", 429, "you hold as many tickets as a user may"
    TOO_MANY_UPLOADS = "TOO_MANY_UPLOADS", 429, "too many large bodies of yours are being read: `max_uploads`"
    TOO_MANY_CONNECTIONS = (
        "TOO_MANY_CONNECTIONS",
        429,
        "your address has as many connections as it may: `connections_per_peer`",
    )
    INTERNAL = errors.TurnkeeperError.code, 500, "the server failed; its log says how, the answer does not"
    UPLOADS_FULL = "UPLOADS_FULL", 503, "too many large bodies are being read: `max_uploads_in_all`"
    METRICS_NOT_INSTALLED = (
        "METRICS_NOT_INSTALLED",
        501,
        "the server cannot show its figures: `turnkeeper[metrics]` is not installed there",
    )
    SERVER_FULL = "SERVER_FULL", 503, "the server has as many connections as it may: `max_connections`"
    OWNER_NOT_KNOWN = errors.OwnerNotKnown.code, 503, "the server cannot find out whose the session is"
    SHUTTING_DOWN = errors.ShuttingDown.code, 503, "the server is shutting down"
    HOST_KEEPS_MESSAGES = (
        errors.HostKeepsMessages.code,
        404,
        "the host of turnkeeper keeps this conversation, and shows no messages of it",
    )
    JOURNAL_DOWN = errors.JournalDown.code, 503, "the journal cannot be written or read now"
    SESSION_LOST = errors.SessionLost.code, 503, "the session failed inside and was opened anew"


#: Those that an error of the actors may have, by its name there.
_BY_NAME: Mapping[str, Code] = {code.value: code for code in Code if code is not Code.INTERNAL}
#: What HTTP calls otherwise than the actors.
HTTP_NAMES = {
    "session_id": "log_id",
    "turn_id": "task_id",
    "after": "last_event_id",
    "owner": "user",
    "key": "Idempotency-Key",
}
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Content Too Large",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class ProblemBody(Struct, kw_only=True):
    """A problem body (RFC 9457), with members of ours."""

    type: Annotated[
        Literal["about:blank"], Meta(description="Says that `code` says it.", examples=["about:blank"])
    ] = "about:blank"
    title: Annotated[str, Meta(description="The HTTP status in words.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong, for people.")]
    code: Annotated[Code, Meta(description="What is wrong, for programs.")]
    field: Annotated[str, Meta(description="The field or parameter at fault.")] | UnsetType = UNSET
    task_id: Annotated[str, Meta(description="The turn that is in the way.")] | UnsetType = UNSET


class Problem(Exception):
    """A refusal, in HTTP's words. ``field`` and ``task_id`` name what is at fault or in the way."""

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        field: str | UnsetType = UNSET,
        task_id: str | UnsetType = UNSET,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.field = field
        self.task_id = task_id

    @property
    def status(self) -> int:
        """The HTTP status, which its code decides."""
        return self.code.status

    @property
    def body(self) -> ProblemBody:
        """What is answered."""
        return ProblemBody(
            title=self.code.status_text,
            status=self.status,
            detail=self.detail,
            code=self.code,
            field=self.field,
            task_id=self.task_id,
        )


def other_method(allowed: str) -> Problem:
    """The refusal of a method that a path does not have; ``allowed`` are those that it has."""
    return Problem(Code.METHOD_NOT_ALLOWED, f"this path has only {allowed}", headers={"Allow": allowed})


def problem_of(error: BaseException) -> Problem:
    """The problem that an exception is. The details of one that was not foreseen go to the log only."""
    match error:
        case Problem():
            return error
        case ActorDeadError():
            return Problem(Code.SHUTTING_DOWN, "the server is shutting down", headers=RETRY_AFTER)
        case errors.SessionError() if error.code in _BY_NAME:
            return _refusal(error, _BY_NAME[error.code])
        case _:
            logger.error("unhandled error in a request", exc_info=error)
            return Problem(Code.INTERNAL, "the server failed to handle this request")


def _refusal(error: errors.SessionError, code: Code) -> Problem:
    headers = RETRY_AFTER if code.status in (429, 503) else None
    match error:
        case (
            errors.SessionBusy(turn_id=str(turn_id))
            | errors.NotYoursToStop(turn_id=str(turn_id))
            | errors.NotYoursToEdit(turn_id=str(turn_id))
        ):
            return Problem(code, str(error), task_id=turn_id)
        case errors.UnknownAgent():
            return Problem(code, str(error), field=error.field)
        case errors.InvalidRequest(field=str(field)):
            name = HTTP_NAMES.get(field, field)
            return Problem(code, str(error).replace(field, name, 1), field=name)
        case _:
            return Problem(code, str(error), headers=headers)
