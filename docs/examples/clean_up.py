"""What is done once a turn was stopped: the model and an operator learn of its open call of a tool."""

import asyncio
from typing import Any

from turnkeeper.actors import InterruptedTurn, Reason, SessionRegistry, Turn, TurnRecord

notes: list[str] = []


async def look_up(city: str) -> str:
    await asyncio.sleep(60)  # a tool that takes long
    return f"sunny in {city}"


async def agent(turn: Turn) -> str:
    messages = turn.context.messages
    messages.append({"role": "user", "content": turn.text})

    @turn.on_cancel
    def say_so(reason: Reason, partial: str) -> None:
        for call in turn.open_calls:  # those that it has not come back from
            text = f"{call.name} was stopped: {reason.code}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
        messages.append({"role": "assistant", "content": partial, "cut_off": True})

    turn.emit("delta", {"text": "Let me see. "})
    # What a model has asked for:
    function = {"name": "weather", "arguments": '{"city": "Bonn"}'}
    call: dict[str, Any] = {"id": "call_1", "type": "function", "function": function}
    messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    async with turn.tool_call("call_1", "weather", {"city": "Bonn"}) as open_call:
        found = await look_up("Bonn")
        open_call.result(found)
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": found})
    return found


async def interrupted(turn: InterruptedTurn) -> None:
    names = [call.name for call in turn.open_calls]
    notes.append(
        f"{turn.record.turn_id} of {turn.owner}: {turn.record.status}, in {names}, said {turn.partial!r}"
    )


def ended(record: TurnRecord) -> None:
    notes.append(f"{record.turn_id} ended: {record.status}")


async def main() -> None:
    async with SessionRegistry(agent, on_interrupt=interrupted, on_turn_end=ended) as registry:
        await registry.send("s1", "How is the weather?", user="ada", turn_id="t1")
        await asyncio.sleep(0.01)
        answer = await registry.cancel("s1", "t1")
        print(answer.verdict, notes)
        said = (await registry.messages("s1")).messages
        print([(message["role"], message["content"]) for message in said])


if __name__ == "__main__":
    asyncio.run(main())
