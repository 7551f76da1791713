"""Sends whose turn memory may have let go of: before they are decided, the journal is asked for that.

A turn id that a sender chose, or a key, stands for its turn as long as the log has that; memory keeps only
the last ones. So a send with an id that its session does not know waits, in its place, until the journal has
said what it has of it; then `step` decides with that. What comes behind it waits as well, so nothing is
decided between the answer and its decision, and two tries that come together are looked at one after the
other. Those without an id of their own are not held up, nor are any while memory has all there is.
"""

import asyncio
from typing import Any

from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.model.messages import Submit, TurnRead
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import AsyncioRef, refuse
from turnkeeper.actors.session.states import State
from turnkeeper.actors.session.views import find_turn

from .answers import came_of
from .mail import Mail, for_later


class Repeats:
    """Asks the journal for one session's actor, about one send at a time."""

    __slots__ = ("_actor", "_answer", "_asked", "_journal", "_opened_at", "_question", "_shared")

    def __init__(self, shared: Shared, journal: Journal, actor: AsyncioRef[Any], *, opens: bool) -> None:
        """``opens``: the session has no log yet."""
        self._shared = shared
        self._journal = journal
        self._actor = actor
        self._opened_at = shared.clock() if opens else None
        #: The send that the journal was asked about, behind its early cancel if it has one.
        self._asked: list[Mail] = []
        self._question: asyncio.Task[TurnRecord | None] | None = None
        self._answer: TurnRead | None = None

    def ready(self, mail: Mail, state: State, before: tuple[Mail, ...]) -> tuple[Mail, ...] | None:
        """What of this can be decided in this state; ``None`` if it has to wait for an answer.

        ``before`` is decided together with it, and not in the log yet.
        """
        message, _ = mail
        if type(message) is not Submit or message.spec.head.fingerprint is None:
            return (mail,)
        if find_turn(state, message.spec.turn_id) is not None or self._has_all(state):
            return (mail,)
        if self._asked and self._asked[-1][0] is message:
            return None if self._answer is None else self._decidable(self._answer)
        # Of another try that is decided together with it the journal would not know.
        if not any(type(each) is Submit and each.spec.turn_id == message.spec.turn_id for each, _ in before):
            self._ask(message, mail, state)
        return None

    def _has_all(self, state: State) -> bool:
        """Whether the session has let go of no turn since it was opened here."""
        opened_at, memory = self._opened_at, state.memory
        if opened_at is None:
            return False
        limits = memory.home.limits
        young = self._shared.clock() - opened_at < limits.turn_retention
        return young and len(memory.records) < limits.kept_turns

    @property
    def awaits_answer(self) -> bool:
        """Whether the journal has been asked, and has not answered."""
        return self._question is not None

    def _ask(self, send: Submit, mail: Mail, state: State) -> None:
        self.close()
        self._asked = for_later([mail], state, self._shared.clock())
        turn = self._journal.turn(send.spec.session_id, send.spec.turn_id)
        self._question = self._shared.loop.create_task(turn)
        self._question.add_done_callback(lambda done: self._actor.tell_if_alive(_read(send, done)))

    def _decidable(self, answer: TurnRead) -> tuple[Mail, ...]:
        """The send that was asked about, with the answer; nothing if it is refused for want of one."""
        *before, (_, to) = self._asked
        self._asked, self._answer = [], None
        if answer.error is not None:
            refuse(to, answer.error)
            return ()
        return (*before, (replace(answer.send, past=answer.turn), to))

    def answered(self, answer: TurnRead) -> None:
        """The journal has answered, or could not."""
        if self._asked and self._asked[-1][0] is answer.send:
            self._answer, self._question = answer, None

    def close(self) -> None:
        """Wait for no answer any more."""
        question, self._question, self._answer = self._question, None, None
        if question is not None:
            question.cancel()


def _read(send: Submit, question: "asyncio.Task[TurnRecord | None]") -> TurnRead:
    return TurnRead(send, *came_of(question, f"turn {send.spec.turn_id}"))
