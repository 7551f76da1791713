"""The words the actors speak: values, each query with the type of its reply."""

import dataclasses
import inspect
import typing

import pytest

from turnkeeper.actors.model import messages
from turnkeeper.actors.model.messages import (
    Accepted,
    Cancel,
    CancelAnswer,
    Close,
    Conversation,
    GetMessages,
    GetSession,
    Query,
    Send,
    SessionView,
    Shut,
    Stop,
    Tick,
)
from turnkeeper.actors.model.records import HOST, Reason
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import CancelCode

OURS = [
    kind for _, kind in inspect.getmembers(messages, inspect.isclass) if kind.__module__ == messages.__name__
]
VALUES = [kind for kind in OURS if dataclasses.is_dataclass(kind)]
QUERIES = [kind for kind in VALUES if issubclass(kind, Query)]


def reply_of(query: type) -> object:
    """The ``R`` of the ``Query[R]`` that a class is."""
    (base,) = (base for base in query.__orig_bases__ if typing.get_origin(base) is Query)  # type: ignore[attr-defined]
    (reply,) = typing.get_args(base)
    return reply


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_a_message_is_a_hashable_value(kind: type) -> None:
    first, second = (kind(*range(len(dataclasses.fields(kind)))) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_a_message_says_what_it_means(kind: type) -> None:
    doc = kind.__doc__ or ""
    assert doc, kind
    assert not doc.startswith(f"{kind.__name__}("), "only the docstring that dataclasses makes up"


@pytest.mark.parametrize("kind", QUERIES, ids=lambda kind: kind.__name__)
def test_a_query_carries_the_type_of_its_reply(kind: type) -> None:
    assert not isinstance(reply_of(kind), typing.TypeVar)


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        (Send, Accepted),
        (Cancel, CancelAnswer),
        (Close, SessionView),
        (GetSession, SessionView),
        (GetMessages, Conversation),
    ],
)
def test_the_replies_of_the_first_words(query: type, reply: type) -> None:
    assert reply_of(query) is reply


def test_messages_of_different_types_differ_although_their_fields_do_not() -> None:
    reason = Reason(CancelCode.ADMIN)
    assert len({Shut(reason), Stop(None, reason), Shut(reason)}) == 2
    assert len({GetSession("s"), Close("s")}) == 2
    assert Tick() == Tick()


def test_by_default_the_host_asks_and_waits() -> None:
    assert (Send("s", "hi").asker, Send("s", "hi").wait) == (HOST, True)
    assert (Cancel("s").asker, Cancel("s").wait, Cancel("s").turn_id) == (HOST, True, None)


def test_type_checkers_take_every_value_for_frozen() -> None:
    transform = value.__dataclass_transform__  # type: ignore[attr-defined]
    # Python 3.11 does not know this argument yet and keeps it with the unknown ones.
    assert (transform | transform["kwargs"])["frozen_default"]
    assert transform["eq_default"]
