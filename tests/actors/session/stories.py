"""One session and its story in a test; the monitor of the search watches every step."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tests.actors.session.alphabet import Address
from tests.actors.session.facts import Facts
from tests.actors.session.logged import Log
from tests.actors.session.monitor import observe
from tests.actors.session.rows import Table, Taken
from tests.turns import LIMITS, memory, spec
from turnkeeper.actors.journal.durable import durable, restored
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import (
    Hold,
    Recover,
    ReplyAddress,
    Shut,
    Stop,
    Submit,
    Tick,
    TurnEnded,
    Unhold,
)
from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.records import Outcome, Reason, Returned, TurnId, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, OnRestart, Strategy, WhoMayStop
from turnkeeper.actors.session.effects import Effect, EndTurn, Refuse, Reply
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.states import Ending, Idle, Limits, Running, State
from turnkeeper.actors.session.views import find_turn

E = TypeVar("E", bound=Effect)
V = TypeVar("V")

START = 1_000.0
GRACE = 4.0
USER = Reason(CancelCode.USER_REQUEST, "ada", "enough")
ADMIN = Reason(CancelCode.ADMIN, "root")
POLICY = Reason(CancelCode.POLICY)
GONE = Reason(CancelCode.CLIENT_DISCONNECTED)
CLOSE = Reason(CancelCode.SESSION_CLOSED, "ada")
SHUTDOWN = Reason(CancelCode.SHUTDOWN)

#: All stories are held against one.
TABLE = Table()
LOG = Log()


class Session:
    """A session, the clock on its wall, and all that was ever answered to its askers."""

    def __init__(
        self, limits: Limits | None = None, on_restart: Mapping[str, OnRestart] | None = None
    ) -> None:
        #: What becomes of the turns of an agent at a restart.
        self.on_restart = on_restart or {}
        self.state: State = Idle(memory(limits=limits or LIMITS))
        self.facts = Facts()
        self.now = START
        self.effects: tuple[Effect, ...] = ()
        self.answers: dict[ReplyAddress, Any] = {}
        self.askers = 0

    def tell(self, message: Message, to: ReplyAddress | None = None) -> tuple[Effect, ...]:
        """One step, watched by the monitor and held against the table."""
        before = self.state
        self.state, self.effects = step(before, message, self.now, to)
        self.facts = observe(self.facts, before, message, self.now, to, self.state, self.effects)
        LOG.check(before, self.state, self.effects)
        TABLE.check(Taken(before, message, self.now, self.state, self.effects))
        for effect in self.effects:
            if isinstance(effect, Reply) and effect.to is not None:
                self.answers[effect.to] = effect.answer
            elif isinstance(effect, Refuse) and effect.to is not None:
                self.answers[effect.to] = effect.error
        return self.effects

    def ask(self, message: Message) -> Address:
        """One step on behalf of an asker whose answer is looked up later."""
        self.askers += 1
        asker = Address(self.askers)
        self.tell(message, asker)
        return asker

    def answer(self, asker: Address, kind: type[V]) -> V:
        answer = self.answers[asker]
        assert isinstance(answer, kind)
        return answer

    def send(
        self,
        turn_id: str = "t1",
        *,
        strategy: Strategy = Strategy.INTERRUPT,
        wait: bool = True,
        timeout: float | None = None,
        grace: float = GRACE,
        fingerprint: bytes | None = None,
        if_match: str | None = None,
        no_room: SessionError | None = None,
        past: TurnRecord | None = None,
        agent: str = "coder",
        user: str = "ada",
        who_may_stop: WhoMayStop = WhoMayStop.OWNER,
        not_before: float | None = None,
    ) -> Address:
        on_restart = self.on_restart.get(agent, OnRestart.INTERRUPT)
        policy = Policy(on_restart=on_restart, who_may_stop=who_may_stop)
        sent = spec(
            turn_id,
            user=user,
            own_policy=None if policy == STANDARD else policy,
            submitted_at=self.now,
            timeout=timeout,
            grace=grace,
            fingerprint=fingerprint,
            agent=agent,
        )
        submit = Submit(sent, strategy, wait, if_match, no_room=no_room, not_before=not_before, past=past)
        return self.ask(submit)

    def stop(
        self,
        turn_id: str | None = None,
        reason: Reason = USER,
        *,
        wait: bool = True,
        if_match: str | None = None,
        clear: bool = False,
        asker: str | None = None,
        force: bool = False,
    ) -> Address:
        named = None if turn_id is None else TurnId(turn_id)
        return self.ask(Stop(named, reason, wait, if_match, clear, asker, force))

    def shut(self, reason: Reason = CLOSE, grace: float | None = None) -> Address:
        return self.ask(Shut(reason, grace))

    def hold(self, number: int = 1, span: float | None = None, inside: int | None = None) -> Any:
        """The holder asks for a critical section: until when it may last, or why it is refused."""
        return self.answers[self.ask(Hold(self.epoch, number, span, inside))]

    def unhold(self, number: int = 1) -> None:
        """A critical section of the holder is over."""
        assert self.answers[self.ask(Unhold(self.epoch, number))] is None

    def end(self, outcome: Outcome | None = None, epoch: int | None = None) -> TurnRecord:
        """The coroutine ends; the record it leaves."""
        self.tell(TurnEnded(self.epoch if epoch is None else epoch, outcome or Returned("done")))
        return self.one(EndTurn).record

    def load(self, limits: Limits | None = None, *, winds: bool = False) -> tuple[Effect, ...]:
        """Its process ends, and another one loads it."""
        home = self.state.memory.home
        home = replace(home, limits=limits or home.limits)
        self.state, self.facts = restored(durable(self.state), home), self.facts.restarted()
        return self.tell(Recover(winds))

    def wait(self, seconds: float) -> tuple[Effect, ...]:
        """Time passes, and a tick comes."""
        self.now += seconds
        return self.tell(Tick())

    def swallow(self) -> int:
        """The holder ignores its whole ladder; its epoch."""
        epoch = self.epoch
        self.wait(GRACE / 2)
        self.wait(GRACE / 2)
        return epoch

    @property
    def epoch(self) -> int:
        assert isinstance(self.state, Running | Ending)
        return self.state.turn.epoch

    @property
    def records(self) -> tuple[TurnRecord, ...]:
        return self.state.memory.records

    def turn(self, turn_id: str) -> TurnRecord:
        record = find_turn(self.state, turn_id)
        assert record is not None
        return record

    def one(self, kind: type[E]) -> E:
        """The one effect of this kind in the last step."""
        (effect,) = self.all(kind)
        return effect

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def did(self) -> list[type[Effect]]:
        """The kinds of the last step's effects, in order; answers without an asker left out."""
        return [type(effect) for effect in self.effects if getattr(effect, "to", effect) is not None]


def closed(session: Session) -> Session:
    session.shut()
    return session
