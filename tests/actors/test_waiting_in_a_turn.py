"""A turn that waits for another one: which of the two was cancelled, however it waits.

`TurnCancelled`, an Exception, says "the turn that I waited for was cancelled"; CancelledError only ever says
"I am cancelled", and it wins where both are so at once. What a caller outside of turns gets stays as it was.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, opened, settle
from turnkeeper.actors.model.exceptions import TurnCancelled, TurnFailed
from turnkeeper.actors.model.messages import AwaitTurn, Cancel, Close, Send
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.services import send_message_to_agent
from turnkeeper.actors.turn.turn import Turn

# -- Ways to wait -------------------------------------------------------------------------------------

Way = Callable[[SessionRegistry], Awaitable[Any]]


async def a_call(_: SessionRegistry) -> None:
    await send_message_to_agent("child", "hello")


async def a_result(registry: SessionRegistry) -> None:
    await (await registry.send("child", "hello")).result()


async def a_task(_: SessionRegistry) -> None:
    await asyncio.create_task(send_message_to_agent("child", "hello"))


async def a_task_of_a_task(registry: SessionRegistry) -> None:
    await asyncio.create_task(a_task(registry))


async def a_task_for_the_result(registry: SessionRegistry) -> None:
    await asyncio.create_task(a_result(registry))


async def gathered(registry: SessionRegistry) -> None:
    await asyncio.gather(a_call(registry), asyncio.sleep(0))


async def with_wait_for(registry: SessionRegistry) -> None:
    await asyncio.wait_for(a_call(registry), 60)


async def with_a_timeout(registry: SessionRegistry) -> None:
    async with asyncio.timeout(60):
        await a_call(registry)


async def shielded(registry: SessionRegistry) -> None:
    await asyncio.shield(a_result(registry))


async def in_a_task_group(registry: SessionRegistry) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(a_call(registry))
    except* TurnCancelled as errors:
        [error] = errors.exceptions
    else:
        return
    raise error


WAYS: list[Way] = [
    a_call,
    a_result,
    a_task,
    a_task_of_a_task,
    a_task_for_the_result,
    gathered,
    with_wait_for,
    with_a_timeout,
    shielded,
    in_a_task_group,
]
#: Where Python may lose a cancel that comes when the task waited for has just failed, up to which version.
LOSES: dict[Way, tuple[int, int]] = {with_wait_for: (3, 11), in_a_task_group: (3, 12)}
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


class Family:
    """A turn of the session ``parent`` waits for one of ``child``, which runs until it is stopped."""

    registry: SessionRegistry

    def __init__(self, way: Way, *, swallows: float = 0, stays: bool = False) -> None:
        self.way = way
        self.child = ScriptedAgent(swallows)
        self.raised: list[str] = []
        #: Whether the parent then waits to be stopped itself.
        self.stays = stays

    async def parent(self, _: Turn) -> str:
        """Wait for the child, note what came of it, and go on if the parent itself was not cancelled."""
        try:
            await self.way(self.registry)
        except BaseException as error:
            self.raised.append(type(error).__name__)
            if not isinstance(error, Exception):
                raise
        if self.stays:
            await asyncio.Event().wait()
        return "went on"

    async def started(self, registry: SessionRegistry) -> Any:
        """Both turns run; returns the parent's receipt."""
        self.registry = registry
        receipt = await registry.send("parent", "hello", agent="parent")
        await self.child.run()
        await settle()
        return receipt

    def opened(self, **settings: Any) -> Any:
        return opened({"default": self.child, "parent": self.parent}, **settings)


# -- The other turn was cancelled ---------------------------------------------------------------------


@each_way
async def test_a_turn_goes_on_when_the_one_it_waits_for_is_stopped(way: Way) -> None:
    family = Family(way)
    async with family.opened() as registry:
        receipt = await family.started(registry)
        await registry.cancel("child")
        assert await receipt.result() == "went on"
        assert family.raised == ["TurnCancelled"]


