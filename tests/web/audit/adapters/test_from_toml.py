import tomllib
from pathlib import Path

import pytest

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.audit.adapters.adapter import Adapter, HangUp, Opening, Stop
from turnkeeper.web.audit.adapters.events import Events
from turnkeeper.web.audit.adapters.from_toml import read_adapter
from turnkeeper.web.audit.adapters.verb import Call, Verb

EXAMPLE = Path(__file__).parent.parent.parent.parent.parent / "docs" / "examples" / "audit_plain.toml"


def test_the_example_says_what_holds_without_it_and_knows_every_entry_of_a_plain_server() -> None:
    text = EXAMPLE.read_text()
    assert read_adapter(text) == read_adapter("") == Adapter()
    said = tomllib.loads(text)
    assert set(said["send"]) == {"method", "path", "body", "headers", "turn"}
    assert set(said["stop"]) == {"method", "path", "body", "headers", "field", "stopped"}
    assert set(said["stream"]) == {"method", "path", "headers", "kind", "event", "field"} | {
        "cursor",
        "start",
    }


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
    stop, stop_turn = Verb("POST", "/c/{session}/stop", ""), Verb("POST", "/t/{turn}/stop", "")
    assert adapter.stop == Stop(request=stop, words=("halted",))
    assert adapter.stop_turn == Stop(request=stop_turn, words=("halted",)), "answered alike"
    assert adapter.read("s", "5") == Call("GET", "/c/s/events", {"Last-Event-ID": "5"})
    assert adapter.read("s", "").headers == {}
    assert not adapter.chooses_turn


STREAM = "[send]\nstream = true\n"


def test_an_adapter_whose_answer_is_the_stream_is_read() -> None:
    adapter = read_adapter(
        """
        [open]
        path = "/conversations"
        body = "{}"
        session = "id"
        [send]
        path = "/responses"
        body = '{"model": "{model}", "in": "{session}", "text": "{message}"}'
        stream = true
        turn = "response.id"
        [stop_turn]
        path = "/responses/{turn}/cancel"
        body = ""
        stopped = ["cancelled"]
        [stream]
        path = "/responses/{turn}?after={cursor}"
        cursor_field = "n"
        start = "-1"
        kind = "type"
        event = "text"
        field = "delta"
        end = ["done"]
        again = "start"
        """,
        model="m",
    )
    assert adapter.answers_with_stream
    assert adapter.opening == Opening(Verb("POST", "/conversations", "{}"), "id")
    sent = adapter.send.fill(session="s", message="hi")
    assert sent.body == b'{"model": "m", "in": "s", "text": "hi"}'
    assert adapter.turn_of({"response": {"id": "t"}}) == "t"
    assert adapter.stop is None
    assert adapter.stop_turn == Stop(request=Verb("POST", "/responses/{turn}/cancel"), words=("cancelled",))
    assert adapter.read("s", "", turn="t") == Call("GET", "/responses/t?after=-1", {})
    assert adapter.events == Events(
        kind="type", event="text", field="delta", cursor="n", end=("done",), again="start"
    )


def test_a_reply_that_is_stopped_by_hanging_up_cannot_be_come_back_to() -> None:
    adapter = read_adapter(STREAM + '[stop]\nhang_up = true\n[stream]\nend = ["[DONE]"]')
    assert adapter.stop == HangUp()
    assert adapter.stream is None
    assert adapter.stop_turn is None


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
            r"\[send\] .* \{sesion\}; it may have \{message\}, \{model\}, \{session\}, \{turn\}$",
        ),
        ("[send]\nbody = '{msg}'", r"unknown placeholder \{msg\}"),
        ("[send]\nheaders = {a = '{who}'}", r"unknown placeholder \{who\}"),
        ("[stop]\npath = '/stop/{turn}'", r"\[stop\] .* \{turn\}; it may have \{session\}$"),
        ("[stop_turn]\nbody = '{message}'", r"\[stop_turn\] .* \{message\}; .* \{session\}, \{turn\}$"),
        ("[stream]\npath = '/{turn}'", r"\[stream\] .* \{turn\}"),
        ("[open]\npath = '/c'", r"\[open\] .* needs session"),
        ("[open]\nsession = 'id'", "must start with /"),
        ("[send]\nstream = 1", "stream in the adapter must be true or false"),
        ("[stop]\nhang_up = 'yes'", "hang_up in the adapter must be true or false"),
        ("[stop]\nhang_up = true", r"needs stream = true in \[send\]"),
        ("[stream]\nend = ['x']", r"end in \[stream\] .* needs stream = true in \[send\]"),
        ("[stream]\nagain = 'x'", r"again in \[stream\] .* needs stream = true in \[send\]"),
        ("[stream]\ncursor_field = 'x'", r"cursor_field in \[stream\] .* needs stream = true"),
        ("[stop_turn]\nbody = ''", r"\[stop_turn\] in the adapter needs a \{turn\}"),
        ("[stop_turn]\npath = '/{turn}'", r"a \{turn\} in the adapter is never known"),
        (STREAM, r"needs a \[stop\]: hang_up = true, or a path"),
        (STREAM + "[stop]\nhang_up = true\npath = '/stop'", "there is no request, and no answer"),
        (STREAM + "[stop]\n[stream]\npath = '/{turn}'\nend = ['x']", r"\{turn\} .* is never known"),
        (STREAM + "[stop]\n[stream]\nagain = 'start'", r"again .* needs a path: where a reader comes back"),
        (STREAM + "[stop]\n[stream]\npath = '/s'", "needs end"),
        (
            STREAM + "[stop]\n[stream]\npath = '/s'\nend = ['x']\nstart = '0'",
            r"a cursor and no place for it: cursor, or \{cursor\} in path",
        ),
        (
            STREAM + "[stop]\nhang_up = true\n[stream]\npath = '/s'\nend = ['x']",
            "nothing is left to come back to",
        ),
    ],
)
def test_an_adapter_that_says_something_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_adapter(text)
