"""How entries are written, and read again."""

from typing import get_args

import msgspec
import pytest

from turnkeeper.actors.journal.entries import (
    Accepted,
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    Edited,
    Ended,
    EndedLate,
    Entry,
    Events,
    Opened,
    Placed,
    SessionClosed,
    Spec,
    Started,
    Titled,
    UndoAsked,
    decode,
    encode,
)
from turnkeeper.actors.model.records import (
    Cancellation,
    ChildTurn,
    Extras,
    LateEnd,
    Reason,
    SessionId,
    StillRunning,
    ToolCall,
    TurnError,
    TurnHead,
    TurnId,
    TurnRef,
    Usage,
)
from turnkeeper.actors.model.words import CancelCode, Place, Rollback, Strategy, TurnStatus

USER = Reason(CancelCode.USER_REQUEST, "ada", "no")
HEAD = TurnHead(TurnId("t1"), "ada", "default", 1.0, b"\x00\xff")


@pytest.mark.parametrize(
    "entry",
    [
        Opened("ada", 1.0),
        Started(TurnId("t1"), 7, 1.0, Spec(HEAD, [{"type": "text", "text": "hi"}], 5.0)),
        Ended(TurnId("t1"), TurnStatus.COMPLETED, 2.0, n=3),
    ],
)
def test_an_entry_that_is_read_is_the_one_that_was_written(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


def test_what_has_its_default_is_left_out() -> None:
    assert encode(Ended(TurnId("t1"), TurnStatus.COMPLETED, 2.0, n=3)) == (
        b'{"kind":"ended","turn_id":"t1","status":"completed","at":2.0,"n":3}'
    )


def test_what_an_agent_emitted_is_written_as_it_is() -> None:
    written = encode(Events(7, 1, (("delta", msgspec.Raw(b'{"text":"h\xc3\xa9"}')),)))

    read = decode(written)
    assert isinstance(read, Events)
    assert [(name, bytes(data)) for name, data in read.events] == [("delta", b'{"text":"h\xc3\xa9"}')]


def test_a_field_of_a_later_version_is_passed_over() -> None:
    later = b'{"kind":"opened","owner":"ada","at":1.0,"mood":"good"}'

    assert decode(later) == Opened("ada", 1.0)


#: Each kind as it has been written since the first version. A later one reads all of them: lines are added to
#: these, and none is changed.
EVER_SINCE = [
    (b'{"kind":"opened","owner":"ada","at":1.5}', Opened("ada", 1.5)),
    (b'{"kind":"titled","title":"Pears"}', Titled("Pears")),
    (
        (
            b'{"kind":"accepted","spec":{"head":{"turn_id":"t2","user":"bob","agent":"default","submitted_at":2.0,'
            b'"fingerprint":"AP8=","strategy":"reject"},"message":[{"type":"text","text":"hi"}],"grace":5.0,'
            b'"timeout":60.0,"size":99},"at":2.5}'
        ),
        Accepted(
            Spec(
                TurnHead(TurnId("t2"), "bob", "default", 2.0, b"\x00\xff", Strategy.REJECT),
                [{"type": "text", "text": "hi"}],
                5.0,
                60.0,
                99,
            ),
            2.5,
        ),
    ),
    (
        (
            b'{"kind":"started","turn_id":"t1","epoch":7,"at":1.0,"spec":{"head":{"turn_id":"t1","user":"ada",'
            b'"agent":"default","submitted_at":1.0},"message":"hi","grace":5.0}}'
        ),
        Started(TurnId("t1"), 7, 1.0, Spec(TurnHead(TurnId("t1"), "ada", "default", 1.0), "hi", 5.0)),
    ),
    (
        (
            b'{"kind":"started","turn_id":"t1","epoch":7,"at":1.0,"spec":{"head":{"turn_id":"t1","user":"ada",'
            b'"agent":"default","submitted_at":1.0,"params_json":"{\\"seed\\":1}"},"message":"hi","grace":5.0}}'
        ),
        Started(
            TurnId("t1"),
            7,
            1.0,
            Spec(
                TurnHead(TurnId("t1"), "ada", "default", 1.0, params_json='{"seed":1}'),
                "hi",
                5.0,
            ),
        ),
    ),
    (
        b'{"kind":"started","turn_id":"t1","epoch":9,"at":4.0,"attempt":2}',
        Started(TurnId("t1"), 9, 4.0, attempt=2),
    ),
    (
        (
            b'{"kind":"cancel_asked","turn_id":"t1","reason":{"code":"user_request","by":"ada",'
            b'"text":"no"},"at":3.0}'
        ),
        CancelAsked(TurnId("t1"), USER, 3.0),
    ),
    (
        b'{"kind":"undo_asked","turn_id":"t1","at":3.0}',
        UndoAsked(TurnId("t1"), 3.0),
    ),
    (
        b'{"kind":"early_cancel","turn_id":"t3","reason":{"code":"policy"},"at":3.0}',
        EarlyCancel(TurnId("t3"), Reason(CancelCode.POLICY), 3.0),
    ),
    (
        (
            b'{"kind":"ended","turn_id":"t1","status":"completed","at":5.0,"n":3,"first_event_at":4.5,"began":true,'
            b'"result":{"n":1},"result_size":64,"keep":0,"add":["hi","done"],"data":{"x":null}}'
        ),
        Ended(
            TurnId("t1"),
            TurnStatus.COMPLETED,
            5.0,
            n=3,
            first_event_at=4.5,
            began=True,
            result={"n": 1},
            result_size=64,
            keep=0,
            add=["hi", "done"],
            data={"x": None},
        ),
    ),
    (
        (
            b'{"kind":"ended","turn_id":"t1","status":"failed","at":5.0,"n":3,"cancellation":{"reason":{"code":'
            b'"timeout"},"asked_at":4.0,"again_at":4.5},"error":{"code":"agent_error","type":"ValueError",'
            b'"stage":"pre"},"superseded_by":"t2","result_left_out":true}'
        ),
        Ended(
            TurnId("t1"),
            TurnStatus.FAILED,
            5.0,
            n=3,
            cancellation=Cancellation(Reason(CancelCode.TIMEOUT), 4.0, 4.5),
            error=TurnError("agent_error", "ValueError", "pre"),
            superseded_by=TurnId("t2"),
            result_left_out=True,
        ),
    ),
    (
        (
            b'{"kind":"ended","turn_id":"t3","status":"cancelled","at":5.0,"head":{"turn_id":"t3","user":"ada",'
            b'"agent":"default","submitted_at":5.0},"began":false}'
        ),
        Ended(
            TurnId("t3"),
            TurnStatus.CANCELLED,
            5.0,
            head=TurnHead(TurnId("t3"), "ada", "default", 5.0),
            began=False,
        ),
    ),
    (b'{"kind":"placed","turn_id":"t2","place":"rest","first":true}', Placed(TurnId("t2"), Place.REST, True)),
    (b'{"kind":"placed","turn_id":"t2","place":"front"}', Placed(TurnId("t2"), Place.FRONT)),
    (b'{"kind":"edited","turn_id":"t2","message":"hi"}', Edited(TurnId("t2"), "hi")),
    (b'{"kind":"edited","turn_id":"t2","message":"hi","by":"ada"}', Edited(TurnId("t2"), "hi", by="ada")),
    (
        b'{"kind":"edited","turn_id":"t2","message":[{"type":"text","text":"hi"}],"size":300,"joined":2}',
        Edited(TurnId("t2"), [{"type": "text", "text": "hi"}], 300, 2),
    ),
    (
        b'{"kind":"ended","turn_id":"t1","status":"interrupted","at":9.0,"n":0,"epoch":8,"kept":"7-3"}',
        Ended(TurnId("t1"), TurnStatus.INTERRUPTED, 9.0, n=0, epoch=8, kept="7-3"),
    ),
    (
        b'{"kind":"ended","turn_id":"t1","status":"cancelled","at":9.0,"n":4,"rollback":"partly"}',
        Ended(TurnId("t1"), TurnStatus.CANCELLED, 9.0, n=4, rollback=Rollback.PARTLY),
    ),
    (
        (
            b'{"kind":"ended","turn_id":"t1","status":"unresponsive","at":5.0,"n":3,"cancellation":{"reason":'
            b'{"code":"admin","by":"root"},"asked_at":2.0,"again_at":4.0,"delivered_at":3.0},"extras":{"usage":'
            b'{"input_tokens":1,"output_tokens":2,"reasoning_tokens":0},"still_running":{"tasks":1,"threads":2,'
            b'"processes":3},"children":[{"session_id":"s2","turn_id":"t9","sent_at":1.0,"status":"completed",'
            b'"ended_at":2.0},{"session_id":"s3","turn_id":"t8","sent_at":1.0}],"open_calls":[{"id":"c1","name":'
            b'"ls"}]}}'
        ),
        Ended(
            TurnId("t1"),
            TurnStatus.UNRESPONSIVE,
            5.0,
            n=3,
            cancellation=Cancellation(Reason(CancelCode.ADMIN, "root"), 2.0, 4.0, 3.0),
            extras=Extras(
                Usage(1, 2, None, 0),
                StillRunning(1, 2, 3),
                (
                    ChildTurn(SessionId("s2"), TurnId("t9"), 1.0, TurnStatus.COMPLETED, 2.0),
                    ChildTurn(SessionId("s3"), TurnId("t8"), 1.0),
                ),
                (ToolCall("c1", "ls"),),
            ),
        ),
    ),
    (
        (
            b'{"kind":"started","turn_id":"t2","epoch":8,"at":1.0,"spec":{"head":{"turn_id":"t2","user":"ada",'
            b'"agent":"default","submitted_at":1.0,"parent":{"session_id":"s1","turn_id":"t1"}},"message":"hi",'
            b'"grace":5.0}}'
        ),
        Started(
            TurnId("t2"),
            8,
            1.0,
            Spec(
                TurnHead(TurnId("t2"), "ada", "default", 1.0, parent=TurnRef(SessionId("s1"), TurnId("t1"))),
                "hi",
                5.0,
            ),
        ),
    ),
    (
        b'{"kind":"attempt_ended","turn_id":"t1","epoch":8,"at":9.0,"kept":"7-3"}',
        AttemptEnded(TurnId("t1"), 8, 9.0, "7-3"),
    ),
    (
        b'{"kind":"ended_late","turn_id":"t1","late":{"outcome":"completed","at":9.0}}',
        EndedLate(TurnId("t1"), LateEnd(TurnStatus.COMPLETED, 9.0)),
    ),
    (
        b'{"kind":"session_closed","reason":{"code":"session_closed","by":"ada"},"at":9.0}',
        SessionClosed(Reason(CancelCode.SESSION_CLOSED, "ada"), 9.0),
    ),
]


@pytest.mark.parametrize(("written", "entry"), EVER_SINCE, ids=lambda each: type(each).__name__)
def test_an_entry_is_written_and_read_as_it_has_been_since_the_first_version(
    written: bytes, entry: Entry
) -> None:
    assert encode(entry) == written
    assert decode(written) == entry


def test_each_kind_of_entry_stands_among_those_of_the_first_version() -> None:
    kinds = {type(entry) for _, entry in EVER_SINCE}
    assert kinds | {Events} == set(get_args(Entry))


def test_what_is_no_entry_cannot_be_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"kind":"opened"}')
