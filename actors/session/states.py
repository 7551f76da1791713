"""The states of a session: who holds it, and what it remembers. States are types, never flags."""

from typing import TypeAlias, final

from turnkeeper.actors.model.messages import ReplyAddress, TurnEnded
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Extras,
    Outcome,
    Reason,
    SessionId,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import OnRestart, TurnStatus

from .line import Line


@value
class Limits:
    """How much a session remembers: finished turns, for how long, and early cancels, for how long.

    Messages are joined as long as they have ``message_text`` bytes of text and ``message_parts`` parts.
    Of a turn's result it keeps at most ``result`` bytes. With ``quarantined`` turns that were given up and
    still run it takes no sends. `Settings.limits` makes it.

    ``durable``: whether there is a journal, so that turns outlive their process. Those of ``agents``, which
    are there, may then be started again as their policies say, each at most ``attempts`` times in all; the
    second time ``backoff`` seconds after the first was cut off, each later one after twice the time before.
    """

    kept_turns: int
    turn_retention: float
    early_cancels: int
    early_cancel_ttl: float
    quarantined: int
    result: int
    attempts: int = 3
    backoff: float = 1.0
    durable: bool = False
    agents: frozenset[str] = frozenset()
    message_text: int = 1_048_576
    message_parts: int = 1_000

    def on_restart_of(self, turn: TurnSpec) -> OnRestart | None:
        """What becomes of a turn when its process has ended; ``None`` if no other one can start it.

        Its agent may not be there, or what its sender has handed to it.
        """
        head = turn.head
        return turn.policy.on_restart if head.agent in self.agents and not head.needs_options else None


@value
class Home:
    """What never changes about a session."""

    session_id: SessionId
    owner: str
    limits: Limits


@value
class EarlyCancel:
    """A cancel that came before its send, ``asker`` as in `Stop`."""

    turn_id: TurnId
    reason: Reason
    asked_at: float
    asker: str | None = None


@value
class Memory:
    """What a session keeps whatever its state. ``quarantined`` turns are over but still running.

    ``results`` is about how many bytes the results and params in ``records`` take. ``last_ticket`` is the
    number of the last ticket with which it has asked for a slot.
    """

    home: Home
    last_epoch: Epoch = 0
    records: tuple[TurnRecord, ...] = ()
    early: tuple[EarlyCancel, ...] = ()
    quarantined: tuple[TurnRecord, ...] = ()
    results: int = 0
    last_ticket: int = 0


# -- The turn that holds the session ------------------------------------------------------------------


@value
class Holder:
    """The turn that holds the session, from its start to its end.

    ``queued_at`` is when it began to wait, if it had to. ``attempt`` counts its starts. ``ticket`` is the one
    of the slot in which it runs, if it needs one.
    """

    spec: TurnSpec
    epoch: Epoch
    started_at: float
    queued_at: float | None = None
    attempt: int = 1
    ticket: Ticket | None = None


@value
class Section:
    """A critical section of the turn, by the number that the turn gave it.

    A cancel waits for its end, at most until ``until``.
    """

    number: int
    until: float


@final
@value
class Held:
    """Below the first rung of the ladder: the cancel waits for critical sections to end, for one at least.

    With the last of them, or when the time of all is up, the coroutine is cancelled. It has ``grace`` seconds
    from then on.
    """

    sections: tuple[Section, ...]
    grace: float

    @property
    def until(self) -> float:
        """When the time of the last one is up."""
        return max([section.until for section in self.sections])


@final
@value
class Asked:
    """The first rung of the ladder: its coroutine has been cancelled, and is once more at ``again_at``."""

    again_at: float
    end_at: float


@final
@value
class Again:
    """The second rung: its coroutine has been cancelled twice; at ``end_at`` it is given up."""

    end_at: float


@final
@value
class Winding:
    """It has ended, or was given up, and what its end runs is being run: at most until ``until``.

    ``status`` and ``outcome`` are how it ended, ``first_event_at``, ``began`` and ``extras`` what is known of
    it besides. ``late`` is the report of one that was given up and has ended meanwhile.
    """

    until: float
    status: TurnStatus
    outcome: Outcome | None = None
    first_event_at: float | None = None
    began: bool | None = None
    extras: Extras | None = None
    late: TurnEnded | None = None


#: How far a turn is on its way out.
Phase: TypeAlias = Held | Asked | Again | Winding


# -- Those who wait for its end -----------------------------------------------------------------------


@value
class Ask:
    """A cancel of the turn in flight, answered with the verdict if ``to`` is set.

    ``cleared`` are the turns that waited and were cancelled with it.
    """

    to: ReplyAddress | None
    at: float
    reason: Reason
    cleared: tuple[TurnId, ...] = ()


@final
@value
class Closing:
    """The session is closed once its turn has settled; ``to`` are answered when it is.

    ``for_good`` is why it will still be closed after a restart, if it will: a shutdown closes it for now.
    ``by`` is the moment at which even what the turn's end runs is over, if the close says one.
    """

    reason: Reason
    to: tuple[ReplyAddress | None, ...]
    for_good: Reason | None = None
    by: float | None = None


# -- The states ---------------------------------------------------------------------------------------


@final
@value
class Idle:
    """No turn holds the session."""

    memory: Memory


@final
@value
class Queued:
    """No turn holds the session, and some wait: each for its moment.

    With a ticket that was ``asked`` for, the one that is called up waits for a slot of the server's.
    """

    memory: Memory
    line: Line
    asked: Ticket | None = None


@final
@value
class Running:
    """A turn holds the session. ``deadline`` is when its time is up, ``line`` who waits.

    ``sections`` are its critical sections, for whose end a cancel waits.
    """

    memory: Memory
    turn: Holder
    deadline: float | None
    line: Line | None = None
    sections: tuple[Section, ...] = ()


@final
@value
class Ending:
    """A turn is on its way out and still holds the session: until it settles, or is given up.

    It may be so without a ``cancellation``: its coroutine has returned, and the phases are those of what it
    had begun, or of what its end runs.
    What follows is the close, if there is a ``closing``: then those in the ``line`` wait for another process.
    ``undo`` is since when what it did is to be undone before that, if it is.
    """

    memory: Memory
    turn: Holder
    cancellation: Cancellation | None
    phase: Phase
    asks: tuple[Ask, ...] = ()
    line: Line | None = None
    closing: Closing | None = None
    undo: float | None = None


@final
@value
class Closed:
    """No turn will hold the session any more: for now, or for good if it says why.

    ``left`` are turns that wait for another process.
    """

    memory: Memory
    reason: Reason
    for_good: Reason | None = None
    left: Line | None = None


State: TypeAlias = Idle | Queued | Running | Ending | Closed
