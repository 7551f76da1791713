"""How entries are written, and read again."""

import msgspec
import pytest

from turnkeeper.actors.journal.entries import Ended, Entry, Events, Opened, Spec, Started, decode, encode
from turnkeeper.actors.model.records import TurnHead, TurnId
from turnkeeper.actors.model.words import TurnStatus

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


def test_what_is_no_entry_cannot_be_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"kind":"opened"}')
