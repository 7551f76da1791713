"""How a session is opened, by the first send to an id: whose it is, and whether there is room for it."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from turnkeeper.actors.model.exceptions import OwnerNotKnown, SessionIdTaken
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import KeptTooMuch, OwnerFound, Send
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import OnCap
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
    #: Each send counts as a turn of its asker's until the owner is known, in flight or waiting.
    counted: list[Callable[[int], None]]


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
        counts = policy.on_cap is not OnCap.WAIT and message.parent is None
        self._make_room(owner, bounded=asker.bounded, most=policy.max_in_flight if counts else None)
        return self._children.open(session, owner, now, counts=counts)

    # -- Room -------------------------------------------------------------------------------------------

    def _make_room(self, owner: str, *, bounded: bool, most: int | None) -> None:
        """See to it that there is room for one session more; those asleep give way. Raises `SessionError`.

        And that there is room for a turn, of which the owner may have so many; ``None``: that may wait.
        """
        ledger = self._directory.ledger
        full = ledger.too_stubborn(owner, bounded=bounded)
        if full is None and most is not None:
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
        count = self._counter(message)
        try:
            answer = owner_of(session)
        except Exception as error:  # noqa: BLE001  the host may raise anything
            return _failed(session, error)
        if not inspect.isawaitable(answer):
            return _found(session, answer)
        task = asyncio.ensure_future(answer, loop=self._shared.loop)
        self.questions[session] = _Question(task, [(message, to)], [count])
        count(1)
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
            count = self._counter(message)
            question.counted.append(count)
            count(1)
        question.parked_mail.append((message, to))
        return True

    def _counter(self, message: Send) -> Callable[[int], None]:
        """What counts a send that waits for the host's word. Raises what the bounds refuse."""
        asker, ledger = message.asker, self._directory.ledger
        # What the send itself says of it is looked at when the owner is known.
        policy = self._shared.layers.base(message.agent, asker.user).policy
        holdings = ledger.of(asker.user)
        if message.parent is not None:
            count, full = _count_nothing, None
        elif policy.on_cap is OnCap.WAIT or message.after:  # the latter waits for a slot in any case
            count = holdings.count_later
            full = self._shared.slots.no_place(asker.user, bounded=asker.bounded)
        else:
            count = holdings.count_turns
            full = ledger.no_turn(asker.user, bounded=asker.bounded, most=policy.max_in_flight)
        if full is not None:
            ledger.tidy(holdings)
            raise full

        def counted(number: int) -> None:
            count(number)
            ledger.tidy(holdings)

        return counted

    def found(self, found: OwnerFound) -> None:
        """The host has answered: handle what has waited for that, with this answer."""
        question = self.questions.pop(found.session_id, None)
        if question is not None:
            self._found = found
            self._go_on(question)
            self._found = None

    def _go_on(self, question: _Question) -> None:
        for count in question.counted:
            count(-1)
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


def _count_nothing(number: int) -> None:
    """A turn that runs on the slot of another one counts with that."""


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
