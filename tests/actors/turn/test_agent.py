"""What a host hands to a registry, looked at before anything runs."""

import functools
import inspect
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from tests.fakes import done, opened, plain
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import TurnId
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn import agent as module
from turnkeeper.actors.turn.agent import check_agent
from turnkeeper.actors.turn.turn import Turn


async def two(turn: Turn, more: int) -> str:
    return "two"


async def keyword_only(*, turn: Turn) -> None: ...


async def nothing() -> None: ...


def generator(turn: Turn) -> Iterator[str]:
    yield "text"


async def async_generator(*arguments: object) -> AsyncIterator[str]:
    yield "text"


@types.coroutine
def old_coroutine(turn: Turn) -> Any:
    yield
    return "old"


class Agent:
    """A class, whose instances are agents."""

    def __init__(self, turn: object = None) -> None: ...

    async def __call__(self, turn: Turn) -> str:
        return "object"

    async def method(self, turn: Turn) -> str:
        return "method"

    @staticmethod
    async def static(turn: Turn) -> str:
        return "static"

    def generates(self, turn: Turn) -> Iterator[str]:
        yield "text"


class Generates:
    def __call__(self, turn: Turn) -> Iterator[str]:
        yield "text"


class WithoutATurn:
    async def __call__(self) -> None: ...


def injected(function: Callable[..., Any]) -> Any:
    """A decorator that gives a second argument."""

    @functools.wraps(function)
    async def wrapper(turn: Turn) -> Any:
        return await function(turn, 1)

    return wrapper


def asynchronous(function: Callable[..., Any]) -> Any:
    """A decorator that makes a coroutine function of a generator function."""

    @functools.wraps(function)
    async def wrapper(turn: Turn) -> str:
        return "".join(function(turn))

    return wrapper


# -- Agents -----------------------------------------------------------------------------------------

AGENTS: dict[str, tuple[Any, Any]] = {
    "a coroutine function": (done, "done: hello"),
    "an object": (Agent(), "object"),
    "a method": (Agent().method, "method"),
    "a static method": (Agent.static, "static"),
    "a partial": (functools.partial(two, more=1), "two"),
    "a lambda": (lambda turn: two(turn, 1), "two"),
    "an async generator function": (async_generator, None),
    "a coroutine of the old kind": (old_coroutine, "old"),
    "a partial of it": (functools.partial(old_coroutine), "old"),
    "a decorated one": (injected(two), "two"),
    "a decorated generator function": (asynchronous(generator), "text"),
    "a mock": (mock.AsyncMock(return_value="mock"), "mock"),
}


