from typing import Any

from tests.web.command.fake_terminal import ACTIVE, NOW
from turnkeeper.web.command.tables import (
    PS_COLUMNS,
    SESSIONS_COLUMNS,
    WAITING_COLUMNS,
    Table,
    sessions_table,
    settings_table,
    turns_table,
)


def test_the_longest_turn_stands_first() -> None:
    head, first, second = turns_table(ACTIVE, 1000, NOW).text().splitlines()

    assert head.split() == list(PS_COLUMNS)
    assert first.startswith("a-session")
    assert first.endswith("1d03h")
    assert second.startswith("later")
    assert second.endswith("5s")


def test_a_turn_whose_cancel_waits_for_a_step_is_held() -> None:
    _, row = turns_table({"s": {**ACTIVE["later"], "held": True}}, 1000, NOW).text().splitlines()
    assert row.endswith("5s, held")


def test_turns_stand_below_those_that_have_sent_for_them() -> None:
    def sent_by(session: str, task: str, **turn: Any) -> dict[str, Any]:
        return {**ACTIVE["later"], "parent": {"log_id": session, "task_id": task}, **turn}

    turns = {
        "root": {**ACTIVE["later"], "task_id": "t1"},
        "a": sent_by("root", "t1", task_id="t2", created_at=NOW - 900),
        "deep": sent_by("a", "t2", task_id="t3"),
        "b": sent_by("root", "t1", task_id="t4"),
        "left": sent_by("root", "an earlier one", task_id="t5"),
        "alone": sent_by("gone", "t1", task_id="t6"),
    }
    sessions = [row[0] for row in turns_table(turns, 1000, NOW).rows]
    assert sessions == ["alone", "left", "root", "└ a", "  └ deep", "└ b"]


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    assert [len(turns_table(ACTIVE, width, NOW).columns) for width in (10, 20, 40, 56, 72, 88)] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip


def test_those_who_wait_stand_behind_those_that_run_with_what_they_wait_for() -> None:
    waits = {
        "active": False, "since": NOW - 65, "task_id": "t", "user": "ada", "agent": "coder",
        "priority": "normal", "waits_for": "user_cap", "standing": {"position": 2, "waiting": 37},
    }  # fmt: skip
    table = turns_table({"waits": waits, "asked-later": {**waits, "since": NOW - 3}, **ACTIVE}, 1000, NOW)

    assert list(table.columns) == [*PS_COLUMNS, *WAITING_COLUMNS]
    assert [row[0] for row in table.rows][1:] == ["later", "waits", "asked-later"]
    assert [*table.rows[1]][5:] == ["5s", "", "", "", ""]
    assert [*table.rows[2]][5:] == ["", "1m05s", "user_cap", "normal", "2, 37 in all"]
    narrow = turns_table({"waits": waits}, 48, NOW)
    assert list(narrow.columns) == ["SESSION", "USER", "RUNS", "WAITS", "FOR"]


def test_sessions_stand_in_their_order_with_as_many_columns_as_there_is_room_for() -> None:
    sessions = [
        {"log_id": "s2", "user": "ada", "title": "Of\nthe sea", "state": "idle", "last_active_at": NOW - 9},
        {"log_id": "s1", "user": "bob", "title": None, "state": "running", "last_active_at": NOW - 1e5},
    ]
    head, first, second = sessions_table(sessions, 1000, NOW).text().splitlines()

    assert head.split() == list(SESSIONS_COLUMNS)
    assert first.split()[:5] == ["s2", "Of\\nthe", "sea", "ada", "idle"]
    assert second.split()[:3] == ["s1", "bob", "running"]
    assert [len(sessions_table(sessions, width, NOW).columns) for width in (10, 20, 40, 56, 72)] == [
        1, 2, 3, 4, 5,
    ]  # fmt: skip


def test_settings_are_shown_with_their_sources() -> None:
    assert settings_table([("port", "1", "--port")]).text() == (
        "SETTING  VALUE  FROM\n"  #
        "port     1      --port\n"
    )


def test_columns_stand_below_each_other_in_every_script() -> None:
    table = Table(("USER", "AGENT"), [("日本", "a"), ("e\u0301", "b"), ("ada\n", "c")], "four\x1b")

    assert table.text() == (
        "USER   AGENT\n"  #
        "日本   a\n"
        "e\u0301      b\n"
        "ada\\n  c\n"
        "four\\x1b\n"
    )
