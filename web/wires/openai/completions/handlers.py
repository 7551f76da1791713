"""``POST /v1/chat/completions``."""

from contextlib import aclosing

from aiohttp import web

from turnkeeper.actors.events.turn_reader import TurnReader
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.records import TurnOptions
from turnkeeper.actors.turn.context import Context
from turnkeeper.web.http.call import Call
from turnkeeper.web.http.mount import respond
from turnkeeper.web.http.parameters import IDEMPOTENCY_KEY
from turnkeeper.web.wires.agents import agent_of
from turnkeeper.web.wires.openai.histories import refuse_history
from turnkeeper.web.wires.openai.refusals import NEVER_AGAIN
from turnkeeper.web.wires.said import said
from turnkeeper.web.wires.writing import DONE, JsonEvents

from .asked import Asked, asked
from .ends import Failed
from .fold import Chunks, Identity, Whole
from .session import Forgetting, Place, place_of


async def create(call: Call) -> web.StreamResponse:
    """Run one turn for the last message, and answer with its reply.

    The turn is cancelled when the client hangs up.
    """
    key = IDEMPOTENCY_KEY.of(call.request)
    request = asked(await call.json())
    place = place_of(call.request.headers, call.settings, request, call.user, key)
    reader = await _run(call, request, place, key)
    identity = Identity(place.session_id, reader.head)
    if request.streams:
        return await call.stream(reader, _Stream(Chunks(identity, with_usage=request.with_usage)))
    return await _wait(call, reader, Whole(identity))


async def _run(call: Call, request: Asked, place: Place, key: str | None) -> TurnReader:
    """Send the message, and follow its turn."""
    agent = agent_of(call.registry, request.model)
    context = Context(place.session_id, call.user, agent, messages=request.before)
    forgetting = Forgetting(call.registry, place.session_id) if place.once else None
    try:
        refuse_history(agent, call.registry.takes(agent), request.before)
        return await call.run(
            place.session_id,
            request.message,
            agent=agent,
            key=key,
            options=TurnOptions(context=context, needed=True, size=footprint(request.before)),
            params=request.params,
            ended_to=forgetting,
        )
    except InvalidRequest as error:
        if error.field == "message":
            error.field = "messages"
        raise
    finally:
        if forgetting is not None:
            forgetting.follow()


async def _wait(call: Call, reader: TurnReader, whole: Whole) -> web.StreamResponse:
    """Answer when the turn has ended. Cancelling it closes the reader."""
    most = call.settings.conversation_bytes
    async with aclosing(call.events(reader)) as batches:
        async for batch in batches:
            for event in batch:
                if (found := said(event)) is not None:
                    whole.take(found)
            if whole.size > most:
                break
    answer = whole.answer(most, reader.ending)
    if isinstance(answer, Failed):
        return respond(answer.answer, answer.status, NEVER_AGAIN)
    return respond(answer)


class _Stream(JsonEvents):
    """Writes the chunks, and says at their end whether the reply is whole."""

    def __init__(self, chunks: Chunks) -> None:
        super().__init__(chunks)
        self._chunks = chunks

    def end(self) -> bytes:
        """An error if the turn's end has not come."""
        last = super().end()
        return last + DONE if self._chunks.completed else last
