"""What a session decides where there is a journal: durable first, then done.

A session has at most one append on its way, of decisions and of events together, and its state is what is
durable, never ahead of it. What arrives meanwhile waits undecided, and is decided as one batch, with one
append, when the answer is there. So nothing that was done, or said to an asker, is ever taken back:

* *landed*: the state is the one that was decided, its effects are performed, and the waiting mail is decided;
* *moved* (another has appended): its entries are taken over, and the same messages are decided anew;
* *not landed* (the journal is down): the decision is dropped and the state is untouched. Sends and closes are
  refused, and that is the truth. What has happened is no matter of wishes: the end of a coroutine, a moment
  that has come, and a cancel that was delivered wait and are tried again.

A send whose turn only the log may have waits in the same way, until the journal has said so: see `repeats`.

A decision that adds nothing to the log, such as the answer to a retry, is done at once if nothing is on its
way. What does not wait at all is in `prompt`.

A turn is sealed when its end is decided, because the number of its last event is part of what is written.
Times count from the landing: a stalled disk would otherwise eat the grace of a turn. An early cancel counts
from the moment in the log: its answer says for how long from now, and it also counts for a send that came in
time and is decided after that.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, assert_never

from turnkeeper.actors.journal.contract import Append, Head, Journal, Landed, Moved, NotLanded
from turnkeeper.actors.journal.derive import entries_of
from turnkeeper.actors.journal.entries import Entry, Opened, Titled
from turnkeeper.actors.journal.foreign import taken_over
from turnkeeper.actors.metrics.meter import APPENDS_NOT_LANDED
from turnkeeper.actors.model.exceptions import JournalDown, SessionError, SessionLost
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import (
    Flush,
    Granted,
    Hold,
    Rearrange,
    Recover,
    Recovered,
    Retitle,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    TurnRead,
    TurnReturned,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.model.value import value
from turnkeeper.actors.registry.admitting.room import undo_room, with_room
from turnkeeper.actors.registry.decisions import LOST, Decisions, log_decision, lose, rearranged
from turnkeeper.actors.registry.directory import renamed, reserve
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.registry.shared import DEBUG, Shared
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, Timer, refuse
from turnkeeper.actors.session.consequences import CAUSES
from turnkeeper.actors.session.effects import Effect, LeaveSlot
from turnkeeper.actors.session.ladder import delayed
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.slots import is_beside, slot_of, waits_for_slots
from turnkeeper.actors.session.states import Closed, Home, Idle, Queued, State
from turnkeeper.actors.session.steps.stops import said_late

from .cargo import Cargo, Packed
from .mail import Mail, for_later
from .repeats import Repeats
from .sealing import checked, checked_tick, sealer

#: After how many seconds what could not be written is tried again: at first, and at most.
FIRST_RETRY: Final = 0.25
LAST_RETRY: Final = 5.0


@value
class _Flight:
    """An append that is on its way, and what is to be done when it has landed."""

    key: str
    mail: tuple[Mail, ...]
    after: State
    effects: tuple[Effect, ...]
    packed: Packed | None
    decided_at: float
    #: What counts a turn that is not in the directory yet, in flight or waiting.
    count: Callable[[int], None] | None

    def arrive(self) -> None:
        """It is on its way no longer: what it came to counts by itself."""
        if self.count is not None:
            self.count(-1)


class JournaledDecisions(Decisions):
    """One session's state, which is what its log says, and its way from one to the next."""

    __slots__ = (
        "_cargo",
        "_flight",
        "_flush_due",
        "_head",
        "_journal",
        "_repeats",
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
        self._repeats = Repeats(shared, journal, actor, opens=head is None)
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
        elif type(message) is Tick:
            message = checked_tick(message, self._performer)
        mail, flight = (message, to), self._flight
        if flight is None and not self._waiting:
            self._waiting.append(mail)
        else:
            after = self.state if flight is None else flight.after
            self._waiting.extend(for_later([mail], after, self._shared.clock()))
        self._decide_waiting()

    def flush(self) -> None:
        """Write what waits to be written, when nothing is on its way."""
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
        """Decide what waits, up to what adds to the log: that is done when it is durable."""
        while self._waiting and self._flight is None:
            now = self._shared.clock()
            mail, state, effects, entries = _decided(
                self._waiting, self.state, now, self._performer, self._shared, self._repeats
            )
            if entries:
                self._append(mail, state, effects, entries)
            elif mail:
                self._do(mail, state, effects, now)
            else:
                return

    def _do(self, mail: tuple[Mail, ...], after: State, effects: tuple[Effect, ...], now: float) -> None:
        if after is not self.state:
            self._take(after, now)
        elif type(after) is Idle and any(type(each) is Submit for each, _ in mail):
            self._come_to_nothing(self._shared.title_of(after.memory.home.session_id))
        try:
            self._performer.perform(effects, after)
        except Exception:
            lose(self._shared, [to for _, to in mail], effects)
            raise
        _recovered(mail, self._shared, self._actor, self.state)

    # -- Appending --------------------------------------------------------------------------------------

    def _append(
        self, mail: tuple[Mail, ...], after: State, effects: tuple[Effect, ...], decided: tuple[Entry, ...]
    ) -> None:
        home, now = self.state.memory.home, self._shared.clock()
        key = f"{self._shared.incarnation}-{next(self._shared.append_numbers)}"
        packed = self._cargo.pack()
        opening = () if self._head is not None else _opening(self._shared, home, now)
        entries = (*opening, *(() if packed is None else packed.entries), *decided)
        count = _counted(self._shared, self.state, after)
        self._flight = _Flight(key, mail, after, effects, packed, now, count)
        self._journal.append(Append(home.session_id, self._head, entries, key, self._actor))

    # -- The answer -------------------------------------------------------------------------------------

    def answered(self, message: Landed | Moved | NotLanded | TurnRead) -> None:
        """The journal says what became of an append, or what it has of a turn."""
        if type(message) is TurnRead:
            self._repeats.answered(message)
            self._decide_waiting()
            return
        flight = self._flight
        if flight is None or message.key != flight.key:
            return  # of another life
        self._flight = None
        flight.arrive()
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
        _give_back(flight, self.state, self._shared)
        self._waiting.extendleft(reversed(for_later(flight.mail, self.state, flight.decided_at)))
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
        _give_back(flight, self.state, self._shared)
        logger.warning("session %s: not written: %s", self.state.memory.home.session_id, error)
        self._cargo.not_landed(flight.packed, error)
        _recovered(flight.mail, self._shared, self._actor, self.state)
        # What came meanwhile gets a try of its own: at once if an asker waits for it, and for nothing else.
        at_once = any(to is not None for _, to in self._waiting) and not self._repeats.awaits_answer
        self._waiting.extendleft(reversed(_facts(flight.mail, error)))
        if at_once:
            self._decide_waiting()
        if self._flight is None and self._head is None:
            self._come_to_nothing(self._cargo.title)
        if self._flight is None and not self.settled:
            self._retry.set(self._shared.loop.time() + self._retry_after)
            self._retry_after = min(LAST_RETRY, 2 * self._retry_after)

    # -- The end ----------------------------------------------------------------------------------------

    def abandon(self, error: SessionError) -> None:
        """The actor is gone: answer each asker whose message was not decided, or has not landed."""
        super().abandon(error)
        self._retry.cancel()
        self._repeats.close()
        flight, self._flight = self._flight, None
        if flight is not None:
            _give_back(flight, self.state, self._shared)
            flight.arrive()
            _refuse_all(flight.mail, error)
        self._cargo.abandon(None if flight is None else flight.packed, error)
        _refuse_all(self._waiting, error)
        self._waiting.clear()


def _give_back(flight: _Flight, state: State, shared: Shared) -> None:
    """What was decided comes to nothing, and so do the slots that were taken for turns of it."""
    kept, given_up = slot_of(state), slot_of(flight.after)
    tickets = {effect.ticket for effect in flight.effects if type(effect) is LeaveSlot}
    if given_up is not None:
        tickets.add(given_up.ticket)
    if kept is not None:
        tickets.discard(kept.ticket)
    for ticket in tickets:
        shared.slots.leave(ticket)
    if shared.slots.asking:
        shared.slots.grant()  # it may have counted without a slot


def _decided(
    waiting: deque[Mail],
    state: State,
    now: float,
    performer: Performer,
    shared: Shared,
    repeats: Repeats,
) -> tuple[tuple[Mail, ...], State, tuple[Effect, ...], tuple[Entry, ...]]:
    """Decide what waits, one after the other, up to a send about which the journal is asked.

    What was decided, what becomes of the session by that, and what that adds to its log.
    """
    before = state
    mail: tuple[Mail, ...] = ()
    effects: tuple[Effect, ...] = ()
    entries: tuple[Entry, ...] = ()
    while waiting and (ready := repeats.ready(waiting[0], state, mail)) is not None:
        waiting.popleft()
        mail += ready
        for each, to in ready:
            try:
                message = each
                if type(message) is Submit:
                    message = with_room(shared.directory, shared.slots, state, message)
                if type(message) is Rearrange:
                    after, decided = rearranged(shared, state, message, now, to)
                else:
                    after, decided = step(state, message, now, to)
                if logger.isEnabledFor(DEBUG):
                    log_decision(state, message, after, decided)
                entries += entries_of(decided, sealer(performer, after, shared.meter), performer.cut_off)
            except Exception:
                _refuse_all(mail, SessionLost(LOST))
                undo_room(shared.slots, before.memory, state.memory)
                raise
            effects += decided
            state = after
    return mail, state, effects, entries


def _from_now(flight: _Flight, now: float) -> tuple[State, tuple[Effect, ...]]:
    """What was decided, in force from now on."""
    after, effects, by = flight.after, flight.effects, now - flight.decided_at
    return delayed(after, by), said_late(effects, by) if after.memory.early else effects


def _opening(shared: Shared, home: Home, now: float) -> tuple[Entry, ...]:
    """What stands at the beginning of a log."""
    opened, title = Opened(home.owner, now), shared.title_of(home.session_id)
    return (opened,) if title is None else (opened, Titled(title))


def _counted(shared: Shared, before: State, after: State) -> Callable[[int], None] | None:
    """Count a turn that the directory does not show before it has landed; what takes it back then."""
    if type(before) is not Idle or type(after) is Idle or type(after) is Closed:
        return None
    waits = type(after) is Queued and waits_for_slots(after)
    if slot_of(after) is not None and not waits:
        return None  # its slot counts
    if is_beside(after.turn.spec if type(after) is not Queued else after.line.turns[0].spec):
        return None
    return reserve(shared.directory, before.memory.home.session_id, waits=waits)


def _recovered(mail: tuple[Mail, ...], shared: Shared, actor: AsyncioRef[Any], state: State) -> None:
    """Let in what waits while it is not decided what becomes of another process's turns."""
    if mail and type(mail[0][0]) is Recover:
        shared.report(Recovered(actor, state.memory.home.session_id))


def may_be_refused(message: Shut) -> bool:
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
                if may_be_refused(message):
                    refuse(to, error)
                else:
                    facts.append((message, to))  # a shutdown goes on without a journal
            case Stop():
                text = f"{error}; the turn was asked to stop, and that will be written down later"
                refuse(to, JournalDown(text))
                facts.append((message, None))
            case Hold():
                refuse(to, error)
            case Unhold() | TurnReturned() | TurnEnded() | Tick() | WoundUp() | Granted() | Recover():
                facts.append((message, to))
            case _:
                assert_never(message)
    return facts


def _refuse_all(mail: Iterable[Mail], error: SessionError) -> None:
    for _, to in mail:
        refuse(to, error)
