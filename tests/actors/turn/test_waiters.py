"""Those who wait for the end of a turn of one session."""

import asyncio
from typing import Any

import pytest

from tests.fakes import settle
from turnkeeper.actors.model.exceptions import ShuttingDown
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import TurnHead, TurnId, TurnRecord
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.turn.waiters import Waiters


def end_of(turn: str) -> TurnEnd:
    return TurnEnd(TurnRecord(TurnHead(TurnId(turn), "ada", "default", 1.0), 1, TurnStatus.COMPLETED), None)


def waiting(*turns: str) -> tuple[Waiters, list[AsyncioFuture[Any]]]:
    """Waiters, with an address that waits for each of these turns."""
    waiters, addresses = Waiters(), [AsyncioFuture[Any]() for _ in turns]
    for turn, address in zip(turns, addresses, strict=True):
        waiters.add(TurnId(turn), address)
    return waiters, addresses


def test_all_who_wait_for_a_turn_are_answered_at_its_end_and_no_one_else() -> None:
    waiters, (first, second, other) = waiting("t1", "t1", "t2")
    end = end_of("t1")
    waiters.answer(end)
    assert first.get() is second.get() is end
    assert not other.done()
    assert waiters


def test_the_end_of_a_turn_that_is_not_waited_for_changes_nothing() -> None:
    waiters, (address,) = waiting("t1")
    waiters.answer(end_of("t2"))
    assert not address.done()


async def test_a_turn_is_waited_for_until_the_last_one_gives_up() -> None:
    waiters, (address, _) = waiting("t1", "t2")
    assert not waiters.wait_for(TurnId("t1"))
    wait = asyncio.ensure_future(answer_of(address))
    await settle()
    assert waiters.wait_for(TurnId("t1"))
    assert not waiters.wait_for(TurnId("t2"))
    wait.cancel()
    await settle()
    assert not waiters.wait_for(TurnId("t1"))


async def answer_of(address: AsyncioFuture[Any]) -> Any:
    return await address


def test_when_the_last_one_was_answered_none_waits() -> None:
    waiters, _ = waiting("t1")
    waiters.answer(end_of("t1"))
    assert not waiters


def test_all_are_refused_when_no_turn_will_end_any_more() -> None:
    waiters, addresses = waiting("t1", "t2")
    waiters.refuse(ShuttingDown("the server is shutting down"))
    for address in addresses:
        with pytest.raises(ShuttingDown):
            address.get()
    assert not waiters
