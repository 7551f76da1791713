"""A host's code, for the type checkers alone: `.ci/types` reads it, and nothing runs it.

Each line that must not pass says so, and a checker that lets it pass complains of the comment.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true, reportUnusedExpression=false

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, assert_type

from aiohttp import web

from turnkeeper.actors import AgentFunction, Context, SessionRegistry, Settings, Turn
from turnkeeper.web import Principal, WebSettings, setup

# -- Agents -----------------------------------------------------------------------------------------


async def answers(turn: Turn) -> str:
    """The usual one."""
    return turn.text


async def streams(turn: Turn) -> AsyncIterator[str]:
    """The usual annotation of an async generator function."""
    yield turn.text


async def streams_with_the_long_annotation(turn: Turn) -> AsyncGenerator[str | tuple[str, Any], None]:
    yield turn.text
    yield "usage", {"tokens": 1}


def returns_a_coroutine(turn: Turn) -> Awaitable[str]:
    return answers(turn)


class Agent:
    async def __call__(self, turn: Turn) -> None:
        turn.emit("word", 1)


agents: dict[str, AgentFunction] = {
    "answers": answers,
    "streams": streams,
    "long": streams_with_the_long_annotation,
    "plain": returns_a_coroutine,
    "object": Agent(),
}


def plain(turn: Turn) -> str:
    return turn.text


async def of_two(turn: Turn, more: int) -> str:
    return turn.text


for_one = SessionRegistry(streams)
for_several = SessionRegistry(agents)
SessionRegistry(plain)
SessionRegistry(of_two)  # type: ignore[arg-type]

# -- A turn's context -------------------------------------------------------------------------------


@dataclass
class Mine:
    """A context of the host's own."""

    name: str


async def knows_its_context(turn: Turn[Mine]) -> str:
    assert_type(turn.context, Mine)
    turn.context.nome  # type: ignore[attr-defined]
    return turn.context.name


async def uses_the_built_in_one(turn: Turn[Context]) -> str:
    assert_type(turn.context.user, str)
    return turn.context.session_id


async def does_not_say(turn: Turn) -> Any:
    assert_type(turn.context, Any)
    assert_type(turn, Turn[Any])
    return turn.context.anything


async def load(session_id: str, user: str) -> Mine:
    return Mine(user)


async def save(context: Mine) -> None:
    print(context.name)


SessionRegistry(knows_its_context, load_context=load, save_context=save)
SessionRegistry({"one": uses_the_built_in_one, "two": does_not_say})

# -- Mounting ---------------------------------------------------------------------------------------


async def who(request: web.Request) -> Principal | None:
    return None


def who_at_once(request: web.Request) -> Principal | None:
    return None


app = web.Application()
setup(app, streams, authenticate=who, settings=WebSettings(cancel_grace=1.0))
setup(app, agents, prefix="/a", authenticate=who_at_once, load_context=load, save_context=save)
with contextlib.suppress(ValueError):
    setup(app, answers, prefix="/b", settings={})  # type: ignore[arg-type]
    setup(app, answers, settings=Settings())  # type: ignore[arg-type]
