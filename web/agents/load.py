"""Finding an agent by its name."""

import importlib
from typing import Any, cast

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.turn.agent import AgentFunction

from .builtin import BUILT_IN


def _in_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def load_agent(name: str) -> AgentFunction:
    """The agent ``package.module:callable``, or a built-in one by its name. Raises `InvalidRequest`."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise InvalidRequest(
            f"agent {name!r} is neither {', '.join(BUILT_IN)}, openai nor package.module:callable",
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
    if not callable(found):
        raise InvalidRequest(f"agent {name!r} cannot be called", field="agent")
    return cast("AgentFunction", found)  # the turn refuses what it returns, if that is nothing to run
