"""The pipeline: stages around the agent, by name and priority.

A stage is ``(data: dict, context) -> dict``, sync or async; what it returns is the next one's ``data``. The
stages named ``pre_process_msg`` run before the agent and make its message, those named ``process_results``
after it and make its result. Stages under any other name are run by an agent that says so
(``await turn.run_stages(name, data)``).

The turn's coroutine runs them, so what holds for that holds for them: they hold the session, a cancel reaches
them, and they count in the turn's time.
"""

import inspect
import math
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from turnkeeper.actors.model.exceptions import AlreadyStarted, InvalidRequest, StageFailed, WrongThread
from turnkeeper.actors.model.functions import takes

from .agent import AgentFunction
from .run import enter
from .turn import Turn

PRE_PROCESS, POST_PROCESS = "pre_process_msg", "process_results"

#: What a host registers as a stage.
StageFunction: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any] | Awaitable[dict[str, Any]]]
S = TypeVar("S", bound=StageFunction)


class Stage(NamedTuple):
    """One stage. ``title`` stands in the error of a turn that it failed: ``<name>:<function>``."""

    title: str
    priority: float
    function: StageFunction


class Pipeline:
    """The stages of one registry. They are registered before it starts, by the thread that made it."""

    def __init__(self) -> None:
        self._stages: dict[str, list[Stage]] = {}
        self._thread = threading.get_ident()
        self._started = False

    def stage(self, name: str, priority: float = 0) -> Callable[[S], S]:
        """A decorator that registers a stage and leaves the function as it is.

        Raises `InvalidRequest`, `AlreadyStarted` and `WrongThread`.
        """
        _check_name(name)
        _check_priority(priority)
        self._check_open()

        def register(function: S) -> S:
            if not takes(function, 2):
                raise InvalidRequest("a stage is a function of data and context", field="function")
            if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
                raise InvalidRequest("a stage returns its data: it cannot be a generator", field="function")
            self._check_open()
            title = f"{name}:{getattr(function, '__name__', type(function).__name__)}"
            stages = [*self._stages.get(name, ()), Stage(title, priority, function)]
            # Stable: of equal priorities the one that was registered first runs first.
            self._stages[name] = sorted(stages, key=lambda stage: -stage.priority)
            return function

        return register

    def _check_open(self) -> None:
        if self._started:
            raise AlreadyStarted("this registry has been started: register its stages before that")
        if threading.get_ident() != self._thread:
            raise WrongThread("stages are registered by the thread that made the registry")

    def start(self) -> "Pipeline | None":
        """The stages around the agents, for a registry that starts: no stage is taken any more.

        ``None`` where there are none around them: a turn then costs no more.
        """
        self._started = True
        return self if PRE_PROCESS in self._stages or POST_PROCESS in self._stages else None

    async def run_around(self, agent: AgentFunction, turn: Turn) -> Any:
        """Run the agent between the stages, and return what these make of its result."""
        if PRE_PROCESS in self._stages:
            data = {
                "message": _copied(turn.message),
                "session_id": turn.session_id,
                "user": turn.user,
                "agent": turn.agent,
            }
            turn.replace_message((await self.run(PRE_PROCESS, data, turn, "message"))["message"])
            await turn.checkpoint()
        result = await enter(agent, turn)
        if POST_PROCESS not in self._stages:
            return result
        return (await self.run(POST_PROCESS, {"results": result}, turn, "results"))["results"]

    async def run(
        self, name: str, data: dict[str, Any], turn: Turn, wanted: str | None = None
    ) -> dict[str, Any]:
        """Run the stages of that name, one after the other; ``wanted`` is what each must leave in the data.

        Raises `StageFailed`. None begins once the turn was asked to stop; cancelling it cancels the one that
        runs, and what that cleans up is waited for.
        """
        for stage in self._stages.get(name, ()):
            await turn.checkpoint()
            data = await _run(stage, data, turn.context, wanted)
        return data


async def _run(stage: Stage, data: dict[str, Any], context: Any, wanted: str | None) -> dict[str, Any]:
    try:
        answer: Any = stage.function(data, context)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, dict):
            raise TypeError(f"a stage returns a dict, not {type(answer).__name__}")
        if wanted is not None and wanted not in answer:
            raise KeyError(wanted)
    except Exception as error:
        raise StageFailed(f"stage {stage.title} failed", stage=stage.title) from error
    return answer


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidRequest('a stage has a name: @registry.stage("pre_process_msg")', field="name")


def _check_priority(priority: Any) -> None:
    if not isinstance(priority, int | float) or math.isnan(priority):
        raise InvalidRequest("a stage's priority is a number", field="priority")


def _copied(message: Any) -> Any:
    """The message for the stages to change: what was sent stays as it was sent."""
    if isinstance(message, list):
        return [_copied(part) for part in message]
    if isinstance(message, dict):
        return {key: _copied(part) for key, part in message.items()}
    return message
