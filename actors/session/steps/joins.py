"""How a message joins another one that waits. Pure."""

import json

from turnkeeper.actors.model.content import joined
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.records import TurnId, TurnSpec, params_of
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Strategy
from turnkeeper.actors.session.effects import EditWaiting, Effect
from turnkeeper.actors.session.holding import merge
from turnkeeper.actors.session.line import Line, Waiting, instead
from turnkeeper.actors.session.states import Limits, Memory


def join(
    memory: Memory, line: Line | None, turn: Waiting, now: float
) -> tuple[Memory, Line, tuple[Effect, ...], TurnId] | None:
    """Let the message of a turn join the last one that waits of the same sender and agent.

    The turn, which is not in the line, ends; the last of the answer is the one that has its message now.
    ``None`` if there is none that takes it.
    """
    taker = None if line is None else _last(line, turn.spec)
    if line is None or taker is None:
        return None
    both = _both(taker, turn, memory.home.limits)
    if both is None:
        return None
    into = taker.spec.head.turn_id
    memory, ended = merge(memory, turn, into, now)
    return memory, instead(line, taker, both), (EditWaiting(both.spec, both.joined), ended), into


def _last(line: Line, spec: TurnSpec) -> Waiting | None:
    """The last that it may join: of the same sender and agent, and in its window if it waits for a moment.

    None that was cut off, and is called up to be tried again: its readers were shown what it says.
    """
    head, front = spec.head, line.front
    first: tuple[Waiting, ...] = () if front is None or not front.is_new else (front,)
    for turn in reversed((*first, *line.rest, *[each for each in line.later if each.collects])):
        other = turn.spec.head
        if other.strategy is Strategy.COLLAPSE and other.user == head.user and other.agent == head.agent:
            return turn
    return None


def _both(taker: Waiting, turn: Waiting, limits: Limits) -> Waiting | None:
    """The one turn with the message of the other one behind its own; ``None`` if that is too much.

    How it is run stays as its own send said.
    """
    count = taker.joined + turn.joined
    spec, other = taker.spec, turn.spec
    if count > spec.policy.collapse_parts or not _alike(spec, other):
        return None
    message = joined(spec.message, other.message, limits.message_text, limits.message_parts)
    if message is None:
        return None
    both = replace(spec, message=message, size=footprint(message) + spec.size_besides)
    return replace(taker, spec=both, joined=count)


def _alike(spec: TurnSpec, other: TurnSpec) -> bool:
    """Whether both were handed the same: what a send hands to its turn is not for a message without it."""
    mine, theirs = spec.options, other.options
    if mine is None or theirs is None:
        same = mine is theirs
    else:
        same = mine.max_iterations == theirs.max_iterations and mine.context is theirs.context
    return same and _canonical(spec.head.params_json) == _canonical(other.head.params_json)


def _canonical(params: str | None) -> str | None:
    """The params with their members in order: so written, 1, 1.0 and true are not the same."""
    return None if params is None else json.dumps(params_of(params), sort_keys=True)
