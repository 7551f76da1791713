"""One call of a tool, while it goes on."""

import asyncio
import json
from types import TracebackType
from typing import Any, Protocol, Self

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.records import ToolCall
from turnkeeper.actors.model.words import ToolStatus


class Caller(Protocol):
    """The turn that makes the call."""

    def begin_call(self, call: ToolCall, shown: dict[str, Any], /) -> None:
        """Say that the call is begun, with what is shown of it."""
        ...

    def end_call(self, call: ToolCall, status: ToolStatus, shown: dict[str, Any], /) -> None:
        """Say how the call has ended, with what is shown of that."""
        ...

    def check_shown(self, text: str, /) -> None:
        """Raise `EventNotJson` for a text that is too long for an event."""
        ...


class Call:
    """One call of a tool: it is open in its ``async with``."""

    __slots__ = ("_arguments", "_caller", "_result", "_what")

    def __init__(self, caller: Caller, what: ToolCall, arguments: Any) -> None:
        self._caller = caller
        self._what = what
        self._arguments = self._shown("arguments", arguments)
        self._result: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """The model's id for it."""
        return self._what.id

    @property
    def name(self) -> str:
        """The tool's name."""
        return self._what.name

    def result(self, value: Any) -> None:
        """Show this as what has come of it. Raises `EventNotJson` for what is not JSON, or is too large."""
        self._result = self._shown("result", value)

    def _shown(self, name: str, value: Any) -> dict[str, Any]:
        """The value as it is now, whatever becomes of it."""
        if value is None:
            return {}
        text = to_json(value)
        self._caller.check_shown(text)
        return {name: json.loads(text)}

    async def __aenter__(self) -> Self:
        self._caller.begin_call(self._what, self._arguments)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if kind is None:
            status = ToolStatus.DONE
        elif issubclass(kind, asyncio.CancelledError | GeneratorExit):
            status = ToolStatus.CANCELLED
        else:
            status = ToolStatus.FAILED
        self._caller.end_call(self._what, status, self._result)

    def __repr__(self) -> str:
        return f"<Call {self.id} of {self.name}>"
