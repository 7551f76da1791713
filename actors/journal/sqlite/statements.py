"""Many rows in one statement, whichever way they go.

Between any two steps of a statement, and any two statements, a busy event loop may have the interpreter for
some milliseconds: 1,000 rows in one statement took a thirtieth of the time that they took one by one.

A statement that writes over what there is takes three times as long to prepare as to run. So these come in
few sizes, which the connection keeps prepared.
"""

import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")
#: How many values a statement may have.
_VARIABLES: Final = 32_000
#: How many one may have that is kept prepared: such a statement takes about a megabyte.
_PREPARED: Final = 8_000
#: Among values that are handed in as one text.
AMONG: Final = "IN (SELECT value FROM json_each(?))"


def among(values: Iterable[Any]) -> str:
    """The text for `AMONG`."""
    return msgspec.json.encode(list(values)).decode()


def put(connection: sqlite3.Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    """Write rows, in one statement as far as SQLite can take them; ``{}`` in it is where the values go."""
    if not rows:
        return
    columns = len(rows[0])
    most = _VARIABLES // columns
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        connection.execute(_with_values(statement, columns, len(some)), list(chain.from_iterable(some)))


def put_over(connection: sqlite3.Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    """The same by a statement that may write a row twice."""
    if not rows:
        return
    columns = len(rows[0])
    most = _PREPARED // columns
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        size = min(most, _rounded(len(some)))
        some += some[-1:] * (size - len(some))
        connection.execute(_known(statement, columns, size), list(chain.from_iterable(some)))


def _with_values(statement: str, columns: int, count: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return statement.format(", ".join([one] * count))


_known: Final = lru_cache(maxsize=128)(_with_values)


def _rounded(count: int) -> int:
    """At most a quarter more, so that there are four sizes between one power of two and the next."""
    step = 1 << max(0, count.bit_length() - 3)
    return -(-count // step) * step


def rows(
    connection: sqlite3.Connection,
    columns: str,
    select: str,
    values: tuple[Any, ...],
    decoder: msgspec.json.Decoder[list[T]],
) -> list[T]:
    """These columns of all rows that a query selects. A time is not to be among them: SQLite rounds it."""
    query = f"SELECT json_group_array(json_array({columns})) FROM ({select})"
    (text,) = connection.execute(query, values).fetchone()
    return decoder.decode(text)
