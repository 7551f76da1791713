"""Which journal a host means: one that it has made, the path of a file, or none."""

from os import PathLike
from typing import Final, TypeAlias

from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.session.settings import Settings

from .contract import Journal
from .sqlite.journal import SqliteJournal

#: What stands for no file: sessions end with the process.
IN_MEMORY: Final = ":memory:"
AnyJournal: TypeAlias = Journal | str | PathLike[str]


def journal_of(journal: AnyJournal | None, settings: Settings) -> Journal | None:
    """The journal that is meant. Raises `InvalidRequest` for what is none."""
    if journal is None or journal == IN_MEMORY:
        return None
    if isinstance(journal, str | PathLike):
        return SqliteJournal(journal, durability=settings.durability, sizes=Sizes.of(settings))
    if not isinstance(journal, Journal):
        raise InvalidRequest("journal is the path of a file, or a journal", field="journal")
    return journal
