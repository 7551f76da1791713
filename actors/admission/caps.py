"""How many turns there may be, and how many may wait, as it is at the moment. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from turnkeeper.actors.session.settings import Settings

#: The settings that a cap begins as, each with the name of the cap.
SETTINGS: Final[Mapping[str, str]] = {
    "max_in_flight_in_all": "in_all",
    "max_waiting": "max_waiting",
    "max_waiting_in_all": "max_waiting_in_all",
    "lane_aging": "aging",
}


@dataclass(slots=True, kw_only=True)
class Caps:
    """The caps, which may change at any time: a lower one stops no turn, it only lets fewer start."""

    #: How many turns there may be.
    in_all: int
    #: How many turns this user may have when another one, of this agent, is to start.
    of_user: Callable[[str, str], int]
    #: How many turns of this agent there may be; ``None``: any number.
    of_agent: Callable[[str], int | None]
    #: How many turns of one user may wait for a slot.
    max_waiting: int
    max_waiting_in_all: int
    #: After how many seconds a turn that waits rises by one lane.
    aging: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say, which know of no single user or agent."""
        return cls(
            of_user=lambda user, agent: settings.max_in_flight,
            of_agent=lambda agent: settings.max_of_agent,
            **{cap: getattr(settings, name) for name, cap in SETTINGS.items()},
        )
