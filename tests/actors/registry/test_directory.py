"""Which sessions there are, who may see them, and who is due for what."""

import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tests import turns
from tests.turns import memory, record, spec
from turnkeeper.actors.admission.sleepers import Sleepers
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.model.records import HOST, Asker, Reason, SessionId
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.registry.directory import Directory, Entry, followed, may_be_forgotten
from turnkeeper.actors.session.states import Closed, Ending, Idle, Running, State
from turnkeeper.actors.session.views import InFlight

ADA, BOB, ADMIN = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)
TTL, RETENTION = 300.0, 3600.0
LOST = record("t", 1, TurnStatus.UNRESPONSIVE)


def idle(session: str, owner: str = "ada", *, epoch: int = 0, quarantined: int = 0) -> Idle:
    return Idle(memory(owner, session=session, last_epoch=epoch, quarantined=(LOST,) * quarantined))


def running(session: str, owner: str = "ada", *, epoch: int = 1, size: int = 0) -> Running:
    sent = spec("t", session=session, user=owner, agent="default", submitted_at=0.0, size=size)
    return turns.running(sent, epoch, started_at=0.0, memory=memory(owner, session=session))


def cancelling(session: str) -> Ending:
    return turns.cancelling(running(session), Reason(CancelCode.USER_REQUEST))


def closed(session: str) -> Closed:
    return Closed(idle(session).memory, Reason(CancelCode.SESSION_CLOSED))


def entered(directory: Directory, session: str, now: float = 0.0, owner: str = "ada") -> Entry:
    """A session at rest."""
    entry = opening(directory, session, now, owner)
    changed(directory, entry, entry.state, now)
    return entry


def opening(directory: Directory, session: str, now: float = 0.0, owner: str = "ada") -> Entry:
    """A session that has just been opened, for a send."""
    entry = Entry(SessionId(session), idle(session, owner), now)
    directory.add(entry, owner)
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


def listed(directory: Directory, asker: Asker = HOST) -> list[InFlight]:
    return [turn for turn in directory.in_flight(asker) if asker.may_see(turn.owner)]


def due(directory: Directory, now: float) -> list[str]:
    """Who is put to sleep now."""
    return [each.session_id for each in directory.longest_idle(now, TTL) if directory.may_sleep(each)]


def forgotten(directory: Directory, now: float) -> list[str]:
    """Who is forgotten now."""
    idle = directory.longest_idle(now, TTL)
    return [each.session_id for each in idle if may_be_forgotten(directory, each, now, RETENTION)]


# -- Whose it is ------------------------------------------------------------------------------------


def test_a_session_is_found_by_its_owner_and_by_admins_only() -> None:
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


def test_quarantined_turns_are_counted() -> None:
    directory = Directory()
    first, second = entered(directory, "s1"), entered(directory, "s2")
    changed(directory, first, idle("s1", quarantined=2), 1.0)
    changed(directory, second, idle("s2", quarantined=1), 1.0)
    assert directory.ledger.in_all.unresponsive == 3
    changed(directory, first, idle("s1", quarantined=1), 2.0)
    assert directory.ledger.in_all.unresponsive == 2
    directory.remove(second)
    assert directory.ledger.in_all.unresponsive == 1


# -- What each user has -----------------------------------------------------------------------------


def test_users_are_active_while_their_turns_are_and_those_who_wait_are_looked_at_again() -> None:
    directory = Directory()
    in_all = directory.ledger.in_all
    first, second = entered(directory, "s1"), entered(directory, "s2")
    seen = list[int]()
    for entry, state in (
        (first, running("s1")),
        (second, running("s2")),
        (first, idle("s1")),
        (second, idle("s2")),
    ):
        changed(directory, entry, state, 1.0)
        seen.append(in_all.active)
    assert seen == [1, 1, 1, 0]
    assert not in_all.moved
    holdings = directory.ledger.of("ada")
    for waiting in (1, 2):
        holdings.count_waiting(1)
        for state in (running("s1"), running("s2"), idle("s1"), idle("s2")):
            in_all.moved.clear()
            changed(directory, {"s1": first, "s2": second}[state.memory.home.session_id], state, 2.0)
            assert list(in_all.moved) == [holdings]
            assert (holdings.waiting, in_all.active) == (waiting, 1)


