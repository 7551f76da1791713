"""Lists of sessions, a page at a time: what is known of them in memory, awake, asleep, or only remembered."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import TypeAlias, assert_never

from turnkeeper.actors.admission.page import Page, check_limit
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import (
    ActiveTurn,
    Conversation,
    GetMessages,
    GetTurns,
    ListActive,
    ListSessions,
    ListWaiting,
    Retitle,
    SessionPage,
    SetTitle,
    TurnPage,
    WaitingTurn,
)
from turnkeeper.actors.model.records import Asker, SessionId, TurnId
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.title import check_title, title_of
from turnkeeper.actors.model.words import SessionState
from turnkeeper.actors.runtime import ReplyTo, answer, in_batches
from turnkeeper.actors.session.refusals import unknown
from turnkeeper.actors.session.states import Closed
from turnkeeper.actors.session.views import state_name, turns_of
from turnkeeper.actors.turn.agent import LoadContext
from turnkeeper.actors.turn.context_store import Left
from turnkeeper.actors.turn.hosts import owner_according_to, said_according_to

from .admitting.slots import SlotWait
from .children import Children
from .directory import PASS, Entry, Listed, active_by, name, summary
from .durable import history
from .shared import Shared

#: How many sessions of a user are gone through in one pass, to note their ids.
LISTED = 2_500


#: The questions about lists, and a title.
Listing: TypeAlias = GetMessages | GetTurns | ListActive | ListWaiting | ListSessions | SetTitle


def answer_listing(shared: Shared, children: Children, message: Listing, to: ReplyTo) -> None:
    """Answer one of them, or set the title. Raises `SessionError`."""
    match message:
        case GetMessages():
            answer_messages(shared, children, message, to)
        case GetTurns():
            answer_turns(shared, children, message, to)
        case ListActive():
            answer_active(shared, message.asker, to)
        case ListWaiting():
            answer_waiting(shared, message.asker, to)
        case ListSessions():
            answer_sessions(shared, message, to)
        case SetTitle():
            answer_set_title(shared, children, message, to)
        case _:
            assert_never(message)


def answer_active(shared: Shared, asker: Asker, to: ReplyTo) -> None:
    """Answer with the turns in flight that the asker may see, which may be very many."""
    if to is None:
        return
    found = list[ActiveTurn]()

    def look(turns: list[ActiveTurn]) -> None:
        # For an admin without a look at each: that takes longer than all the rest.
        found.extend(turns if asker.sees_all else [turn for turn in turns if turn.owner == asker.user])

    turns: Iterator[ActiveTurn] = iter(shared.directory.in_flight(asker))
    in_batches(shared.loop, turns, PASS, look, lambda: to.set(tuple(found)))


def answer_waiting(shared: Shared, asker: Asker, to: ReplyTo) -> None:
    """Answer with the turns that wait for a slot that the asker may see, which may be very many."""
    slots, entries = shared.slots, shared.directory.entries
    found = list[WaitingTurn]()

    def look(asked: list[tuple[Ticket, SlotWait]]) -> None:
        for ticket, each in asked:
            entry = entries.get(ticket.session_id) if asker.may_see(each.claim.user) else None
            turn = None if entry is None else slots.waiting(ticket, entry.state)
            if turn is not None:
                found.append(turn)

    in_batches(shared.loop, iter(list(slots.asking.items())), PASS, look, lambda: answer(to, tuple(found)))


def answer_sessions(shared: Shared, message: ListSessions, to: ReplyTo) -> None:
    """Answer with a page of sessions, out of what may be very many. Raises `InvalidRequest`."""
    if not isinstance(message.q, str | None):
        raise InvalidRequest("q must be a text", field="q")
    asker, state, q = message.asker, state_named(message.state), (message.q or "").casefold()
    owner = message.owner if asker.sees_all else asker.user
    if message.owner not in (None, owner):
        answer(to, SessionPage())  # as of a user who has no sessions
        return
    if shared.journal is not None and not _is_open_in(state):
        found_in = partial(_is_in, state=state)
        shared.answer_later(history.sessions(shared, shared.journal, owner, state, message, found_in), to)
        return
    page = Page(message.before, message.limit, shared.clock())

    def takes(found: Listed) -> bool:
        return (
            (owner is None or found.owner == owner)
            and _is_in(found, state)
            and (not q or (found.title is not None and q in found.title.casefold()))
        )

    def look(sessions: list[SessionId]) -> None:
        for session in sessions:
            # Looked up only now: it may have been forgotten meanwhile, or opened again.
            found = _find(shared, session)
            at = None if found is None else _active_by(found, page.as_of)
            if found is not None and at is not None and page.takes(at) and takes(found):
                page.add(at, session)

    def done() -> None:
        listed = (_find(shared, SessionId(place.name)) for place in page.places)
        found = tuple(summary(each) for each in listed if each is not None and takes(each))
        answer(to, SessionPage(found, page.before))

    in_batches(shared.loop, _known(shared, owner), PASS, look, done)


def answer_set_title(shared: Shared, children: Children, message: SetTitle, to: ReplyTo) -> None:
    """Give a session a title. Raises `UnknownSession`, `InvalidRequest` and `TitleTooLong`."""
    session = ids.session_id(message.session_id)
    found = _find(shared, session)
    if found is None or not message.asker.may_see(found.owner):
        raise unknown(session)
    title = check_title(message.title, shared.settings.title_length)
    if isinstance(found, Left):
        shared.contexts.take(session)
        found = found._replace(title=title)
        shared.contexts.leave(found)
    else:
        name(found, title)
        if shared.journal is not None:
            children.forward(found, Retitle(title, summary(found)), to)
            return
    answer(to, summary(found))


def title_by(shared: Shared, children: Children, entry: Entry, message: object) -> None:
    """Name a session without a title after this message, which has just been sent to it."""
    title = title_of(message, shared.settings.title_length)
    if title is not None:
        name(entry, title)
        # A log begins with the title that its session has then.
        if shared.journal is not None and entry.session_id not in shared.directory.opening:
            children.forward(entry, Retitle(title), None)


def answer_messages(shared: Shared, children: Children, message: GetMessages, to: ReplyTo) -> None:
    """Answer with what was said in a session. Raises `UnknownSession` and `InvalidRequest`."""
    if shared.load_context is not None:
        shared.answer_later(_of_host(shared, shared.load_context, children, message), to)
        return
    session, _owner = children.remembered(message.session_id, message.asker)
    before, limit = _wanted(message)
    said = shared.contexts.conversation(session, before, limit)
    journal = shared.journal
    if journal is not None and history.has_more(said, before, limit):
        shared.answer_later(history.messages(journal, session, before, limit, message.room), to)
    else:
        answer(to, said)


async def _of_host(
    shared: Shared,
    load_context: LoadContext,
    children: Children,
    message: GetMessages,
) -> Conversation:
    """The same where the host keeps the conversations. Raises `HostKeepsMessages`, too."""
    session, owner_of = ids.session_id(message.session_id), shared.owner_of
    owner = children.owner(session)
    if owner is None and owner_of is not None:
        owner = await owner_according_to(owner_of, session, message.asker)
    if owner is None or not message.asker.may_see(owner):
        raise unknown(session)
    return await said_according_to(load_context, session, owner, *_wanted(message))


def answer_turns(shared: Shared, children: Children, message: GetTurns, to: ReplyTo) -> None:
    """Answer with a page of the turns of a session. Raises `UnknownSession` and `InvalidRequest`."""
    entry = children.known(message.session_id, message.asker)
    if shared.journal is not None:
        shared.answer_later(history.turns(shared.journal, entry, message), to)
        return
    page = Page(message.before, message.limit, shared.clock())
    known = {turn.turn_id: turn for turn in turns_of(entry.state)}
    for turn in known.values():
        page.add(turn.submitted_at, turn.turn_id)
    answer(to, TurnPage(tuple(known[TurnId(place.name)] for place in page.places), page.before))


def _known(shared: Shared, owner: str | None) -> Iterator[SessionId]:
    """The ids of sessions among which are all of this user's, or of all, each once and in no order."""
    directory = shared.directory
    if owner is None or directory.ledger.number_of_sessions(owner) > LISTED:
        open_ones = list(directory.entries)
    else:
        open_ones = [entry.session_id for entry in directory.ledger.sessions(owner)]
    # Each is either open or left. A copy, in one go: a list of ids costs next to nothing, a dict does.
    return chain(open_ones, shared.contexts.known(owner))


