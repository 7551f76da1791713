"""Where each session of a stream goes on, as the id of an event says it."""

from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import SessionId
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.http.several.cursors import (
    MAX_CHARACTERS,
    MAX_SESSIONS,
    decode_cursors,
    encode_cursors,
    followed,
    session_ids,
)

A, B, C = map(SessionId, "abc")
#: What a server takes as a header.
MOST = 8_190


def test_what_is_written_is_read_as_it_was() -> None:
    cursors = {A: "1763842008123-4", B: "", C: "x", SessionId("d.:@-_"): "0"}
    assert decode_cursors(encode_cursors(cursors)) == cursors
    assert decode_cursors(None) == decode_cursors("") == {}


def test_those_of_the_url_are_followed_but_the_dropped_and_those_that_were_added() -> None:
    assert followed((A, B), {}) == {A: "", B: ""}
    assert followed((A, B), {A: "x", B: "7-1", C: "0"}) == {B: "7-1", C: "0"}


def test_each_session_is_named_once() -> None:
    assert session_ids("a,b,a") == (A, B)
    assert session_ids(None) == session_ids("") == ()


@pytest.mark.parametrize("text", ["a", "a=1,b", "=1", "a/b=1", ",", "a=1,"], ids=plain)
def test_what_is_no_such_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        decode_cursors(text)


@pytest.mark.parametrize(
    "sessions", [[f"s{n}" for n in range(MAX_SESSIONS + 1)], ["x" * 200 + str(n) for n in range(16)]], ids=len
)
def test_more_than_a_stream_may_follow_are_refused(sessions: Any) -> None:
    with pytest.raises(Problem) as caught:
        followed(sessions, {})
    assert caught.value.code == Code.STREAM_TOO_WIDE


def test_the_longest_id_fits_into_a_header() -> None:
    """As many as the URL may name, all dropped, and as many others in their place."""
    length = MAX_CHARACTERS // MAX_SESSIONS
    dropped = {SessionId(f"{n:0{length}}"): "x" for n in range(MAX_SESSIONS)}
    going = {SessionId(f"g{n:0{length - 1}}"): "1763842008123-1234567" for n in range(MAX_SESSIONS)}
    assert followed(tuple(dropped), {**dropped, **going}) == going
    assert len("Last-Event-ID: " + encode_cursors({**dropped, **going})) < MOST
