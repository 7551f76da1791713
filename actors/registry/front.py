"""SessionRegistry: what a host opens, on its event loop."""

import asyncio
import os
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Self

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.journal.where import AnyJournal, journal_of
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.exceptions import AlreadyStarted, InvalidRequest, LoopClosed, NoRegistry
from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.model.messages import LoopLag, Recovering, Shutdown
from turnkeeper.actors.model.records import Epoch, SessionId
from turnkeeper.actors.model.words import Layer, Priority
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.policy.said import PolicyFields, of_users, said
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef
from turnkeeper.actors.session.settings import Settings, check_settings
from turnkeeper.actors.session.views import find_turn
from turnkeeper.actors.turn.agent import (
    Agent,
    AnyAgent,
    LoadContext,
    OwnerOf,
    SaveContext,
    agent_of,
    check_agent,
    check_save,
    keyed,
)
from turnkeeper.actors.turn.context_store import ContextStore
from turnkeeper.actors.turn.pipeline import Pipeline, S
from turnkeeper.actors.turn.transcript import Bound
from turnkeeper.actors.turn.turn import refuse_to_wait_for_itself
from turnkeeper.actors.turn.winding.hooks import OnInterrupt, OnRollback, OnTurnEnd, host_hooks

from .admitting.slots import caps_of
from .calls import SessionCalls
from .directory import Directory
from .registry_actor import RegistryActor
from .shared import Shared, debug_from

#: The registries that are open on each loop, for the service functions.
_open: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[SessionRegistry]]"
_open = weakref.WeakKeyDictionary()


