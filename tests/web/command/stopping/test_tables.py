"""The turns of a bulk cancel as a table."""

from typing import Any

import pytest

from turnkeeper.web.command.stopping.tables import found_table, outcome, outcomes_table


def turn(session: str, verdict: str | None = None, took: float | None = None, **more: Any) -> dict[str, Any]:
    return {
        "log_id": session,
        "task_id": f"t-{session}",
        "user": "ada",
        "agent": "coder",
        "task_status": "running",
        "verdict": verdict,
        "settled_after_ms": took,
        **more,
    }


def test_turns_that_would_be_stopped_are_shown_with_their_state() -> None:
    text = found_table([turn("a"), turn("b-long", task_status="queued")], 200).text()
    assert text.splitlines() == [
        "SESSION  USER  AGENT  TASK      STATE",
        "a        ada   coder  t-a       running",
        "b-long   ada   coder  t-b-long  queued",
    ]


def test_a_narrow_terminal_has_the_outcome_and_fewer_columns() -> None:
    turns = [turn("a", "cancelled", 3.14), turn("b", "unresponsive", 5000.0)]
    assert outcomes_table(turns, 30).text().splitlines() == [
        "SESSION  OUTCOME",
        "a        cancelled after 3.1 ms",
        "b        unresponsive after 5000 ms",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (turn("a", "finished_first", 2.0), "finished first after 2.0 ms"),
        (
            turn("a", "unresponsive", 2.0, still_running={"threads": 2}),
            "unresponsive after 2.0 ms; 2 threads still run",
        ),
        (turn("a", "requested"), "requested"),
        (turn("a", "not_running"), "not running"),
        (turn("a"), "had ended before"),
        (turn("a", error="SESSION_LOST"), "SESSION_LOST"),
        (turn("a", "of_a_later_server"), "of a later server"),
    ],
)
def test_an_outcome_is_said_in_words(found: dict[str, Any], words: str) -> None:
    assert outcome(found) == words
