"""The transition table of a session, as data: what each message does in each state, and when.

`machine.step` decides; the table says beforehand what it may decide. The exhaustive search holds one against
the other, both ways: every transition takes exactly one row and does what that row says, and every row is
taken. `docs/explanation/state-diagram.md` is made from it.

A row says what must be done, in this order, and what may be done besides. A new state or message is a block
of rows; a new condition stands in `conditions`.
"""

from collections.abc import Iterator
from typing import Any

from turnkeeper.actors.model.messages import Rearrange, Recover, Shut, Stop, Submit, Tick, TurnEnded, WoundUp
from turnkeeper.actors.model.value import value
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    EditWaiting,
    Effect,
    EndAttempt,
    EndTurn,
    MoveWaiting,
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
    AT_HOLDER_OR_ALL,
    AT_ONCE,
    AT_UNKNOWN,
    AT_WAITING,
    AT_WAITING_OR_ALL,
    BEFORE_DEADLINE,
    BEFORE_DUE,
    BEFORE_RUNG,
    BIDES,
    CALLED,
    CANCELLED_EARLY,
    CLOSES,
    COMES,
    COMES_TO_COLLECT,
    COMES_TO_INTERRUPT,
    COMES_TO_JOIN,
    COMES_TO_QUEUE,
    COMES_TO_REJECT,
    CROWDED,
    DELAYS,
    DROPS,
    DROPS_ALL,
    EDITS,
    EMPTIES,
    FLED,
    FLED_BEFORE,
    FORBIDDEN,
    FREES,
    FULL,
    HANDED_OVER,
    INTERRUPTS,
    JOINS,
    LASTS,
    LASTS_ALREADY,
    LEAVES,
    LINGERS,
    MISPLACED,
    MISSES,
    MOVES,
    MOVES_BEHIND,
    MOVES_UP,
    NEW,
    NEXT,
    NO_DEADLINE,
    NO_ROOM,
    NONE_GOES_ON,
    NOTHING,
    OF_GIVEN_UP,
    OF_HOLDER,
    OF_NOTHING,
    OF_UNDONE,
    PRESSED,
    PRESSES,
    QUEUES,
    REJECTS,
    REPEATED,
    RESUMES,
    REUSED,
    ROLLS_BACK,
    SOME,
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
#: A session that takes sends, unless it is to be closed.
OPEN = (Idle, Queued, Running, Ending)
#: A session in which some may wait, and are placed.
BUSY = (Queued, Running, Ending)


def _stays(
    states: tuple[type[State], ...], message: type[Any], name: str, when: When, *must: type[Effect]
) -> Iterator[Row]:
    """The same row for several states, none of which is left or changed."""
    for state in states:
        yield Row(state, message, name, when, None, must)


def _notes(
    states: tuple[type[State], ...], message: type[Any], name: str, when: When, must: Kinds, may: Kinds = ()
) -> Iterator[Row]:
    """The same row for several states, none of which is left, but which remember something."""
    for state in states:
        yield Row(state, message, name, when, state, must, may)


def _gate(name: str, when: When, *must: type[Effect], notes: bool = False) -> Iterator[Row]:
    """The same row for all states that take sends."""
    for state in OPEN:
        then = state if notes else None
        yield Row(state, Submit, name, when & ~CLOSES if state is Ending else when, then, must)


