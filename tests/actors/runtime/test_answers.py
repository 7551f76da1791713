"""The three ways in which a handler answers a reply address."""

from typing import Any

import pytest

from turnkeeper.actors.runtime import AsyncioFuture, answer, answer_foreign, refuse


class Broken:
    """A foreign reply address that takes nothing."""

    def set(self, value: Any = None) -> None:
        raise OSError("full")


def test_an_answer_reaches_the_asker() -> None:
    future = AsyncioFuture[int]()
    answer(future, 7)
    assert future.get() == 7


def test_without_an_asker_an_answer_and_a_refusal_go_nowhere() -> None:
    answer(None, 7)
    refuse(None, KeyError())


def test_what_a_foreign_address_raises_goes_no_further_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer_foreign(Broken(), 7)
    assert "did not take its answer" in caplog.text
    with pytest.raises(OSError, match="full"):
        answer(Broken(), 7)


def test_a_foreign_address_that_takes_its_answer_has_it() -> None:
    future = AsyncioFuture[int]()
    answer_foreign(future, 7)
    assert future.get() == 7


def test_a_refusal_is_raised_to_the_asker_and_does_not_replace_an_answer() -> None:
    refused, answered = AsyncioFuture[int](), AsyncioFuture[int]()
    answered.set(7)
    for future in (refused, answered):
        refuse(future, KeyError("no"))
    with pytest.raises(KeyError, match="no"):
        refused.get()
    assert answered.get() == 7
