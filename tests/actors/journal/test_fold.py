"""What a log says of its session is what the session was, at each step and from its first entry on."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.journal.planted import BUGS, ROOM
from tests.actors.session import alphabet
from tests.actors.session.alphabet import Happening, letters
from tests.actors.session.alphabets import ending
from tests.actors.session.logged import Log, sealed
from tests.actors.session.search import Node, start, take
from tests.planting import Bug, changed
from tests.turns import LIMITS, head, record
from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.journal.derive import entries_of
from turnkeeper.actors.journal.durable import Durable, OpenTurn, durable, waiting_turns
from turnkeeper.actors.journal.entries import (
    Accepted,
    AttemptEnded,
    CancelAsked,
    Edited,
    Ended,
    EndedLate,
    Entry,
    Events,
    Opened,
    Spec,
    Started,
    Titled,
    UndoAsked,
    decode,
    encode,
    turn_spec,
)
from turnkeeper.actors.journal.fold import fold, fold_kept
from turnkeeper.actors.model.messages import Submit, TurnEnded
from turnkeeper.actors.model.records import LateEnd, Reason, Returned, SessionId, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Place, Rollback, TurnStatus
from turnkeeper.actors.session.effects import Effect
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import State
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.context import OwnContext
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.transcript import Bound

SESSION, T1 = SessionId("s"), TurnId("t1")
SPEC = Spec(head("t1"), "hi", 4.0)
OPENED = Durable(SESSION, "ada")
HELD = replace(OPENED, last_epoch=7, holder=OpenTurn(turn_spec(SPEC, SESSION), 7, 2.0))
USER = Reason(CancelCode.USER_REQUEST)


def test_the_first_entry_says_whose_session_it_is() -> None:
    assert fold(Durable(SESSION), [Opened("ada", 1.0)], LIMITS) == OPENED


def test_events_and_titles_decide_nothing() -> None:
    assert fold(HELD, [Events(7, 1, ()), Titled("A title")], LIMITS) == HELD


def test_a_turn_that_is_tried_again_waits_and_starts_with_what_it_was_sent_with() -> None:
    again = fold(HELD, [AttemptEnded(T1, 8, 3.0)], LIMITS)
    waits = OpenTurn(turn_spec(SPEC, SESSION), attempt=2)
    assert again == replace(OPENED, last_epoch=8, front=waits)
    started = fold(again, [Started(T1, 9, 4.0, attempt=2)], LIMITS)
    assert started == replace(OPENED, last_epoch=9, holder=replace(waits, epoch=9, started_at=4.0))


def test_a_turn_that_is_to_be_undone_ends_as_far_undone_as_its_entry_says() -> None:
    asked = fold(HELD, [CancelAsked(T1, USER, 2.5), UndoAsked(T1, 2.5)], LIMITS)
    assert asked.holder is not None
    assert asked.holder.undo
    left = fold(asked, [Ended(T1, TurnStatus.CANCELLED, 3.0, n=1, rollback=Rollback.DONE)], LIMITS)
    assert left.records[0].rollback is Rollback.DONE


def test_a_turn_that_was_interrupted_uses_up_an_epoch_of_its_own() -> None:
    ended = Ended(T1, TurnStatus.INTERRUPTED, 3.0, n=0, epoch=8, kept="7-3")
    left = fold(HELD, [ended], LIMITS)
    interrupted = record("t1", 8, TurnStatus.INTERRUPTED, started_at=2.0, ended_at=3.0)
    assert left == replace(OPENED, last_epoch=8, records=(interrupted,))


@pytest.mark.parametrize("place", Place)
def test_a_turn_that_waits_says_something_else_at_its_place(place: Place) -> None:
    t2, t3 = Spec(head("t2", fingerprint=b"2"), "hi", 4.0), Spec(head("t3"), "there", 4.0)
    waiting = [Accepted(t2, 3.0, place, 9.0), Accepted(t3, 3.0, Place.REST)]
    before = fold(HELD, waiting, LIMITS)
    after = fold(before, [Edited(TurnId("t2"), [{"text": "hi"}], 300, 2)], LIMITS)
    (was,) = [turn for turn in waiting_turns(before) if turn.spec.turn_id == "t2"]
    spec = replace(was.spec, message=[{"text": "hi"}], size=300)
    edited = tuple(
        [replace(was, spec=spec, joined=2) if turn is was else turn for turn in waiting_turns(before)]
    )
    assert waiting_turns(after) == edited
    assert fold(
        after, [Ended(T1, TurnStatus.COMPLETED, 4.0), Started(TurnId("t2"), 8, 4.0)], LIMITS
    ).holder == OpenTurn(spec, 8, 4.0, queued_at=3.0)


@pytest.mark.parametrize(
    ("before", "entry", "why"),
    [
        (OPENED, CancelAsked(T1, USER, 1.0), "t1 does not hold the session"),
        (HELD, CancelAsked(TurnId("t2"), USER, 1.0), "t2 does not hold the session"),
        (OPENED, UndoAsked(T1, 1.0), "t1 does not hold the session"),
        (OPENED, Started(T1, 7, 1.0), "t1 starts, which was not accepted"),
        (HELD, Started(TurnId("t2"), 8, 1.0, SPEC), "t2 starts while another one holds the session"),
        (OPENED, Ended(T1, TurnStatus.COMPLETED, 1.0), "t1 ends, which was not open"),
        (OPENED, EndedLate(T1, LateEnd(TurnStatus.COMPLETED, 1.0)), "t1 ends late, which was not given up"),
        (HELD, Edited(T1, "hi"), "t1 is edited, which does not wait"),
        (OPENED, AttemptEnded(T1, 7, 1.0), "t1 does not hold the session"),
    ],
)
def test_an_entry_that_cannot_follow_is_an_error(before: Durable, entry: Entry, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        fold(before, [entry], LIMITS)


# -- A whole session --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@dataclass
class History:
    """All that is written of a session while it goes its way."""

    entries: list[Entry] = field(default_factory=lambda: [Opened("u", alphabet.START)])

    def witness(self, _node: Node, _message: Message, _after: State, effects: tuple[Effect, ...]) -> None:
        self.entries += [decode(encode(entry)) for entry in entries_of(effects, sealed)]


@given(st.data())
def test_a_whole_log_says_what_is_durable(data: st.DataObject) -> None:
    """Longer than what the search goes through, and with messages and results of all kinds."""
    node, log, history = start(), Log(), History()
    for _ in range(data.draw(st.integers(0, 30))):
        found = [
            each
            for of_some in (letters, ending)
            for each in of_some(node.state, node.facts, node.now)
            if not isinstance(each.message, Happening)
        ]
        letter = data.draw(st.sampled_from(found))
        if isinstance(letter.message, TurnEnded) and isinstance(letter.message.outcome, Returned):
            returned = replace(letter.message, outcome=Returned(data.draw(JSON | st.just(object()))))
            letter = letter._replace(message=returned)
        if isinstance(letter.message, Submit):
            sent = replace(letter.message.spec, message=data.draw(JSON))
            letter = letter._replace(message=replace(letter.message, spec=sent))
        node = take(step, node, letter, witness=history.witness, log=log)
    folded = fold(Durable(alphabet.SESSION), history.entries, alphabet.LIMITS)
    assert folded == durable(node.state)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_of_the_list_can_still_be_planted(bug: Bug) -> None:
    """Whether the search finds it takes minutes to say: ``python -m tests.actors.journal.planted``."""
    compile(changed(bug, ROOM), bug.file, "exec")


# -- Its conversation -------------------------------------------------------------------------------

MESSAGE = st.dictionaries(st.sampled_from(["role", "content"]), JSON, max_size=2) | st.text()


#: Some of what an agent may do to its context.
DEEDS = st.lists(
    st.tuples(st.just("add"), MESSAGE)
    | st.tuples(st.just("replace"), st.integers(0, 9), MESSAGE)
    | st.tuples(st.just("drop"), st.integers(0, 9))
    | st.tuples(st.just("assign"), st.lists(MESSAGE, max_size=4))
    | st.tuples(st.just("note"), st.sampled_from("xyz"), JSON),
    max_size=4,
)


def done_to(context: OwnContext, deeds: list[Any]) -> Changes:
    """What a turn has changed that does this."""
    for deed in deeds:
        match deed:
            case "add", message:
                context.messages.append(message)
            case "replace", at, message:
                if at < len(context.messages):
                    context.messages[at] = message
            case "drop", at:
                del context.messages[at:]
            case "assign", messages:
                context.messages = messages
            case "note", name, said:
                context.data[name] = said
            case _:
                raise AssertionError(deed)
    return context.changes()


def written(changes: Changes, given: Kept, n: int) -> Ended:
    """The entry of the end of a turn that changed this, as it is read."""
    keep = add = data = None
    if changes.add or changes.keep < given.transcript.count:
        keep, add = changes.keep, msgspec.Raw(to_json(changes.add).encode())
    if changes.data is not None:
        data = msgspec.Raw(to_json(changes.data).encode())
    entry = decode(encode(Ended(T1, TurnStatus.COMPLETED, 2.0, n=n, keep=keep, add=add, data=data)))
    assert isinstance(entry, Ended)
    return entry


@given(st.lists(DEEDS, max_size=8), st.integers(1, 6))
def test_a_log_says_what_is_kept_of_a_conversation(turns: list[list[Any]], most: int) -> None:
    bound = Bound(most, 1_000_000_000)
    kept = folded = Kept("ada")
    for epoch, deeds in enumerate(turns, 1):
        changes = done_to(OwnContext("s", "default", kept), deeds)
        entry = written(changes, kept, n=3)
        kept = kept.after(changes, bound, f"{epoch}-3")
        folded = fold_kept(folded, entry, epoch, bound)
        assert read(folded) == read(kept)
        assert all(type(message) is not dict for message in folded.transcript.messages), "they are frozen"


def read(kept: Kept) -> tuple[Any, ...]:
    """What the next turn is given: not how much memory it takes, which depends on where it is from."""
    return kept.owner, kept.transcript.messages, kept.transcript.omitted, kept.cursor, kept.data


def test_the_cursor_of_a_conversation_is_the_event_that_ended_the_turn_in_its_last_epoch() -> None:
    entry = Ended(T1, TurnStatus.INTERRUPTED, 3.0, n=0, epoch=8, kept="7-3", keep=0, add=["hi"])
    assert fold_kept(Kept("ada"), entry, 7, Bound(9, 10_000)).cursor == "8-0"
