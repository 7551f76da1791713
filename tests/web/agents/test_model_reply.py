import json

from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.web.agents.model_reply import ModelReply, counts

# -- A reply in pieces ------------------------------------------------------------------------------


def test_a_reply_is_its_pieces() -> None:
    reply = ModelReply()
    assert [reply.add("one "), reply.add(""), reply.add("two")] == ["one ", "", "two"]
    reply.finish_reason = "stop"
    assert reply.message(cut_off=False) == {"role": "assistant", "content": "one two"}


def test_a_reply_says_what_became_of_it() -> None:
    reply = ModelReply()
    reply.add("x")
    reply.finish_reason, reply.usage = "length", {"total_tokens": 1}
    assert reply.message(cut_off=True, error="upstream_timeout") == {
        "role": "assistant",
        "content": "x",
        "cut_off": True,
        "error": "upstream_timeout",
        "finish_reason": "length",
        "usage": {"total_tokens": 1},
    }


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("😀🎉"), max_size=8), st.data())
def test_a_character_cut_in_two_is_put_together_again(text: str, data: st.DataObject) -> None:
    units = [
        text.encode("utf-16-le")[at : at + 2].decode("utf-16-le", "surrogatepass")
        for at in range(0, len(text.encode("utf-16-le")), 2)
    ]
    reply = ModelReply()
    shown = ""
    while units:
        count = data.draw(st.integers(1, len(units)))
        shown += reply.add("".join(units[:count]))
        del units[:count]
    assert shown == reply.text == text


def test_half_a_character_that_stays_alone_is_replaced() -> None:
    reply = ModelReply()
    assert reply.add("a\ud83d") == "a"
    assert reply.add("b") == "\ufffdb"
    assert reply.add("\ude00") == "\ufffd"
    reply.text.encode()


# -- What it cost -----------------------------------------------------------------------------------


def test_of_a_usage_only_its_numbers_are_passed_on() -> None:
    usage = json.loads(
        '{"prompt_tokens": 1, "note": "text", "flag": true, "none": null, "list": [1],'
        ' "prompt_tokens_details": {"cached_tokens": 2, "deeper": {"n": 3}}, "empty": {"x": "y"}}'
    )
    assert counts(usage) == {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}
