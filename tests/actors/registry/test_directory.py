"""Which sessions there are, who may see them, and who is due for what."""

from tests import turns
from tests.turns import memory, record, spec
from turnkeeper.actors.model.messages import ActiveTurn
from turnkeeper.actors.model.records import HOST, Asker, Reason, SessionId
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.registry.directory import Directory, Entry
from turnkeeper.actors.session.states import Cancelling, Closed, Idle, Running, State

ADA, BOB, ADMIN = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)
TTL, RETENTION = 300.0, 3600.0
LOST = record("t", 1, TurnStatus.UNRESPONSIVE)


def idle(session: str, owner: str = "ada", *, epoch: int = 0, quarantined: int = 0) -> Idle:
    return Idle(memory(owner, session=session, last_epoch=epoch, quarantined=(LOST,) * quarantined))


def running(session: str, owner: str = "ada", *, epoch: int = 1) -> Running:
    sent = spec("t", session=session, user=owner, agent="default", submitted_at=0.0)
    return turns.running(sent, epoch, started_at=0.0, memory=memory(owner, session=session))


def cancelling(session: str) -> Cancelling:
    return turns.cancelling(running(session), Reason(CancelCode.USER_REQUEST))


def closed(session: str) -> Closed:
    return Closed(idle(session).memory, Reason(CancelCode.SESSION_CLOSED))


def entered(directory: Directory, session: str, now: float = 0.0, owner: str = "ada") -> Entry:
    """A session that has just been opened."""
    entry = Entry(SessionId(session), owner, idle(session, owner), now)
    directory.add(entry)
    entry.actor = object()
    return entry


def changed(directory: Directory, entry: Entry, state: State, now: float) -> None:
    """The session's actor reports this state."""
    assert directory.report(entry.actor, state, now)


def asleep(directory: Directory, session: str, now: float, state: State | None = None) -> Entry:
    """A session whose actor has stopped."""
    entry = entered(directory, session, now)
    directory.slept(entry, state or entry.state, None)
    return entry


def listed(directory: Directory, asker: Asker = HOST) -> list[ActiveTurn]:
    return list(directory.listed(list(directory.active.values()), asker))


def due(directory: Directory, now: float) -> list[str]:
    """Who is put to sleep now."""
    return [each.session_id for each in directory.longest_idle(now, TTL) if directory.may_sleep(each)]


def forgotten(directory: Directory, now: float) -> list[str]:
    """Who is forgotten now."""
    idle = directory.longest_idle(now, TTL)
    return [each.session_id for each in idle if directory.may_be_forgotten(each, now, RETENTION)]


# -- Whose it is ------------------------------------------------------------------------------------


def test_a_session_is_found_by_its_owner_and_by_those_who_see_all_and_by_nobody_else() -> None:
    """G12."""
    directory = Directory()
    entry = entered(directory, "s1")
    assert directory.find("s1", ADA) is entry
    assert directory.find("s1", ADMIN) is entry
    assert directory.find("s1", HOST) is entry
    assert directory.find("s1", BOB) is None
    assert directory.find("s2", ADA) is None


def test_what_is_not_a_text_names_no_session() -> None:
    directory = Directory()
    assert directory.find(None, HOST) is None
    assert directory.find(["s1"], HOST) is None


# -- Which are active -------------------------------------------------------------------------------


def test_a_session_is_active_while_a_turn_holds_it() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    assert list(directory.resting) == ["s1"]
    changed(directory, entry, running("s1"), 1.0)
    assert list(directory.active) == ["s1"]
    assert not directory.resting
    changed(directory, entry, idle("s1"), 2.0)
    assert not directory.active
    assert list(directory.resting) == ["s1"]


def test_quarantined_turns_and_subscribers_are_counted() -> None:
    directory = Directory()
    first, second = entered(directory, "s1"), entered(directory, "s2")
    first.actor, second.actor = "first", "second"
    changed(directory, first, idle("s1", quarantined=2), 1.0)
    changed(directory, second, idle("s2", quarantined=1), 1.0)
    directory.followed("first", first.session_id, 3, 1.0)
    directory.followed("second", second.session_id, 1, 1.0)
    directory.followed("another user", second.session_id, 7, 1.0)
    assert (directory.unresponsive, directory.subscribers) == (3, 4)
    changed(directory, first, idle("s1", quarantined=1), 2.0)
    assert (directory.unresponsive, directory.subscribers) == (2, 4)
    directory.followed("first", first.session_id, 0, 2.0)
    directory.remove(second)
    assert (directory.unresponsive, directory.subscribers) == (1, 0)


# -- Sleep ------------------------------------------------------------------------------------------


def test_sessions_without_anything_to_do_are_due_for_sleep_the_longest_idle_first() -> None:
    """G8."""
    directory = Directory()
    for n, session in enumerate(["s1", "s2", "s3"]):
        entered(directory, session, float(n))
    changed(directory, directory.entries[SessionId("s1")], idle("s1"), 2.5)
    assert due(directory, TTL) == []
    assert due(directory, TTL + 1) == ["s2"]
    assert due(directory, TTL + 3) == ["s2", "s3", "s1"]


