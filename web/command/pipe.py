"""Noticing that the reader of a pipe has gone, as in ``turnkeeper tail s1 | head``."""

import asyncio
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def broken_pipe_noticed() -> Generator[None]:
    """Raise `BrokenPipeError` once the reader of standard output has gone, even if nothing is written."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(number)  # it stays readable: once is enough
        task.cancel()

    try:
        number = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            raise OSError
        # The writing end of a pipe becomes readable when its last reader closes it.
        loop.add_reader(number, leave)
    except (OSError, ValueError, NotImplementedError):  # no pipe, no stdout, or a loop that cannot watch it
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            task.uncancel()
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(number)
