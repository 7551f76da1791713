"""One run of an agent that is cancelled at one of its awaits, and what was wrong with it."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from turnkeeper.actors.metrics.meter import (
    CANCEL_HOOKS_FAILED,
    CANCEL_HOOKS_OVERDUE,
    INTERRUPT_HOOKS_FAILED,
    INTERRUPT_HOOKS_OVERDUE,
    TURN_END_HOOKS_FAILED,
    TURN_END_HOOKS_OVERDUE,
)
from turnkeeper.actors.model.messages import Cancel, CancelAnswer
from turnkeeper.actors.model.records import Raised, TurnRecord
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.receipt import Receipt
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.turn.agent import AnyAgent

from .clock import VirtualClock, settle
from .conversation import Check, fault_of, in_order
from .fault import Fault, FaultCode
from .leftovers import Surroundings, marked
from .opening import AGENT, SESSION, TURN, Opening
from .place import written
from .watch import Watch

#: For how many virtual seconds what was left behind is watched, for what it emits.
LINGER: Final = 60.0
#: What is counted of the hooks of turns, and of those of the host.
_HOOKS: Final = (
    (CANCEL_HOOKS_FAILED.name, "on_cancel: it failed"),
    (CANCEL_HOOKS_OVERDUE.name, "on_cancel: it was not done in time"),
    (INTERRUPT_HOOKS_FAILED.name, "on_interrupt: it failed"),
    (INTERRUPT_HOOKS_OVERDUE.name, "on_interrupt: it was not done in time"),
    (TURN_END_HOOKS_FAILED.name, "on_turn_end: it failed"),
    (TURN_END_HOOKS_OVERDUE.name, "on_turn_end: it was not done in time"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """At which await a run is cancelled, and at which of its cleanup again. ``most``: at the latest."""

    at: int | None = None
    again: int | None = None
    most: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one run."""

    plan: Plan
    watch: Watch
    record: TurnRecord
    verdict: Verdict | None
    error: BaseException | None
    messages: tuple[Any, ...] | None
    leftovers: Sequence[Fault]

    @property
    def where(self) -> str:
        """The line of the await at which it was cancelled, or at which it would go on for ever."""
        awaits = self.watch.awaits
        return written(awaits[-1] if self.watch.is_cancelled and awaits and self.plan.at != 0 else None)

    @property
    def is_endless(self) -> bool:
        """Whether it was cancelled because it would not come to its end."""
        return self.plan.at is None and self.watch.is_cancelled


