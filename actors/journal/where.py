"""Which journal a host means: one that it has made, the path of a file, or none."""

from os import PathLike
from typing import Final, TypeAlias

from turnkeeper.actors.model.exceptions import InvalidRequest

from .contract import Journal

#: What stands for no file: sessions end with the process.
IN_MEMORY: Final = ":memory:"
AnyJournal: TypeAlias = Journal | str | PathLike[str]


def journal_of(journal: AnyJournal | None) -> Journal | None:
    """The journal that is meant. Raises `InvalidRequest` for what is none."""
    if journal is None or journal == IN_MEMORY:
        return None
    if isinstance(journal, str | PathLike):
        raise InvalidRequest("files are not taken yet: pass a journal", field="journal")
    if not isinstance(journal, Journal):
        raise InvalidRequest("journal is the path of a file, or a journal", field="journal")
    return journal
