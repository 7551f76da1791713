"""AG-UI on a route of one's own: `POST /agui` runs one turn and streams it, as AG-UI's clients read it.

A thread is a session, and a run is a turn of it, which ends when its client hangs up.
"""

import json
from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict, assert_never

from aiohttp import web

from turnkeeper.actors import AgentFunction, InvalidRequest, Turn, TurnStatus
from turnkeeper.web import Call, Code, Problem, route, setup
from turnkeeper.web.wires import (
    CutOff,
    Data,
    Ended,
    JsonEvents,
    Reasoning,
    Said,
    Started,
    StreamClosed,
    Text,
    ToolCalled,
    ToolEnded,
)


class RunAgentInput(TypedDict):
    """What of a request is read here."""

    threadId: str
    runId: str
    messages: list[dict[str, Any]]
    tools: NotRequired[Any]
    context: NotRequired[Any]
    state: NotRequired[Any]
    resume: NotRequired[Any]
    forwardedProps: NotRequired[Any]
    parentRunId: NotRequired[Any]


async def run_agent(call: Call) -> web.StreamResponse:
    """Send the last message: turnkeeper has the conversation before it. Refuse what cannot be done."""
    asked = await call.json(RunAgentInput)
    for field in ("tools", "context", "state", "resume", "forwardedProps", "parentRunId"):
        if asked.get(field):
            raise Problem(Code.UNSUPPORTED_PARAMETER, f"{field} is not supported here", field=field)
    match asked["messages"]:
        case [*_, {"role": "user", "content": str(text)}]:
            reader = await call.run(asked["threadId"], text, turn_id=asked["runId"])
        case _:
            raise InvalidRequest("the last of the messages must be a text of the user's", field="messages")
    run = Run(asked["threadId"], asked["runId"])
    return await call.stream(reader, JsonEvents(run, first=[{"type": "RUN_STARTED", **run.ids}]))


class Run:
    """A turn in AG-UI's words."""

    def __init__(self, thread: str, run: str) -> None:
        self.ids = {"threadId": thread, "runId": run}
        self.message: str | None = None  # the id of the one that is being written
        self.written = 0

    def __call__(self, said: Said | StreamClosed) -> Iterator[dict[str, Any]]:
        """The run's events that this makes."""
        run = self.ids["runId"]
        if self.message and not isinstance(said, Text):
            yield {"type": "TEXT_MESSAGE_END", "messageId": self.message}
            self.message = None
        match said:
            case Text(text=text):
                if not self.message:
                    self.written += 1
                    self.message = f"{run}-{self.written}"
                    yield {"type": "TEXT_MESSAGE_START", "messageId": self.message, "role": "assistant"}
                yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": self.message, "delta": text}
            case Reasoning(text=text):
                yield {"type": "REASONING_MESSAGE_CHUNK", "messageId": f"{run}-reasoning", "delta": text}
            case ToolCalled(id=id, name=name, arguments=arguments):
                yield {"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": name}
                yield {"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": json.dumps(arguments or {})}
                yield {"type": "TOOL_CALL_END", "toolCallId": id}
            case ToolEnded(id=id, outcome=outcome, result=result):
                content = outcome if result is None else json.dumps(result)
                yield {
                    "type": "TOOL_CALL_RESULT",
                    "messageId": f"{id}-result",
                    "toolCallId": id,
                    "content": content,
                }
            case Data(name=name, data=data):
                yield {"type": "CUSTOM", "name": name, "value": data}
            case Ended(status=TurnStatus.COMPLETED, result=result):
                returned = {} if result is None else {"result": result}
                yield {"type": "RUN_FINISHED", **self.ids, **returned}
            case Ended(status=TurnStatus.CANCELLED, code=code):
                stopped = {"outcome": {"type": "cancelled"}, "metadata": {"code": code}}
                yield {"type": "RUN_FINISHED", **self.ids, **stopped}
            case Ended(status=status, code=code):
                yield {"type": "RUN_ERROR", "code": code, "message": f"The turn ended as {status}"}
            case StreamClosed(why=why):
                yield {"type": "RUN_ERROR", "code": "stream_closed", "message": why or "Read too slowly"}
            case Started() | CutOff():
                pass  # for the client the run has begun at once, and goes on
            case _:
                assert_never(said)


async def echo(turn: Turn) -> None:
    """Say the words of the message one by one."""
    for word in turn.text.split():
        turn.emit("delta", {"text": f"{word} "})
        await turn.checkpoint()


def make_app(agent: AgentFunction = echo) -> web.Application:
    """An app that speaks AG-UI beside turnkeeper's own protocol."""
    app = web.Application()
    setup(app, agent)
    route(app, "POST", "/agui", run_agent)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8000)
