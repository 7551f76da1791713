"""The exhaustive search finds nothing, and would find something."""

from dataclasses import replace
from typing import TypeAlias

import pytest

from tests import turns
from tests.actors.session import search as searching
from tests.actors.session.monitor import Facts
from tests.actors.session.search import START, USER, A, Names, StepFunction, search
from turnkeeper.actors.model.messages import ReplyAddress, Stop, Submit, Tick, TurnEnded
from turnkeeper.actors.model.records import TurnStatus, Verdict
from turnkeeper.actors.session.effects import CancelTurn, Decision, EndTurn, Reply, SetTimer
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import (
    Again,
    Ask,
    Asked,
    Cancelling,
    Idle,
    Memory,
    Running,
    State,
    Successor,
)
from turnkeeper.actors.session.views import find_turn

DEPTH = 6
To: TypeAlias = ReplyAddress | None


@pytest.fixture(scope="module")
def figures() -> searching.Figures:
    found = search(DEPTH)
    print(f"\n{found}")
    return found


def test_no_sequence_of_six_messages_breaks_a_guarantee(figures: searching.Figures) -> None:
    assert figures.found is None, str(figures.found)


def test_the_search_covers_many_more_paths_than_it_walks(figures: searching.Figures) -> None:
    assert figures.states > 10_000
    assert figures.paths > 50 * figures.transitions


def test_all_paths_are_counted_that_there_are() -> None:
    """Merging does not lose any: the count equals that of a search which merges nothing."""
    assert search(3).paths == sum(1 for _ in every_path(3))


def every_path(depth: int) -> list[tuple[str, ...]]:
    layer: list[tuple[tuple[str, ...], searching.Node]] = [((), searching.start())]
    for _ in range(depth):
        layer = [
            ((*path, letter.name), searching.take(step, node, letter))
            for path, node in layer
            for letter in searching.letters(node.state, node.facts, node.now)
        ]
    return [path for path, _ in layer]


# -- Planted bugs ----------------------------------------------------------------------------------


def believes_stale_reports(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, TurnEnded) and isinstance(state, Running | Cancelling):
        message = replace(message, epoch=state.turn.epoch)
    return step(state, message, now, to)


def starts_while_cancelling(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Submit) and isinstance(state, Cancelling) and state.then is None:
        return step(Idle(replace(state.memory, last_epoch=state.turn.epoch)), message, now, to)
    return step(state, message, now, to)


def late_cancel_hits_the_successor(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Stop) and isinstance(state, Running) and find_turn(state, message.turn_id or ""):
        message = replace(message, turn_id=None)
    return step(state, message, now, to)


def second_stop_cancels_again(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(message, Stop) and isinstance(state, Cancelling) and isinstance(after, Cancelling):
        effects = (*effects, CancelTurn(state.turn.epoch, message.reason))
    return after, effects


def forgets_an_asker(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, TurnEnded) and isinstance(state, Cancelling) and state.then is None:
        state = replace(state, asks=state.asks[:1])
    return step(state, message, now, to)


def says_cancelled_too_early(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(message, Stop) and not message.wait and isinstance(after, Cancelling):
        effects = tuple(
            replace(effect, answer=replace(effect.answer, verdict=Verdict.CANCELLED))
            if isinstance(effect, Reply)
            else effect
            for effect in effects
        )
    return after, effects


def calls_what_finished_cancelled(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if isinstance(state, Cancelling) and isinstance(message, TurnEnded):
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
    if isinstance(message, Tick) and isinstance(state, Cancelling):
        state = replace(state, rung=Again(now))
    return step(state, message, now, to)


def starts_a_dropped_turn(state: State, message: Message, now: float, to: To) -> Decision:
    after, effects = step(state, message, now, to)
    if not (isinstance(message, Stop) and isinstance(state, Cancelling) and isinstance(after, Cancelling)):
        return after, effects
    if isinstance(state.then, Successor) and state.then.spec.fingerprint is None:
        after = replace(after, then=state.then)
    return after, effects


def draws_an_epoch_twice(state: State, message: Message, now: float, to: To) -> Decision:
    if isinstance(message, Submit) and message.spec.fingerprint is None:
        state = replace(state, memory=replace(state.memory, last_epoch=0))
    return step(state, message, now, to)


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
        (starts_a_dropped_turn, "G2: s1 "),
        (draws_an_epoch_twice, "G7: the epoch does not grow"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_bug_is_caught(planted: StepFunction, said: str) -> None:
    found = search(4, planted).found
    assert found is not None
    assert said in found.what


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


def test_moments_that_decide_count_relative_to_now() -> None:
    assert same(running(7, START + 3), running(7, START + 5), moved=2)
    assert not same(running(7, START + 3), running(7, START + 5))
    assert not same(running(7, START + 3), running(7, None))


def test_states_of_another_type_or_with_another_asker_differ() -> None:
    asker = searching.Address(0)
    cancelling = turns.cancelling(running(1), USER, rung=Asked(START, START + 1))
    assert not same(running(1), cancelling)
    assert not same(cancelling, replace(cancelling, asks=(Ask(asker, START, USER),)))
    told = replace(cancelling, asks=(Ask(None, START, USER),))
    assert not same(told, replace(cancelling, asks=(Ask(asker, START, USER),)))