def test_a_session_that_is_opened_has_the_place_of_a_turn_at_once() -> None:
    """G8: many sends may be on their way to new sessions, and none has been decided."""
    directory = Directory()
    entry, ada = opening(directory, "s1"), directory.ledger.of("ada")
    assert list(directory.opening) == ["s1"]
    assert (ada.sessions, ada.turns) == (1, 1)
    changed(directory, entry, running("s1"), 1.0)
    assert (list(directory.opening), list(directory.active), ada.turns) == ([], ["s1"], 1)
    changed(directory, entry, cancelling("s1"), 2.0)
    assert ada.turns == 1
    changed(directory, entry, idle("s1"), 3.0)
    assert (list(directory.resting), ada.turns) == (["s1"], 0)
    changed(directory, entry, running("s1"), 4.0)
    assert ada.turns == 1
    assert (directory.ledger.in_all.sessions, directory.ledger.in_all.turns) == (1, 1)


def test_a_send_that_starts_nothing_gives_the_place_back() -> None:
    directory = Directory()
    entry, ada = opening(directory, "s1"), directory.ledger.of("ada")
    changed(directory, entry, idle("s1"), 1.0)
    assert (list(directory.resting), ada.turns) == (["s1"], 0)


@pytest.mark.parametrize("state", ["opening", "running", "idle"])
def test_nothing_of_a_session_counts_once_it_is_forgotten(state: str) -> None:
    directory = Directory()
    entry = opening(directory, "s1")
    entry.log = EventLog(entry.holdings)
    entry.log.append(Event("word", 1, 0, "null"), 10, 1_000)
    if state != "opening":
        changed(directory, entry, running("s1", size=9) if state == "running" else idle("s1"), 1.0)
    assert directory.ledger.in_all.kept > 0
    directory.remove(entry)
    in_all = directory.ledger.in_all
    assert (in_all.sessions, in_all.turns, in_all.kept) == (0, 0, 0)
    assert len(directory.ledger) == 0
    places = directory.opening, directory.active, directory.resting, directory.asleep
    assert not any(places)


def test_a_stream_counts_for_its_reader_until_it_is_closed_and_once() -> None:
    """G8: an admin who reads along takes nothing from a session's owner."""
    directory, first, second = Directory(), object(), object()
    entered(directory, "s1")
    directory.opened_stream(first, "root")
    directory.opened_stream(second, "ada")
    assert [directory.ledger.of(user).streams for user in ("root", "ada")] == [1, 1]
    for _ in range(2):
        directory.closed_stream(first)
    assert [directory.ledger.of(user).streams for user in ("root", "ada")] == [0, 1]
    assert directory.ledger.in_all.streams == len(directory.streams) == 1


def test_a_users_list_walks_through_that_users_sessions_only() -> None:
    """G9, G14: counted in look-ups, not in seconds."""
    directory, looked = Directory(), list[str]()

    class Watched(dict[SessionId, InFlight]):
        def get(self, key: Any, default: Any = None) -> Any:
            looked.append(key)
            return super().get(key, default)

    for n in range(100):
        changed(directory, opening(directory, f"e{n}", owner="eve"), running(f"e{n}", "eve"), 1.0)
    entered(directory, "a1")
    changed(directory, entered(directory, "a2"), running("a2"), 1.0)
    directory.active = Watched(directory.active)
    assert [turn.session_id for turn in listed(directory, ADA)] == ["a2"]
    assert looked == ["a1", "a2"]
    assert len(listed(directory, ADMIN)) == 101


def test_the_session_that_has_slept_the_longest_is_found_of_a_user_and_of_all() -> None:
    directory = Directory()
    for n, (session, owner) in enumerate([("a1", "ada"), ("b1", "bob"), ("a2", "ada"), ("a3", "ada")]):
        entered(directory, session, float(n), owner)
    entries = directory.entries
    assert directory.longest_asleep() is directory.longest_asleep("ada") is None
    for session in ("b1", "a3", "a1"):
        entry = entries[SessionId(session)]
        directory.slept(entry, entry.state, None)
    assert directory.longest_asleep() is entries[SessionId("b1")]
    assert directory.longest_asleep("ada") is entries[SessionId("a3")]
    directory.woke(entries[SessionId("a3")], object())
    assert directory.longest_asleep("ada") is entries[SessionId("a1")]
    assert directory.longest_asleep("cat") is None


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
    followed(directory, "its actor", SessionId("s2"), 1, 0.0)
    entered(directory, "s4").parked_mail = []
    entered(directory, "s5")
    assert due(directory, 10 * TTL) == ["s5"]


