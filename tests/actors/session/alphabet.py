"""What may happen to a session in the search: the messages, and what happens to it without one."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from tests.actors.session.facts import Facts, Rung
from turnkeeper.actors.model.exceptions import TooManyTurns
from turnkeeper.actors.model.messages import Recover, Shut, Stop, Submit, Tick, TurnEnded, WoundUp
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import (
    Outcome,
    Raised,
    Reason,
    Returned,
    SessionId,
    Stopped,
    TurnHead,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, OnRestart, Strategy, TurnStatus, WhoMayStop
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import Closed, Idle, Limits, State

START = 1_000.0
GRACE = 4.0
TIMEOUT = 3.0
EARLY_TTL = 30.0
RETENTION = 3_600.0
SESSION = SessionId("s")
#: The user whose session it is, and an admin who sends what only they may stop.
OWNER, OTHER = "u", "root"
#: What becomes of the turns of each agent after a restart, as was decided when they were sent. "gone" is an
#: agent of the process before.
POLICIES = {"goes on": OnRestart.CONTINUE, "begins again": OnRestart.RERUN, "ends": OnRestart.INTERRUPT}
#: Enough of each to find them, and to see one forgotten: by number, and of the turns some by age.
LIMITS = Limits(
    kept_turns=3,
    turn_retention=RETENTION,
    early_cancels=2,
    early_cancel_ttl=EARLY_TTL,
    quarantined=2,
    result=1_000,
    agents=frozenset(POLICIES),
)


BACKOFF = 1.0
#: The same where there is a journal.
DURABLE = replace(LIMITS, durable=True, attempts=2, backoff=BACKOFF)


class Happening(Enum):
    """What happens to a session beside its messages."""

    FAILURE = "its actor fails"
    SLEEP = "it sleeps and wakes"
    REOPENING = "it is forgotten, and opened again"


class Letter(NamedTuple):
    """One thing that may happen next: after ``delay`` seconds, this."""

    name: str
    message: Message | Happening
    delay: float = 0.0
    #: What the process sets that loads the session.
    limits: Limits | None = None


class Address:
    """Where an asker waits."""

    def __init__(self, name: object) -> None:
        self.name = name

    def set(self, value: Any = None, /) -> None:
        raise AssertionError("the core never answers an asker itself")

    def __repr__(self) -> str:
        return f"<asker {self.name}>"


def _spec(
    turn_id: str,
    agent: str,
    *,
    user: str = OWNER,
    who_may_stop: WhoMayStop = WhoMayStop.OWNER,
    timeout: float | None = None,
    fingerprint: bytes | None = None,
) -> TurnSpec:
    policy = Policy(on_restart=POLICIES.get(agent, OnRestart.RERUN), who_may_stop=who_may_stop)
    head = TurnHead(TurnId(turn_id), user, agent, START, fingerprint, policy.strategy, policy)
    return TurnSpec(head, SESSION, "hi", timeout, GRACE, ended_to=Address(f"for the end of {turn_id}"))


INTERRUPT, REJECT, ROLLBACK = Strategy.INTERRUPT, Strategy.REJECT, Strategy.ROLLBACK
A = _spec("a", "gone", fingerprint=b"1")
A_OTHER = _spec("a", "gone", fingerprint=b"2")
B = _spec(
    "b",
    "begins again",
    user=OTHER,
    who_may_stop=WhoMayStop.SENDER,
    fingerprint=b"1",
    timeout=TIMEOUT,
)
#: Sends whose ids the server chose: always one that is not in use.
SERVER_SPECS = tuple(_spec(f"s{n}", "goes on" if n % 2 else "ends") for n in range(1, 20))
#: The turn ids that stand for no more than themselves: no letter names them.
RENAMED = frozenset(spec.turn_id for spec in SERVER_SPECS)
ASKERS = tuple(Address(n) for n in range(20))

USER = Reason(CancelCode.USER_REQUEST, OWNER)
ADMIN = Reason(CancelCode.ADMIN, "root")
GONE = Reason(CancelCode.CLIENT_DISCONNECTED)
POLICY = Reason(CancelCode.POLICY)
CLOSE = Reason(CancelCode.SESSION_CLOSED, "u")
SHUTDOWN = Reason(CancelCode.SHUTDOWN)
OUTCOMES: tuple[tuple[str, Outcome], ...] = (
    ("returned", Returned("r")),
    ("raised", Raised(ValueError("v"))),
    ("stopped", Stopped()),
)
#: When a turn that ends has emitted its first event.
SAID = START + 0.5

NO_ROOM = TooManyTurns("no room")
#: What is left in the log of a turn that the session has let go of.
PAST = TurnRecord(A.head, 1, TurnStatus.COMPLETED, ended_at=START, began=True)

#: What may happen whatever the session is doing.
ALWAYS = (
    Letter("send a", Submit(A, INTERRUPT)),
    Letter("send a, rejecting, not waiting", Submit(A, REJECT, wait=False)),
    Letter("send a, without room", Submit(A, INTERRUPT, no_room=NO_ROOM)),
    Letter("send b, not waiting", Submit(B, INTERRUPT, wait=False)),
    Letter("send b, rejecting", Submit(B, REJECT)),
    Letter("stop", Stop(None, USER)),
    Letter("stop, not waiting", Stop(None, USER, wait=False)),
    Letter("stop as an admin", Stop(None, ADMIN)),
    Letter("stop, the client has gone", Stop(None, GONE, wait=False)),
    Letter("stop a", Stop(TurnId("a"), USER)),
    Letter("stop b", Stop(TurnId("b"), USER)),
    Letter("stop as the owner", Stop(None, USER, asker=OWNER)),
    Letter("stop b as the owner", Stop(TurnId("b"), USER, asker=OWNER)),
    Letter("stop if another turn matches", Stop(None, USER, if_match="x")),
    Letter("close", Shut(CLOSE)),
    Letter("shut down within 1 s", Shut(SHUTDOWN, 1.0)),
    Letter("tick", Tick(SAID, began=True)),
)
#: Where there is no journal, the actor's failure ends all there is.
FAILS = Letter("the actor fails", Happening.FAILURE)
#: Where there is one, another process loads the session: or the same one, when the actor has failed.
RESTART = Letter("its process ends, another one loads it", Recover())
OTHER_AGENTS = Letter(
    "its process ends, one with other agents loads it", Recover(), limits=replace(DURABLE, agents=frozenset())
)


def letters(state: State, facts: Facts, now: float) -> list[Letter]:
    """All that may happen next, aimed at the turns there are."""
    return [
        *ALWAYS,
        *_restarts(state, facts),
        *_sends(facts),
        *_aimed_stops(facts),
        *_ends(facts),
        *_undoing(facts),
        *_ticks(facts, now),
        *_rests(state, facts),
    ]


def _restarts(state: State, facts: Facts) -> Iterator[Letter]:
    if not state.memory.home.limits.durable:
        yield FAILS
        return
    yield RESTART
    if facts.front is not None and facts.front.attempt > 1:
        yield OTHER_AGENTS


def _sends(facts: Facts) -> Iterator[Letter]:
    spec = _unused(facts)
    yield Letter("send", Submit(spec, INTERRUPT))
    yield Letter("send, not waiting", Submit(spec, INTERRUPT, wait=False))
    yield Letter("send, rejecting", Submit(spec, REJECT))
    yield Letter("send if another turn matches", Submit(spec, INTERRUPT, if_match="x"))
    current = facts.current()
    if current is not None:
        yield Letter("send if the turn matches", Submit(spec, INTERRUPT, if_match=current))
    for stale in _stale(facts):
        yield Letter("send if an older turn matches", Submit(spec, INTERRUPT, if_match=stale))
    if facts.record(A.turn_id) is not None:
        # Where a is unknown, this would be a by another name.
        yield Letter("send another a", Submit(A_OTHER, INTERRUPT))
        yield Letter("send a if another turn matches", Submit(A, INTERRUPT, if_match="x"))
    else:
        yield Letter("send a, which the log knows", Submit(A, INTERRUPT, if_match="x", past=PAST))
        yield Letter("send another a, which the log knows", Submit(A_OTHER, INTERRUPT, past=PAST))
    if any(early.turn_id == A.turn_id for early in facts.early):
        yield Letter("send a after the early cancel's time", Submit(A, INTERRUPT), delay=EARLY_TTL)


def _stale(facts: Facts) -> Iterator[TurnId]:
    """The newest turn that is known, and is not the session's current or last one."""
    current = facts.current()
    for record in reversed((*(fled.record for fled in facts.fled), *facts.kept)):
        if record.turn_id != current:
            yield record.turn_id
            return


