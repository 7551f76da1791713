import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.model.records import Usage
from turnkeeper.web.agents.model_reply import ModelReply, counts, tokens

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


def test_the_tokens_of_a_usage_are_named_as_turns_report_them() -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert tokens(usage) == Usage(7, 3, 5, 0)


@pytest.mark.parametrize(
    "usage", [{}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": 2**53}]
)
def test_what_an_upstream_says_that_is_no_number_of_tokens_is_not_known(usage: dict[str, Any]) -> None:
    assert tokens({**usage, "prompt_tokens_details": 3}) == Usage()
