"""Where events go without their reader's task: a connection that has nothing else left to write."""

from typing import Protocol, TypeAlias

from .event import Event
from .log import EventLog


class Encode(Protocol):
    """Writes events as the bytes that a connection carries."""

    def __call__(self, events: list[Event], /) -> bytes:
        """The bytes."""
        ...


#: What was encoded in a pass over the readers, for all that stand at the same position and encode alike.
Encoded: TypeAlias = dict[tuple[int, Encode], bytes]


class Outlet(Protocol):
    """A connection that can be written to without waiting."""

    @property
    def encode(self) -> Encode:
        """How events are written to it: the same function for all that carry the same bytes."""
        ...

    def write(self, data: bytes, /) -> bool:
        """Write all of it now, if that takes no waiting. False if nothing of it was written."""
        ...


def push(outlet: Outlet, log: EventLog, position: int, head: int, encoded: Encoded) -> bool:
    """Write the events from ``position`` up to ``head``. False if nothing was written. Raises nothing."""
    if position < log.first:
        return False
    key = (position, outlet.encode)
    try:
        data = encoded.get(key)
        if data is None:
            data = encoded[key] = outlet.encode(log.read(position, head - position))
        return outlet.write(data)
    except Exception:  # noqa: BLE001
        return False  # the reader's task meets the same error, and ends its stream with it
