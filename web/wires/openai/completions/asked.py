"""What the body of a request asks for, and which of its fields can be honoured. Pure.

A field that changes the result goes to the agent, or is refused if no agent could heed it. ``null`` is the
same as a field that is left out.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.value import value
from turnkeeper.web.http.body import converted
from turnkeeper.web.wires.openai.refusals import unsupported

from .messages import Message, split

#: How much of an unknown field's name an answer repeats.
MAX_NAME: Final = 100
_Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
_Count: TypeAlias = Annotated[int, Meta(ge=1)]

#: The fields that are for the agent, each with its type and what it must be. They come as the turn's params.
FOR_THE_AGENT: Final[Mapping[str, tuple[Any, str]]] = {
    "temperature": (Annotated[float, Meta(ge=0, le=2)], "a number from 0 to 2"),
    "top_p": (Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
    "max_tokens": (_Count, "a whole number from 1"),
    "max_completion_tokens": (_Count, "a whole number from 1"),
    "stop": (str | list[str], "a string or a list of strings"),
    "seed": (int, "a whole number"),
    "presence_penalty": (_Penalty, "a number from -2 to 2"),
    "frequency_penalty": (_Penalty, "a number from -2 to 2"),
    "logit_bias": (dict[str, float], "an object of numbers"),
    "reasoning_effort": (str, "a string"),
    "verbosity": (str, "a string"),
    "metadata": (dict[str, Any], "an object"),
}
#: Those that change nothing in the result, so that nothing is done about them.
WITHOUT_EFFECT: Final[Mapping[str, tuple[Any, str]]] = {
    "user": (str, "a string"),
    "safety_identifier": (str, "a string"),
    "prompt_cache_key": (str, "a string"),
    "prompt_cache_retention": (str, "a string"),
    "prompt_cache_options": (dict[str, Any], "an object"),
    "parallel_tool_calls": (bool, "true or false"),
}
_BY_THE_AGENT: Final = "agents call their own tools, and none of the client's"
#: Those that may only say what is so anyway, each with these values, and why that is.
ONLY: Final[Mapping[str, tuple[tuple[Any, ...], str]]] = {
    "n": ((1,), "there is one reply"),
    "store": ((False,), "the client keeps the conversation"),
    "logprobs": ((False,), "an agent has no probabilities of tokens"),
    "top_logprobs": ((0,), "an agent has no probabilities of tokens"),
    "service_tier": (("auto", "default"), "there is one tier"),
    "modalities": ((["text"],), "replies are text"),
    "response_format": (({"type": "text"},), "replies are text, in the form that the agent chooses"),
    "tools": (([],), _BY_THE_AGENT),
    "tool_choice": (("none", "auto"), _BY_THE_AGENT),
    "functions": (([],), _BY_THE_AGENT),
    "function_call": (("none", "auto"), _BY_THE_AGENT),
    "audio": ((), "replies are text"),
    "prediction": ((), "an agent takes no predictions"),
    "web_search_options": ((), _BY_THE_AGENT),
    "moderation": ((), "nothing is moderated here"),
}
#: The lists of tools, each with the field by which a client says that none of them is to be called.
_CHOICES: Final = {"tools": "tool_choice", "functions": "function_call"}
_OPTIONS: Final = {"include_usage": bool, "include_obfuscation": bool}
#: Those that say how the reply is given.
OWN: Final = ("model", "messages", "stream", "stream_options")


@value
class Asked:
    """What a request asks for. ``params`` are for the agent, beside the message.

    ``streams``: the reply is to come in chunks. ``with_usage``: they are to end with the usage.
    """

    model: str
    message: str | list[dict[str, Any]]
    before: list[Message]
    params: dict[str, Any]
    streams: bool
    with_usage: bool


def asked(body: Any) -> Asked:
    """What this body asks for. Raises `InvalidRequest`, and `Problem` for what cannot be done here."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be an object", field="body")
    said = {name: member for name, member in body.items() if member is not None}
    params = {name: member for name, member in said.items() if _check(name, member, said)}
    before, last = split(said.get("messages"))
    if isinstance(name := last.get("name"), str):
        params["name"] = name
    model, streams = said.get("model"), said.get("stream", False)
    if not isinstance(model, str):
        raise InvalidRequest("model must be a string", field="model")
    if not isinstance(streams, bool):
        raise InvalidRequest("stream must be true or false", field="stream")
    options = _options(said.get("stream_options", {}))
    return Asked(model, last["content"], before, params, streams, options.get("include_usage", False))


def _check(name: str, member: Any, said: Mapping[str, Any]) -> bool:
    """Whether this field is for the agent. Raises `InvalidRequest` and `Problem`."""
    if name in OWN:
        return False
    if name in ONLY:
        if said.get(_CHOICES.get(name, "")) != "none":
            _check_only(name, member)
        return False
    rule = FOR_THE_AGENT.get(name) or WITHOUT_EFFECT.get(name)
    if rule is None:
        raise unsupported(name[:MAX_NAME], "is not known here")
    kind, must = rule
    try:
        converted(member, kind)
    except msgspec.ValidationError:
        raise InvalidRequest(f"{name} must be {must}", field=name) from None
    return name in FOR_THE_AGENT


def _check_only(name: str, member: Any) -> None:
    values, why = ONLY[name]
    # A true is no 1, although Python says so.
    if not any(type(member) is type(each) and member == each for each in values):
        must = " or ".join(msgspec.json.encode(each).decode() for each in values) or "left out"
        raise unsupported(name, f"must be {must}: {why}")


def _options(options: Any) -> dict[str, bool]:
    if not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object", field="stream_options")
    given = {name: member for name, member in options.items() if member is not None}
    for name, member in given.items():
        field = f"stream_options.{name[:MAX_NAME]}"
        if name not in _OPTIONS:
            raise unsupported(field, "is not known here")
        if not isinstance(member, bool):
            raise InvalidRequest(f"{field} must be true or false", field=field)
    return given
