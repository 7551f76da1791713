"""The policy of a turn, and what a log has of it."""

import msgspec

from turnkeeper.actors.model.policy import STANDARD, Decided, Mark, Policy, policy_of
from turnkeeper.actors.model.words import Layer, Strategy


def test_a_field_without_a_mark_was_decided_by_the_settings() -> None:
    policy = policy_of({"cancel_grace": 2.0}, (Mark("strategy", Layer.AGENT, "coder"),))
    assert policy.decided("cancel_grace") == Decided(2.0, Layer.DEFAULT, None, None)
    assert policy.decided("strategy") == Decided(Strategy.INTERRUPT, Layer.AGENT, "coder", None)


def test_what_was_capped_is_listed() -> None:
    marks = (Mark("turn_timeout", Layer.AGENT, "coder", 600.0), Mark("priority", Layer.USER, "ada"))
    policy = policy_of({"turn_timeout": 60.0}, marks)
    assert policy.capped == {"turn_timeout": Decided(60.0, Layer.AGENT, "coder", 600.0)}
    assert STANDARD.capped == {}


def test_a_log_has_only_what_differs_from_the_standard() -> None:
    values = {"cancel_grace": float("5"), "queue_limit": 3, "turn_timeout": None}
    policy = policy_of(values, (Mark("queue_limit", Layer.USER, "ada"),))
    text = msgspec.json.encode(policy)
    assert text == b'{"queue_limit":3,"marks":[{"field":"queue_limit","layer":"user","name":"ada"}]}'
    assert msgspec.json.decode(text, type=Policy) == policy


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    text = b'{"queue_limit":3,"patience":7,"marks":[{"field":"patience","layer":"user","mood":"good"}]}'
    policy = msgspec.json.decode(text, type=Policy)
    assert policy.queue_limit == 3
    assert policy.decided("queue_limit").layer is Layer.DEFAULT
