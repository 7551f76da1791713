"""When two sessions are the same to the search, but for names.

Epochs and tickets are renumbered (only their order and equality matter), and so are the turn ids that no
letter names and the askers (only their equality matters). The moments that decide something count relative to
now, and the moments that are only shown in records are reduced to whether they are set. Every field that is
not named here is compared as it is, with its type: a new one can make the search larger, never blind.
"""

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from tests.actors.session.alphabet import EARLY_TTL, RENAMED, RETENTION, Address
from tests.actors.session.facts import Facts, Waits
from turnkeeper.actors.model.messages import TurnEnded
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    LateEnd,
    Reason,
    TurnHead,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.session.line import Waiting
from turnkeeper.actors.session.states import (
    Again,
    Ask,
    Asked,
    Closing,
    EarlyCancel,
    Ending,
    Holder,
    Home,
    Memory,
    Running,
    Section,
    State,
    Winding,
)

#: How a field takes part in a comparison. Moments that decide something count relative to now, those that
#: are only shown count as set or not; epochs and tickets count by their order, names and the numbers of
#: critical sections by whether they are the same.
DECIDES, SHOWN, EPOCH, TICKET = "decides", "shown", "epoch", "ticket"
NAME, NAMES, NUMBER, AS_IT_IS = "name", "names", "number", "as it is"
HOW: dict[tuple[type, str], str] = {
    (Waiting, "not_before"): DECIDES,
    (Running, "deadline"): DECIDES,
    (Asked, "again_at"): DECIDES,
    (Asked, "end_at"): DECIDES,
    (Again, "end_at"): DECIDES,
    (Section, "until"): DECIDES,
    (Winding, "until"): DECIDES,
    (Closing, "by"): DECIDES,
    (EarlyCancel, "asked_at"): DECIDES,
    (TurnHead, "submitted_at"): SHOWN,
    (Holder, "queued_at"): SHOWN,
    (Holder, "started_at"): SHOWN,
    (Cancellation, "asked_at"): SHOWN,
    (Cancellation, "again_at"): SHOWN,
    (Cancellation, "delivered_at"): SHOWN,
    (TurnRecord, "queued_at"): SHOWN,
    (TurnRecord, "started_at"): SHOWN,
    (TurnRecord, "first_event_at"): SHOWN,
    (TurnRecord, "ended_at"): SHOWN,
    (LateEnd, "at"): SHOWN,
    (Ask, "at"): SHOWN,
    (Ending, "undo"): SHOWN,
    (Winding, "first_event_at"): SHOWN,
    (TurnEnded, "first_event_at"): SHOWN,
    (TurnEnded, "epoch"): EPOCH,
    (Waiting, "queued_at"): SHOWN,
    (Holder, "epoch"): EPOCH,
    (TurnRecord, "epoch"): EPOCH,
    (Memory, "last_epoch"): EPOCH,
    (Memory, "last_ticket"): TICKET,
    (Ticket, "number"): TICKET,
    (Section, "number"): NUMBER,
    (TurnHead, "turn_id"): NAME,
    (TurnRecord, "superseded_by"): NAME,
    (TurnRecord, "merged_into"): NAME,
    (EarlyCancel, "turn_id"): NAME,
    (Ask, "cleared"): NAMES,
}
#: From when on a moment that decides is as good as any earlier one.
PAST = {EarlyCancel: -EARLY_TTL}
#: Values that many states share, and in which no moment decides.
LASTING = frozenset({TurnRecord, TurnSpec, TurnHead, Holder, Cancellation, Reason, Home})
Field: TypeAlias = tuple[str, Callable[[Any], Any]]


class _Found(NamedTuple):
    """What stands for itself in a session and its facts, in the order in which it is met."""

    epochs: list[Epoch]
    tickets: list[int]
    names: list[Any]

    def name(self, turn_id: TurnId | None) -> TurnId | None:
        """What is left of a turn id when what may be renamed has been taken away."""
        if turn_id not in RENAMED:
            return turn_id
        self.names.append(turn_id)
        return None


