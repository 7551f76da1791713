"""On what a transition depends: the conditions that the transition table is written in, each with its test.

They look at the session themselves instead of asking `machine` and its helpers, so that the table is a second
opinion and not an echo.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from turnkeeper.actors.model.messages import Stop, Submit, Tick, TurnEnded, WoundUp
from turnkeeper.actors.model.records import Epoch, Stopped, TurnSpec
from turnkeeper.actors.model.words import CancelCode, OnRestart, Strategy, TurnStatus, WhoMayStop
from turnkeeper.actors.session.consequences import CAUSES
from turnkeeper.actors.session.line import Waiting
from turnkeeper.actors.session.states import (
    Again,
    Asked,
    Closed,
    Ending,
    Holder,
    Phase,
    Queued,
    Running,
    State,
    Winding,
)
from turnkeeper.actors.session.views import current_turn, find_turn, line_of

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

# -- What comes after the turn in flight --------------------------------------------------------------


def _successor(state: State) -> Waiting | None:
    if not isinstance(state, Ending) or state.closing is not None or state.line is None:
        return None
    return state.line.front


def _left(state: State) -> Waiting | None:
    if isinstance(state, Ending):
        line = None if state.closing is None else state.line
    else:
        line = state.left if isinstance(state, Closed) else None
    return None if line is None else line.front


CLOSES = When(
    "the session is to be closed",
    lambda state, message, now: state.closing is not None,
    opposite="the session is not to be closed",
)
NEXT = When(
    "another turn waits",
    lambda state, message, now: _successor(state) is not None,
    opposite="no other turn waits",
)
NOTHING = When("nothing follows", lambda state, message, now: state.closing is None and state.line is None)
LEFT = When(
    "a turn waits for another process",
    lambda state, message, now: _left(state) is not None,
    opposite="none waits for another process",
)
PRESSED = When(
    "a person pressed Stop",
    lambda state, message, now: any(CAUSES[ask.reason.code].ends_streams for ask in state.asks),
    opposite="no person pressed Stop",
)

# -- Of a send ----------------------------------------------------------------------------------------


def _known_as(state: State, send: Submit) -> bytes | None:
    """The fingerprint under which the session knows the turn id that the client chose."""
    head = send.spec.head
    record = None if head.fingerprint is None else find_turn(state, head.turn_id)
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


def _in_flight(state: State) -> bool:
    """Whether there is a turn that it may yet be wished to undo."""
    return isinstance(state, Running) or (isinstance(state, Ending) and state.undo is None)


def _interrupts(state: State, send: Submit, now: float) -> bool:
    """Whether it takes the place of a turn; what cannot be undone, or is to be anyway, it interrupts."""
    again = send.strategy is Strategy.ROLLBACK and not _in_flight(state)
    return send.strategy is Strategy.INTERRUPT or again


def _rolls_back(state: State, send: Submit, now: float) -> bool:
    return send.strategy is Strategy.ROLLBACK and _in_flight(state)


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
INTERRUPTS = When("it interrupts", _interrupts)
ROLLS_BACK = When("it rolls back", _rolls_back)
REJECTS = When("it rejects", lambda state, send, now: send.strategy is Strategy.REJECT)
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
        line = line_of(state)
        waiting = () if line is None else line.turns
        named = [each for each in waiting if each.spec.turn_id == stop.turn_id]
        turn = next(iter(named), None if stop.turn_id is not None or line is None else line.front)
    return turn is not None and _is_barred(state, turn.spec, stop.asker)


def _spares(state: State, stop: Stop, now: float) -> bool:
    waiting = _successor(state) or _left(state)
    return waiting is not None and _is_barred(state, waiting.spec, stop.asker)


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


def _is_successor(state: State, turn_id: str | None) -> bool:
    successor = _successor(state)
    return successor is not None and successor.spec.turn_id == turn_id


def _is_waiting(state: State, turn_id: str | None) -> bool:
    waiting = state.line.front if isinstance(state, Queued) else _left(state)
    return waiting is not None and waiting.spec.turn_id == turn_id


def _is_over(state: State, turn_id: str | None) -> bool:
    lives = _is_holder, _is_successor, _is_waiting
    alive = turn_id is None or any(is_that(state, turn_id) for is_that in lives)
    return not alive and find_turn(state, str(turn_id)) is not None


STOP_MISSES = When("`If-Match` fails", lambda state, stop, now: _fails(state, stop))
FORBIDDEN = When(
    "the turn's policy lets another user stop it",
    lambda state, stop, now: not _fails(state, stop) and _may_not(state, stop),
)
SPARES = When(
    "its asker may not stop the one that waits", _spares, opposite="its asker may stop the one that waits"
)
UNAIMED = _aims("it names no turn", lambda state, turn_id: turn_id is None)
AT_HOLDER = _aims("it names the turn in flight", _is_holder)
AT_HOLDER_OR_ALL = _aims(
    "it names the turn in flight or none",
    lambda state, turn_id: turn_id is None or _is_holder(state, turn_id),
)
AT_SUCCESSOR = _aims("it names the turn that waits", _is_successor)
AT_LEFT = _aims("it names the turn that waits for another process", _is_waiting)
AT_WAITING_OR_ALL = _aims(
    "it names the turn that waits or none",
    lambda state, turn_id: turn_id is None or _is_waiting(state, turn_id),
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
LASTS_ALREADY = When(
    "it was closed for good, or this is a shutdown",
    lambda state, shut, now: state.for_good is not None or not CAUSES[shut.reason.code].lasts,
    opposite="it was closed by a shutdown, and this is none",
)

# -- Of time ------------------------------------------------------------------------------------------


def _rung_due(state: Ending, now: float) -> bool:
    match state.phase:
        case Asked(again_at):
            return now >= again_at
        case Again(end_at):
            return now >= end_at
        case Winding(until):
            return now >= until


def _front_due(state: Queued, now: float) -> bool:
    front = state.line.front
    return front is not None and (front.not_before is None or now >= front.not_before)


BEFORE_DUE = When("before it is to start", lambda state, tick, now: not _front_due(state, now))
AT_DUE = When("when it is to start", lambda state, tick, now: _front_due(state, now))
NO_DEADLINE = When("the turn has no timeout", lambda state, tick, now: state.deadline is None)
BEFORE_DEADLINE = When(
    "before the timeout", lambda state, tick, now: state.deadline is not None and now < state.deadline
)
AT_DEADLINE = When(
    "at the timeout", lambda state, tick, now: state.deadline is not None and now >= state.deadline
)
BEFORE_RUNG = When("before the next rung", lambda state, tick, now: not _rung_due(state, now))
AT_HALF = When(
    "at half of the grace",
    lambda state, tick, now: isinstance(state.phase, Asked) and _rung_due(state, now),
)
AT_END = When(
    "at the end of the grace",
    lambda state, tick, now: isinstance(state.phase, Again) and _rung_due(state, now),
)

AT_CUT = When(
    "when there is no more time to undo the turn",
    lambda state, tick, now: isinstance(state.phase, Winding) and _rung_due(state, now),
)

# -- Of a turn that is to be undone -------------------------------------------------------------------

UNDONE = When(
    "the turn is to be undone",
    lambda state, message, now: state.undo is not None,
    opposite="the turn is not to be undone",
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


OF_UNDONE = When(
    "it is the turn that is being undone", _is_wound_up, opposite="it is no turn that is being undone"
)

# -- Of the end of a coroutine ------------------------------------------------------------------------


def _held_by(state: State, epoch: Epoch) -> bool:
    return isinstance(state, Running | Ending) and state.turn.epoch == epoch


def _given_up(state: State, epoch: Epoch) -> bool:
    return any(record.epoch == epoch for record in state.memory.quarantined)


OF_HOLDER = When("it is the turn in flight", lambda state, ended, now: _held_by(state, ended.epoch))
OF_GIVEN_UP = When("it is a turn that was given up", lambda state, ended, now: _given_up(state, ended.epoch))
OF_NOTHING = When(
    "it is neither",
    lambda state, ended, now: not _held_by(state, ended.epoch) and not _given_up(state, ended.epoch),
)

# -- Of a restart -----------------------------------------------------------------------------------


def _policy(state: State, spec: TurnSpec) -> OnRestart | None:
    return spec.policy.on_restart if spec.agent in state.memory.home.limits.agents else None


def _has_another_attempt(state: State, message: Any, now: float) -> bool:
    """Whether the turn, in flight or waiting, may be started again."""
    turn: Holder | Waiting | None = None
    if isinstance(state, Queued):
        turn = state.line.front
    elif isinstance(state, Running | Ending):
        turn = state.turn
    if turn is None:
        return False
    cut_off = turn.attempt if isinstance(turn, Holder) else turn.attempt - 1
    again = _policy(state, turn.spec) in (OnRestart.RERUN, OnRestart.CONTINUE)
    return again and cut_off < state.memory.home.limits.attempts


def _is_handed_over(state: State, message: TurnEnded | Tick, now: float) -> bool:
    if not isinstance(state, Ending) or state.closing is None:
        return False
    if isinstance(message, TurnEnded) and not isinstance(message.outcome, Stopped):
        return False
    asked = state.asks or state.cancellation.reason.code is not CancelCode.SHUTDOWN
    durable = state.memory.home.limits.durable and state.closing.for_good is None
    return durable and not asked and _has_another_attempt(state, message, now)


def _never_started(state: State, message: Any, now: float) -> bool:
    return isinstance(state, Queued) and state.line.front is not None and state.line.front.attempt == 1


def _has_agent(state: State, message: Any, now: float) -> bool:
    waiting = state.line.front if isinstance(state, Queued) else _successor(state)
    return waiting is not None and _policy(state, waiting.spec) is not None


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
FIRST = When(
    "the turn never started",
    _never_started,
    opposite="the turn was started before",
)
HAS_AGENT = When(
    "its agent is there",
    _has_agent,
    opposite="its agent is not there",
)
