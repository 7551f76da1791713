"""An actor that does what a test says, and notes what happened to it."""

import asyncio
from collections.abc import Callable
from typing import Any

from turnkeeper.actors.runtime import (
    AsyncioActor,
    AsyncioRef,
    Query,
)


class GetLength(Query[int]):
    def __init__(self, text: str) -> None:
        self.text = text


class Child(AsyncioActor):
    """Does what its messages say, and notes what happened; not listed in Pykka's registry."""

    registered = False

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        self.log.append(message)
        if isinstance(message, GetLength):
            return len(message.text)
        if isinstance(message, BaseException):
            raise message
        return message() if callable(message) else message

    def on_stop(self) -> None:
        self.log.append("on_stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.log.append(("on_failure", exc_info[1]))


class Registered(Child):
    registered = True


def started() -> tuple[AsyncioRef[Child], list[Any]]:
    ref = Child.start()
    actor = ref._actor
    assert actor is not None
    return ref, actor.log


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await asyncio.to_thread(function, *args, **kwargs)
