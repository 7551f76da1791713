"""What a session does with a cancel, by the turn that it names and by what the session is doing."""

from turnkeeper.actors.model.messages import CancelAnswer, ReplyAddress, Stop
from turnkeeper.actors.model.records import Cancellation, Reason, TurnId, TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.consequences import CAUSES, ENDS
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    CloseStreams,
    Decision,
    Effect,
    EndTurn,
    NoteCancel,
    NoteEarlyCancel,
    Reply,
)
from turnkeeper.actors.session.holding import drop, go
from turnkeeper.actors.session.line import Line, Waiting, find, front_of, waiting_turns, without
from turnkeeper.actors.session.record import record_of, remember_cancel
from turnkeeper.actors.session.rights import may_stop
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import (
    Ask,
    Closed,
    EarlyCancel,
    Ending,
    Held,
    Holder,
    Idle,
    Memory,
    Queued,
    Running,
    State,
)
from turnkeeper.actors.session.views import find_turn, lasting_cancel, line_of


def at_rest(state: Idle | Closed, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does where no turn is in flight, and none will be."""
    left = state.left if type(state) is Closed else None
    meant, others = _meant(state, left, message)
    if type(state) is Closed and (meant is not None or others):
        memory, dropped, left = _drop(state.memory, left, meant, others, message, now)
        after = replace(state, memory=memory, left=left)
        return after, (*dropped, Reply(to, _dropped(dropped, meant, others)))
    if message.turn_id is None:
        return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
    return _other(state, message.turn_id, message, now, to)


def queued(state: Queued, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while turns only wait: the one that is meant is over at once."""
    meant, others = _meant(state, state.line, message)
    if meant is None and not others:
        if message.turn_id is None:
            return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
        return _other(state, message.turn_id, message, now, to)
    memory, dropped, line = _drop(state.memory, state.line, meant, others, message, now)
    after, effects = go(memory, line, now, None, slot_of(state))
    reply = Reply(to, _dropped(dropped, meant, others))
    if type(after) is Idle and CAUSES[message.reason.code].ends_streams:
        return after, (*dropped, *effects, reply, CloseStreams(ENDS[TurnStatus.CANCELLED].stream))
    return after, (*dropped, reply, *effects)


def running(state: Running, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while a turn runs: unless it names another one, the ladder begins."""
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        return _waiting(state, message, now, to)
    dropped: tuple[Effect, ...] = ()
    cleared: tuple[TurnId, ...] = ()
    line = state.line
    if line is not None:
        meant, others = _meant(state, line, message, state.turn)
        memory, dropped, line = _drop(state.memory, line, meant, others, message, now)
        state, cleared = replace(state, memory=memory), _ids(_both(meant, others))
    if message.force:
        state = replace(state, sections=())
    asks = (_ask(message, now, to, cleared),)
    ending, effects = ladder.enter(state, message.reason, now, asks, line)
    return ending, (*effects, *dropped, *_requested(ending, message, to, cleared))


def ending(state: Ending, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does while a turn is on its way out.

    Two cancels are one: the coroutine is not cancelled again, its ladder goes on. A cancel by force waits no
    longer for critical sections.
    """
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        return _waiting(state, message, now, to)
    gone = _both(*_meant(state, state.line, message, state.turn))
    asked = state
    dropped: tuple[Effect, ...] = ()
    if gone:
        # Over a shutdown the sender was answered already.
        memory, dropped, line = _drop(state.memory, state.line, None, gone, message, now, state.turn)
        asked = replace(state, memory=memory, line=line)
    asked, noted = ladder.asked(asked, message.reason, now)
    asked = replace(asked, asks=_joined(asked.asks, _ask(message, now, to, _ids(gone))))
    delivered: tuple[Effect, ...] = ()
    if message.force and type(asked.phase) is Held:
        asked, delivered = ladder.deliver(asked, asked.phase, now)
    noted = noted or _noted(state, message.reason, now)
    return asked, (*noted, *delivered, *dropped, *_requested(asked, message, to, _ids(gone)))


def _waiting(state: Running | Ending, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """A cancel that names another turn than the one in flight: it may be one that waits."""
    meant, others = _meant(state, state.line, message)
    if meant is None:
        assert message.turn_id is not None, "or the turn in flight would be meant"
        return _other(state, message.turn_id, message, now, to)
    memory, dropped, line = _drop(state.memory, state.line, meant, others, message, now, state.turn)
    after = replace(state, memory=memory, line=line)
    if type(after) is Ending and front_of(state.line) is not None and front_of(line) is None:
        # Nothing takes the turn's place: at its end the streams may end, too, if a person asked.
        after = replace(after, asks=_joined(after.asks, Ask(None, now, message.reason)))
    return after, (*dropped, Reply(to, _dropped(dropped, meant, others)))


# -- Those who wait -----------------------------------------------------------------------------------


def forbidden(state: State, message: Stop) -> TurnSpec | None:
    """The turn that a cancel is about, if its asker may not stop it.

    Without a name that is the turn in flight, or else the one called up: of the others, such a cancel leaves
    alone those that its asker may not stop.
    """
    turn = _aimed_at(state, message.turn_id)
    return None if turn is None or may_stop(turn, state.memory.home.owner, message.asker) else turn


def _aimed_at(state: State, named: TurnId | None) -> TurnSpec | None:
    if isinstance(state, Running | Ending) and named in (None, state.turn.spec.turn_id):
        return state.turn.spec
    line = line_of(state)
    waiting = front_of(line) if named is None else find(line, named)
    return None if waiting is None else waiting.spec


def _meant(
    state: State, line: Line | None, message: Stop, holder: Holder | None = None
) -> tuple[Waiting | None, tuple[Waiting, ...]]:
    """The waiting turn that a cancel is about, and those that it clears away as well.

    Without a name it is about the one called up. A late one, whose turn is over, clears nothing: those that
    wait came after it.
    """
    named = message.turn_id
    if message.asker is not None:
        line = _stoppable(line, state.memory.home.owner, message.asker)
    meant = front_of(line) if named is None else find(line, named)
    alive = named is None or meant is not None or (holder is not None and holder.spec.turn_id == named)
    if not message.clear or not alive:
        return meant, ()
    return meant, tuple([turn for turn in waiting_turns(line) if turn is not meant])


def _stoppable(line: Line | None, owner: str, asker: str) -> Line | None:
    """Those of the line that this user may stop."""
    for turn in waiting_turns(line):
        if not may_stop(turn.spec, owner, asker):
            line = without(line, turn)
    return line


def _drop(
    memory: Memory,
    line: Line | None,
    meant: Waiting | None,
    others: tuple[Waiting, ...],
    message: Stop,
    now: float,
    behind: Holder | None = None,
) -> tuple[Memory, tuple[Effect, ...], Line | None]:
    """Cancel these turns; what is left of the line."""
    turns = _both(meant, others)
    memory, effects = drop(memory, turns, Cancellation(message.reason, now), now, behind=behind)
    places = line is not None and any(turn is not line.front for turn in turns)
    for turn in turns:
        line = without(line, turn)
    return memory, (*effects, AnnouncePlaces()) if places else effects, line


def _dropped(effects: tuple[Effect, ...], meant: Waiting | None, others: tuple[Waiting, ...]) -> CancelAnswer:
    """The answer to a cancel of turns that waited; ``effects`` are those of their ends."""
    if meant is None:
        return CancelAnswer(Verdict.NOT_RUNNING, cleared=_ids(others))
    # Not from the memory, which may have let go of it again where many others were cleared away.
    record = next(each.record for each in effects if type(each) is EndTurn)
    return CancelAnswer(Verdict.CANCELLED, record, 0.0, cleared=_ids(others))


def _both(meant: Waiting | None, others: tuple[Waiting, ...]) -> tuple[Waiting, ...]:
    return others if meant is None else (meant, *others)


def _ids(turns: tuple[Waiting, ...]) -> tuple[TurnId, ...]:
    return tuple([turn.spec.turn_id for turn in turns])


# -- The turn in flight -------------------------------------------------------------------------------


def _noted(state: Ending, reason: Reason, now: float) -> tuple[Effect, ...]:
    """The first cancel that outlives a shutdown which had already cancelled the turn."""
    if lasting_cancel(state) is not None or not CAUSES[reason.code].lasts:
        return ()
    return (NoteCancel(state.turn.spec.turn_id, reason, now),)


def _ask(message: Stop, now: float, to: ReplyAddress | None, cleared: tuple[TurnId, ...]) -> Ask:
    """What is kept of a cancel until its turn has settled: for an answer, only if one is waited for."""
    waits = to is not None and message.wait
    return Ask(to, now, message.reason, cleared) if waits else Ask(None, now, message.reason)


def _joined(asks: tuple[Ask, ...], ask: Ask) -> tuple[Ask, ...]:
    """An asker that does not wait is kept for its reason only, and once: a flood of Stops stays small."""
    if ask.to is None and any(other.reason.code is ask.reason.code for other in asks):
        return asks
    return (*asks, ask)


def _requested(
    state: Ending, message: Stop, to: ReplyAddress | None, cleared: tuple[TurnId, ...]
) -> tuple[Effect, ...]:
    if message.wait:
        return ()
    return (Reply(to, CancelAnswer(Verdict.REQUESTED, record_of(state), cleared=cleared)),)


def said_late(effects: tuple[Effect, ...], by: float) -> tuple[Effect, ...]:
    """The same effects, performed ``by`` seconds after they were decided: early cancels last for less."""
    return tuple(_said_late(effect, by) for effect in effects)


def _said_late(effect: Effect, by: float) -> Effect:
    answer = effect.answer if type(effect) is Reply else None
    if type(effect) is not Reply or type(answer) is not CancelAnswer or answer.remembered_for is None:
        return effect
    return Reply(effect.to, replace(answer, remembered_for=max(0.0, answer.remembered_for - by)))


def _other(state: State, turn_id: TurnId, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """A cancel that names a turn which neither holds the session nor waits: it is over, or not sent yet."""
    memory = state.memory
    record = find_turn(state, turn_id)
    if record is not None:
        fled = record.status is TurnStatus.UNRESPONSIVE and record.ended_late is None
        verdict = Verdict.UNRESPONSIVE if fled else Verdict.FINISHED_FIRST
        return state, (Reply(to, CancelAnswer(verdict, record, 0.0)),)
    limits = memory.home.limits
    early = EarlyCancel(turn_id, message.reason, now, message.asker)
    kept = remember_cancel(memory.early, early, limits)
    answer = CancelAnswer(Verdict.NOT_RUNNING, remembered_for=limits.early_cancel_ttl)
    return replace(state, memory=replace(memory, early=kept)), (NoteEarlyCancel(early), Reply(to, answer))