class Names:
    """Turns a session and its facts into a key that is equal when they are the same but for names."""

    def __init__(self, *, remembers: bool = True) -> None:
        #: Whether it matters what is remembered of turns that have ended.
        self._remembers = remembers
        self._numbers: dict[Any, int] = {}
        self._known: dict[int, tuple[object, int, _Found]] = {}
        self._plans: dict[type, list[Field]] = {}

    def key(self, state: State, facts: Facts, now: float) -> Any:
        found = _Found([], [], [])
        if not self._remembers:
            state = replace(state, memory=replace(state.memory, records=(), results=0))
        shape = (self._shape(state, now, found), self._facts(facts, now, found))
        first = {name: n for n, name in enumerate(dict.fromkeys(found.names))}
        return (
            shape,
            _order(found.epochs),
            _order(found.tickets),
            tuple([first[name] for name in found.names]),
        )

    def _facts(self, facts: Facts, now: float, found: _Found) -> Any:
        found.epochs.extend(
            (facts.epoch if facts.holder is not None else 0, facts.over or 0, facts.last_epoch)
        )
        found.epochs.extend([fled.epoch for fled in facts.fled])
        found.names.extend([asked.to for asked in facts.asked])
        found.names.extend([section.number for section in facts.sections])
        found.tickets.extend((facts.last_ticket, -1 if facts.ticket is None else facts.ticket.number))
        cancelled = facts.cause is not None and facts.holder is not None
        climbs = facts.rung is not None and facts.holder is not None
        return (
            facts.holder and self._once(facts.holder, found),
            None if facts.deadline is None or facts.holder is None else max(facts.deadline - now, 0.0),
            (facts.cause, facts.again_at is None, facts.delivered_at is None) if cancelled else None,
            (facts.rung, facts.grace, max(facts.half - now, 0.0), max(facts.end - now, 0.0))
            if climbs
            else None,
            tuple([max(section.until - now, 0.0) for section in facts.sections]),
            cancelled and facts.pressed,
            cancelled and facts.lasting and facts.lasting.reason,
            facts.attempt if facts.holder is not None else None,
            facts.holder and self._winding(facts, now),
            facts.front and self._waits(facts.front, now, found),
            tuple([self._waits(turn, now, found) for turn in facts.rest]),
            tuple([self._waits(turn, now, found) for turn in facts.later]),
            tuple([found.name(fled.record.turn_id) for fled in facts.fled]),
            tuple([_age(record, now) for record in facts.kept if self._remembers]),
            tuple(
                [
                    (
                        found.name(each.turn_id),
                        each.reason,
                        each.asker,
                        max(each.asked_at + EARLY_TTL - now, 0.0),
                    )
                    for each in facts.early
                ]
            ),
            tuple(
                [
                    (asked.word, found.name(asked.turn_id), tuple(map(found.name, asked.cleared)))
                    for asked in facts.asked
                ]
            ),
            None if facts.timer is None else max(facts.timer - now, 0.0),
            facts.granted,
            facts.shut,
            facts.shutdown,
        )

    def _winding(self, facts: Facts, now: float) -> Any:
        winds, by = facts.winds, facts.by
        winding = None if winds is None else (max(winds.until - now, 0.0), *winds[1:3], *winds[4:])
        return (facts.undo, winding, None if by is None else max(by - now, 0.0))

    def _waits(self, turn: Waits, now: float, found: _Found) -> Any:
        moment = None if turn.not_before is None else max(turn.not_before - now, 0.0)
        return self._once(turn.spec, found), turn.attempt, moment, turn.joined, turn.collects

    def _shape(self, value: Any, now: float, found: _Found) -> Any:
        kind = type(value)
        if value is None or kind is str:
            return value
        if kind is tuple:
            return tuple([self._shape(each, now, found) for each in value])
        if kind is list:
            return repr(value)
        if kind is Address:
            found.names.append(value)
            return kind
        if kind in LASTING:
            return self._once(value, found)
        return self._fields(value, now, found) or (kind, value)

    def _fields(self, value: Any, now: float, found: _Found) -> Any:
        """The fields of one of our values; nothing for what is none."""
        kind = type(value)
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = _plan(kind)
        if not plan:
            return None
        shape: list[Any] = [kind]
        for how, get in plan:
            part = get(value)
            if how is EPOCH:
                found.epochs.append(-1 if part is None else part)
            elif how is TICKET:
                found.tickets.append(part)
            elif how is NAME:
                shape.append(found.name(part))
            elif how is NUMBER:
                found.names.append(part)
            elif how is NAMES:
                shape.append(tuple([found.name(each) for each in part]))
            elif how is DECIDES:
                shape.append(None if part is None else max(part - now, PAST.get(kind, 0.0)))
            elif how is SHOWN:
                shape.append(part is not None)
            else:
                shape.append(self._shape(part, now, found))
        return tuple(shape)

    def _once(self, value: Any, found: _Found) -> int:
        """The number of a value that many states share: it is looked at once."""
        known = self._known.get(id(value))
        if known is None:
            own = _Found([], [], [])
            shape = self._fields(value, 0.0, own)
            number = self._numbers.setdefault(shape, len(self._numbers))
            # Kept with the value itself, so that no other object gets its identity.
            known = self._known[id(value)] = (value, number, own)
        found.epochs.extend(known[2].epochs)
        found.tickets.extend(known[2].tickets)
        found.names.extend(known[2].names)
        return known[1]


def _order(numbers: list[int]) -> tuple[int, ...]:
    """The numbers by their order alone."""
    order = {number: n for n, number in enumerate(sorted(set(numbers)))}
    return tuple([order[number] for number in numbers])


def _age(record: TurnRecord, now: float) -> int:
    """How old a record is, as far as that decides: nothing less than the retention passes at once."""
    age = now - (record.ended_at or 0.0)
    return 0 if age == 0.0 else 1 if age < RETENTION else 2 if age == RETENTION else 3


def _plan(kind: type) -> list[Field]:
    """How each field of a class takes part; what is no value of ours has no plan."""
    if not hasattr(kind, "__dataclass_fields__"):
        return []
    return [(HOW.get((kind, each.name), AS_IT_IS), attrgetter(each.name)) for each in fields(kind)]
