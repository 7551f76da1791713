"""What another process has appended to the log of a session that lives here, taken over. Pure.

Only one process has a journal open, so far: what can come is what any process may say about a turn that runs
elsewhere. What only the process may say that runs it means that this one has lost the session.
"""

from turnkeeper.actors.model.records import Cancellation
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.effects import Decision, Effect
from turnkeeper.actors.session.record import remember_cancel
from turnkeeper.actors.session.states import Ask, Ending, Running, State
from turnkeeper.actors.session.states import EarlyCancel as Early
from turnkeeper.actors.session.views import lasting_cancel

from .entries import CancelAsked, EarlyCancel, Entry, Events, Titled, UndoAsked


class Diverged(Exception):
    """The log says of a session what its state here cannot follow: it has to be loaded again."""


def taken_over(state: State, entries: tuple[Entry, ...], now: float) -> Decision:
    """The state with these entries, and what has to be done about them here. Raises `Diverged`."""
    if not entries:
        raise Diverged("the session has no log any more, or its turn is not the last one there")
    effects: tuple[Effect, ...] = ()
    for entry in entries:
        match entry:
            case CancelAsked():
                if type(state) is Running and state.turn.spec.turn_id == entry.turn_id:
                    asked, more = ladder.enter(state, entry.reason, now, line=state.line)
                    # It was asked for when the log says; its grace begins only now.
                    state = replace(asked, cancellation=Cancellation(entry.reason, entry.at))
                    effects += more
                elif type(state) is Ending and state.turn.spec.turn_id == entry.turn_id:
                    state = _asked_elsewhere(state, entry)
            case UndoAsked():
                if type(state) is Ending and state.turn.spec.turn_id == entry.turn_id:
                    state = replace(state, undo=entry.at)
            case EarlyCancel():
                memory = state.memory
                early = Early(entry.turn_id, entry.reason, entry.at)
                kept = remember_cancel(memory.early, early, memory.home.limits)
                state = replace(state, memory=replace(memory, early=kept))
            case Events() | Titled():
                pass
            case _:
                raise Diverged(
                    f"another process has written {type(entry).__name__} of a session that is here"
                )
    return state, effects


def _asked_elsewhere(state: Ending, entry: CancelAsked) -> Ending:
    """A turn on its way out: it had returned by itself, or was asked to stop for this process only."""
    if lasting_cancel(state) is not None:
        return state
    asked, _ = ladder.asked(state, entry.reason, entry.at)
    return replace(asked, asks=(*asked.asks, Ask(None, entry.at, entry.reason)))