class SessionRegistry(SessionCalls):
    """Keeps the turns of chat sessions.

    ``async with SessionRegistry(agent) as registry`` opens it on the running loop; leaving the block
    shuts it down. ``agents`` is one agent, or several by name of which the one called ``default``, or
    else the first, is the default.
    With a ``journal``, the path of a file or one that is made already, sessions outlive the process.
    ``users`` says how the turns of some users are run, by their names: each as an `Agent` says it of its own.

    ``on_interrupt`` is called with each turn that was stopped or whose process has ended (`InterruptedTurn`),
    ``on_rollback`` with each that is undone (`UndoneTurn`), ``on_turn_end`` with the record of each that was
    started; after a restart for those of the process before. Each may be a coroutine function, and is called
    before the turn lets go of its session; again, if the process ends while it runs.

    Everything here belongs to the loop's thread. Other threads use `ref`: ``registry.ref.ask(Cancel("s1"),
    timeout=5)`` or ``registry.ref.tell(...)``.
    """

    def __init__(
        self,
        agents: "AnyAgent | Mapping[str, AnyAgent]",
        *,
        settings: Settings | None = None,
        load_context: LoadContext | None = None,
        save_context: SaveContext | None = None,
        owner_of: OwnerOf | None = None,
        journal: AnyJournal | None = None,
        users: Mapping[str, PolicyFields] | None = None,
        on_interrupt: OnInterrupt | None = None,
        on_rollback: OnRollback | None = None,
        on_turn_end: OnTurnEnd | None = None,
    ) -> None:
        by_name: dict[Any, Any] = dict(agents) if isinstance(agents, Mapping) else {"default": agents}
        if not by_name or not all(isinstance(name, str) for name in by_name):
            raise InvalidRequest("agents are one agent, or a mapping of names to agents", field="agents")
        for name, agent in by_name.items():
            check_agent(name, agent)
        if load_context is not None:
            check_function(load_context, "load_context", "a session", "a user")
        if save_context is not None:
            check_save(save_context)
        if owner_of is not None:
            check_function(owner_of, "owner_of", "a session")
        check_settings(settings, Settings)
        self._agents: dict[str, Agent] = {name: agent_of(agent) for name, agent in by_name.items()}
        default_agent = "default" if "default" in by_name else next(iter(by_name))
        self.settings = settings if settings is not None else Settings()
        #: What the settings, the agents and the users come to. The actors write it; on the loop one may look.
        self.layers = Layers(
            self.settings,
            {name: said(Layer.AGENT, name, agent.policy) for name, agent in self._agents.items()},
            of_users(users),
            default_agent,
        )
        #: What happened how often, also around the registry: `counts` gives it out.
        self.meter = Meter(by_name, Priority)
        #: Names this run of the process: turn ids begin with it, and ``/healthz`` shows it.
        self.incarnation = secrets.token_hex(6)
        #: Which sessions there are. The actors write it; on the loop one may look.
        self.directory = Directory(Bounds.of(self.settings), caps_of(self.settings, self.layers))
        #: Where sessions outlive the process; ``None``: nowhere.
        self.journal = journal_of(journal, self.settings)
        self._load_context = load_context
        self._save_context = None if save_context is None else keyed(save_context)
        self._owner_of = owner_of
        self._hooks = host_hooks(on_interrupt, on_rollback, on_turn_end)
        self._stages = Pipeline()
        self._shared: Shared | None = None
        self._ref: AsyncioRef[RegistryActor] | None = None
        self._stopped: AsyncioFuture[bool] | None = None
        #: The sessions of the process before whose turns it has not ended.
        self.left: tuple[SessionId, ...] = ()
        self._draining = self._opening = False

    def stage(self, name: str, priority: float = 0) -> Callable[[S], S]:
        """Register a stage, before the start: ``@registry.stage("pre_process_msg", priority=5)``.

        A stage is ``(data: dict, context) -> dict``, sync or async. Those named ``pre_process_msg`` run
        before the agent, those named ``process_results`` after it, others when an agent says so
        (`Turn.run_stages`). The higher priority runs first, of equal ones the one registered first.
        Raises `InvalidRequest`, `AlreadyStarted` and `WrongThread`.
        """
        return self._stages.stage(name, priority)

    # -- Life -----------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Open the registry on the running loop, and its journal, if it has one.

        Raises `AlreadyStarted` the second time, and `JournalNotOpened`. Cancelling it leaves it closed.
        """
        if self._ref is not None or self._opening:
            raise AlreadyStarted("this registry was started before: make another one")
        self._opening = True
        self.left = () if self.journal is None else tuple(await self.journal.open())
        loop = asyncio.get_running_loop()
        settings, meter = self.settings, self.meter
        bound = Bound(settings.conversation_messages, settings.conversation_bytes)
        self._shared = Shared(
            loop=loop,
            thread=threading.get_ident(),
            zero=time.time() - loop.time(),
            settings=settings,
            layers=self.layers,
            agents=self._agents,
            stages=self._stages,
            around=self._stages.start(),
            meter=meter,
            contexts=ContextStore(
                # With a journal each goes when its session sleeps.
                settings.contexts if self.journal is None else sys.maxsize,
                bound,
                meter,
                self.directory.ledger.keep,
                per_user=settings.max_sessions,
            ),
            directory=self.directory,
            load_context=self._load_context,
            save_context=self._save_context,
            owner_of=self._owner_of,
            hooks=self._hooks,
            journal=self.journal,
            incarnation=self.incarnation,
        )
        debug_from(os.environ)
        self._ref = RegistryActor.start(self._shared)
        _open.setdefault(loop, []).append(self)
        if self.left:
            self._ref.tell(Recovering(self.left))
        return self

    async def stop(self) -> None:
        """Shut down: cancel every turn, end every stream, answer everyone. Stopping twice is harmless.

        Takes at most ``shutdown_deadline`` seconds. Cancelling it leaves the shutdown going on.
        """
        if self._ref is None:
            return
        self._draining = True
        if self._stopped is None:
            self._stopped = self._ref.stop(block=False)
        await self._stopped
        if self.journal is not None:
            await _close(self.journal, self._shared)
        opened = _open.get(self._shared.loop, []) if self._shared is not None else []
        if self in opened:
            opened.remove(self)

    async def drain(self, deadline: float | None = None) -> None:
        """Cancel every turn and end every stream, but go on answering questions until `stop`.

        Takes at most ``deadline`` seconds (``shutdown_deadline``). Cancelling it leaves it going on.
        """
        self._draining = True
        await self.ask(Shutdown(deadline))

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.stop()

    @property
    def ref(self) -> AsyncioRef[RegistryActor]:
        """The registry actor's ref, for messages from anywhere. Raises `LoopClosed` before the start."""
        if self._ref is None:
            raise LoopClosed("this registry has not been started")
        return self._ref

    @property
    def accepting(self) -> bool:
        """Whether sends are taken."""
        return self._ref is not None and not self._draining and self._ref.is_alive()

    @property
    def unwritten(self) -> int:
        """About how many bytes of events wait to be written into the journal."""
        return 0 if self._shared is None else self._shared.unwritten

    @property
    def loop_lag(self) -> LoopLag:
        """How late the event loop is, if ``slow_loop`` has it watched."""
        return LoopLag() if self._shared is None else self._shared.loop_lag

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents' names, the default one first."""
        default = self.layers.default_agent
        return (default, *(name for name in self._agents if name != default))

    def refuse_inside(self, session_id: str, turn_id: str | None = None, instead: str | None = None) -> None:
        """Raise `WaitsForItself` in a turn that would wait for its own end; ``instead`` is what helps."""
        refuse_to_wait_for_itself(self._shared, session_id, turn_id, instead)

    def epoch_of(self, session_id: str, turn_id: str) -> Epoch | None:
        """The epoch of a turn, the first half of its events' ids; ``None`` if it has not started."""
        entry = self.directory.entries.get(SessionId(session_id))
        record = None if entry is None else find_turn(entry.state, turn_id)
        return None if record is None else record.epoch


async def _close(journal: Journal, shared: Shared | None) -> None:
    """Close a journal when it has forgotten what it was to forget."""
    if shared is not None and shared.journal_tasks:
        await asyncio.wait(shared.journal_tasks)
    await journal.close()


def open_registry() -> SessionRegistry:
    """The registry that is open on the running loop; of several, the one opened last. Raises `NoRegistry`."""
    try:
        opened = _open.get(asyncio.get_running_loop(), [])
    except RuntimeError:
        text = "no event loop runs in this thread: the service functions belong on the loop"
        raise NoRegistry(text) from None
    for registry in reversed(opened):
        if registry.ref.is_alive():
            return registry
    raise NoRegistry("no registry is open on this loop: use SessionRegistry(agent) or setup(app, agent)")