def _find(shared: Shared, session: SessionId) -> Listed | None:
    return shared.directory.entries.get(session) or shared.contexts.left(session)


def _active_by(found: Listed, moment: float) -> float | None:
    if isinstance(found, Left):
        return found.active_at if found.active_at <= moment else None
    return active_by(found, moment)


def _is_in(found: Listed, state: SessionState | None) -> bool:
    """Whether it is in that state; without one, whether it is open."""
    if isinstance(found, Left):
        return state in (None, SessionState.IDLE)
    return not isinstance(found.state, Closed) if state is None else state_name(found.state) is state


def _is_open_in(state: SessionState | None) -> bool:
    """Whether all sessions in that state are open: a list of them need not ask the journal, which lags."""
    match state:
        case SessionState.QUEUED | SessionState.RUNNING | SessionState.CANCELLING:
            return True
        case None | SessionState.IDLE | SessionState.CLOSED:
            return False
        case _:
            assert_never(state)


def _wanted(message: GetMessages) -> tuple[int | None, int | None]:
    """Which page of the messages: before so many, and how many of those. Raises `InvalidRequest`."""
    return _number(message.before), None if message.limit is None else check_limit(message.limit)


def _number(before: object) -> int | None:
    if before is None or (isinstance(before, int) and not isinstance(before, bool) and before >= 0):
        return before
    raise InvalidRequest("before must be a number of messages", field="before")


def state_named(state: str | None) -> SessionState | None:
    """The state of that name. Raises `InvalidRequest`."""
    try:
        return None if state is None else SessionState(state)
    except ValueError:
        raise InvalidRequest(f"state must be one of: {', '.join(SessionState)}", field="state") from None
