"""A turn's agent says how the turn is undone; undo/test_hooks.py runs what it says."""

from tests.fakes import opened
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.turn.turn import Turn


async def test_what_cannot_be_called_is_refused() -> None:
    refused: list[str] = []

    async def registers(turn: Turn) -> str:
        try:
            turn.on_rollback(lambda one: None)  # type: ignore[misc, arg-type]
        except InvalidRequest as error:
            refused.append(str(error))
        return "done"

    async with opened(registers) as registry:
        await (await registry.send("s1", "hi")).result()
    assert refused == ["on_rollback cannot be called without arguments"]
