"""FakeTurn: a turn of a test's own, for a test of one agent."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from turnkeeper.actors.events.event import END_NAMES, RESERVED_NAMES, Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.exceptions import AlreadyStarted, EventsLost, LoopClosed, TurnFailed
from turnkeeper.actors.model.messages import CancelAnswer
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.receipt import Receipt
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.views import find_turn
from turnkeeper.actors.turn.agent import AnyAgent, LoadContext, SaveContext
from turnkeeper.actors.turn.recorder import DELTA
from turnkeeper.actors.turn.winding.hooks import OnInterrupt, OnTurnEnd

from .opening import AGENT, SESSION, TURN, USER, Opening

_ENDS = frozenset(END_NAMES.values())


class FakeTurn:
    """One turn, whose agent a test names: ``async with FakeTurn("hello") as turn``.

    ``await turn.run(agent)`` runs it to its end; or ``await turn.start(agent)`` lets it run, beside the test.
    Nothing of the turn is a fake but its sender: the agent runs in a real `SessionRegistry` and is given a
    real `Turn`. ``messages`` and ``data`` are what the conversation begins with, or ``load_context`` brings
    it; ``agents`` are others, by their names, to which it may send, and ``on_interrupt`` and ``on_turn_end``
    are the hooks that a host gives its registry. Leaving the block cancels the turn, if it still runs, and
    closes the registry.
    """

    def __init__(
        self,
        message: Any = "hello",
        *,
        user: str = USER,
        messages: Sequence[Any] = (),
        data: Mapping[str, Any] | None = None,
        agents: Mapping[str, AnyAgent] | None = None,
        settings: Settings | None = None,
        load_context: LoadContext | None = None,
        save_context: SaveContext | None = None,
        on_interrupt: OnInterrupt | None = None,
        on_turn_end: OnTurnEnd | None = None,
    ) -> None:
        self._message = message
        self._opening = Opening(
            user=user,
            messages=messages,
            data=data,
            agents=agents,
            settings=settings,
            load_context=load_context,
            save_context=save_context,
            on_interrupt=on_interrupt,
            on_turn_end=on_turn_end,
        )
        self._stack = AsyncExitStack()
        self._registry: SessionRegistry | None = None
        self._receipt: Receipt | None = None
        self._reading: Subscription | None = None
        self._events: list[Event] = []
        self._record: TurnRecord | None = None
        self._messages: tuple[Any, ...] = ()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            if self._registry is not None and self._receipt is not None:
                await self._registry.cancel(SESSION, TURN)
                self._take()
                self._messages = await self.conversation()
                self._record = self.record
        finally:
            self._registry = None
            await self._stack.aclose()

    # -- The agent --------------------------------------------------------------------------------------

    async def start(self, agent: AnyAgent) -> None:
        """Let an agent run for this turn; returns when it has made its first step.

        Raises `AlreadyStarted` the second time. Cancelling it leaves the turn to the end of the block.
        """
        if self._registry is not None:
            raise AlreadyStarted("this turn was started before: make another one")
        registry = self._registry = await self._stack.enter_async_context(self._opening.registry(agent))
        self._receipt = await registry.send(
            SESSION, self._message, user=self._opening.user, agent=AGENT, turn_id=TURN
        )
        self._reading = await registry.subscribe(SESSION, after="0", close_on="never")
        self._stack.callback(self._reading.close)

    async def run(self, agent: AnyAgent) -> Any:
        """Run an agent for this turn, and return what it returns. Raises as `result` does.

        Cancelling it leaves the turn to the end of the block.
        """
        await self.start(agent)
        return await self.result()

    async def result(self) -> Any:
        """Wait for the end, and return what the agent returned.

        Raises what the agent raised, and `TurnCancelled` where the turn was cancelled or ran out of time.
        Cancelling it leaves the turn alone.
        """
        try:
            return await self._begun().result()
        except TurnFailed as failed:
            if failed.__cause__ is None:
                raise
            raise failed.__cause__ from None

    async def cancel(self, *, wait: bool = True, text: str | None = None) -> CancelAnswer:
        """Stop the turn as a user does, and return what that came to; ``wait=False``: at once.

        Cancelling it does not take the cancel back.
        """
        self._begun()
        assert self._registry is not None
        return await self._registry.cancel(SESSION, TURN, user=self._opening.user, wait=wait, text=text)

    # -- What it says -----------------------------------------------------------------------------------

    @property
    def emitted(self) -> list[tuple[str, Any]]:
        """The events that the agent has emitted so far: their names, and their data as readers get it.

        Raises `EventsLost` where more was emitted in one step than ``log_bytes`` of the settings keep.
        """
        self._take()
        return [(event.name, event.data) for event in self._events if event.name not in RESERVED_NAMES]

    @property
    def said(self) -> str:
        """The text of its ``delta`` events so far."""
        return "".join(data["text"] for name, data in self.emitted if name == DELTA)

    async def until(self, event: str) -> Any:
        """Wait until the agent has emitted an event of this name, and return the data of the first one.

        Raises AssertionError if the turn ends without. Cancelling it leaves the turn alone.
        """
        self._begun()
        while True:
            for name, data in self.emitted:
                if name == event:
                    return data
            if any(each.name in _ENDS for each in self._events):
                raise AssertionError(f"the turn ended as {self.status}, and emitted no {event!r}")
            if self._reading is not None:
                self._keep(await self._reading.read())

    def _take(self) -> None:
        while self._reading is not None and (batch := self._reading.take()):
            self._keep(batch)

    def _keep(self, batch: list[Event]) -> None:
        epoch = self._begun().epoch
        for event in batch:
            if event.epoch == epoch:
                if event.n != len(self._events):
                    raise EventsLost("more was emitted in one step than Settings(log_bytes=...) keeps")
                self._events.append(event)

    # -- What came of it --------------------------------------------------------------------------------

    @property
    def record(self) -> TurnRecord:
        """What is known of the turn. Raises `LoopClosed` before it is started."""
        if self._record is not None:
            return self._record
        self._begun()
        assert self._registry is not None
        found = find_turn(self._registry.directory.entries[self._begun().session_id].state, TURN)
        assert found is not None
        return found

    @property
    def status(self) -> TurnStatus:
        """The turn's status now. Raises `LoopClosed` before it is started."""
        return self.record.status

    async def conversation(self) -> tuple[Any, ...]:
        """The messages as they are kept, at the end with those of this turn. Empty with a ``load_context``.

        Cancelling it changes nothing.
        """
        if self._registry is None or self._opening.load_context is not None:
            return self._messages
        return (await self._registry.messages(SESSION)).messages

    def _begun(self) -> Receipt:
        if self._receipt is None:
            raise LoopClosed("this turn has not been started: await turn.start(agent)")
        return self._receipt

    def __repr__(self) -> str:
        return f"<FakeTurn {self._message!r}, {'not started' if self._receipt is None else self.status}>"
