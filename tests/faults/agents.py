"""What the server runs: an agent for each policy of restarts, all of which do as their message plans."""

import asyncio

from tests.faults.plan import chunks_of, plan_of
from turnkeeper.actors.model.words import OnRestart
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn


class AsPlanned(Exception):
    """A turn fails because its message says so."""


async def speak(turn: Turn) -> str:
    """Emit the chunks of the plan, and return its result. Cancelling it ends it after the deaf seconds.

    Where it continues, it says what it had not said.
    """
    plan = plan_of(turn.text)
    said = len(chunks_of(turn.partial))
    try:
        for number in range(said, plan.chunks):
            await asyncio.sleep(plan.pause)
            turn.emit("delta", {"text": plan.chunk(number)})
    except asyncio.CancelledError:
        await _endure(plan.deaf)
        raise
    if plan.fails:
        raise AsPlanned(turn.turn_id)
    return plan.result


async def _endure(seconds: float) -> None:
    """Let the time pass, whatever is asked meanwhile."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


#: By their names, which are those of their policies.
AGENTS = {policy: Agent(speak, on_restart=policy) for policy in OnRestart}
