"""The session that a chat is: which one, as its user sees it, and which of its replies a page waits for."""

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import UnknownSession
from turnkeeper.actors.model.messages import GetSession, SessionView
from turnkeeper.actors.model.records import SessionId, TurnRecord
from turnkeeper.actors.model.words import TERMINAL
from turnkeeper.actors.session.consequences import CAUSES
from turnkeeper.web.http.call import Call


def chat_of(call: Call) -> SessionId:
    """The chat that the path names. Raises `InvalidRequest`."""
    return SessionId(ids.checked(call.request.match_info["id"], "id"))


async def view_of(call: Call, chat: SessionId) -> SessionView | None:
    """The session; ``None`` where it is not known, as a chat is that has just been made."""
    try:
        return await call.ask(GetSession(chat, call.asker))
    except UnknownSession:
        return None


def going_on(view: SessionView | None) -> tuple[TurnRecord, ...]:
    """The turn in flight, and the one that takes its place, as far as there are any."""
    if view is None:
        return ()
    current, waiting = view.turn, view.queue[:1]
    if current is None or current.status in TERMINAL:
        return waiting
    makes_way = current.reason is not None and CAUSES[current.reason.code].supersedes
    return (current, *waiting) if makes_way else (current,)


def awaited(view: SessionView | None) -> TurnRecord | None:
    """The turn whose reply a page waits for: the one in flight, unless another one takes its place."""
    return next(reversed(going_on(view)), None)
