"""What the body of a request says."""

import re
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from tests.fakes import plain
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import Strategy
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.responses.asked import FIELDS, Asked, asked
from turnkeeper.web.wires.openai.responses.given import Given

PAGE = Path(__file__).parents[5] / "docs" / "howto" / "openai-responses.md"
HELLO = {"input": "hello"}


def test_most_requests_say_little() -> None:
    assert asked({**HELLO, "model": "coder"}) == Asked(Given("hello"), "coder")
    assert asked({**HELLO, "model": None, "tools": None, "temperature": None}) == asked(HELLO)


def test_what_this_server_does_is_said_in_fields_of_their_own() -> None:
    said = asked({**HELLO, "stream": True, "background": True, "conversation": {"id": "c1"}})
    assert (said.stream, said.background, said.conversation, said.opens) == (True, True, "c1", False)
    assert asked({**HELLO, "conversation": "c1"}).conversation == "c1"
    assert asked({**HELLO, "previous_response_id": "resp_t.s"}).previous == "resp_t.s"
    said = asked({**HELLO, "turnkeeper": {"multitask_strategy": "enqueue"}})
    assert (said.strategy, said.opens) == (Strategy.ENQUEUE, True)


TO_THE_AGENT = {
    "background": True,
    "instructions": "Be short.",
    "max_output_tokens": 10,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp_t.s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "s",
    "service_tier": "auto",
    "temperature": 0.5,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": "none",
    "top_logprobs": 0,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "u",
}


def test_what_may_change_the_reply_goes_to_the_agent() -> None:
    assert asked({**HELLO, **TO_THE_AGENT}).params == TO_THE_AGENT
    harmless = {"include": [], "tools": [], "stream_options": {"include_obfuscation": True}, "store": True}
    assert asked({**HELLO, **harmless}).params is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"truncation": "some"}, "truncation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_tool_calls": 1}, "max_tool_calls"),
        ({"context_management": []}, "context_management"),
        ({"moderation": {}}, "moderation"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"reasoning": {"mode": "pro"}}, "reasoning"),
        ({"stream_options": {"x": 1}}, "stream_options"),
        ({"stream": "yes"}, "stream"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"u" * 1_000: 1}, "u" * 100),
        ({"turnkeeper": {"timeout": 1}}, "turnkeeper"),
        ({"turnkeeper": {"multitask_strategy": "polite"}}, "turnkeeper"),
        ({"input": 1}, "input"),
        ({"conversation": "once_1"}, "conversation"),
        ({"conversation": "c1", "previous_response_id": "resp_t.s"}, "previous_response_id"),
        ({"store": False, "background": True}, "background"),
        ({"store": False, "conversation": "c1"}, "store"),
        ({"store": False, "previous_response_id": "resp_t.s"}, "store"),
        (
            {
                "conversation": "c1",
                "input": [{"role": "assistant", "content": "1"}, {"role": "user", "content": "2"}],
            },
            "input",
        ),
    ],
    ids=plain,
)
def test_what_cannot_be_honoured_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as refused:
        asked({**HELLO, **body})
    assert (refused.value.code, refused.value.field) == (Code.UNSUPPORTED_PARAMETER, param)


@pytest.mark.parametrize(
    ("body", "field"),
    [([], "body"), ("x", "body"), ({}, "input"), ({**HELLO, "conversation": "a b"}, "conversation")],
    ids=plain,
)
def test_what_is_wrong_is_refused(body: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(body)
    assert refused.value.field == field


#: Those of the official client that are refused.
REFUSED = {
    "access_programs",
    "background_options",
    "context_management",
    "image",
    "max_tool_calls",
    "moderation",
    "prompt",
    "prompt_cache_options",
}


def test_every_field_of_the_official_client_is_decided_about() -> None:
    official = set(ResponseCreateParamsBase.__annotations__)
    assert official - REFUSED == set(FIELDS) - {"stream", "turnkeeper"}


def test_the_page_about_it_names_every_field() -> None:
    table = PAGE.read_text().partition("## What a request may say")[2]
    assert set(re.findall(r"`([a-z_]+)`", table)) >= REFUSED | set(FIELDS)
