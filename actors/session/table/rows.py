"""The transition table of a session, as data: what each message does in each state, and when.

`machine.step` decides; the table says beforehand what it may decide. The exhaustive search holds one against
the other, both ways: every transition takes exactly one row and does what that row says, and every row is
taken. `docs/explanation/state-diagram.md` is made from it.

A row says what must be done, in this order, and what may be done besides. A new state or message is a block
of rows; a new condition stands in `conditions`.
"""

from collections.abc import Iterator
from typing import Any

from turnkeeper.actors.model.messages import Recover, Shut, Stop, Submit, Tick, TurnEnded, WoundUp
from turnkeeper.actors.model.value import value
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    Effect,
    EndAttempt,
    EndTurn,
    NoteCancel,
    NoteClosed,
    NoteEarlyCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
    WindUp,
)
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, Running, State

from .conditions import (
    AGAIN,
    ALWAYS,
    AT_CUT,
    AT_DEADLINE,
    AT_DUE,
    AT_END,
    AT_FINISHED,
    AT_HALF,
    AT_HOLDER,
    AT_HOLDER_OR_ALL,
    AT_LEFT,
    AT_SUCCESSOR,
    AT_UNKNOWN,
    AT_WAITING_OR_ALL,
    BEFORE_DEADLINE,
    BEFORE_DUE,
    BEFORE_RUNG,
    CANCELLED_EARLY,
    CLOSES,
    CROWDED,
    FIRST,
    FLED,
    FLED_BEFORE,
    FORBIDDEN,
    HANDED_OVER,
    HAS_AGENT,
    INTERRUPTS,
    LASTS,
    LASTS_ALREADY,
    LEFT,
    MISSES,
    NEW,
    NEXT,
    NO_DEADLINE,
    NO_ROOM,
    NOTHING,
    OF_GIVEN_UP,
    OF_HOLDER,
    OF_NOTHING,
    OF_UNDONE,
    PRESSED,
    PRESSES,
    REJECTS,
    REPEATED,
    REUSED,
    ROLLS_BACK,
    SPARES,
    STAYS,
    STOP_MISSES,
    STOPPED_BEFORE,
    STOPPING,
    TAKEN,
    TIMED,
    UNAIMED,
    UNDONE,
    WAITS,
    When,
)

Kinds = tuple[type[Effect], ...]


@value
class Row:
    """What a message does to a session in this state, where the condition holds.

    ``then`` is the type of the next state; ``None``: the session stays as it is.
    """

    state: type[State]
    message: type[Any]
    name: str
    when: When
    then: type[State] | None
    must: Kinds = ()
    may: Kinds = ()

    def fault(self, before: State, after: State, effects: tuple[Effect, ...]) -> str | None:
        """What is wrong with a transition that takes this row; ``None`` if nothing is."""
        if self.then is None and after is not before:
            return "the session changes"
        if self.then is not None and type(after) is not self.then:
            return f"the session is {type(after).__name__}, not {self.then.__name__}"
        missing = list(self.must)
        for effect in effects:
            kind = type(effect)
            if missing and kind is missing[0]:
                del missing[0]
            elif kind not in self.may:
                return f"{kind.__name__} is out of place"
        return f"{missing[0].__name__} is missing" if missing else None

    def __repr__(self) -> str:
        return f"<Row {self.state.__name__}, {self.message.__name__}: {self.name}>"


EVERY = (Idle, Queued, Running, Ending, Closed)
#: A turn waits to be started after a restart only, and then nothing is left of those that were given up.
BUT_QUEUED = (Idle, Running, Ending, Closed)


def _stays(
    states: tuple[type[State], ...], message: type[Any], name: str, when: When, *must: type[Effect]
) -> Iterator[Row]:
    """The same row for several states, none of which is left or changed."""
    for state in states:
        yield Row(state, message, name, when, None, must)


