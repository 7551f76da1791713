"""What a session does about the critical sections of its turn, for whose end a cancel waits.

A section exists only if the session has said so: from then on a cancel is held back until the last one is
over, or until its time is up. Once the cancel was delivered there is no other section.
"""

from typing import Final

from turnkeeper.actors.model.messages import Hold, ReplyAddress, Unhold
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.effects import Decision, Reply, SetTimer
from turnkeeper.actors.session.refusals import refuse, too_late_to_hold, too_many_holds
from turnkeeper.actors.session.states import Ending, Held, Holder, Running, Section, State

#: How many critical sections a turn may be in at a time.
MOST: Final = 32


def hold(state: State, message: Hold, now: float, to: ReplyAddress | None) -> Decision:
    """Grant a critical section, unless it comes too late. One that begins in another one ends no later.

    One that begins while a cancel waits already ends no later than those for which that waits.
    """
    if type(state) is Running and state.turn.epoch == message.epoch:
        if len(state.sections) >= MOST:
            return refuse(state, to, too_many_holds(MOST))
        section = _granted(message, state.turn, state.sections, now)
        return replace(state, sections=(*state.sections, section)), (Reply(to, section.until),)
    if type(state) is Ending and state.turn.epoch == message.epoch and type(state.phase) is Held:
        phase = state.phase
        if len(phase.sections) >= MOST:
            return refuse(state, to, too_many_holds(MOST))
        section = _granted(message, state.turn, phase.sections, now)
        section = Section(section.number, min(section.until, phase.until))
        held = replace(phase, sections=(*phase.sections, section))
        return replace(state, phase=held), (Reply(to, section.until),)
    return refuse(state, to, too_late_to_hold())


def _granted(message: Hold, turn: Holder, sections: tuple[Section, ...], now: float) -> Section:
    most = turn.spec.policy.max_hold
    until = now + (most if message.span is None else min(message.span, most))
    for section in sections:
        if section.number == message.inside:
            until = min(until, section.until)
    return Section(message.number, until)


def unhold(state: State, message: Unhold, now: float, to: ReplyAddress | None) -> Decision:
    """End a critical section: with the last one whose time is not up the cancel that waits is delivered."""
    if type(state) is Running and state.turn.epoch == message.epoch:
        return replace(state, sections=_without(state.sections, message.number)), (Reply(to),)
    if type(state) is Ending and state.turn.epoch == message.epoch and type(state.phase) is Held:
        phase = state.phase
        sections = ladder.in_time(_without(phase.sections, message.number), now)
        if sections:
            held = replace(state, phase=replace(phase, sections=sections))
            return held, (SetTimer(ladder.next_due(held)), Reply(to))
        delivered, effects = ladder.deliver(state, phase, now)
        return delivered, (*effects, Reply(to))
    return state, (Reply(to),)


def _without(sections: tuple[Section, ...], number: int) -> tuple[Section, ...]:
    return tuple([section for section in sections if section.number != number])
