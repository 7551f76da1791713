"""Request bodies: the JSON in them, and the types it is checked against."""

import json
import re
from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnkeeper.actors.model.exceptions import InvalidRequest, PolicyNotAllowed
from turnkeeper.actors.model.ids import ID_PATTERN, ID_RULE
from turnkeeper.actors.model.messages import CancelMany, ChangeQueued, Send, SetAdmission
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.word import Word
from turnkeeper.actors.model.words import (
    MoveTo,
    OnCap,
    OnDisconnect,
    OnFull,
    OnRestart,
    Priority,
    QueueMode,
    Strategy,
    WhoMayStop,
)
from turnkeeper.actors.policy.said import of_whom
from turnkeeper.actors.registry.bulk.which import LIVE, MOST
from turnkeeper.actors.session.fields import FIELDS, MAX_SECONDS, invalid

from .problems import Code, Problem

#: How much of an unknown field's name an answer repeats.
MAX_NAME = 100
#: How many sessions a ticket may be for.
MAX_SESSIONS = 100
#: How many sessions, or turns, a bulk cancel may name.
MAX_FILTERED = 1_000
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

# -- What they say ------------------------------------------------------------------------------------

#: One part of a message. It is handed to the agent as it came, with whatever members it has.
Part: TypeAlias = dict[str, Any]


def _rule(must: str, meaning: str, each: type[msgspec.Struct] | None = None) -> Meta:
    """What a field is, and what it ``must`` be, in the words of its refusal.

    Where it is an object with ``each`` of its members of one type, it is the member at fault that is refused.
    """
    return Meta(description=meaning, extra={"must": must, "each": each})


#: An id, whose rule the schema says and `ids` checks.
_Id: TypeAlias = Annotated[str, Meta(extra_json_schema={"pattern": f"^{ID_PATTERN}$"})]


_Least: TypeAlias = Annotated[int, Meta(ge=1)]
_Span: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
_Limit: TypeAlias = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
_SPAN = f"must be a number of seconds from 0 to {MAX_SECONDS:.0f}"
_LIMIT = f"must be a number of seconds above 0 to {MAX_SECONDS:.0f}"
_WHOLE = "must be a whole number from 1"


def _words(kind: type[Word]) -> str:
    return f"must be one of: {', '.join(kind)}"


class SendBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message, and how its turn is to be run."""

    message: Annotated[
        str | list[Part],
        _rule("must be a string, or a list of at least one part", "A text, or a list of parts."),
    ]
    agent: Annotated[
        str | None, _rule("must be a string", "The name of the agent; without it, the default one.")
    ] = None
    multitask_strategy: Annotated[
        Strategy | None,
        _rule(_words(Strategy), "What to do when a turn is in flight."),
    ] = None
    task_id: Annotated[
        _Id | None,
        _rule(
            f"must be {ID_RULE}",
            "An id for the turn, chosen by the client: a retry with the same id and message starts nothing.",
        ),
    ] = None
    timeout: Annotated[
        _Limit | None,
        _rule(_LIMIT, "After how many seconds the turn is cancelled, to end as `timed_out`."),
    ] = None
    after_seconds: Annotated[
        _Span | None, _rule(_SPAN, "Treat it as if it were sent so many seconds later; answered at once.")
    ] = None
    cancel_grace: Annotated[
        _Span | None, _rule(_SPAN, "How long the turn may take to end when it is cancelled.")
    ] = None
    stall_timeout: Annotated[
        _Limit | None, _rule(_LIMIT, "How long the turn may emit nothing before it is cancelled.")
    ] = None
    wind_grace: Annotated[
        _Span | None, _rule(_SPAN, "How long what is to be done at the turn's end may take.")
    ] = None
    max_hold: Annotated[
        _Span | None, _rule(_SPAN, "How long critical sections of the turn may put off its cancel.")
    ] = None
    queue_limit: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _rule("must be a whole number from 0", "Behind how many others the turn may wait, at most."),
    ] = None
    on_full: Annotated[
        OnFull | None, _rule(_words(OnFull), "What becomes of the send when as many wait.")
    ] = None
    collapse_parts: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        _rule("must be a whole number from 2", "How many messages may be joined into one, with `collapse`."),
    ] = None
    collapse_window: Annotated[
        _Span | None, _rule(_SPAN, "How long the message waits for others to be joined with it.")
    ] = None
    priority: Annotated[
        Priority | None, _rule(_words(Priority), "How urgent the turn is beside those of others.")
    ] = None
    max_in_flight: Annotated[
        _Least | None,
        _rule(
            _WHOLE,
            "How many turns of the user may be in flight with this one: beyond it, the send is refused.",
        ),
    ] = None
    max_events: Annotated[
        _Least | None, _rule(_WHOLE, "How many events the turn may emit before it is cancelled.")
    ] = None
    max_event_bytes: Annotated[
        _Least | None, _rule(_WHOLE, "How many bytes of events the turn may emit before it is cancelled.")
    ] = None
    max_tokens: Annotated[
        _Least | None, _rule(_WHOLE, "How many tokens the turn may report before it is cancelled.")
    ] = None
    on_disconnect: Annotated[
        OnDisconnect | None, _rule(_words(OnDisconnect), "What becomes of the turn when no reader is left.")
    ] = None
    abandon_after: Annotated[
        _Span | None, _rule(_SPAN, "For how long no reader may be there, with `on_disconnect`.")
    ] = None
    on_restart: Annotated[
        OnRestart | None, _rule(_words(OnRestart), "What becomes of the turn when the server's process ends.")
    ] = None
    who_may_stop: Annotated[
        WhoMayStop | None, _rule(_words(WhoMayStop), "Who may stop the turn, beside admins.")
    ] = None

    params: Annotated[
        dict[str, Any] | None,
        _rule("must be an object", "What is for the agent beside the message: an object that only it reads."),
    ] = None

    def send(self, log_id: str, asker: Asker, *, wait: bool, if_match: str | None, key: str | None) -> Send:
        """The command that it asks for."""
        return Send(
            log_id,
            self.message,
            asker,
            self.agent,
            self.multitask_strategy,
            self.task_id,
            self.timeout,
            wait,
            if_match=if_match,
            key=key,
            policy=_policy(self),
            after=self.after_seconds,
            params=self.params,
        )


#: What a send says of its turn's policy beside its strategy and timeout: the fields, as both call them.
_POLICY = tuple(name for name, field in FIELDS.items() if field.member == name and not field.host)
_said = attrgetter(*_POLICY)
_NOTHING = (None,) * len(_POLICY)


def _policy(body: SendBody) -> dict[str, Any] | None:
    """What else a send says of how its turn is run; ``None`` for nothing, as most do."""
    values = _said(body)
    if values == _NOTHING:
        return None
    return {name: value for name, value in zip(_POLICY, values, strict=True) if value is not None}


class TicketBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sessions whose streams a ticket is to open."""

    log_ids: Annotated[
        Annotated[list[_Id], Meta(min_length=1, max_length=MAX_SESSIONS)],
        _rule(f"must be a list of 1 to {MAX_SESSIONS} session ids", "The ids of the sessions."),
    ]


class StreamBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sessions that a stream is to follow too, and those that it is to follow no longer."""

    add: Annotated[list[_Id], _rule("must be a list of session ids", "The sessions to follow too.")] = []
    drop: Annotated[list[_Id], _rule("must be a list of session ids", "The sessions to drop, first.")] = []


class TitleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed of a session."""

    title: Annotated[
        Annotated[str, Meta(min_length=1)], _rule("must be a string that is not empty", "The new title.")
    ]


class ChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed of a turn that waits: its place or its message."""

    move: Annotated[MoveTo | None, _rule(_words(MoveTo), "Where it is moved.")] = None
    message: Annotated[
        str | list[Part] | None,
        _rule("must be a string, or a list of at least one part", "What it will be given instead."),
    ] = None

    def change(self, log_id: str, task_id: str, asker: Asker) -> ChangeQueued:
        """The command that it asks for."""
        return ChangeQueued(log_id, task_id, asker, self.move, self.message)


class NamedTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn."""

    log_id: Annotated[_Id, Meta(description="The session.")]
    task_id: Annotated[_Id, Meta(description="The turn.")]


class CancelManyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which turns to stop: those that every filter lets through."""

    turns: Annotated[
        Annotated[list[NamedTurn], Meta(min_length=1, max_length=MAX_FILTERED)] | None,
        _rule(
            f"must be a list of 1 to {MAX_FILTERED} objects with a log_id and a task_id",
            "Only these turns: `log_id` and `task_id` of each. One that has ended does not match.",
        ),
    ] = None
    log_ids: Annotated[
        Annotated[list[_Id], Meta(min_length=1, max_length=MAX_FILTERED)] | None,
        _rule(f"must be a list of 1 to {MAX_FILTERED} session ids", "Only turns of these sessions."),
    ] = None
    user: Annotated[
        str | None,
        _rule("must be a string", "Only turns in this user's sessions. Those of others only an admin stops."),
    ] = None
    agent: Annotated[str | None, _rule("must be a string", "Only turns of this agent.")] = None
    state: Annotated[
        Annotated[str, Meta(extra_json_schema={"enum": [each.value for each in LIVE]})] | None,
        _rule(
            f"must be one of: {', '.join(LIVE)}",
            "Only turns in this state: `queued`, `running` or `cancelling`.",
        ),
    ] = None
    strategy: Annotated[
        Strategy | None,
        _rule(f"must be one of: {', '.join(Strategy)}", "Only turns that were sent with this strategy."),
    ] = None
    older_than: Annotated[
        Annotated[float, Meta(ge=0, le=MAX_SECONDS)] | None,
        _rule(
            f"must be a number of seconds from 0 to {MAX_SECONDS:.0f}",
            "Only turns that were sent more than so many seconds ago.",
        ),
    ] = None
    all: Annotated[
        bool,
        _rule(
            "must be true or false",
            "`true` where no filter is given, and all are meant. Filters hold all the same.",
        ),
    ] = False
    dry_run: Annotated[
        bool, _rule("must be true or false", "`true`: say which turns those are, and stop none.")
    ] = False
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=MOST)],
        _rule(
            f"must be a whole number from 1 to {MOST}",
            f"How many turns to stop at most; if left out, {MOST:,}.",
        ),
    ] = MOST
    as_of: Annotated[
        float | None,
        _rule(
            "must be a moment in Unix seconds",
            "The `as_of` of an earlier answer: no turn that was sent after that moment is stopped.",
        ),
    ] = None

    queue: Annotated[
        QueueMode | None,
        _rule(
            f"must be one of: {', '.join(QueueMode)}",
            "`clear`: the turns that wait for those that are stopped are cancelled with them, whatever the "
            "filters. If left out, `keep`.",
        ),
    ] = None
    force: Annotated[
        bool,
        _rule(
            "must be true or false",
            "`true`: do not wait for steps of the turns that must not be interrupted. For admins only.",
        ),
    ] = False

    def cancel(self, asker: Asker, *, wait: bool, within: float) -> CancelMany:
        """The command that it asks for."""
        return CancelMany(
            asker,
            self.all,
            None if self.turns is None else tuple([(turn.log_id, turn.task_id) for turn in self.turns]),
            None if self.log_ids is None else tuple(self.log_ids),
            self.user,
            self.agent,
            self.state,
            self.strategy,
            self.older_than,
            self.as_of,
            self.dry_run,
            self.limit,
            wait,
            within,
            queue=self.queue,
            force=self.force,
        )


class CapsOfUserBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the turns of a user are let in."""

    max_in_flight: Annotated[
        _Least | UnsetType, _rule(_WHOLE, "How many turns a user may have in flight.")
    ] = UNSET
    on_cap: Annotated[OnCap | UnsetType, _rule(_words(OnCap), "What becomes of a send beyond a cap.")] = UNSET
    priority: Annotated[Priority | UnsetType, _rule(_words(Priority), "The lane of the turns.")] = UNSET


class CapsOfAgentBody(CapsOfUserBody, frozen=True, forbid_unknown_fields=True):
    """How the turns of an agent are let in."""

    max_of_agent: Annotated[
        _Least | UnsetType | None,
        _rule(f"{_WHOLE}, or null", "How many turns of one agent may be in flight; `null`: any number."),
    ] = UNSET


