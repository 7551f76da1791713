"""Logs at random: whatever a session may write, step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from turnkeeper.actors.journal.entries import (
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    EndedLate,
    Entry,
    SessionClosed,
    Started,
    Titled,
)
from turnkeeper.actors.model.records import Cancellation, LateEnd, Reason, TurnError, TurnId
from turnkeeper.actors.model.words import CancelCode, TurnStatus

from .logs import accepted, ended, events, opened, raw, spec, started

REASON = Reason(CancelCode.USER_REQUEST, "ada", "enough")


@dataclass
class Walk:
    """One session's log: what it may write next depends on what it has written."""

    session: str
    owner: str
    random: Random
    now: float = 0.0
    epoch: int = 0
    turns: int = 0
    messages: int = 0
    holder: str | None = None
    n: int = 0
    waiting: str | None = None
    early: str | None = None
    given_up: list[str] = field(default_factory=list)
    asked: bool = False
    open: bool = False
    closed: bool = False

    def choose(self, among: Sequence[Any]) -> Any:
        """One of these."""
        return self.random.choice(among)

    def next(self, now: float) -> list[Entry]:
        """What it writes next."""
        self.now = now
        if not self.open:
            self.open = True
            return [opened(self.owner, now), *self._start()]
        steps: list[Callable[[], list[Entry]]] = [self._title]
        if not self.closed:
            steps += [self._early, self._late, self._nothing_began]
            if self.holder is None:
                steps += [self._close] if self.waiting is None else [self._again]
                steps += [self._start] if self.waiting is None else []
            else:
                steps += [self._emit, self._emit, self._end, self._end, self._ask, self._cut_off]
                steps += [self._queue] if self.waiting is None else []
        return self.choose(steps)() or self._title()  # type: ignore[no-any-return]

    def _turn(self) -> str:
        self.turns += 1
        return f"t{self.turns}"

    def _start(self) -> list[Entry]:
        self.holder, self.epoch, self.n, self.asked = self._turn(), self.epoch + 1, 1, False
        message = self.choose(["hello", [{"type": "text", "text": "hü\n\"'"}], {"a": None}, ""])
        return [started(self.holder, self.epoch, self.now, message)]

    def _again(self) -> list[Entry]:
        assert self.waiting is not None
        self.holder, self.waiting, self.asked = self.waiting, None, False
        self.epoch, self.n = self.epoch + 1, 1
        return [Started(TurnId(self.holder), self.epoch, self.now, attempt=self.choose([1, 2]))]

    def _queue(self) -> list[Entry]:
        assert self.holder is not None
        self.waiting, self.asked = self._turn(), True
        cancel = CancelAsked(TurnId(self.holder), REASON, self.now)
        return [cancel, accepted(self.waiting, self.now)]

    def _ask(self) -> list[Entry]:
        assert self.holder is not None
        self.asked = True
        return [CancelAsked(TurnId(self.holder), REASON, self.now)]

    def _emit(self) -> list[Entry]:
        data = [self.choose(["x", {"text": "ü"}, None, 1.5, "y" * 50]) for _ in range(self.choose([1, 2, 5]))]
        begin, self.n = self.n, self.n + len(data)
        return [events(self.epoch, begin, *data)]

    def _end(self) -> list[Entry]:
        assert self.holder is not None
        turn, self.holder = self.holder, None
        status = self.choose([TurnStatus.COMPLETED, TurnStatus.FAILED, TurnStatus.CANCELLED, GIVEN_UP])
        if status is GIVEN_UP:
            self.given_up.append(turn)
        more: dict[str, Any] = {}
        if status is TurnStatus.COMPLETED:
            more = self.choose(
                [{"result": raw({"r": [1]}), "result_size": 100}, {"result_left_out": True}, {}]
            )
        if status is TurnStatus.FAILED:
            more = {"error": TurnError("AGENT_ERROR", "ValueError")}
        if self.choose([0, 0, 1]):
            more["data"] = raw({"seen": self.turns})
        if self.asked:
            more["cancellation"] = Cancellation(REASON, self.now)
        keep, add = self.choose(
            [(None, 0), (self.messages, 2), (self.messages, 0), (self.messages // 2, 3), (0, 1)]
        )
        if keep is not None:
            self.messages = keep + add
        said = [self.choose(["m", {"role": "user", "content": "ü"}, ["a", [1]]]) for _ in range(add)]
        entries: list[Entry] = [ended(turn, self.n, self.now, keep=keep, add=said, status=status, **more)]
        if self.waiting is not None and self.choose([0, 1]):
            entries += self._again()
        return entries

    def _cut_off(self) -> list[Entry]:
        if self.waiting is not None:
            return []
        assert self.holder is not None
        self.holder, self.waiting = None, self.holder
        self.epoch += 1
        return [AttemptEnded(TurnId(self.waiting), self.epoch, self.now, f"{self.epoch - 1}-{self.n - 1}")]

    def _early(self) -> list[Entry]:
        self.early = self._turn()
        return [EarlyCancel(TurnId(self.early), REASON, self.now)]

    def _nothing_began(self) -> list[Entry]:
        if self.early is None:
            return []
        turn, self.early = self.early, None
        cancellation = Cancellation(REASON, self.now)
        head = spec(turn, self.now).head
        status = TurnStatus.CANCELLED
        return [ended(turn, None, self.now, status=status, head=head, began=False, cancellation=cancellation)]

    def _late(self) -> list[Entry]:
        if not self.given_up:
            return []
        turn = self.given_up.pop(0)
        return [EndedLate(TurnId(turn), LateEnd(TurnStatus.COMPLETED, self.now))]

    def _title(self) -> list[Entry]:
        return [Titled(self.choose(["Tea", "Große Reise", "100%"]))]

    def _close(self) -> list[Entry]:
        if self.choose([0, 0, 0, 1]):
            self.closed, self.messages = True, 0
            return [SessionClosed(REASON, self.now)]
        return self._start()


GIVEN_UP = TurnStatus.UNRESPONSIVE
