"""``GET /v1/models`` and ``GET /v1/models/{model}``: the agents."""

from typing import Any

from aiohttp import web

from turnkeeper.web.http.call import Call
from turnkeeper.web.http.mount import respond
from turnkeeper.web.wires.agents import agent_of

#: Agents have no date: this one stands where the API demands one.
CREATED = 0


async def models(call: Call) -> web.StreamResponse:
    """All of them, the default one first."""
    return respond({"object": "list", "data": [_model(name) for name in call.registry.agents]})


async def model(call: Call) -> web.StreamResponse:
    """One of them. Raises `UnknownAgent`."""
    return respond(_model(agent_of(call.registry, call.request.match_info["model"])))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "turnkeeper"}
