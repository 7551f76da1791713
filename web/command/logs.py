"""How `turnkeeper serve` writes its log."""

import logging
from types import TracebackType
from typing import TypeAlias

from turnkeeper.actors.model.logger import MARGIN, escaped, indented

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class EntryFormatter(logging.Formatter):
    """Only the first line of an entry begins at the margin, whatever logged it and whatever it contains."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The entry's own lines: of more than one, all but the first are indented."""
        lines = super().formatMessage(record).split("\n")
        return f"\n{MARGIN}".join(map(escaped, lines))

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        """The traceback, indented."""
        return indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The stack, indented."""
        lines = stack_info.split("\n")
        return stack_info if all(line.startswith(MARGIN) for line in lines) else indented(stack_info)


def log_to_stderr() -> None:
    """Write the log there, from warnings on, unless the root logger has a handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(EntryFormatter())
    logging.basicConfig(handlers=[handler])
