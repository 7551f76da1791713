"""The ids of responses and conversations."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.model.exceptions import UnknownTurn
from turnkeeper.actors.model.ids import ID_PATTERN
from turnkeeper.actors.model.records import SessionId, TurnId, TurnRef
from turnkeeper.web.wires.openai.ids import (
    CONVERSATION,
    ONCE,
    OWN,
    is_forgotten,
    message_id,
    new_session,
    number_of,
    response_id,
    turn_of,
)

an_id = st.from_regex(re.compile(ID_PATTERN), fullmatch=True)


@given(an_id, an_id)
def test_a_response_is_one_turn(turn: str, session: str) -> None:
    ref = TurnRef(SessionId(session), TurnId(turn))
    assert turn_of(response_id(ref)) == ref


@given(st.text(max_size=20) | st.from_regex(r"resp_[a~.]*\.[a~.]*", fullmatch=True))
def test_what_is_no_id_of_a_response_is_unknown(text: str) -> None:
    try:
        ref = turn_of(text)
    except UnknownTurn:
        return
    assert response_id(ref) == text


@pytest.mark.parametrize(
    "text", ["", "resp_", "t.s", "resp_t", "resp_t.", "resp_.s", "resp_t.s~", "resp_resp_t.s.s "]
)
def test_such_as(text: str) -> None:
    with pytest.raises(UnknownTurn):
        turn_of(text)


@given(st.integers(0, 10**12 - 1), an_id)
def test_a_message_has_its_number_and_its_conversation(number: int, session: str) -> None:
    assert number_of(message_id(SessionId(session), number), SessionId(session)) == number


@pytest.mark.parametrize(
    "text",
    ["", "msg_", "msg_1", "msg_.s", "1.s", "msg_01.s", "msg_1.t", "msg_-1.s", "msg_².s", f"msg_{10**12}.s"],
)
def test_no_message_has_another_id(text: str) -> None:
    assert number_of(text, SessionId("s")) is None


def test_a_new_session_has_an_id_that_cannot_be_guessed() -> None:
    made = {new_session(CONVERSATION, "ada", None) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("conv_[0-9a-f]{32}", each) for each in made)


def test_a_users_key_stands_for_one() -> None:
    assert new_session(ONCE, "ada", "k") == new_session(ONCE, "ada", "k")
    assert len({new_session(ONCE, user, key) for user in ("ada", "bob") for key in ("k", "l")}) == 4


@pytest.mark.parametrize("key", [None, "k"])
def test_only_sessions_that_were_made_for_one_turn_are_forgotten_with_it(key: str | None) -> None:
    assert is_forgotten(new_session(ONCE, "ada", key))
    for kept in (new_session(CONVERSATION, "ada", key), new_session(OWN, "ada", key), "once_upon", "once_"):
        assert not is_forgotten(kept)