def test_a_session_that_sleeps_keeps_what_it_remembers_and_wakes_again() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    log, actor = object(), object()
    directory.slept(entry, idle("s1", epoch=7), log)
    assert (entry.actor, entry.log, list(directory.asleep)) == (None, log, [entry])
    assert due(directory, 10 * TTL) == []
    directory.woke(entry, actor)
    assert (entry.actor, entry.log, list(directory.asleep)) == (actor, log, [])
    assert list(directory.resting) == ["s1"]


def test_a_session_that_was_touched_while_others_were_looked_at_is_not_due_any_more() -> None:
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
    assert not any(may_be_forgotten(directory, each, 10 * RETENTION, RETENTION) for each in left)


def test_a_sweep_walks_only_to_those_that_it_hands_out() -> None:
    """G9: without a copy of all that sleep, which there may be very many of. Counted, not timed."""
    walked = 0

    class Watched(Sleepers[Entry]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Entry]:
            nonlocal walked
            for entry in super().__iter__():
                walked += 1
                yield entry

    directory = Directory()
    directory.asleep = Watched()
    for n in range(100):
        asleep(directory, f"s{n}", 0.0)
    looking = directory.longest_idle(10 * RETENTION, TTL)
    assert [next(looking).session_id for _ in range(3)] == ["s0", "s1", "s2"]
    assert walked == 3
    for gone in ("s3", "s97"):
        directory.remove(directory.entries[SessionId(gone)])
    directory.woke(directory.entries[SessionId("s2")], object())
    assert [each.session_id for each in looking] == [f"s{n}" for n in range(4, 100) if n != 97]


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


@pytest.mark.parametrize(("of_ada", "of_bob", "looked_at"), [(50, 2, 3), (2, 50, 3), (3_000, 50, 51)])
def test_a_list_of_a_users_turns_looks_at_few(of_ada: int, of_bob: int, looked_at: int) -> None:
    """G9: at no more sessions than the user has, or than are busy, and not at all of very many in one go."""
    directory = Directory()
    for n in range(of_ada):
        entered(directory, f"a{n}", owner="ada")
    for n in range(of_bob):
        entry = entered(directory, f"b{n}", owner="bob")
        changed(directory, entry, running(f"b{n}", "bob"), 1.0)
    changed(directory, directory.entries[SessionId("a1")], running("a1"), 1.0)
    assert [turn.session_id for turn in listed(directory, ADA)] == ["a1"]
    assert len(directory.in_flight(ADA)) <= looked_at


@pytest.mark.parametrize(("of_ada", "of_bob"), [(50, 2), (2, 50), (3_000, 50)])
def test_the_idle_sessions_of_a_user_are_all_among_those_that_are_looked_at(of_ada: int, of_bob: int) -> None:
    directory = Directory()
    for owner, count in (("ada", of_ada), ("bob", of_bob)):
        for n in range(count):
            entered(directory, f"{owner}{n}", owner=owner)
    changed(directory, directory.entries[SessionId("ada1")], running("ada1"), 1.0)
    found = {entry.session_id for entry in directory.idle("ada") if entry.session_id in directory.resting}
    assert found >= {f"ada{n}" for n in range(of_ada) if n != 1}
    assert len(directory.idle()) == of_ada + of_bob - 1


class Log(EventLog):
    """One that shows whether it was freed."""

    __slots__ = ("__weakref__",)


def test_a_sweep_lets_go_of_each_session_that_was_forgotten() -> None:
    """G9: else all of them are freed in one go at its end."""
    directory = Directory()
    for n in range(3):
        asleep(directory, f"s{n}", 0.0).log = Log()
    logs = weakref.WeakSet(entry.log for entry in directory.entries.values())
    for removed, entry in enumerate(directory.longest_idle(TTL + 1, TTL)):
        assert len(logs) == 3 - removed
        directory.remove(entry)
    del entry
    assert not logs


def test_a_list_shows_what_is_the_case_now_however_often_it_is_made() -> None:
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


def test_following_a_session_changes_nothing_about_its_turn() -> None:
    directory = Directory()
    entry = entered(directory, "s1")
    entry.actor = "this one"
    changed(directory, entry, running("s1"), 1.0)
    followed(directory, "this one", entry.session_id, 1, 2.0)
    assert list(directory.active) == ["s1"]
    assert not directory.resting


def test_a_session_has_been_at_rest_since_its_last_reader_left() -> None:
    directory = Directory()
    for session in ("s1", "s2"):
        entered(directory, session).actor = session
    followed(directory, "s1", SessionId("s1"), 1, 1.0)
    followed(directory, "s1", SessionId("s1"), 0, 5.0)
    assert due(directory, TTL) == ["s2"]
    assert due(directory, TTL + 5) == ["s2", "s1"]
