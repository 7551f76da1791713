"""The wire protocols of clients that people have already, each a way to send, follow and stop turns.

A wire has a pure fold, which makes its own events of a turn's, and a thin file of handlers around it. What a
fold gives out depends on the turn's events alone: a stream that is cut anywhere goes on with the same events.
The names exported here are for wires of a host's own, too.

The layout::

    said        what a turn has said, event by event, as every wire reads it
    writing     how most wires are written: as Server-Sent Events of JSON
    agents      the agents, as clients name them
    wire        what a wire is, and how its routes are added to an app
    openai      OpenAI's Responses and Chat Completions
    ai_sdk      the UI message streams of Vercel's AI SDK
    speaking    the wires by the names that `setup(speaks=...)` knows
"""

from .said import (
    CutOff,
    Data,
    Ended,
    Reasoning,
    Said,
    Started,
    StreamClosed,
    Text,
    ToolCalled,
    ToolEnded,
    said,
)
from .writing import DONE, Fold, JsonEvents

__all__ = [
    # said
    "CutOff",
    "Data",
    "Ended",
    "Reasoning",
    "Said",
    "Started",
    "StreamClosed",
    "Text",
    "ToolCalled",
    "ToolEnded",
    "said",
    # writing
    "DONE",
    "Fold",
    "JsonEvents",
]
