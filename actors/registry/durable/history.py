"""What the journal knows of the past, and memory does not: lists of sessions, older turns and messages.

What is in memory is newer than what can be read: it is laid over that, where both know the same.
"""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Final

from turnkeeper.actors.admission.page import check_limit
from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Conversation,
    GetTurn,
    GetTurns,
    ListSessions,
    SessionPage,
    SessionSummary,
    TurnEnd,
    TurnPage,
)
from turnkeeper.actors.model.records import SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TERMINAL, SessionState
from turnkeeper.actors.registry.directory import Entry, summary
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.session import views
from turnkeeper.actors.session.refusals import unknown_turn
from turnkeeper.actors.session.views import find_turn

#: How many messages are read at a time where there may not be room for all: few at first, each may be large.
_STEPS: Final = (2, 4, 8, 16, 32, 64)


async def sessions(
    shared: Shared,
    journal: Journal,
    owner: str | None,
    state: SessionState | None,
    message: ListSessions,
    is_in: Callable[[Entry], bool],
) -> SessionPage:
    """A page of sessions, as they stand now; ``is_in``: whether one stands so that it belongs there.

    Raises `InvalidRequest` and `JournalDown`.
    """
    page = await journal.sessions(
        owner=owner, state=state, q=message.q, before=message.before, limit=message.limit
    )

    entries = shared.directory.entries

    def as_they_stand() -> Iterator[SessionSummary]:
        for each in page.sessions:
            entry = entries.get(each.session_id)
            if entry is None:
                yield each
            elif is_in(entry):
                # The page is in the order of what the journal has.
                yield replace(summary(entry), last_active_at=each.last_active_at)

    return replace(page, sessions=tuple(as_they_stand()))


def has_more(here: Conversation, before: int | None, limit: int | None) -> bool:
    """Whether the journal has more of what was asked for than memory.

    What has been dropped from memory is read by those only who ask for a page.
    """
    asked = before is not None or limit is not None
    return asked and here.omitted > 0 and (limit is None or len(here.messages) < limit)


async def messages(
    journal: Journal, session: SessionId, before: int | None, limit: int | None, room: int | None
) -> Conversation:
    """A page of what was said, or as much of its end as has ``room``. Raises `JournalDown`."""
    if room is None:
        return await journal.messages(session, before, limit)
    most, found = check_limit(limit), Conversation(session)
    for step in chain(_STEPS, repeat(_STEPS[-1])):
        part = await journal.messages(session, before, min(step, most - len(found.messages)))
        if found.messages and part.omitted + len(part.messages) != before:
            break  # a turn has cut it off meanwhile: what was read goes together
        found = Conversation(
            session, (*part.messages, *found.messages), found.cursor or part.cursor, part.omitted
        )
        before, room = part.omitted, room - sum(map(footprint, part.messages))
        if not part.messages or not before or room <= 0 or len(found.messages) >= most:
            break
    return found


async def turns(journal: Journal, entry: Entry, message: GetTurns) -> TurnPage:
    """A page of the session's turns. Raises `InvalidRequest` and `JournalDown`."""
    page = await journal.turns(entry.session_id, message.before, message.limit)
    return replace(page, turns=tuple(find_turn(entry.state, turn.turn_id) or turn for turn in page.turns))


async def answer_about(
    journal: Journal, session: SessionId, message: GetTurn | AwaitTurn
) -> TurnRecord | TurnEnd:
    """The answer about a turn that memory does not know any more. Raises `UnknownTurn` and `JournalDown`."""
    record = await journal.turn(session, TurnId(message.turn_id))
    # One that has not ended was written a moment ago, and is not started yet.
    if record is None or record.status not in TERMINAL:
        raise unknown_turn(message.turn_id)
    return views.answer_about(message, record)
