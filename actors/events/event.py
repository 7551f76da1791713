"""One thing a session published, and the names that are turnkeeper's own."""

import json
from typing import Any, Final, TypeAlias, assert_never

import msgspec

from turnkeeper.actors.model.exceptions import ReservedEvent
from turnkeeper.actors.model.messages import QueuedTurn, SessionView, TurnEnd
from turnkeeper.actors.model.records import Epoch, Returned, TurnId, TurnRecord, TurnSpec
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.word import Word, word
from turnkeeper.actors.model.words import TERMINAL, StreamEnd, TurnStatus

from .shown import SURELY_SHOWN, shown
from .wire import (
    completed_data,
    edited_data,
    gap_data,
    interrupted_data,
    places_data,
    snapshot_data,
    started_data,
    to_json,
    turn_data,
)


class EventName(Word):
    """The names of turnkeeper's own events; the first three are about the stream itself."""

    SNAPSHOT = word(
        "snapshot", "the session as it stands; `cursor` is where to go on if the stream breaks now"
    )
    GAP = word("gap", "the cursor cannot be continued from; `min_available` is the oldest id that is kept")
    CLOSE = word(
        "close", "the stream ends, or was to stay open and a turn was cancelled; a bare text, not JSON"
    )
    QUEUED = word(
        "turn.queued", "a turn begins to wait: for the one before it to settle, for a moment, or for a slot"
    )
    PLACES = word("turn.places", "the turns that wait have changed, or their order")
    EDITED = word(
        "turn.edited", "a turn that waits says something else: `message`, as the user `by` wrote it"
    )
    STARTED = word("turn.started", "a turn holds the session")
    COMPLETED = word("turn.completed", "the turn ended as `completed`; `result` is `null` if it is not JSON")
    FAILED = word("turn.failed", "the turn ended as `failed`")
    CANCELLED = word("turn.cancelled", "the turn ended as `cancelled`")
    TIMED_OUT = word("turn.timed_out", "the turn ended as `timed_out`")
    INTERRUPTED = word(
        "turn.interrupted",
        "the turn ended as `interrupted`, or with `will_continue` was cut off and will be started again",
    )
    UNRESPONSIVE = word("turn.unresponsive", "the turn ended as `unresponsive`")
    TOOL_CALL = word("turn.tool_call", "the turn has called a tool: `id` is the model's for the call")
    TOOL_RESULT = word("turn.tool_result", "a call of a tool has ended, after `ms`; `outcome` says how")
    MERGED = word("turn.merged", "the turn ended as `merged`: the turn `merged_into` has its message")


# Looked up once: on Python 3.11 each lookup on an enum costs 0.1 us, and every turn passes here.
SNAPSHOT: Final[str] = EventName.SNAPSHOT
GAP: Final[str] = EventName.GAP
CLOSE: Final[str] = EventName.CLOSE
QUEUED: Final[str] = EventName.QUEUED
PLACES: Final[str] = EventName.PLACES
EDITED: Final[str] = EventName.EDITED
STARTED: Final[str] = EventName.STARTED
INTERRUPTED: Final[str] = EventName.INTERRUPTED
TOOL_CALL: Final[str] = EventName.TOOL_CALL
TOOL_RESULT: Final[str] = EventName.TOOL_RESULT
#: The events whose data is plain text; that of all others is JSON.
_PLAIN: Final[frozenset[str]] = frozenset({CLOSE})


def _end_name(status: TurnStatus) -> EventName:
    match status:
        case TurnStatus.COMPLETED:
            return EventName.COMPLETED
        case TurnStatus.FAILED:
            return EventName.FAILED
        case TurnStatus.CANCELLED:
            return EventName.CANCELLED
        case TurnStatus.TIMED_OUT:
            return EventName.TIMED_OUT
        case TurnStatus.INTERRUPTED:
            return EventName.INTERRUPTED
        case TurnStatus.UNRESPONSIVE:
            return EventName.UNRESPONSIVE
        case TurnStatus.MERGED:
            return EventName.MERGED
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"no event ends a turn that is {status}")
        case _:
            assert_never(status)


