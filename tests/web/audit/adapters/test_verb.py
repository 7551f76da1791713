from turnkeeper.web.audit.adapters.verb import Call, Verb, look_up, word_at


def test_a_request_is_filled_in_and_what_is_filled_in_is_escaped() -> None:
    verb = Verb("POST", "/s/{session}/x", '{"m": "{message}", "n": {other}}', {"X-Session": "{session}"})
    assert verb.fill(session="a/b c", message='say "hi"\n{session}') == Call(
        "POST",
        "/s/a%2Fb%20c/x",
        {"Content-Type": "application/json", "X-Session": "a/b c"},
        b'{"m": "say \\"hi\\"\\n{session}", "n": {other}}',
    )


def test_a_request_is_filled_in_bit_by_bit() -> None:
    verb = Verb(path="/{model}/{session}").given(model="a/b")
    assert verb.placeholders == {"session"}
    assert verb.fill(session="s").path == "/a%2Fb/s"


def test_a_request_without_a_body_says_nothing_of_its_type() -> None:
    assert Verb("GET", "/stream").fill(session="s") == Call("GET", "/stream", {})


def test_nothing_is_found_where_nothing_stands() -> None:
    assert look_up({"a": [{"b": 1}]}, "a.0.b") == 1
    for path in ("a.1.b", "a.b", "c", "a.0.b.c"):
        assert look_up({"a": [{"b": 1}]}, path) is None


def test_a_value_is_a_word_however_json_writes_it() -> None:
    data = {"number": 0, "flag": True, "text": "x", "nothing": None}
    assert [word_at(data, name) for name in ("number", "flag", "text", "nothing", "other", "")] == [
        "0", "true", "x", "", "", "",
    ]  # fmt: skip
