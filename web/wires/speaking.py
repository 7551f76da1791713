"""The wires by their names."""

from collections.abc import Sequence
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest

from .ai_sdk.wire import AI_SDK
from .openai.wire import OPENAI
from .wire import Wire

WIRES = {wire.name: wire for wire in (OPENAI, AI_SDK)}


def wires_named(names: Any) -> tuple[Wire, ...]:
    """The wires of these names, each once. Raises `InvalidRequest` for one that there is not."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidRequest(f"speaks must be names of: {', '.join(WIRES)}", field="speaks")
    for name in names:
        if name not in WIRES:
            raise InvalidRequest(
                f"speaks must be names of: {', '.join(WIRES)}; not {str(name)[:100]!r}", field="speaks"
            )
    return tuple(wire for name, wire in WIRES.items() if name in names)
