"""How a turn is run, field by field, and which layer decided each. Data only."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .value import value
from .words import Layer, OnCap, OnDisconnect, OnFull, OnRestart, Priority, Strategy, WhoMayStop


class Decided(NamedTuple):
    """What holds of one field, and the layer that decided it, with the agent's or user's name.

    ``capped`` is what the send asked for, if that was wider than what the host says.
    """

    value: Any
    layer: Layer
    name: str | None = None
    capped: float | None = None


@value
class Mark:
    """Which layer decided ``field``, if not the settings; and ``capped``, as in `Decided`."""

    field: str
    layer: Layer
    name: str | None = None
    capped: float | None = None


@value
class Policy:
    """How a turn is run, fixed when it is sent. Each field is described at the setting of its name.

    A log has only what differs from what stands here: this never changes, whatever the settings' defaults do.
    """

    strategy: Strategy = Strategy.INTERRUPT
    cancel_grace: float = 5.0
    turn_timeout: float | None = None
    stall_timeout: float | None = None
    wind_grace: float = 5.0
    max_hold: float = 30.0
    queue_limit: int = 32
    on_full: OnFull = OnFull.REJECT
    collapse_parts: int = 20
    collapse_window: float = 0.0
    on_cap: OnCap = OnCap.REFUSE
    max_in_flight: int = 32
    max_of_agent: int | None = None
    priority: Priority = Priority.NORMAL
    max_events: int | None = None
    max_event_bytes: int | None = None
    max_tokens: int | None = None
    on_disconnect: OnDisconnect = OnDisconnect.CONTINUE
    abandon_after: float = 30.0
    on_restart: OnRestart = OnRestart.INTERRUPT
    who_may_stop: WhoMayStop = WhoMayStop.OWNER
    marks: tuple[Mark, ...] = ()

    def decided(self, field: str) -> Decided:
        """The value of a field, and the layer that decided it."""
        for mark in self.marks:
            if mark.field == field:
                return Decided(getattr(self, field), mark.layer, mark.name, mark.capped)
        return Decided(getattr(self, field), Layer.DEFAULT)

    @property
    def capped(self) -> dict[str, Decided]:
        """The fields in which the send got less than it asked for."""
        return {mark.field: self.decided(mark.field) for mark in self.marks if mark.capped is not None}


#: What holds where no layer says anything else, and of turns of which a log says nothing.
STANDARD: Final = Policy()


def policy_of(values: Mapping[str, Any], marks: tuple[Mark, ...]) -> Policy:
    """The policy with these values, such that a log need say little of it."""
    # What has its default is left out of JSON only if it is that very object.
    said = {name: each for name, each in values.items() if each != getattr(STANDARD, name)}
    return Policy(**said, marks=marks)
