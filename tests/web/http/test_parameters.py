import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.web.fakes_web import asking
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.web.http.parameters import (
    CLOSE_ON,
    FOLLOW,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LAST_EVENT_ID,
    LAST_EVENT_ID_QUERY,
    WAIT,
    Readable,
)


def query(text: str) -> web.Request:
    return make_mocked_request("GET", f"/{text}")


@pytest.mark.parametrize(
    ("text", "waits"),
    [("", True), ("?wait=true", True), ("?wait=1", True), ("?wait=false", False), ("?wait=0", False)],
)
def test_a_request_waits_unless_it_says_otherwise(text: str, waits: bool) -> None:
    assert WAIT.of(query(text)) is waits


@pytest.mark.parametrize("text", ["", "no", "TRUE", "2", "true%20"])
@pytest.mark.parametrize("flag", [WAIT, FOLLOW], ids=lambda flag: flag.name)
def test_a_flag_that_is_neither_is_refused(flag: Readable[bool], text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        flag.of(query(f"?{flag.name}={text}"))

    assert refused.value.field == flag.name


def test_if_match_is_one_task_id_in_quotes() -> None:
    assert IF_MATCH.of(asking()) is None
    assert IF_MATCH.of(asking(If_Match=' "t1" ')) == "t1"


@pytest.mark.parametrize("text", ["", "t1", '"', '""', '"a", "b"', 'W/"t1"', "*"])
def test_any_other_if_match_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        IF_MATCH.of(asking(If_Match=text))

    assert refused.value.field == "If-Match"


def test_a_key_is_the_same_bare_and_in_quotes() -> None:
    assert IDEMPOTENCY_KEY.of(asking()) is None
    for text, key in (
        ("k-1", "k-1"),
        ('"k-1"', "k-1"),
        (r'"a\"b\\c"', r'a"b\c'),
        (r'a"b\c', r'a"b\c'),
        ("!" * 255, "!" * 255),
        (f'"{"~" * 255}"', "~" * 255),
    ):
        assert IDEMPOTENCY_KEY.of(asking(Idempotency_Key=text)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!" * 256,
        f'"{"~" * 256}"',
        "a b",
        '"a b"',
        "\u00e4",
        '"',
        '""',
        '"a"b"',
        r'"a\b"',
        '"a" ;x',
        "a\n",
    ],
)
def test_any_other_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        IDEMPOTENCY_KEY.of(asking(Idempotency_Key=text))

    assert refused.value.field == "Idempotency-Key"


def test_a_stream_may_say_what_ends_it() -> None:
    for each in CloseOn:
        assert CLOSE_ON.of(query(f"?close_on={each}")) is each
    assert CLOSE_ON.of(query("")) is None
    for text in ("", "everything"):
        with pytest.raises(InvalidRequest) as refused:
            CLOSE_ON.of(query(f"?close_on={text}"))
        assert refused.value.field == "close_on"


def test_an_empty_cursor_is_none() -> None:
    assert LAST_EVENT_ID.of(asking(Last_Event_ID="")) is None
    assert LAST_EVENT_ID_QUERY.of(query("?last_event_id=")) is None
    assert LAST_EVENT_ID_QUERY.of(query("?last_event_id=7-1")) == "7-1"
