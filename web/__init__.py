"""The web side of turnkeeper: HTTP and Server-Sent Events in front of the actors. Keeps no state.

The layout::

    settings             what can be set about the server
    errors               exception -> status and problem body; one table
    codec                JSON <-> messages, event -> SSE bytes                    (pure)
    access               who is asking, and may they: principals, tokens, the loopback rule
    tickets              how an EventSource, which cannot send headers, says who it is
    stream               one SSE connection: subscribe, replay, pump, unsubscribe
    handlers             one function per route: decode -> ask -> encode
    app                  setup(app, agents) and create_app(agents)
    agents               agents that come along
    conversation         a conversation in the shape of the chat completions protocol  (pure)
    upstream_errors      what can go wrong with a model's API
    openai_agent         any OpenAI-compatible model; needs turnkeeper[openai], so nothing imports it
    audit_plan           what the audit's crowd is going to do                            (pure)
    audit_judge          what was seen -> figures and faults                              (pure)
    audit_adapters       how to speak to a chat server
    audit_upstream       the model it is audited with
    audit_users          the crowd
    audit_agent          the agent that asks that model
    audit                `turnkeeper audit`
    audit_command        its options
    openai_options       the options of `--agent openai`
    server               runs an app, says where, and is gone when it should be
    exits                the command's exit codes, and the failure that carries one
    config               the settings of `serve` in layers, and where each came from
    serve                `turnkeeper serve`
    client               a small client of the HTTP API
    tables               what the command shows, at a terminal and in a pipe
    follow               `turnkeeper send`, and what Ctrl-C does to it
    commands, cli        the `turnkeeper` command and its options
    pages/               the chat page
"""

if not __name__.startswith("turnkeeper."):
    raise ImportError(f"import turnkeeper.web, not {__name__}: the bare name belongs to others")

from .access import Authenticate, Principal, Tokens
from .app import REGISTRY, create_app, setup
from .settings import WebSettings

__all__ = [
    # access
    "Authenticate",
    "Principal",
    "Tokens",
    # app
    "REGISTRY",
    "create_app",
    "setup",
    # settings
    "WebSettings",
]