def used_ids(facts: Facts) -> set[TurnId | None]:
    """The ids of all turns that something is known of."""
    used: set[TurnId | None] = {turn.turn_id for turn in facts.line}
    for record in (*facts.kept, *(fled.record for fled in facts.fled)):
        used |= {record.turn_id, record.superseded_by, record.merged_into}
    for asked in facts.asked:
        used.update(asked.cleared)
    if facts.holder is not None:
        used.add(facts.holder.turn_id)
    return used


def _unused(facts: Facts) -> TurnSpec:
    """One whose server-chosen id nothing knows: reusing a forgotten one is a renaming.

    Of which agent depends on how many ids are known, and not on which.
    """
    used = used_ids(facts)
    of_agent = SERVER_SPECS[len(used) % 2 :: 2]
    return next(spec for spec in of_agent if spec.turn_id not in used)


def _aimed_stops(facts: Facts) -> Iterator[Letter]:
    """Stops aimed at the holder, the successor and a finished turn, where none of `ALWAYS` is."""
    aims = {
        "the holder": facts.holder and facts.holder.turn_id,
        "the successor": facts.front and facts.front.turn_id,
        "a finished one": facts.kept[-1].turn_id if facts.kept else None,
        "a quarantined one": facts.fled[-1].record.turn_id if facts.fled else None,
    }
    for name, aim in aims.items():
        if aim is not None and aim not in (A.turn_id, B.turn_id):
            yield Letter(f"stop {name}", Stop(aim, USER))
    if facts.holder is not None:
        yield Letter("stop the holder, not waiting", Stop(facts.holder.turn_id, USER, wait=False))
        yield Letter("stop the holder if it matches", Stop(None, POLICY, if_match=facts.holder.turn_id))
        if facts.due() is not None:
            yield Letter("stop the holder, late", Stop(facts.holder.turn_id, USER), delay=GRACE)
    if facts.front is not None and facts.front.spec.turn_id == B.turn_id:
        yield Letter("stop as the owner, not waiting", Stop(None, USER, wait=False, asker=OWNER))
    if facts.front is not None:
        yield Letter("stop the successor, not waiting", Stop(facts.front.turn_id, POLICY, wait=False))
    for record in facts.kept[-1:]:
        yield Letter("stop a finished one, not waiting", Stop(record.turn_id, USER, wait=False))
    for stale in _stale(facts):
        yield Letter("stop if an older turn matches", Stop(None, USER, if_match=stale))
    if len(facts.early) == LIMITS.early_cancels:
        yield Letter("stop another that is not known", Stop(TurnId("c"), USER))


