"""Holds every step of a living registry's sessions against the monitor of `tests/actors/session`.

The monitor knows who waits, in which order, and what must become of them; the search asks it about short
stories, a play about long ones, with the messages that the registry itself makes. What it knows of a session
stays with the session's state. Of a state that no step has made (it was read from the journal, or put off
until it had landed, or is left of an actor that failed) it knows what that state says.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import assert_never
from unittest.mock import patch

from tests.actors.session.facts import Asked, Early, Facts, Fled, Rung, Section, Waits, Winds
from tests.actors.session.monitor import PRESSED, Broken, observe
from turnkeeper.actors.model.messages import ReplyAddress, Shut, Stop, Submit
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session import machine
from turnkeeper.actors.session.effects import Decision
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import (
    Again,
    Closed,
    Closing,
    Ending,
    Held,
    Phase,
    Running,
    State,
    Winding,
)
from turnkeeper.actors.session.states import Asked as AskedOnce
from turnkeeper.actors.session.states import Section as SectionOfState
from turnkeeper.actors.session.views import lasting_cancel, line_of


class Witness:
    """Sees every step of every session; ``say`` is called with what was wrong about one."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        #: By the identity of a state, which is kept with it so that no other one gets that.
        self._known: dict[int, tuple[State, Facts]] = {}

    def step(self, before: State, message: Message, now: float, to: ReplyAddress | None = None) -> Decision:
        """Decide as a session does, and look at what was decided."""
        after, effects = machine.step(before, message, now, to)
        known = self._known.get(id(before))
        facts = as_it_stands(before) if known is None else known[1]
        try:
            self._known[id(after)] = after, observe(facts, before, message, now, to, after, effects)
        except Broken as broken:
            self._say(str(broken))
        return after, effects


@contextmanager
def witnessed(say: Callable[[str], object]) -> Iterator[None]:
    """Have every step looked at that a session decides."""
    step = Witness(say).step
    rooms = "registry.decisions", "registry.durable.journaled"
    with patch(f"turnkeeper.actors.{rooms[0]}.step", step), patch(f"turnkeeper.actors.{rooms[1]}.step", step):
        yield


# -- What a state says --------------------------------------------------------------------------------


def as_it_stands(state: State) -> Facts:
    """What is known of a session of which only its state is."""
    memory, line = state.memory, line_of(state) or Line()
    front = None if line.front is None else _waits(line.front)
    facts = Facts(
        last_epoch=memory.last_epoch,
        front=front,
        rest=tuple(map(_waits, line.rest)),
        later=tuple(map(_waits, line.later)),
        fled=tuple([Fled(record.epoch or 0, record) for record in memory.quarantined]),
        kept=memory.records,
        early=tuple([Early(each.turn_id, each.reason, each.asked_at, each.asker) for each in memory.early]),
        last_ticket=memory.last_ticket,
    )
    slot = slot_of(state)
    if slot is not None:
        facts.ticket, facts.granted = slot.ticket, slot.granted
    if isinstance(state, Running | Ending):
        turn = state.turn
        facts.holder, facts.epoch, facts.attempt = turn.spec, turn.epoch, turn.attempt
        facts.queued_at, facts.started_at = turn.queued_at, turn.started_at
        facts.last_epoch = max(facts.last_epoch, turn.epoch)
    if isinstance(state, Running):
        facts.deadline, facts.sections = state.deadline, _sections(state.sections)
    elif isinstance(state, Ending):
        _of_the_end(facts, state)
        if line.front is not None and line.front.to is not None:
            sender = line.front.spec
            facts.asked += (Asked(line.front.to, Submit, sender.turn_id, sender.submitted_at),)
    elif isinstance(state, Closed):
        facts.shut, facts.for_good = True, state.for_good
        facts.shutdown = state.reason.code is CancelCode.SHUTDOWN
    facts.timer = facts.due()
    return facts


def _of_the_end(facts: Facts, state: Ending) -> None:
    cancellation = state.cancellation
    if cancellation is not None:
        facts.cause, facts.asked_at = cancellation.reason, cancellation.asked_at
        facts.delivered_at, facts.again_at = cancellation.delivered_at, cancellation.again_at
    facts.lasting = lasting_cancel(state)
    _of_the_phase(facts, state.phase)
    facts.undo = state.undo is not None
    facts.pressed = any(ask.reason.code in PRESSED for ask in state.asks)
    turn_id = state.turn.spec.turn_id
    facts.asked = tuple(
        [Asked(ask.to, Stop, turn_id, ask.at, ask.cleared) for ask in state.asks if ask.to is not None]
    )
    if state.closing is not None:
        _of_the_close(facts, state.closing)


def _of_the_phase(facts: Facts, phase: Phase) -> None:
    match phase:
        case Held(sections, grace):
            facts.rung, facts.sections, facts.grace = Rung.HELD, _sections(sections), grace
        case AskedOnce(again_at, end_at):
            facts.rung, facts.half, facts.end = Rung.FIRST, again_at, end_at
        case Again(end_at):
            facts.rung, facts.end = Rung.SECOND, end_at
        case Winding():
            late = None if phase.late is None else phase.late.outcome
            known = phase.first_event_at, phase.began, phase.extras, late
            facts.winds = Winds(phase.until, phase.status, phase.outcome, *known)
        case _:
            assert_never(phase)


def _sections(sections: tuple[SectionOfState, ...]) -> tuple[Section, ...]:
    return tuple([Section(each.number, each.until) for each in sections])


def _of_the_close(facts: Facts, closing: Closing) -> None:
    facts.shut, facts.for_good, facts.by = True, closing.for_good, closing.by
    facts.shutdown = closing.reason.code is CancelCode.SHUTDOWN
    facts.asked += tuple([Asked(to, Shut, None, 0.0) for to in closing.to if to is not None])


def _waits(turn: Waiting) -> Waits:
    return Waits(turn.spec, turn.queued_at, turn.attempt, turn.not_before, turn.joined, turn.collects)
