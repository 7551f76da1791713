"""What the journal has answered: what was asked for, or a refusal for those who wait for it."""

import asyncio
from typing import TypeVar

from turnkeeper.actors.model.exceptions import JournalDown, SessionError, TurnkeeperError
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.session.refusals import shutting_down

T = TypeVar("T")


def came_of(question: "asyncio.Task[T]", what: str) -> "tuple[T | None, SessionError | None]":
    """The answer, or why there is none; ``what`` was to be read. A failure of ours is logged."""
    if question.cancelled():
        return None, shutting_down()
    error = question.exception()
    if error is None:
        return question.result(), None
    if isinstance(error, SessionError):
        return None, error
    logger.error("%s could not be read from the journal", what, exc_info=error)
    text = str(error) if isinstance(error, TurnkeeperError) else f"{what} could not be read"
    return None, JournalDown(text)
