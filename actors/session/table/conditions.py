"""On what a transition depends: the conditions that the transition table is written in, each with its test.

They look at the session themselves instead of asking `machine` and its helpers, so that the table is a second
opinion and not an echo.
"""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from turnkeeper.actors.model.content import joined
from turnkeeper.actors.model.messages import (
    Hold,
    Rearrange,
    Recover,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.model.records import Epoch, Stopped, TurnSpec
from turnkeeper.actors.model.words import (
    CancelCode,
    MoveTo,
    OnCap,
    OnFull,
    OnRestart,
    Strategy,
    TurnStatus,
    WhoMayStop,
)
from turnkeeper.actors.session.consequences import CAUSES
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.states import (
    Again,
    Asked,
    Closed,
    Ending,
    Held,
    Holder,
    Idle,
    Phase,
    Queued,
    Running,
    Section,
    State,
    Winding,
)
from turnkeeper.actors.session.steps.sections import MOST
from turnkeeper.actors.session.views import current_turn, find_turn

#: Whether a condition holds: asked with the state, the message and now.
Test: TypeAlias = Callable[[Any, Any, float], bool]


class When:
    """A condition: in words, and as the tests that must all hold. ``&`` joins two, ``~`` is the opposite."""

    __slots__ = ("opposite", "tests", "text")

    def __init__(self, text: str, *tests: Test, opposite: str = "") -> None:
        self.text = text
        self.tests = tests
        #: The opposite in words, of a condition that has one.
        self.opposite = opposite

    def holds(self, state: State, message: Any, now: float) -> bool:
        """Whether all of it holds."""
        return all(test(state, message, now) for test in self.tests)

    def __and__(self, other: "When") -> "When":
        text = ", ".join(words for words in (self.text, other.text) if words)
        return When(text, *self.tests, *other.tests)

    def __invert__(self) -> "When":
        return When(self.opposite, lambda *at: not self.holds(*at), opposite=self.text)

    def __repr__(self) -> str:
        return f"<When {self.text or 'always'}>"


ALWAYS = When("")

# -- Who waits ----------------------------------------------------------------------------------------


def _line(state: State) -> Line | None:
    """Those that wait in this process, or for another one."""
    if isinstance(state, Closed):
        return state.left
    return None if isinstance(state, Idle) else state.line


def _turns(state: State) -> list[Waiting]:
    line = _line(state)
    if line is None:
        return []
    return [*([] if line.front is None else [line.front]), *line.rest, *line.later]


def _front(state: State) -> Waiting | None:
    line = _line(state)
    return None if line is None else line.front


def _closes(state: State) -> bool:
    return isinstance(state, Ending) and state.closing is not None


SOME = When(
    "some wait",
    lambda state, message, now: bool(_turns(state)),
    opposite="none waits",
)
CALLED = When(
    "a turn is called up",
    lambda state, message, now: _front(state) is not None,
    opposite="no turn is called up",
)
CLOSES = When(
    "the session is to be closed",
    lambda state, message, now: _closes(state),
    opposite="the session is not to be closed",
)
NEXT = When(
    "another turn is next",
    lambda state, message, now: bool(_turns(state)) and not _is_later(_line(state)) and not _closes(state),
)
BIDES = When(
    "those that wait do so for a moment",
    lambda state, message, now: _is_later(_line(state)) and not _closes(state),
)
NOTHING = When("nothing follows", lambda state, message, now: _line(state) is None and not _closes(state))


def _is_later(line: Line | None) -> bool:
    return line is not None and line.front is None and not line.rest


# -- Of slots -----------------------------------------------------------------------------------------


def _needs_slot(spec: TurnSpec) -> bool:
    return spec.policy.on_cap is OnCap.WAIT


def _next(state: State) -> Waiting | None:
    """The one that is next: called up, or the first behind."""
    line = _line(state)
    return None if line is None else line.front or next(iter(line.rest), None)


def _slot_passes(state: State, turn: Waiting) -> bool:
    """Whether the turn takes the place of the one in flight, with its slot."""
    if not isinstance(state, Running | Ending) or state.turn.ticket is None or turn is not _front(state):
        return False
    before, spec = state.turn.spec, turn.spec
    return (before.agent, before.policy.priority) == (spec.agent, spec.policy.priority)


def _next_has_slot(state: State, message: Any, now: float) -> bool:
    turn = _next(state)
    return turn is None or not _needs_slot(turn.spec) or _slot_passes(state, turn)


#: Of the one that is next where a turn lets go of the session.
READY = When(
    "the next one needs no slot, or takes this one's over",
    _next_has_slot,
    opposite="the next one needs a slot of its own",
)
ASKS = When(
    "a turn waits for a slot",
    lambda state, message, now: isinstance(state, Queued) and state.asked is not None,
    opposite="no turn waits for a slot",
)
GRANTED = When(
    "a turn waits for that slot",
    lambda state, granted, now: state.asked == granted.ticket,
    opposite="no turn waits for that slot",
)


def _is_slotless(state: State, message: Submit | Rearrange | Tick, now: float) -> bool:
    if isinstance(message, Submit):
        return message.granted is not None or not _needs_slot(message.spec)
    if isinstance(message, Rearrange):
        turn = next((each for each in _turns(state) if each.spec.turn_id == message.turn_id), None)
    else:
        turn = _moment(state, now) or _front(state)
    return turn is None or not _needs_slot(turn.spec)


#: Of a send, and of a turn that is moved, or comes due.
SLOTLESS = When(
    "it needs no slot, or has one",
    _is_slotless,
    opposite="it needs a slot",
)

PRESSED = When(
    "a person pressed Stop",
    lambda state, message, now: any(CAUSES[ask.reason.code].ends_streams for ask in state.asks),
    opposite="no person pressed Stop",
)

# -- Of a send ----------------------------------------------------------------------------------------


def _known_as(state: State, send: Submit) -> bytes | None:
    """The fingerprint under which the session or its log knows the turn id that the client chose."""
    head = send.spec.head
    record = None if head.fingerprint is None else find_turn(state, head.turn_id) or send.past
    return None if record is None else record.fingerprint


def _repeated(state: State, send: Submit, now: float) -> bool:
    known = _known_as(state, send)
    return known is not None and known == send.spec.fingerprint


def _reused(state: State, send: Submit, now: float) -> bool:
    known = _known_as(state, send)
    return known is not None and known != send.spec.fingerprint


def _fails(state: State, message: Submit | Stop) -> bool:
    """Whether ``If-Match`` names another turn than the current or last one."""
    current = current_turn(state)
    return message.if_match is not None and (current is None or current.turn_id != message.if_match)


def _new(state: State, send: Submit) -> bool:
    return _known_as(state, send) is None and not _fails(state, send)


def _crowded(state: State) -> bool:
    return len(state.memory.quarantined) >= state.memory.home.limits.quarantined


def _is_barred(state: State, turn: TurnSpec, asker: str | None) -> bool:
    """Whether this asker may not stop that turn."""
    by_owner = turn.policy.who_may_stop is WhoMayStop.OWNER
    return asker not in (None, state.memory.home.owner if by_owner else turn.user)


def _early(state: State, send: Submit, now: float) -> bool:
    ttl, spec = state.memory.home.limits.early_cancel_ttl, send.spec
    fresh = [each for each in state.memory.early if now < each.asked_at + ttl]
    return any(each.turn_id == spec.turn_id and not _is_barred(state, spec, each.asker) for each in fresh)


def _may_start(state: State, send: Submit, now: float) -> bool:
    return _new(state, send) and not _crowded(state) and not _early(state, send, now)


REPEATED = When("its turn id is known, and the message", _repeated)
REUSED = When("its turn id is known, for another message", _reused)
MISSES = When(
    "its turn id is new, `If-Match` fails",
    lambda state, send, now: _known_as(state, send) is None and _fails(state, send),
)
NEW = When("its turn id is new", lambda state, send, now: _new(state, send))
CROWDED = When(
    "its turn id is new, too many turns were given up and still run",
    lambda state, send, now: _new(state, send) and _crowded(state),
)
OF_ASKING = When(
    "its turn waits for a slot",
    lambda state, send, now: (
        isinstance(state, Queued)
        and state.asked is not None
        and state.line.front is not None
        and state.line.front.spec.turn_id == send.spec.turn_id
    ),
    opposite="its turn does not wait for a slot",
)
CANCELLED_EARLY = When(
    "its turn id is new, its cancel came first",
    lambda state, send, now: _new(state, send) and not _crowded(state) and _early(state, send, now),
)
NO_ROOM = When(
    "its turn id is new, there is no room for its turn",
    lambda state, send, now: _may_start(state, send, now) and send.no_room is not None,
)
TAKEN = When(
    "it may become a turn",
    lambda state, send, now: _may_start(state, send, now) and send.no_room is None,
)


def _joins(state: State, spec: TurnSpec, parts: int) -> bool:
    """Whether the last one that waits of the same sender and agent, and collapses, takes that message."""
    line = _line(state)
    there = [] if line is None else [*line.rest, *(turn for turn in line.later if turn.collects)]
    if line is not None and line.front is not None and line.front.attempt == 1:
        there.insert(0, line.front)
    whose = spec.user, spec.agent, Strategy.COLLAPSE
    kin = [turn for turn in there if (turn.spec.user, turn.spec.agent, turn.spec.strategy) == whose]
    if not kin:
        return False
    last, limits = kin[-1], state.memory.home.limits
    handed = [
        None if o is None else (o.max_iterations, id(o.context)) for o in (last.spec.options, spec.options)
    ]
    said = [json.dumps(each.params, sort_keys=True) for each in (last.spec, spec)]
    fits = joined(last.spec.message, spec.message, limits.message_text, limits.message_parts) is not None
    alike = handed[0] == handed[1] and said[0] == said[1]
    return fits and alike and last.joined + parts <= last.spec.policy.collapse_parts


def _is_for_later(send: Submit, now: float) -> bool:
    """Whether it is to take its place at a moment that has not come yet."""
    return send.not_before is not None and now < send.not_before


def _collapses(state: State, send: Submit, now: float) -> bool:
    here = send.strategy is Strategy.COLLAPSE and not _is_for_later(send, now)
    return here and _joins(state, send.spec, 1)


def _delays(state: State, send: Submit, now: float) -> bool:
    """Whether it waits for a moment: its own, or the end of the window in which others may join it."""
    collects = send.strategy is Strategy.COLLAPSE and send.spec.policy.collapse_window > 0
    return _is_for_later(send, now) or (collects and not _collapses(state, send, now))


def _has_no_place(state: State, send: Submit, now: float) -> bool:
    policy, line = send.spec.policy, _line(state)
    waiting = [] if line is None else [*line.rest, *line.later]
    own = any(turn.spec.user == send.spec.user for turn in waiting)
    makes_room = own and policy.on_full is OnFull.DROP_OLDEST
    return policy.queue_limit == 0 or (len(waiting) >= policy.queue_limit and not makes_room)


def _now(*strategies: Strategy) -> Test:
    """Of a send that neither joins another one nor waits for a moment."""
    return lambda state, send, now: (
        send.strategy in strategies and not _delays(state, send, now) and not _collapses(state, send, now)
    )


def _undoes(state: State) -> bool:
    """Whether there is a turn in flight that is not to be undone yet, and whose end is not being run."""
    if isinstance(state, Ending):
        return state.undo is None and not isinstance(state.phase, Winding)
    return isinstance(state, Running)


def _rolls_back(state: State, send: Submit, now: float) -> bool:
    return _undoes(state) and _now(Strategy.ROLLBACK)(state, send, now)


def _interrupts(state: State, send: Submit, now: float) -> bool:
    """Whether it takes the place of a turn; what cannot be undone, or is to be anyway, it interrupts."""
    interrupts = _now(Strategy.INTERRUPT, Strategy.ROLLBACK)(state, send, now)
    return interrupts and not _rolls_back(state, send, now)


AT_ONCE = When("it is for now", _now(*Strategy))
INTERRUPTS = When("it interrupts", _interrupts)
ROLLS_BACK = When("it rolls back", _rolls_back)
REJECTS = When("it rejects", _now(Strategy.REJECT))
QUEUES = When("it enqueues, or collapses alone", _now(Strategy.ENQUEUE, Strategy.COLLAPSE))
JOINS = When("it collapses with one that waits", _collapses)
DELAYS = When("it is for a moment", _delays)
FULL = When("there is no place for it", _has_no_place, opposite="there is a place for it")
TIMED = When(
    "it has a timeout",
    lambda state, send, now: send.spec.timeout is not None,
    opposite="it has no timeout",
)
#: Of a send and of a cancel.
WAITS = When("the asker waits", lambda state, message, now: message.wait, opposite="the asker does not wait")

# -- Of a cancel --------------------------------------------------------------------------------------


def _may_not(state: State, stop: Stop) -> bool:
    """Whether its asker may not stop the turn that it is about: the one in flight, or the one that waits."""
    turn: Holder | Waiting | None = None
    if isinstance(state, Running | Ending) and stop.turn_id in (None, state.turn.spec.turn_id):
        turn = state.turn
    else:
        named = [each for each in _turns(state) if each.spec.turn_id == stop.turn_id]
        turn = next(iter(named), None if stop.turn_id is not None else _front(state))
    return turn is not None and _is_barred(state, turn.spec, stop.asker)


def _dropped(state: State, stop: Stop) -> list[Waiting]:
    """Those that wait, and do so no more after this cancel."""
    theirs = [turn for turn in _turns(state) if not _is_barred(state, turn.spec, stop.asker)]
    if stop.turn_id is None:
        meant = [turn for turn in theirs if turn is _front(state)]
    else:
        meant = [turn for turn in theirs if turn.spec.turn_id == stop.turn_id]
    is_late = stop.turn_id is not None and not meant and not _is_holder(state, stop.turn_id)
    return theirs if stop.clear and not is_late else meant


def _first_left(state: State, stop: Stop) -> tuple[bool, Waiting | None]:
    """Whether any go on waiting after this cancel, and the one that is next then."""
    dropped = _dropped(state, stop)
    left, line = [turn for turn in _turns(state) if turn not in dropped], _line(state)
    later = () if line is None else line.later
    return bool(left), next((turn for turn in left if turn not in later), None)


def _frees(state: State, stop: Stop, now: float) -> bool:
    _, first = _first_left(state, stop)
    if first is None or (isinstance(state, Queued) and state.asked is not None and first is _front(state)):
        return False
    return first.not_before is None or now >= first.not_before


def _frees_slotless(state: State, stop: Stop, now: float) -> bool:
    _, first = _first_left(state, stop)
    return _frees(state, stop, now) and first is not None and not _needs_slot(first.spec)


def _frees_needy(state: State, stop: Stop, now: float) -> bool:
    return _frees(state, stop, now) and not _frees_slotless(state, stop, now)


def _aims(text: str, test: Callable[[State, str | None], bool]) -> When:
    """A cancel that is not refused, by the turn that it names."""
    return When(
        text,
        lambda state, stop, now: (
            not _fails(state, stop) and not _may_not(state, stop) and test(state, stop.turn_id)
        ),
    )


def _is_holder(state: State, turn_id: str | None) -> bool:
    return isinstance(state, Running | Ending) and state.turn.spec.turn_id == turn_id


def _is_waiting(state: State, turn_id: str | None) -> bool:
    return any(turn.spec.turn_id == turn_id for turn in _turns(state))


def _is_over(state: State, turn_id: str | None) -> bool:
    alive = turn_id is None or _is_holder(state, turn_id) or _is_waiting(state, turn_id)
    return not alive and find_turn(state, str(turn_id)) is not None


STOP_MISSES = When("`If-Match` fails", lambda state, stop, now: _fails(state, stop))
FORBIDDEN = When(
    "the turn's policy lets another user stop it",
    lambda state, stop, now: not _fails(state, stop) and _may_not(state, stop),
)
UNAIMED = _aims("it names no turn", lambda state, turn_id: turn_id is None)
AT_HOLDER_OR_ALL = _aims(
    "it names the turn in flight or none",
    lambda state, turn_id: turn_id is None or _is_holder(state, turn_id),
)
AT_WAITING = _aims("it names a turn that waits", _is_waiting)
AT_WAITING_OR_ALL = _aims(
    "it names a turn that waits or none",
    lambda state, turn_id: turn_id is None or _is_waiting(state, turn_id),
)
DROPS = When(
    "it drops some that wait",
    lambda state, stop, now: bool(_dropped(state, stop)),
    opposite="it drops none that waits",
)
EMPTIES = When("none is left", lambda state, stop, now: not _first_left(state, stop)[0])
FREES = When("another one may start", _frees_slotless)
FREES_NEEDY = When("another one may start that needs a slot", _frees_needy)
LEAVES = When(
    "those that are left wait on",
    lambda state, stop, now: _first_left(state, stop)[0] and not _frees(state, stop, now),
)
PRESSES = When(
    "a person presses Stop",
    lambda state, stop, now: CAUSES[stop.reason.code].ends_streams,
    opposite="no person presses Stop",
)
AT_FINISHED = _aims("it names a turn that is over", _is_over)
AT_UNKNOWN = _aims(
    "it names a turn that nothing is known of",
    lambda state, turn_id: turn_id is not None and find_turn(state, turn_id) is None,
)

# -- Of a close --------------------------------------------------------------------------------------

LASTS = When(
    "it is no shutdown",
    lambda state, shut, now: CAUSES[shut.reason.code].lasts,
    opposite="it is a shutdown",
)
STAYS = When(
    "it is a shutdown, and the session is durable",
    lambda state, shut, now: not CAUSES[shut.reason.code].lasts and state.memory.home.limits.durable,
    opposite="it is no shutdown, or the session is not durable",
)
DROPS_ALL = When(
    "it is a shutdown, and the session is not durable",
    lambda state, shut, now: not CAUSES[shut.reason.code].lasts and not state.memory.home.limits.durable,
)
LASTS_ALREADY = When(
    "it was closed for good, or this is a shutdown",
    lambda state, shut, now: state.for_good is not None or not CAUSES[shut.reason.code].lasts,
    opposite="it was closed by a shutdown, and this is none",
)

# -- Of time ------------------------------------------------------------------------------------------


def _rung_due(state: Ending, now: float) -> bool:
    match state.phase:
        case Held(sections):
            return all(now >= section.until for section in sections)
        case Asked(again_at):
            return now >= again_at
        case Again(end_at):
            return now >= end_at
        case Winding(until):
            return now >= until


def _front_due(state: Queued, now: float) -> bool:
    front = state.line.front
    due = front is not None and (front.not_before is None or now >= front.not_before)
    return due and state.asked is None


def _moment(state: State, now: float) -> Waiting | None:
    """The one that has waited for its moment and is to be placed now: nothing else comes first."""
    line = _line(state)
    if line is None or not line.later or line.later[0].not_before is None or now < line.later[0].not_before:
        return None
    if isinstance(state, Queued):
        comes_first = _front_due(state, now)
    elif isinstance(state, Running):
        comes_first = state.deadline is not None and now >= state.deadline
    else:
        comes_first = _closes(state) or (isinstance(state, Ending) and _rung_due(state, now))
    return None if comes_first else line.later[0]


def _comes_to_join(state: State, turn: Waiting) -> bool:
    sent_for_it = turn.spec.strategy is Strategy.COLLAPSE and not turn.collects
    return sent_for_it and _joins(state, turn.spec, turn.joined)


def _comes_to_collect(state: State, turn: Waiting) -> bool:
    sent_for_it = turn.spec.strategy is Strategy.COLLAPSE and not turn.collects
    return sent_for_it and turn.spec.policy.collapse_window > 0 and not _comes_to_join(state, turn)


def _comes(text: str, test: Callable[[State, Waiting], bool]) -> When:
    """Of the one whose moment has come."""

    def comes(state: State, tick: Tick, now: float) -> bool:
        turn = _moment(state, now)
        return turn is not None and test(state, turn)

    return When(text, comes)


def _comes_by(*strategies: Strategy) -> Callable[[State, Waiting], bool]:
    return lambda state, turn: (
        turn.spec.strategy in strategies
        and not _comes_to_join(state, turn)
        and not _comes_to_collect(state, turn)
    )


COMES_TO_JOIN = _comes("when one comes that collapses with another", _comes_to_join)
COMES_TO_COLLECT = _comes("when one comes that others may join", _comes_to_collect)
COMES = _comes("when one comes that may start", _comes_by(*Strategy))
COMES_TO_INTERRUPT = _comes(
    "when one comes that interrupts or rolls back", _comes_by(Strategy.INTERRUPT, Strategy.ROLLBACK)
)
COMES_TO_REJECT = _comes("when one comes that rejects", _comes_by(Strategy.REJECT))
COMES_TO_QUEUE = _comes(
    "when one comes that enqueues, or collapses alone", _comes_by(Strategy.ENQUEUE, Strategy.COLLAPSE)
)
BEFORE_DUE = When(
    "before anything is due",
    lambda state, tick, now: (
        not _front_due(state, now) and _moment(state, now) is None and not _waits_for_slot_only(state)
    ),
)
WAITS_FOR_SLOT = When(
    "a turn waits for a slot, none for a moment", lambda state, tick, now: _waits_for_slot_only(state)
)


def _waits_for_slot_only(state: Queued) -> bool:
    return state.asked is not None and not state.line.later


AT_DUE = When("when the one called up is to start", lambda state, tick, now: _front_due(state, now))


def _waits_for_nothing(state: Running) -> bool:
    return state.deadline is None and (state.line is None or not state.line.later)


NO_DEADLINE = When(
    "the turn has no timeout, none waits for a moment",
    lambda state, tick, now: _waits_for_nothing(state),
)
BEFORE_DEADLINE = When(
    "before the timeout and all moments",
    lambda state, tick, now: (
        not _waits_for_nothing(state)
        and (state.deadline is None or now < state.deadline)
        and _moment(state, now) is None
    ),
)
AT_DEADLINE = When(
    "at the timeout", lambda state, tick, now: state.deadline is not None and now >= state.deadline
)
BEFORE_RUNG = When(
    "before the next rung and all moments",
    lambda state, tick, now: not _rung_due(state, now) and _moment(state, now) is None,
)
AT_LIMIT = When(
    "when the time of its critical sections is up",
    lambda state, tick, now: isinstance(state.phase, Held) and _rung_due(state, now),
)
AT_HALF = When(
    "at half of the grace",
    lambda state, tick, now: isinstance(state.phase, Asked) and _rung_due(state, now),
)


def _at_end(state: Ending, tick: Tick, now: float) -> bool:
    return isinstance(state.phase, Again) and _rung_due(state, now)


AT_END = When(
    "at the end of the grace, it still runs",
    lambda state, tick, now: _at_end(state, tick, now) and tick.ended is None,
)
AT_END_OVER = When(
    "at the end of the grace, it has ended but for its children",
    lambda state, tick, now: _at_end(state, tick, now) and tick.ended is not None,
)
AT_CUT = When(
    "when there is no more time for what its end runs",
    lambda state, tick, now: isinstance(state.phase, Winding) and _rung_due(state, now),
)

# -- Of critical sections, and of what a turn has begun -----------------------------------------------


def _in_time(sections: tuple[Section, ...], now: float) -> list[Section]:
    return [section for section in sections if section.until > now]


def _is_held_back(state: Running, message: Any, now: float) -> bool:
    return bool(_in_time(state.sections, now)) and not (isinstance(message, Stop) and message.force)


def _may_hold(state: State, hold: Hold, now: float) -> bool:
    if not isinstance(state, Running | Ending) or state.turn.epoch != hold.epoch:
        return False
    if isinstance(state, Running):
        return len(state.sections) < MOST
    return isinstance(state.phase, Held) and len(state.phase.sections) < MOST


def _is_held(state: State) -> bool:
    return isinstance(state, Ending) and isinstance(state.phase, Held)


def _leaves_sections(state: State, unhold: Unhold, now: float) -> bool:
    if not isinstance(state, Ending) or not isinstance(state.phase, Held):
        return False
    return any(section.number != unhold.number for section in _in_time(state.phase.sections, now))


#: Of a turn that has not been cancelled yet.
HELD_BACK = When(
    "it is in critical sections, and no Stop by force comes",
    _is_held_back,
    opposite="it is in no critical section, or a Stop by force comes",
)
MAY_HOLD = When(
    "it is the turn in flight, not cancelled yet, and may be in one more",
    _may_hold,
    opposite="it is not, or the turn was cancelled, or is in as many as it may be in",
)
HELD = When(
    "its cancel waits for critical sections",
    lambda state, message, now: _is_held(state),
    opposite="no cancel waits for critical sections",
)
FORCED = When(
    "it waits for no critical section, for which a cancel waits",
    lambda state, stop, now: stop.force and _is_held(state),
    opposite="no cancel waits for critical sections, or it waits, too",
)
IN_OTHERS = When(
    "the turn is in others",
    _leaves_sections,
    opposite="the turn is in no other one",
)
ASKED = When(
    "it was asked to stop",
    lambda state, message, now: state.cancellation is not None,
    opposite="it has returned by itself",
)

# -- Of what the end of a turn runs -------------------------------------------------------------------


def _winds(state: State, message: TurnEnded | Tick | Recover, now: float) -> bool:
    """Whether there is something to be run. A turn that is run again has not come to its end."""
    undo = isinstance(state, Ending) and state.undo is not None
    end = message.ended or message if isinstance(message, Tick) else message
    if isinstance(message, Recover):
        again = isinstance(state, Running) and _has_another_attempt(state, message, now)
    else:
        again = _is_handed_over(state, message, now)
    return undo or (end.winds and not again)


WINDS = When(
    "there is something that its end runs",
    _winds,
    opposite="there is nothing that its end runs",
)
STOPPING = When("it has not stopped yet", lambda state, message, now: not isinstance(state.phase, Winding))
FLED_BEFORE = When(
    "it was given up before",
    lambda state, message, now: _fled_before(state.phase),
)
STOPPED_BEFORE = When(
    "it has stopped before",
    lambda state, message, now: isinstance(state.phase, Winding) and not _fled_before(state.phase),
)


def _fled_before(phase: Phase) -> bool:
    return isinstance(phase, Winding) and phase.status is TurnStatus.UNRESPONSIVE and phase.late is None


def _is_wound_up(state: State, wound: WoundUp, now: float) -> bool:
    return _held_by(state, wound.epoch) and isinstance(state, Ending) and isinstance(state.phase, Winding)


OF_WINDING = When(
    "it is the turn whose end is being run", _is_wound_up, opposite="it is no turn whose end is being run"
)

# -- Of the end of a coroutine ------------------------------------------------------------------------


def _held_by(state: State, epoch: Epoch) -> bool:
    return isinstance(state, Running | Ending) and state.turn.epoch == epoch


def _given_up(state: State, epoch: Epoch) -> bool:
    return any(record.epoch == epoch for record in state.memory.quarantined)


OF_HOLDER = When(
    "it is the turn in flight",
    lambda state, message, now: _held_by(state, message.epoch),
    opposite="it is not the turn in flight",
)
OF_GIVEN_UP = When("it is a turn that was given up", lambda state, ended, now: _given_up(state, ended.epoch))
OF_NOTHING = When(
    "it is neither",
    lambda state, ended, now: not _held_by(state, ended.epoch) and not _given_up(state, ended.epoch),
)

# -- Of a restart -----------------------------------------------------------------------------------


def _policy(state: State, spec: TurnSpec) -> OnRestart | None:
    return spec.policy.on_restart if spec.agent in state.memory.home.limits.agents else None


def _has_another_attempt(state: State, message: Any, now: float) -> bool:
    """Whether the turn in flight may be started again."""
    if not isinstance(state, Running | Ending):
        return False
    again = _policy(state, state.turn.spec) in (OnRestart.RERUN, OnRestart.CONTINUE)
    return again and state.turn.attempt < state.memory.home.limits.attempts


def _is_handed_over(state: State, message: TurnEnded | Tick, now: float) -> bool:
    if not isinstance(state, Ending) or state.closing is None or isinstance(state.phase, Winding):
        return False
    report = message.ended if isinstance(message, Tick) else message
    if isinstance(report, TurnEnded) and not isinstance(report.outcome, Stopped):
        return False
    cancellation = state.cancellation
    asked = state.asks or (cancellation is not None and cancellation.reason.code is not CancelCode.SHUTDOWN)
    durable = state.memory.home.limits.durable and state.closing.for_good is None
    return durable and not asked and _has_another_attempt(state, message, now)


def _goes_on(state: State, turn: Waiting) -> bool:
    """Whether one that waits does so after the restart, too."""
    policy = _policy(state, turn.spec)
    if turn.attempt == 1:
        return policy is not None
    return (
        policy in (OnRestart.RERUN, OnRestart.CONTINUE) and turn.attempt <= state.memory.home.limits.attempts
    )


def _first_to_resume(state: State) -> Waiting | None:
    """The one of those that wait that may start at once: one that was started before waits anew."""
    line = _line(state)
    waiting = [] if line is None else [turn for turn in _turns(state) if turn not in line.later]
    first = next((turn for turn in waiting if _goes_on(state, turn)), None)
    return first if first is not None and first.attempt == 1 else None


def _resumes(state: State, message: Any, now: float) -> bool:
    return _first_to_resume(state) is not None


def _resumes_slotless(state: State, message: Any, now: float) -> bool:
    first = _first_to_resume(state)
    return first is not None and not _needs_slot(first.spec)


def _resumes_needy(state: State, message: Any, now: float) -> bool:
    return _resumes(state, message, now) and not _resumes_slotless(state, message, now)


def _any_goes_on(state: State, message: Any, now: float) -> bool:
    return any(_goes_on(state, turn) for turn in _turns(state))


FLED = When(
    "turns were given up",
    lambda state, message, now: bool(state.memory.quarantined),
    opposite="no turn was given up",
)
AGAIN = When(
    "the turn is run again",
    _has_another_attempt,
    opposite="the turn is not run again",
)
HANDED_OVER = When(
    "another process runs the turn again",
    _is_handed_over,
    opposite="no other process runs the turn again",
)
RESUMES = When("one that waits may start", _resumes_slotless)
RESUMES_NEEDY = When("one that waits may start, and needs a slot", _resumes_needy)
LINGERS = When(
    "those that wait go on waiting",
    lambda state, message, now: _any_goes_on(state, message, now) and not _resumes(state, message, now),
)
NONE_GOES_ON = When("none goes on waiting", lambda state, message, now: not _any_goes_on(state, message, now))

# -- Of those that are moved and edited -------------------------------------------------------------


def _is_behind(state: State, message: Rearrange, now: float) -> bool:
    moved = [turn for turn in _turns(state) if turn.spec.turn_id == message.turn_id]
    return bool(moved) and moved[0] is not _front(state) and not _closes(state)


def _says_what_it_will(state: State, message: Rearrange, now: float) -> bool:
    """Whether it edits one that waits, and of which nothing has run."""
    turns = [turn for turn in _turns(state) if turn.spec.turn_id == message.turn_id]
    return message.edited is not None and bool(turns) and turns[0].attempt == 1 and not _closes(state)


def _swells(state: State, message: Rearrange, now: float) -> bool:
    if message.edited is None or message.no_room is None or not _says_what_it_will(state, message, now):
        return False
    (spec,) = [turn.spec for turn in _turns(state) if turn.spec.turn_id == message.turn_id]
    return message.edited.size + spec.size_besides > spec.size


def _moves(*places: MoveTo) -> Test:
    return lambda state, message, now: (
        _is_behind(state, message, now) and message.edited is None and message.to in places
    )


MISPLACED = When(
    "it moves a turn that has its place, or none, or edits one that has run, or does not wait",
    lambda state, message, now: (
        not (_is_behind if message.edited is None else _says_what_it_will)(state, message, now)
    ),
)
SWELLS = When("it edits a turn that waits, there is no room for its message", _swells)
EDITS = When(
    "it edits a turn that waits",
    lambda state, message, now: _says_what_it_will(state, message, now) and not _swells(state, message, now),
)
MOVES = When("it moves a turn that waits", _moves(*MoveTo))
MOVES_BEHIND = When(
    "it moves a turn that waits to the first or last place", _moves(MoveTo.FIRST, MoveTo.LAST)
)
MOVES_UP = When("it moves a turn that waits up", _moves(MoveTo.NOW))
