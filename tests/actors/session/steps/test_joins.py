"""A message that collapses joins the last one of its sender that waits, and each has exactly one end."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.session.alphabet import Address
from tests.actors.session.logged import Log
from tests.planting import Bug, changed
from tests.turns import LIMITS, memory, spec
from turnkeeper.actors.journal.durable import durable, restored
from turnkeeper.actors.model.exceptions import QueueFull, TurnIdReused
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    Granted,
    Rearrange,
    Recover,
    Stop,
    Submit,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Reason, Returned, Stopped, TurnId, TurnOptions
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, MoveTo, OnCap, OnRestart, Strategy, TurnStatus, Verdict
from turnkeeper.actors.session.due import due
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    EditWaiting,
    Effect,
    EndTurn,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.line import waiting_turns
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import Ending, Idle, Limits, Queued, Running, State
from turnkeeper.actors.session.steps import sends
from turnkeeper.actors.session.views import find_turn, line_of
from turnkeeper.actors.turn.turn import text_of

LOG = Log()
START = 1_000.0
RERUN = replace(LIMITS, durable=True, agents=frozenset({"coder"}))
USER = Reason(CancelCode.USER_REQUEST, "ada")


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def more(said: str) -> dict[str, str]:
    """What joins a text: it reads as a message of its own."""
    return text(f"\n\n{said}")


@dataclass
class Session:
    """A session, its clock, and what each send was answered."""

    state: State = field(default_factory=lambda: Idle(memory()))
    now: float = START
    effects: tuple[Effect, ...] = ()
    #: What became of each turn at its end, in order.
    ends: list[tuple[str, TurnStatus]] = field(default_factory=list)
    started: list[tuple[str, Any]] = field(default_factory=list)

    def tell(self, message: Message) -> Any:
        """One step, and its answer; what its entries say is what is left."""
        before, to = self.state, Address(1)
        self.state, self.effects = step(before, message, self.now, to)
        LOG.check(before, self.state, self.effects)
        moment = due(self.state)
        timers = self.all(SetTimer)
        if timers:
            assert timers[-1].at == moment
        for effect in self.effects:
            if isinstance(effect, EndTurn):
                self.ends.append((effect.record.turn_id, effect.record.status))
            elif isinstance(effect, StartTurn):
                self.started.append((effect.spec.turn_id, effect.spec.message))
        for effect in self.effects:
            if isinstance(effect, Reply) and effect.to is to:
                return effect.answer
            if isinstance(effect, Refuse):
                return effect.error
        return None

    def send(
        self,
        turn_id: str,
        message: Any = None,
        *,
        user: str = "ada",
        agent: str = "coder",
        after: float | None = None,
        options: TurnOptions | None = None,
        fingerprint: bytes | None = None,
        params: str | None = None,
        **policy: Any,
    ) -> Any:
        own = Policy(**{"strategy": Strategy.COLLAPSE, **policy})
        said = turn_id if message is None else message
        sent = spec(
            turn_id,
            message=said,
            user=user,
            agent=agent,
            submitted_at=self.now,
            own_policy=own,
            fingerprint=fingerprint,
            params_json=params,
        )
        sent = replace(sent, options=options)
        not_before = None if after is None else self.now + after
        return self.tell(Submit(sent, own.strategy, not_before=not_before))

    def end(self) -> None:
        assert isinstance(self.state, Running)
        self.tell(TurnEnded(self.state.turn.epoch, Returned()))

    def wait(self, seconds: float) -> None:
        """Time passes, and ticks come until nothing is due."""
        self.now += seconds
        while (moment := due(self.state)) is not None and moment <= self.now:
            self.tell(Tick())

    def load(self, limits: Limits = LIMITS) -> None:
        """Another process goes on with it."""
        self.state = restored(durable(self.state), replace(self.state.memory.home, limits=limits))
        self.tell(Recover())

    def all(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def waiting(self) -> list[tuple[str, Any]]:
        return [(turn.spec.turn_id, turn.spec.message) for turn in waiting_turns(line_of(self.state))]


@pytest.fixture
def busy() -> Session:
    session = Session()
    session.send("t1")
    return session


# -- Without a window -------------------------------------------------------------------------------


def test_without_a_window_it_starts_at_once_if_nothing_is_in_its_way() -> None:
    session = Session()
    answer = session.send("t1")
    assert (answer.status, answer.merged_into) == (TurnStatus.RUNNING, None)
    assert session.started == [("t1", "t1")]


def test_the_first_waits_and_the_next_ones_join_it(busy: Session) -> None:
    first = busy.send("t2")
    assert (first.status, first.position) == (TurnStatus.QUEUED, 1)
    second = busy.send("t3")
    assert (second.status, second.merged_into, second.began) == (TurnStatus.MERGED, "t2", False)
    busy.send("t4", [{"type": "image", "url": "x"}, text("look")])
    assert busy.waiting == [("t2", [text("t2"), more("t3"), {"type": "image", "url": "x"}, more("look")])]
    busy.end()
    assert busy.started[-1] == ("t2", [text("t2"), more("t3"), {"type": "image", "url": "x"}, more("look")])
    assert busy.ends == [("t3", TurnStatus.MERGED), ("t4", TurnStatus.MERGED), ("t1", TurnStatus.COMPLETED)]


def test_a_joined_message_has_a_record_that_names_the_turn_which_has_it(busy: Session) -> None:
    busy.send("t2")
    busy.send("t3")
    assert [type(effect) for effect in busy.effects] == [EditWaiting, EndTurn, Reply]
    record = find_turn(busy.state, "t3")
    assert record is not None
    assert (record.status, record.merged_into, record.epoch) == (TurnStatus.MERGED, "t2", None)
    assert (record.began, record.ended_at, record.queued_at) == (False, busy.now, None)


@pytest.mark.parametrize(
    "other",
    [
        {"user": "eve"},
        {"agent": "poet"},
        {"strategy": Strategy.ENQUEUE},
        {"message": 7},
        {"message": {"text": "hi"}},
        {"options": TurnOptions(3)},
        {"options": TurnOptions(None, object())},
        {"params": '{"a":1}'},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_is_not_of_the_same_kind_waits_as_its_own(busy: Session, other: dict[str, Any]) -> None:
    busy.send("t2")
    assert busy.send("t3", **other).status is TurnStatus.QUEUED
    assert [turn_id for turn_id, _ in busy.waiting] == ["t2", "t3"]


def test_nothing_joins_a_message_that_is_neither_text_nor_parts(busy: Session) -> None:
    busy.send("t2", 7)
    assert busy.send("t3").position == 2
    assert busy.waiting == [("t2", 7), ("t3", "t3")]


def test_the_same_options_are_no_hindrance(busy: Session) -> None:
    context = object()
    busy.send("t2", options=TurnOptions(3, context))
    assert busy.send("t3", options=TurnOptions(3, context)).merged_into == "t2"


def test_a_message_joins_only_one_with_the_same_params(busy: Session) -> None:
    large = 10**100
    busy.send("t2", params=f'{{"a":1,"b":{large}}}')
    assert busy.send("t3", params=f'{{"b":{large},"a":1}}').merged_into == "t2"
    for number, other in enumerate((f'{{"a":true,"b":{large}}}', f'{{"a":1.0,"b":{large}}}', "{}", None)):
        assert busy.send(f"o{number}", params=other).status is TurnStatus.QUEUED
    assert busy.waiting[0] == ("t2", [text("t2"), more("t3")])


def test_what_the_params_take_counts_once_in_a_joined_message(busy: Session) -> None:
    params = '{"x":"' + "a" * 5_000 + '"}'
    busy.send("t2", params=params)
    busy.send("t3", params=params)
    (turn,) = waiting_turns(line_of(busy.state))
    assert turn.spec.size == footprint(turn.spec.message) + footprint(params)


def test_only_the_last_one_is_joined_so_that_the_order_stays(busy: Session) -> None:
    busy.send("t2", collapse_parts=2)
    busy.send("t3")
    assert busy.send("t4").status is TurnStatus.QUEUED
    assert busy.send("t5").merged_into == "t4"
    assert busy.waiting == [("t2", [text("t2"), more("t3")]), ("t4", [text("t4"), more("t5")])]


def test_it_joins_past_those_of_others(busy: Session) -> None:
    busy.send("t2")
    busy.send("e1", user="eve")
    assert busy.send("t3").merged_into == "t2"
    assert busy.send("e2", user="eve").merged_into == "e1"


def test_what_joins_needs_no_room(busy: Session) -> None:
    busy.send("t2", queue_limit=1)
    assert busy.send("t3", queue_limit=1).merged_into == "t2"
    assert isinstance(busy.send("e1", user="eve", queue_limit=1), QueueFull)


@pytest.mark.parametrize("limits", [replace(LIMITS, message_text=7), replace(LIMITS, message_parts=2)])
def test_a_message_does_not_grow_beyond_what_one_may_have(limits: Limits) -> None:
    session = Session(Idle(memory(limits=limits)))
    session.send("t1")
    session.send("t2")
    assert session.send("t3").merged_into == "t2"
    assert session.send("t4").status is TurnStatus.QUEUED


def test_the_size_is_that_of_all_of_it(busy: Session) -> None:
    busy.send("t2", "a" * 5_000)
    busy.send("t3", "b" * 7_000)
    (turn,) = waiting_turns(line_of(busy.state))
    assert 12_000 < turn.spec.size < 14_000


def test_the_turn_keeps_the_fingerprint_of_what_it_was_sent_with(busy: Session) -> None:
    busy.send("t2", fingerprint=b"2")
    busy.send("t3", fingerprint=b"3")
    (turn,) = waiting_turns(line_of(busy.state))
    assert turn.spec.fingerprint == b"2"
    assert busy.send("t2", fingerprint=b"2").repeated
    assert isinstance(busy.send("t2", fingerprint=b"other"), TurnIdReused)


def test_a_retry_of_a_joined_message_is_answered_the_same_and_not_joined_again(busy: Session) -> None:
    busy.send("t2")
    busy.send("t3", fingerprint=b"3")
    before = busy.waiting
    again = busy.send("t3", fingerprint=b"3")
    assert (again.status, again.merged_into, again.repeated) == (TurnStatus.MERGED, "t2", True)
    assert busy.waiting == before
    busy.end()
    busy.end()
    assert busy.send("t3", fingerprint=b"3").merged_into == "t2"


def test_a_cancel_of_a_joined_message_comes_too_late_and_names_the_turn(busy: Session) -> None:
    busy.send("t2")
    busy.send("t3")
    answer = busy.tell(Stop(TurnId("t3"), USER))
    assert isinstance(answer, CancelAnswer)
    assert answer.verdict is Verdict.FINISHED_FIRST
    assert answer.turn is not None
    assert answer.turn.merged_into == "t2"
    assert [turn_id for turn_id, _ in busy.waiting] == ["t2"]


def test_a_turn_that_runs_is_not_joined(busy: Session) -> None:
    busy.send("t2")
    busy.end()
    assert busy.send("t3").status is TurnStatus.QUEUED


def test_the_one_called_up_is_not_joined(busy: Session) -> None:
    busy.send("t2", strategy=Strategy.INTERRUPT)
    assert busy.send("t3").position == 1
    assert busy.send("t4").merged_into == "t3"


# -- With a window ----------------------------------------------------------------------------------


def test_with_a_window_the_first_waits_for_others_also_in_an_idle_session() -> None:
    session = Session()
    first = session.send("t1", collapse_window=2.0)
    assert (first.status, first.not_before, first.position) == (TurnStatus.QUEUED, START + 2.0, None)
    assert [type(effect) for effect in session.effects] == [AnnounceQueued, AnnouncePlaces, SetTimer, Reply]
    assert type(session.state) is Queued
    session.wait(1.0)
    assert session.send("t2", collapse_window=2.0).merged_into == "t1"
    session.wait(0.5)
    assert session.started == [], "the window runs from the first"
    session.wait(0.5)
    assert session.started == [("t1", [text("t1"), more("t2")])]


def test_at_the_end_of_its_window_it_waits_behind_the_others_and_is_still_joined(busy: Session) -> None:
    busy.send("t2", collapse_window=2.0)
    busy.send("e1", user="eve", strategy=Strategy.ENQUEUE)
    busy.wait(2.0)
    assert [turn_id for turn_id, _ in busy.waiting] == ["e1", "t2"]
    assert busy.send("t3", collapse_window=2.0).merged_into == "t2"
    busy.end()
    busy.end()
    assert busy.started[1:] == [("e1", "e1"), ("t2", [text("t2"), more("t3")])]


def test_a_full_one_in_its_window_is_followed_by_one_with_its_own() -> None:
    session = Session()
    session.send("t1", collapse_window=2.0, collapse_parts=1)
    session.now += 0.5
    assert session.send("t2", collapse_window=2.0).not_before == START + 2.5
    session.wait(1.5)
    assert (session.started, session.waiting) == ([("t1", "t1")], [("t2", "t2")])


def test_a_window_needs_a_place() -> None:
    session = Session()
    assert isinstance(session.send("t1", collapse_window=2.0, queue_limit=0), QueueFull)


# -- One that is called up ------------------------------------------------------------------------------


def test_one_that_takes_the_place_of_another_is_joined_until_that_has_ended(busy: Session) -> None:
    busy.send("t2")
    busy.tell(Rearrange(TurnId("t2"), "ada", MoveTo.NOW))
    assert busy.send("t3").merged_into == "t2"
    assert isinstance(busy.state, Ending)
    busy.tell(TurnEnded(busy.state.turn.epoch, Stopped()))
    assert busy.started[1:] == [("t2", [text("t2"), more("t3")])]


def test_one_that_waits_for_a_slot_is_joined_until_it_starts() -> None:
    session = Session()
    session.send("t1", on_cap=OnCap.WAIT)
    assert session.send("t2", on_cap=OnCap.WAIT).merged_into == "t1"
    assert session.send("t3", user="eve", on_cap=OnCap.WAIT).status is TurnStatus.QUEUED
    assert isinstance(session.state, Queued)
    assert session.state.asked is not None
    session.tell(Granted(session.state.asked))
    assert session.started == [("t1", [text("t1"), more("t2")])]
    assert session.send("t4", on_cap=OnCap.WAIT).status is TurnStatus.QUEUED


def test_one_that_was_cut_off_is_joined_by_none() -> None:
    session = Session(Idle(memory(limits=RERUN)))
    session.send("t1", on_restart=OnRestart.RERUN)
    session.load(RERUN)
    assert session.waiting == [("t1", "t1")]
    assert session.send("t2", on_restart=OnRestart.RERUN).status is TurnStatus.QUEUED
    assert session.waiting == [("t1", "t1"), ("t2", "t2")]


# -- For later --------------------------------------------------------------------------------------


def test_what_is_sent_for_later_is_not_joined_before_its_moment(busy: Session) -> None:
    busy.send("t2", after=5.0)
    assert busy.send("t3").status is TurnStatus.QUEUED
    busy.wait(5.0)
    assert busy.waiting == [("t3", [text("t3"), more("t2")])], "as if it were sent then"
    assert busy.ends == [("t2", TurnStatus.MERGED)]
    record = find_turn(busy.state, "t2")
    assert record is not None
    assert (record.merged_into, record.queued_at) == ("t3", START)


def test_what_is_sent_for_later_opens_its_window_then_also_over_a_restart() -> None:
    session = Session(Idle(memory(limits=RERUN)))
    session.send("t1", after=5.0, collapse_window=2.0, on_restart=OnRestart.RERUN)
    session.wait(5.0)
    assert session.started == []
    session.load(RERUN)
    assert session.send("t2").merged_into == "t1"
    session.wait(2.0)
    assert session.started == [("t1", [text("t1"), more("t2")])]


def test_what_is_sent_for_later_starts_then_without_a_window() -> None:
    session = Session()
    session.send("t1", after=5.0)
    session.wait(5.0)
    assert session.started == [("t1", "t1")]


# -- Over a restart ---------------------------------------------------------------------------------


def test_a_window_and_what_has_joined_outlive_the_process() -> None:
    session = Session(Idle(memory(limits=RERUN)))
    session.send("t1", collapse_window=9.0, collapse_parts=3)
    session.send("t2")
    session.load(RERUN)
    assert session.send("t3").merged_into == "t1"
    assert session.send("t4").status is not TurnStatus.MERGED, "what had joined before counts"
    again = [record for record in session.state.memory.records if record.merged_into is not None]
    assert [(record.turn_id, record.merged_into) for record in again] == [("t2", "t1"), ("t3", "t1")]
    session.wait(9.0)
    assert ("t1", [text("t1"), more("t2"), more("t3")]) in [*session.started, *session.waiting]


# -- Whatever is sent, in whatever order ------------------------------------------------------------

SENDS = st.tuples(
    st.just("send"),
    st.sampled_from(["ada", "eve"]),
    st.sampled_from([Strategy.COLLAPSE, Strategy.COLLAPSE, Strategy.COLLAPSE, Strategy.ENQUEUE]),
    st.sampled_from([None, None, 1.0, 3.0]),
    st.sampled_from([0.0, 0.0, 2.0]),
    st.sampled_from([1, 2, 3, 20]),
)
OTHERS = st.sampled_from([("end",), ("wait", 0.5), ("wait", 2.0), ("load",), ("stop",)])


@given(st.lists(SENDS | OTHERS, max_size=25))
def test_each_message_is_said_once_in_order_and_has_one_end(happenings: list[Any]) -> None:
    check(happenings)


def check(happenings: list[Any]) -> None:
    session = Session(Idle(memory(limits=replace(RERUN, kept_turns=1_000))))
    answers: dict[str, Accepted] = {}
    parts: dict[str, int] = {}
    senders: dict[str, str] = {}
    late: set[str] = set()
    for number, happening in enumerate(happenings):
        match happening:
            case ("send", user, strategy, after, window, most):
                turn_id = f"t{number:02}"
                answer = session.send(
                    turn_id,
                    user=user,
                    strategy=strategy,
                    after=after,
                    collapse_window=window,
                    collapse_parts=most,
                    on_restart=OnRestart.RERUN,
                )
                answers[turn_id], parts[turn_id], senders[turn_id] = answer, most, user
                if after is not None:
                    late.add(turn_id)
            case ("end",):
                if isinstance(session.state, Running):
                    session.end()
            case ("wait", seconds):
                session.wait(seconds)
            case ("load",):
                session.load(replace(RERUN, kept_turns=1_000))
            case ("stop",):
                session.tell(Stop(None, USER, wait=False))
                if not isinstance(session.state, Idle | Queued | Running):
                    session.tell(TurnEnded(session.state.turn.epoch, Returned()))  # type: ignore[union-attr]
    for _ in range(100):
        session.wait(10.0)
        if isinstance(session.state, Running):
            session.end()
    assert type(session.state) is Idle
    ended = dict(session.ends)
    assert len(ended) == len(session.ends) == len(answers), "each has exactly one end"
    records = {record.turn_id: record for record in session.state.memory.records}
    said: dict[str, list[str]] = {}
    for turn_id, message in session.started:
        said[turn_id] = text_of(message).split("\n\n")
    of_merged = {turn_id: record.merged_into for turn_id, record in records.items() if record.merged_into}
    for turn_id, into in of_merged.items():
        assert ended[turn_id] is TurnStatus.MERGED
        assert senders[turn_id] == senders[into], "only the sender's own"
        assert turn_id not in said, "it never began"
        assert turn_id in said.get(into, [turn_id]), "the turn that took it says it"
        if answers[turn_id].status is TurnStatus.MERGED:
            assert answers[turn_id].merged_into == into
    for turn_id, texts in said.items():
        assert texts[0] == turn_id
        assert len(texts) <= parts[turn_id]
        assert texts[1:] == [each for each in texts[1:] if of_merged[each] == turn_id]
        at_once = [each for each in texts if each not in late]
        assert at_once == sorted(at_once), "in the order in which they were sent"
    every = [each for texts in said.values() for each in texts]
    assert len(every) == len(set(every)), "none is said twice"


# -- Planted bugs -----------------------------------------------------------------------------------

BUGS = [
    Bug("it joins another sender's", "steps/joins", "other.user == head.user", "other.user"),
    Bug("one too many joins", "steps/joins", "count > spec.policy", "count - 1 > spec.policy"),
    Bug("what has joined before is not counted", "steps/joins", "joined=count", "joined=taker.joined"),
    Bug(
        "it goes before the first",
        "steps/joins",
        "spec.message, other.message",
        "other.message, spec.message",
    ),
    Bug("it is said to join itself", "steps/joins", "into = taker.", "into = turn."),
    Bug(
        "the log does not have it", "steps/joins", "(EditWaiting(both.spec, both.joined), ended)", "(ended,)"
    ),
    Bug("it has no end", "steps/joins", "(EditWaiting(both.spec, both.joined), ended)", "()"),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    planted: dict[str, Any] = {}
    exec(compile(changed(bug, "session"), bug.file, "exec"), planted)
    monkeypatch.setattr(sends, "join", planted["join"])
    random = Random(1)
    with pytest.raises(AssertionError):
        check_many(random)


def check_many(random: Random) -> None:
    for _ in range(300):
        check([some_happening(random) for _ in range(20)])


def some_happening(random: Random) -> Any:
    """One of those above, mostly a send."""
    if random.random() < 0.4:
        return random.choice([("end",), ("wait", 0.5), ("wait", 2.0), ("load",), ("stop",)])
    return (
        "send",
        random.choice(["ada", "eve"]),
        random.choice([Strategy.COLLAPSE, Strategy.COLLAPSE, Strategy.ENQUEUE]),
        random.choice([None, None, 1.0]),
        random.choice([0.0, 2.0]),
        random.choice([1, 2, 3]),
    )
