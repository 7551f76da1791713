"""The runtime's own errors, and the base of all of them."""

import pytest

import turnkeeper.actors
from turnkeeper.actors.model import exceptions
from turnkeeper.actors.runtime import ActorLoopClosed, AsyncioActor, errors


@pytest.mark.parametrize("name", ["BlockingCallOnLoop", "LoopClosed", "RuntimeMisuse", "TurnkeeperError"])
def test_an_error_of_the_runtime_is_the_same_class_under_each_of_its_names(name: str) -> None:
    assert getattr(exceptions, name) is getattr(errors, name) is getattr(turnkeeper.actors, name)


def test_catching_turnkeepers_errors_catches_those_of_the_runtime() -> None:
    with pytest.raises(turnkeeper.actors.TurnkeeperError) as caught:
        AsyncioActor.start()
    assert caught.value.code == "LOOP_CLOSED"
    assert issubclass(ActorLoopClosed, turnkeeper.actors.TurnkeeperError)


def test_misuse_of_the_runtime_is_a_runtime_error() -> None:
    assert issubclass(errors.RuntimeMisuse, RuntimeError)
