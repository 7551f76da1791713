"""How turns are let in, and how that goes, as tables. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from turnkeeper.web.command.tables import Table

#: The members of the answer that are no settings.
_NO_SETTINGS = ("status", "agents", "users", "now")


def caps_table(found: Mapping[str, Any]) -> Table:
    """What is said by default, then of each agent and user."""
    rows = [(name, _shown(value), "") for name, value in found.items() if name not in _NO_SETTINGS]
    for kind in ("agents", "users"):
        for name, said in found[kind].items():
            rows += [
                (field, _shown(value), f"{kind.removesuffix('s')} {name}") for field, value in said.items()
            ]
    return Table(("SETTING", "VALUE", "OF"), rows)


def now_table(now: Mapping[str, Any]) -> Table:
    """How many turns are in flight and wait, and of whom."""
    return Table(("NOW", "HOW MANY"), [(what, f"{number:,}") for what, number in _numbers(now)])


def _numbers(now: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield "turns in flight", now["in_flight"]
    for agent, number in now["in_flight_of_agents"].items():
        yield f"of the agent {agent}", number
    yield "active users", now["active_users"]
    yield "share of each", now["share"]
    yield "turns that wait", now["waiting"]
    for lane, by_cap in now["waiting_by_lane"].items():
        for waits_for, number in by_cap.items():
            yield f"{lane}, for the {waits_for}", number


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