class AdmissionBody(CapsOfAgentBody, frozen=True, forbid_unknown_fields=True):
    """How turns are to be let in from now on. What is left out stays as it is."""

    max_in_flight_in_all: Annotated[
        _Least | UnsetType, _rule(_WHOLE, "How many turns may be in flight: how many slots there are.")
    ] = UNSET
    max_waiting: Annotated[
        _Least | UnsetType, _rule(_WHOLE, "How many turns of a user may wait for a slot.")
    ] = UNSET
    max_waiting_in_all: Annotated[
        _Least | UnsetType, _rule(_WHOLE, "How many turns of all users together may wait for a slot.")
    ] = UNSET
    lane_aging: Annotated[
        _Limit | UnsetType, _rule(_LIMIT, "After how many seconds a turn that waits rises by a lane.")
    ] = UNSET
    agents: Annotated[
        dict[str, CapsOfAgentBody] | UnsetType,
        _rule(
            "must be an object with an object for each agent",
            "What is said of these agents, in place of all that was said of these fields about them.",
            CapsOfAgentBody,
        ),
    ] = UNSET
    users: Annotated[
        dict[str, CapsOfUserBody] | UnsetType,
        _rule(
            "must be an object with an object for each user",
            "What is said of these users, in place of all that was said of these fields about them; `{}` "
            "takes that back.",
            CapsOfUserBody,
        ),
    ] = UNSET

    def set(self, asker: Asker) -> SetAdmission:
        """The command that it asks for."""
        return SetAdmission(msgspec.to_builtins(self), asker)


#: The JSON of a send: the parts of a message alone, or an object.
SendJSON: TypeAlias = Annotated[list[Part], Meta(min_length=1)] | SendBody

_ADMISSION = msgspec.json.Decoder(AdmissionBody)
_CANCEL_MANY = msgspec.json.Decoder(CancelManyBody)
_CHANGE = msgspec.json.Decoder(ChangeBody)
_SEND = msgspec.json.Decoder(SendJSON)
_STREAM = msgspec.json.Decoder(StreamBody)
_TICKET = msgspec.json.Decoder(TicketBody)
_TITLE = msgspec.json.Decoder(TitleBody)
#: What msgspec raises for a body that it refuses: bad JSON, a wrong shape, nesting, a number of many digits.
_REFUSED = (msgspec.MsgspecError, RecursionError, ValueError)


def decode_send(body: bytes | bytearray) -> SendBody:
    """The body of a send.

    Raises `Problem` 422 for what is not JSON, `InvalidRequest`, and `PolicyNotAllowed` for a field that is
    the host's alone to say.
    """
    try:
        said: SendBody | list[Part] = _SEND.decode(body)
    except _REFUSED:
        data = decode_json(body)
        if not isinstance(data, list | dict):
            text = "the body must be a list of parts, or an object with a message"
            raise InvalidRequest(text, field="body") from None
        for name in data if isinstance(data, dict) else ():
            if name in FIELDS and FIELDS[name].host:
                raise PolicyNotAllowed(f"{name} may not be set by a send", field=name) from None
        said = _convert({"message": data} if isinstance(data, list) else data, SendBody)
    else:
        said = SendBody(said) if isinstance(said, list) else said
    check_message(said.message)
    return said


def decode_admission(body: bytes | bytearray) -> AdmissionBody:
    """The body of a change of how turns are let in.

    Raises `Problem` 422 for what is not JSON, and `InvalidRequest`.
    """
    return _decode(body, _ADMISSION, AdmissionBody)


def decode_cancel_many(body: bytes | bytearray) -> CancelManyBody:
    """The body of a bulk cancel. Raises `Problem` 422 for what is not JSON, and `InvalidRequest`."""
    return _decode(body, _CANCEL_MANY, CancelManyBody)


def decode_change(body: bytes | bytearray) -> ChangeBody:
    """The body of a change of a turn. Raises `Problem` 422 for what is not JSON, and `InvalidRequest`."""
    said = _decode(body, _CHANGE, ChangeBody)
    if said.message is not None:
        check_message(said.message)
    return said


def decode_ticket(body: bytes | bytearray) -> TicketBody:
    """The body of a request for a ticket. Raises `Problem` 422 for what is not JSON, and `InvalidRequest`."""
    return _decode(body, _TICKET, TicketBody)


def decode_title(body: bytes | bytearray) -> TitleBody:
    """The body of a change of a session. Raises `Problem` 422 for what is not JSON, and `InvalidRequest`."""
    said = _decode(body, _TITLE, TitleBody)
    _check_text(said.title, "title")
    return said


def decode_stream(body: bytes | bytearray) -> StreamBody:
    """The body of a change of a stream. Raises `Problem` 422 for what is not JSON, and `InvalidRequest`."""
    return _decode(body, _STREAM, StreamBody)


