"""The service functions, by their old names and shapes, for code that was written against them.

They use the registry that is open on the running loop, and raise `NoRegistry` where there is none.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from .events.wire import still_running_data, turn_data
from .model.exceptions import TurnCancelled, TurnFailed, WaitsForItself
from .model.messages import Cancel, CancelAnswer, Cleanup, ListActive
from .model.records import HOST, Asker, SessionId, TurnId, TurnOptions
from .model.words import CancelCode, TurnStatus, Verdict
from .policy.layers import unknown_agent
from .registry.directory import PASS
from .registry.front import SessionRegistry, open_registry
from .runtime import batches
from .session.consequences import CAUSES
from .turn.family.results import failure_of, result_of
from .turn.turn import current, is_stopping

MAX_ITERATIONS = 35


async def send_message_to_agent(
    session_id: str,
    message: Any,
    max_iterations: int = MAX_ITERATIONS,
    context: Any = None,
    user: Any = None,
) -> Any:
    """Send a message, wait for its turn's end, and return what the agent returned.

    ``message`` is a text or a list of parts, which may be objects of any class: they become dicts. A turn in
    flight in this session is cancelled first. ``context`` is used as it is; ``None`` means the session's own.
    The agent is the one ``context.agent_name`` names, else the default. ``user`` is a name, a mapping with a
    ``user`` or ``username``, or an object with one.

    Raises what the agent raised, and `TurnCancelled` when the turn ran out of time, stalled, or emitted or
    used more than it may. When it was cancelled or superseded, raises `asyncio.CancelledError`, but
    `TurnCancelled` inside another turn, for which CancelledError means that it is to stop itself.
    `WaitsForItself` is raised in a turn of that session.
    Cancelling this call cancels the turn.
    """
    registry = open_registry()
    if current.get() is not None:
        registry.refuse_inside(session_id, instead="send to another session, or return")
    turn_id = TurnId(f"s-{secrets.token_hex(12)}")
    asker = _asker_of(_name_of(user) or _name_of(context))
    try:
        receipt = await registry.send(
            session_id,
            message,
            user=None if asker is HOST else asker.user,
            agent=_agent_for(registry, context),
            turn_id=turn_id,
            options=TurnOptions(max_iterations, context),
        )
        end = await receipt.end()
    except asyncio.CancelledError:
        # A message and no wait: a caller that is being cancelled must not be kept, and as messages keep their
        # order, this cancel finds its turn. A registry that has stopped has cancelled it already.
        cancel = Cancel(session_id, turn_id, asker, wait=False, code=CancelCode.CLIENT_DISCONNECTED)
        registry.ref.tell_if_alive(cancel)
        raise
    failure, reason = failure_of(end), end.turn.reason
    if isinstance(failure, TurnFailed) and failure.__cause__ is not None:
        raise failure.__cause__
    ran_out = reason is not None and CAUSES[reason.code].ran_out
    if isinstance(failure, TurnCancelled) and not ran_out and current.get() is None:
        raise asyncio.CancelledError(failure.status)
    return result_of(end, is_stopping)


async def cancel_active_send_task(log_id: str, context: Any = None) -> dict[str, Any]:
    """Stop what the session does, and return what it came to once it has stopped.

    ``{"status": <verdict>, "log_id", "settled_after_ms", "turn", "cleared"}``: the last are the turns that
    waited, which are cancelled as well. With ``"still_running"`` if anything of the turn is seen to run on.
    Inside the very turn it would stop, it does not wait: the verdict is ``requested``, and the turn is
    cancelled where it awaits next. Cancelling the wait does not take the cancel back.
    """
    registry, asker = open_registry(), _asker_of(context)
    try:
        registry.refuse_inside(log_id)
    except WaitsForItself:
        answer = _stop_itself(registry, SessionId(log_id), asker)
    else:
        answer = await registry.ask(Cancel(log_id, None, asker))
    said: dict[str, Any] = {
        "status": answer.verdict.value,
        "log_id": log_id,
        "settled_after_ms": answer.settled_after_ms,
        "turn": answer.turn and turn_data(answer.turn),
        "cleared": list(answer.cleared),
    }
    if answer.still_running is not None:
        said["still_running"] = still_running_data(answer.still_running)
    return said


def _stop_itself(registry: SessionRegistry, session_id: SessionId, asker: Asker) -> CancelAnswer:
    """Stop the turn that this runs in. An awaited answer would not come: the cancellation comes first."""
    turn = registry.directory.active[session_id]
    if not asker.may_see(turn.owner):
        return CancelAnswer(Verdict.NOT_RUNNING)
    # Aimed: the turn may end before this is read, and the next one is not meant.
    registry.ref.tell(Cancel(session_id, turn.turn_id, asker, wait=False))
    return CancelAnswer(Verdict.REQUESTED, turn.turn)


async def get_active_send_tasks(context: Any = None) -> dict[str, Any]:
    """All turns in flight: ``{"status": "ok", "active_tasks": {log_id: {"active", "created_at"}}}``.

    With a ``context``, those of its user.
    """
    active = await open_registry().ask(ListActive(_asker_of(context)))
    tasks: dict[str, Any] = {}
    async for some in batches(active, PASS):
        tasks.update((each.session_id, {"active": True, "created_at": each.started_at}) for each in some)
    return {"status": "ok", "active_tasks": tasks}


async def cleanup_completed_tasks(context: Any = None) -> dict[str, Any]:
    """Give back the memory of idle sessions now: ``{"status": "ok", "cleaned_up": [log_id, ...]}``.

    With a ``context``, those of its user.
    """
    cleaned = await open_registry().ask(Cleanup(_asker_of(context)))
    return {"status": "ok", "cleaned_up": list(cleaned)}


class TaskHandle:
    """What stands for a turn in `active_send_tasks`: it can be looked at and cancelled, not awaited."""

    __slots__ = ("_registry", "session_id", "turn_id")

    def __init__(self, registry: SessionRegistry, session_id: SessionId, turn_id: TurnId) -> None:
        self._registry = registry
        self.session_id = session_id
        self.turn_id = turn_id

    def done(self) -> bool:
        """Whether the turn has let go of its session."""
        turn = self._registry.directory.active.get(self.session_id)
        return turn is None or turn.turn_id != self.turn_id

    def cancelled(self) -> bool:
        """Whether the turn ended as ``cancelled``."""
        entry = self._registry.directory.entries.get(self.session_id)
        records = entry.state.memory.records if entry is not None else ()
        return any(
            record.turn_id == self.turn_id and record.status is TurnStatus.CANCELLED for record in records
        )

    def cancel(self, msg: str | None = None) -> bool:
        """Ask the turn to stop, through its session's inbox. False if it had ended already."""
        if self.done():
            return False
        self._registry.ref.tell(Cancel(self.session_id, self.turn_id, HOST, wait=False, text=msg))
        return True

    def __repr__(self) -> str:
        return f"<TaskHandle of turn {self.turn_id} in {self.session_id}>"


