"""Server-Sent Events: bytes -> events, however the bytes are cut (WHATWG HTML, section 9.2). Pure."""

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

from turnkeeper.actors.events.event import CLOSE, SNAPSHOT

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a stream. ``id`` is its own, ``None`` if it carries none."""

    id: str | None
    name: str
    text: str

    @property
    def data(self) -> Any:
        """The JSON that turnkeeper's event carries; ``close`` carries a bare text. Raises `ValueError`."""
        return self.text if self.name == CLOSE else json.loads(self.text)

    @property
    def cursor(self) -> str | None:
        """Where to resume turnkeeper's stream after this event; ``None`` if it does not move the cursor."""
        return self.data.get("cursor") if self.name == SNAPSHOT else self.id


class SseParser:
    """Reads one stream. ``last_id`` is the id of the latest event that was whole, empty before the first."""

    def __init__(self) -> None:
        self.last_id = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._after_cr = False
        self._name = ""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that these bytes complete."""
        text = self._decode(data)
        if not text:
            return []
        more = text.removeprefix("\n") if self._after_cr else text  # the second half of one line's end
        self._after_cr = text.endswith("\r")
        *lines, self._rest = _LINE_END.split(self._rest + more)
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: str) -> StreamEvent | None:
        if not line:
            return self._end_event()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
            case "data":
                self._data.append(value)
            case _:
                pass  # a comment, the time to reconnect, or what a later server adds
        return None

    def _end_event(self) -> StreamEvent | None:
        event = StreamEvent(self._id, self._name or "message", "\n".join(self._data)) if self._data else None
        if self._id is not None:
            self.last_id = self._id
        self._name, self._id, self._data = "", None, []
        return event
