"""A session as a whole, and its line in the list of all, against what was acknowledged. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.faults.history import (
    AtTheEnd,
    CloseAnswered,
    CloseAsked,
    Denied,
    Record,
    SendAnswered,
    TitleAnswered,
    TitleAsked,
)


@dataclass
class Known:
    """What clients know of a session. ``titles`` are those that it may have."""

    sent: bool = False
    titles: list[str] = field(default_factory=list)
    titled: bool = False
    closing: bool = False
    closed: bool = False
    denied: list[tuple[str, str]] = field(default_factory=list)


def known_of(records: Iterable[Record]) -> Known:
    """What clients know of the session with these records."""
    known = Known()
    for record in records:
        match record:
            case SendAnswered():
                known.sent = True
            case TitleAsked():
                known.titles.append(record.title)
            case TitleAnswered():
                known.titles, known.titled = [record.title], True
            case CloseAsked():
                known.closing = True
            case Denied():
                known.denied.append((record.what, record.code))
            case CloseAnswered():
                known.closed = True
            case _:
                pass
    return known


def faults(known: Known, end: AtTheEnd) -> Iterator[str]:
    """What is wrong with a session."""
    for what, code in known.denied:
        yield f"a {what} was refused: {code}"
    if known.closed and end.state != "closed":
        yield f"the session's close was acknowledged, and it is {end.state}"
    elif end.state not in ("idle", "closed" if known.closing else "idle", None):
        yield f"the session is {end.state} at the end"
    if end.state == "closed" and end.messages:
        yield f"the session is closed, and its conversation has {len(end.messages)} messages"
    if len(end.listed) > 1 or (known.sent and not end.listed):
        yield f"the list of sessions has it {len(end.listed)} times"
    for line in end.listed:
        if line["state"] != end.state:
            yield f"the list of sessions has it as {line['state']}, and it is {end.state}"
        if known.titled and line["title"] not in known.titles:
            yield f"the title {known.titles[0]!r} was acknowledged, and it is {line['title']!r}"