ENDS: dict[str, tuple[Callable[[], Any], TurnStatus]] = {
    "stopped": (lambda: Cancel("child"), TurnStatus.CANCELLED),
    "superseded": (lambda: Send("child", "instead"), TurnStatus.CANCELLED),
    "closed": (lambda: Close("child"), TurnStatus.CANCELLED),
    "given up": (lambda: Cancel("child"), TurnStatus.UNRESPONSIVE),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", [a_call, a_result], ids=lambda way: way.__name__)
async def test_the_error_says_how_the_other_turn_ended(way: Way, end: str, clock: VirtualClock) -> None:
    message, status = ENDS[end]
    caught: list[TurnCancelled] = []

    async def noted(registry: SessionRegistry) -> None:
        try:
            await way(registry)
        except TurnCancelled as error:
            caught.append(error)

    family = Family(noted, swallows=FOREVER if status is TurnStatus.UNRESPONSIVE else 0)
    async with family.opened() as registry:
        receipt = await family.started(registry)
        await registry.ask(message())
        assert await receipt.result() == "went on"
    assert [error.status for error in caught] == [status]


async def test_a_turn_that_lets_it_through_fails_with_its_code_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    family = Family(a_call)

    async def parent(_: Turn) -> None:
        await a_call(family.registry)

    async with opened({"default": family.child, "parent": parent}) as registry:
        receipt = await family.started(registry)
        await registry.cancel("child")
        ended = await receipt.ended()
    assert (ended.status, ended.error.code) == (TurnStatus.FAILED, "turn_cancelled")
    [failure] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert failure.exc_info is None


async def test_a_task_that_has_outlived_its_turn_is_not_cancelled_with_another_one() -> None:
    child, left = ScriptedAgent(), asyncio.Queue[asyncio.Task[None]]()

    async def parent(_: Turn) -> None:
        left.put_nowait(asyncio.create_task(a_call(registry)))

    async with opened({"default": child, "parent": parent}) as registry:
        await (await registry.send("parent", "hello", agent="parent")).result()
        await child.run()
        await registry.cancel("child")
        with pytest.raises(TurnCancelled):
            await left.get_nowait()


# -- The turn itself was cancelled --------------------------------------------------------------------


@each_way
async def test_a_turn_that_is_stopped_itself_is_cancelled_and_takes_the_other_one_along(
    way: Way, clock: VirtualClock
) -> None:
    family = Family(way)
    async with family.opened() as registry:
        await family.started(registry)
        answer = await registry.cancel("parent")
        assert answer.turn is not None
        assert (answer.turn.status, family.raised) == (TurnStatus.CANCELLED, ["CancelledError"])
        await settle()
        took_along = way not in (a_result, a_task_for_the_result, shielded)  # a receipt can be awaited again
        assert (len(await registry.active()) == 0) is took_along


@each_way
@pytest.mark.parametrize("first", ["child", "parent"])
async def test_of_two_cancels_at_once_that_of_the_turn_itself_wins(
    way: Way, first: str, clock: VirtualClock
) -> None:
    family = Family(way)
    async with family.opened() as registry:
        receipt = await family.started(registry)
        both = ("child", "parent") if first == "child" else ("parent", "child")
        await asyncio.gather(*[registry.ask(Cancel(session)) for session in both])
        ended = await receipt.ended()
        assert (ended.status, family.raised) == (TurnStatus.CANCELLED, ["CancelledError"])


@each_way
@pytest.mark.parametrize("passes", range(12))
async def test_no_cancel_is_lost_however_closely_it_follows_on_that_of_the_other_turn(
    way: Way, passes: int, clock: VirtualClock
) -> None:
    """The parent is stopped so many passes of the loop after its child."""
    family = Family(way, stays=True)
    async with family.opened(cancel_grace=4) as registry:
        receipt = await family.started(registry)
        before = clock.elapsed
        stops = [registry.ask(Cancel("child"))]
        await settle(passes)
        stops.append(registry.ask(Cancel("parent")))
        await asyncio.gather(*stops)
        ended = await receipt.ended()
        assert ended.status is TurnStatus.CANCELLED
        assert family.raised in (["CancelledError"], ["TurnCancelled"])
        # What Python loses comes again at half of the grace.
        may_be_lost = sys.version_info[:2] <= LOSES.get(way, (0, 0)) and family.raised == ["TurnCancelled"]
        assert clock.elapsed - before <= (2.1 if may_be_lost else 0.1)


# -- Callers outside of turns -------------------------------------------------------------------------


@pytest.mark.parametrize("way", [a_call, a_task, gathered, with_wait_for], ids=lambda way: way.__name__)
async def test_a_caller_outside_of_turns_still_gets_a_cancelled_error(way: Way) -> None:
    child = ScriptedAgent()
    async with opened(child) as registry:
        call = asyncio.ensure_future(way(registry))
        await child.run()
        await registry.cancel("child")
        await asyncio.wait({call})
        assert call.cancelled()


async def test_a_receipts_result_is_turn_cancelled_outside_of_turns_too() -> None:
    child = ScriptedAgent()
    async with opened(child) as registry:
        receipt = await registry.send("child", "hello")
        await registry.cancel("child")
        with pytest.raises(TurnCancelled):
            await receipt.result()


async def test_what_the_other_turn_raised_is_still_raised_in_a_turn() -> None:
    async def child(_: Turn) -> None:
        raise ZeroDivisionError

    async def parent(_: Turn) -> list[str]:
        raised = []
        for way in (a_call, a_result):
            try:
                await way(registry)
            except (ZeroDivisionError, TurnFailed) as error:
                raised.append(type(error).__name__)
        return raised

    async with opened({"default": child, "parent": parent}) as registry:
        receipt = await registry.send("parent", "hello", agent="parent")
        assert await receipt.result() == ["ZeroDivisionError", "TurnFailed"]


async def test_the_end_of_another_turn_can_be_asked_for_without_any_of_this() -> None:
    child = ScriptedAgent()

    async def parent(_: Turn) -> str:
        receipt = await registry.send("child", "hello")
        await registry.cancel("child")
        by_id = await registry.ask(AwaitTurn("child", receipt.turn_id))
        assert (await receipt.ended()).status is by_id.turn.status
        return (await receipt.end()).turn.status.value

    async with opened({"default": child, "parent": parent}) as registry:
        receipt = await registry.send("parent", "hello", agent="parent")
        assert await receipt.result() == "cancelled"
