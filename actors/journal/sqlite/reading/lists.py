"""Lists, a page at a time: sessions, in the order in which they stood for the first page; turns; messages."""

import sqlite3
from typing import Any, Final, TypeAlias

from turnkeeper.actors.admission.page import Cursor, Page, check_limit
from turnkeeper.actors.journal.durable import Durable
from turnkeeper.actors.journal.listed import EVERYTHING, turns_of
from turnkeeper.actors.model.messages import Conversation, SessionPage, SessionSummary, TurnPage
from turnkeeper.actors.model.records import SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.words import SessionState

from . import said
from .queries import entries_of_turns, folded, session

_SUMMARY: Final = "id, owner, title, state, active_at, in_flight, queued, unresponsive"
#: Comes behind every character that an id may have.
_BEHIND_IDS: Final = "\x7f"
#: When a session was active last, of one that has been active since: as its log says.
_ACTIVE_BY: Final = (
    "(SELECT max(json_extract(body, '$.at')) FROM entry WHERE entry.session = session.number "
    "AND json_extract(body, '$.kind') IN ('opened', 'started', 'attempt_ended', 'ended') "
    "AND json_extract(body, '$.at') <= :as_of)"
)


#: An empty page, what comes before it, and how long it is.
Asked: TypeAlias = tuple[Page, Cursor | None, int]


def asked(before: str | None, limit: int | None, now: float) -> Asked:
    """What is asked for. Raises `InvalidRequest`."""
    return Page(before, limit, now), None if before is None else Cursor.read(before), check_limit(limit)


def sessions(
    connection: sqlite3.Connection, asked: Asked, owner: str | None, state: SessionState | None, q: str | None
) -> SessionPage:
    """A page of sessions, the last active first."""
    page, cursor, limit = asked
    values: dict[str, Any] = {"as_of": page.as_of, "limit": limit + 1, "owner": owner, "state": state}
    where = ["state <> 'closed'" if state is None else "state = :state"]
    if owner is not None:
        where.append("owner = :owner")
    if q:
        where.append("instr(folded, :q) > 0")
        values["q"] = q.casefold()
    after = "TRUE"
    if cursor is not None:
        after = "(at, id) < (:at, :name)"
        values["at"], values["name"] = cursor.place
    those = " AND ".join(where)
    order = "ORDER BY at DESC, id DESC LIMIT :limit"
    # What has not been active since stands in the index where it stood then; of what has, there is little.
    rest = f"SELECT {_SUMMARY}, active_at AS at FROM session WHERE {those} AND active_at <= :as_of"
    moved = f"SELECT {_SUMMARY}, {_ACTIVE_BY} AS at FROM session WHERE {those} AND active_at > :as_of"
    found: dict[str, SessionSummary] = {}
    for select in (rest, moved):
        query = f"SELECT * FROM ({select}) WHERE at IS NOT NULL AND {after} {order}"
        for session_id, *shown, at in connection.execute(query, values):
            page.add(at, session_id)
            user, title, named, *figures = shown
            found[session_id] = SessionSummary(
                SessionId(session_id), user, title, SessionState(named), *figures
            )
    return SessionPage(tuple(found[place.name] for place in page.places), page.before)


def named(connection: sqlite3.Connection, prefix: str) -> tuple[SessionId, ...]:
    """The sessions whose ids begin with that."""
    select = "SELECT id FROM session WHERE id >= ? AND id < ?"
    return tuple(name for (name,) in connection.execute(select, (prefix, prefix + _BEHIND_IDS)))


def turns(connection: sqlite3.Connection, session_id: SessionId, asked: Asked) -> TurnPage:
    """A page of a session's turns, the one sent last first."""
    page, cursor, limit = asked
    of = session(connection, session_id)
    if of is None:
        return TurnPage()
    after = "TRUE" if cursor is None else "(sent_at, id) < (:at, :name)"
    values: dict[str, Any] = {"session": of.number, "limit": limit + 1}
    if cursor is not None:
        values["at"], values["name"] = cursor.place
    select = (
        f"SELECT number, id, sent_at FROM turn WHERE session = :session AND {after} "
        "ORDER BY sent_at DESC, id DESC LIMIT :limit"
    )
    numbers: list[int] = []
    for number, turn_id, sent_at in connection.execute(select, values).fetchall():
        numbers.append(number)
        page.add(sent_at, turn_id)
    records = {(each.submitted_at, each.turn_id): each for each in _records(connection, session_id, numbers)}
    return TurnPage(tuple(records[place.at, TurnId(place.name)] for place in page.places), page.before)


def turn(connection: sqlite3.Connection, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
    """The last turn of that id."""
    of = session(connection, session_id)
    select = "SELECT number FROM turn WHERE session = ? AND id = ? ORDER BY number DESC LIMIT 1"
    found = None if of is None else connection.execute(select, (of.number, turn_id)).fetchone()
    return None if found is None else _records(connection, session_id, [found[0]])[0]


def _records(connection: sqlite3.Connection, session_id: SessionId, numbers: list[int]) -> list[TurnRecord]:
    records: list[TurnRecord] = []
    for entries in entries_of_turns(connection, numbers).values():
        records += turns_of(folded(Durable(session_id), [entries], EVERYTHING))
    return records


def messages(
    connection: sqlite3.Connection, session_id: SessionId, before: int | None, limit: int
) -> Conversation:
    """What was said before so many messages."""
    of = session(connection, session_id)
    if of is None:
        return Conversation(session_id)
    end = of.messages if before is None else min(of.messages, before)
    start = max(0, end - limit)
    return Conversation(session_id, said.between(connection, of, start, end), of.cursor, start)
