"""The web side of turnkeeper: HTTP and Server-Sent Events in front of the actors.

It keeps nothing of sessions and turns, only what is open of connections and streams, and tickets for these.

The layout::

    openapi     the OpenAPI document of a table of routes, and the page that shows it
    http        the routes, their handlers, streams and access
    agents      agents that come along
    client      a client of the HTTP API, which the command asks with
    pages       the chat page
    wires       the protocols of clients that people have already: OpenAI's and more
    app         setup(app, agents): all of that in an aiohttp app
    server      the server of `turnkeeper serve`: it listens, and keeps its connections
    audit       `turnkeeper audit`
    command     the `turnkeeper` command
"""

if not __name__.startswith("turnkeeper."):
    raise ImportError(f"import turnkeeper.web, not {__name__}: the bare name belongs to others")

from typing import TYPE_CHECKING, Any

from .app import REGISTRY, create_app, setup
from .http.access.principal import Authenticate, Principal
from .http.access.tokens import Tokens
from .http.call import Answering, Call, Sending, route
from .http.mount import Refuse
from .http.problems import Code, Problem
from .http.settings import WebSettings
from .http.stream import Writing

if TYPE_CHECKING:
    # Not in __all__, so that `import *` works without the extra that it needs.
    from .agents.openai import OpenAIAgent as OpenAIAgent

__all__ = [
    # app
    "REGISTRY",
    "create_app",
    "setup",
    # http.access.principal
    "Authenticate",
    "Principal",
    # http.access.tokens
    "Tokens",
    # http.call
    "Answering",
    "Call",
    "Sending",
    "route",
    # http.mount
    "Refuse",
    # http.problems
    "Code",
    "Problem",
    # http.settings
    "WebSettings",
    # http.stream
    "Writing",
]


def __getattr__(name: str) -> Any:
    """Import `OpenAIAgent` when it is first asked for: it takes a moment, and an extra.

    Raises `ImportError` with the name of the extra where that is not installed.
    """
    if name == "OpenAIAgent":
        from .agents.openai import OpenAIAgent

        return OpenAIAgent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
