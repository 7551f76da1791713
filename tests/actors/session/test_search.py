"""The exhaustive search finds nothing, and would find something."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TypeAlias

import pytest

from tests import turns
from tests.actors.session import planted_ends, planted_line, planted_slots
from tests.actors.session import search as searching
from tests.actors.session.alphabet import SERVER_SPECS, START, USER, A, Address, letters
from tests.actors.session.alphabets import ALPHABETS
from tests.actors.session.facts import Facts
from tests.actors.session.logged import Log
from tests.actors.session.monitor import Broken
from tests.actors.session.names import Names
from tests.actors.session.planted import BUGS, ROOM
from tests.actors.session.rows import Table
from tests.actors.session.search import SEEDS, Figures, StepFunction, search, small_search
from tests.actors.session.searched import PAGE, TOGETHER, Met, page, read
from tests.planting import Bug, changed
from turnkeeper.actors.model.messages import ReplyAddress, Stop, Submit, Tick, TurnEnded
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.session.effects import (
    CancelTurn,
    CutWinding,
    Decision,
    EndTurn,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import (
    Again,
    Ask,
    Asked,
    Closed,
    Ending,
    Idle,
    Memory,
    Running,
    State,
)
from turnkeeper.actors.session.table.conditions import ALWAYS, UNAIMED, When
from turnkeeper.actors.session.table.rows import ROWS, Row
from turnkeeper.actors.session.views import find_turn

To: TypeAlias = ReplyAddress | None
pytestmark = pytest.mark.exhaustive
SEARCHED = read(PAGE.read_text(encoding="utf-8"))
#: With fewer transitions an alphabet is searched to its end here, too.
QUICK = 20_000
#: What all searches of this process have seen of the table.
SEEN = Table()


@cache
def explored(seed: str) -> Figures:
    path, depth, limits, chosen = SEEDS[seed]
    return search(depth, table=SEEN, log=Log(), seed=path, limits=limits, letters=chosen)


@cache
def explored_small(name: str) -> Figures:
    return small_search(ALPHABETS[name], None if is_searched_to_its_end(name) else 4, SEEN)


def is_searched_to_its_end(name: str) -> bool:
    return name in SEARCHED and SEARCHED[name].transitions < QUICK


@pytest.mark.timeout(200)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_sequence_after_a_seed_breaks_a_guarantee_or_leaves_the_table_or_the_log(seed: str) -> None:
    figures = explored(seed)
    print(f"\n{seed}, {figures}")
    assert figures.found is None, str(figures.found)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ALPHABETS)
def test_no_sequence_of_a_small_alphabet_breaks_a_guarantee_or_leaves_the_table_or_the_log(name: str) -> None:
    """The smallest are searched to their ends, the others by ``python -m tests.actors.session.searched``."""
    figures = explored_small(name)
    print(f"\n{name}, {figures}")
    assert figures.found is None, str(figures.found)
    if is_searched_to_its_end(name):
        assert Met.of(figures) == SEARCHED[name], "run python -m tests.actors.session.searched"


def test_the_page_says_what_whole_searches_have_met() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, SEARCHED), "run python -m tests.actors.session.searched"
    assert SEARCHED.keys() <= {*ALPHABETS, *TOGETHER}


@pytest.fixture(scope="module")
def table() -> Table:
    """What all searches have seen of the table: those that the tests before have made are not made again."""
    seen = itertools.chain(map(explored, SEEDS), map(explored_small, ALPHABETS))
    assert not [figures.found for figures in seen if figures.found]
    return SEEN


def test_every_row_of_the_table_is_taken_and_does_all_that_it_may(table: Table) -> None:
    assert table.unseen() == []
    assert table.undone() == []


def test_the_search_covers_many_more_paths_than_it_walks() -> None:
    figures = search(4)
    assert figures.states > 500
    assert figures.paths > 10 * figures.transitions


def test_all_paths_are_counted_that_there_are() -> None:
    """Merging does not lose any: the count equals that of a search which merges nothing."""
    assert search(3).paths == sum(1 for _ in every_path(3))


def every_path(depth: int) -> list[tuple[str, ...]]:
    layer: list[tuple[tuple[str, ...], searching.Node]] = [((), searching.start())]
    for _ in range(depth):
        layer = [
            ((*path, letter.name), searching.take(step, node, letter))
            for path, node in layer
            for letter in letters(node.state, node.facts, node.now)
        ]
    return [path for path, _ in layer]


# -- Planted bugs ----------------------------------------------------------------------------------


def believes_stale_reports(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, TurnEnded) and isinstance(state, Running | Ending):
        message = replace(message, epoch=state.turn.epoch)
    return step(state, message, now, to)


def starts_while_cancelling(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Submit) and isinstance(state, Ending) and state.line is None:
        return step(Idle(replace(state.memory, last_epoch=state.turn.epoch)), message, now, to)
    return step(state, message, now, to)


def late_cancel_hits_the_successor(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Stop) and isinstance(state, Running) and find_turn(state, message.turn_id or ""):
        message = replace(message, turn_id=None)
    return step(state, message, now, to)


def second_stop_cancels_again(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(message, Stop) and isinstance(state, Ending) and isinstance(after, Ending):
        effects = (*effects, CancelTurn(state.turn.spec.turn_id, state.turn.epoch, message.reason, now))
    return after, effects


def forgets_an_asker(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, TurnEnded) and isinstance(state, Ending) and state.line is None:
        state = replace(state, asks=state.asks[:1])
    return step(state, message, now, to)


def says_cancelled_too_early(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(message, Stop) and not message.wait and isinstance(after, Ending):
        effects = tuple(
            replace(effect, answer=replace(effect.answer, verdict=Verdict.CANCELLED))
            if isinstance(effect, Reply)
            else effect
            for effect in effects
        )
    return after, effects


def calls_what_finished_cancelled(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(state, Ending) and isinstance(message, TurnEnded):
        effects = tuple(
            replace(effect, record=replace(effect.record, status=TurnStatus.CANCELLED))
            if isinstance(effect, EndTurn)
            else effect
            for effect in effects
        )
    return after, effects


def sleeps_through_the_ladder(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(message, Tick):
        effects = tuple(effect for effect in effects if not isinstance(effect, SetTimer))
    return after, effects


def forgets_the_early_cancel(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Submit):
        state = replace(state, memory=replace(state.memory, early=()))
    return step(state, message, now, to)


def quarantines_at_once(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Tick) and isinstance(state, Ending):
        state = replace(state, phase=Again(now))
    return step(state, message, now, to)


def starts_a_dropped_turn(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if not (isinstance(message, Stop) and isinstance(state, Ending) and isinstance(after, Ending)):
        return after, effects
    if state.line is not None and state.line.front is not None and state.line.front.spec.fingerprint is None:
        after = replace(after, line=state.line)
    return after, effects


def draws_an_epoch_twice(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Submit) and message.spec.fingerprint is None:
        state = replace(state, memory=replace(state.memory, last_epoch=0))
    return step(state, message, now, to)


@pytest.mark.parametrize(
    "bug", [*BUGS, *planted_line.BUGS, *planted_slots.BUGS, *planted_ends.BUGS], ids=lambda bug: bug.name
)
def test_a_bug_of_the_list_can_still_be_planted(bug: Bug) -> None:
    """Whether the search finds it takes minutes to say: ``python -m tests.actors.session.planted``."""
    compile(changed(bug, ROOM), bug.file, "exec")


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (believes_stale_reports, "G2: a stale report is believed"),
        (starts_while_cancelling, "G1"),
        (late_cancel_hits_the_successor, "G4: a Stop aimed at"),
        (second_stop_cancels_again, "G6: a second cancel"),
        (forgets_an_asker, "G3: an asker is dropped"),
        (says_cancelled_too_early, "G3: cancelled is not the truth"),
        (calls_what_finished_cancelled, "G2: cancelled is not how the turn ended"),
        (sleeps_through_the_ladder, "G6: nothing will wake"),
        (forgets_the_early_cancel, "G4"),
        (quarantines_at_once, "G6: given up before"),
        (starts_a_dropped_turn, "the session has another line"),
        (draws_an_epoch_twice, "G7: the epoch does not grow"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_bug_is_caught(planted: StepFunction, said: str) -> None:
    found = search(4, planted).found
    assert found is not None
    assert said in found.what


# -- Planted bugs that only the table notices -------------------------------------------------------


def answers_nobody(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    return after, (*effects, Reply(None, None)) if isinstance(message, TurnEnded) else effects


def wakes_for_nothing(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    return after, (*effects, SetTimer(now + 1)) if isinstance(after, Idle) and not effects else effects


def makes_the_session_anew(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Tick) and isinstance(state, Idle):
        return Idle(state.memory), ()
    return step(state, message, now, to)


def counts_the_time_before_the_turn_starts(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(state, Idle) and len(effects) == 3 and isinstance(effects[0], StartTurn):
        return after, (effects[1], effects[0], effects[2])
    return after, effects


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (answers_nobody, "<Row Running, TurnEnded: the turn has ended>: Reply is out of place"),
        (wakes_for_nothing, "<Row Idle, Tick: nothing is due>: SetTimer is out of place"),
        (makes_the_session_anew, "<Row Idle, Tick: nothing is due>: the session changes"),
        (
            counts_the_time_before_the_turn_starts,
            "<Row Idle, Submit: the turn starts>: SetTimer is out of place",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_bug_that_breaks_no_guarantee_leaves_the_table(planted: StepFunction, said: str) -> None:
    assert search(2, planted).found is None
    found = search(2, planted, table=Table()).found
    assert found is not None
    assert f"table: {said}" in found.what


# -- Planted bugs that only the log notices ---------------------------------------------------------


def gives_an_epoch_away(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(state, Idle) and isinstance(after, Closed):
        after = replace(after, memory=replace(after.memory, last_epoch=after.memory.last_epoch + 1))
    return after, effects


def starts_at_another_moment(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(after, Running) and isinstance(state, Idle):
        after = replace(after, turn=replace(after.turn, started_at=now + 1))
    return after, effects


@pytest.mark.parametrize("planted", [gives_an_epoch_away, starts_at_another_moment])
def test_a_state_that_its_log_does_not_have_is_noticed(planted: StepFunction) -> None:
    assert search(1, planted, table=Table()).found is None
    found = search(1, planted, log=Log()).found
    assert found is not None
    assert "G11: the log does not say what is durable" in found.what


# -- Planted rows ----------------------------------------------------------------------------------


def test_a_row_that_is_left_out_is_missed(table: Table) -> None:
    for number, taken in table.taken.items():
        without = Table((*table.rows[:number], *table.rows[number + 1 :]))
        with pytest.raises(Broken, match=r"one row, please, and not \[\]"):
            without.check(taken)


def test_a_row_that_is_there_twice_is_noticed(table: Table) -> None:
    for number, taken in table.taken.items():
        with pytest.raises(Broken, match="one row, please"):
            Table((*table.rows, table.rows[number])).check(taken)


def wrong(row: Row) -> Iterator[Row]:
    """The row with something wrong about it, in each of the ways that there are."""
    yield replace(row, then=Idle if Closed in (row.state, row.then) else Closed)
    if row.then is not None:
        yield replace(row, then=None)
    for number in range(len(row.must)):
        # What it must do is not even allowed.
        yield replace(row, must=(*row.must[:number], *row.must[number + 1 :]), may=())
    yield replace(row, must=(*row.must, CutWinding))  # which is never the last
    if len(set(row.must)) > 1:
        yield replace(row, must=row.must[::-1], may=())


def test_a_wrong_row_is_noticed(table: Table) -> None:
    for number, taken in table.taken.items():
        for row in wrong(table.rows[number]):
            with pytest.raises(Broken, match="table: "):
                Table((*table.rows[:number], row, *table.rows[number + 1 :])).check(taken)


def test_a_condition_that_says_too_much_is_found_by_the_search() -> None:
    """Where no turn is in flight a Stop that names none and one that names a turn are different."""
    rows = tuple(replace(row, when=ALWAYS) if row.when is UNAIMED else row for row in ROWS)
    found = search(3, table=Table(rows)).found
    assert found is not None
    assert "one row, please" in found.what


def test_a_row_that_nothing_takes_is_reported() -> None:
    never = Row(Idle, Tick, "never", When("never", lambda state, tick, now: False), Running)
    table = Table((*ROWS, never))
    assert search(2, table=table).found is None
    assert never in table.unseen()
    assert not table.covered
    assert "never taken: <Row Idle, Tick: never>" in str(table)


# -- What counts as the same -----------------------------------------------------------------------


def idle(*, last_epoch: int = 0, **fields: object) -> Idle:
    return Idle(replace(searching.start().state.memory, last_epoch=last_epoch, **fields))  # type: ignore[arg-type]


def running(epoch: int, deadline: float | None = None, memory: Memory | None = None) -> Running:
    return turns.running(A, epoch, deadline=deadline, memory=memory or idle().memory)


def same(first: State, second: State, *, moved: float = 0.0) -> bool:
    """Whether the search would merge the two; the second one ``moved`` seconds later."""
    names = Names()
    return bool(names.key(first, Facts(), START) == names.key(second, Facts(), START + moved))


def test_epochs_are_renumbered_but_keep_their_order() -> None:
    assert same(running(7), running(9))
    before, after = idle(last_epoch=3).memory, idle(last_epoch=30).memory
    assert not same(running(7, memory=before), running(7))
    assert not same(running(7, memory=before), running(7, memory=after))


def test_ids_that_no_letter_names_are_renamed_but_stay_apart() -> None:
    """Of the same agent: of which one a turn is, decides."""
    first, _, second = SERVER_SPECS[:3]
    alone = idle().memory
    assert same(turns.running(first, 1, memory=alone), turns.running(second, 1, memory=alone))
    assert not same(turns.running(first, 1, memory=alone), turns.running(A, 1, memory=alone))
    known = idle(records=(TurnRecord(first.head, 1, TurnStatus.COMPLETED),)).memory
    itself = idle(records=(TurnRecord(first.head, 1, TurnStatus.COMPLETED, superseded_by=first.turn_id),))
    other = idle(records=(TurnRecord(first.head, 1, TurnStatus.COMPLETED, superseded_by=second.turn_id),))
    assert not same(itself, other)
    assert not same(turns.running(first, 2, memory=known), turns.running(second, 2, memory=known))


def test_askers_are_renamed_but_stay_apart() -> None:
    cancelling = turns.cancelling(running(1), USER, phase=Asked(START, START + 1))
    first, second = Address(1), Address(2)

    def asked(*askers: Address) -> Ending:
        return replace(cancelling, asks=tuple(Ask(to, START, USER) for to in askers))

    assert same(asked(first), asked(second))
    assert same(asked(first, second), asked(second, first))
    assert not same(asked(first, second), asked(first, first))


def test_moments_that_decide_count_relative_to_now() -> None:
    assert same(running(7, START + 3), running(7, START + 5), moved=2)
    assert not same(running(7, START + 3), running(7, START + 5))
    assert not same(running(7, START + 3), running(7, None))


def test_states_of_another_type_or_with_another_asker_differ() -> None:
    asker = Address(0)
    cancelling = turns.cancelling(running(1), USER, phase=Asked(START, START + 1))
    assert not same(running(1), cancelling)
    assert not same(cancelling, replace(cancelling, asks=(Ask(asker, START, USER),)))
    asked = replace(cancelling, asks=(Ask(None, START, USER),))
    assert not same(asked, replace(cancelling, asks=(Ask(asker, START, USER),)))
