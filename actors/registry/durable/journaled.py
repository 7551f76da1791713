"""What a session decides where there is a journal: durable first, then done.

A session has at most one append on its way, of decisions and of events together, and its state is what is
durable, never ahead of it. What arrives meanwhile waits undecided, and is decided as one batch, with one
append, when the answer is there. So nothing that was done, or said to an asker, is ever taken back:

* *landed*: the state is the one that was decided, its effects are performed, and the waiting mail is decided;
* *moved* (another has appended): its entries are taken over, and the same messages are decided anew;
* *not landed* (the journal is down): the decision is dropped and the state is untouched. Sends and closes are
  refused, and that is the truth. What has happened is no matter of wishes: the end of a coroutine, a moment
  that has come, and a cancel that was delivered wait and are tried again.

Two things do not wait. A cancel reaches the coroutine when it is asked, because a person has pressed Stop, or
the process is about to end, and the disk may take its time; what it came to is said when that is written. And
a decision that adds nothing to the log, such as the answer to a retry, is done at once if nothing is on its
way.

A turn is sealed when its end is decided, because the number of its last event is part of what is written.
Times count from the landing: a stalled disk would otherwise eat the grace of a turn. An early cancel counts
from the moment in the log: its answer says for how long from now, and it also counts for a send that came in
time and is decided after that.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, assert_never

from turnkeeper.actors.admission.holdings import Holdings
from turnkeeper.actors.journal.contract import Append, Head, Journal, Landed, Moved, NotLanded
from turnkeeper.actors.journal.derive import entries_of
from turnkeeper.actors.journal.entries import Entry, Opened, Titled
from turnkeeper.actors.journal.foreign import taken_over
from turnkeeper.actors.metrics.meter import APPENDS_NOT_LANDED
from turnkeeper.actors.model.exceptions import JournalDown, SessionError, SessionLost
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import (
    Flush,
    Rearrange,
    Recover,
    Recovered,
    Retitle,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    WoundUp,
)
from turnkeeper.actors.model.value import value
from turnkeeper.actors.registry.decisions import LOST, Decisions, log_decision, lose
from turnkeeper.actors.registry.directory import came_to_nothing, renamed, reserve
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.registry.shared import DEBUG, Shared
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, Timer, refuse
from turnkeeper.actors.session.consequences import CAUSES
from turnkeeper.actors.session.effects import CancelTurn, Effect
from turnkeeper.actors.session.ladder import delayed
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.record import early_cancel
from turnkeeper.actors.session.states import Closed, Home, Idle, State
from turnkeeper.actors.session.steps.stops import said_late

from .cargo import Cargo, Packed
from .sealing import checked, sealer

#: After how many seconds what could not be written is tried again: at first, and at most.
FIRST_RETRY: Final = 0.25
LAST_RETRY: Final = 5.0
Mail = tuple[Message, ReplyTo]


@value
class _Flight:
    """An append that is on its way, and what is to be done when it has landed."""

    key: str
    mail: tuple[Mail, ...]
    after: State
    effects: tuple[Effect, ...]
    packed: Packed | None
    decided_at: float
    #: Whose place a turn has that is not in the directory yet.
    place: Holdings[Any] | None


class JournaledDecisions(Decisions):
    """One session's state, which is what its log says, and its way from one to the next."""

    __slots__ = (
        "_cargo",
        "_flight",
        "_flush_due",
        "_head",
        "_journal",
        "_retry",
        "_retry_after",
        "_waiting",
    )

    def __init__(
        self,
        state: State,
        shared: Shared,
        actor: AsyncioRef[Any],
        performer: Performer,
        journal: Journal,
        head: Head | None,
    ) -> None:
        """``head`` is where the session's log stands; ``None`` if it has none yet."""
        super().__init__(state, shared, actor, performer)
        self._journal = journal
        self._head = head
        self._cargo = Cargo(shared, actor, performer.turns)
        performer.feed.outbox = self._cargo.outbox
        self._waiting: deque[Mail] = deque()
        self._flight: _Flight | None = None
        #: Whether events waited to be written while something was on its way.
        self._flush_due = False
        self._retry = Timer(shared.loop, self._try_again)
        self._retry_after = FIRST_RETRY

    @property
    def head(self) -> Head | None:
        """Where the session's log stands; ``None`` if it has none yet."""
        return self._head

    @property
    def settled(self) -> bool:
        """Whether all that was decided or emitted is durable, and nothing waits."""
        return self._flight is None and not self._waiting and not self._cargo

    # -- Deciding ---------------------------------------------------------------------------------------

    def decide(self, message: Message, to: ReplyTo) -> None:
        """Decide a message, now or when what is on its way has landed, and do it when it is durable."""
        if type(message) is TurnEnded:
            message = checked(message, self._performer)
        elif type(message) is Stop or type(message) is Tick or type(message) is Shut:
            _deliver(message, self.state, self._performer, self._shared.clock())
        if self._flight is None:
            self._waiting.append((message, to))
            self._decide_waiting()
        else:
            self._waiting.extend(_for_later([(message, to)], self._flight.after, self._shared.clock()))

    def flush(self) -> None:
        """Write what waits to be written, when nothing is on its way."""
        if self._flight is None:
            self._decide_waiting()
        self._flush_due = self._flight is not None
        if self._flight is None and self._cargo:
            self._append((), self.state, (), ())

    def retitle(self, message: Retitle, to: ReplyTo) -> None:
        """Write the session's title, and answer when it is durable."""
        self._cargo.add_title(message, to)
        renamed(self._shared.directory, self._actor, self.state, message.title)
        self.flush()

    def _decide_waiting(self) -> None:
        """Decide all that waits, up to what adds to the log: that is done when it is durable."""
        while self._waiting and self._flight is None:
            mail = tuple(self._waiting)
            self._waiting.clear()
            now = self._shared.clock()
            try:
                state, effects, entries = _decided(mail, self.state, now, self._performer, self._with_room)
            except Exception:
                _refuse_all(mail, SessionLost(LOST))
                raise
            if entries:
                self._append(mail, state, effects, entries)
            else:
                self._do(mail, state, effects, now)

    def _do(self, mail: tuple[Mail, ...], after: State, effects: tuple[Effect, ...], now: float) -> None:
        if after is not self.state:
            self._take(after, now)
        try:
            self._performer.perform(effects, after)
        except Exception:
            for _, to in mail:
                lose(to, effects)
            raise
        self._recovered(mail)

    def _recovered(self, mail: tuple[Mail, ...]) -> None:
        """Let in what waits while it is not decided what becomes of another process's turns."""
        if mail and type(mail[0][0]) is Recover:
            self._shared.report(Recovered(self._actor, self.state.memory.home.session_id))

    # -- Appending --------------------------------------------------------------------------------------

    def _append(
        self,
        mail: tuple[Mail, ...],
        after: State,
        effects: tuple[Effect, ...],
        decided: tuple[Entry, ...],
    ) -> None:
        home, now = self.state.memory.home, self._shared.clock()
        key = f"{self._shared.incarnation}-{next(self._shared.append_numbers)}"
        packed = self._cargo.pack()
        opening = () if self._head is not None else _opening(self._shared, home, now)
        entries = (*opening, *(() if packed is None else packed.entries), *decided)
        place = _place(self._shared, self.state, after)
        self._flight = _Flight(key, mail, after, effects, packed, now, place)
        self._journal.append(Append(home.session_id, self._head, entries, key, self._actor))

    # -- The answer -------------------------------------------------------------------------------------

    def answered(self, message: Landed | Moved | NotLanded) -> None:
        """The journal says what became of an append."""
        flight = self._flight
        if flight is None or message.key != flight.key:
            return  # of another life
        self._flight = None
        if flight.place is not None:
            flight.place.count_turns(-1)
        if type(message) is Landed:  # by type, as in `step`
            self._landed(flight, message.head)
        elif type(message) is Moved:
            self._moved(flight, message)
        elif type(message) is NotLanded:
            self._not_landed(flight, message.error)
            return
        else:
            assert_never(message)
        self._decide_waiting()
        if self._flush_due and self._flight is None:
            self.flush()

    def _landed(self, flight: _Flight, head: Head) -> None:
        if flight.mail or self._head is None:
            self._head = head  # what comes behind any head says nothing of where this session stands
        self._retry_after = FIRST_RETRY
        self._cargo.landed(flight.packed)
        if flight.mail:
            now = self._shared.clock()
            after, effects = _from_now(flight, now)
            self._do(flight.mail, after, effects, now)

    def _moved(self, flight: _Flight, message: Moved) -> None:
        """Take over what another has appended, and decide the same messages again. Raises `Diverged`."""
        self._head = message.head
        self._waiting.extendleft(reversed(_for_later(flight.mail, self.state, flight.decided_at)))
        self._cargo.put_back(flight.packed)
        self._flush_due = True
        now = self._shared.clock()
        after, effects = taken_over(self.state, message.entries, now)
        self._do((), after, effects, now)

    def _try_again(self) -> None:
        self._actor.tell_if_alive(Flush())

    def _not_landed(self, flight: _Flight, error: SessionError) -> None:
        """Refuse the wishes; keep the facts, to try again."""
        self._shared.meter.count(APPENDS_NOT_LANDED)
        logger.warning("session %s: not written: %s", self.state.memory.home.session_id, error)
        self._cargo.not_landed(flight.packed, error)
        self._recovered(flight.mail)
        # What came meanwhile gets a try of its own: at once if an asker waits for it.
        at_once = any(to is not None for _, to in self._waiting)
        self._waiting.extendleft(reversed(_facts(flight.mail, error)))
        if at_once:
            self._decide_waiting()
        if self._flight is None and self._head is None:
            came_to_nothing(self._shared.directory, self._actor, self.state, self._cargo.title)
        if self._flight is None and not self.settled:
            self._retry.set(self._shared.loop.time() + self._retry_after)
            self._retry_after = min(LAST_RETRY, 2 * self._retry_after)

    # -- The end ----------------------------------------------------------------------------------------

    def abandon(self, error: SessionError) -> None:
        """The actor is gone: answer each asker whose message was not decided, or has not landed."""
        self._retry.cancel()
        flight, self._flight = self._flight, None
        if flight is not None:
            if flight.place is not None:
                flight.place.count_turns(-1)
            _refuse_all(flight.mail, error)
        self._cargo.abandon(None if flight is None else flight.packed, error)
        _refuse_all(self._waiting, error)
        self._waiting.clear()


