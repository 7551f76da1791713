"""The agents of a play, each of whose runs does what its message says and notes what happens to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.fakes import VirtualClock
from turnkeeper.actors.turn.turn import Turn

#: How many cancellations a run ignores, by what it does.
SWALLOWS = {"swallow": 1, "stubborn": 1_000}


class Run:
    """A coroutine of an agent's, from its first step to its last."""

    def __init__(self, turn: Turn, clock: VirtualClock) -> None:
        self.turn = turn
        self.do: str = turn.message["do"]
        #: When it began, and when it emitted something last.
        self.started_at = self.heard_at = clock.time()
        #: When a cancellation reached the coroutine.
        self.cancelled_at: list[float] = []
        #: Whether a task of the turn's has raised what would have ended the process.
        self.exited = False
        self._clock = clock
        self._word: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def say(self, word: Any) -> None:
        """Let it go on: return this, or raise it."""
        if not self._word.done():
            self._word.set_result(word)

    async def play(self) -> Any:
        """Do what the message says, and then what `say` says."""
        self.turn.context.messages.append(self.do)
        match self.do:
            case "return":
                return "at once"
            case "raise":
                raise ZeroDivisionError("at once")
            case "exit":
                raise SystemExit(3)
            case "chat":
                for n in range(3):
                    self.turn.emit("word", n)
        while True:
            try:
                word = await asyncio.shield(self._word)
                break
            except asyncio.CancelledError:
                self.cancelled_at.append(self._clock.time())
                if self.do == "answer":
                    return "in spite of it"
                if self.do == "break":
                    raise OSError("while it cleaned up") from None
                if len(self.cancelled_at) > SWALLOWS.get(self.do, 0):
                    raise
        if isinstance(word, Exception):
            raise word
        return word


class Agents:
    """The agents. ``living`` are the runs whose coroutine has begun and not ended."""

    def __init__(self, clock: VirtualClock, began: Callable[[Run], None]) -> None:
        self._clock = clock
        self._began = began
        self.living: list[Run] = []
        #: The turns whose generator has begun and was not closed.
        self.open_generators: list[Turn] = []
        #: Generators that another task than their own has closed.
        self.closed_by_others: list[Turn] = []

    def by_name(self) -> dict[str, Any]:
        return {"default": self.coroutine, "generator": self.generator, "plain": self.plain}

    async def coroutine(self, turn: Turn) -> Any:
        run = Run(turn, self._clock)
        self._began(run)
        self.living.append(run)
        try:
            return await run.play()
        finally:
            self.living.remove(run)

    async def generator(self, turn: Turn) -> AsyncIterator[Any]:
        own = asyncio.current_task()
        self.open_generators.append(turn)
        try:
            yield "a word"
            if turn.message["do"] == "raise":
                yield 5  # which is no event: it is not asked for more
            yield "end", await self.coroutine(turn)
        finally:
            self.open_generators.remove(turn)
            if asyncio.current_task() is not own:
                self.closed_by_others.append(turn)

    def plain(self, turn: Turn) -> Any:
        """A function that starts a task of its own, or raises before there is one."""
        match turn.message["do"]:
            case "raise":
                raise ZeroDivisionError("before there was a coroutine")
            case "exit":
                raise SystemExit(3)  # from a task of its own it would leave the loop
        return asyncio.get_running_loop().create_task(self.coroutine(turn))
