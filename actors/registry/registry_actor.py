"""RegistryActor: the one actor that all messages from outside go to."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias, assert_never, get_args

from turnkeeper.actors.admission.answers import admission, set_admission
from turnkeeper.actors.admission.early_cancels import EarlyCancels
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, TurnkeeperError
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import (
    Admission,
    AwaitTurn,
    Cancel,
    CancelAnswer,
    CancelMany,
    ChangeQueued,
    Cleanup,
    Close,
    FollowTurn,
    GetAdmission,
    GetCounts,
    GetMessages,
    GetPolicy,
    GetQueue,
    GetSession,
    GetTurn,
    GetTurns,
    KeptTooMuch,
    ListActive,
    ListSessions,
    ListWaiting,
    OwnerFound,
    PolicyView,
    Recovered,
    Recovering,
    Send,
    SessionEnded,
    SessionFailed,
    SessionRead,
    SetAdmission,
    SetPolicy,
    SetTitle,
    Shutdown,
    ShutdownOverdue,
    Slept,
    Stop,
    StopTurns,
    Subscribe,
    Sweep,
    TaskExited,
    ToBeFreed,
)
from turnkeeper.actors.model.records import Reason, TurnId, TurnSpec
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.policy.answers import policy_view, set_policy
from turnkeeper.actors.policy.resolve import (
    cancel_code,
    check_text,
    clears,
    forces,
    rearrangement,
    resolve_send,
)
from turnkeeper.actors.runtime import AsyncioActor, ReplyTo, answer, refuse
from turnkeeper.actors.session.refusals import precondition_failed, shutting_down

from .admitting.parts import refuse_parts
from .bulk.cancels import BulkCancels
from .children import Children, Closing
from .durable.loading import Loading, when_recovered
from .durable.retention import Retention
from .durable.sealing import check_json
from .ending import Ending
from .housekeeping import Housekeeping
from .lists import Listing, answer_listing, title_by
from .opening import Opening
from .shared import DEBUG, Shared

#: What is asked and said about how turns are run and let in.
Rules: TypeAlias = GetPolicy | SetPolicy | GetAdmission | SetAdmission
Message: TypeAlias = (
    Send
    | Cancel
    | CancelMany
    | SessionEnded
    | Subscribe
    | FollowTurn
    | Close
    | GetSession
    | GetTurn
    | GetQueue
    | AwaitTurn
    | GetMessages
    | GetTurns
    | ListActive
    | ListWaiting
    | ListSessions
    | SetTitle
    | ChangeQueued
    | GetPolicy
    | SetPolicy
    | GetAdmission
    | SetAdmission
    | GetCounts
    | Cleanup
    | Slept
    | SessionFailed
    | Sweep
    | Shutdown
    | ShutdownOverdue
    | TaskExited
    | StopTurns
    | KeptTooMuch
    | OwnerFound
    | SessionRead
    | Recovered
    | Recovering
    | ToBeFreed
)
#: The messages that the registry's actor understands.
MESSAGES: Final = frozenset(get_args(Message))


def log_refusal(message: Any, error: TurnkeeperError) -> None:
    """Log what the registry itself refuses. The session's id is as it came."""
    if logger.isEnabledFor(DEBUG):
        session, asker = getattr(message, "session_id", None), getattr(message, "asker", None)
        what = session, type(message).__name__, asker and asker.user, error.code, error
        logger.debug("session %.200s: %s by %s refused: %s: %s", *what)


def answer_rules(shared: Shared, children: Children, message: Rules) -> PolicyView | Admission | None:
    """The answer to a question about how turns are run or let in, or to another word about it."""
    layers, ledger, slots = shared.layers, shared.directory.ledger, shared.slots
    match message:
        case GetPolicy():
            _, owner = children.remembered(message.session_id, message.asker)
            return policy_view(layers, message, owner)
        case SetPolicy():
            set_policy(layers, message)
            slots.changed()
            return None
        case SetAdmission():
            set_admission(layers, ledger, message)
            slots.changed()
        case GetAdmission():
            pass
        case _:
            assert_never(message)
    return admission(layers, ledger, slots.scheduler, message.asker)


def reach_turns(shared: Shared, children: Children, message: TaskExited | StopTurns) -> None:
    """Have turns know what concerns them, each in its session."""
    if type(message) is TaskExited:
        children.exited(message)
        return
    for turn in message.turns:
        entry = shared.directory.entries.get(turn.session_id)
        if entry is not None:
            children.forward(entry, Stop(turn.turn_id, message.reason, wait=False), None)


