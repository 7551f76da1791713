"""The web side of turnkeeper: HTTP and Server-Sent Events in front of the actors. Keeps no state.

The layout::

    http        the handlers, their routes, streams, access, and setup(app, agents)
    agents      agents that come along
    pages       the chat page
    audit       `turnkeeper audit`
    command     the `turnkeeper` command
"""

if not __name__.startswith("turnkeeper."):
    raise ImportError(f"import turnkeeper.web, not {__name__}: the bare name belongs to others")

from .http.access import Authenticate, Principal, Tokens
from .http.app import REGISTRY, create_app, setup
from .http.settings import WebSettings

__all__ = [
    # http.access
    "Authenticate",
    "Principal",
    "Tokens",
    # http.app
    "REGISTRY",
    "create_app",
    "setup",
    # http.settings
    "WebSettings",
]