def test_neither_the_active_nor_the_followed_nor_the_quarantined_are_due_for_sleep() -> None:
    directory = Directory()
    states: dict[str, State] = {"s1": running("s1"), "s2": idle("s2"), "s3": idle("s3", quarantined=1)}
    for session, state in states.items():
        changed(directory, entered(directory, session), state, 0.0)
    directory.entries[SessionId("s2")].actor = "its actor"
    directory.followed("its actor", SessionId("s2"), 1, 0.0)
    entered(directory, "s4").parked_mail = []
    entered(directory, "s5")
    assert due(directory, 10 * TTL) == ["s5"]


def test_a_session_that_sleeps_keeps_what_it_remembers_and_wakes_again() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    log, actor = object(), object()
    directory.slept(entry, idle("s1", epoch=7), log)
    assert (entry.actor, entry.log, list(directory.asleep)) == (None, log, ["s1"])
    assert due(directory, 10 * TTL) == []
    directory.woke(entry, actor)
    assert (entry.actor, entry.log, list(directory.asleep)) == (actor, None, [])
    assert list(directory.resting) == ["s1"]


def test_one_who_was_touched_while_others_were_looked_at_is_not_due_any_more() -> None:
    """G9: a pass over many has pauses, in which everything happens."""
    directory = Directory()
    for session in ("s1", "s2", "s3", "s4"):
        entered(directory, session)
    asleep(directory, "s5", 0.0)
    looking = directory.longest_idle(10 * RETENTION, TTL)
    assert next(looking).session_id == "s1"
    entries = directory.entries
    changed(directory, entries[SessionId("s2")], running("s2"), 1.0)
    directory.remove(entries[SessionId("s3")])
    directory.woke(entries[SessionId("s5")], object())
    left = list(looking)
    assert [each.session_id for each in left] == ["s2", "s3", "s4"]
    assert [each.session_id for each in left if directory.may_sleep(each)] == ["s4"]
    assert not any(directory.may_be_forgotten(each, 10 * RETENTION, RETENTION) for each in left)


# -- Forgetting -------------------------------------------------------------------------------------


def test_sleeping_sessions_are_forgotten_when_their_last_turn_is_old() -> None:
    """G8."""
    directory = Directory()
    asleep(directory, "s1", 0.0)
    asleep(directory, "s2", 10.0)
    assert forgotten(directory, RETENTION - 1) == []
    assert forgotten(directory, RETENTION) == ["s1"]
    assert forgotten(directory, RETENTION + 10) == ["s1", "s2"]


def test_closed_sessions_are_forgotten_as_soon_as_they_sleep() -> None:
    directory = Directory()
    asleep(directory, "s1", 0.0)
    asleep(directory, "s2", 0.0, closed("s2"))
    assert forgotten(directory, TTL) == ["s2"]


def test_no_session_that_is_opened_draws_an_epoch_that_a_forgotten_one_has_drawn() -> None:
    """G7: epochs only grow, whatever was forgotten in between."""
    directory = Directory()
    for session, state in (("s1", idle("s1", epoch=9)), ("s2", running("s2", epoch=4))):
        entry = entered(directory, session)
        changed(directory, entry, state, 0.0)
        directory.remove(entry)
    assert directory.epoch_floor == 9
    assert not directory.entries
    assert not directory.active


def test_a_list_tells_what_is_the_case_now_however_often_it_is_made() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    changed(directory, entry, running("s1"), 1.0)
    (first,) = listed(directory)
    assert first.turn.status is TurnStatus.RUNNING
    assert [each.turn for each in listed(directory)] == [first.turn]
    assert [each.turn for each in listed(directory, Asker(first.owner))] == [first.turn]
    assert listed(directory, Asker("another user")) == []
    changed(directory, entry, cancelling("s1"), 2.0)
    assert [each.turn.status for each in listed(directory)] == [TurnStatus.CANCELLING]
    changed(directory, entry, idle("s1"), 3.0)
    assert listed(directory) == []


def test_what_the_actor_of_another_life_reports_is_not_believed() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    entry.actor = "this one"
    assert not directory.report("another one", running("s1"), 1.0)
    assert not directory.active
    assert directory.report("this one", running("s1"), 1.0)
    assert list(directory.active) == ["s1"]


def test_who_follows_a_session_says_nothing_of_its_turn() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    entry.actor = "this one"
    changed(directory, entry, running("s1"), 1.0)
    directory.followed("this one", entry.session_id, 1, 2.0)
    assert list(directory.active) == ["s1"]
    assert not directory.resting


def test_a_session_has_been_at_rest_since_its_last_reader_left() -> None:
    directory = Directory()
    for session in ("s1", "s2"):
        entered(directory, session).actor = session
    directory.followed("s1", SessionId("s1"), 1, 1.0)
    directory.followed("s1", SessionId("s1"), 0, 5.0)
    assert due(directory, TTL) == ["s2"]
    assert due(directory, TTL + 5) == ["s2", "s1"]
