"""How a turn's coroutine runs to its end, and what its end was."""

import asyncio
import inspect
from collections.abc import AsyncIterable, Generator
from contextlib import aclosing, nullcontext
from functools import partial
from types import CoroutineType
from typing import Any, Protocol

from turnkeeper.actors.model.exceptions import (
    ContextLoadFailed,
    ContextSaveFailed,
    NotAnAgent,
    SessionError,
    TurnkeeperError,
)
from turnkeeper.actors.model.functions import is_plain
from turnkeeper.actors.model.records import Outcome, Raised, Returned, Stopped

from .agent import Agent, AgentFunction, LoadContext, SaveTurn
from .context import clear_cancel
from .exits import contained
from .recorder import DELTA
from .tools.answers import answering
from .turn import Turn, current, write_down


class Around(Protocol):
    """The stages around the agents of a registry."""

    async def run_around(self, agent: AgentFunction, turn: Turn, /) -> Any:
        """Run the agent between the stages."""


async def run(
    agent: AgentFunction,
    turn: Turn,
    load_context: LoadContext | None = None,
    save_context: SaveTurn | None = None,
    around: Around | None = None,
) -> Any:
    """The turn's coroutine: what its task runs. The agent is called in it, not before.

    Raises what the agent raises, but `AgentExited` for what would end the process. Cancelling it cancels the
    agent; before its first step, no agent is called.
    """
    current.set(turn)
    try:
        if turn.spec.options is not None and turn.brought_context is not None:
            clear_cancel(turn.context)
        elif load_context is not None or save_context is not None:
            return await _with_hooks(agent, turn, load_context, save_context, around)
        if around is not None:
            return await around.run_around(agent, turn)
        turn.began = True
        answer = agent(turn)
        # The usual one, without a coroutine more around it.
        return await (answer if isinstance(answer, CoroutineType) else finish(answer, turn))
    except (KeyboardInterrupt, SystemExit) as error:
        exited = contained(error)
        if exited is None:
            raise
        raise exited from error


async def _with_hooks(
    agent: AgentFunction,
    turn: Turn,
    load: LoadContext | None,
    save: SaveTurn | None,
    around: Around | None,
) -> Any:
    """Run the agent, and the stages around it, between the host's ``load_context`` and ``save_context``.

    What a turn that is to be undone has made of the context is not saved.
    """
    if load is not None:
        try:
            context = await load(turn.session_id, turn.owner)
        except Exception as error:
            raise ContextLoadFailed("load_context raised") from error
        if context is not None:
            turn.bring(context)
    outcome: Outcome = Stopped()
    try:
        result = await (enter(agent, turn) if around is None else around.run_around(agent, turn))
        outcome = Returned(result)
    except Exception as error:
        outcome = raised(error)
        raise
    finally:
        undone = turn.undo is not None and turn.undo.wished
        if save is not None and not turn.over and not undone:
            _write_down(turn, outcome)
            try:
                await saved(save, turn, stopped=not isinstance(outcome, Returned))
            except Exception as error:
                raise ContextSaveFailed("save_context raised") from error
    return result


async def saved(save: SaveTurn, turn: Turn, *, stopped: bool) -> None:
    """Hand the context to the host; of a turn that was stopped, with a result for each call of a tool."""
    calls = stopped and turn.own is not None and turn.own.calls is not None
    with answering(turn.context) if calls else nullcontext():
        await save(turn.context, turn.turn_id, turn.attempt)


def _write_down(turn: Turn, outcome: Outcome) -> None:
    """Put what is to be recorded into the conversation now, for ``save_context`` to be given it."""
    result = outcome.result if isinstance(outcome, Returned) else None
    error = outcome.code if isinstance(outcome, Raised) else None
    write_down(turn, result, stopped=not isinstance(outcome, Returned), error=error)


async def enter(agent: AgentFunction, turn: Turn) -> Any:
    """Run the agent's own function to its end. All that the host has put before it is done.

    Raises CancelledError if the turn was given up meanwhile: its record says that the agent never began.
    """
    if turn.over:
        raise asyncio.CancelledError
    turn.began = True
    return await finish(agent(turn), turn)


# -- Plain functions -----------------------------------------------------------------------------------
#
# Each turn of such an agent runs in a thread, so that none holds up the loop. What it returns may also be a
# generator, whose texts and events are published as it yields them, or something to be awaited or iterated,
# which is done on the loop.


def runnable(agent: Agent) -> AgentFunction:
    """What runs an agent's turns: its function, or what has a thread run that."""
    return (
        partial(_in_thread, agent.function)
        if not agent.on_loop and is_plain(agent.function)
        else agent.function
    )


async def _in_thread(function: AgentFunction, turn: Turn) -> Any:
    turn.began = False  # not before there is a thread
    answer = await turn.in_thread(_call, function, turn)
    return (
        await finish(answer, turn)
        if inspect.isawaitable(answer) or isinstance(answer, AsyncIterable)
        else answer
    )


def _call(function: AgentFunction, turn: Turn) -> Any:
    turn.began = True
    answer: Any = function(turn)
    if not isinstance(answer, Generator):
        return answer
    # It is closed here, by its own thread, when an event is refused, or its turn is to stop.
    try:
        while True:
            item = next(answer)
            if turn.cancel_requested:
                raise asyncio.CancelledError
            publish(item, turn)
    except StopIteration as end:
        return end.value
    finally:
        answer.close()


# -- What an agent answers -----------------------------------------------------------------------------


async def finish(answer: Any, turn: Turn) -> Any:
    """Run what the agent answered to its end: publish what a generator yields, await anything else."""
    if inspect.isawaitable(answer):
        return await answer
    if isinstance(answer, AsyncIterable):
        await _publish(answer, turn)
        return None
    raise NotAnAgent("an agent that runs on the loop returns what can be awaited, or an async generator")


async def _publish(answer: AsyncIterable[Any], turn: Turn) -> None:
    items: Any = aiter(answer)
    # A generator is closed here, by its own task, and not when the garbage is collected.
    async with aclosing(items) if hasattr(items, "aclose") else nullcontext():
        async for item in items:
            publish(item, turn)


def publish(item: Any, turn: Turn) -> None:
    """Publish what a generator has yielded. Raises `NotAnAgent`, and what `Turn.emit` raises."""
    if isinstance(item, str):
        turn.emit(DELTA, {"text": item})
    elif isinstance(item, tuple) and len(item) == 2:
        turn.emit(item[0], item[1])
    else:
        raise NotAnAgent("a generator yields texts, or pairs of an event and its data")


def raised(error: BaseException) -> Raised:
    """What the coroutine raised, with the code its turn ends with.

    What the agent itself has asked for and was refused is an error of the agent's: the code of the refusal
    would say to a client that its own request was refused.
    """
    # A host may derive its own errors from ours, and give them codes of its own kind.
    code = getattr(type(error), "code", None) if isinstance(error, TurnkeeperError) else None
    if not isinstance(code, str) or (isinstance(error, SessionError) and _is_ours(type(error))):
        return Raised(error, "agent_error")
    return Raised(error, code.lower())


def _is_ours(kind: type[SessionError]) -> bool:
    """Whether the code of errors of this class is one of turnkeeper's own."""
    coded = next(each for each in kind.__mro__ if "code" in vars(each))
    return coded.__module__ == SessionError.__module__


def outcome_of(task: "asyncio.Future[Any]") -> Outcome:
    """How a finished task ended."""
    if task.cancelled():
        return Stopped()
    error = task.exception()
    return Returned(task.result()) if error is None else raised(error)
