"""Which turns a bulk cancel is about."""

import math
from typing import Any

import pytest

from tests import turns
from tests.fakes import FOREVER, ScriptedAgent, opened
from tests.turns import memory, spec
from turnkeeper.actors.model.exceptions import InvalidRequest, UnknownAgent
from turnkeeper.actors.model.messages import CancelMany
from turnkeeper.actors.model.records import HOST, Asker, SessionId, TurnHead, TurnId, TurnRecord
from turnkeeper.actors.model.words import Strategy, TurnStatus
from turnkeeper.actors.registry.bulk.which import LIVE, MOST, Which, limit_of, live_turns
from turnkeeper.actors.registry.directory import PASS, Directory, Entry

ADA, ADMIN = Asker("ada"), Asker("root", sees_all=True)
NOW = 1_000.0
S = SessionId("s")


def which(asker: Asker = HOST, **said: Any) -> Which:
    return Which.of(CancelMany(asker, **said), ("default", "coder"), NOW)


def refused(**said: Any) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        which(**said)
    return caught.value.field


def turn(
    agent: str = "default",
    status: TurnStatus = TurnStatus.RUNNING,
    strategy: Strategy = Strategy.INTERRUPT,
    at: float = 0.0,
) -> TurnRecord:
    return TurnRecord(TurnHead(TurnId("t"), "ada", agent, at, strategy=strategy), 1, status)


# -- What may be said -------------------------------------------------------------------------------


def test_something_must_say_which_turns() -> None:
    assert refused() == "all"
    assert refused(all=False, dry_run=True, limit=5, as_of=5.0) == "all"
    assert which(all=True).takes(S, turn())


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("all", [1, "true", None]),
        ("sessions", [("a b",), ("turns",), (1,)]),
        ("turns", [("s", "t"), ("st",), (["s", "t"],), (("s", "t", "u"),), (1,)]),
        ("owner", [1, b"ada", ["ada"]]),
        ("state", ["", "completed", "Running", 1, TurnStatus.FAILED]),
        ("queue", ["", "drop", 1]),
        ("strategy", ["", "queue", 1, []]),
        ("older_than", [-1, math.nan, math.inf, "5", True, []]),
        ("as_of", [math.nan, math.inf, "5", True, []]),
    ],
)
def test_a_filter_that_breaks_its_rule_is_refused_and_named(field: str, said: list[Any]) -> None:
    for each in said:
        found = refused(**{"agent": "coder", field: each})
        assert found == {"sessions": "session_id"}.get(field, field), each


@pytest.mark.parametrize("agent", ["", "nobody", 1, [], "x" * 100_000])
def test_an_unknown_agent_is_refused(agent: Any) -> None:
    with pytest.raises(UnknownAgent) as caught:
        which(agent=agent)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True, []])
def test_a_limit_that_is_no_number_of_turns_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        limit_of(CancelMany(limit=limit))
    assert caught.value.field == "limit"
    assert (limit_of(CancelMany()), limit_of(CancelMany(limit=1))) == (MOST, 1)


# -- Turns ------------------------------------------------------------------------------------------


def test_every_filter_must_let_a_turn_through() -> None:
    meant = which(agent="coder", state="queued", strategy="reject", older_than=100)
    right: dict[str, Any] = {
        "agent": "coder",
        "status": TurnStatus.QUEUED,
        "strategy": Strategy.REJECT,
        "at": NOW - 100,
    }
    assert meant.takes(S, turn(**right))
    for wrong in (
        {"agent": "default"},
        {"status": TurnStatus.RUNNING},
        {"strategy": Strategy.INTERRUPT},
        {"at": NOW - 99},
    ):
        assert not meant.takes(S, turn(**{**right, **wrong}))


@pytest.mark.parametrize("state", LIVE)
def test_each_state_of_a_turn_that_has_not_ended_can_be_meant(state: TurnStatus) -> None:
    assert [status for status in LIVE if which(state=state.value).takes(S, turn(status=status))] == [state]


def test_a_turn_that_was_sent_after_the_snapshot_is_never_meant() -> None:
    assert which(all=True).takes(S, turn(at=NOW))
    assert not which(all=True).takes(S, turn(at=NOW + 0.001))


def test_a_snapshot_of_before_can_be_taken_up_and_none_of_later() -> None:
    before = which(as_of=NOW - 10, all=True, older_than=5)
    assert (before.takes(S, turn(at=NOW - 15)), before.takes(S, turn(at=NOW - 14))) == (True, False)
    assert which(as_of=NOW + 10, all=True).as_of == NOW


def test_other_users_sessions_are_an_admins_to_stop() -> None:
    assert which(ADA, all=True).takes_session(S, "ada")
    assert not which(ADA, all=True).takes_session(S, "bob")
    assert not which(ADA, owner="bob").takes_session(S, "bob")
    assert which(ADMIN, all=True).takes_session(S, "bob")
    assert which(ADMIN, owner="bob").takes_session(S, "bob")
    assert not which(ADMIN, owner="bob").takes_session(S, "ada")


def test_turns_can_be_named_each_in_its_session() -> None:
    meant = which(turns=(("s", "t"), ("x", "other")), sessions=("s", "y"))
    assert meant.takes(S, turn())
    assert not meant.takes(SessionId("x"), turn())
    assert meant.takes_session(S, "ada")
    assert not meant.takes_session(SessionId("x"), "ada")


# -- Sessions ---------------------------------------------------------------------------------------


def busy(directory: Directory, session: str, owner: str) -> None:
    """A session in which a turn runs."""
    home = memory(owner, session=session)
    entry = Entry(home.home.session_id, turns.running(spec("t0", session=session), 1, memory=home), 0.0)
    directory.add(entry, owner)
    entry.actor = object()
    assert directory.report(entry.actor, entry.state, 0.0)


def test_the_sessions_looked_at_are_the_users_own_or_all_that_are_busy_and_each_once() -> None:
    directory = Directory()
    for number in range(3):
        busy(directory, f"a{number}", "ada")
    busy(directory, "b", "bob")
    assert which(ADA, all=True).candidates(directory) == ["a0", "a1", "a2"]
    assert which(ADMIN, owner="bob").candidates(directory) == ["b"]
    assert sorted(which(ADMIN, all=True).candidates(directory)) == ["a0", "a1", "a2", "b"]
    assert which(ADA, sessions=("x", "b", "x")).candidates(directory) == ["x", "b"]
    assert which(ADA, turns=(("a", "t"), ("a", "u"))).candidates(directory) == ["a"]
    assert which(ADA, owner="bob").candidates(directory) == ["a0", "a1", "a2"]


def test_of_a_user_with_very_many_sessions_only_busy_ones_are_looked_at() -> None:
    directory = Directory()
    for number in range(PASS + 1):
        busy(directory, f"a{number}", "ada")
    busy(directory, "b", "bob")
    found = which(ADA, all=True).candidates(directory)
    assert len(found) == len(set(found)) == PASS + 2


async def test_the_turns_that_wait_come_before_the_one_that_they_wait_for() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        await registry.send("s", "one", turn_id="t0")
        await agent.run()
        await registry.send("s", "two", turn_id="t1", wait=False)
        found = [(turn.turn_id, turn.status) for turn in live_turns(registry.directory, SessionId("s"))]
        assert found == [("t1", TurnStatus.QUEUED), ("t0", TurnStatus.CANCELLING)]
        assert list(live_turns(registry.directory, SessionId("x"))) == []
