"""The logger of turnkeeper: one record is one entry, whatever the texts of agents and users in it say.

A newline in such a text would begin a line that looks like a record of its own, and an escape sequence can
rewrite what a terminal shows. A message stays on one line, and each line of a traceback is indented, whatever
formats them: only the first line of an entry begins at the margin.

What a record is about are attributes of it, for whatever formats or filters it:
``logger.info("...", extra=about(session_id, spec.head, ms=3.1))`` gives the record a ``session``, a ``turn``,
a ``user``, an ``agent`` and ``ms``.
"""

import logging
import re
from typing import TypedDict

from .records import TurnHead

# Whatever begins a line, moves a cursor, turns the direction of what follows, or cannot be written.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_BUT_NEWLINE = re.compile("(?!\n)" + _CONTROL.pattern)
MARGIN = "    "
#: How many characters of a traceback are logged: the text of an exception may be of any length.
MOST = 32_768

_formatter = logging.Formatter()


def _spelled(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


def escaped(text: str) -> str:
    """The text on one line: its control characters are spelled out."""
    return _CONTROL.sub(_spelled, text)


def shortened(text: str) -> str:
    """The text, at most `MOST` of it: its beginning and its end."""
    if len(text) <= MOST:
        return text
    left_out = len(text) - MOST
    return f"{text[: MOST // 2]}\n... {left_out} characters are left out ...\n{text[-MOST // 2 :]}"


def indented(text: str) -> str:
    """The text with each of its lines indented and control characters spelled out, at most `MOST` of it."""
    lines = _CONTROL_BUT_NEWLINE.sub(_spelled, shortened(text)).split("\n")
    return "\n".join(MARGIN + line for line in lines)


def one_entry(record: logging.LogRecord) -> bool:
    """A filter that makes a record one entry. It lets everything through."""
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the handler will complain of it
        return True
    line = escaped(message)
    if line != message:
        record.msg, record.args = line, None
    if record.exc_info and not record.exc_text:
        record.exc_text = indented(_formatter.formatException(record.exc_info))
    if record.stack_info:
        record.stack_info = indented(record.stack_info)
    return True


class About(TypedDict, total=False):
    """What a record is about, and what came of that. What does not apply is not there."""

    session: str
    turn: str
    user: str
    agent: str
    status: str
    verdict: str
    ms: float


#: The names of these attributes.
FIELDS = tuple(About.__annotations__)


def about(
    session: str,
    turn: TurnHead | None = None,
    *,
    status: str | None = None,
    verdict: str | None = None,
    ms: float | None = None,
) -> About:
    """The attributes of a record about a session, or about one of its turns.

    ``status`` is how the turn ended, ``verdict`` what its cancel came to, and ``ms`` how many milliseconds
    that took: the turn since its send, the cancel since it was requested.
    """
    fields: About = {"session": session}
    if turn is not None:
        fields.update({"turn": turn.turn_id, "user": escaped(turn.user), "agent": turn.agent})
    if status is not None:
        fields["status"] = status
    if verdict is not None:
        fields["verdict"] = verdict
    if ms is not None:
        fields["ms"] = round(ms, 3)
    return fields


logger = logging.getLogger("turnkeeper")
logger.addFilter(one_entry)
