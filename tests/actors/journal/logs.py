"""Logs to write in tests: entries, appends, and an address that notes the answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from turnkeeper.actors.journal.contract import Answer, Append, Head, Journal, Landed, Tail
from turnkeeper.actors.journal.entries import Accepted, Ended, Entry, Events, Opened, Spec, Started
from turnkeeper.actors.model.records import Epoch, SessionId, TurnHead, TurnId
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.states import Limits

LIMITS = Limits(
    kept_turns=20,
    turn_retention=3600.0,
    early_cancels=8,
    early_cancel_ttl=30.0,
    quarantined=8,
    result=65_536,
)
TAIL = Tail(events=100, event_bytes=100_000, messages=100, message_bytes=100_000, limits=LIMITS)
_keys = count()


@dataclass
class Told:
    """An address that notes what it is told."""

    answers: list[Answer] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def tell_if_alive(self, message: Any, /) -> bool:
        self.answers.append(message)
        self._told.set()
        return True

    async def first(self) -> Answer:
        """The first answer, when it is there."""
        await self._told.wait()
        return self.answers[0]


def spec(turn: str, at: float = 0.0, message: Any = "hello", user: str = "ada") -> Spec:
    """What was sent as that turn."""
    return Spec(TurnHead(TurnId(turn), user, "default", at), message, 5.0)


def opened(owner: str = "ada", at: float = 0.0) -> Opened:
    """The first entry of a log."""
    return Opened(owner, at)


def started(turn: str, epoch: Epoch, at: float = 1.0, message: Any = "hello") -> Started:
    """A turn starts that did not have to wait."""
    return Started(TurnId(turn), epoch, at, spec(turn, at, message))


def accepted(turn: str, at: float = 1.0) -> Accepted:
    """A turn waits."""
    return Accepted(spec(turn, at), at)


def events(epoch: Epoch, n: int, *data: Any, name: str = "delta") -> Events:
    """An agent has emitted those."""
    return Events(epoch, n, tuple((name, raw(each)) for each in data))


def raw(data: Any) -> msgspec.Raw:
    """Data as JSON."""
    return msgspec.Raw(msgspec.json.encode(data))


def ended(
    turn: str,
    n: int | None,
    at: float = 2.0,
    *,
    keep: int | None = None,
    add: Sequence[Any] = (),
    status: TurnStatus = TurnStatus.COMPLETED,
    **more: Any,
) -> Ended:
    """A turn has ended; it left ``keep`` messages, and ``add`` after them."""
    left = None if keep is None else raw(list(add))
    return Ended(TurnId(turn), status, at, n=n, keep=keep, add=left, **more)


async def append(
    journal: Journal,
    session: str,
    after: int | None,
    *entries: Entry,
    key: str | None = None,
) -> Answer:
    """Append, and wait for the answer."""
    told = Told()
    made = Append(
        SessionId(session),
        None if after is None else Head(after),
        entries,
        key or f"key-{next(_keys)}",
        told,
    )
    journal.append(made)
    return await told.first()


async def head_after(journal: Journal, session: str, after: int | None, *entries: Entry) -> int:
    """Append, and return where the session stands then."""
    answer = await append(journal, session, after, *entries)
    assert isinstance(answer, Landed), answer
    return answer.head


async def one_turn(
    journal: Journal,
    session: str = "s1",
    turn: str = "t1",
    epoch: Epoch = 1,
    after: int | None = None,
    *,
    at: float = 1.0,
    owner: str = "ada",
    said: Sequence[Any] | None = None,
    keep: int = 0,
    data: Sequence[Any] = (),
) -> int:
    """A turn from its start to its end; return where the session stands then."""
    opening = (opened(owner, at),) if after is None else ()
    head = await head_after(journal, session, after, *opening, started(turn, epoch, at))
    if data:
        await head_after(journal, session, head, events(epoch, 1, *data))
    end = ended(turn, 1 + len(data), at + 0.5, keep=None if said is None else keep, add=said or ())
    return await head_after(journal, session, head, end)
