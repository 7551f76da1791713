"""How a turn's coroutine is started and run to its end, and what its end was."""

import asyncio
import inspect
from contextlib import aclosing
from types import CoroutineType
from typing import Any

from turnkeeper.actors.model.exceptions import (
    ContextLoadFailed,
    ContextSaveFailed,
    NotAnAgent,
    TurnkeeperError,
)
from turnkeeper.actors.model.records import Outcome, Raised, Returned, Stopped

from .agent import AgentFunction, LoadContext, SaveContext
from .context import clear_cancel
from .turn import Turn, current


def begin(
    agent: AgentFunction,
    turn: Turn,
    loop: asyncio.AbstractEventLoop,
    load_context: LoadContext | None = None,
    save_context: SaveContext | None = None,
) -> "asyncio.Future[Any]":
    """Start the turn's task.

    One that a plain function has started itself is taken as it is: a task around it that is cancelled before
    its first step would leave it running.
    """
    current.set(turn)
    work: Any
    if turn.brought_context is not None:
        clear_cancel(turn.context)
        work = agent(turn)
    elif load_context is not None or save_context is not None:
        work = _with_hooks(agent, turn, load_context, save_context)
    else:
        work = agent(turn)
    if isinstance(work, asyncio.Future) and work.get_loop() is loop:
        return work
    # The agent's own coroutine, where nothing has to stand around it.
    return loop.create_task(work if isinstance(work, CoroutineType) else finish(work, turn))


async def _with_hooks(
    agent: AgentFunction, turn: Turn, load: LoadContext | None, save: SaveContext | None
) -> Any:
    """Run the agent between the host's ``load_context`` and ``save_context``."""
    if load is not None:
        try:
            context = await load(turn.session_id, turn.owner)
        except Exception as error:
            raise ContextLoadFailed("load_context raised") from error
        if context is not None:
            clear_cancel(context)
            turn.bring(context)
    try:
        result = await finish(agent(turn), turn)
    finally:
        if save is not None and not turn.over:
            try:
                await save(turn.context)
            except Exception as error:
                raise ContextSaveFailed("save_context raised") from error
    return result


async def finish(answer: Any, turn: Turn) -> Any:
    """Run what the agent answered to its end: publish what a generator yields, await anything else."""
    if inspect.isasyncgen(answer):
        async with aclosing(answer) as items:
            async for item in items:
                if isinstance(item, str):
                    turn.emit("delta", {"text": item})
                elif isinstance(item, tuple) and len(item) == 2:
                    turn.emit(item[0], item[1])
                else:
                    raise NotAnAgent("an async generator yields texts, or pairs of an event and its data")
        return None
    if inspect.isawaitable(answer):
        return await answer
    raise NotAnAgent("an agent is a coroutine function or an async generator function")


def raised(error: BaseException) -> Raised:
    """What the coroutine raised, with the code its turn ends with."""
    # A host may derive its own errors from ours, and give them codes of its own kind.
    code = getattr(type(error), "code", None) if isinstance(error, TurnkeeperError) else None
    return Raised(error, code.lower() if isinstance(code, str) else "agent_error")


def outcome_of(task: "asyncio.Future[Any]") -> Outcome:
    """How a finished task ended."""
    if task.cancelled():
        return Stopped()
    error = task.exception()
    return Returned(task.result()) if error is None else raised(error)
