import re
from dataclasses import replace

from turnkeeper.web.audit.judging.faults import Fault, Finding
from turnkeeper.web.audit.judging.judge import Judgement
from turnkeeper.web.audit.log import Inside
from turnkeeper.web.audit.report import as_json, as_table, rows

PLAIN = Judgement(
    findings=(), sends=1, stops=0, answers=0, late_stops=0, whole=0, streams=0, requests=1, in_sessions=1,
    unmarked=0,
    generated=5, seen=5, refused_while_busy=0, silence=(),
)  # fmt: skip


def test_a_report_says_with_which_status_a_send_was_refused() -> None:
    report = replace(PLAIN, findings=(Finding(Fault.REFUSED, "s", 1, status=404),))
    assert "  sends refused while nothing ran: s, message 1, answered 404" in as_table(report, "server")
    assert as_json(report)["findings"] == [
        {"fault": "refused", "session": "s", "message": 1, "count": 1, "status": 404}
    ]


def test_a_report_shows_a_dash_where_nothing_could_be_asked() -> None:
    table = as_table(PLAIN, "server")
    assert re.search(r"^tokens generated after Stop was answered +-$", table, re.MULTILINE)
    assert re.search(r"^late Stops that hit the next turn +-$", table, re.MULTILINE)
    assert re.search(r"^time from Stop to silence, p50 / p99 +-$", table, re.MULTILINE)
    assert as_json(PLAIN)["stop_to_silence_ms"] == {"p50": None, "p99": None}


def test_a_report_says_what_was_left_in_the_server_or_why_that_is_not_known() -> None:
    looked = replace(PLAIN, inside=Inside(("bash", "sleep"), 0, 1, 9))
    table = as_table(looked, "server")
    assert re.search(r"^processes that were left running +2 \(bash, sleep\)$", table, re.MULTILINE)
    assert re.search(r"^threads that went on working +0, of 9 in all, 1 before$", table, re.MULTILINE)
    assert as_json(looked)["inside"]["processes"] == ("bash", "sleep")
    dark = replace(PLAIN, not_inside="its process is another user's")
    table = as_table(dark, "server")
    assert re.search(r"^processes that were left running +-$", table, re.MULTILINE)
    assert "Not looked into the server: its process is another user's." in table
    assert as_json(dark)["inside"] is None


def test_every_fault_has_a_row_but_the_one_of_the_whole_audit() -> None:
    titles = [title for title, _ in rows(PLAIN)]
    assert {fault.value for fault in Fault} - set(titles) == {Fault.NOTHING.value}
    assert set(as_json(PLAIN)["faults"]) == {fault.name.lower() for fault in Fault}


def test_a_report_says_what_was_not_checked() -> None:
    unchecked = ("late Stops: a Stop does not name its turn",)
    assert "Not checked: late Stops: a Stop does not name its turn." in as_table(PLAIN, "server", unchecked)
    assert as_json(PLAIN, unchecked)["not_checked"] == list(unchecked)
