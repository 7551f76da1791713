"""What a turn says that it has used."""

from functools import partial
from threading import get_ident
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidUsage, TurnOver
from turnkeeper.actors.model.records import MOST_TOKENS, Usage
from turnkeeper.actors.turn.guard.guard import Guard
from turnkeeper.actors.turn.work.threads import call_here

from .hosted import Hosted
from .undoable import Undoable


class Metered(Undoable, Hosted):
    """How a turn says what it has used."""

    __slots__ = ()
    n: int
    guard: Guard | None

    def report_usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        total: bool = False,
    ) -> None:
        """Say what the turn has used, as it goes. Reports add up; what none has said is not known, and not 0.

        ``cached_tokens`` are among the ``input_tokens``, ``reasoning_tokens`` among the ``output_tokens``.
        With ``total`` each number given is all that the turn has used so far, and takes the place of what was
        reported of it. It may be called in any thread: in one of `in_thread` as on the loop; in another one
        it returns at once, and counts when the loop comes to it.

        Raises `InvalidUsage`, and `TurnOver` once the turn is over. Raises CancelledError beyond
        ``max_tokens`` as `Turn.emit` does beyond its budgets: the turn is cancelled for that.
        """
        report = Usage(
            _checked(input_tokens, "input_tokens"),
            _checked(output_tokens, "output_tokens"),
            _checked(cached_tokens, "cached_tokens"),
            _checked(reasoning_tokens, "reasoning_tokens"),
        )
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: what it has used is written down")
        add = partial(self._add_usage, report, total)
        if get_ident() == self._host.thread:
            add()
        elif call_here() is not None:
            self.for_thread("", add)
        else:
            self._host.loop.call_soon_threadsafe(add)

    def _add_usage(self, report: Usage, total: bool) -> None:
        if self.over:
            return  # the turn was over before the loop came to it
        own = self.made_own
        own.usage = usage = report if own.usage is None else _with(own.usage, report, total=total)
        if self.guard is not None:
            self.guard.spends(self.n, usage.total_tokens or 0)


def _checked(count: Any, name: str) -> int | None:
    if count is None:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_TOKENS:
        raise InvalidUsage(f"{name} must be a whole number from 0, or None where it is not known")
    return int(count)


def _with(before: Usage, report: Usage, *, total: bool) -> Usage:
    """What was used before, and what is reported now."""
    numbers = zip(_numbers(before), _numbers(report), strict=True)
    return Usage(*[_either(was, now) if total else _sum(was, now) for was, now in numbers])


def _numbers(usage: Usage) -> tuple[int | None, ...]:
    return usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens


def _either(was: int | None, now: int | None) -> int | None:
    return was if now is None else now


def _sum(was: int | None, now: int | None) -> int | None:
    return was if now is None else min(MOST_TOKENS, (was or 0) + now)
