import re

from turnkeeper.web.audit.judge import Fault, Finding, Judgement
from turnkeeper.web.audit.report import as_json, as_table, rows


def test_a_report_says_with_which_status_a_send_was_refused() -> None:
    report = Judgement((Finding(Fault.REFUSED, "s", 1, status=404),), 1, 0, 0, 1, 0, 5, 5, 0, ())
    assert "  sends refused while nothing ran: s, message 1, answered 404" in as_table(report, "server")
    assert as_json(report)["findings"] == [
        {"fault": "refused", "session": "s", "message": 1, "count": 1, "status": 404}
    ]


def test_a_report_shows_a_dash_where_nothing_could_be_asked() -> None:
    report = Judgement((), 1, 0, 0, 1, 0, 5, 5, 0, ())
    table = as_table(report, "server")
    assert re.search(r"^late Stops that hit the next turn +-$", table, re.MULTILINE)
    assert re.search(r"^time from Stop to silence, p50 / p99 +-$", table, re.MULTILINE)
    assert as_json(report)["stop_to_silence_ms"] == {"p50": None, "p99": None}


def test_every_fault_has_a_row_but_the_one_of_the_whole_audit() -> None:
    titles = [title for title, _ in rows(Judgement((), 1, 0, 0, 1, 0, 5, 5, 0, ()))]
    assert {fault.value for fault in Fault} - set(titles) == {Fault.NOTHING.value}
    assert set(as_json(Judgement((), 1, 0, 0, 1, 0, 5, 5, 0, ()))["faults"]) == {
        fault.name.lower() for fault in Fault
    }
