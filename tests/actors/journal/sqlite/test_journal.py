"""The journal in a file, held to the one in memory; and what only a file has."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.journal.logs import LIMITS, TAIL, append
from tests.actors.journal.walks import Walk
from turnkeeper.actors.journal.contract import History, Journal, Landed, Tail
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.journal.sqlite import SqliteJournal
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import SessionState

SMALL = Tail(events=7, event_bytes=400, messages=4, message_bytes=400, limits=replace(LIMITS, kept_turns=3))


async def seen(journal: Journal, session: str) -> Iterator[Any]:
    """All that the journal answers about a session."""
    session_id = SessionId(session)
    found: list[Any] = []
    for tail in (TAIL, SMALL):
        loaded = await journal.load(session_id, tail)
        if loaded is None:
            found.append(None)
            continue
        shown = [(event.id, event.name, event.json) for event in loaded.events]
        found += [replace(loaded, events=()), shown]
    events = [(event.id, event.name, event.json) async for event in journal.read(session_id, None)]
    found.append(events)
    if events:
        middle = events[len(events) // 2][0]
        assert middle is not None
        epoch, n = map(int, middle.split("-"))
        found.append([event.id async for event in journal.read(session_id, (epoch, n))])
    before: str | None = None
    for _ in range(3):
        page = await journal.turns(session_id, before, 3)
        found.append(page)
        before = page.before
    found += [await journal.messages(session_id, before, 3) for before in (None, 4, 1)]
    found += [await journal.turn(session_id, TurnId(turn)) for turn in ("t1", "t2")]
    return iter(found)


async def compare(one: Journal, other: Journal, sessions: list[str]) -> None:
    for session in sessions:
        for here, there in zip(await seen(one, session), await seen(other, session), strict=True):
            assert here == there
    asked: list[dict[str, Any]] = [{}, {"owner": "ada"}, {"q": "GROSSE"}, {"state": SessionState.CLOSED}]
    for each in asked:
        assert await one.sessions(limit=2, **each) == await other.sessions(limit=2, **each)


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(5, 60))
def test_whatever_is_written_a_file_says_the_same_as_memory(seed: int, steps: int) -> None:
    """Answers, loads, events, pages, and what is left when some is forgotten."""
    with TemporaryDirectory() as folder:
        asyncio.run(walk(Path(folder) / "turnkeeper.db", Random(seed), steps))


async def walk(path: Path, random: Random, steps: int) -> None:
    memory = MemoryJournal(clock=lambda: 1e6)
    file = SqliteJournal(path, durability="normal", clock=lambda: 1e6)
    await file.open()
    walks = [Walk(name, owner, random) for name, owner in (("a", "ada"), ("b", "bob"), ("c", "ada"))]
    heads: dict[str, int | None] = {}
    for step in range(steps):
        each = random.choice(walks)
        entries = each.next(float(step))
        after = heads.get(each.session)
        for head in {after, random.choice([after, after, 1])}:
            key = f"key-{step}-{head}"
            answers = [
                await append(journal, each.session, head, *entries, key=key) for journal in (memory, file)
            ]
            assert answers[0] == answers[1]
            if isinstance(answers[0], Landed):
                heads[each.session] = answers[0].head
                break
    await compare(memory, file, list("abcd"))
    await file.close()
    assert sorted(await file.open()) == sorted(await memory.open())
    await compare(memory, file, list("abc"))
    history = History(age=None, sessions=1, bytes=1 << 30, bytes_in_all=1 << 30)
    in_use = frozenset({SessionId("c")})
    assert await memory.prune(history, in_use) == await file.prune(history, in_use)
    await compare(memory, file, list("abc"))
    await file.close()