def _decode(body: bytes | bytearray, decoder: msgspec.json.Decoder[S], kind: type[S]) -> S:
    try:
        return decoder.decode(body)
    except _REFUSED:
        data = decode_json(body)
        if not isinstance(data, dict):
            raise InvalidRequest("the body must be an object", field="body") from None
        return _convert(data, kind)


def check_message(message: str | list[Part]) -> None:
    """Raise `InvalidRequest` for a message that no agent could be given."""
    if isinstance(message, str):
        _check_text(message)
        return
    for part in message:
        if not isinstance(part.get("type"), str):
            raise InvalidRequest("each part of message must be an object with a type", field="message")
        text = part.get("text")
        if isinstance(text, str):
            _check_text(text)
        elif part["type"] == "text":
            raise InvalidRequest("a part of type text must have a text, a string", field="message")


def _check_text(text: str, field: str = "message") -> None:
    try:
        _ = text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"a text of {field} has half of a surrogate pair", field=field) from None


# -- The second look ----------------------------------------------------------------------------------

# msgspec is quick, but says what is wrong in its own words, and refuses a few things that are JSON (half of a
# surrogate pair, 1e999). So a body that it refuses is looked at again, slowly, and that decides.


def decode_json(body: bytes | bytearray) -> Any:
    """The JSON (RFC 8259) in a body. Raises `Problem` 422 ``INVALID_JSON``."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Problem(Code.INVALID_JSON, "the body is not UTF-8") from None
    except RecursionError:
        raise Problem(Code.INVALID_JSON, "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise Problem(Code.INVALID_JSON, detail) from None
    except _NotJSON:
        raise Problem(Code.INVALID_JSON, "NaN and Infinity are not JSON") from None
    except ValueError:
        raise Problem(Code.INVALID_JSON, "the body has a number with too many digits") from None


#: What msgspec says of a field that is missing, or of the place at which something is wrong.
_FIELD = re.compile(r"(?:at `\$\.?|required field `)(\w+)[^ ]*`$")


def converted(data: Any, kind: Any) -> Any:
    """Decoded JSON as that type. Raises `msgspec.ValidationError`, also for half of a surrogate pair.

    Where msgspec has to write a text down to look at it, that is a UnicodeEncodeError.
    """
    try:
        return msgspec.convert(data, kind)
    except UnicodeEncodeError:
        raise msgspec.ValidationError("a text has half of a surrogate pair") from None


def as_kind(data: Any, kind: type[T]) -> T:
    """Decoded JSON as a type of a host's own. Raises `InvalidRequest`, with the field at fault."""
    try:
        made: T = converted(data, kind)
    except msgspec.ValidationError as error:
        named = _FIELD.search(str(error))
        raise InvalidRequest(f"the body: {error}", field=named[1] if named else "body") from None
    return made


class _NotJSON(Exception):
    """Python's json reads it, but it is not JSON."""


def _refuse_constant(_name: str) -> NoReturn:
    raise _NotJSON


def _convert(data: Mapping[str, Any], kind: type[S]) -> S:
    """An object as that type; raises `InvalidRequest` for the first field that breaks its rule."""
    fields = msgspec.structs.fields(kind)
    unknown = sorted(set(data) - {field.name for field in fields})
    if unknown:
        raise InvalidRequest(f"unknown field {unknown[0][:MAX_NAME]!r}", field=unknown[0][:MAX_NAME])
    said: dict[str, Any] = {}
    for field in fields:
        if field.name in data:
            try:
                said[field.name] = converted(data[field.name], field.type)
            except msgspec.ValidationError:
                raise _refusal(field, data[field.name]) from None
        elif field.required:
            raise InvalidRequest(f"{field.name} is required", field=field.name)
    return kind(**said)


def _refusal(field: msgspec.structs.FieldInfo, value: Any) -> InvalidRequest:
    """Why this is no value of the field."""
    rule = next(each.extra for each in get_args(field.type) if isinstance(each, Meta) and each.extra)
    inner: type[msgspec.Struct] | None = rule["each"]
    if inner is not None and isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(one, dict):
                break
            try:
                _convert(one, inner)
            except InvalidRequest as error:
                return of_whom(error, f"{field.name} {name[:MAX_NAME]!r}")
    return invalid(f"{field.name} {rule['must']}", field.name)