def _decided(
    mail: tuple[Mail, ...],
    state: State,
    now: float,
    performer: Performer,
    with_room: Callable[[State, Submit], Submit],
) -> tuple[State, tuple[Effect, ...], tuple[Entry, ...]]:
    """What becomes of a session by all these messages, one after the other, and what that adds to its log."""
    effects: tuple[Effect, ...] = ()
    entries: tuple[Entry, ...] = ()
    for each, to in mail:
        message = with_room(state, each) if type(each) is Submit else each
        after, decided = step(state, message, now, to)
        if logger.isEnabledFor(DEBUG):
            log_decision(state, message, after, decided)
        entries += entries_of(decided, sealer(performer, after), performer.cut_off)
        effects += decided
        state = after
    return state, effects, entries


def _from_now(flight: _Flight, now: float) -> tuple[State, tuple[Effect, ...]]:
    """What was decided, in force from now on."""
    after, effects, by = flight.after, flight.effects, now - flight.decided_at
    return delayed(after, by), said_late(effects, by) if after.memory.early else effects


def _opening(shared: Shared, home: Home, now: float) -> tuple[Entry, ...]:
    """What stands at the beginning of a log."""
    opened, title = Opened(home.owner, now), shared.title_of(home.session_id)
    return (opened,) if title is None else (opened, Titled(title))


