"""What must become of those who wait for a session, by each message: worked out from the facts alone."""

from typing import NamedTuple, assert_never

from tests.actors.session.facts import Facts, Waits, claim_of, may_stop, taker_of, waits_for_a_moment
from turnkeeper.actors.model.messages import (
    Granted,
    Hold,
    Rearrange,
    Recover,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    TurnReturned,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.model.records import TurnId
from turnkeeper.actors.model.words import CancelCode, MoveTo, OnRestart, Strategy
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import Home


class Course(NamedTuple):
    """Which turn starts, which of those that waited end without having started, and who waits then."""

    starts: TurnId | None = None
    dropped: tuple[TurnId, ...] = ()
    front: TurnId | None = None
    rest: tuple[TurnId, ...] = ()
    later: tuple[TurnId, ...] = ()


def course_of(facts: Facts) -> Course:
    """The line as it stands: none starts, and none is dropped."""
    rest = tuple([turn.turn_id for turn in facts.rest])
    later = tuple([turn.turn_id for turn in facts.later])
    return Course(None, (), None if facts.front is None else facts.front.turn_id, rest, later)


def comes_due(was: Facts, message: Message, now: float) -> Waits | None:
    """The turn whose moment has come. The turn that holds the session, or is called up, comes before it."""
    if not isinstance(message, Tick) or was.shut or not was.later or not was.later[0].is_due(now):
        return None
    if was.holder is not None:
        due = was.holder_due()
        return was.later[0] if due is None or now < due else None
    comes_first = was.front is not None and was.front.is_due(now) and not was.asks
    return None if comes_first else was.later[0]


def dropped_by(was: Facts, stop: Stop, owner: str) -> tuple[Waits, ...]:
    """The turns that a cancel ends which only waited, in order: first the one that it is about.

    Those that its asker may not stop are left alone.
    """
    return tuple([turn for turn in _meant(was, stop) if may_stop(turn.spec, owner, stop.asker)])


def _meant(was: Facts, stop: Stop) -> tuple[Waits, ...]:
    aim = stop.turn_id
    held = was.holder is not None and was.holder.turn_id == aim
    about = was.front if aim is None else was.waits(aim)
    named = () if about is None else (about,)
    if not stop.clear or not (aim is None or held or named):
        return named
    return (*named, *(turn for turn in was.line if turn is not about))


def cleared_by(was: Facts, stop: Stop, owner: str) -> tuple[TurnId, ...]:
    """The turns that a cancel names beside the one that it is about."""
    about = was.holder.turn_id if was.holder is not None else was.front and was.front.turn_id
    about = about if stop.turn_id is None else stop.turn_id
    return tuple([turn.turn_id for turn in dropped_by(was, stop, owner) if turn.turn_id != about])


class Courses:
    """What must become of a line. ``free``: nothing holds the session any more."""

    def __init__(self, was: Facts, now: float, home: Home, *, free: bool, cut: Waits | None) -> None:
        self.was = was
        self.now = now
        self.limits = home.limits
        self.owner = home.owner
        self.free = free
        self.shut = was.shut
        self.front = was.front if cut is None else cut
        self.rest = was.rest
        self.later = was.later
        self.dropped: list[TurnId] = []
        self.starts: TurnId | None = None

    def after(self, message: Message) -> Course:
        """The course that this message takes, if it is neither refused nor a repeated one."""
        match message:
            case Submit():
                self._sent(message)
            case Stop():
                self._drop(*dropped_by(self.was, message, self.owner))
            case Shut():
                self._shut(message)
            case Rearrange():
                self._rearranged(message)
            case Recover():
                self._recovered()
            case Tick():
                turn = comes_due(self.was, message, self.now)
                if turn is not None:
                    self.later = self.later[1:]
                    self._comes_due(turn)
            case Hold() | Unhold() | TurnReturned() | TurnEnded() | WoundUp() | Granted():
                pass
            case _:
                assert_never(message)
        return self._went_on(message)

    def _went_on(self, message: Message) -> Course:
        """Where nothing holds the session the next one starts, or is called up, if it needs a slot first."""
        if self.free and not self.shut:
            head = self.front or next(iter(self.rest), None)
            if head is not None and head.is_due(self.now):
                called_up = head is self.front
                self._leaves(head)
                if self._may_start(head, message, called_up=called_up):
                    self.starts = head.turn_id
                else:
                    self.front = head
        front = None if self.front is None else self.front.turn_id
        rest = tuple([turn.turn_id for turn in self.rest])
        return Course(
            self.starts, tuple(self.dropped), front, rest, tuple([turn.turn_id for turn in self.later])
        )

    def _may_start(self, head: Waits, message: Message, *, called_up: bool) -> bool:
        """Whether the turn needs no slot, or has one: its own, or that of the turn whose place it takes."""
        claim, was = claim_of(head.spec, self.owner), self.was
        if claim is None:
            return True
        if isinstance(message, Granted):
            return was.asks and message.ticket == was.ticket
        if isinstance(message, Submit) and message.spec is head.spec and was.holder is None:
            return message.granted is not None
        had = was.holder is not None and was.granted
        return had and called_up and claim_of(was.holder, self.owner) == claim

    def _sent(self, send: Submit) -> None:
        turn = Waits(send.spec, self.now)
        if waits_for_a_moment(send, self.now):
            self._make_room(turn)
            turn = turn._replace(not_before=send.not_before)
            self.later = tuple(sorted((*self.later, turn), key=lambda each: each.not_before or 0.0))
        elif send.strategy is Strategy.COLLAPSE:
            self._collapse(turn, sent=True)
        else:
            self._place(turn, send.strategy, sent=True)

    def _comes_due(self, due: Waits) -> None:
        turn = due._replace(not_before=None, collects=False)
        if turn.spec.strategy is Strategy.COLLAPSE and not due.collects:
            self._collapse(turn, sent=False)
        else:
            self._place(turn, turn.spec.strategy, sent=False)

    def _collapse(self, turn: Waits, *, sent: bool) -> None:
        window = turn.spec.policy.collapse_window
        if taker_of(self.front, self.rest, self.later, turn.spec) is not None:
            if not sent:
                self.dropped.append(turn.turn_id)
        elif window > 0.0:
            if sent:
                self._make_room(turn)
            turn = turn._replace(not_before=self.now + window, collects=True)
            self.later = tuple(sorted((*self.later, turn), key=lambda each: each.not_before or 0.0))
        else:
            self._place(turn, Strategy.COLLAPSE, sent=sent)

    def _place(self, turn: Waits, strategy: Strategy, *, sent: bool) -> None:
        if self.free and self.front is None:
            self.front = turn
            return
        match strategy:
            case Strategy.INTERRUPT | Strategy.ROLLBACK:
                if self.front is not None:
                    self._drop(self.front)
                self.front = turn
            case Strategy.ENQUEUE | Strategy.COLLAPSE:
                if sent:
                    self._make_room(turn)
                self.rest = (*self.rest, turn)
            case Strategy.REJECT:
                self.dropped.append(turn.turn_id)
            case _:
                assert_never(strategy)

    def _rearranged(self, message: Rearrange) -> None:
        turn = self.was.waits(message.turn_id)
        assert turn is not None, "it is refused"
        if message.to is None:
            return
        self._leaves(turn)
        turn = turn._replace(not_before=None)
        if self.free and self.front is None:
            self.front = turn
            return
        match message.to:
            case MoveTo.FIRST:
                self.rest = (turn, *self.rest)
            case MoveTo.LAST:
                self.rest = (*self.rest, turn)
            case MoveTo.NOW:
                self._place(turn, Strategy.INTERRUPT, sent=False)
            case _:
                assert_never(message.to)

    def _make_room(self, turn: Waits) -> None:
        if self.was.is_full_for(turn.spec):
            oldest = self.was.makes_room_for(turn.spec)
            assert oldest is not None, "it is refused"
            self._drop(oldest)

    def _shut(self, message: Shut) -> None:
        self.shut = True
        if message.reason.code is not CancelCode.SHUTDOWN or not self.limits.durable:
            self._drop(*self.was.line)

    def _recovered(self) -> None:
        for turn in (self.front, *self.rest, *self.later):
            if turn is None:
                continue
            there = turn.spec.agent in self.limits.agents
            said = turn.spec.policy.on_restart in (OnRestart.CONTINUE, OnRestart.RERUN)
            again = said and turn.attempt <= self.limits.attempts
            if not there or (turn.attempt > 1 and not again):
                self._drop(turn)
        if self.front is not None and self.front.attempt > 1:
            backoff = self.limits.backoff * 2.0 ** (self.front.attempt - 2)
            self.front = self.front._replace(not_before=self.now + backoff)

    def _drop(self, *turns: Waits) -> None:
        for turn in turns:
            self.dropped.append(turn.turn_id)
            self._leaves(turn)

    def _leaves(self, turn: Waits) -> None:
        self.front = None if self.front is not None and self.front.turn_id == turn.turn_id else self.front
        self.rest = tuple([each for each in self.rest if each.turn_id != turn.turn_id])
        self.later = tuple([each for each in self.later if each.turn_id != turn.turn_id])
