"""The old four: a turn is registered, cancelled, cleaned up, and a new one runs after it.

Also a script: ``python tests/test_cancellation.py``.
"""

import asyncio
import sys
from collections.abc import Callable

from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.services import (
    active_send_tasks,
    cancel_active_send_task,
    cleanup_completed_tasks,
    get_active_send_tasks,
    send_message_to_agent,
)
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

LOG_ID = "test_cancellation_session"
USER = {"user": "test_user"}


class Model:
    """An agent that says when it has begun and works until it is stopped, or ends if asked to be short."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cleaned_up = False

    async def __call__(self, turn: Turn) -> str:
        self.began.set()
        if turn.max_iterations == 1:
            return f"short answer to {turn.text!r}"
        try:
            await asyncio.Event().wait()
        finally:
            self.cleaned_up = True
        raise AssertionError("nothing sets that event")


async def show_the_old_four(say: Callable[[str], None]) -> None:
    """Go through all four, and raise AssertionError where one of them does not hold."""
    model = Model()
    async with SessionRegistry(model):
        context = Context(LOG_ID, "test_user", "test_agent")
        assert (await get_active_send_tasks())["active_tasks"] == {}

        call = asyncio.create_task(send_message_to_agent(LOG_ID, "a long story", 50, context, USER))
        await model.began.wait()
        listed = (await get_active_send_tasks())["active_tasks"]
        assert listed[LOG_ID]["active"] is True
        assert active_send_tasks[LOG_ID]["context"] is context
        assert not active_send_tasks[LOG_ID]["task"].done()
        say("registered and tracked")

        handle = active_send_tasks[LOG_ID]["task"]
        answer = await cancel_active_send_task(LOG_ID, context=context)
        assert answer["status"] == "cancelled"
        assert answer["log_id"] == LOG_ID
        assert model.cleaned_up, "the answer came before the coroutine had ended"
        assert context.data["task_cancelled"] is True
        await asyncio.wait([call])
        assert call.cancelled()
        say(f"cancelled, {answer['settled_after_ms']:.2f} ms after it was asked")

        assert (await get_active_send_tasks())["active_tasks"] == {}
        assert LOG_ID not in active_send_tasks
        assert handle.done()
        assert handle.cancelled()
        assert (await cleanup_completed_tasks())["cleaned_up"] == [LOG_ID]
        say("cleaned up")

        result = await send_message_to_agent(LOG_ID, "a short one", 1, context, USER)
        assert result == "short answer to 'a short one'"
        assert "task_cancelled" not in context.data
        say("a new one runs after it")


async def test_the_old_four_hold() -> None:
    said: list[str] = []
    await show_the_old_four(said.append)
    assert len(said) == 4


if __name__ == "__main__":
    asyncio.run(show_the_old_four(lambda text: print(f"ok: {text}")))
    print("All four hold.")
    sys.exit(0)
