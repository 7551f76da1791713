from tests.web.command.fake_terminal import ACTIVE, NOW
from turnkeeper.web.command.tables import (
    PS_COLUMNS,
    SESSIONS_COLUMNS,
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


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    assert [len(turns_table(ACTIVE, width, NOW).columns) for width in (10, 20, 40, 56, 72, 88)] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip


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
