"""The transition table of a session, as data: what each message does in each state, and when.

`machine.step` decides; the table says beforehand what it may decide. The exhaustive search holds one against
the other, both ways: every transition takes exactly one row and does what that row says, and every row is
taken. `docs/explanation/state-diagram.md` is made from it.

A row says what must be done, in this order, and what may be done besides. A new state or message is a block
of rows; a new condition stands in `conditions`.
"""

from collections.abc import Iterator
from typing import Any

from turnkeeper.actors.model.messages import (
    Granted,
    Hold,
    Rearrange,
    Recover,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    TurnReturned,
    Unhold,
    WoundUp,
)
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    AskSlot,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    EditWaiting,
    Effect,
    EndAttempt,
    EndTurn,
    HoldCancel,
    LeaveSlot,
    MoveWaiting,
    NoteCancel,
    NoteClosed,
    NoteEarlyCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Refuse,
    Reply,
    ReplyPlaced,
    SetTimer,
    StartTurn,
    StopWork,
    WindUp,
)
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, Running, State

from .conditions import (
    AGAIN,
    ALWAYS,
    ASKED,
    ASKS,
    AT_CUT,
    AT_DEADLINE,
    AT_DUE,
    AT_END,
    AT_END_OVER,
    AT_FINISHED,
    AT_HALF,
    AT_HOLDER_OR_ALL,
    AT_LIMIT,
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
    FORCED,
    FREES,
    FREES_NEEDY,
    FULL,
    GRANTED,
    HANDED_OVER,
    HELD,
    HELD_BACK,
    IN_OTHERS,
    INTERRUPTS,
    JOINS,
    LASTS,
    LASTS_ALREADY,
    LEAVES,
    LINGERS,
    MAY_HOLD,
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
    OF_ASKING,
    OF_GIVEN_UP,
    OF_HOLDER,
    OF_NOTHING,
    OF_WINDING,
    PRESSED,
    PRESSES,
    QUEUES,
    READY,
    REJECTS,
    REPEATED,
    RESUMES,
    RESUMES_NEEDY,
    REUSED,
    ROLLS_BACK,
    SLOTLESS,
    SOME,
    STAYS,
    STOP_MISSES,
    STOPPED_BEFORE,
    STOPPING,
    SWELLS,
    TAKEN,
    TIMED,
    UNAIMED,
    WAITS,
    WAITS_FOR_SLOT,
    WINDS,
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


def _cancels(*rows: Row) -> Iterator[Row]:
    """The turn in flight is cancelled, as these rows say: at once, or after its critical sections."""
    for row in rows:
        must = tuple([HoldCancel if kind is CancelTurn else kind for kind in row.must])
        yield replace(row, when=row.when & ~HELD_BACK)
        name = f"{row.name}, after its critical sections"
        yield replace(row, name=name, when=row.when & HELD_BACK, must=must)


#: A send: first the gate, which is the same in every state.
SENDS = (
    *_stays(
        (Idle, Running, Ending, Closed), Submit, "the retry is answered with the status", REPEATED, Reply
    ),
    *_stays((Queued,), Submit, "the retry is answered with the status", REPEATED & ~OF_ASKING, Reply),
    *_stays((Queued,), Submit, "the retry is answered with its place", REPEATED & OF_ASKING, ReplyPlaced),
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
    Row(Idle, Submit, "the turn starts", TAKEN & AT_ONCE & SLOTLESS & ~TIMED, Running, (StartTurn, Reply)),
    Row(
        Idle,
        Submit,
        "the turn starts",
        TAKEN & AT_ONCE & SLOTLESS & TIMED,
        Running,
        (StartTurn, SetTimer, Reply),
    ),
    Row(
        Idle,
        Submit,
        "the turn waits for a slot",
        TAKEN & AT_ONCE & ~SLOTLESS,
        Queued,
        (AnnounceQueued, AskSlot, ReplyPlaced),
    ),
    Row(
        Queued,
        Submit,
        "the turn starts",
        TAKEN & AT_ONCE & ~CALLED & SLOTLESS,
        Running,
        (StartTurn, SetTimer, Reply),
    ),
    Row(
        Queued,
        Submit,
        "the turn waits for a slot",
        TAKEN & AT_ONCE & ~CALLED & ~SLOTLESS,
        Queued,
        (AnnounceQueued, AskSlot, ReplyPlaced, SetTimer),
    ),
    Row(
        Queued,
        Submit,
        "the turn takes the place of the one called up",
        TAKEN & INTERRUPTS & CALLED & SLOTLESS,
        Running,
        (EndTurn, StartTurn, Reply),
        (LeaveSlot, SetTimer),
    ),
    Row(
        Queued,
        Submit,
        "the turn takes the place of the one called up, and waits for a slot",
        TAKEN & INTERRUPTS & CALLED & ~SLOTLESS,
        Queued,
        (EndTurn, ReplyPlaced, AnnounceQueued),
        (LeaveSlot, AskSlot, SetTimer),
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
    *_cancels(
        Row(
            Running,
            Submit,
            "the turn supersedes",
            TAKEN & INTERRUPTS & WAITS,
            Ending,
            (CancelTurn, SetTimer, AnnounceQueued),
        ),
    ),
    *_cancels(
        Row(
            Running,
            Submit,
            "the turn supersedes",
            TAKEN & INTERRUPTS & ~WAITS,
            Ending,
            (CancelTurn, SetTimer, AnnounceQueued, Reply),
        ),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end",
        TAKEN & ~CLOSES & INTERRUPTS & ~CALLED & WAITS,
        Ending,
        (AnnounceQueued,),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end",
        TAKEN & ~CLOSES & INTERRUPTS & ~CALLED & ~WAITS,
        Ending,
        (AnnounceQueued, Reply),
        (NoteCancel,),
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
    *_cancels(
        Row(
            Running,
            Submit,
            "the turn supersedes, the one before it is to be undone",
            TAKEN & ROLLS_BACK & WAITS,
            Ending,
            (NoteUndo, CancelTurn, SetTimer, AnnounceQueued),
        ),
    ),
    *_cancels(
        Row(
            Running,
            Submit,
            "the turn supersedes, the one before it is to be undone",
            TAKEN & ROLLS_BACK & ~WAITS,
            Ending,
            (NoteUndo, CancelTurn, SetTimer, AnnounceQueued, Reply),
        ),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end, and has it undone",
        TAKEN & ~CLOSES & ROLLS_BACK & ~CALLED & WAITS,
        Ending,
        (NoteUndo, AnnounceQueued),
        (NoteCancel,),
    ),
    Row(
        Ending,
        Submit,
        "the turn waits for the same end, and has it undone",
        TAKEN & ~CLOSES & ROLLS_BACK & ~CALLED & ~WAITS,
        Ending,
        (NoteUndo, AnnounceQueued, Reply),
        (NoteCancel,),
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


def _joins(when: When, must: Kinds, may: Kinds = ()) -> Iterator[Row]:
    """A cancel of a turn that is on its way out."""
    drops = ", waiting turns are dropped" if EndTurn in must else ""
    yield Row(
        Ending,
        Stop,
        f"the two cancels are one{drops}",
        when & ~FORCED,
        Ending,
        must,
        (NoteCancel, *may),
    )
    yield Row(
        Ending,
        Stop,
        f"the cancel that waits is delivered{drops}",
        when & FORCED,
        Ending,
        (CancelTurn, SetTimer, *must),
        (NoteCancel, *may),
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
        (EndTurn, AnnouncePlaces, LeaveSlot),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the streams end",
        AT_WAITING_OR_ALL & DROPS & EMPTIES & PRESSES,
        Idle,
        (EndTurn, Reply, CloseStreams),
        (EndTurn, AnnouncePlaces, LeaveSlot),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the next one starts",
        AT_WAITING_OR_ALL & DROPS & FREES,
        Running,
        (EndTurn, Reply, StartTurn, Reply),
        (EndTurn, AnnouncePlaces, LeaveSlot, SetTimer),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the next one asks for a slot",
        AT_WAITING_OR_ALL & DROPS & FREES_NEEDY,
        Queued,
        (EndTurn, Reply, AskSlot),
        (EndTurn, AnnouncePlaces, LeaveSlot, MoveWaiting, SetTimer),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the others wait on",
        AT_WAITING_OR_ALL & DROPS & LEAVES & ~ASKS,
        Queued,
        (EndTurn, Reply, SetTimer),
        (EndTurn, AnnouncePlaces),
    ),
    Row(
        Queued,
        Stop,
        "waiting turns are dropped, the others wait on",
        AT_WAITING_OR_ALL & DROPS & LEAVES & ASKS,
        Queued,
        (EndTurn, Reply),
        (EndTurn, AnnouncePlaces, LeaveSlot, SetTimer),
    ),
    *_stays(EVERY, Stop, "the turn is over already", AT_FINISHED, Reply),
    *_notes(EVERY, Stop, "the cancel is kept for its send", AT_UNKNOWN, (NoteEarlyCancel, Reply)),
    *_cancels(
        Row(
            Running,
            Stop,
            "the turn is cancelled",
            AT_HOLDER_OR_ALL & ~DROPS & WAITS,
            Ending,
            (CancelTurn, SetTimer),
        ),
    ),
    *_cancels(
        Row(
            Running,
            Stop,
            "the turn is cancelled",
            AT_HOLDER_OR_ALL & ~DROPS & ~WAITS,
            Ending,
            (CancelTurn, SetTimer, Reply),
        ),
    ),
    *_cancels(
        Row(
            Running,
            Stop,
            "the turn is cancelled, waiting turns are dropped",
            AT_HOLDER_OR_ALL & DROPS & WAITS,
            Ending,
            (CancelTurn, SetTimer, EndTurn, AnnouncePlaces),
            (EndTurn,),
        ),
    ),
    *_cancels(
        Row(
            Running,
            Stop,
            "the turn is cancelled, waiting turns are dropped",
            AT_HOLDER_OR_ALL & DROPS & ~WAITS,
            Ending,
            (CancelTurn, SetTimer, EndTurn, AnnouncePlaces, Reply),
            (EndTurn,),
        ),
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
    *_joins(AT_HOLDER_OR_ALL & ~DROPS & WAITS, ()),
    *_joins(AT_HOLDER_OR_ALL & ~DROPS & ~WAITS, (Reply,)),
    *_joins(AT_HOLDER_OR_ALL & DROPS & WAITS, (EndTurn,), (EndTurn, Reply, AnnouncePlaces)),
    *_joins(AT_HOLDER_OR_ALL & DROPS & ~WAITS, (EndTurn, Reply), (EndTurn, Reply, AnnouncePlaces)),
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
            Ending,
            message,
            name + words,
            when & NOTHING & pressed,
            Idle,
            (*must, *close),
            (Reply, LeaveSlot, *may),
        )
        yield Row(
            Ending,
            message,
            f"{name}, others wait for a moment{words}",
            when & BIDES & pressed,
            Queued,
            (*must, *close, SetTimer),
            (Reply, LeaveSlot, *may),
        )
    yield Row(
        Ending,
        message,
        f"{name}, the next one starts",
        when & NEXT & READY,
        Running,
        (*must, StartTurn, Reply),
        (Reply, SetTimer, AnnouncePlaces, LeaveSlot, *may),
    )
    yield Row(
        Ending,
        message,
        f"{name}, the next one asks for a slot",
        when & NEXT & ~READY,
        Queued,
        (*must, AskSlot),
        (Reply, SetTimer, AnnouncePlaces, LeaveSlot, MoveWaiting, ReplyPlaced, *may),
    )
    yield Row(
        Ending,
        message,
        f"{name}, the session is closed",
        when & CLOSES & ~HANDED_OVER,
        Closed,
        (*must, CloseStreams),
        (Reply, NoteClosed, LeaveSlot, *may),
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
        (Reply, LeaveSlot),
    )


def _comes(name: str, when: When, *must: type[Effect]) -> Iterator[Row]:
    """One that waited for a moment has its place, and the session stays in its state."""
    for state in BUSY:
        # While a turn runs that has no timeout, or waits for a slot, there may be nothing else to wait for.
        timer = (SetTimer,) if state is Ending else ()
        when_called = when & CALLED if state is Queued and when in BY_STRATEGY else when
        yield Row(
            state,
            Tick,
            name,
            when_called,
            state,
            (*must, AnnouncePlaces, *timer),
            () if state is Ending else (SetTimer,),
        )


#: A moment that the session asked for, or any other.
TICKS = (
    *_stays((Idle, Closed), Tick, "nothing is due", ALWAYS),
    *_stays((Queued,), Tick, "the tick came too soon", BEFORE_DUE, SetTimer),
    *_stays((Queued,), Tick, "nothing is due", WAITS_FOR_SLOT),
    Row(Queued, Tick, "the turn starts", AT_DUE & SLOTLESS, Running, (StartTurn, Reply), (SetTimer,)),
    Row(Queued, Tick, "the turn asks for a slot", AT_DUE & ~SLOTLESS, Queued, (AskSlot,), (SetTimer,)),
    *_stays((Running,), Tick, "nothing is due", NO_DEADLINE),
    *_stays((Running,), Tick, "the tick came too soon", BEFORE_DEADLINE, SetTimer),
    *_cancels(
        Row(Running, Tick, "the turn has used up its time", AT_DEADLINE, Ending, (CancelTurn, SetTimer))
    ),
    *_stays((Ending,), Tick, "the tick came too soon", BEFORE_RUNG, SetTimer),
    Row(
        Queued,
        Tick,
        "the turn that comes starts",
        COMES & ~CALLED & SLOTLESS,
        Running,
        (StartTurn, Reply, AnnouncePlaces),
        (SetTimer,),
    ),
    Row(
        Queued,
        Tick,
        "the turn that comes asks for a slot",
        COMES & ~CALLED & ~SLOTLESS,
        Queued,
        (MoveWaiting, AskSlot, AnnouncePlaces),
        (SetTimer,),
    ),
    Row(
        Queued,
        Tick,
        "the turn that comes takes the place of the one called up",
        COMES_TO_INTERRUPT & CALLED & SLOTLESS,
        Running,
        (EndTurn, StartTurn, Reply, AnnouncePlaces),
        (LeaveSlot, SetTimer),
    ),
    Row(
        Queued,
        Tick,
        "the turn that comes takes the place of the one called up, and waits for a slot",
        COMES_TO_INTERRUPT & CALLED & ~SLOTLESS,
        Queued,
        (EndTurn, MoveWaiting, AnnouncePlaces),
        (LeaveSlot, AskSlot, SetTimer),
    ),
    *_cancels(
        Row(
            Running,
            Tick,
            "the turn that comes supersedes",
            COMES_TO_INTERRUPT,
            Ending,
            (CancelTurn, SetTimer, MoveWaiting, AnnouncePlaces, SetTimer),
            (NoteUndo,),
        ),
    ),
    Row(
        Ending,
        Tick,
        "the turn that comes waits for the same end",
        COMES_TO_INTERRUPT & ~CALLED,
        Ending,
        (MoveWaiting, AnnouncePlaces, SetTimer),
        (NoteUndo, NoteCancel),
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
    Row(Ending, Tick, "the cancel that waits is delivered", AT_LIMIT, Ending, (CancelTurn, SetTimer)),
    Row(Ending, Tick, "the turn is cancelled again", AT_HALF & ASKED, Ending, (CancelTurn, SetTimer)),
    Row(
        Ending,
        Tick,
        "what the turn has begun is stopped by force",
        AT_HALF & ~ASKED,
        Ending,
        (StopWork, SetTimer),
    ),
    *_settles(Tick, "the turn is given up", AT_END & ~WINDS, (EndTurn, Quarantine)),
    _hands_over(Tick, "the turn is given up", AT_END & ~WINDS, (EndAttempt, Quarantine)),
    *_settles(Tick, "the turn has settled", AT_END_OVER & ~WINDS),
    _hands_over(Tick, "the turn has settled", AT_END_OVER & ~WINDS, (EndAttempt,)),
)

#: The end of a coroutine.
REPORTS = (
    Row(
        Running,
        TurnEnded,
        "the turn has ended",
        OF_HOLDER & ~WINDS & NOTHING,
        Idle,
        (EndTurn,),
        (LeaveSlot,),
    ),
    Row(
        Running,
        TurnEnded,
        "the turn has ended, others wait for a moment",
        OF_HOLDER & ~WINDS & BIDES,
        Queued,
        (EndTurn, SetTimer),
        (LeaveSlot,),
    ),
    Row(
        Running,
        TurnEnded,
        "the turn has ended, the next one starts",
        OF_HOLDER & ~WINDS & NEXT & READY,
        Running,
        (EndTurn, StartTurn, Reply, AnnouncePlaces),
        (LeaveSlot, SetTimer),
    ),
    Row(
        Running,
        TurnEnded,
        "the turn has ended, the next one asks for a slot",
        OF_HOLDER & ~WINDS & NEXT & ~READY,
        Queued,
        (EndTurn, MoveWaiting, AskSlot, AnnouncePlaces),
        (LeaveSlot, SetTimer),
    ),
    *_settles(TurnEnded, "the turn has settled", OF_HOLDER & STOPPING & ~WINDS),
    _hands_over(TurnEnded, "the turn has settled", OF_HOLDER & STOPPING & ~WINDS, (EndAttempt,)),
    *_notes(EVERY, TurnEnded, "a late end is noted", OF_GIVEN_UP, (NoteLateEnd,)),
    *_stays(EVERY, TurnEnded, "a stale report is counted", OF_NOTHING, CountStale),
)

#: What the end of a turn runs: what undoes it, for one.
WINDINGS = (
    Row(
        Running,
        TurnEnded,
        "the turn has ended, what its end runs begins",
        OF_HOLDER & WINDS,
        Ending,
        (WindUp, SetTimer),
    ),
    Row(
        Ending,
        Tick,
        "the turn is given up, what its end runs begins",
        AT_END & WINDS,
        Ending,
        (WindUp, SetTimer),
    ),
    Row(
        Ending,
        Tick,
        "the turn has ended, what its end runs begins",
        AT_END_OVER & WINDS,
        Ending,
        (WindUp, SetTimer),
    ),
    Row(
        Ending,
        TurnEnded,
        "the turn has ended, what its end runs begins",
        OF_HOLDER & STOPPING & WINDS,
        Ending,
        (WindUp, SetTimer),
    ),
    Row(
        Ending,
        TurnEnded,
        "a late end, to be noted with the turn's own",
        OF_HOLDER & FLED_BEFORE,
        Ending,
    ),
    *_stays((Ending,), TurnEnded, "a stale report is counted", OF_HOLDER & STOPPED_BEFORE, CountStale),
    *_stays((Ending,), WoundUp, "a stale report is counted", ~OF_WINDING, CountStale),
    *_stays((Idle, Queued, Running, Closed), WoundUp, "a stale report is counted", ALWAYS, CountStale),
    *_settles(WoundUp, "what its end runs has been run", OF_WINDING, may=(Quarantine, NoteLateEnd)),
    *_settles(
        Tick,
        "what its end runs is cut off",
        AT_CUT,
        (CutWinding, EndTurn),
        may=(Quarantine, NoteLateEnd),
    ),
    *(
        Row(
            state,
            Recover,
            "the turn was interrupted, what its end runs begins",
            WINDS,
            Ending,
            (WindUp, SetTimer),
            (EndTurn, NoteLateEnd),
        )
        for state in (Running, Ending)
    ),
)

#: The critical sections of a turn, and what it has begun.
SECTIONS = (
    *_notes((Running, Ending), Hold, "the critical section is granted", MAY_HOLD, (Reply,)),
    *_stays((Running, Ending), Hold, "refused: it is too late, or one too many", ~MAY_HOLD, Refuse),
    *_stays((Idle, Queued, Closed), Hold, "refused: it is too late", ALWAYS, Refuse),
    *_notes((Running,), Unhold, "the critical section is over", OF_HOLDER, (Reply,)),
    Row(
        Ending,
        Unhold,
        "the critical section is over",
        OF_HOLDER & HELD & IN_OTHERS,
        Ending,
        (SetTimer, Reply),
    ),
    Row(
        Ending,
        Unhold,
        "the cancel that waits is delivered",
        OF_HOLDER & HELD & ~IN_OTHERS,
        Ending,
        (CancelTurn, SetTimer, Reply),
    ),
    *_stays((Ending,), Unhold, "there is nothing to do", OF_HOLDER & ~HELD, Reply),
    *_stays((Running, Ending), Unhold, "there is nothing to do", ~OF_HOLDER, Reply),
    *_stays((Idle, Queued, Closed), Unhold, "there is nothing to do", ALWAYS, Reply),
    Row(
        Running,
        TurnReturned,
        "what the turn has begun is stopped",
        OF_HOLDER,
        Ending,
        (StopWork, SetTimer),
    ),
    Row(
        Ending,
        TurnReturned,
        "the cancel that waits is delivered",
        OF_HOLDER & HELD,
        Ending,
        (CancelTurn, SetTimer),
    ),
    *_stays((Ending,), TurnReturned, "it is on its way out", OF_HOLDER & ~HELD),
    *_stays((Running, Ending), TurnReturned, "a stale report is counted", ~OF_HOLDER, CountStale),
    *_stays((Idle, Queued, Closed), TurnReturned, "a stale report is counted", ALWAYS, CountStale),
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
        (EndTurn, LeaveSlot, Reply),
    ),
    Row(
        Queued,
        Shut,
        "those that wait are dropped, the session is closed for now",
        DROPS_ALL,
        Closed,
        (EndTurn, CloseStreams),
        (EndTurn, LeaveSlot, Reply),
    ),
    Row(
        Queued,
        Shut,
        "those that wait do so for another process",
        STAYS,
        Closed,
        (CloseStreams,),
        (LeaveSlot, Reply),
    ),
    *_cancels(Row(Running, Shut, "the turn is cancelled first", ~SOME, Ending, (CancelTurn, SetTimer))),
    *_cancels(
        Row(
            Running,
            Shut,
            "the turn is cancelled first, those that wait are dropped",
            SOME & ~STAYS,
            Ending,
            (EndTurn, CancelTurn, SetTimer),
            (EndTurn,),
        ),
    ),
    *_cancels(
        Row(
            Running,
            Shut,
            "the turn is cancelled first, those that wait do so for another process",
            SOME & STAYS,
            Ending,
            (CancelTurn, SetTimer),
        ),
    ),
    Row(Ending, Shut, "the session closes after its turn", ~SOME, Ending, (SetTimer,), (NoteCancel,)),
    Row(
        Ending,
        Shut,
        "those that wait are dropped",
        SOME & ~STAYS,
        Ending,
        (EndTurn, SetTimer),
        (EndTurn, Reply, NoteCancel),
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
    *_stays(BUSY, Rearrange, "refused: the turn cannot be moved or edited", MISPLACED, Refuse),
    *_stays(BUSY, Rearrange, "refused: there is no room for its message", SWELLS, Refuse),
    *_notes((Running, Ending), Rearrange, "the turn says something else", EDITS, (EditWaiting, Reply)),
    *_notes((Queued,), Rearrange, "the turn says something else", EDITS & ~ASKS, (EditWaiting, Reply)),
    *_notes((Queued,), Rearrange, "the turn says something else", EDITS & ASKS, (EditWaiting, ReplyPlaced)),
    Row(
        Queued,
        Rearrange,
        "the turn starts",
        MOVES & ~CALLED & SLOTLESS,
        Running,
        (StartTurn, Reply, AnnouncePlaces, Reply),
        (SetTimer,),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn asks for a slot",
        MOVES & ~CALLED & ~SLOTLESS,
        Queued,
        (MoveWaiting, AskSlot, AnnouncePlaces, ReplyPlaced),
        (SetTimer,),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn has another place",
        MOVES_BEHIND & CALLED & ~ASKS,
        Queued,
        (MoveWaiting, AnnouncePlaces, SetTimer, Reply),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn has another place",
        MOVES_BEHIND & ASKS,
        Queued,
        (MoveWaiting, AnnouncePlaces, ReplyPlaced),
        (SetTimer,),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn takes the place of the one called up",
        MOVES_UP & CALLED & SLOTLESS,
        Running,
        (EndTurn, StartTurn, Reply, AnnouncePlaces, Reply),
        (LeaveSlot, SetTimer),
    ),
    Row(
        Queued,
        Rearrange,
        "the turn takes the place of the one called up, and waits for a slot",
        MOVES_UP & CALLED & ~SLOTLESS,
        Queued,
        (EndTurn, MoveWaiting, AnnouncePlaces, ReplyPlaced),
        (LeaveSlot, AskSlot, SetTimer),
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
    *_cancels(
        Row(
            Running,
            Rearrange,
            "the turn supersedes",
            MOVES_UP,
            Ending,
            (CancelTurn, SetTimer, MoveWaiting, AnnouncePlaces, SetTimer, Reply),
        ),
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
        (NoteCancel,),
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
    yield Row(
        state,
        Recover,
        f"{words}the next one asks for a slot",
        when & RESUMES_NEEDY,
        Queued,
        (*ended, AskSlot),
        (*may, MoveWaiting, SetTimer, AnnouncePlaces),
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
    *_resumes(Running, "the turn was interrupted", ~AGAIN & ~WINDS, EndTurn),
    *_resumes(Ending, "the turn was interrupted", ~WINDS, EndTurn),
)

#: There is a slot.
GRANTS = (
    Row(Queued, Granted, "the turn starts", GRANTED, Running, (StartTurn, Reply), (SetTimer,)),
    *_stays((Queued,), Granted, "a stale grant is counted", ~GRANTED, CountStale),
    *_stays((Idle, Running, Ending, Closed), Granted, "a stale grant is counted", ALWAYS, CountStale),
)

ROWS: tuple[Row, ...] = (
    *SENDS,
    *ROLLBACKS,
    *STOPS,
    *TICKS,
    *REPORTS,
    *WINDINGS,
    *SECTIONS,
    *SHUTS,
    *CHANGES,
    *GRANTS,
    *RECOVERIES,
)