#: The name of the event that ends a turn, by the turn's terminal status.
END_NAMES: Final = {status: _end_name(status) for status in TERMINAL}

_ENDINGS: Final[frozenset[str]] = frozenset(END_NAMES.values())

#: An agent cannot emit a name that begins like this, whether or not there is such an event.
RESERVED_PREFIX = "turn."
RESERVED_NAMES = frozenset(EventName)
MAX_NAME = 200


#: Names that were found to be good, as every token's is: at most so many.
_good: set[str] = set()
_MOST_GOOD = 1_000


def check_name(name: Any) -> None:
    """Raise `ReservedEvent` for a name that is ours, or that a stream cannot carry."""
    if type(name) is str and name in _good:
        return
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ReservedEvent(f"an event name has 1 to {MAX_NAME} printable characters")
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX):
        raise ReservedEvent(f"{name!r} is an event of turnkeeper's own")
    if type(name) is str and len(_good) < _MOST_GOOD:
        _good.add(name)


@value
class CutOff:
    """A turn was cut off; ``kept`` is the id of the last event before this one that is in the log.

    ``from_start``: its next attempt says everything again.
    """

    turn: TurnRecord
    kept: str | None
    from_start: bool = False

    @property
    def will_continue(self) -> bool:
        """Whether the turn will be started again."""
        return self.turn.status not in TERMINAL


#: Where an event's data comes from, if it was not written as JSON when the event was made.
Source: TypeAlias = TurnRecord | TurnSpec | TurnEnd | CutOff | None


class Event(msgspec.Struct, eq=False):
    """One thing a session published.

    ``epoch`` and ``n`` are its id (``None`` and 0 for what is about the stream itself, or about a turn
    that never started). An agent's data is written as JSON when it is emitted, ours when it is first read.

    It is a struct because a garbage collection passes over those that hold nothing but texts and numbers, as
    every token does that is kept: there may be millions.
    """

    name: str
    epoch: Epoch | None = None
    n: int = 0
    #: The data as JSON, once it is written.
    text: str | None = None
    source: Source = None
    #: About how many characters the data takes. It never changes, whatever happens to a message.
    size: int = 0
    #: An encoder may keep its bytes here, so that one event is encoded once for all readers.
    encoded: bytes | None = None

    def __post_init__(self) -> None:
        if self.text is not None:
            self.size = len(self.text)

    @property
    def id(self) -> str | None:
        """``<epoch>-<n>``, or ``None`` for an event that does not move the cursor."""
        return None if self.epoch is None else f"{self.epoch}-{self.n}"

    @property
    def turn_id(self) -> TurnId | None:
        """Which turn an event of turnkeeper's own is about; ``None`` for any other event."""
        match self.source:
            case TurnSpec() | TurnRecord():
                return self.source.turn_id
            case TurnEnd() | CutOff():
                return self.source.turn.turn_id
            case None:
                return TurnId(self.data["task_id"]) if self.name.startswith(RESERVED_PREFIX) else None

    @property
    def ends_turn(self) -> bool:
        """Whether it is the last one of its turn."""
        if self.name != INTERRUPTED:
            return self.name in _ENDINGS
        if isinstance(self.source, CutOff):
            return not self.source.will_continue
        return self.data.get("will_continue") is not True

    @property
    def attempt(self) -> int | None:
        """Of the event that a turn was started: for which time."""
        if self.name != STARTED:
            return None
        return 1 if self.source is not None else int(self.data.get("attempt", 1))

    @property
    def json(self) -> str:
        """The data as JSON text on one line."""
        if self.text is None:
            match self.source:
                case TurnSpec():
                    self.text = to_json(started_data(self.source, self.source.message))
                case TurnEnd():
                    self.text = to_json(completed_data(self.source))
                case TurnRecord():
                    self.text = to_json(turn_data(self.source))
                case CutOff(turn, kept, from_start):
                    goes_on = self.source.will_continue
                    data = interrupted_data(turn, kept, will_continue=goes_on, from_start=from_start)
                    self.text = to_json(data)
                case None:
                    self.text = "null"
        return self.text

    @property
    def data(self) -> Any:
        """The data. It is the reader's own copy: changing it changes nothing here."""
        return self.text if self.name in _PLAIN else json.loads(self.json)

    def __repr__(self) -> str:
        return f"<Event {self.id or '-'} {self.name}>"


