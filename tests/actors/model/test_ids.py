"""The rule for session ids and turn ids."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import SessionId, TurnId

RULES = pytest.mark.parametrize(
    ("rule", "field"), [(ids.session_id, "session_id"), (ids.turn_id, "turn_id")], ids=["session", "turn"]
)


@RULES
@pytest.mark.parametrize("text", ["a", "A-1", "user@host:7", "..a", "...", "x" * 200, "0", "Events"])
def test_an_id_that_keeps_the_rule_is_taken_as_it_is(
    rule: Callable[[Any], str], field: str, text: str
) -> None:
    assert rule(text) == text


@RULES
@pytest.mark.parametrize(
    "text",
    ["", "x" * 201, "a/b", "a b", "a\n", "\na", "ä", "\u0663", "a%2Fb", "a\x00", "\ud800", "a?b", "a#b"],
)
def test_an_id_that_breaks_the_rule_is_refused_and_the_field_named(
    rule: Callable[[Any], str], field: str, text: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rule(text)
    assert caught.value.field == field
    assert caught.value.code == "INVALID_REQUEST"


@RULES
@pytest.mark.parametrize("word", sorted(ids.RESERVED_IDS))
def test_a_word_that_is_a_route_is_no_id(rule: Callable[[Any], str], field: str, word: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        rule(word)


@RULES
@pytest.mark.parametrize("thing", [None, 1, 1.5, b"a", ["a"], {"a": 1}, object()])
def test_what_is_not_a_text_is_no_id(rule: Callable[[Any], str], field: str, thing: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rule(thing)
    assert caught.value.field == field


def test_an_id_that_was_drawn_says_by_which_process() -> None:
    first, second = itertools.islice(ids.drawn_turn_ids("0123456789ab"), 2)
    assert first != second
    assert ids.drawn_by(first) == ids.drawn_by(second) == "0123456789ab"


@pytest.mark.parametrize("chosen", ["t1", "s-0123456789ab", "0123456789ab-x", "0123456789-1"])
def test_an_id_that_its_sender_chose_says_nothing(chosen: str) -> None:
    assert ids.drawn_by(ids.turn_id(chosen)) is None


# -- Keys -------------------------------------------------------------------------------------------

S1 = SessionId("s1")


def test_a_key_stands_for_the_same_turn_in_every_process() -> None:
    made = ids.keyed_turn_id("ada", S1, "k")
    assert made == "key-cc5e4660b32020fb237e66246e78a702"
    assert ids.turn_id(made) == made
    assert ids.stands_for_key(made)
    assert ids.drawn_by(made) is None


def test_another_user_session_or_key_is_another_turn() -> None:
    named = [
        ("ada", "s1", "k"),
        ("bob", "s1", "k"),
        ("ada", "s2", "k"),
        ("ada", "s1", "l"),
        ("k", "s1", "ada"),
    ]
    named += [("b ada", "s1", "k"), ("ada", "s1", "b"), ("\ud800", "s1", "k"), ("", "s1", "k")]
    made = {ids.keyed_turn_id(user, SessionId(session), key) for user, session, key in named}
    assert len(made) == len(named)


@pytest.mark.parametrize("chosen", ["key-1", "key-" + "A" * 32, "key-" + "0" * 33, "xkey-" + "0" * 32, "t1"])
def test_an_id_that_only_looks_like_it_stands_for_no_key(chosen: str) -> None:
    assert not ids.stands_for_key(TurnId(chosen))


@pytest.mark.parametrize("key", ["!", "~" * 255, '"', "\\", "8e03978e-40d5-43dd-bc93-6894a57f9324"])
def test_a_key_of_visible_characters_is_taken(key: str) -> None:
    assert ids.stands_for_key(ids.keyed_turn_id("ada", S1, key))


@pytest.mark.parametrize("key", ["", "~" * 256, "a b", "\t", "\x7f", "k\n", "\u00e4", None, 1, b"k", ["k"]])
def test_any_other_key_is_refused(key: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ids.keyed_turn_id("ada", S1, key)
    assert caught.value.field == "key"
