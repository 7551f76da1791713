"""What callers of the old functions meet in the process."""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic

from tests.attacks.rig import attack
from turnkeeper.actors import InvalidRequest, SessionRegistry, Turn
from turnkeeper.actors.services import send_message_to_agent

# -- Message objects --------------------------------------------------------------------------------


@dataclass
class TextPart:
    """A part as old callers have it."""

    text: str
    type: str = "text"


class TextModel(pydantic.BaseModel):
    """The same as a model."""

    type: str = "text"
    text: str


class Read(NamedTuple):
    """What the agent and the readers are given."""

    text: str
    message: Any
    in_started: Any


async def read(message: Any) -> Read:
    seen: list[tuple[str, Any]] = []

    async def agent(turn: Turn) -> None:
        seen.append((turn.text, turn.message))

    async with SessionRegistry(agent) as registry, aclosing(registry.events("s", after="0")) as events:
        await send_message_to_agent("s", message, user="ada")
        async for event in events:
            if event.name == "turn.started":
                return Read(*seen[0], event.data["message"])
    raise AssertionError("it has not started")


PLAIN = {"type": "text", "text": "hello"}
OBJECTS: dict[str, Any] = {
    "dataclasses": [TextPart("hello")],
    "pydantic models": [TextModel(text="hello")],
    "dicts and objects": [{"type": "text", "text": "hel"}, TextPart("lo")],
}


@attack("a list of message objects reaches the agent as empty text without an error")
async def message_objects() -> dict[str, Read]:
    return {name: await read(message) for name, message in {**OBJECTS, "a text": "hello"}.items()}


async def test_message_objects_become_plain_parts() -> None:
    seen = await message_objects()
    assert {each.text for each in seen.values()} == {"hello"}
    assert seen["dataclasses"].message == seen["pydantic models"].message == [PLAIN]
    assert seen["dataclasses"].in_started == seen["pydantic models"].in_started
    assert seen["a text"] == Read("hello", "hello", "hello")


EMPTY: dict[str, Any] = {
    "no parts": [],
    "empty text": "",
    "a part with empty text": [PLAIN | {"text": ""}],
    "an object with empty text": [TextPart("")],
}


@attack("a message without content is taken in the process")
async def empty_messages_in_process() -> dict[str, str]:
    async def agent(turn: Turn) -> None: ...

    found = {}
    async with SessionRegistry(agent) as registry:
        for name, message in EMPTY.items():
            try:
                await registry.send("s", message)
                found[name] = "accepted"
            except InvalidRequest as error:
                found[name] = error.code
    return found


async def test_a_message_without_content_is_refused_in_process() -> None:
    assert set((await empty_messages_in_process()).values()) == {"INVALID_REQUEST"}