def refuse_unfit(shared: Shared, message: Send, spec: TurnSpec) -> None:
    """Refuse what no session could take, whatever it is doing.

    Raises `PartNotTaken`, and `InvalidRequest` for a message that the journal could not keep, or a send by a
    turn that has not sent it, or has ended since.
    """
    if shared.takes:
        refuse_parts(shared.takes, spec.agent, spec.message)
    if shared.journal is not None:
        check_json(spec.message)
    if message.parent is not None and not shared.tree.expects(spec.session_id, message.turn_id):
        raise InvalidRequest("parent must be a turn that sends this now: see turn.send", field="parent")


def change_queued(shared: Shared, children: Children, message: ChangeQueued, reply_to: ReplyTo) -> None:
    """Have a session move a turn that waits, or change its message."""
    change = rearrangement(message, shared.settings)
    if shared.journal is not None and change.edited is not None:
        check_json(change.edited.message)
    children.forward(children.known(message.session_id, message.asker), change, reply_to)


def cancel_unopened(
    shared: Shared, early: EarlyCancels, message: Cancel, turn: TurnId | None, text: str | None
) -> CancelAnswer:
    """What a cancel comes to in a session that its asker does not have. Raises `PreconditionFailed`."""
    session = ids.session_id(message.session_id)
    if message.if_match is not None:
        raise precondition_failed(message.if_match)
    # Of another user's session the answer is that of an unknown one.
    if turn is not None and session not in shared.directory.entries:
        early.remember(message.asker.user, session, turn, text, shared.clock())
    ttl = None if turn is None else shared.settings.early_cancel_ttl
    return CancelAnswer(Verdict.NOT_RUNNING, remembered_for=ttl)


