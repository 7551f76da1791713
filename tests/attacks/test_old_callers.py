"""What callers of the old functions meet in the process."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic

from tests.attacks.rig import attack
from turnkeeper.actors import InvalidRequest, SessionRegistry, Turn, TurnCancelled, TurnkeeperError
from turnkeeper.actors.services import cancel_active_send_task, send_message_to_agent

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


# -- Inside a turn ----------------------------------------------------------------------------------


class Tool(NamedTuple):
    """What a tool got that stopped its own session, and what became of the turn."""

    answer: Any
    status: str


Deed = Callable[[SessionRegistry, str], Awaitable[Any]]


async def in_a_turn(deed: Deed) -> Tool:
    """Run this in a turn, which then goes on."""
    answers: list[Any] = []

    async def agent(turn: Turn) -> None:
        try:
            answers.append(await deed(registry, turn.session_id))
        except TurnkeeperError as error:
            answers.append(error)
        await turn.checkpoint()

    async with SessionRegistry(agent) as registry:
        receipt = await registry.send("s", "hello")
        end = await receipt.end()
    return Tool(answers[0], end.turn.status.value)


@attack("`await cancel_active_send_task(own session)` in a tool raises")
async def cancel_from_a_tool() -> Tool:
    return await in_a_turn(lambda _, session: cancel_active_send_task(session))


async def test_a_tool_stops_its_own_session() -> None:
    seen = await cancel_from_a_tool()
    assert isinstance(seen.answer, dict), seen.answer
    assert seen.answer["status"] == "requested"
    assert seen.status == "cancelled"


@attack("error texts name a parameter that the called function lacks")
async def advice() -> dict[str, str]:
    """What functions say that would wait for their own turn's end, and have no `wait` to be told."""

    deeds: tuple[tuple[Callable[..., Any], Deed], ...] = (
        (send_message_to_agent, lambda _, session: send_message_to_agent(session, "again")),
        (SessionRegistry.close, lambda registry, session: registry.close(session)),
    )
    found = {}
    for function, deed in deeds:
        seen = await in_a_turn(deed)
        lacks = "wait" not in inspect.signature(function).parameters
        wrong = lacks and "wait=" in str(seen.answer)
        found[function.__name__] = f"{'WRONG: ' if wrong else ''}{seen.answer}"
    return found


async def test_no_error_text_names_a_parameter_that_is_not_there() -> None:
    assert not [text for text in (await advice()).values() if text.startswith("WRONG")]


# -- A child session --------------------------------------------------------------------------------


class Family(NamedTuple):
    """What became of a turn that waited for another session's turn, which was stopped."""

    raised: str
    status: str
    error: str | None


async def stopped_child(*, handled: bool) -> Family:
    raised: list[str] = []

    async def parent(turn: Turn) -> str:
        try:
            await send_message_to_agent("child", "hello")
        except BaseException as error:
            raised.append(
                f"{type(error).__name__}, {'an' if isinstance(error, Exception) else 'no'} Exception"
            )
            if not handled or not isinstance(error, Exception):
                raise
        return "went on"

    async def child(turn: Turn) -> None:
        turn.emit("ran")
        await asyncio.Event().wait()

    async def agent(turn: Turn) -> str | None:
        return await (child(turn) if turn.session_id == "child" else parent(turn))

    async with SessionRegistry(agent) as registry, aclosing(registry.events("child")) as events:
        follow = asyncio.ensure_future(anext(events))  # the snapshot: the reader is there
        await follow
        receipt = await registry.send("parent", "hello")
        async for event in events:
            if event.name == "ran":
                break
        await registry.cancel("child")
        turn = (await receipt.end()).turn
    return Family(raised[0], turn.status.value, turn.error and turn.error.code)


class Caller(NamedTuple):
    """What a caller outside of any turn gets whose turn is stopped."""

    raised: str


@attack("stopping a child session fails its parent with `spontaneous_cancel`")
async def stopped_children() -> dict[str, Family | Caller]:
    return {
        "a parent that handles it": await stopped_child(handled=True),
        "a parent that does not": await stopped_child(handled=False),
        "a caller outside": Caller(await stopped_outside()),
    }


async def stopped_outside() -> str:
    async def agent(turn: Turn) -> None:
        await asyncio.Event().wait()

    async with SessionRegistry(agent) as registry:
        call = asyncio.ensure_future(send_message_to_agent("s", "hello"))
        while not await registry.active():
            await asyncio.sleep(0)
        await registry.cancel("s")
        await asyncio.wait({call})
    return "CancelledError" if call.cancelled() else type(call.exception()).__name__


async def test_stopping_a_child_is_an_exception_to_its_parent() -> None:
    seen = await stopped_child(handled=True)
    assert seen == Family(f"{TurnCancelled.__name__}, an Exception", "completed", None)
    unhandled = await stopped_child(handled=False)
    assert (unhandled.status, unhandled.error) == ("failed", "turn_cancelled")


async def test_a_caller_outside_of_a_turn_still_gets_a_cancelled_error() -> None:
    assert await stopped_outside() == "CancelledError"


class Cancelled(NamedTuple):
    """What became of a parent that was cancelled itself while it waited for its child."""

    raised: str
    status: str


@attack("only `I was cancelled` is a CancelledError")
async def stopped_parent() -> Cancelled:
    raised: list[str] = []
    began = asyncio.Event()

    async def agent(turn: Turn) -> None:
        if turn.session_id == "child":
            began.set()
            await asyncio.Event().wait()
        try:
            await send_message_to_agent("child", "hello")
        except BaseException as error:
            raised.append(type(error).__name__)
            raise

    async with SessionRegistry(agent) as registry:
        receipt = await registry.send("parent", "hello")
        await began.wait()
        await registry.cancel("parent")
        return Cancelled(raised[0], (await receipt.end()).turn.status.value)


async def test_a_parent_that_is_stopped_itself_is_cancelled() -> None:
    assert await stopped_parent() == Cancelled("CancelledError", "cancelled")
