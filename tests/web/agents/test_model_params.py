"""What a send's params ask of a model, as fields of a request."""

from collections.abc import Mapping
from typing import Any

import pytest
from openai.types.chat import completion_create_params

from turnkeeper.web.agents.model_params import TAKEN, UnsupportedParams, request_fields, system_prompt

HOST: Mapping[str, Any] = {"model": "mini", "stream": True, "temperature": 0.5}


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0},
        {"temperature": 1.5, "top_p": 1},
        {"top_p": 0.0},
        {"reasoning_effort": "low"},
        {"seed": -7},
        {"stop": "."},
        {"stop": [".", "\n"]},
        {"max_tokens": 1},
        {"max_completion_tokens": 500},
    ],
    ids=repr,
)
def test_what_the_protocol_knows_takes_the_place_of_the_hosts(params: dict[str, Any]) -> None:
    assert request_fields(HOST, params) == {**HOST, **params}
    assert HOST["temperature"] == 0.5


def test_the_fields_are_those_of_the_official_client() -> None:
    known = completion_create_params.CompletionCreateParamsBase.__annotations__
    assert set(TAKEN) - set(known) == {"instructions", "max_output_tokens"}


def test_null_and_what_is_for_others_say_nothing() -> None:
    nothing = {**dict.fromkeys(TAKEN), "metadata": {"a": 1}, "model": "other", "n": 9, "tools": []}
    assert request_fields(HOST, nothing) == HOST
    assert system_prompt("Be kind.", nothing) == "Be kind."


@pytest.mark.parametrize(
    ("host", "params", "request_has"),
    [
        ({}, {"max_output_tokens": 5}, {"max_completion_tokens": 5}),
        ({}, {"max_output_tokens": 5, "max_tokens": 9}, {"max_tokens": 5}),
        ({}, {"max_tokens": 5, "max_completion_tokens": 9}, {"max_completion_tokens": 5}),
        ({"max_tokens": 7}, {"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 7}, {"max_completion_tokens": 9}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_tokens": 9}, {"max_completion_tokens": 7}),
        (
            {"max_tokens": None},
            {"max_completion_tokens": 9},
            {"max_tokens": None, "max_completion_tokens": 9},
        ),
        ({"max_tokens": 7}, {}, {"max_tokens": 7}),
    ],
)
def test_the_most_tokens_have_one_name_the_hosts_first_and_can_only_be_made_less(
    host: dict[str, Any], params: dict[str, Any], request_has: dict[str, Any]
) -> None:
    assert request_fields(host, params) == request_has


@pytest.mark.parametrize(
    ("system", "params", "prompt"),
    [
        (None, {}, None),
        ("", {}, ""),
        ("Be kind.", {"instructions": ""}, "Be kind."),
        (None, {"instructions": "Be short."}, "Be short."),
        ("Be kind.", {"instructions": "Be short."}, "Be kind.\n\nBe short."),
    ],
)
def test_instructions_come_behind_what_the_host_says(
    system: str | None, params: dict[str, Any], prompt: str | None
) -> None:
    assert system_prompt(system, params) == prompt


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("temperature", ["hot", -0.1, True, [], {}]),
        ("top_p", ["1", -1, 1.01, False]),
        ("reasoning_effort", [1, {}, ["low"]]),
        ("seed", [1.5, "1", True]),
        ("stop", [1, {}, ["a", 1], [None]]),
        *((name, [0, -1, 1.5, "9", True]) for name in TAKEN if name.startswith("max_")),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_by_name(name: str, wrong: list[Any]) -> None:
    for value in wrong:
        with pytest.raises(UnsupportedParams, match=f"^{name} in params must be ") as caught:
            request_fields(HOST, {name: value})
        assert caught.value.code == "UNSUPPORTED_PARAMS"


@pytest.mark.parametrize("wrong", [1, [], {"text": "x"}, True])
def test_instructions_that_are_no_text_are_refused(wrong: Any) -> None:
    with pytest.raises(UnsupportedParams, match="instructions in params"):
        system_prompt("Be kind.", {"instructions": wrong})