def _place(shared: Shared, before: State, after: State) -> Holdings[Any] | None:
    """Take the place of a turn that the directory does not show before it has landed."""
    if type(before) is not Idle or type(after) is Idle or type(after) is Closed:
        return None
    return reserve(shared.directory, before.memory.home.session_id)


def _deliver(message: Stop | Tick | Shut, state: State, performer: Performer, now: float) -> None:
    """Let a cancel reach the coroutine that it is about: it is decided, and answered, in its turn."""
    if type(message) is Shut and _may_be_refused(message):
        return
    _, effects = step(state, message, now, None)
    for effect in effects:
        if type(effect) is CancelTurn and not effect.again:
            performer.turns.cancel(effect.reason)


def _for_later(mail: Iterable[Mail], state: State, now: float) -> list[Mail]:
    """The mail, to be decided later: each send behind its early cancel, which may have expired then."""
    later: list[Mail] = []
    for message, to in mail:
        if type(message) is Submit:
            early = early_cancel(state.memory, message.spec.turn_id, now)
            if early is not None:
                later.append((Stop(early.turn_id, early.reason, wait=False), None))
        later.append((message, to))
    return later


def _may_be_refused(message: Shut) -> bool:
    """Whether it is a wish, and no shutdown."""
    return CAUSES[message.reason.code].lasts


def _facts(mail: tuple[Mail, ...], error: SessionError) -> list[Mail]:
    """What of the mail has happened and is to be tried again. The askers are refused."""
    facts: list[Mail] = []
    for message, to in mail:
        match message:
            case Submit() | Rearrange():
                refuse(to, error)
            case Shut():
                if _may_be_refused(message):
                    refuse(to, error)
                else:
                    facts.append((message, to))  # a shutdown goes on without a journal
            case Stop():
                text = f"{error}; the turn was asked to stop, and that will be written down later"
                refuse(to, JournalDown(text))
                facts.append((message, None))
            case TurnEnded() | Tick() | WoundUp() | Recover():
                facts.append((message, to))
            case _:
                assert_never(message)
    return facts


def _refuse_all(mail: Iterable[Mail], error: SessionError) -> None:
    for _, to in mail:
        refuse(to, error)
