"""How what a send or a cancel leaves open is filled in."""

import math
from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest, MessageTooLarge, ReadOnlyMessage, UnknownAgent
from turnkeeper.actors.model.messages import Send, Submit
from turnkeeper.actors.model.policy import Decided
from turnkeeper.actors.model.records import HOST, Asker, SessionId, TurnId, TurnOptions, TurnRef
from turnkeeper.actors.model.words import CancelCode, Layer, OnCap, Strategy
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.policy.resolve import MAX_TEXT, cancel_code, check_text, fingerprint, resolve_send
from turnkeeper.actors.policy.said import said as says
from turnkeeper.actors.session.settings import Settings

AGENTS = {name: says(Layer.AGENT, name, {}) for name in ("default", "coder")}


def resolved(settings: Settings | None = None, **said: Any) -> Submit:
    send = Send("s1", said.pop("message", "hello"), Asker("ada"), **said)
    chosen = settings or Settings()
    layers = Layers(chosen, AGENTS, {}, "default")
    return resolve_send(send, SessionId("s1"), chosen, layers, TurnId("new"), 7.0)


def refused(**said: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        resolved(**said)
    return caught.value


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
    options = TurnOptions(max_iterations=3, needed=True)
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
    assert (spec.head.needs_options, resolved().spec.head.needs_options) == (True, False)


def test_what_a_send_says_beside_its_message_stays_with_the_turn() -> None:
    assert resolved().spec.head.params_json is None
    spec = resolved(params={"temperature": 0.2, "stop": ["."]}).spec
    assert spec.head.params_json == '{"temperature":0.2,"stop":["."]}'
    assert spec.params == {"temperature": 0.2, "stop": ["."]}
    with pytest.raises(ReadOnlyMessage):
        spec.params["stop"].append("!")


def test_params_have_the_bound_that_the_settings_say() -> None:
    """G8."""
    assert resolved(Settings(max_params=7), params={"a": 1}).spec.params == {"a": 1}
    with pytest.raises(MessageTooLarge):
        resolved(Settings(max_params=6), params={"a": 1})


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "5", True, [], 1e12])
def test_a_timeout_that_is_no_span_is_refused(timeout: Any) -> None:
    assert refused(timeout=timeout).field == "timeout"


@pytest.mark.parametrize("strategy", ["", "queue", "INTERRUPT", 1, [], {}, object()])
def test_an_unknown_strategy_is_refused_and_the_known_ones_named(strategy: Any) -> None:
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


# -- A moment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ({"after": 5}, True),
        ({"after": 0}, False),
        ({"strategy": "collapse", "policy": {"collapse_window": 2}}, True),
        ({"strategy": "collapse"}, False),
        ({"policy": {"collapse_window": 2}}, False),
    ],
)
def test_a_turn_that_waits_for_a_moment_waits_for_a_slot_then(said: dict[str, Any], waits: bool) -> None:
    policy = resolved(**said).spec.policy
    decided = Decided(OnCap.WAIT, Layer.REQUEST) if waits else Decided(OnCap.REFUSE, Layer.DEFAULT)
    assert policy.decided("on_cap") == decided


def test_where_turns_wait_anyway_it_is_the_host_who_says_so() -> None:
    policy = resolved(Settings(on_cap="wait"), after=5).spec.policy
    assert policy.decided("on_cap") == Decided(OnCap.WAIT, Layer.DEFAULT)


def test_a_turn_that_another_one_sends_for_waits_for_no_slot_whatever_it_waits_for() -> None:
    parent = TurnRef(SessionId("s0"), TurnId("t0"))
    policy = resolved(parent=parent, strategy="collapse", policy={"collapse_window": 2}).spec.policy
    assert policy.on_cap is OnCap.REFUSE


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


def test_the_params_are_part_of_what_a_turn_id_stands_for() -> None:
    without, empty, one, again, other = (
        resolved(turn_id="t", params=params).spec
        for params in (None, {}, {"a": 1, "b": [2]}, {"b": (2,), "a": 1}, {"a": True, "b": [2]})
    )
    assert without.fingerprint == empty.fingerprint == fingerprint(["hello", "default"])
    assert one.fingerprint == again.fingerprint
    assert len({without.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert resolved(key="k", params={"a": 1}).spec.fingerprint != resolved(key="k").spec.fingerprint


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("message", [{"x": nested(100_000)}, {("a", "b"): 1}], ids=["deep", "odd keys"])
def test_a_message_that_cannot_be_fingerprinted_takes_no_turn_id_of_the_clients(message: Any) -> None:
    assert refused(message=message, turn_id="t").field == "message"
    assert resolved(message=message).spec.message is message


def test_a_message_whose_repr_raises_takes_no_turn_id_of_the_clients() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise KeyError("odd")

    assert refused(message=Odd(), turn_id="t").field == "message"


# -- Reasons ----------------------------------------------------------------------------------------


def test_a_text_is_returned_as_it_is_up_to_a_bound_in_bytes() -> None:
    assert check_text(None) is None
    assert check_text("\u00f6" * (MAX_TEXT // 2)) == "\u00f6" * (MAX_TEXT // 2)


@pytest.mark.parametrize(
    "text", ["\u00f6" * (MAX_TEXT // 2 + 1), "x" * (MAX_TEXT + 1), "\ud800", 1, b"text", ["text"]]
)
def test_a_text_that_no_event_could_carry_is_refused(text: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_text(text)
    assert caught.value.field == "text"


@pytest.mark.parametrize(
    ("asker", "code"),
    [
        (Asker("ada"), CancelCode.USER_REQUEST),
        (HOST, CancelCode.USER_REQUEST),
        (Asker("ada", sees_all=True), CancelCode.USER_REQUEST),
        (Asker("root", sees_all=True), CancelCode.ADMIN),
        (Asker("local", sees_all=True), CancelCode.ADMIN),
    ],
)
def test_whether_a_cancel_is_the_users_or_an_admins_depends_on_the_asker(
    asker: Asker, code: CancelCode
) -> None:
    assert cancel_code(None, asker, "ada") is code


def test_a_cancel_that_names_its_code_keeps_it() -> None:
    assert cancel_code(CancelCode.POLICY, Asker("root", sees_all=True), "ada") is CancelCode.POLICY


def test_what_comes_beside_a_message_counts() -> None:
    assert resolved().spec.size == 0
    spec = resolved(options=TurnOptions(size=100), params={"a": "b"}).spec
    assert spec.size == spec.size_besides == 100 + spec.params_size > 100