#: A send: first the gate, which is the same in every state.
SENDS = (
    *_stays(EVERY, Submit, "the retry is answered with the status", REPEATED, Reply),
    *_stays(EVERY, Submit, "refused: the id stands for another message", REUSED, Refuse),
    *_stays(EVERY, Submit, "refused: the precondition fails", MISSES, Refuse),
    *_gate("refused: too many turns did not stop", CROWDED, Refuse),
    *_stays((Ending,), Submit, "refused: the session is closed", NEW & CLOSES, Refuse),
    *_stays((Closed,), Submit, "refused: the session is closed", NEW, Refuse),
    *_gate("the turn is over before it starts", CANCELLED_EARLY, EndTurn, Reply, notes=True),
    *_gate("refused: there is no room", NO_ROOM, Refuse),
    *_gate("refused: the queue is full", TAKEN & DELAYS & FULL, Refuse),
    Row(
        Idle,
        Submit,
        "the turn waits for its moment",
        TAKEN & DELAYS & ~FULL,
        Queued,
        (AnnounceQueued, AnnouncePlaces, SetTimer, Reply),
    ),
    *_notes(
        (Queued, Running),
        Submit,
        "the turn waits for its moment",
        TAKEN & DELAYS & ~FULL,
        (AnnounceQueued, AnnouncePlaces, SetTimer, Reply),
        (EndTurn,),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for its moment",
        TAKEN & ~CLOSES & DELAYS & ~FULL,
        Ending,
        (AnnounceQueued, AnnouncePlaces, SetTimer, Reply),
        (EndTurn,),
    ),
    *_notes(
        (Queued, Running),
        Submit,
        "the message joins another one",
        TAKEN & JOINS,
        (EditWaiting, EndTurn, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the message joins another one",
        TAKEN & ~CLOSES & JOINS,
        Ending,
        (EditWaiting, EndTurn, Reply),
    ),
    Row(Idle, Submit, "the turn starts", TAKEN & AT_ONCE & ~TIMED, Running, (StartTurn, Reply)),
    Row(Idle, Submit, "the turn starts", TAKEN & AT_ONCE & TIMED, Running, (StartTurn, SetTimer, Reply)),
    Row(
        Queued,
        Submit,
        "the turn starts",
        TAKEN & AT_ONCE & ~CALLED,
        Running,
        (StartTurn, SetTimer, Reply),
    ),
    Row(
        Queued,
        Submit,
        "the turn takes the place of the one called up",
        TAKEN & INTERRUPTS & CALLED,
        Running,
        (EndTurn, StartTurn, Reply),
        (SetTimer,),
    ),
    *_stays((Queued,), Submit, "refused: a turn is called up", TAKEN & REJECTS & CALLED, Refuse),
    *_stays((Running,), Submit, "refused: a turn is in flight", TAKEN & REJECTS, Refuse),
    *_stays((Ending,), Submit, "refused: a turn is in flight", TAKEN & ~CLOSES & REJECTS, Refuse),
    *_stays((Queued,), Submit, "refused: the queue is full", TAKEN & QUEUES & CALLED & FULL, Refuse),
    *_stays((Running,), Submit, "refused: the queue is full", TAKEN & QUEUES & FULL, Refuse),
    *_stays((Ending,), Submit, "refused: the queue is full", TAKEN & ~CLOSES & QUEUES & FULL, Refuse),
    Row(
        Queued,
        Submit,
        "the turn waits behind the others",
        TAKEN & QUEUES & CALLED & ~FULL,
        Queued,
        (AnnounceQueued, AnnouncePlaces, Reply),
        (EndTurn,),
    ),
    Row(
        Running,
        Submit,
        "the turn waits behind the others",
        TAKEN & QUEUES & ~FULL,
        Running,
        (AnnounceQueued, AnnouncePlaces, Reply),
        (EndTurn,),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits behind the others",
        TAKEN & ~CLOSES & QUEUES & ~FULL,
        Ending,
        (AnnounceQueued, AnnouncePlaces, Reply),
        (EndTurn,),
    ),
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
        TAKEN & ~CLOSES & INTERRUPTS & ~CALLED & WAITS,
        Ending,
        (AnnounceQueued,),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end",
        TAKEN & ~CLOSES & INTERRUPTS & ~CALLED & ~WAITS,
        Ending,
        (AnnounceQueued, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the turn takes the place of the one called up",
        TAKEN & ~CLOSES & INTERRUPTS & CALLED & WAITS,
        Ending,
        (EndTurn, AnnounceQueued),
        (Reply,),
    ),
    Row(
        Ending,
        Submit,
        "the turn takes the place of the one called up",
        TAKEN & ~CLOSES & INTERRUPTS & CALLED & ~WAITS,
        Ending,
        (EndTurn, AnnounceQueued, Reply),
        (Reply,),
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
        TAKEN & ~CLOSES & ROLLS_BACK & ~CALLED & WAITS,
        Ending,
        (NoteUndo, AnnounceQueued),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end, and has it undone",
        TAKEN & ~CLOSES & ROLLS_BACK & ~CALLED & ~WAITS,
        Ending,
        (NoteUndo, AnnounceQueued, Reply),
    ),
    Row(
        Ending,
        Submit,
        "the turn takes the place of the one called up, and has the one in flight undone",
        TAKEN & ~CLOSES & ROLLS_BACK & CALLED & WAITS,
        Ending,
        (NoteUndo, EndTurn, AnnounceQueued),
        (Reply,),
    ),
    Row(
        Ending,
        Submit,
        "the turn takes the place of the one called up, and has the one in flight undone",
        TAKEN & ~CLOSES & ROLLS_BACK & CALLED & ~WAITS,
        Ending,
        (NoteUndo, EndTurn, AnnounceQueued, Reply),
        (Reply,),
    ),
)

#: A cancel. It may clear those away that wait, too.
STOPS = (
    *_stays(EVERY, Stop, "refused: the precondition fails", STOP_MISSES, Refuse),
    *_stays((Queued, Running, Ending, Closed), Stop, "refused: it is not theirs to stop", FORBIDDEN, Refuse),
    *_stays((Idle,), Stop, "there is nothing to stop", UNAIMED, Reply),
    *_stays((Queued, Closed), Stop, "there is nothing to stop", UNAIMED & ~DROPS, Reply),
    Row(
        Closed,
        Stop,
        "waiting turns are dropped",
        AT_WAITING_OR_ALL & DROPS,
        Closed,
        (EndTurn, Reply),
        (EndTurn, AnnouncePlaces),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped",
        AT_WAITING_OR_ALL & DROPS & EMPTIES & ~PRESSES,
        Idle,
        (EndTurn, Reply),
        (EndTurn, AnnouncePlaces),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the streams end",
        AT_WAITING_OR_ALL & DROPS & EMPTIES & PRESSES,
        Idle,
        (EndTurn, Reply, CloseStreams),
        (EndTurn, AnnouncePlaces),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the next one starts",
        AT_WAITING_OR_ALL & DROPS & FREES,
        Running,
        (EndTurn, Reply, StartTurn, Reply),
        (EndTurn, AnnouncePlaces, SetTimer),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the others wait on",
        AT_WAITING_OR_ALL & DROPS & LEAVES,
        Queued,
        (EndTurn, Reply, SetTimer),
        (EndTurn, AnnouncePlaces),
    ),
    *_stays(EVERY, Stop, "the turn is over already", AT_FINISHED, Reply),
    *_notes(EVERY, Stop, "the cancel is kept for its send", AT_UNKNOWN, (NoteEarlyCancel, Reply)),
    Row(
        Running,
        Stop,
        "the turn is cancelled",
        AT_HOLDER_OR_ALL & ~DROPS & WAITS,
        Ending,
        (CancelTurn, SetTimer),
    ),
    Row(
        Running,
        Stop,
        "the turn is cancelled",
        AT_HOLDER_OR_ALL & ~DROPS & ~WAITS,
        Ending,
        (CancelTurn, SetTimer, Reply),
    ),
    Row(
        Running,
        Stop,
        "the turn is cancelled, waiting turns are dropped",
        AT_HOLDER_OR_ALL & DROPS & WAITS,
        Ending,
        (CancelTurn, SetTimer, EndTurn, AnnouncePlaces),
        (EndTurn,),
    ),
    Row(
        Running,
        Stop,
        "the turn is cancelled, waiting turns are dropped",
        AT_HOLDER_OR_ALL & DROPS & ~WAITS,
        Ending,
        (CancelTurn, SetTimer, EndTurn, AnnouncePlaces, Reply),
        (EndTurn,),
    ),
    Row(
        Running,
        Stop,
        "waiting turns are dropped",
        AT_WAITING,
        Running,
        (EndTurn, AnnouncePlaces, Reply),
        (EndTurn,),
    ),
    Row(
        Ending,
        Stop,
        "waiting turns are dropped",
        AT_WAITING,
        Ending,
        (EndTurn, Reply),
        (EndTurn, AnnouncePlaces, Reply),
    ),
    Row(
        Ending,
        Stop,
        "the two cancels are one",
        AT_HOLDER_OR_ALL & ~DROPS & WAITS,
        Ending,
        (),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Stop,
        "the two cancels are one",
        AT_HOLDER_OR_ALL & ~DROPS & ~WAITS,
        Ending,
        (Reply,),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Stop,
        "the two cancels are one, waiting turns are dropped",
        AT_HOLDER_OR_ALL & DROPS & WAITS,
        Ending,
        (EndTurn,),
        (EndTurn, NoteCancel, Reply, AnnouncePlaces),
    ),
    Row(
        Ending,
        Stop,
        "the two cancels are one, waiting turns are dropped",
        AT_HOLDER_OR_ALL & DROPS & ~WAITS,
        Ending,
        (EndTurn, Reply),
        (EndTurn, NoteCancel, Reply, AnnouncePlaces),
    ),
)


#: What becomes of one that comes only if something is in its way.
BY_STRATEGY = (COMES_TO_REJECT, COMES_TO_QUEUE)


def _settles(
    message: type[Any], name: str, when: When, must: Kinds = (EndTurn,), may: Kinds = ()
) -> Iterator[Row]:
    """The cancelled turn lets go of the session: what follows it."""
    streams: tuple[tuple[str, When, Kinds], ...] = (
        ("", ~PRESSED, ()),
        (", the streams end", PRESSED, (CloseStreams,)),
    )
    for words, pressed, close in streams:
        yield Row(
            Ending, message, name + words, when & NOTHING & pressed, Idle, (*must, *close), (Reply, *may)
        )
        yield Row(
            Ending,
            message,
            f"{name}, others wait for a moment{words}",
            when & BIDES & pressed,
            Queued,
            (*must, *close, SetTimer),
            (Reply, *may),
        )
    yield Row(
        Ending,
        message,
        f"{name}, the next one starts",
        when & NEXT,
        Running,
        (*must, StartTurn, Reply),
        (Reply, SetTimer, AnnouncePlaces, *may),
    )
    yield Row(
        Ending,
        message,
        f"{name}, the session is closed",
        when & CLOSES & ~HANDED_OVER,
        Closed,
        (*must, CloseStreams),
        (Reply, NoteClosed, *may),
    )


def _hands_over(message: type[Any], name: str, when: When, must: Kinds) -> Row:
    """The cancelled turn is cut off, and goes on in another process."""
    return Row(
        Ending,
        message,
        f"{name}, and goes on elsewhere",
        when & CLOSES & HANDED_OVER,
        Closed,
        (*must, CloseStreams),
        (Reply,),
    )


def _comes(name: str, when: When, *must: type[Effect]) -> Iterator[Row]:
    """One that waited for a moment has its place, and the session stays in its state."""
    for state in BUSY:
        # While a turn runs that has no timeout there may be nothing else to wait for.
        timer = () if state is Running else (SetTimer,)
        when_called = when & CALLED if state is Queued and when in BY_STRATEGY else when
        yield Row(
            state,
            Tick,
            name,
            when_called,
            state,
            (*must, AnnouncePlaces, *timer),
            (SetTimer,) if state is Running else (),
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
    Row(
        Queued,
        Tick,
        "the turn that comes starts",
        COMES & ~CALLED,
        Running,
        (StartTurn, Reply, AnnouncePlaces),
        (SetTimer,),
    ),
    Row(
        Queued,
        Tick,
        "the turn that comes takes the place of the one called up",
        COMES_TO_INTERRUPT & CALLED,
        Running,
        (EndTurn, StartTurn, Reply, AnnouncePlaces),
        (SetTimer,),
    ),
    Row(
        Running,
        Tick,
        "the turn that comes supersedes",
        COMES_TO_INTERRUPT,
        Ending,
        (CancelTurn, SetTimer, MoveWaiting, AnnouncePlaces, SetTimer),
        (NoteUndo,),
    ),
    Row(
        Ending,
        Tick,
        "the turn that comes waits for the same end",
        COMES_TO_INTERRUPT & ~CALLED,
        Ending,
        (MoveWaiting, AnnouncePlaces, SetTimer),
        (NoteUndo,),
    ),
    Row(
        Ending,
        Tick,
        "the turn that comes takes the place of the one called up",
        COMES_TO_INTERRUPT & CALLED,
        Ending,
        (EndTurn, MoveWaiting, AnnouncePlaces, SetTimer),
        (Reply, NoteUndo),
    ),
    *_comes("the turn that comes is dropped", COMES_TO_REJECT, EndTurn),
    *_comes("the turn that comes waits behind the others", COMES_TO_QUEUE, MoveWaiting),
    *_comes("the message that comes joins another one", COMES_TO_JOIN, EditWaiting, EndTurn),
    *_comes("the turn that comes waits for those that join it", COMES_TO_COLLECT, MoveWaiting),
    Row(Ending, Tick, "the turn is cancelled again", AT_HALF, Ending, (CancelTurn, SetTimer)),
    *_settles(Tick, "the turn is given up", AT_END & ~UNDONE, (EndTurn, Quarantine)),
    _hands_over(Tick, "the turn is given up", AT_END & ~UNDONE, (EndAttempt, Quarantine)),
)

#: The end of a coroutine.
REPORTS = (
    Row(Running, TurnEnded, "the turn has ended", OF_HOLDER & NOTHING, Idle, (EndTurn,)),
    Row(
        Running,
        TurnEnded,
        "the turn has ended, others wait for a moment",
        OF_HOLDER & BIDES,
        Queued,
        (EndTurn, SetTimer),
    ),
    Row(
        Running,
        TurnEnded,
        "the turn has ended, the next one starts",
        OF_HOLDER & NEXT,
        Running,
        (EndTurn, StartTurn, Reply, AnnouncePlaces),
        (SetTimer,),
    ),
    *_settles(TurnEnded, "the turn has settled", OF_HOLDER & ~UNDONE),
    _hands_over(TurnEnded, "the turn has settled", OF_HOLDER & ~UNDONE, (EndAttempt,)),
    *_notes(EVERY, TurnEnded, "a late end is noted", OF_GIVEN_UP, (NoteLateEnd,)),
    *_stays(EVERY, TurnEnded, "a stale report is counted", OF_NOTHING, CountStale),
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
    *_settles(WoundUp, "the turn has been undone", OF_UNDONE, may=(Quarantine, NoteLateEnd)),
    *_settles(
        Tick,
        "there was no time to undo all of the turn",
        AT_CUT,
        (CutWinding, EndTurn),
        may=(Quarantine, NoteLateEnd),
    ),
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

#: A close, or the shutdown.
SHUTS = (
    Row(Idle, Shut, "the session is closed", LASTS, Closed, (NoteClosed, CloseStreams), (Reply,)),
    Row(Idle, Shut, "the session is closed for now", ~LASTS, Closed, (CloseStreams,), (Reply,)),
    Row(
        Queued,
        Shut,
        "those that wait are dropped, the session is closed",
        LASTS,
        Closed,
        (EndTurn, NoteClosed, CloseStreams),
        (EndTurn, Reply),
    ),
    Row(
        Queued,
        Shut,
        "those that wait are dropped, the session is closed for now",
        DROPS_ALL,
        Closed,
        (EndTurn, CloseStreams),
        (EndTurn, Reply),
    ),
    Row(Queued, Shut, "those that wait do so for another process", STAYS, Closed, (CloseStreams,), (Reply,)),
    Row(Running, Shut, "the turn is cancelled first", ~SOME, Ending, (CancelTurn, SetTimer)),
    Row(
        Running,
        Shut,
        "the turn is cancelled first, those that wait are dropped",
        SOME & ~STAYS,
        Ending,
        (EndTurn, CancelTurn, SetTimer),
        (EndTurn,),
    ),
    Row(
        Running,
        Shut,
        "the turn is cancelled first, those that wait do so for another process",
        SOME & STAYS,
        Ending,
        (CancelTurn, SetTimer),
    ),
    Row(Ending, Shut, "the session closes after its turn", ~SOME, Ending, (SetTimer,)),
    Row(
        Ending,
        Shut,
        "those that wait are dropped",
        SOME & ~STAYS,
        Ending,
        (EndTurn, SetTimer),
        (EndTurn, Reply),
    ),
    Row(
        Ending,
        Shut,
        "those that wait do so for another process",
        SOME & STAYS,
        Ending,
        (SetTimer,),
        (Reply,),
    ),
    *_stays((Closed,), Shut, "the session is closed already", LASTS_ALREADY, Reply),
    Row(
        Closed,
        Shut,
        "the session is closed for good as well",
        ~LASTS_ALREADY & ~SOME,
        Closed,
        (NoteClosed, Reply),
    ),
    Row(
        Closed,
        Shut,
        "those that wait are dropped, the session is closed for good as well",
        ~LASTS_ALREADY & SOME,
        Closed,
        (EndTurn, NoteClosed, Reply),
        (EndTurn,),
    ),
)

#: A turn that waits is moved, or edited.
CHANGES = (
    *_stays((Idle, Closed), Rearrange, "refused: the turn does not wait", ALWAYS, Refuse),
    *_stays(BUSY, Rearrange, "refused: the turn does not wait behind others", MISPLACED, Refuse),
    *_notes(BUSY, Rearrange, "the turn says something else", EDITS, (EditWaiting, Reply)),
    Row(
        Queued,
        Rearrange,
        "the turn starts",
        MOVES & ~CALLED,
        Running,
        (StartTurn, Reply, AnnouncePlaces, Reply),
        (SetTimer,),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn has another place",
        MOVES_BEHIND & CALLED,
        Queued,
        (MoveWaiting, AnnouncePlaces, SetTimer, Reply),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn takes the place of the one called up",
        MOVES_UP & CALLED,
        Running,
        (EndTurn, StartTurn, Reply, AnnouncePlaces, Reply),
        (SetTimer,),
    ),
    Row(
        Running,
        Rearrange,
        "the turn has another place",
        MOVES_BEHIND,
        Running,
        (MoveWaiting, AnnouncePlaces, Reply),
        (SetTimer,),
    ),
    Row(
        Running,
        Rearrange,
        "the turn supersedes",
        MOVES_UP,
        Ending,
        (CancelTurn, SetTimer, MoveWaiting, AnnouncePlaces, SetTimer, Reply),
    ),
    Row(
        Ending,
        Rearrange,
        "the turn has another place",
        MOVES_BEHIND,
        Ending,
        (MoveWaiting, AnnouncePlaces, SetTimer, Reply),
    ),
    Row(
        Ending,
        Rearrange,
        "the turn waits for the same end",
        MOVES_UP & ~CALLED,
        Ending,
        (MoveWaiting, AnnouncePlaces, SetTimer, Reply),
    ),
    Row(
        Ending,
        Rearrange,
        "the turn takes the place of the one called up",
        MOVES_UP & CALLED,
        Ending,
        (EndTurn, MoveWaiting, AnnouncePlaces, SetTimer, Reply),
        (Reply,),
    ),
)


def _resumes(state: type[State], name: str, when: When, *ended: type[Effect]) -> Iterator[Row]:
    """What follows once it is known which turns go on: the first starts, or they wait, or there are none."""
    words = f"{name}, " if name else ""
    may: Kinds = (EndTurn, NoteLateEnd)
    yield Row(
        state,
        Recover,
        f"{words}the next one starts",
        when & RESUMES,
        Running,
        (*ended, StartTurn, Reply),
        (*may, SetTimer, AnnouncePlaces),
    )
    yield Row(state, Recover, f"{words}others wait on", when & LINGERS, Queued, (*ended, SetTimer), may)
    over = ended or (EndTurn,)
    yield Row(state, Recover, f"{words}none waits any more", when & NONE_GOES_ON, Idle, over, may)


#: The process is gone, and another one has loaded the session.
RECOVERIES = (
    *_stays((Idle, Closed), Recover, "nothing was cut off", ~FLED),
    Row(Idle, Recover, "what was given up has ended", FLED, Idle, (NoteLateEnd,), (NoteLateEnd,)),
    Row(Closed, Recover, "what was given up has ended", FLED, Closed, (NoteLateEnd,), (NoteLateEnd,)),
    *_resumes(Queued, "", ALWAYS),
    Row(
        Running,
        Recover,
        "the turn waits for its next attempt",
        AGAIN,
        Queued,
        (EndAttempt, SetTimer),
        (EndTurn, NoteLateEnd),
    ),
    *_resumes(Running, "the turn was interrupted", ~AGAIN, EndTurn),
    *_resumes(Ending, "the turn was interrupted", ~UNDONE, EndTurn),
)

ROWS: tuple[Row, ...] = (
    *SENDS,
    *ROLLBACKS,
    *STOPS,
    *TICKS,
    *REPORTS,
    *UNDOING,
    *SHUTS,
    *CHANGES,
    *RECOVERIES,
)
