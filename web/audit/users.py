"""The crowd: users who send, press Stop and read as planned, and write down what they see."""

import asyncio
import time

from .adapters.adapter import HangUp, Opening, Stop
from .adapters.verb import word_at
from .answer_reader import AnswerReader
from .log import AuditLog, SendEntry, StopEntry
from .plan import Act, Fate, Plan, PlannedAct, PlannedUser, message
from .reader import Reader
from .session_reader import SessionReader
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
        self._adapter = target.adapter
        self._upstream = upstream
        self._log = log
        self._fates: dict[int, Fate] = {}
        self._reads = AnswerReader if target.adapter.answers_with_stream else SessionReader
        self._take(user.session)

    def _take(self, name: str) -> None:
        """Take that for the id by which the server knows the session."""
        self._name = name
        self._reader: Reader = self._reads(self._target, name)

    async def act(self) -> None:
        """Do everything that is planned. What was received is written down, also after a cancel."""
        if self._adapter.opening is not None and not await self._open(self._adapter.opening):
            return
        try:
            for act in self._acts:
                await asyncio.sleep(act.pause)
                await self._reader.come()
                await self._do(act)
            await self._reader.finish()
        finally:
            await self._reader.leave()
            self._log.sends += [
                SendEntry(self._session, n, sent.asked, sent.answered, sent.status, self._fates[n])
                for n, sent in self._reader.sent.items()
            ]
            self._log.reads.append(self._reader.entry(self._session))

    async def _open(self, opening: Opening) -> bool:
        """Have the server open a session; whether it did. If not, that is written down."""
        asked = time.monotonic()
        status, answer = await self._target.ask(opening.request.fill(session=self._session))
        name = word_at(answer, opening.field) if 200 <= status < 300 else ""
        if not name:
            entry = SendEntry(self._session, 0, asked, time.monotonic(), status, Fate.FINISH)
            self._log.sends.append(entry)
            return False
        self._take(name)
        return True

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
            case Act.STOP_RACING if self._adapter.can_race:
                await asyncio.gather(self._send(n, Fate.STOP), self._stop(n, names_turn=True, racing=True))
                await self._watch()
            case Act.STOP_TWICE | Act.STOP_RACING:
                await self._send(n, Fate.STOP)
                await self._read_some(n, act.after_tokens)
                await asyncio.gather(self._stop(n, act.names_turn), self._stop(n, act.names_turn))
                await self._watch()
            case Act.TWO_QUICKLY if not self._adapter.knows_sessions:
                await self._send(n, Fate.STOP)
                await self._stop(n, act.names_turn)
                await self._send(n + 1)
                await self._read_to_the_end(n + 1)
            case Act.TWO_QUICKLY:
                await self._send(n, Fate.GIVE_WAY)
                await self._send(n + 1)
                await self._read_to_the_end(n + 1, also=n)
            case Act.LATE_STOP:
                await self._send(n)
                await self._read_to_the_end(n)
                await self._send(n + 1)
                if self._adapter.stop_turn is not None and n in self._reader.turns:
                    await self._stop(n, names_turn=True, late=True)
                await self._read_to_the_end(n + 1)
            case Act.DROP if not self._adapter.can_come_back:
                await self._send(n)
                await self._read_to_the_end(n)
            case Act.DROP:
                await self._send(n)
                await self._read_some(n, act.after_tokens)
                await self._reader.leave()
                await asyncio.sleep(self._plan.pace.token * 2 * act.after_tokens)
                await self._reader.come()
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
        call = self._adapter.send.fill(session=self._name, message=message(self._session, n), turn=turn)
        self._fates[n] = fate
        if self._adapter.chooses_turn:
            self._reader.turns[n] = turn
        # What is sent on two connections may arrive in any order: only who races does not wait.
        await self._reader.send(n, call)

    async def _stop(self, n: int, names_turn: bool, *, late: bool = False, racing: bool = False) -> None:
        asked = time.monotonic()
        # Who hangs up has no answer; who has no id to stop by presses the button in vain.
        answered, status, said = asked, None, False
        match await self._way_to_stop(n, names_turn):
            case Stop() as stop:
                call = stop.request.fill(session=self._name, turn=self._reader.turns.get(n, ""))
                status, answer = await self._target.ask(call)
                answered, said = time.monotonic(), stop.says_stopped(status, answer)
            case HangUp():
                if racing:  # what has not left yet cannot be stopped
                    await asyncio.sleep(self._plan.pace.token / 5)
                    asked = answered = time.monotonic()
                await self._reader.hang_up(n)
            case None:
                pass
        self._log.stops.append(StopEntry(self._session, n, asked, answered, status, said, late))

    async def _way_to_stop(self, n: int, names_turn: bool) -> Stop | HangUp | None:
        """The Stop to make; ``None`` if it has to name a turn whose id is not known, after some waiting."""
        adapter, turns = self._adapter, self._reader.turns
        if adapter.stop is None:
            await self._reader.until(lambda: n in turns, self._plan.pace.patience / 3)
            return adapter.stop_turn if n in turns else None
        can_name = adapter.stop_turn is not None and n in turns
        return adapter.stop_turn if names_turn and can_name else adapter.stop

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
        await self._reader.until(lambda: self._reader.is_over(n), pace.patience / 3)

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
