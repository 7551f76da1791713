"""Whether what a host hands over is a function that can be called as it will be."""

import inspect
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE
from types import CodeType
from typing import Any

from .exceptions import InvalidRequest


def check_function(function: object, field: str, *arguments: str, names: tuple[str, ...] = ()) -> None:
    """Raise `InvalidRequest` for what cannot be called with these arguments, or answers with a generator.

    ``names`` are those of arguments that are handed over by their names.
    """
    check_callable(function, field, field, *arguments, names=names)
    refuse_generators(function, field, field)
    if inspect.isasyncgenfunction(function):
        raise InvalidRequest(f"{field} is an async generator function: it must return", field=field)


def check_callable(
    function: object, field: str, what: str, *arguments: str, names: tuple[str, ...] = ()
) -> None:
    """Raise `InvalidRequest` where ``what`` cannot be called with these arguments, as in `check_function`."""
    if inspect.isclass(function):
        raise InvalidRequest(f"{what} is a class: pass an instance", field=field)
    if not callable(function):
        raise InvalidRequest(f"{what} cannot be called", field=field)
    if not takes(function, len(arguments), names):
        given = f"with {' and '.join(arguments)}" if arguments else "without arguments"
        raise InvalidRequest(f"{what} cannot be called {given}", field=field)


def takes(function: Any, count: int, names: tuple[str, ...] = ()) -> bool:
    """Whether it can be called with so many arguments by position, and those of these names.

    One that does not tell is believed.
    """
    try:
        # Of a decorated function it is the decorator's that is called.
        inspect.signature(function, follow_wrapped=False).bind(*[None] * count, **dict.fromkeys(names))
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin without a signature
    return True


def refuse_generators(function: object, field: str, what: str) -> None:
    """Raise `InvalidRequest` where ``what`` is a generator function that is not async."""
    code = code_of(function)
    if code is not None and code.co_flags & CO_GENERATOR and not code.co_flags & CO_ITERABLE_COROUTINE:
        raise InvalidRequest(f"{what} is a generator function that is not async", field=field)


def is_plain(function: object) -> bool:
    """Whether a call of it does its work, and does not only make what is to be awaited or iterated on a loop.

    Of one that is decorated, that is what stands below the decorators. What is not written in Python is not.
    """
    code = code_of(inspect.unwrap(function) if callable(function) else function)
    return code is not None and not code.co_flags & (
        CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE
    )


def code_of(function: Any) -> CodeType | None:
    """What a call of it runs, if that is written in Python."""
    while isinstance(function, partial):
        function = function.func
    called = function if inspect.isroutine(function) else type(function).__call__
    code = getattr(called, "__code__", None)
    return code if isinstance(code, CodeType) else None
