"""The settings, and how those of one turn resolve."""

import math
from dataclasses import fields
from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest, UnknownAgent
from turnkeeper.actors.model.messages import Send, Submit
from turnkeeper.actors.model.records import Asker, SessionId, Strategy, TurnId, TurnOptions
from turnkeeper.actors.session.settings import Settings, fingerprint, resolve

AGENTS = {"default": None, "coder": None}


def resolved(settings: Settings | None = None, **said: Any) -> Submit:
    send = Send("s1", said.pop("message", "hello"), Asker("ada"), **said)
    return resolve(send, SessionId("s1"), settings or Settings(), AGENTS, "default", TurnId("new"), 7.0)


def refused(**said: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        resolved(**said)
    return caught.value


# -- Settings ---------------------------------------------------------------------------------------


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
    assert settings.early_cancel_ttl == 30


SPANS = ["cancel_grace", "idle_ttl", "turn_retention", "early_cancel_ttl", "shutdown_deadline"]
SPANS += ["turn_timeout"]


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
    ["kept_turns", "early_cancels_per_user", "log_events", "log_bytes", "subscriber_buffer", "contexts"],
)
@pytest.mark.parametrize("number", [0, -1, 1.5, "5", None, True, math.nan])
def test_a_bound_that_is_no_bound_is_refused_and_named(name: str, number: Any) -> None:
    """G8."""
    with pytest.raises(InvalidRequest) as caught:
        Settings(**{name: number})
    assert caught.value.field == name


def test_every_setting_can_be_given_by_the_environment() -> None:
    words = {"multitask_strategy": "reject"}
    environ = {f"TURNKEEPER_{each.name.upper()}": words.get(each.name, "7") for each in fields(Settings)}
    settings = Settings.from_environment(environ)
    for each in fields(Settings):
        assert getattr(settings, each.name) == words.get(each.name, 7)


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


def test_the_limits_of_a_session_come_from_the_settings() -> None:
    limits = Settings(kept_turns=3, turn_retention=4, early_cancel_ttl=5).limits
    assert (limits.kept_turns, limits.turn_retention, limits.early_cancel_ttl) == (3, 4, 5)


# -- A send -----------------------------------------------------------------------------------------


def test_what_a_send_leaves_open_the_settings_say() -> None:
    submit = resolved(Settings(turn_timeout=60, cancel_grace=2, multitask_strategy="reject"))
    spec = submit.spec
    assert (spec.session_id, spec.turn_id, spec.message, spec.user) == ("s1", "new", "hello", "ada")
    assert (spec.agent, spec.submitted_at, spec.timeout, spec.grace) == ("default", 7.0, 60, 2)
    assert submit.strategy is Strategy.REJECT
    assert submit.wait
    assert spec.fingerprint is None


def test_what_a_send_says_stands_above_the_settings() -> None:
    options = TurnOptions(max_iterations=3)
    submit = resolved(
        Settings(turn_timeout=60, multitask_strategy="reject"),
        agent="coder",
        strategy="interrupt",
        turn_id="mine",
        timeout=1,
        wait=False,
        options=options,
        if_match="other",
    )
    spec = submit.spec
    assert (spec.agent, spec.turn_id, spec.timeout, spec.options) == ("coder", "mine", 1.0, options)
    assert (submit.strategy, submit.wait, submit.if_match) == (Strategy.INTERRUPT, False, "other")


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "5", True, [], 1e12])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    assert refused(timeout=timeout).field == "timeout"


@pytest.mark.parametrize("strategy", ["", "queue", "INTERRUPT", 1, [], {}, object()])
def test_an_unknown_strategy_is_refused_and_the_known_ones_told(strategy: Any) -> None:
    error = refused(strategy=strategy)
    assert error.field == "multitask_strategy"
    assert "interrupt, reject" in str(error)


@pytest.mark.parametrize("agent", ["", "nobody", "Default", 1, [], {}, object(), "x" * 100_000])
def test_an_unknown_agent_is_refused(agent: Any) -> None:
    with pytest.raises(UnknownAgent) as caught:
        resolved(agent=agent)
    assert caught.value.code == "UNKNOWN_AGENT"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("turn_id", ["", "a b", "events", 1, [], "x" * 201])
def test_a_turn_id_that_breaks_the_rule_is_refused(turn_id: Any) -> None:
    assert refused(turn_id=turn_id).field == "turn_id"


# -- Fingerprints -----------------------------------------------------------------------------------


def test_the_same_message_has_the_same_fingerprint_in_whatever_order_its_keys_stand() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint("hello") == fingerprint("hello")


@pytest.mark.parametrize("other", ["hello ", ["hello"], None, {"text": "hello"}, "hell\u00f6", "\ud800", 1])
def test_another_message_has_another_fingerprint(other: Any) -> None:
    assert fingerprint("hello") != fingerprint(other)


def test_the_agent_is_part_of_what_a_turn_id_stands_for() -> None:
    one, two = resolved(turn_id="t").spec, resolved(turn_id="t", agent="coder").spec
    assert one.fingerprint != two.fingerprint


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("message", [nested(100_000), {("a", "b"): 1}], ids=["deep", "odd keys"])
def test_a_message_that_cannot_be_told_from_another_takes_no_turn_id_of_the_clients(message: Any) -> None:
    assert refused(message=message, turn_id="t").field == "message"
    assert resolved(message=message).spec.message is message


def test_a_message_whose_repr_raises_takes_no_turn_id_of_the_clients() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise KeyError("odd")

    assert refused(message=Odd(), turn_id="t").field == "message"
