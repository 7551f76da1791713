"""What is taken of the body of a chat completion, and what is refused."""

import typing
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.fakes import plain
from tests.web.fakes_web import any_json
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.completions.asked import (
    FOR_THE_AGENT,
    ONLY,
    OWN,
    WITHOUT_EFFECT,
    Asked,
    asked,
)

HELLO = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


def test_a_request_of_no_more_than_a_message() -> None:
    assert asked(HELLO) == Asked("default", "hello", [], {}, streams=False, with_usage=False)


def test_what_was_said_before_comes_before_the_message() -> None:
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    request = asked({**HELLO, "messages": [*said, {"role": "user", "content": "and?"}]})
    assert (request.before, request.message) == (said, "and?")


def test_a_stream_may_end_with_the_usage() -> None:
    request = asked(HELLO | {"stream": True, "stream_options": {"include_usage": True}})
    assert (request.streams, request.with_usage) == (True, True)
    request = asked(HELLO | {"stream": True, "stream_options": {"include_obfuscation": False}})
    assert (request.streams, request.with_usage) == (True, False)


def test_the_agent_gets_what_it_may_heed_as_it_came() -> None:
    params = {
        "temperature": 1,
        "top_p": 0.5,
        "max_tokens": 100,
        "max_completion_tokens": 100,
        "stop": ["\n", "END"],
        "seed": 7,
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "verbosity": "low",
        "metadata": {"chat": "c1"},
    }
    assert params.keys() == FOR_THE_AGENT.keys()
    assert asked(HELLO | params).params == params


def test_the_name_of_who_speaks_is_for_the_agent_too() -> None:
    request = asked(HELLO | {"messages": [{"role": "user", "content": "hello", "name": "ada"}]})
    assert request.params == {"name": "ada"}


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u1", "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {"prompt_cache_options": {}, "parallel_tool_calls": False},
        {"n": 1, "store": False, "logprobs": False, "top_logprobs": 0, "modalities": ["text"]},
        {"service_tier": "auto"},
        {"service_tier": "default", "response_format": {"type": "text"}},
        {"tools": [], "tool_choice": "auto", "functions": [], "function_call": "none"},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"},
    ],
    ids=plain,
)
def test_what_changes_nothing_is_taken(fields: dict[str, Any]) -> None:
    assert asked(HELLO | fields) == asked(HELLO)


@pytest.mark.parametrize("name", [*FOR_THE_AGENT, *WITHOUT_EFFECT, *ONLY, "stream", "stream_options"])
def test_null_is_the_same_as_nothing(name: str) -> None:
    assert asked({**HELLO, name: None}) == asked(HELLO)


def test_it_is_decided_about_every_field_that_the_protocol_has() -> None:
    known = set()
    for kind in (CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming):
        known |= typing.get_type_hints(kind).keys()
    decided = [*OWN, *FOR_THE_AGENT, *WITHOUT_EFFECT, *ONLY]
    assert len(decided) == len(set(decided))
    assert set(decided) == known


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "ash", "format": "wav"}}, "audio"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"min_p": 0.1}, "min_p"),
        ({"x" * 200: 1}, "x" * 100),
        ({"stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
    ],
    ids=plain,
)
def test_what_cannot_be_done_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as refused:
        asked(HELLO | fields)
    assert (refused.value.code, refused.value.field) == (Code.UNSUPPORTED_PARAMETER, param)
    assert refused.value.detail.startswith(param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": "\ud800"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": [5]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"logit_bias": {"a": "b"}}, "logit_bias"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"metadata": "x"}, "metadata"),
        ({"user": 5}, "user"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ],
    ids=plain,
)
def test_what_breaks_a_rule_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(HELLO | fields)
    assert refused.value.field == param
    assert str(refused.value).startswith(f"{param} must be ")


@pytest.mark.parametrize("body", [None, [], "hello", 5])
def test_a_body_is_an_object(body: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(body)
    assert refused.value.field == "body"


@given(any_json, any_json)
def test_whatever_a_body_holds_it_is_taken_or_refused(member: Any, messages: Any) -> None:
    names = [*OWN, *FOR_THE_AGENT, *WITHOUT_EFFECT, *ONLY, "other"]
    for name in names:
        for body in ({**HELLO, name: member}, {**HELLO, name: member, "messages": messages}):
            with suppress(Problem, InvalidRequest):
                assert isinstance(asked(body), Asked)
