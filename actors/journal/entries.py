"""What a session's log consists of: one entry for each durable fact. Data only.

Entries are written as JSON and read again by later versions: a field may be added with a default, and none
may change its meaning or go. What is `None` or has its default is left out. Every moment is in Unix seconds.

Agents' events are entries too. The events of turnkeeper's own are not: replay makes `turn.started` from
`Started`, `turn.interrupted` from `AttemptEnded`, and the event that ends a turn from `Ended`.
"""

from typing import Any, Final, TypeAlias

import msgspec

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Extras,
    LateEnd,
    Reason,
    SessionId,
    TurnError,
    TurnHead,
    TurnId,
    TurnSpec,
)
from turnkeeper.actors.model.words import Place, Rollback, TurnStatus


class _Entry(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """What all entries have in common: how they are written."""


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One accepted message and how its turn is to be run, as far as another process can use it.

    ``message`` may be given as JSON (`msgspec.Raw`), and is what that says when the entry is read.
    """

    head: TurnHead
    message: Any
    grace: float
    timeout: float | None = None
    size: int = 0


def written_message(message: Any) -> Any:
    """A message as an entry has it. Raises `EventNotJson` for one that JSON cannot say."""
    if type(message) is str and message.isascii():
        return message
    # Not by the encoder of entries: that says null where it should refuse, and refuses what events show.
    return msgspec.Raw(to_json(message).encode())


def spec_of(turn: TurnSpec) -> Spec:
    """A turn's spec without what is of this process: where its sender waits, and its options.

    Raises `EventNotJson` for a message that JSON cannot say.
    """
    return Spec(turn.head, written_message(turn.message), turn.grace, turn.timeout, turn.size)


def turn_spec(spec: Spec, session_id: SessionId) -> TurnSpec:
    """The same as the spec of a turn again."""
    return TurnSpec(spec.head, session_id, read(spec.message), spec.timeout, spec.grace, size=spec.size)


class Opened(_Entry, frozen=True, tag="opened"):
    """A send opened the session: the first entry of every log."""

    owner: str
    at: float


class Titled(_Entry, frozen=True, tag="titled"):
    """The session has this title from now on. It does not move the head."""

    title: str


class Accepted(_Entry, frozen=True, tag="accepted"):
    """A turn waits for the session, at that ``place``; ``at`` is since when.

    The last one there, or, of those that wait for a moment, by the moment ``not_before``.
    """

    spec: Spec
    at: float
    place: Place = Place.FRONT
    not_before: float | None = None


class Placed(_Entry, frozen=True, tag="placed"):
    """A turn that waits does so at another place: the ``first`` or the last one there.

    ``not_before`` is as in `Accepted`.
    """

    turn_id: TurnId
    place: Place
    first: bool = False
    not_before: float | None = None


class Edited(_Entry, frozen=True, tag="edited"):
    """The message of a turn that waits is another one, made up of ``joined`` that were sent.

    ``by`` is who edited it; ``None`` if another message has joined it. ``message`` and ``size`` are as in
    `Spec`. The turn's fingerprint stays that of the message first sent.
    """

    turn_id: TurnId
    message: Any
    size: int = 0
    joined: int = 1
    by: str | None = None


class Started(_Entry, frozen=True, tag="started"):
    """A turn, or another attempt of it, holds the session from now on.

    ``spec`` is that of a turn that did not have to wait: of the others the log has it already.
    """

    turn_id: TurnId
    epoch: Epoch
    at: float
    spec: Spec | None = None
    attempt: int = 1


class Events(_Entry, frozen=True, tag="events"):
    """What an agent emitted: names and data, the first of which has the number ``n``.

    It does not move the head.
    """

    epoch: Epoch
    n: int
    events: tuple[tuple[str, msgspec.Raw], ...]


class CancelAsked(_Entry, frozen=True, tag="cancel_asked"):
    """The turn that holds the session was asked to stop. Never for a shutdown."""

    turn_id: TurnId
    reason: Reason
    at: float


class UndoAsked(_Entry, frozen=True, tag="undo_asked"):
    """The turn that holds the session, and was asked to stop, is to be undone: no change of it is kept."""

    turn_id: TurnId
    at: float


class EarlyCancel(_Entry, frozen=True, tag="early_cancel"):
    """A cancel came before its send; ``asker`` is a user who may not stop every turn."""

    turn_id: TurnId
    reason: Reason
    at: float
    asker: str | None = None


class Ended(_Entry, frozen=True, tag="ended"):
    """A turn has ended, with what it left of the conversation.

    ``n`` is the number of the event that ends it, in ``epoch`` if that is not the one in which it started; a
    turn that never started has no number. ``head`` is that of a turn of which the log knows nothing else.
    ``kept`` is, for an interrupted one, the id of its last event that is in the log. ``result`` is what it
    returned, as JSON; ``result_size`` is about how many bytes of memory that takes, and with
    ``result_left_out`` its record does not have it.
    ``keep`` messages of the conversation are left, counted from the very first one, and ``add`` come after
    them; ``None`` for a turn that left the messages alone. ``data`` is the context's, if it was changed.
    All three may be given as JSON (`msgspec.Raw`), and are what that says when the entry is read.
    ``merged_into`` is the turn that its message has joined.
    ``rollback`` is how far it was undone, if it was, and ``extras`` as in its record.
    """

    turn_id: TurnId
    status: TurnStatus
    at: float
    n: int | None = None
    epoch: Epoch | None = None
    kept: str | None = None
    head: TurnHead | None = None
    first_event_at: float | None = None
    cancellation: Cancellation | None = None
    error: TurnError | None = None
    superseded_by: TurnId | None = None
    began: bool | None = None
    result: Any = None
    result_size: int = 0
    result_left_out: bool = False
    keep: int | None = None
    add: Any = None
    data: Any = None
    merged_into: TurnId | None = None
    rollback: Rollback | None = None
    extras: Extras | None = None


class AttemptEnded(_Entry, frozen=True, tag="attempt_ended"):
    """The process that ran a turn is gone, or is going, and the turn will be tried again.

    Its event is ``<epoch>-0``, of an epoch of its own. ``kept`` is the id of the last event of the attempt
    that is in the log; ``from_start``: the next attempt says everything again.
    """

    turn_id: TurnId
    epoch: Epoch
    at: float
    kept: str | None = None
    from_start: bool = False


class EndedLate(_Entry, frozen=True, tag="ended_late"):
    """The coroutine of an unresponsive turn has ended after all."""

    turn_id: TurnId
    late: LateEnd


class SessionClosed(_Entry, frozen=True, tag="session_closed"):
    """No turn will run in the session any more, and its conversation is gone. Never for a shutdown."""

    reason: Reason
    at: float


Entry: TypeAlias = (
    Opened
    | Titled
    | Accepted
    | Placed
    | Edited
    | Started
    | Events
    | CancelAsked
    | UndoAsked
    | EarlyCancel
    | Ended
    | AttemptEnded
    | EndedLate
    | SessionClosed
)
#: The entries on which no decision depends.
BESIDE: Final = (Titled, Events)

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


def read(said: Any) -> Any:
    """What an entry says in one of its fields that may be given as JSON."""
    return msgspec.json.decode(said) if type(said) is msgspec.Raw else said


def encode(entry: Entry) -> bytes:
    """An entry as JSON."""
    return _encoder.encode(entry)


def decode(text: bytes | str) -> Entry:
    """The entry of that JSON. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    entry: Entry = _decoder.decode(text)
    return entry
