"""Holds a session against its log: what its entries say is what is durable, and a restart changes nothing."""

import msgspec

from tests.actors.session.monitor import Broken
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.journal.derive import Sealed, entries_of
from turnkeeper.actors.journal.durable import Durable, durable, restored
from turnkeeper.actors.journal.entries import decode, encode
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.session.effects import Effect, EndTurn
from turnkeeper.actors.session.states import State


class Log:
    """Checks steps; of a state that many steps lead away from, what is durable is worked out once."""

    def __init__(self) -> None:
        self._last: tuple[State, Durable] | None = None

    def check(self, before: State, after: State, effects: tuple[Effect, ...]) -> None:
        """Raise `Broken` where the entries of a step do not say what is durable after it."""
        entries = entries_of(effects, sealed)
        if after is before and not entries:
            return
        # As they are read: what JSON cannot say is not in the log.
        read = [decode(encode(entry)) for entry in entries]
        try:
            said = fold(self._durable(before), read, before.memory.home.limits)
        except ValueError as error:
            raise Broken(f"G11: the log is no log: {error}\n  entries {read}\n  before {before}") from error
        left = durable(after)
        if said != left:
            raise Broken(
                f"G11: the log does not say what is durable, which is\n  {left}\n  it says\n  {said}"
                f"\n  entries {read}\n  effects {effects}\n  before {before}"
            )

    def _durable(self, state: State) -> Durable:
        if self._last is None or self._last[0] is not state:
            self._last = state, durable(state)
        return self._last[1]


def check_restored(state: State) -> None:
    """Raise `Broken` where a restart would change what is durable."""
    left = durable(state)
    again = durable(restored(left, state.memory.home))
    if again != left:
        raise Broken(f"G11: a restart changes what is durable to\n  {again}\n  which was\n  {left}")


def sealed(end: EndTurn) -> Sealed:
    """What a turn leaves that has emitted nothing."""
    result = end.record.result
    if result is None or result.left_out:
        return Sealed(1)
    try:
        return Sealed(1, result=msgspec.Raw(to_json(result.value).encode()))
    except EventNotJson:
        return Sealed(1)