#: A result of this type, and a text or message up to this length, is small enough to be written when it is
#: first read.
_SMALL = frozenset({bool, int, float, type(None)})
_SHORT = 1_000


def started_event(
    spec: TurnSpec, epoch: Epoch, most_of_part: int, most: int, attempt: int = 1
) -> tuple[Event, bool]:
    """The event that a turn was started, and whether its message is not shown whole (see `shown`)."""
    message = spec.message
    if attempt == 1 and type(message) is str and len(message) <= SURELY_SHOWN:
        return Event(STARTED, epoch, 0, None, spec, len(message)), False
    of_message = shown(message, most_of_part, most)
    if attempt == 1 and of_message.size <= _SHORT and not of_message.elided:
        return Event(STARTED, epoch, 0, None, spec, of_message.size), False
    # Written now: the log is not to hold what is not shown.
    text = to_json(started_data(spec, of_message.message, attempt))
    return Event(STARTED, epoch, 0, text), of_message.elided


def end_event(end: TurnEnd, n: int, max_size: int) -> tuple[Event, bool]:
    """The terminal event of a turn that was started, and whether its result was left out.

    A result that is too large to be kept becomes ``null``.
    """
    record, outcome = end.turn, end.outcome
    name = END_NAMES[record.status]
    if type(outcome) is not Returned:
        return Event(name, record.epoch, n, None, record), False
    result = outcome.result
    if result is None or type(result) in _SMALL or (type(result) is str and len(result) <= _SHORT):
        return Event(name, record.epoch, n, None, end), False
    # Written now: the agent may go on changing it, and its size counts in the log.
    text = to_json(completed_data(end))
    if len(text) <= max_size:
        return Event(name, record.epoch, n, text), False
    return Event(name, record.epoch, n, to_json({**turn_data(record), "result": None})), True


def cut_off_event(record: TurnRecord, kept: str | None, n: int = 0, *, from_start: bool = False) -> Event:
    """The event that a turn was cut off; ``kept`` and ``from_start`` are as in `CutOff`."""
    return Event(INTERRUPTED, record.epoch, n, None, CutOff(record, kept, from_start))


def snapshot_event(view: SessionView, queue: tuple[QueuedTurn, ...], cursor: str) -> Event:
    """How a session stands, for a new reader. What comes next comes after ``cursor``."""
    return Event(SNAPSHOT, text=to_json(snapshot_data(view, queue, cursor)))


def places_event(queue: tuple[QueuedTurn, ...]) -> Event:
    """Says which turns wait, and in which order."""
    return Event(PLACES, text=to_json(places_data(queue)))


def edited_event(spec: TurnSpec, by: str, most_of_part: int, most: int) -> Event:
    """Says what a turn that waits says now, and who edited it (see `shown` for large messages)."""
    of_message = shown(spec.message, most_of_part, most)
    return Event(EDITED, text=to_json(edited_data(spec.turn_id, by, of_message.message)))


#: Each `close`, by why it is written. One for all readers, so that it is encoded once.
CLOSES: Final = {end: Event(CLOSE, text=end) for end in StreamEnd}


def gap_event(since: str | None, min_available: str | None) -> Event:
    """Says that the reader missed events: its cursor, and the oldest id that is kept."""
    return Event(GAP, text=to_json(gap_data(since, min_available)))
