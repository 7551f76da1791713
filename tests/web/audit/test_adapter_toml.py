import tomllib
from pathlib import Path

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.audit.adapter import Adapter, Call, Verb
from turnkeeper.web.audit.adapter_toml import read_adapter

EXAMPLE = Path(__file__).parent.parent.parent.parent / "docs" / "examples" / "audit_plain.toml"


def test_the_example_says_what_holds_without_it_and_knows_every_entry() -> None:
    text = EXAMPLE.read_text()
    assert read_adapter(text) == read_adapter("") == Adapter()
    said = tomllib.loads(text)
    assert set(said["send"]) == {"method", "path", "body", "headers", "turn"}
    assert set(said["stop"]) == {"method", "path", "body", "headers", "field", "stopped"}
    assert set(said["stream"]) == {"method", "path", "headers", "event", "field", "cursor", "start"}


def test_an_adapter_is_read() -> None:
    adapter = read_adapter("""
        name = "mine"
        [send]
        method = "put"
        path = "/c/{session}"
        body = "{message}"
        headers = {Authorization = "Bearer x"}
        turn = "data.id"
        [stop]
        path = "/c/{session}/stop"
        body = ""
        stopped = ["halted"]
        [stop_turn]
        path = "/t/{turn}/stop"
        body = ""
        [stream]
        path = "/c/{session}/events"
        cursor = "Last-Event-ID"
    """)
    assert adapter.name == "mine"
    assert adapter.send == Verb("PUT", "/c/{session}", "{message}", {"Authorization": "Bearer x"})
    assert adapter.turn_of({"data": {"id": 7}}) == "7"
    assert adapter.stop_turn == Verb("POST", "/t/{turn}/stop", "")
    assert adapter.says_stopped(200, {"status": "halted"})
    assert not adapter.says_stopped(200, {"status": "stopped"})
    assert adapter.read("s", "5") == Call("GET", "/c/s/events", {"Last-Event-ID": "5"})
    assert adapter.read("s", "").headers == {}
    assert not adapter.chooses_turn


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not TOML"),
        ("[sned]", "unknown entry 'sned'"),
        ("send = 1", "a table"),
        ("[send]\nurl = '/x'", "unknown entry 'url'"),
        ("[send]\npath = 'x'", "must start with /"),
        ("[send]\npath = 'http://192.0.2.1/'", "must start with /"),
        ("[send]\npath = 1", "path in the adapter must be a string"),
        ("[send]\nheaders = {a = 1}", "headers"),
        ("[stop]\nstopped = 'ok'", "a list of strings"),
        ("[stop]\nstopped = 1", "a list of strings"),
        (
            "[send]\npath = '/c/{sesion}'",
            r"\[send\] .* \{sesion\}; it may have \{message\}, \{session\}, \{turn\}$",
        ),
        ("[send]\nbody = '{msg}'", r"unknown placeholder \{msg\}"),
        ("[send]\nheaders = {a = '{who}'}", r"unknown placeholder \{who\}"),
        ("[stop]\npath = '/stop/{turn}'", r"\[stop\] .* \{turn\}; it may have \{session\}$"),
        ("[stop_turn]\nbody = '{message}'", r"\[stop_turn\] .* \{message\}; .* \{session\}, \{turn\}$"),
        ("[stream]\npath = '/{turn}'", r"\[stream\] .* \{turn\}"),
    ],
)
def test_an_adapter_that_says_something_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_adapter(text)