def _ends(facts: Facts) -> Iterator[Letter]:
    for name, outcome in OUTCOMES:
        if facts.holder is not None:
            yield Letter(f"the holder {name}", TurnEnded(facts.epoch, outcome, SAID, began=True))
        if facts.over is not None:
            yield Letter(f"a finished one {name}", TurnEnded(facts.over, outcome))
        for n, fled in enumerate(facts.fled):
            yield Letter(f"the quarantined {n} {name}", TurnEnded(fled.epoch, outcome))
    if facts.holder is not None and facts.due() is not None:
        # The report and the timer race: the report is first, at a moment when the timer was due.
        yield Letter(
            "the holder stopped, late", TurnEnded(facts.epoch, Stopped(), SAID, began=True), delay=GRACE
        )
    if facts.holder is not None and facts.kept:
        # Long enough for all that ended before this moment to be let go of, and for nothing that ends in it.
        yield Letter(
            "the holder returned, long after", TurnEnded(facts.epoch, Returned("r")), delay=RETENTION
        )


def _undoing(facts: Facts) -> Iterator[Letter]:
    """A send that rolls back, and what becomes of that."""
    if facts.holder is not None or facts.front is not None:
        yield Letter("send, rolling back", Submit(_unused(facts), ROLLBACK))
        yield Letter("send, rolling back, not waiting", Submit(_unused(facts), ROLLBACK, wait=False))
    yield from wound_up(facts)


def wound_up(facts: Facts) -> Iterator[Letter]:
    """The reports that a turn has been undone: the one that is, one too soon, and one that is over."""
    if facts.winds is not None:
        yield Letter("it is undone", WoundUp(facts.epoch))
        yield Letter("it is undone in part", WoundUp(facts.epoch, 1))
    elif facts.undo:
        yield Letter("it is undone too soon", WoundUp(facts.epoch))
    if facts.over is not None:
        yield Letter("a finished one is undone", WoundUp(facts.over))


def _ticks(facts: Facts, now: float) -> Iterator[Letter]:
    """The due tick comes at its moment; a loop that was blocked delivers it long after."""
    if facts.timer is not None:
        due = max(0.0, facts.timer - now)
        yield Letter("the due tick", Tick(SAID, began=True), delay=due)
        yield Letter("the due tick, late", Tick(SAID, began=True), delay=2 * GRACE)
        if facts.rung is Rung.FIRST:
            yield Letter("the due tick, a little late", Tick(SAID, began=True), delay=due + GRACE / 8)


def _rests(state: State, facts: Facts) -> Iterator[Letter]:
    """What the registry does with a session that has nothing to do."""
    if isinstance(state, Idle | Closed) and not facts.fled:
        if facts.kept or facts.early:
            yield Letter("it sleeps for long", Happening.SLEEP, delay=RETENTION)
        if facts.last_epoch:
            yield Letter("it is forgotten, and opened again", Happening.REOPENING)
