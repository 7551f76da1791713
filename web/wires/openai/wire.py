"""The routes of OpenAI's API."""

from turnkeeper.web.wires.wire import Wire, WireRoute

from . import conversations
from .completions import handlers as completions
from .models import model, models
from .refusals import refuse
from .responses import handlers as responses

OPENAI = Wire(
    name="openai",
    clients="OpenAI's API",
    base="/v1",
    routes=(
        WireRoute("GET", "/v1/models", models),
        WireRoute("GET", "/v1/models/{model}", model),
        WireRoute("POST", "/v1/responses", responses.create),
        WireRoute("GET", "/v1/responses/{response_id}", responses.retrieve),
        WireRoute("DELETE", "/v1/responses/{response_id}", responses.delete),
        WireRoute("GET", "/v1/responses/{response_id}/input_items", responses.input_items),
        WireRoute("POST", "/v1/responses/{response_id}/cancel", responses.cancel),
        WireRoute("POST", "/v1/conversations", conversations.create),
        WireRoute("GET", "/v1/conversations/{conversation_id}", conversations.retrieve),
        WireRoute("GET", "/v1/conversations/{conversation_id}/items", conversations.items),
        WireRoute("DELETE", "/v1/conversations/{conversation_id}", conversations.delete),
        WireRoute("POST", "/v1/chat/completions", completions.create),
    ),
    refuse=refuse,
    names_models=True,
    on_start=conversations.forget_left,
)
