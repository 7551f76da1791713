"""Journals in files, as a server leaves them."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.actors.journal.logs import append
from tests.actors.journal.walks import Walk
from turnkeeper.actors.journal.contract import Landed
from turnkeeper.actors.journal.sqlite import SqliteJournal

WALKS = (("a", "ada"), ("b", "bob"), ("c", "ada"))


async def written(path: Path, random: Random, steps: int, walks: Sequence[tuple[str, str]] = WALKS) -> None:
    """A journal with some sessions in it, written at random."""
    file = SqliteJournal(path, durability="normal")
    await file.open()
    heads: dict[str, int | None] = {}
    going = [Walk(name, owner, random) for name, owner in walks]
    for step in range(steps):
        each = random.choice(going)
        answer = await append(file, each.session, heads.get(each.session), *each.next(float(step)))
        assert isinstance(answer, Landed)
        heads[each.session] = answer.head
    await file.close()
