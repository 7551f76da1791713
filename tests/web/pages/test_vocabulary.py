"""The page's words, held against the server's: a word that the page does not know fails here, by its name."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_type_hints

import pytest

from turnkeeper.actors.events.event import EventName
from turnkeeper.actors.events.wire import StillRunningData
from turnkeeper.actors.model.words import (
    CancelCode,
    Rollback,
    Strategy,
    StreamEnd,
    TurnStatus,
    Verdict,
    WaitsFor,
    is_terminal,
    returning,
)

FILE = "web/pages/state/vocabulary.js"
SOURCE = (Path(__file__).parent.parent.parent.parent / FILE).read_text(encoding="utf-8")


def table(name: str) -> dict[str, str]:
    """A table or list of the file: the word that begins each row, and the rest of the row."""
    found = re.search(rf"^export const {name} = [{{[]\n(.*?)^[}}\]];$", SOURCE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{FILE} has no table {name}"
    rows: dict[str, str] = {}
    for line in found[1].splitlines():
        row = re.fullmatch(r'  (?:"([^"]+)"|(\w+))(?:: (.+))?,', line)
        assert row is not None, f"{FILE}: {name} has a line that is no row: {line!r}"
        rows[row[1] or row[2]] = row[3] or ""
    return rows


def test_the_tables_are_read_as_they_stand() -> None:
    assert table("CANCEL_CODES")["user_request"] == '{ text: "Stop" }'
    assert table("STREAM_ENDS")["Session closed"] == '"never"'


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("STATUSES", TurnStatus),
        ("CANCEL_CODES", CancelCode),
        ("VERDICTS", Verdict),
        ("EVENTS", EventName),
        ("STREAM_ENDS", StreamEnd),
        ("ROLLBACKS", Rollback),
        ("WAITS_FOR", WaitsFor),
        ("WAYS", Strategy),
        ("BEGUN", get_type_hints(StillRunningData)),
    ],
)
def test_the_page_knows_every_word_of_the_servers_and_no_other(name: str, words: Iterable[str]) -> None:
    ours, theirs = set(table(name)), set(map(str, words))
    assert not theirs - ours, f"{FILE}: {name} lacks {sorted(theirs - ours)}"
    assert not ours - theirs, f"{FILE}: {name} has {sorted(ours - theirs)}, which no server says"


@pytest.mark.parametrize("status", TurnStatus)
def test_the_page_takes_exactly_the_statuses_that_have_not_ended_for_in_flight(status: TurnStatus) -> None:
    row = table("STATUSES")[status]
    assert ("inFlight: true" in row) is not is_terminal(status)
    verdict = re.search(r'verdict: "(\w+)"', row)
    assert (verdict is not None) is is_terminal(status), f"{FILE}: what a cancel came to"
    assert verdict is None or verdict[1] in {*map(str, Verdict), "timed_out"}


@pytest.mark.parametrize("end", StreamEnd)
def test_the_page_goes_on_comes_back_or_gives_up_as_the_end_says(end: StreamEnd) -> None:
    assert table("STREAM_ENDS")[end] == f'"{returning(end).value}"'
