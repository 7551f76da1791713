"""Whether an agent takes what a request brings of what was said before. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from turnkeeper.actors.model.content import TEXT
from turnkeeper.actors.registry.admitting.parts import refuse_parts

#: The types of parts that are texts, as which any agent may have answered.
_TEXTS: Final = (TEXT, "refusal")


def refuse_history(agent: str, taken: tuple[str, ...] | None, messages: Iterable[Mapping[str, Any]]) -> None:
    """Raise `PartNotTaken` for a message with a part of a type that is not among those ``taken``.

    ``None``: any is. What the user has said is held to the same as a message that is sent; of all others,
    texts are not looked at.
    """
    if taken is None:
        return
    for message in messages:
        said = message.get("content")
        if message["role"] != "user":
            said = [part for part in said if part["type"] not in _TEXTS] if isinstance(said, list) else None
        refuse_parts({agent: taken}, agent, said)