class Trier:
    """Runs an agent under a real registry, each time as if it were the first."""

    def __init__(
        self,
        agent: AnyAgent,
        message: Any,
        opening: Opening,
        clock: VirtualClock,
        file: str | None,
        horizon: float,
        check: Check | None,
    ) -> None:
        self._agent = agent
        self._message = message
        self._opening = opening
        self._clock = clock
        self._file = file
        self._horizon = horizon
        self._check = check

    async def run(self, plan: Plan) -> Tried:
        """Run it once. Cancelling it cancels that run."""
        with marked() as mark:
            surroundings = Surroundings(mark)
            try:
                async with self._opening.registry(self._agent) as registry:
                    return await self._run(plan, registry, surroundings)
            finally:
                surroundings.clear()

    async def _run(self, plan: Plan, registry: SessionRegistry, surroundings: Surroundings) -> Tried:
        loop = asyncio.get_running_loop()
        answers: list[AsyncioFuture[CancelAnswer]] = []

        def cancel() -> None:
            answers.append(registry.ref.ask_now(Cancel(SESSION, TURN)))

        watch = Watch(TURN, self._file, self._clock, cancel, at=plan.at, again=plan.again, most=plan.most)
        with watch.installed(loop):
            try:
                receipt = await registry.send(
                    SESSION, self._message, user=self._opening.user, agent=AGENT, turn_id=TURN
                )
                too_long = loop.call_later(self._horizon, watch.cancel)
                end = await receipt.end()
                verdict = (await answers[0]).verdict if answers else None
                honest = verdict is not Verdict.CANCELLED or watch.task is None or watch.task.done()
                too_long.cancel()
                leftovers = await surroundings.settled_faults()
                leftovers += [Fault(FaultCode.LEFT_TASK, line) for line in sorted(watch.left_at)]
                leftovers += [Fault(FaultCode.OPEN_CALL, name) for name in watch.open_calls]
                await self._clock.advance(LINGER)
                counts = registry.meter.counts()
                leftovers += [Fault(FaultCode.HOOK_FAILED, said) for name, said in _HOOKS if name in counts]
                if not honest:
                    leftovers.append(Fault(FaultCode.DISHONEST_VERDICT, f"{verdict} while the task ran"))
                return Tried(
                    plan=plan,
                    watch=watch,
                    record=await receipt.ended(),
                    verdict=verdict,
                    error=end.outcome.error if isinstance(end.outcome, Raised) else None,
                    messages=await self._messages(registry, receipt),
                    leftovers=leftovers,
                )
            finally:
                watch.discard()
                await settle()

    async def _messages(self, registry: SessionRegistry, receipt: Receipt) -> tuple[Any, ...] | None:
        """What was said in the session, where that is turnkeeper's to keep."""
        if self._opening.load_context is not None:
            return None
        return (await registry.messages(receipt.session_id)).messages

    def faults(self, tried: Tried, whole: Tried) -> tuple[Fault, ...]:
        """What was wrong with a run, beside the ``whole`` one that nothing cancelled."""
        found = [*self._of_course(tried, whole), *self._of_end(tried), *tried.leftovers]
        found += [Fault(FaultCode.BLOCKED_LOOP, f"time.sleep, {place}") for place in tried.watch.slept]
        slow = tried.watch.slow if tried.watch.babbled is None else [tried.watch.babbled]
        found += [Fault(FaultCode.BLOCKED_LOOP, place) for place in slow]
        found += [Fault(FaultCode.EMITTED_AFTER_END, repr(event)) for event in tried.watch.late]
        if tried.watch.is_cancelled:
            found += self._of_conversation(tried, whole)
        return tuple(dict.fromkeys(found))

    def _of_course(self, tried: Tried, whole: Tried) -> list[Fault]:
        """Whether it took the same course as the whole one, as far as it came."""
        awaits, expected = tried.watch.awaits, whole.watch.awaits
        same = awaits == expected[: len(awaits)]
        if same and (tried.plan.at is None or tried.watch.is_cancelled):
            return []
        n = next(
            (n for n, pair in enumerate(zip(awaits, expected, strict=False)) if pair[0] != pair[1]), None
        )
        if n is None:
            detail = f"{len(awaits)} awaits instead of {len(expected)}"
        else:
            detail = f"await {n + 1}: {written(awaits[n])} instead of {written(expected[n])}"
        return [Fault(FaultCode.NOT_DETERMINISTIC, detail)]

    @staticmethod
    def _of_end(tried: Tried) -> list[Fault]:
        """Whether it ended as a turn should that was cancelled, or that was not."""
        record, error = tried.record, tried.error
        name = "CancelledError" if error is None else type(error).__name__
        if not tried.watch.is_reached:
            failed = record.status is TurnStatus.FAILED and tried.watch.babbled is None
            return [Fault(FaultCode.AGENT_FAILED, name)] if failed else []
        found: list[Fault] = []
        if record.status is TurnStatus.COMPLETED:
            found.append(Fault(FaultCode.SWALLOWED_CANCEL, "it returned"))
        elif record.status is TurnStatus.FAILED:
            found.append(Fault(FaultCode.RAISED_INSTEAD, name))
        elif record.status is TurnStatus.UNRESPONSIVE:
            return [Fault(FaultCode.UNRESPONSIVE, "given up")]
        if record.cancelled_again_at is not None:
            found.append(Fault(FaultCode.NEEDED_SECOND_CANCEL, "cancelled again"))
        return found

    def _of_conversation(self, tried: Tried, whole: Tried) -> list[Fault]:
        if tried.messages is None or tried.record.status is TurnStatus.UNRESPONSIVE:
            return []
        before = tuple(self._opening.messages)
        if self._check is not None:
            said = fault_of(self._check, before, tried.messages)
        elif in_order(before, tried.messages, whole.messages or ()):
            said = None
        else:
            said = f"messages before the turn: {len(before)}, after it: {len(tried.messages)}"
        return [] if said is None else [Fault(FaultCode.HALF_WRITTEN, said)]