def _notes(
    states: tuple[type[State], ...], message: type[Any], name: str, when: When, *must: type[Effect]
) -> Iterator[Row]:
    """The same row for several states, none of which is left, but which remember something."""
    for state in states:
        yield Row(state, message, name, when, state, must)


def _undone(message: type[Any], name: str, when: When, *must: type[Effect]) -> Iterator[Row]:
    """What follows when a turn has been undone, as far as it could be: as after any other end."""
    late = (Quarantine, NoteLateEnd)
    yield Row(Ending, message, name, when & NOTHING & ~PRESSED, Idle, (*must, EndTurn), (Reply, *late))
    yield Row(
        Ending,
        message,
        f"{name}, the streams end",
        when & NOTHING & PRESSED,
        Idle,
        (*must, EndTurn, CloseStreams),
        (Reply, *late),
    )
    yield Row(
        Ending,
        message,
        f"{name}, the next one starts",
        when & NEXT,
        Running,
        (*must, EndTurn, StartTurn, Reply),
        (Reply, SetTimer, *late),
    )
    yield Row(
        Ending,
        message,
        f"{name}, the session is closed",
        when & CLOSES,
        Closed,
        (*must, EndTurn, CloseStreams),
        (Reply, NoteClosed, *late),
    )


#: A send: first the gate, which is the same in every state.
SENDS = (
    *_stays(EVERY, Submit, "the retry is answered with the status", REPEATED, Reply),
    *_stays(EVERY, Submit, "refused: the id stands for another message", REUSED, Refuse),
    *_stays(EVERY, Submit, "refused: the precondition fails", MISSES, Refuse),
    *_stays((Idle, Running), Submit, "refused: too many turns did not stop", CROWDED, Refuse),
    *_stays((Ending,), Submit, "refused: too many turns did not stop", CROWDED & ~CLOSES, Refuse),
    *_stays((Ending,), Submit, "refused: the session is closed", NEW & CLOSES, Refuse),
    *_stays((Closed,), Submit, "refused: the session is closed", NEW, Refuse),
    *_notes(
        (Idle, Queued, Running), Submit, "the turn is over before it starts", CANCELLED_EARLY, EndTurn, Reply
    ),
    Row(
        Ending,
        Submit,
        "the turn is over before it starts",
        CANCELLED_EARLY & ~CLOSES,
        Ending,
        (EndTurn, Reply),
    ),
    *_stays((Idle, Queued, Running), Submit, "refused: there is no room", NO_ROOM, Refuse),
    *_stays((Ending,), Submit, "refused: there is no room", NO_ROOM & ~CLOSES, Refuse),
    Row(Idle, Submit, "the turn starts", TAKEN & ~TIMED, Running, (StartTurn, Reply)),
    Row(Idle, Submit, "the turn starts", TAKEN & TIMED, Running, (StartTurn, SetTimer, Reply)),
    Row(
        Queued,
        Submit,
        "the turn takes the place of the one that waits",
        TAKEN & INTERRUPTS & ~TIMED,
        Running,
        (EndTurn, StartTurn, Reply),
    ),
    Row(
        Queued,
        Submit,
        "the turn takes the place of the one that waits",
        TAKEN & INTERRUPTS & TIMED,
        Running,
        (EndTurn, StartTurn, SetTimer, Reply),
    ),
    *_stays((Queued,), Submit, "refused: a turn waits", TAKEN & REJECTS, Refuse),
    *_stays((Running,), Submit, "refused: a turn is in flight", TAKEN & REJECTS, Refuse),
    *_stays((Ending,), Submit, "refused: a turn is in flight", TAKEN & ~CLOSES & REJECTS, Refuse),
    Row(
        Running,
        Submit,
        "the turn supersedes",
        TAKEN & INTERRUPTS & WAITS,
        Ending,
        (CancelTurn, SetTimer, AnnounceQueued),
    ),
    Row(
        Running,
        Submit,
        "the turn supersedes",
        TAKEN & INTERRUPTS & ~WAITS,
        Ending,
        (CancelTurn, SetTimer, AnnounceQueued, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end",
        TAKEN & INTERRUPTS & NOTHING & WAITS,
        Ending,
        (AnnounceQueued,),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end",
        TAKEN & INTERRUPTS & NOTHING & ~WAITS,
        Ending,
        (AnnounceQueued, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the turn replaces the one that waits",
        TAKEN & INTERRUPTS & NEXT & WAITS,
        Ending,
        (EndTurn, AnnounceQueued),
        (Reply,),
    ),
    Row(
        Ending,
        Submit,
        "the turn replaces the one that waits",
        TAKEN & INTERRUPTS & NEXT & ~WAITS,
        Ending,
        (EndTurn, AnnounceQueued, Reply),
        (Reply,),
    ),
)

#: A cancel.
STOPS = (
    *_stays(EVERY, Stop, "refused: the precondition fails", STOP_MISSES, Refuse),
    *_stays((Queued, Running, Ending, Closed), Stop, "refused: it is not theirs to stop", FORBIDDEN, Refuse),
    *_stays((Idle,), Stop, "there is nothing to stop", UNAIMED, Reply),
    *_stays((Closed,), Stop, "there is nothing to stop", UNAIMED & ~LEFT, Reply),
    Row(
        Closed,
        Stop,
        "the waiting turn is dropped",
        AT_WAITING_OR_ALL & LEFT,
        Closed,
        (EndTurn, Reply),
    ),
    Row(Queued, Stop, "the waiting turn is dropped", AT_WAITING_OR_ALL & ~PRESSES, Idle, (EndTurn, Reply)),
    Row(
        Queued,
        Stop,
        "the waiting turn is dropped, the streams end",
        AT_WAITING_OR_ALL & PRESSES,
        Idle,
        (EndTurn, Reply, CloseStreams),
    ),
    *_stays(EVERY, Stop, "the turn is over already", AT_FINISHED, Reply),
    *_notes(EVERY, Stop, "the cancel is kept for its send", AT_UNKNOWN, NoteEarlyCancel, Reply),
    Row(
        Running,
        Stop,
        "the turn is cancelled",
        AT_HOLDER_OR_ALL & WAITS,
        Ending,
        (CancelTurn, SetTimer),
    ),
    Row(
        Running,
        Stop,
        "the turn is cancelled",
        AT_HOLDER_OR_ALL & ~WAITS,
        Ending,
        (CancelTurn, SetTimer, Reply),
    ),
    Row(Ending, Stop, "the waiting turn is dropped", AT_SUCCESSOR, Ending, (EndTurn, Reply), (Reply,)),
    Row(Ending, Stop, "the waiting turn is dropped", AT_LEFT, Ending, (EndTurn, Reply)),
    Row(Ending, Stop, "the two cancels are one", AT_HOLDER & WAITS, Ending, (), (NoteCancel,)),
    Row(
        Ending,
        Stop,
        "the two cancels are one",
        AT_HOLDER & ~WAITS,
        Ending,
        (Reply,),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Stop,
        "the two cancels are one",
        UNAIMED & ~NEXT & ~LEFT & WAITS,
        Ending,
        (),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Stop,
        "the two cancels are one",
        UNAIMED & ~NEXT & ~LEFT & ~WAITS,
        Ending,
        (Reply,),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Stop,
        "the waiting turn is dropped too",
        UNAIMED & NEXT & ~SPARES & WAITS,
        Ending,
        (EndTurn,),
        (Reply,),
    ),
    Row(
        Ending,
        Stop,
        "the waiting turn is dropped too",
        UNAIMED & NEXT & ~SPARES & ~WAITS,
        Ending,
        (EndTurn, Reply),
        (Reply,),
    ),
    Row(
        Ending,
        Stop,
        "the waiting turn is dropped too",
        UNAIMED & LEFT & ~SPARES & WAITS,
        Ending,
        (EndTurn,),
    ),
    Row(
        Ending,
        Stop,
        "the waiting turn is dropped too",
        UNAIMED & LEFT & ~SPARES & ~WAITS,
        Ending,
        (EndTurn, Reply),
    ),
    Row(Ending, Stop, "the waiting turn is left", UNAIMED & SPARES & WAITS, Ending),
    Row(Ending, Stop, "the waiting turn is left", UNAIMED & SPARES & ~WAITS, Ending, (Reply,)),
)

#: A moment that the session asked for, or any other.
TICKS = (
    *_stays((Idle, Closed), Tick, "nothing is due", ALWAYS),
    *_stays((Queued,), Tick, "the tick came too soon", BEFORE_DUE, SetTimer),
    Row(Queued, Tick, "the turn starts", AT_DUE, Running, (StartTurn, Reply), (SetTimer,)),
    *_stays((Running,), Tick, "nothing is due", NO_DEADLINE),
    *_stays((Running,), Tick, "the tick came too soon", BEFORE_DEADLINE, SetTimer),
    Row(Running, Tick, "the turn has used up its time", AT_DEADLINE, Ending, (CancelTurn, SetTimer)),
    *_stays((Ending,), Tick, "the tick came too soon", BEFORE_RUNG, SetTimer),
    Row(Ending, Tick, "the turn is cancelled again", AT_HALF, Ending, (CancelTurn, SetTimer)),
    Row(
        Ending,
        Tick,
        "the turn is given up",
        AT_END & ~UNDONE & NOTHING & ~PRESSED,
        Idle,
        (EndTurn, Quarantine),
        (Reply,),
    ),
    Row(
        Ending,
        Tick,
        "the turn is given up, the streams end",
        AT_END & ~UNDONE & NOTHING & PRESSED,
        Idle,
        (EndTurn, Quarantine, CloseStreams),
        (Reply,),
    ),
    Row(
        Ending,
        Tick,
        "the turn is given up, the next one starts",
        AT_END & ~UNDONE & NEXT,
        Running,
        (EndTurn, Quarantine, StartTurn, Reply),
        (Reply, SetTimer),
    ),
    Row(
        Ending,
        Tick,
        "the turn is given up, the session is closed",
        AT_END & ~UNDONE & CLOSES & ~HANDED_OVER,
        Closed,
        (EndTurn, Quarantine, CloseStreams),
        (Reply, NoteClosed),
    ),
    Row(
        Ending,
        Tick,
        "the turn is given up, and goes on elsewhere",
        AT_END & ~UNDONE & CLOSES & HANDED_OVER,
        Closed,
        (EndAttempt, Quarantine, CloseStreams),
        (Reply,),
    ),
)

#: The end of a coroutine.
REPORTS = (
    Row(Running, TurnEnded, "the turn has ended", OF_HOLDER, Idle, (EndTurn,)),
    Row(
        Ending,
        TurnEnded,
        "the turn has settled",
        OF_HOLDER & ~UNDONE & NOTHING & ~PRESSED,
        Idle,
        (EndTurn,),
        (Reply,),
    ),
    Row(
        Ending,
        TurnEnded,
        "the turn has settled, the streams end",
        OF_HOLDER & ~UNDONE & NOTHING & PRESSED,
        Idle,
        (EndTurn, CloseStreams),
        (Reply,),
    ),
    Row(
        Ending,
        TurnEnded,
        "the turn has settled, the next one starts",
        OF_HOLDER & ~UNDONE & NEXT,
        Running,
        (EndTurn, StartTurn, Reply),
        (Reply, SetTimer),
    ),
    Row(
        Ending,
        TurnEnded,
        "the turn has settled, the session is closed",
        OF_HOLDER & ~UNDONE & CLOSES & ~HANDED_OVER,
        Closed,
        (EndTurn, CloseStreams),
        (Reply, NoteClosed),
    ),
    Row(
        Ending,
        TurnEnded,
        "the turn has settled, and goes on elsewhere",
        OF_HOLDER & ~UNDONE & CLOSES & HANDED_OVER,
        Closed,
        (EndAttempt, CloseStreams),
        (Reply,),
    ),
    *_notes(BUT_QUEUED, TurnEnded, "a late end is noted", OF_GIVEN_UP, NoteLateEnd),
    *_stays(BUT_QUEUED, TurnEnded, "a stale report is counted", OF_NOTHING, CountStale),
    *_stays((Queued,), TurnEnded, "a stale report is counted", ALWAYS, CountStale),
)

#: A close, or the shutdown.
SHUTS = (
    Row(Idle, Shut, "the session is closed", LASTS, Closed, (NoteClosed, CloseStreams), (Reply,)),
    Row(Idle, Shut, "the session is closed for now", ~LASTS, Closed, (CloseStreams,), (Reply,)),
    Row(
        Queued,
        Shut,
        "the waiting turn is dropped, the session is closed",
        LASTS,
        Closed,
        (EndTurn, NoteClosed, CloseStreams),
        (Reply,),
    ),
    Row(Queued, Shut, "the turn waits for another process", ~LASTS, Closed, (CloseStreams,), (Reply,)),
    Row(Running, Shut, "the turn is cancelled first", ALWAYS, Ending, (CancelTurn, SetTimer)),
    Row(Ending, Shut, "the session closes after its turn", ~NEXT & ~LEFT, Ending, (SetTimer,)),
    Row(
        Ending,
        Shut,
        "the waiting turn is dropped",
        NEXT & ~STAYS,
        Ending,
        (EndTurn, SetTimer),
        (Reply,),
    ),
    Row(
        Ending,
        Shut,
        "the waiting turn waits for another process",
        NEXT & STAYS,
        Ending,
        (SetTimer,),
        (Reply,),
    ),
    Row(Ending, Shut, "the turn waits for another process already", LEFT & ~LASTS, Ending, (SetTimer,)),
    Row(Ending, Shut, "the waiting turn is dropped", LEFT & LASTS, Ending, (EndTurn, SetTimer)),
    *_stays((Closed,), Shut, "the session is closed already", LASTS_ALREADY, Reply),
    Row(
        Closed,
        Shut,
        "the session is closed for good as well",
        ~LASTS_ALREADY & ~LEFT,
        Closed,
        (NoteClosed, Reply),
    ),
    Row(
        Closed,
        Shut,
        "the waiting turn is dropped, the session is closed for good as well",
        ~LASTS_ALREADY & LEFT,
        Closed,
        (EndTurn, NoteClosed, Reply),
    ),
)

#: The process is gone, and another one has loaded the session.
RECOVERIES = (
    *_stays((Idle, Closed), Recover, "nothing was cut off", ~FLED),
    Row(Idle, Recover, "what was given up has ended", FLED, Idle, (NoteLateEnd,), (NoteLateEnd,)),
    Row(Closed, Recover, "what was given up has ended", FLED, Closed, (NoteLateEnd,), (NoteLateEnd,)),
    Row(
        Queued,
        Recover,
        "the turn starts",
        FIRST & HAS_AGENT,
        Running,
        (StartTurn, Reply),
        (SetTimer, NoteLateEnd),
    ),
    Row(Queued, Recover, "the turn is over", FIRST & ~HAS_AGENT, Idle, (EndTurn,), (NoteLateEnd,)),
    Row(Queued, Recover, "the turn waits on", ~FIRST & AGAIN, Queued, (SetTimer,), (NoteLateEnd,)),
    Row(Queued, Recover, "the turn is over", ~FIRST & ~AGAIN, Idle, (EndTurn,), (NoteLateEnd,)),
    Row(
        Running,
        Recover,
        "the turn waits for its next attempt",
        AGAIN,
        Queued,
        (EndAttempt, SetTimer),
        (NoteLateEnd,),
    ),
    Row(Running, Recover, "the turn was interrupted", ~AGAIN, Idle, (EndTurn,), (NoteLateEnd,)),
    Row(Ending, Recover, "the turn was interrupted", ~UNDONE & NOTHING, Idle, (EndTurn,), (NoteLateEnd,)),
    Row(
        Ending,
        Recover,
        "the turn was interrupted, the next one starts",
        ~UNDONE & NEXT & HAS_AGENT,
        Running,
        (EndTurn, StartTurn, Reply),
        (SetTimer, NoteLateEnd),
    ),
    Row(
        Ending,
        Recover,
        "the turn was interrupted, the next one is over",
        ~UNDONE & NEXT & ~HAS_AGENT,
        Idle,
        (EndTurn, EndTurn),
        (NoteLateEnd,),
    ),
)

#: A send that has the turn undone whose place it takes.
ROLLBACKS = (
    Row(
        Running,
        Submit,
        "the turn supersedes, the one before it is to be undone",
        TAKEN & ROLLS_BACK & WAITS,
        Ending,
        (NoteUndo, CancelTurn, SetTimer, AnnounceQueued),
    ),
    Row(
        Running,
        Submit,
        "the turn supersedes, the one before it is to be undone",
        TAKEN & ROLLS_BACK & ~WAITS,
        Ending,
        (NoteUndo, CancelTurn, SetTimer, AnnounceQueued, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end, and has it undone",
        TAKEN & ~CLOSES & ROLLS_BACK & ~NEXT & WAITS,
        Ending,
        (NoteUndo, AnnounceQueued),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end, and has it undone",
        TAKEN & ~CLOSES & ROLLS_BACK & ~NEXT & ~WAITS,
        Ending,
        (NoteUndo, AnnounceQueued, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the turn replaces the one that waits, and has the one in flight undone",
        TAKEN & ROLLS_BACK & NEXT & WAITS,
        Ending,
        (NoteUndo, EndTurn, AnnounceQueued),
        (Reply,),
    ),
    Row(
        Ending,
        Submit,
        "the turn replaces the one that waits, and has the one in flight undone",
        TAKEN & ROLLS_BACK & NEXT & ~WAITS,
        Ending,
        (NoteUndo, EndTurn, AnnounceQueued, Reply),
        (Reply,),
    ),
)

#: What becomes of a turn that is undone.
UNDOING = (
    Row(Ending, Tick, "the turn is given up, and undone", AT_END & UNDONE, Ending, (WindUp, SetTimer)),
    Row(
        Ending,
        TurnEnded,
        "the turn has stopped, and is undone",
        OF_HOLDER & UNDONE & STOPPING,
        Ending,
        (WindUp, SetTimer),
    ),
    Row(
        Ending,
        TurnEnded,
        "a late end, to be noted once it is undone",
        OF_HOLDER & UNDONE & FLED_BEFORE,
        Ending,
    ),
    *_stays(
        (Ending,),
        TurnEnded,
        "a stale report is counted",
        OF_HOLDER & UNDONE & STOPPED_BEFORE,
        CountStale,
    ),
    *_stays((Ending,), WoundUp, "a stale report is counted", ~OF_UNDONE, CountStale),
    *_stays((Idle, Queued, Running, Closed), WoundUp, "a stale report is counted", ALWAYS, CountStale),
    *_undone(WoundUp, "the turn has been undone", OF_UNDONE),
    *_undone(Tick, "there was no time to undo all of the turn", AT_CUT, CutWinding),
    Row(
        Ending,
        Recover,
        "the turn was interrupted, and is undone",
        UNDONE,
        Ending,
        (WindUp, SetTimer),
        (EndTurn, NoteLateEnd),
    ),
)

ROWS: tuple[Row, ...] = (
    *SENDS,
    *ROLLBACKS,
    *STOPS,
    *TICKS,
    *REPORTS,
    *UNDOING,
    *SHUTS,
    *RECOVERIES,
)
