"""The routes of a chat of the AI SDK, where its client looks for them."""

from turnkeeper.web.wires.wire import Wire, WireRoute

from .chat import resume, send, stop
from .opening import open_chat
from .refusals import refuse

AI_SDK = Wire(
    name="ai-sdk",
    clients="the AI SDK's useChat",
    base="/api/chat",
    routes=(
        WireRoute("POST", "/api/chat", send),
        WireRoute("GET", "/api/chat/{id}", open_chat),
        WireRoute("GET", "/api/chat/{id}/stream", resume),
        WireRoute("POST", "/api/chat/{id}/stop", stop),
    ),
    refuse=refuse,
)
