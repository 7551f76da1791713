"""How `turnkeeper serve` writes its log: as text for people, or as JSON, one object a line, for programs.

Either way one record is one entry, whatever logged it and whatever texts of agents and users are in it, and
names the turn that it is about.
"""

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from textwrap import dedent
from types import TracebackType
from typing import Any, Final, TypeAlias, assert_never

from turnkeeper.actors.model.logger import FIELDS, MARGIN, about, escaped, indented, logger, shortened
from turnkeeper.actors.turn.turn import current
from turnkeeper.web.http.settings import LogFormat, LogLevel

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
#: The loggers of turnkeeper itself: their records name their turns themselves.
OURS: Final = frozenset({"turnkeeper", "pykka"})
#: What every record has, and its message once it is formatted.
_USUAL: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


def name_turn(record: logging.LogRecord) -> bool:
    """A filter that gives a record the fields of the turn that logged it: an agent's, or a library's.

    It knows the turn in the turn's own task, and in tasks and threads (`asyncio.to_thread`) that it starts.
    """
    turn = current.get()
    if turn is not None and record.name.partition(".")[0] not in OURS:
        for name, value in about(turn.session_id, turn.spec.head).items():
            vars(record).setdefault(name, value)
    return True


class TextFormatter(logging.Formatter):
    """Only the first line of an entry begins at the margin."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The entry's own lines: of more than one, all but the first are indented."""
        fields = vars(record)
        text = super().formatMessage(record)
        turn = fields.get("turn")
        if turn is not None and str(turn) not in text:
            text += f" (in turn {turn} of session {fields.get('session')}, user {fields.get('user')})"
        return f"\n{MARGIN}".join(map(escaped, text.split("\n")))

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        """The traceback, indented."""
        return indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The stack, indented."""
        lines = stack_info.split("\n")
        return stack_info if all(line.startswith(MARGIN) for line in lines) else indented(stack_info)


class JsonFormatter(logging.Formatter):
    """An object on one line: when, how grave, which logger, the message, the fields, and what went wrong."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, in ASCII. What was given as ``extra=`` is in it, as text if JSON has no such type."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        given = vars(record)
        for name in (*FIELDS, *(name for name in given if name not in _USUAL)):
            if name in given:
                entry.setdefault(name, _plain(given[name]))
        if record.exc_info:
            entry["exception"] = shortened(self.formatException(record.exc_info))
        elif record.exc_text:
            entry["exception"] = dedent(record.exc_text)
        if record.stack_info:
            entry["stack"] = shortened(dedent(record.stack_info))
        return json.dumps(entry)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)


def _formatter(how: LogFormat) -> logging.Formatter:
    match how:
        case LogFormat.TEXT:
            return TextFormatter()
        case LogFormat.JSON:
            return JsonFormatter()
        case _:
            assert_never(how)


#: What logging calls the levels.
_LEVELS: Mapping[LogLevel, int] = {level: logging.getLevelNamesMapping()[level.name] for level in LogLevel}


def log_to_stderr(how: LogFormat, level: LogLevel) -> None:
    """Write the log there, unless the root logger has a handler, which is the host's to format."""
    handler = logging.StreamHandler()
    handler.addFilter(name_turn)
    handler.setFormatter(_formatter(how))
    logging.basicConfig(handlers=[handler])
    logger.setLevel(_LEVELS[level])