class RegistryActor(AsyncioActor):
    """Routes messages to sessions, which answer the askers directly; answers questions about many itself."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        shared.registry = self._actor_ref
        settings = shared.settings
        self._early = EarlyCancels(settings.early_cancels_per_user, settings.early_cancel_ttl, shared.meter)
        self._children = Children(shared)
        self._ending = Ending(shared, self._children)
        self._closing = Closing(shared, self._children, self._ending.count_to_forget)
        self._opening = Opening(shared, self._children, self._handle)
        #: Where there is a journal.
        self._loading = Loading.of(shared, self._children, self._handle)
        self._housekeeping = Housekeeping(shared, self._children, Retention.of(shared, self._loading))
        self._bulk = BulkCancels(shared, self._handle, when_recovered(self._loading))

    def on_start(self) -> None:
        """Begin to look for idle sessions, and at the loop."""
        self._housekeeping.sweep_later()
        if self._shared.watch is not None:
            self._shared.watch.start()

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        """Route a message, or answer it from the directory. A refusal is the answer of its asker."""
        if type(message) not in MESSAGES:
            super().on_message(message, reply_to)
            return
        self._handle(message, reply_to, look=self._loading)

    def _handle(self, message: Any, reply_to: ReplyTo, look: Loading | None = None) -> None:
        """Route a message, or answer it; ``look``: what is not in memory may be in the journal."""
        try:
            if self._opening.questions and self._opening.park(message, reply_to):
                return
            if look is not None and look.park(message, reply_to):
                return
            self._route(message, reply_to)
        except TurnkeeperError as error:
            self._shared.count_refusal(error)
            if reply_to is None:
                logger.warning("%s refused: %s", type(message).__name__, error)
            else:
                log_refusal(message, error)
                refuse(reply_to, error)
        except Exception:
            if reply_to is not None:
                raise  # it is the answer
            # A malformed message that was told, not asked, must not end the actor, and all sessions with it.
            logger.exception("%s could not be handled", type(message).__name__)

    def _route(self, message: Message, reply_to: ReplyTo) -> None:
        # By type, as in `step`.
        if type(message) is Send:
            self._on_send(message, reply_to)
        elif type(message) is Cancel:
            self._on_cancel(message, reply_to)
        elif type(message) is SessionEnded:
            self._on_ended(message)
        elif type(message) is Subscribe or type(message) is FollowTurn:
            self._on_follow(message, reply_to)
        elif type(message) is Close:
            self._closing.close(message, reply_to)
        elif isinstance(message, GetSession | GetTurn | AwaitTurn | GetQueue):
            self._on_about(message, reply_to)
        elif type(message) is ChangeQueued:
            change_queued(self._shared, self._children, message, reply_to)
        elif isinstance(message, Listing):
            answer_listing(self._shared, self._children, message, reply_to)
        elif type(message) is CancelMany:
            self._bulk.begin(message, reply_to)
        elif isinstance(message, Rules):
            answer(reply_to, answer_rules(self._shared, self._children, message))
        elif type(message) is GetCounts:
            answer(reply_to, self._shared.counts())
        elif type(message) is Cleanup:
            self._housekeeping.cleanup(message.asker, reply_to)
        elif type(message) is Slept:
            self._on_slept(message)
        elif type(message) is SessionFailed:
            self._on_failed(message)
        elif type(message) is Sweep:
            self._housekeeping.sweep()
        elif type(message) is Shutdown:
            usual = self._shared.settings.shutdown_deadline
            self._end(usual if message.deadline is None else message.deadline, lambda: answer(reply_to, None))
        elif type(message) is ShutdownOverdue:
            self._ending.overdue()
        elif type(message) is TaskExited or type(message) is StopTurns:
            reach_turns(self._shared, self._children, message)
        elif type(message) is KeptTooMuch:
            self._housekeeping.relieve(message.owner)
        elif type(message) is OwnerFound:
            self._opening.found(message)
        elif type(message) is SessionRead or type(message) is Recovering or type(message) is Recovered:
            if self._loading is not None:
                self._loading.handle(message)
        elif type(message) is ToBeFreed:
            self._closing.freed(message, reply_to)
        else:
            assert_never(message)

    # -- Messages for one session -----------------------------------------------------------------------

    def _on_send(self, message: Send, reply_to: ReplyTo) -> None:
        if self._ending.begun:
            raise shutting_down()
        shared, now = self._shared, self._shared.clock()
        entry = shared.directory.find(message.session_id, message.asker)
        session = ids.session_id(message.session_id) if entry is None else entry.session_id
        new_id = next(shared.turn_ids)
        submit = resolve_send(message, session, shared.settings, shared.layers, new_id, now)
        if shared.takes or shared.journal is not None or message.parent is not None:
            refuse_unfit(shared, message, submit.spec)
        if entry is None:
            entry = self._opening.open(session, message, reply_to, now, submit.spec.policy)
            if entry is None:
                return
        if submit.spec.head.fingerprint is not None:
            reason = self._early.find(message.asker.user, session, submit.spec.turn_id, now)
            if reason is not None:
                self._children.forward(entry, Stop(submit.spec.turn_id, reason, wait=False), None)
        self._children.forward(entry, submit, reply_to)
        if entry.title is None:
            title_by(shared, self._children, entry, submit.spec.message)

    def _on_cancel(self, message: Cancel, reply_to: ReplyTo) -> None:
        shared, user = self._shared, message.asker.user
        entry = shared.directory.find(message.session_id, message.asker)
        turn = None if message.turn_id is None else ids.turn_id(message.turn_id)
        text, clear, force = check_text(message.text), clears(message.queue, turn), forces(message)
        if entry is not None:
            reason = Reason(cancel_code(message.code, message.asker, entry.owner), user, text)
            asker = None if message.asker.sees_all else user
            stop = Stop(turn, reason, message.wait, message.if_match, clear, asker, force)
            self._children.forward(entry, stop, reply_to)
            return
        answer(reply_to, cancel_unopened(shared, self._early, message, turn, text))

    def _on_about(self, message: GetSession | GetTurn | AwaitTurn | GetQueue, reply_to: ReplyTo) -> None:
        if reply_to is not None:
            entry = self._children.known(message.session_id, message.asker)
            self._children.forward(entry, message, reply_to)

    def _on_follow(self, message: Subscribe | FollowTurn, reply_to: ReplyTo) -> None:
        if self._ending.begun:
            raise shutting_down()
        self._children.follow(message, reply_to)

    # -- Reports ----------------------------------------------------------------------------------------

    def _on_ended(self, message: SessionEnded) -> None:
        if self._shared.directory.living(message.actor, message.session_id):
            self._ending.closed(message.session_id)

    def _on_slept(self, message: Slept) -> None:
        if self._children.slept(message):
            self._housekeeping.answered(message.session_id, asleep=message.state is not None)

    def _on_failed(self, message: SessionFailed) -> None:
        if self._children.failed(message):
            self._housekeeping.answered(message.session_id, asleep=False)
            self._ending.closed(message.session_id)

    # -- The end ----------------------------------------------------------------------------------------

    def on_stop_request(self, reply_to: ReplyTo) -> None:
        """``stop()`` from anywhere drains first, then stops every session; it is answered after that."""
        if self._ending.stopped:
            super().on_stop_request(reply_to)
            return

        def stop() -> None:
            self._opening.end(partial(self._ending.stop, partial(self.request_stop, reply_to)))

        self._end(self._shared.settings.shutdown_deadline, stop)

    def _end(self, deadline: float, then: Callable[[], None]) -> None:
        self._housekeeping.close()
        if self._loading is not None:
            self._loading.end()
        self._ending.begin(deadline, then)
        self._opening.end()

    def on_stop(self) -> None:
        """Stop the timers, and answer every asker that waits here."""
        if self._shared.watch is not None:
            self._shared.watch.stop()
        self._shared.close()
        self._housekeeping.stop()
        self._opening.stop()
        self._bulk.stop()
        self._ending.close()

    def why_unhandled(self, error: Exception) -> Exception:
        """Mail that comes behind the last stop is refused as the mail before it."""
        return shutting_down()
