"""What a log says that readers were sent is what they were sent."""

import json
from typing import Any

import msgspec
import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, names, opened, settle, waiting
from tests.turns import head
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.journal.contract import Append
from turnkeeper.actors.journal.durable import Durable, OpenTurn
from turnkeeper.actors.journal.entries import (
    Accepted,
    AttemptEnded,
    Edited,
    Ended,
    Entry,
    Events,
    Opened,
    Spec,
    Started,
    decode,
    encode,
    turn_spec,
)
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.journal.replay import replay
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Limits
from turnkeeper.actors.turn.turn import Turn

SESSION, T1, T2 = SessionId("s1"), TurnId("t1"), TurnId("t2")
NOTHING = Durable(SESSION, "ada")
#: A result may be too large to be kept, and be shown all the same.
SMALL = {"shown_part": 200, "log_bytes": 3_000, "kept_result": 100}


def seen(events: list[Event]) -> list[tuple[Any, ...]]:
    """What a reader sees of each."""
    return [(event.name, event.id, event.json, event.turn_id) for event in events]


class Written(MemoryJournal):
    """A journal that shows its entries, as they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []

    def append(self, append: Append) -> None:
        self.entries += [decode(encode(entry)) for entry in append.entries]
        super().append(append)


async def test_all_that_readers_are_sent_can_be_replayed(clock: VirtualClock) -> None:
    journal, agent = Written(), ScriptedAgent(swallows=FOREVER)
    async with opened({"plain": plain, "scripted": agent}, journal=journal, cancel_grace=2.0) as registry:
        stream = await registry.subscribe(SESSION, close_on="never")
        for text in ("hello", "é" * 50, "fail", [{"type": "text", "text": "in parts", "n": 1.5}]):
            receipt = await registry.send(SESSION, text, agent="plain")
            await receipt.ended()
        await registry.cancel(SESSION, "early")
        await registry.send(SESSION, "too late", agent="plain", turn_id="early")
        await registry.send(SESSION, "it does not stop", agent="scripted")
        for text in ("it waits", "it takes its place"):
            await registry.send(SESSION, text, agent="plain", wait=False)
        await registry.send(SESSION, "it waits", agent="plain", turn_id="later", strategy="enqueue")
        await registry.edit(SESSION, "later", [{"type": "text", "text": "é" * 100_000}])
        await clock.advance(3.0)
        agent.release()
        await settle()
        sent = waiting(stream)
        stream.close()
    replayed = list(replay(Durable(SESSION), journal.entries, Sizes.of(Settings())))
    assert seen(replayed) == seen(own(sent))
    assert {"turn.queued", "turn.edited", "turn.failed", "turn.cancelled", "turn.unresponsive"} <= set(
        names(replayed)
    )


async def test_what_is_too_large_to_be_shown_is_shown_as_it_was() -> None:
    journal = Written()
    sent: list[Event] = []
    async with opened(plain, journal=journal, **SMALL) as registry:
        stream = await registry.subscribe(SESSION)
        for text in ("long " * 100, "long enough that it is not shown, and not returned " * 80):
            await (await registry.send(SESSION, text)).ended()
            sent += waiting(stream)
        stream.close()
    replayed = list(replay(Durable(SESSION), journal.entries, Sizes.of(Settings(**SMALL))))
    assert seen(replayed) == seen(own(sent))
    assert [event.data["message"][0]["elided"] for event in replayed if event.name == "turn.started"] == [
        True,
        True,
    ]
    assert [event.data["result"] is None for event in replayed if event.name == "turn.completed"] == [
        False,
        True,
    ]


async def plain(turn: Turn) -> Any:
    """An agent that emits something, and returns or raises something."""
    turn.emit("word", {"n": 1e16, "text": "é"})
    turn.emit("word")
    if turn.text == "fail":
        raise ValueError("it fails")
    return {"of": turn.text, "n": [1, 2.0, None, True]}


def own(sent: list[Event]) -> list[Event]:
    """What is in the log of what a session published: nothing about the stream itself, and no places."""
    return [event for event in sent if event.name not in {"snapshot", "close", "turn.places"}]


# -- From the middle --------------------------------------------------------------------------------

SIZES = Sizes.of(Settings())
LIMITS = Limits(20, 3600.0, 8, 30.0, 8, 1_000)
LOG: list[Entry] = [
    Opened("ada", 1.0),
    Started(T1, 7, 1.0, Spec(head("t1"), "hi", 4.0)),
    Events(7, 1, (("word", msgspec.Raw(b"1")), ("word", msgspec.Raw(b"2")))),
    Accepted(Spec(head("t2"), "hi again", 4.0), 2.0),
    Edited(T2, "hi all", by="ada"),
    Edited(T2, "hi all of you", joined=2),
    Ended(T1, TurnStatus.UNRESPONSIVE, 3.0, n=3, superseded_by=T2),
    Started(T2, 8, 3.0),
    Ended(T2, TurnStatus.COMPLETED, 4.0, n=1, result="done"),
]


@pytest.mark.parametrize("at", range(len(LOG) + 1))
def test_a_log_can_be_replayed_from_any_entry_on(at: int) -> None:
    whole = list(replay(NOTHING, LOG, SIZES))
    before = fold(NOTHING, LOG[:at], LIMITS)
    assert seen([*replay(NOTHING, LOG[:at], SIZES), *replay(before, LOG[at:], SIZES)]) == seen(whole)


def test_only_the_turns_that_are_open_have_to_be_known() -> None:
    first = OpenTurn(turn_spec(Spec(head("t1"), None, 4.0), SESSION), 7, 1.0)
    (ended,) = replay(Durable(SESSION, holder=first), LOG[6:7], SIZES)
    assert (ended.id, json.loads(ended.json)["superseded_by"]) == ("7-3", "t2")


def test_a_turn_that_is_not_known_cannot_be_replayed() -> None:
    with pytest.raises(ValueError, match="t2 starts, which was not accepted"):
        list(replay(NOTHING, LOG[7:], SIZES))


def test_the_end_of_an_attempt_is_the_first_event_of_an_epoch_of_its_own() -> None:
    *_, interrupted = replay(NOTHING, [*LOG[:3], AttemptEnded(T1, 9, 2.0, "7-2")], SIZES)
    assert (interrupted.name, interrupted.id) == ("turn.interrupted", "9-0")
