"""Finding agents by their name."""

import importlib
from collections.abc import Mapping
from typing import Any, cast

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.turn.agent import Agent, AnyAgent

from .builtin import BUILT_IN


def _in_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def load_agents(name: str) -> Mapping[str, AnyAgent]:
    """The agents that a server is started with, by their names.

    ``package.module:NAME`` is one agent, or a mapping of names to agents; ``echo`` brings the other built-in
    ones. Raises `InvalidRequest`.
    """
    if name == "echo":
        return BUILT_IN
    found: Any = BUILT_IN[name] if name in BUILT_IN else _imported(name)
    if isinstance(found, Mapping) and found and all(isinstance(each, str) for each in found):
        if all(_may_run(agent) for agent in found.values()):
            return found
        raise InvalidRequest(
            f"agent {name!r} is a mapping of which not every value is callable", field="agent"
        )
    if not _may_run(found):
        raise InvalidRequest(f"agent {name!r} is neither callable nor a mapping of agents", field="agent")
    # The turn refuses what it returns, if that cannot be run.
    return {"default": cast("AnyAgent", found)}


def _may_run(found: object) -> bool:
    return isinstance(found, Agent) or callable(found)


def _imported(name: str) -> Any:
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise InvalidRequest(
            f"agent {name!r} is neither {', '.join(BUILT_IN)}, openai nor package.module:NAME",
            field="agent",
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise InvalidRequest(
            f"agent {name!r}: cannot import {module_name}: {error}", field="agent"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise InvalidRequest(
            f"agent {name!r}: importing {module_name} raised {_in_one_line(error)}", field="agent"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise InvalidRequest(f"agent {name!r}: {module_name} has no {path}", field="agent")
        found = getattr(found, part)
    return found
