"""What a send's ``params`` ask of a model, as fields of a request for a chat completion. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from turnkeeper.actors.model.content import BETWEEN
from turnkeeper.actors.model.exceptions import AgentError


class UnsupportedParams(AgentError):
    """One of the ``params`` that the agent takes is not of its type, or out of its range."""

    code = "UNSUPPORTED_PARAMS"
    expected = True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any, most: float = float("inf")) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 1


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_text, value)))


#: The params that are fields of the request: what each may be, and that in words.
_FIELDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "temperature": (_is_number, "a number from 0"),
    "top_p": (lambda value: _is_number(value, 1), "a number from 0 to 1"),
    "reasoning_effort": (_is_text, "a text"),
    "seed": (_is_whole, "a whole number"),
    "stop": (_is_stop, "a text, or a list of texts"),
}
#: What the most tokens of a reply are called in requests. The first is OpenAI's name today; some servers know
#: only the other one, which OpenAI has given up.
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
#: And in params: beside these, by the name of OpenAI's other protocol.
_LIMITS_IN_PARAMS: Final = ("max_output_tokens", *_LIMITS)
#: All that are taken. What else there is, is for others.
TAKEN: Final = ("instructions", *_FIELDS, *_LIMITS_IN_PARAMS)


def request_fields(fields: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The host's ``fields`` of the request with what the params say in their place. ``null`` says nothing.

    How many tokens the host allows a send can only make less. Raises `UnsupportedParams`.
    """
    said = {name: _checked(params, name, *_FIELDS[name]) for name in _FIELDS}
    limits = {name: _checked(params, name, _is_count, "a whole number from 1") for name in _LIMITS_IN_PARAMS}
    request = {**fields, **{name: value for name, value in said.items() if value is not None}}
    allowed = [limit for limit in limits.values() if limit is not None]
    if allowed:
        # As the host calls it, who knows the server; else as the send does.
        names = [name for source in (fields, limits) for name in _LIMITS if source.get(name) is not None]
        name = names[0] if names else _LIMITS[0]
        own: Any = fields.get(name)
        request[name] = min([*allowed, own] if _is_count(own) else allowed)
    return request


def system_prompt(system: str | None, params: Mapping[str, Any]) -> str | None:
    """The host's system prompt with the ``instructions`` of the params behind it.

    Raises `UnsupportedParams`.
    """
    instructions: str | None = _checked(params, "instructions", _is_text, "a text")
    return BETWEEN.join(text for text in (system, instructions) if text) or system


def _checked(params: Mapping[str, Any], name: str, is_right: Callable[[Any], bool], what: str) -> Any:
    value = params.get(name)
    if value is not None and not is_right(value):
        raise UnsupportedParams(f"{name} in params must be {what}")
    return value
