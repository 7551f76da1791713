"""The events of a turn -> the events of its response. Pure.

Each event has a number, its ``sequence_number``, which depends on the turn alone: of a turn there is one list
of events, and a stream is what comes in it after a number. So a turn is always read from its beginning.

``response.created`` comes before anything is known of the turn: it may have to wait for its start.

A turn that is cut off by a restart goes on in new items: the one that was being written ends as it is,
incomplete, and where the next attempt says everything again, those before have no text any more in the
response. What was said just before a crash may not have been written down, and readers have seen it: so the
numbers after a cut begin beyond all that may have been before, and the end of an item says what of it counts.
"""

from collections.abc import Mapping
from typing import Any, Literal, assert_never

from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.web.wires.said import (
    CutOff,
    Data,
    Ended,
    Reasoning,
    Said,
    Started,
    Text,
    ToolCalled,
    ToolEnded,
)

from .item import MESSAGE, REASONING, Called, Item, Json, Kind, Room, Written
from .response import Identity, ending

#: By how much the numbers of an attempt are larger than those of the one before: some clients have 32 bits.
_ATTEMPT = 100_000_000
#: About how many characters an item takes beside its texts.
_ITEM = 200


class Fold:
    """The events of one response."""

    __slots__ = (
        "_called",
        "_count",
        "_cuts",
        "_failure",
        "_has_text",
        "_items",
        "_room",
        "_started",
        "_writing",
        "identity",
        "next",
        "response",
    )

    def __init__(self, identity: Identity, most: int) -> None:
        """``most`` is how many characters of its texts are kept: beyond that, its items are incomplete."""
        self.identity = identity
        self._room = Room(most)
        #: How many items there were.
        self._count = 0
        #: Those that are kept.
        self._items: list[Item] = []
        #: The one that is being written.
        self._writing: Written | None = None
        #: The calls of tools that have not ended, by the model's ids for them.
        self._called: dict[str, Called] = {}
        #: How often it was cut off.
        self._cuts = 0
        self._started = False
        #: Whether the agent has said anything in this attempt.
        self._has_text = False
        #: Why it is about to fail, as it has said itself.
        self._failure: str | None = None
        #: The number of the event that comes next.
        self.next = 0
        #: The response as it ended; ``None`` while it has not.
        self.response: Json | None = None

    def begin(self) -> list[Json]:
        """The event that comes first."""
        created = self.identity.response(TurnStatus.QUEUED)
        return self._numbered([{"type": "response.created", "response": created}])

    def take(self, said: Said) -> list[Json]:
        """The events that this is."""
        match said:
            case Started():
                events = self._start()
            case Text(text):
                self._has_text, self._failure = self._has_text or text != "", None
                events = self._write(MESSAGE, text)
            case Reasoning(text):
                events = self._write(REASONING, text)
            case ToolCalled():
                events = self._call(said)
            case ToolEnded():
                called = self._called.pop(said.id, None)
                events = [] if called is None else called.end(said)
            case CutOff(from_start):
                events = self._cut_off(from_start=from_start)
            case Ended():
                events = self._end(said)
            case Data():
                self._failure = said.failure or self._failure
                events = []
            case _:
                assert_never(said)
        return self._numbered(events)

    def _numbered(self, events: list[Json]) -> list[Json]:
        for number, event in enumerate(events, self.next):
            event["sequence_number"] = number
        self.next += len(events)
        return events

    def _start(self) -> list[Json]:
        if self._started:
            return []
        self._started = True
        response = self.identity.response(TurnStatus.RUNNING)
        return [{"type": "response.in_progress", "response": response}]

    @property
    def _suffix(self) -> str:
        """What the ids of items end with: also those that were lost before a cut had another one."""
        return f"{self._cuts}_{self.identity.suffix}" if self._cuts else self.identity.suffix

    def _write(self, kind: Kind, text: str) -> list[Json]:
        if not text:
            return []
        begun: list[Json] = []
        writing = self._writing
        if writing is None or writing.kind is not kind:
            begun = self._finish("completed")
            writing = self._writing = Written(kind, self._suffix, self._count, self._room)
            self._add(writing)
            begun += writing.begin()
        return [*begun, writing.write(text)]

    def _call(self, call: ToolCalled) -> list[Json]:
        ended = self._finish("completed")
        if (before := self._called.pop(call.id, None)) is not None:
            ended += before.end(None)
        called = Called(call, self.identity.model, self._suffix, self._count, self._room)
        self._called[call.id] = called
        self._add(called)
        return [*ended, *called.begin()]

    def _add(self, item: Item) -> None:
        self._count += 1
        if self._room.left >= 0:
            self._room.left -= _ITEM
            self._items.append(item)

    def _finish(self, status: Literal["completed", "incomplete"]) -> list[Json]:
        """End what is being written, if anything is."""
        writing, self._writing = self._writing, None
        return [] if writing is None else writing.end(status)

    def _finish_all(self, status: Literal["completed", "incomplete"]) -> list[Json]:
        """The same, and end the calls of tools of which nothing more is known."""
        events = self._finish(status)
        for called in self._called.values():
            events += called.end(None)
        self._called.clear()
        return events

    def _cut_off(self, *, from_start: bool) -> list[Json]:
        events, self._failure = self._finish_all("incomplete"), None
        self._pass_over_lost()
        if from_start:
            self._has_text = False
            for item in self._items:
                item.void()
        return events

    def _pass_over_lost(self) -> None:
        """Leave out the numbers of what readers may have seen, and a crash has lost."""
        self._cuts += 1
        self.next = max(self.next, self._cuts * _ATTEMPT)

    def _end(self, ended: Ended) -> list[Json]:
        """The end. What the agent has returned is its reply if it has said nothing else."""
        completed = ended.status is TurnStatus.COMPLETED
        reply = ended.result if completed and not self._has_text else None
        events = self._write(MESSAGE, reply) if isinstance(reply, str) else []
        events += self._finish_all("completed" if completed else "incomplete")
        if ended.status is TurnStatus.INTERRUPTED:
            self._pass_over_lost()
        self.response = self.as_of(ended.status, ended.turn)
        return [*events, {"type": ending(ended.status), "response": self.response}]

    def as_of(self, status: TurnStatus, turn: Mapping[str, Any]) -> Json:
        """The response with what it has put out so far; ``turn`` is the turn, as `turn_data` says it."""
        output = [item.item for item in self._items]
        whole = self._room.left >= 0
        return self.identity.response(status, turn, output, is_whole=whole, failure=self._failure)