@pytest.mark.parametrize("kind", AGENTS)
async def test_what_a_turn_can_run_is_taken_and_run(kind: str) -> None:
    agent, result = AGENTS[kind]
    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() == result


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        (nothing, "cannot be called with one turn"),
        (two, "cannot be called with one turn"),
        (keyword_only, "cannot be called with one turn"),
        (WithoutATurn(), "cannot be called with one turn"),
        (functools.partial(two), "cannot be called with one turn"),
        (Agent, "is a class: pass an instance"),
        (dict, "is a class: pass an instance"),
        (module.Agent(generator, on_loop=True), "is a generator function that is not async"),
        (
            module.Agent(functools.partial(generator), on_loop=True),
            "is a generator function that is not async",
        ),
        (module.Agent(Agent().generates, on_loop=True), "is a generator function that is not async"),
        (module.Agent(Generates(), on_loop=True), "is a generator function that is not async"),
        ("echo", "cannot be called"),
        (None, "cannot be called"),
    ],
    ids=plain,
)
def test_what_no_turn_could_run_is_refused_with_its_name_and_the_reason(agent: Any, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        SessionRegistry({"default": done, "coder": agent})
    assert str(caught.value) == f"agent 'coder' {why}"
    assert caught.value.field == "agents"
    with pytest.raises(InvalidRequest):
        check_agent("coder", agent)


# -- Policies --------------------------------------------------------------------------------------


def test_a_bare_function_is_an_agent_that_says_nothing() -> None:
    agent = module.agent_of(done)
    assert agent.function is done
    assert agent.policy == {}
    assert agent.record is None
    assert module.agent_of(agent) is agent


def test_an_agent_keeps_its_policy_and_says_it() -> None:
    agent = module.Agent(done, strategy="reject", cancel_grace=30, allow=("priority",))
    assert agent.policy == {"strategy": "reject", "cancel_grace": 30, "allow": ("priority",)}
    assert repr(agent) == f"<Agent {done!r}, strategy='reject', cancel_grace=30, allow=('priority',)>"
    assert repr(module.Agent(done)) == f"<Agent {done!r}>"


class Reader:
    """An agent whose class says what it takes."""

    takes = ("text", "file")

    async def __call__(self, turn: Turn) -> None:
        """Read it."""


def test_an_agent_takes_what_it_is_said_to_else_what_its_class_says_else_anything() -> None:
    assert module.Agent(done).takes is None
    assert module.Agent(done, takes=["text", "image_url"]).takes == ("text", "image_url")
    assert module.agent_of(Reader()).takes == ("text", "file")
    assert module.Agent(Reader(), takes=("text",)).takes == ("text",)
    assert module.Agent(mock.AsyncMock()).takes is None, (
        "a stand-in has every attribute, and its class has not"
    )


def test_an_agent_of_which_more_is_said_takes_the_same_unless_that_is_said() -> None:
    agent = module.Agent(done, takes=("text",))
    assert agent.saying({"cancel_grace": 1}).takes == ("text",)
    assert agent.saying({}, ["file"]).takes == ("file",)
    assert module.agent_of(Reader()).saying({}).takes == ("text", "file")


@pytest.mark.parametrize(
    "odd",
    [
        {"takes": "text"},
        {"takes": ()},
        {"takes": [1]},
        {"takes": [""]},
        {"takes": 5},
        {"on_restart": "again"},
        {"on_restart": None},
        {"record": 1},
        {"strategy": "queue"},
        {"cancel_grace": -1},
        {"queue_limit": 1.5},
        {"allow": "priority"},
        {"allow": ["patience"]},
        {"deny": [1]},
        {"patience": 3},
    ],
    ids=plain,
)
def test_a_policy_that_there_is_not_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        module.Agent(done, **odd)
    assert caught.value.field == next(iter(odd))


def test_what_an_agent_with_policies_could_not_run_is_refused_as_without_them() -> None:
    with pytest.raises(InvalidRequest, match="agent 'default' cannot be called with one turn"):
        SessionRegistry(module.Agent(nothing))  # type: ignore[arg-type]


async def test_agents_with_and_without_policies_run_side_by_side() -> None:
    agents = {"default": done, "coder": module.Agent(done, on_restart="rerun")}
    async with opened(agents) as registry:
        for name in agents:
            assert await (await registry.send("s1", "hello", agent=name)).result() == "done: hello"


async def test_whether_is_kept_what_is_said_is_the_agents_word_and_else_the_settings() -> None:
    keeps, keeps_not = module.Agent(done, record=True), module.Agent(done, record=False)
    agents = {"default": done, "keeps": keeps, "keeps-not": keeps_not}
    for record, kept in ((True, {"default", "keeps"}), (False, {"keeps"})):
        async with opened(agents, record=record) as registry:
            for name in agents:
                await (await registry.send(f"s-{name}", "hello", agent=name)).ended()
            said = {name for name in agents if (await registry.messages(f"s-{name}")).messages}
        assert said == kept


# -- Other functions --------------------------------------------------------------------------------


async def load(session_id: str, user: str) -> None: ...


async def save(context: object) -> None: ...


def test_hooks_that_can_be_called_are_taken() -> None:
    SessionRegistry(done, load_context=load, save_context=save)
    SessionRegistry(done, load_context=mock.AsyncMock(), save_context=mock.AsyncMock())


@pytest.mark.parametrize(
    ("hook", "function", "why"),
    [
        ("load_context", save, "cannot be called with a session and a user"),
        ("load_context", nothing, "cannot be called with a session and a user"),
        ("load_context", Agent, "is a class: pass an instance"),
        ("load_context", async_generator, "is an async generator function: it must return"),
        ("load_context", {}, "cannot be called"),
        ("save_context", load, "cannot be called with a context"),
        ("save_context", nothing, "cannot be called with a context"),
        ("save_context", async_generator, "is an async generator function: it must return"),
        ("save_context", generator, "is a generator function that is not async"),
    ],
    ids=plain,
)
def test_hooks_that_could_not_be_called_are_refused(hook: str, function: Any, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        SessionRegistry(done, **{hook: function})
    assert str(caught.value) == f"{hook} {why}"
    assert caught.value.field == hook


# -- The key of what is saved -----------------------------------------------------------------------------


async def save_named(context: object, turn_id: str = "", *, attempt: int) -> None: ...


async def save_first(turn_id: object, other: int = 1) -> None: ...


@pytest.mark.parametrize(
    ("save", "given"),
    [
        (save, {}),
        (save_first, {}),
        (save_named, {"turn_id": "t", "attempt": 2}),
        pytest.param(mock.AsyncMock(), {}, id="a mock"),
    ],
    ids=plain,
)
async def test_a_function_that_saves_is_given_as_much_of_the_turn_as_it_has_names_for(
    save: Any, given: dict[str, Any]
) -> None:
    seen: list[dict[str, Any]] = []

    @functools.wraps(save)
    async def noting(*arguments: Any, **named: Any) -> None:
        seen.append(named)

    noting.__signature__ = inspect.signature(save)  # type: ignore[attr-defined]
    module.check_save(save)
    await module.keyed(noting)("context", TurnId("t"), 2)
    assert seen == [given]


def test_a_function_that_saves_and_wants_more_is_refused() -> None:
    async def wants(context: object, turn_id: str, user: str) -> None: ...

    with pytest.raises(InvalidRequest, match="save_context cannot be called with a context"):
        module.check_save(wants)
