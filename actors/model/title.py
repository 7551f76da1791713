"""The titles of sessions: made of a first message, or given by users and agents. Pure."""

import re
from typing import Any

from .exceptions import InvalidRequest, TitleTooLong

#: How long a title is that is made of a message, in characters.
OF_A_MESSAGE = 60
#: How much of a message is looked at for that, in characters.
_LOOKED_AT = 2_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def title_of(message: Any, most: int) -> str | None:
    """The first words of a message: of its first line that is not empty. ``None`` without one."""
    most = min(most, OF_A_MESSAGE)
    for text in _texts(message):
        for line in text[:_LOOKED_AT].splitlines():
            title = _plain(line)
            if title:
                return title if len(title) <= most else title[: most - 1].rstrip() + "…"
    return None


def check_title(title: object, most: int) -> str:
    """A title as it is kept: without control characters and doubled spaces.

    Raises `InvalidRequest` where nothing is left of it, and `TitleTooLong`.
    """
    if not isinstance(title, str):
        raise InvalidRequest("title must be a string", field="title")
    plain = _plain(title[: 4 * most])
    if len(plain) > most or len(title) > 4 * most:
        raise TitleTooLong(f"title must not be longer than {most} characters", field="title")
    if not plain:
        raise InvalidRequest("title must not be empty", field="title")
    return plain


def _plain(text: str) -> str:
    return " ".join(_CONTROLS.sub(" ", text).split())


def _texts(message: Any) -> list[str]:
    """The message if it is a text, or else the texts of its parts."""
    if isinstance(message, str):
        return [message]
    if not isinstance(message, list):
        return []
    # By dict's own method: that of a host's kind of dict may raise anything.
    texts = [dict.get(part, "text") for part in message if isinstance(part, dict)]
    return [text for text in texts if isinstance(text, str)]
