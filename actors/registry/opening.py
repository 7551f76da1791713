"""How a session is opened, by the first send to an id: whose it is, and whether there is room for it."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from turnkeeper.actors.admission.holdings import Holdings
from turnkeeper.actors.model.exceptions import OwnerNotKnown, SessionIdTaken
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import KeptTooMuch, OwnerFound, Send
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.runtime import ReplyTo, in_batches, refuse
from turnkeeper.actors.session.refusals import precondition_failed, shutting_down
from turnkeeper.actors.turn.agent import OwnerOf

from .children import BATCH, Children
from .directory import Entry
from .shared import Shared


class _Question(NamedTuple):
    """The host is asked whose an id is. All messages about that id wait meanwhile."""

    task: "asyncio.Future[Any]"
    parked_mail: list[tuple[Any, ReplyTo]]
    #: The askers': each send counts as a turn of its asker's until the owner is known.
    holdings: list[Holdings[Entry]]


class Opening:
    """Opens the sessions of one registry. ``handle`` is given each message that has waited."""

    def __init__(self, shared: Shared, children: Children, handle: Callable[[Any, ReplyTo], None]) -> None:
        self._shared = shared
        self._directory = shared.directory
        self._children = children
        self._handle = handle
        #: What the host is being asked.
        self.questions: dict[SessionId, _Question] = {}
        #: What the host has answered, while the messages that have waited for it are handled.
        self._found: OwnerFound | None = None

    def open(
        self, session: SessionId, message: Send, to: ReplyTo, now: float, policy: Policy
    ) -> Entry | None:
        """Open a session for a send with this policy, which has to be forwarded to it then.

        ``None``: the host has to be asked whose the id is, and the send will come again. Raises
        `SessionIdTaken`, `PreconditionFailed`, `OwnerNotKnown`, and what the bounds refuse.
        """
        asker, owner = message.asker, self._children.owner(session)
        owner_of = self._shared.owner_of
        if owner is None and owner_of is not None:
            found = self._ask(owner_of, session, message, to)
            if found is None:
                return None
            if found.failed:
                raise OwnerNotKnown(f"it cannot be found out whose session {session!r} is")
            owner = found.owner
        if owner is None:
            owner = asker.user
        elif not asker.may_see(owner):
            raise SessionIdTaken(f"session {session!r} is another user's")
        if message.if_match is not None:
            raise precondition_failed(message.if_match)
        self._make_room(owner, bounded=asker.bounded, most=policy.max_in_flight)
        return self._children.open(session, owner, now)

    # -- Room -------------------------------------------------------------------------------------------

    def _make_room(self, owner: str, *, bounded: bool, most: int) -> None:
        """See to it that there is room for one session more; those asleep give way. Raises `SessionError`."""
        ledger = self._directory.ledger
        full = ledger.no_turn(owner, bounded=bounded, most=most)
        if full is not None:
            raise full
        full = ledger.no_byte(owner, bounded=bounded)
        if full is not None:
            self._shared.report(KeptTooMuch(owner))
            raise full
        self._shared.make_room(self._children.forget, owner, bounded=bounded)

    # -- The host's word ----------------------------------------------------------------------------------

    def _ask(self, owner_of: OwnerOf, session: SessionId, message: Send, to: ReplyTo) -> OwnerFound | None:
        """Whose the host says the id is; ``None`` if it takes its time."""
        if self._found is not None and self._found.session_id == session:
            return self._found
        self._check_turn(message)
        try:
            answer = owner_of(session)
        except Exception as error:  # noqa: BLE001  the host may raise anything
            return _failed(session, error)
        if not inspect.isawaitable(answer):
            return _found(session, answer)
        task = asyncio.ensure_future(answer, loop=self._shared.loop)
        self.questions[session] = _Question(task, [(message, to)], [self._count_turn(message)])
        task.add_done_callback(lambda task: self._shared.report(_result(session, task)))
        return None

    def park(self, message: Any, to: ReplyTo) -> bool:
        """Let a message wait if it is about an id of which the host is being asked; whether it is.

        Raises what the bounds refuse: what waits is kept, also when its asker has left.
        """
        if isinstance(message, OwnerFound):
            return False
        session = getattr(message, "session_id", None)
        # What is no id, and may not even be hashable, is refused where any other message is.
        question = self.questions.get(SessionId(session)) if isinstance(session, str) else None
        if question is None:
            return False
        if isinstance(message, Send):
            self._check_turn(message)
            question.holdings.append(self._count_turn(message))
        question.parked_mail.append((message, to))
        return True

    def _check_turn(self, message: Send) -> None:
        asker = message.asker
        # What the send itself says of it is looked at when the owner is known.
        most = self._shared.layers.base(message.agent, asker.user).policy.max_in_flight
        full = self._directory.ledger.no_turn(asker.user, bounded=asker.bounded, most=most)
        if full is not None:
            raise full

    def _count_turn(self, message: Send) -> Holdings[Entry]:
        holdings = self._directory.ledger.of(message.asker.user)
        holdings.count_turns(1)
        return holdings

    def found(self, found: OwnerFound) -> None:
        """The host has answered: handle what has waited for that, with this answer."""
        question = self.questions.pop(found.session_id, None)
        if question is not None:
            self._found = found
            self._go_on(question)
            self._found = None

    def _go_on(self, question: _Question) -> None:
        for holdings in question.holdings:
            holdings.count_turns(-1)
            self._directory.ledger.tidy(holdings)
        for message, to in question.parked_mail:
            try:
                self._handle(message, to)
            except Exception as error:  # noqa: BLE001  it is the answer
                refuse(to, error)

    # -- The end ------------------------------------------------------------------------------------------

    def end(self, then: Callable[[], None] | None = None) -> None:
        """Ask the host no more: what has waited for its answer is handled without it; then call ``then``."""

        def go_on(sessions: list[SessionId]) -> None:
            for session in sessions:
                question = self.questions.pop(session, None)
                if question is not None:
                    question.task.cancel()
                    self._go_on(question)

        in_batches(self._shared.loop, iter(list(self.questions)), BATCH, go_on, then)

    def stop(self) -> None:
        """Answer each asker that still waits."""
        questions, self.questions = self.questions, {}
        for question in questions.values():
            question.task.cancel()
            for _, to in question.parked_mail:
                refuse(to, shutting_down())


def _found(session: SessionId, owner: Any) -> OwnerFound:
    if owner is None or (isinstance(owner, str) and owner):
        return OwnerFound(session, owner)
    return _failed(session, TypeError(f"owner_of answers with a user's name or None, not {owner!r}"))


def _failed(session: SessionId, error: BaseException) -> OwnerFound:
    logger.error("owner_of failed for session %s", session, exc_info=error)
    return OwnerFound(session, None, failed=True)


def _result(session: SessionId, task: "asyncio.Future[Any]") -> OwnerFound:
    if task.cancelled():
        return OwnerFound(session, None, failed=True)
    error = task.exception()
    return _found(session, task.result()) if error is None else _failed(session, error)
