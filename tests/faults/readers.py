"""What each reader saw, against the log as it is at the end. Pure."""

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field

from tests.faults.history import Connected, Event, Record, Seen, Stopped, StreamRefused
from tests.faults.log import Id, Log, id_of

#: What a stream says about itself.
GAP, CLOSE, SNAPSHOT = "gap", "close", "snapshot"
#: How a stream may end; of a server that was asked to end; of a session that was closed.
USUAL_ENDS = ("Task cancelled", "Task finished", "Task unresponsive")
SHUTDOWN = "Server shutting down"
CLOSED = "Session closed"


@dataclass
class Reader:
    """One reader: from where it read, what it saw, and whether it had time to see all.

    ``starts`` is ``None`` for a reader that came without a cursor; its stream begins with a turn.
    """

    name: str
    task: str | None
    starts: Id | None
    seen: list[tuple[Id, Event]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    stopped: bool = False


def readers_of(records: Iterable[Record]) -> dict[str, Reader]:
    """The readers of one session."""
    found: dict[str, Reader] = {}
    for record in records:
        match record:
            case Connected():
                name, after = record.reader, record.after
                starts = None if after is None else id_of(after)
                found.setdefault(name, Reader(name, record.task, starts))
            case Seen():
                _see(found[record.reader], record)
            case StreamRefused():
                found[record.reader].complaints.append(f"was refused: {record.code}")
            case Stopped():
                found[record.reader].stopped = True
            case _:
                pass
    return found


def _see(reader: Reader, event: Seen) -> None:
    if event.id is not None:
        reader.seen.append((id_of(event.id), Event(event.id, event.name, event.text)))
    elif event.name == GAP:
        reader.complaints.append(f"had a gap: {event.text}")
    elif event.name == CLOSE:
        reader.ends.append(event.text)


def faults(readers: Iterable[Reader], log: Log, ends: Container[str] = USUAL_ENDS) -> Iterator[str]:
    """What is wrong with what the readers of a session saw, whose streams may end with these texts."""
    lacking: dict[Id, Event] = {}
    for reader in readers:
        for end in reader.ends:
            if end not in ends:
                yield f"reader {reader.name}: its stream was ended: {end}"
        for complaint in (*reader.complaints, *_contents(reader, log, lacking), *_places(reader, log)):
            yield f"reader {reader.name}: {complaint}"


def _contents(reader: Reader, log: Log, lacking: dict[Id, Event]) -> Iterator[str]:
    """An id has one content, for all readers and in the log; ``lacking`` are those that the log has not."""
    for at, event in reader.seen:
        there = log.by_id.get(at) or lacking.setdefault(at, event)
        if (there.name, _said(there)) != (event.name, _said(event)):
            yield f"{at} was {event.name} {event.text}, and is {there.name} {there.text}"


def _said(event: Event) -> object:
    return json.loads(event.text)


def _places(reader: Reader, log: Log) -> Iterator[str]:
    """The ids grow, and all that the log has between the first and the last were seen."""
    before: Id | None = None
    for at, event in reader.seen:
        if before is not None and at <= before:
            yield f"{at} came behind {before}"
        if at not in log.by_id:
            if not log.may_lack(at) or event.name.startswith("turn."):
                yield f"saw {event.name} at {at}, which the log has not"
            elif before not in (None, Id(at.epoch, at.n - 1)):
                yield f"saw {at} behind {before}: there is a hole"
        before = at
    wanted = [at for at in log.ids if reader.task is None or log.epochs[at.epoch].task == reader.task]
    starts, seen = reader.starts, {at for at, _ in reader.seen}
    if starts is None:
        starts = min(seen, default=Id(0, 0))
        if seen and reader.task is None and starts.n != 0:
            yield f"came without a cursor, and began with {starts}"
        starts = Id(starts.epoch, -1)
    if seen:
        last = max(seen)
        missing = [at for at in wanted if starts < at <= last and at not in seen]
        if missing:
            yield f"missed {_some(missing)}"
        if reader.task is not None:
            foreign = [at for at in seen if at in log.by_id and log.epochs[at.epoch].task != reader.task]
            if foreign:
                yield f"follows turn {reader.task}, and saw {_some(sorted(foreign))} of another one"
    if reader.stopped and wanted and wanted[-1] > max(seen, default=starts):
        yield f"had the time to see {wanted[-1]}, and saw no more than {max(seen, default=None)}"


def _some(ids: list[Id]) -> str:
    return f"{', '.join(map(str, ids[:5]))}{f' and {len(ids) - 5} more' if len(ids) > 5 else ''}"
