"""How turns are let in, as tables."""

from turnkeeper.web.command.admitting.tables import caps_table, now_table

NOW = {
    "in_flight": 20,
    "in_flight_of_agents": {"coder": 20},
    "active_users": 5,
    "share": 4.0,
    "waiting": 1037,
    "waiting_by_lane": {"normal": {"user_cap": 1037}},
}


def test_what_holds_for_all_stands_first_and_what_is_said_of_one_says_of_whom() -> None:
    found = {
        "status": "ok",
        "max_in_flight_in_all": 10_000,
        "max_of_agent": None,
        "agents": {"coder": {"max_of_agent": 20}},
        "users": {"ada": {"priority": "background"}},
        "now": NOW,
    }
    assert [*caps_table(found).rows] == [
        ("max_in_flight_in_all", "10,000", ""),
        ("max_of_agent", "none", ""),
        ("max_of_agent", "20", "agent coder"),
        ("priority", "background", "user ada"),
    ]


def test_what_goes_on_is_counted() -> None:
    assert [*now_table(NOW).rows] == [
        ("turns in flight", "20"),
        ("of the agent coder", "20"),
        ("active users", "5"),
        ("share of each", "4.0"),
        ("turns that wait", "1,037"),
        ("normal, for the user_cap", "1,037"),
    ]
