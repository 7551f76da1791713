"""The turns of a bulk cancel as a table. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnkeeper.web.command.outcomes import still_running_text
from turnkeeper.web.command.tables import Table, fitting
from turnkeeper.web.command.wording import ms

#: The columns, and the narrowest terminal that each is shown on.
COLUMNS = {"SESSION": 0, "USER": 40, "AGENT": 96, "TASK": 72}
#: The last column, of turns that are to be stopped, and of those that were.
STATE, OUTCOME = "STATE", "OUTCOME"


def found_table(turns: Sequence[Mapping[str, Any]], width: int) -> Table:
    """The turns that a bulk cancel would stop, and how each stands."""
    return fitting(
        {**COLUMNS, STATE: 20}, width, [{**_turn(each), STATE: each["task_status"]} for each in turns]
    )


def outcomes_table(turns: Sequence[Mapping[str, Any]], width: int) -> Table:
    """The turns of a bulk cancel, and what came of each."""
    return fitting(
        {**COLUMNS, OUTCOME: 20}, width, [{**_turn(each), OUTCOME: outcome(each)} for each in turns]
    )


def outcome(turn: Mapping[str, Any]) -> str:
    """What the cancel of one of them came to."""
    if turn["verdict"] is None:
        return str(turn.get("error", "had ended before"))
    words, took = str(turn["verdict"]).replace("_", " "), turn["settled_after_ms"]
    return words if took is None else f"{words} after {ms(took)}{still_running_text(turn)}"


def _turn(turn: Mapping[str, Any]) -> dict[str, str]:
    return {
        "SESSION": str(turn["log_id"]),
        "USER": str(turn["user"]),
        "AGENT": str(turn["agent"]),
        "TASK": str(turn["task_id"]),
    }
