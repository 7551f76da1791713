"""What the body of a request says: its fields, and which of them can be honoured. Pure.

A field that would change the reply goes to the agent, which may keep to it (`Turn.params`). What cannot be
honoured is refused, also where it is not known what it is.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import Strategy
from turnkeeper.web.wires.openai.ids import belongs_to_no_conversation
from turnkeeper.web.wires.openai.refusals import unsupported

from .given import Given, given

#: How much of an unknown field's name an answer repeats.
MAX_NAME: Final = 100


class _Object(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An object in a field. What it has beside these is refused."""


class _Conversation(_Object):
    id: str


class _Format(_Object):
    type: Literal["text"]


class _Text(_Object):
    format: _Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class _Reasoning(_Object):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class _StreamOptions(_Object):
    include_obfuscation: bool | None = None


class _Turnkeeper(_Object):
    multitask_strategy: Strategy | None = None


class Use(Enum):
    """What becomes of a field."""

    HERE = "here"
    """It says what this server does."""
    AGENT = "agent"
    """It goes to the agent, and stands in the response object."""
    NONE = "none"
    """It may be said: nothing follows from it."""


@value
class Field:
    """A field of a request: its type, and what it must be, in the words of its refusal.

    ``default`` is what the response object says where the request said nothing.
    """

    use: Use
    kind: Any
    must: str
    default: Any = None


_BOOL: Final = "must be true or false"
_STRING: Final = "must be a string"
_Empty: TypeAlias = Annotated[list[Any], Meta(max_length=0)]
_Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]

#: The fields that are known. All others are refused.
FIELDS: Final[Mapping[str, Field]] = {
    "model": Field(Use.HERE, str, f"{_STRING}: the name of an agent"),
    "input": Field(Use.HERE, str | list[Any], "must be a string or a list of items"),
    "stream": Field(Use.HERE, bool, _BOOL),
    "store": Field(Use.HERE, bool, _BOOL),
    "conversation": Field(Use.AGENT, str | _Conversation, "must be the id of a conversation"),
    "turnkeeper": Field(
        Use.HERE, _Turnkeeper, f"must be an object with a multitask_strategy, one of: {', '.join(Strategy)}"
    ),
    "background": Field(Use.AGENT, bool, _BOOL, default=False),
    "previous_response_id": Field(Use.AGENT, str, "must be the id of a response"),
    "instructions": Field(Use.AGENT, str, _STRING),
    "max_output_tokens": Field(Use.AGENT, Annotated[int, Meta(ge=1)], "must be a whole number from 1"),
    "metadata": Field(
        Use.AGENT,
        _Metadata,
        "must be an object with at most 16 strings of at most 512 characters, under names of at most 64",
        default={},
    ),
    "parallel_tool_calls": Field(Use.AGENT, bool, _BOOL, default=True),
    "prompt_cache_key": Field(Use.AGENT, str, _STRING),
    "prompt_cache_retention": Field(Use.AGENT, Literal["in_memory", "24h"], "must be in_memory or 24h"),
    "reasoning": Field(Use.AGENT, _Reasoning, "must be an object with an effort and a summary"),
    "safety_identifier": Field(Use.AGENT, str, _STRING),
    "service_tier": Field(Use.AGENT, Literal["auto", "default"], "must be auto or default"),
    "temperature": Field(Use.AGENT, Annotated[float, Meta(ge=0, le=2)], "must be a number from 0 to 2"),
    "text": Field(
        Use.AGENT,
        _Text,
        "must be an object with a format of the type text, and a verbosity",
        default={"format": {"type": "text"}},
    ),
    "tool_choice": Field(
        Use.AGENT, Literal["none", "auto"], "must be auto or none: an agent has its own tools", default="auto"
    ),
    "top_logprobs": Field(Use.AGENT, Literal[0], "must be 0", default=0),
    "top_p": Field(Use.AGENT, Annotated[float, Meta(ge=0, le=1)], "must be a number from 0 to 1"),
    "truncation": Field(
        Use.AGENT, Literal["auto", "disabled"], "must be auto or disabled", default="disabled"
    ),
    "user": Field(Use.AGENT, str, _STRING),
    "include": Field(Use.NONE, _Empty, "must be empty: there is nothing more to include"),
    "stream_options": Field(Use.NONE, _StreamOptions, "must be an object with include_obfuscation"),
    "tools": Field(Use.NONE, _Empty, "must be empty: an agent has its own tools, and runs no client's"),
}
#: Those that a response object repeats, with their types and what it says without them.
ECHOED: Final = {
    name: (field.kind, field.default) for name, field in FIELDS.items() if field.use is Use.AGENT
}


@value
class Asked:
    """A request for a response.

    ``previous`` is the response that it goes on from, ``params`` is what is for the agent.
    """

    given: Given
    model: str | None = None
    stream: bool = False
    store: bool = True
    background: bool = False
    conversation: SessionId | None = None
    previous: str | None = None
    strategy: Strategy | None = None
    params: Mapping[str, Any] | None = None

    @property
    def opens(self) -> bool:
        """Whether it is the first in a session of its own."""
        return self.conversation is None and self.previous is None

    @property
    def is_followed(self) -> bool:
        """Whether its answer has what the turn says, and not only that there is one."""
        return self.stream or not self.background


def asked(body: Any) -> Asked:
    """What this body asks for. Raises `Problem` for what cannot be honoured, and `InvalidRequest`."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be an object", field="body")
    try:
        msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise InvalidRequest("a text of the body has half of a surrogate pair", field="body") from None
    said = {name: _read(name, each) for name, each in body.items() if each is not None}
    if "input" not in said:
        raise InvalidRequest("input is required", field="input")
    strategy = said["turnkeeper"].multitask_strategy if "turnkeeper" in said else None
    asked = Asked(
        given(said["input"]),
        said.get("model"),
        said.get("stream", False),
        said.get("store", True),
        said.get("background", False),
        _conversation(said.get("conversation")),
        said.get("previous_response_id"),
        strategy,
        {name: msgspec.to_builtins(each) for name, each in said.items() if name in ECHOED} or None,
    )
    _check(asked)
    return asked


def _read(name: str, said: Any) -> Any:
    field = FIELDS.get(name)
    if field is None:
        raise unsupported(name[:MAX_NAME], "is not supported")
    try:
        return msgspec.convert(said, field.kind)
    except msgspec.ValidationError:
        raise unsupported(name, field.must) from None


def _conversation(said: str | _Conversation | None) -> SessionId | None:
    if said is None:
        return None
    name = ids.checked(said if isinstance(said, str) else said.id, "conversation")
    if belongs_to_no_conversation(name):
        raise unsupported("conversation", "names a response that has brought its own history")
    return SessionId(name)


def _check(asked: Asked) -> None:
    """Raise `Problem` for fields that do not go together."""
    if asked.conversation is not None and asked.previous is not None:
        raise unsupported("previous_response_id", "does not go with conversation")
    if not asked.opens and asked.given.history:
        text = "must be messages of the user only: what was said before is in the conversation"
        raise unsupported("input", text)
    if not asked.store and asked.background:
        raise unsupported("background", "does not go with store=false: what is not kept cannot be asked for")
    if not asked.store and not asked.opens:
        raise unsupported("store", "must not be false in a conversation, which is kept")
