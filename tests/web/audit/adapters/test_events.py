import json

from turnkeeper.web.audit.adapters.events import Events


def test_a_text_is_found_by_the_name_of_an_event_and_a_field() -> None:
    events = Events(event="delta", field="choices.0.delta.content")
    assert events.read("delta", '{"choices": [{"delta": {"content": "hi"}}]}').text == "hi"
    assert events.read("delta", '{"choices": []}').text == ""
    assert events.read("delta", '{"choices": [{"delta": {"content": 1}}]}').text == ""
    assert events.read("delta", "[DONE]").text == ""
    assert events.read("other", '{"choices": [{"delta": {"content": "hi"}}]}').text == ""
    assert Events(field="").read("message", "plain").text == "plain"


def test_what_an_event_is_may_stand_in_its_data() -> None:
    events = Events(kind="type", event="text-delta", field="delta", end=("finish", "[DONE]"), again="start")
    text = events.read("message", json.dumps({"type": "text-delta", "delta": "hi"}))
    assert (text.text, text.ends, text.begins_again) == ("hi", False, False)
    thought = events.read("text-delta", json.dumps({"type": "reasoning-delta", "delta": "hm"}))
    assert thought.text == "", "its name is not asked"
    assert events.read("message", json.dumps({"type": "start"})).begins_again
    for data in (json.dumps({"type": "finish"}), "[DONE]", " [DONE]"):
        assert events.read("message", data).ends
    assert not events.read("message", json.dumps({"type": "finish-step"})).ends
    assert not events.read("finish", json.dumps(["finish"])).ends


def test_where_to_read_on_may_stand_in_the_data() -> None:
    said = Events(cursor="sequence_number").read("message", json.dumps({"sequence_number": 0, "id": "t"}))
    assert said.cursor == "0"
    assert said.data == {"sequence_number": 0, "id": "t"}
    assert Events().read("message", json.dumps({"sequence_number": 3})).cursor == ""
