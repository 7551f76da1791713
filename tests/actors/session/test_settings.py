"""The settings, and the ranges they keep to."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import Strategy
from turnkeeper.actors.session.fields import MAX_SECONDS
from turnkeeper.actors.session.settings import MAX_AGE, Settings, check_settings


def test_the_defaults_are_those_of_the_design() -> None:
    settings = Settings()
    assert settings.cancel_grace == 5
    assert settings.turn_timeout is None
    assert settings.multitask_strategy == "interrupt"
    assert settings.idle_ttl == 300
    assert (settings.kept_turns, settings.turn_retention) == (20, 3600)
    assert (settings.log_events, settings.log_bytes) == (5_000, 1 << 20)
    assert settings.subscriber_buffer == 256
    assert settings.shutdown_deadline == 10
    assert settings.contexts == 10_000
    assert (settings.conversation_messages, settings.conversation_bytes) == (1_000, 4 << 20)
    assert settings.early_cancel_ttl == 30


def test_the_strategies_are_named_where_the_setting_is_described() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
    (row,) = (line for line in page.read_text().splitlines() if line.startswith("| `multitask_strategy`"))
    described = row.split("|")[3]
    assert [strategy for strategy in Strategy if f"`{strategy}`" in described] == list(Strategy)


SPANS = ["cancel_grace", "idle_ttl", "turn_retention", "early_cancel_ttl", "shutdown_deadline"]
SPANS += ["turn_timeout", "stall_timeout", "wind_grace", "max_hold", "collapse_window", "abandon_after"]


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("span", [-0.001, -1, math.nan, math.inf, -math.inf, "5", True, [5], 1e9])
def test_a_span_that_is_none_is_refused_and_named(name: str, span: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings(**{name: span})
    assert caught.value.field == name


def test_a_timeout_of_nothing_is_refused_but_a_grace_of_nothing_is_not() -> None:
    with pytest.raises(InvalidRequest):
        Settings(turn_timeout=0)
    assert Settings(cancel_grace=0).cancel_grace == 0


@pytest.mark.parametrize(
    "name",
    [
        "kept_turns",
        "early_cancels_per_user",
        "log_events",
        "log_bytes",
        "subscriber_buffer",
        "contexts",
        "conversation_messages",
        "conversation_bytes",
        "history_sessions",
        "history_bytes",
        "history_bytes_in_all",
        "max_in_flight",
        "max_user_policies",
    ],
)
@pytest.mark.parametrize("number", [0, -1, 1.5, "5", None, True, math.nan])
def test_a_bound_that_is_no_bound_is_refused_and_named(name: str, number: Any) -> None:
    """G8."""
    with pytest.raises(InvalidRequest) as caught:
        Settings(**{name: number})
    assert caught.value.field == name


def test_a_setting_may_be_exactly_at_the_ends_of_its_range() -> None:
    """G8."""
    for span in SPANS:
        assert getattr(Settings(**{span: MAX_SECONDS}), span) == MAX_SECONDS
        with pytest.raises(InvalidRequest):
            Settings(**{span: math.nextafter(MAX_SECONDS, math.inf)})
    for bound in ("kept_turns", "unresponsive_per_session", "log_events", "log_bytes", "subscriber_buffer"):
        assert getattr(Settings(**{bound: 1}), bound) == 1


def test_history_may_be_kept_for_longer_than_anything_else() -> None:
    assert Settings().history_age is None
    assert Settings(history_age=MAX_AGE).history_age == MAX_AGE
    for age in (0, -1, math.nan, math.inf, "1", True, math.nextafter(MAX_AGE, math.inf)):
        with pytest.raises(InvalidRequest) as caught:
            Settings(history_age=age)  # type: ignore[arg-type]
        assert caught.value.field == "history_age"


@pytest.mark.parametrize("setting", ["policy_allow", "policy_deny"])
@pytest.mark.parametrize("names", ["patience", "priority strategy", 1, ["priority"]])
def test_what_a_send_may_set_is_said_by_the_names_of_fields(setting: str, names: Any) -> None:
    assert getattr(Settings(**{setting: "priority, strategy,"}), setting) == "priority, strategy,"
    with pytest.raises(InvalidRequest) as caught:
        Settings(**{setting: names})
    assert caught.value.field == setting


def test_every_setting_can_be_given_by_the_environment() -> None:
    given = {"multitask_strategy": "reject", "record": False, "durability": "full", "on_full": "drop_oldest"}
    given |= {"priority": "background", "on_disconnect": "cancel", "on_restart": "rerun"}
    given |= {
        "on_cap": "wait",
        "who_may_stop": "sender",
        "policy_allow": "priority, on_restart",
        "policy_deny": "strategy",
    }
    environ = {f"TURNKEEPER_{each.name.upper()}": str(given.get(each.name, 7)) for each in fields(Settings)}
    settings = Settings.from_environment(environ)
    for each in fields(Settings):
        assert getattr(settings, each.name) == given.get(each.name, 7)


def test_what_is_given_stands_above_the_environment_and_none_means_not_given() -> None:
    environ = {"TURNKEEPER_CANCEL_GRACE": "2", "TURNKEEPER_IDLE_TTL": "3", "PATH": "x"}
    settings = Settings.from_environment(environ, cancel_grace=1.0, idle_ttl=None)
    assert (settings.cancel_grace, settings.idle_ttl) == (1.0, 3.0)


@pytest.mark.parametrize("text", ["", "none", " None "])
def test_a_timeout_can_be_none_in_the_environment(text: str) -> None:
    assert Settings.from_environment({"TURNKEEPER_TURN_TIMEOUT": text}).turn_timeout is None


@pytest.mark.parametrize(
    ("variable", "text"),
    [("CANCEL_GRACE", "soon"), ("KEPT_TURNS", "1.5"), ("CANCEL_GRACE", ""), ("KEPT_TURNS", "many")],
)
def test_an_unreadable_variable_is_refused_and_named(variable: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"TURNKEEPER_{variable}") as caught:
        Settings.from_environment({f"TURNKEEPER_{variable}": text})
    assert caught.value.field == f"TURNKEEPER_{variable}"


@pytest.mark.parametrize(
    ("variable", "text"), [("CANCEL_GRACE", "nan"), ("CANCEL_GRACE", "-1"), ("MULTITASK_STRATEGY", "queue")]
)
def test_a_variable_out_of_its_range_is_refused(variable: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=variable.lower()):
        Settings.from_environment({f"TURNKEEPER_{variable}": text})


def test_settings_of_another_kind_are_refused_with_what_to_pass() -> None:
    check_settings(None, Settings)
    check_settings(Settings(), Settings)
    with pytest.raises(InvalidRequest, match=r"settings are a dict: pass Settings\(\*\*settings\)") as caught:
        check_settings({"cancel_grace": 1}, Settings)
    assert caught.value.field == "settings"
    with pytest.raises(InvalidRequest, match=r"settings are a float: pass Settings\(\.\.\.\)"):
        check_settings(1.0, Settings)


def test_the_limits_of_a_session_come_from_the_settings() -> None:
    limits = Settings(kept_turns=3, turn_retention=4, early_cancel_ttl=5).limits
    assert (limits.kept_turns, limits.turn_retention, limits.early_cancel_ttl) == (3, 4, 5)
