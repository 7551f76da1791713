"""A message that carries the type of its reply, for `ask`."""

from typing import Generic, TypeVar

R = TypeVar("R")


class Query(Generic[R]):
    """A message whose reply is an ``R``."""

    __slots__ = ()
