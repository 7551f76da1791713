"""What a turn leaves at its end, as JSON: checked before its end is decided, and written with it."""

from collections.abc import Callable
from typing import Any

import msgspec

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.journal.derive import NOTHING_SEALED, Sealed
from turnkeeper.actors.metrics.meter import CANCEL_HOOKS_FAILED, Meter
from turnkeeper.actors.model.exceptions import EventNotJson, InvalidRequest, MessageNotJson
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Tick, TurnEnded
from turnkeeper.actors.model.records import Raised, Returned, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.registry.turns.left import Left
from turnkeeper.actors.session.effects import EndTurn
from turnkeeper.actors.session.states import State
from turnkeeper.actors.turn.run import raised
from turnkeeper.actors.turn.turn import Turn


def check_json(message: Any) -> None:
    """Raise `InvalidRequest` for a message that cannot be written as JSON, such as half of a character."""
    if type(message) is str and message.isascii():
        return
    try:
        to_json(message)
    except EventNotJson:
        raise InvalidRequest("the message cannot be written as JSON", field="message") from None


def failure_of(turn: Turn) -> Raised | None:
    """Why a turn fails that leaves messages which JSON cannot say: then it leaves none of its own.

    Most turns leave what was recorded of them, which JSON can say.
    """
    context = turn.own_context
    if context is None or not context.has_written:
        return None
    try:
        to_json(context.changes().add)
    except EventNotJson as error:
        context.discard_messages()
        failure = MessageNotJson("a message in context.messages cannot be written as JSON")
        failure.__cause__ = error.__cause__
        return raised(failure)
    return None


def checked(message: TurnEnded, performer: Performer) -> TurnEnded:
    """The end of a turn; of one that leaves what cannot be written it is a failure. To be asked once."""
    turn = performer.turns.turn
    if turn is None or message.epoch != turn.epoch or (turn.undo is not None and turn.undo.wished):
        return message
    failure = failure_of(turn)
    return message if failure is None else replace(message, outcome=failure)


def checked_tick(message: Tick, performer: Performer) -> Tick:
    """A tick, with which a turn may end whose coroutine has returned: that is checked as any other end."""
    turn, ended = performer.turns.turn, message.ended
    if turn is None or turn.own is None or turn.own.begun is None or ended is None:
        return message
    after = checked(ended, performer)
    if after is ended:
        return message
    turn.own.begun.outcome = after.outcome  # what fails it is found once
    return replace(message, ended=after)


def sealer(performer: Performer, after: State, meter: Meter) -> Callable[[EndTurn], Sealed]:
    """Seals the turns that a decision ends, which leaves the session in the state ``after``."""

    def seal(effect: EndTurn) -> Sealed:
        if effect.outcome is not None and effect.record.rollback is None:  # else nothing of it is kept
            _discard_what_hooks_left(performer, meter)
        left = performer.seal(effect, after)
        return NOTHING_SEALED if left is None else sealed(left, effect, performer.max_event_size)

    return seal


def _discard_what_hooks_left(performer: Performer, meter: Meter) -> None:
    """Keep nothing of a conversation that JSON cannot say since hooks have changed it.

    What was checked at the end of the turn is kept no more: it is in the same list.
    """
    turn = performer.turns.turn
    if turn is None or turn.own is None or not turn.own.on_cancel:
        return
    failure = failure_of(turn)
    if failure is not None:
        meter.count(CANCEL_HOOKS_FAILED)
        text = "turn %s: its on_cancel hooks have left a message that cannot be written as JSON"
        logger.error(text, turn.turn_id, exc_info=failure.error)


def sealed(left: Left, end: EndTurn, max_event_size: int) -> Sealed:
    """What is written of it. Data that JSON cannot say stays in memory only."""
    keep, add, data = None, None, None
    changes, given = left.changes, left.given
    if changes is not None and given is not None:
        if changes.add or changes.keep < given.transcript.count:
            keep, add = changes.keep, _raw(changes.add)
        if changes.data is not None:
            data = _raw_data(end.record, changes.data)
    return Sealed(left.n, keep, add, data, _result(end, max_event_size))


def _result(end: EndTurn, max_event_size: int) -> msgspec.Raw | None:
    """What it returned, if its record has it or the event that ends it shows it."""
    kept = end.record.result
    if kept is None or type(end.outcome) is not Returned:
        return None
    try:
        text = to_json(end.outcome.result)
    except EventNotJson:
        return None  # in memory only: what awaits it here gets it
    return None if kept.left_out and len(text) > max_event_size else msgspec.Raw(text.encode())


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(to_json(value).encode())


def _raw_data(record: TurnRecord, data: dict[str, Any]) -> msgspec.Raw | None:
    try:
        return _raw(data)
    except EventNotJson:
        text = "turn %s: context.data cannot be written as JSON, and is kept in memory only"
        logger.warning(text, record.turn_id)
        return None
