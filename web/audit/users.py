"""The crowd: users who send, press Stop and read as planned, and write down what they see."""

import asyncio
import time

from .log import AuditLog, ReadEntry, SendEntry, StopEntry
from .plan import Act, Fate, Plan, PlannedAct, PlannedUser, message
from .reader import Reader
from .target import Target
from .upstream import Upstream


class ImpatientUser:
    """One user of the crowd."""

    def __init__(
        self, user: PlannedUser, plan: Plan, target: Target, upstream: Upstream, log: AuditLog
    ) -> None:
        self._session = user.session
        self._acts = user.acts
        self._plan = plan
        self._target = target
        self._upstream = upstream
        self._log = log
        self._reader = Reader(target, user.session)
        self._turns: dict[int, str] = {}

    async def act(self) -> None:
        """Do everything that is planned. What was received is written down, also after a cancel."""
        try:
            for act in self._acts:
                await asyncio.sleep(act.pause)
                self._reader.come()
                await self._reader.until(lambda: self._reader.connected, self._plan.pace.patience / 3)
                await self._do(act)
        finally:
            await self._reader.leave()
            self._log.reads.append(ReadEntry(self._session, tuple(self._reader.tokens)))

    async def _do(self, act: PlannedAct) -> None:
        n = act.n
        match act.kind:
            case Act.READ:
                await self._send(n)
                await self._read_to_the_end(n)
            case Act.STOP_THEN_SEND:
                await self._send(n, Fate.STOP)
                await self._read_some(n, act.after_tokens)
                await self._stop(n, act.names_turn)
                await self._send(n + 1)
                await self._read_to_the_end(n + 1)
            case Act.STOP_EARLY:
                await self._send(n, Fate.STOP)
                await self._stop(n, act.names_turn)
                await self._watch()
            case Act.STOP_RACING if self._target.adapter.can_race:
                await asyncio.gather(self._send(n, Fate.STOP), self._stop(n, names_turn=True))
                await self._watch()
            case Act.STOP_TWICE | Act.STOP_RACING:
                await self._send(n, Fate.STOP)
                await self._read_some(n, act.after_tokens)
                await asyncio.gather(self._stop(n, act.names_turn), self._stop(n, act.names_turn))
                await self._watch()
            case Act.TWO_QUICKLY:
                await self._send(n, Fate.GIVE_WAY)
                await self._send(n + 1)
                await self._read_to_the_end(n + 1, also=n)
            case Act.LATE_STOP:
                await self._send(n)
                await self._read_to_the_end(n)
                await self._send(n + 1)
                if self._can_name(n):
                    await self._stop(n, names_turn=True, late=True)
                await self._read_to_the_end(n + 1)
            case Act.DROP:
                await self._send(n)
                await self._read_some(n, act.after_tokens)
                await self._reader.leave()
                await asyncio.sleep(self._plan.pace.token * 2 * act.after_tokens)
                self._reader.come()
                await self._read_to_the_end(n)
            case Act.SLOW:
                self._reader.sipping = 2 * self._plan.pace.token
                await self._send(n)
                await self._read_some(n, 2 * act.after_tokens)
                self._reader.sipping = 0.0
                await self._read_to_the_end(n)
            case Act.LEAVE:
                await self._send(n, Fate.ANY)
                await self._read_some(n, act.after_tokens)
                await self._reader.leave()

    # -- what a user does ---------------------------------------------------------------------------

    async def _send(self, n: int, fate: Fate = Fate.FINISH) -> None:
        turn = f"{self._session}-{n}"
        call = self._target.adapter.send.fill(
            session=self._session, message=message(self._session, n), turn=turn
        )
        asked = time.monotonic()
        status, answer = await self._target.ask(call)
        self._log.sends.append(SendEntry(self._session, n, asked, time.monotonic(), status, fate))
        self._turns[n] = self._target.adapter.turn_of(answer) or self._turns.get(n, "")

    def _can_name(self, n: int) -> bool:
        adapter = self._target.adapter
        return adapter.stop_turn is not None and bool(self._turns.get(n) or adapter.chooses_turn)

    async def _stop(self, n: int, names_turn: bool, *, late: bool = False) -> None:
        adapter, verb, turn = self._target.adapter, self._target.adapter.stop, ""
        if names_turn and adapter.stop_turn is not None and self._can_name(n):
            verb, turn = adapter.stop_turn, self._turns.get(n) or f"{self._session}-{n}"
        asked = time.monotonic()
        status, answer = await self._target.ask(verb.fill(session=self._session, turn=turn))
        said = adapter.says_stopped(status, answer)
        stopped = StopEntry(self._session, n, asked, time.monotonic(), status, said, late)
        self._log.stops.append(stopped)

    async def _read_some(self, n: int, count: int) -> None:
        """Wait for the first tokens of a reply, for a limited time."""
        pace = self._plan.pace

        def seen() -> bool:
            name = self._upstream.id_of(self._session, n)
            return sum(request == name for request, _ in self._reader.tokens) >= count

        await self._reader.until(seen, pace.first + count * pace.token + pace.patience / 3)

    async def _read_to_the_end(self, n: int, also: int | None = None) -> None:
        """Wait for the last token of a reply; ``also`` is a reply that may have to end before it."""
        pace, length = self._plan.pace, self._plan.lengths[self._session, n]
        tokens = length + (0 if also is None else self._plan.lengths[self._session, also])

        def seen() -> bool:
            return (self._upstream.id_of(self._session, n), length - 1) in self._reader.tokens[-length:]

        await self._reader.until(seen, pace.first + tokens * pace.token + pace.patience)

    async def _watch(self) -> None:
        """After a Stop, watch for a moment whether the reply goes on."""
        await asyncio.sleep(8 * self._plan.pace.token)


async def run_crowd(plan: Plan, target: Target, upstream: Upstream, log: AuditLog, seconds: float) -> None:
    """Let the whole crowd act, for at most so many seconds; those who have not finished are counted."""
    tasks = [
        asyncio.create_task(ImpatientUser(user, plan, target, upstream, log).act()) for user in plan.users
    ]
    try:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        log.out_of_time = len(late)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
