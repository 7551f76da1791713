"""Where a coroutine is suspended: the line of the agent's own that awaits."""

import functools
import gc
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, TypeAlias

#: A line of a function; ``None``: it is not known.
Place: TypeAlias = tuple[CodeType, int] | None

#: How deep the chain of awaits is followed.
DEPTH: Final = 200
#: Where the frames lie that are turnkeeper's own, and those that are Python's.
_OURS: Final = str(Path(__file__).parents[1])
_PYTHON: Final = str(Path(functools.__file__).parent)
_SUSPENDED: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)


def file_of(function: Any) -> str | None:
    """The file in which an agent's function, or object that can be called, is written."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__code__"):
        function = getattr(function, "__func__", None) or type(function).__call__
    code = getattr(function, "__code__", None)
    return code.co_filename if isinstance(code, CodeType) else None


def place_of(coroutine: Any, file: str | None) -> Place:
    """The innermost line of that file at which the coroutine is suspended, or else the nearest to it."""
    return _innermost([frame for each in chain(coroutine) if (frame := _frame(each)) is not None], file)


def place_here(file: str | None, outermost: CodeType) -> Place:
    """The same of what runs in this thread, inside a call of ``outermost``."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not outermost:
        frames.append(frame)
        frame = frame.f_back
    return _innermost(frames[::-1], file)


def written(place: Place) -> str:
    """The place as text: its file, line and function."""
    if place is None:
        return "-"
    code, line = place
    return f"{Path(code.co_filename).name}:{line} in {code.co_qualname}"


def chain(coroutine: Any) -> Iterator[Any]:
    """The coroutines and generators that are suspended there, the outermost one first."""
    for _ in range(DEPTH):
        if isinstance(coroutine, CoroutineType):
            inner = coroutine.cr_await
        elif isinstance(coroutine, AsyncGeneratorType):
            inner = coroutine.ag_await
        elif isinstance(coroutine, GeneratorType):
            inner = coroutine.gi_yieldfrom
        else:
            # What `async for` awaits of a generator says nothing of it, but refers to it.
            found = [each for each in gc.get_referents(coroutine) if isinstance(each, _SUSPENDED)]
            if len(found) != 1:
                return
            coroutine = found[0]
            continue
        yield coroutine
        if inner is None:
            return
        coroutine = inner


def _frame(suspended: Any) -> FrameType | None:
    for name in ("cr_frame", "ag_frame", "gi_frame"):
        frame: FrameType | None = getattr(suspended, name, None)
        if frame is not None:
            return frame
    return None


def _innermost(frames: list[FrameType], file: str | None) -> Place:
    """The innermost of these frames in that file, or else of those that are not turnkeeper's and Python's."""
    found = [frame for frame in frames if frame.f_code.co_filename == file]
    found = found or [frame for frame in frames if _is_hosts(frame.f_code.co_filename)] or frames
    return (found[-1].f_code, found[-1].f_lineno) if found else None


@functools.cache
def _is_hosts(file: str) -> bool:
    return not file.startswith((_OURS, _PYTHON, "<"))