class _ActiveSendTasks(Mapping[str, dict[str, Any]]):
    """The turns in flight by ``log_id``: ``{"task", "created_at", "context"}``. A live, read-only view."""

    def __getitem__(self, log_id: str) -> dict[str, Any]:
        registry = open_registry()
        turn = registry.directory.active[SessionId(log_id)]
        return {
            "task": TaskHandle(registry, turn.session_id, turn.turn_id),
            "created_at": turn.started_at,
            "context": None if turn.options is None else turn.options.context,
        }

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(open_registry().directory.active))

    def __len__(self) -> int:
        return len(open_registry().directory.active)


#: The turns in flight on the running loop's registry, by ``log_id``.
active_send_tasks: Mapping[str, dict[str, Any]] = _ActiveSendTasks()


def _agent_for(registry: SessionRegistry, context: Any) -> str | None:
    """The agent the context names. With only one agent, every name means that one."""
    name = getattr(context, "agent_name", None)
    if not isinstance(name, str) or not name or name in registry.agents:
        return name if isinstance(name, str) and name else None
    if len(registry.agents) == 1:
        return None
    raise unknown_agent(name, "agent_name")


def _name_of(source: Any) -> str | None:
    """The user's name, in whatever shape old code has it; ``None`` if it says nothing."""
    if isinstance(source, str):
        return source or None
    for name in ("user", "username"):
        found = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        if isinstance(found, str) and found:
            return found
    return None


def _asker_of(context: Any) -> Asker:
    name = _name_of(context)
    return HOST if name is None else Asker(name)
