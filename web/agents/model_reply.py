"""A model's reply as it arrives in pieces, and its usage. Pure."""

from collections.abc import Mapping
from typing import Any

from turnkeeper.actors.model.content import whole_text
from turnkeeper.actors.model.records import MOST_TOKENS, Usage

from .chat_messages import Message


class ModelReply:
    """A reply that arrives in pieces."""

    __slots__ = ("_held", "_pieces", "finish_reason", "usage")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._held = ""
        #: Why the model stopped; ``None`` until it has. A reply that ends without one was broken off.
        self.finish_reason: str | None = None
        #: What the upstream counted, if it reported that.
        self.usage: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text that has arrived."""
        return "".join(self._pieces)

    def add(self, text: str) -> str:
        """Take a piece; what of it can be shown: half a surrogate pair waits for its other half."""
        text = self._held + text
        self._held = ""
        if "\ud800" <= text[-1:] <= "\udbff":
            self._held, text = text[-1], text[:-1]
        text = whole_text(text)
        if text:
            self._pieces.append(text)
        return text

    def message(self, *, cut_off: bool, error: str | None = None) -> Message:
        """The reply as a message of the history."""
        message: Message = {"role": "assistant", "content": self.text}
        if cut_off:
            message["cut_off"] = True
        if error is not None:
            message["error"] = error
        if self.finish_reason not in (None, "stop"):
            message["finish_reason"] = self.finish_reason
        if self.usage is not None:
            message["usage"] = self.usage
        return message


def tokens(usage: Mapping[str, Any]) -> Usage:
    """How many tokens of each kind the upstream's report of its usage names."""
    return Usage(
        _number(usage.get("prompt_tokens")),
        _number(usage.get("completion_tokens")),
        _number(_within(usage.get("prompt_tokens_details"), "cached_tokens")),
        _number(_within(usage.get("completion_tokens_details"), "reasoning_tokens")),
    )


def _within(details: Any, name: str) -> Any:
    return details.get(name) if isinstance(details, Mapping) else None


def _number(count: Any) -> int | None:
    return count if type(count) is int and 0 <= count <= MOST_TOKENS else None


def counts(usage: Mapping[str, Any], depth: int = 2) -> dict[str, Any]:
    """The numbers in the upstream's report of its usage, two levels deep; nothing else is passed on."""
    found: dict[str, Any] = {}
    for name, value in usage.items():
        if isinstance(value, int) and not isinstance(value, bool):
            found[str(name)] = value
        elif depth > 1 and isinstance(value, Mapping) and (inner := counts(value, depth - 1)):
            found[str(name)] = inner
    return found
