"""Runs the server's event loop, whatever agents do to it."""

import asyncio
from collections.abc import Coroutine
from traceback import walk_tb
from typing import Any, TypeVar

from turnkeeper.actors.model.logger import about, logger
from turnkeeper.actors.turn.exits import contained
from turnkeeper.actors.turn.whose import turn_of

R = TypeVar("R")


def run_to_its_end(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, R]) -> R:
    """Run the loop until the coroutine has ended, and return its result or raise its exception.

    ``sys.exit()`` in a task or a callback leaves the loop, as asyncio has it, and so does ``loop.stop()``: it
    is run again. The turn that raised it, if one did, ends as failed.
    """
    task = loop.create_task(coroutine)
    while True:
        try:
            return loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit) as error:
            if task.done():
                return task.result()  # it may be this very exception
            _contain(error)
        except RuntimeError:
            if task.done():
                return task.result()
            logger.error("the event loop was stopped by something that runs on it, and goes on")


def _contain(error: KeyboardInterrupt | SystemExit) -> None:
    """Leave it with the turn it came from. Raises it if it is the operator's."""
    exited = contained(error)
    if exited is None:
        raise error
    turn = turn_of(frame for frame, _ in walk_tb(error.__traceback__))
    culprit = "something on the event loop" if turn is None else f"a task or callback of {turn}"
    fields = None if turn is None else about(turn.session_id, turn.spec.head)
    logger.error("%s raised %r; the server goes on", culprit, error, exc_info=error, extra=fields)
    if turn is not None:
        exited.__cause__ = error
        turn.end_with(exited)
