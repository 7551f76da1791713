"""The default recorder: what is kept of a turn that does not write its conversation itself. Pure.

The user's message, as the agent was given it, and as the assistant's reply what readers were shown: the
``text`` of the turn's ``delta`` events, or the text that it returned if there was none. The messages have the
shape that the agents which come with turnkeeper keep: ``{"role", "content"}``, with ``"cut_off": True`` where
the reply is not whole, and ``"error"``, a code, where the turn failed.
"""

from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

from turnkeeper.actors.model.content import text_or_parts, whole_text
from turnkeeper.actors.model.frozen import FrozenDict, frozen

from .changes import Changes, same

#: The event whose ``text`` is a piece of the reply.
DELTA: Final = "delta"


class Said:
    """The text of a turn's ``delta`` events, up to a bound.

    It is one growing text, because a list of pieces would take many times their characters.
    """

    __slots__ = ("_left", "_text")

    def __init__(self, most: int) -> None:
        #: How many characters more it takes; below 0, some were left out.
        self._left = most
        self._text = StringIO(newline="\n")  # as it is, whatever ends its lines

    def hear(self, data: Any) -> None:
        """Take the text of a ``delta`` event that was published, if it has one. Never raises."""
        # By dict's and str's own methods: those of a host's kinds of them may raise anything.
        text = dict.get(data, "text") if isinstance(data, dict) else None
        if not isinstance(text, str) or self._left < 0:
            return
        if type(text) is not str:
            text = str.__str__(text)
        self._left -= len(text)
        self._text.write(text if self._left >= 0 else text[: self._left])

    @property
    def text(self) -> str:
        """What it has taken."""
        return self._text.getvalue()

    @property
    def is_whole(self) -> bool:
        """Whether it has taken all there was."""
        return self._left >= 0


class Reply:
    """The assistant's reply, at most ``most`` bytes of it in UTF-8."""

    __slots__ = ("is_whole", "text")

    def __init__(self, said: Said | None, result: Any, most: int) -> None:
        text, whole = ("", True) if said is None else (said.text, said.is_whole)
        if not text and isinstance(result, str):
            text = _plain(result)
        #: What of it is kept.
        self.text, kept_whole = _cut(text, most)
        #: Whether that is all.
        self.is_whole = whole and kept_whole


def _plain(text: str) -> str:
    """A text that every reader can be sent, also of a host's own kind."""
    return whole_text(str.__str__(text))


def _cut(text: str, most: int) -> tuple[str, bool]:
    """As much of the text as takes ``most`` bytes, and whether that is all of it."""
    if 4 * len(text) <= most:  # no character takes more
        return text, True
    data = text.encode()
    if len(data) <= most:
        return text, True
    return data[:most].decode(errors="ignore"), False


def recorded(
    changes: Changes,
    before: Sequence[Any],
    message: Any,
    reply: Reply,
    *,
    stopped: bool = False,
    error: str | None = None,
) -> Changes:
    """The changes of a turn that left the messages before it as they were, and with them what was said.

    ``stopped``: whether the turn came to its end before its reply did; ``error`` is the code that it failed
    with. A message that repeats the last one before it, of which nothing came, takes the place of that try.
    """
    content = text_or_parts(message)
    content = _plain(content) if isinstance(content, str) else frozen(content)
    asked = FrozenDict(role="user", content=content)
    marks: dict[str, Any] = {}
    if stopped or not reply.is_whole:
        marks["cut_off"] = True
    if error is not None:
        marks["error"] = error
    said: tuple[Any, ...] = (asked,)
    if reply.text or stopped:
        said = asked, FrozenDict(role="assistant", content=reply.text, **marks)
    keep = changes.keep - (2 if _ends_with_a_vain_try(before, asked) else 0)
    return Changes(keep, said, changes.data)


def _ends_with_a_vain_try(before: Sequence[Any], asked: dict[str, Any]) -> bool:
    """Whether the same was asked last, and nothing came of it."""
    if len(before) < 2 or not isinstance(before[-1], dict) or dict.get(before[-1], "content") != "":
        return False
    is_reply = dict.get(before[-1], "role") == "assistant" and dict.get(before[-1], "cut_off") is True
    return is_reply and same(before[-2], asked)
