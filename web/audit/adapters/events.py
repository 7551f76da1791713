"""What the events of a stream say: text, the turn's id, how far one has read, the end. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from .verb import look_up, word_at


@dataclass(frozen=True, slots=True)
class Said:
    """What one event says."""

    text: str = ""
    data: Any = None
    """Its JSON data; ``None`` if it is none."""
    cursor: str = ""
    """Where to read on after the event; empty if its data does not say so."""
    ends: bool = False
    """Whether nothing follows."""
    begins_again: bool = False
    """Whether the reply begins again, from its first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """How to read the events of one kind of server. A field is one of their JSON data."""

    kind: str = ""
    """The field that says what an event is; empty if its name does."""
    event: str = ""
    """What those events are that carry text; empty for any."""
    field: str = "text"
    """The field with the text; empty if the data itself is the text."""
    cursor: str = ""
    """The field that says where to read on; empty if the event's id does."""
    end: tuple[str, ...] = ()
    """What the last event of a reply is, or its whole data."""
    again: str = ""
    """What the event is with which a reply begins again for a reader who comes back; empty if none does."""

    def read(self, name: str, data: str) -> Said:
        """What the event with that name and data says."""
        try:
            values = json.loads(data)
        except ValueError:
            values = None
        kind = word_at(values, self.kind) if self.kind else name
        return Said(
            text=self._text(kind, data, values),
            data=values,
            cursor=word_at(values, self.cursor),
            ends=kind in self.end or data.strip() in self.end,
            begins_again=bool(self.again) and kind == self.again,
        )

    def _text(self, kind: str, data: str, values: Any) -> str:
        if self.event and kind != self.event:
            return ""
        if not self.field:
            return data
        text = look_up(values, self.field)
        return text if isinstance(text, str) else ""
