"""What a turn knows from the send that it is for."""

import copy
import json
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, done, opened
from turnkeeper.actors.model.exceptions import ReadOnlyMessage
from turnkeeper.actors.model.records import TurnOptions
from turnkeeper.actors.turn.abilities.specified import text_of


async def test_a_turn_says_what_it_is_about() -> None:
    agent = ScriptedAgent()
    async with opened({"default": done, "coder": agent}) as registry:
        receipt = await registry.send(
            "s1", "hello", user="ada", agent="coder", turn_id="t1", options=TurnOptions(max_iterations=3)
        )
        turn = (await agent.run()).turn
        assert (turn.session_id, turn.turn_id, turn.user, turn.agent) == ("s1", "t1", "ada", "coder")
        assert (turn.message, turn.text, turn.epoch) == ("hello", "hello", receipt.epoch)
        assert turn.max_iterations == 3
        assert not turn.cancel_requested
        assert "hello" not in repr(turn)


async def test_a_turn_has_what_its_send_says_to_the_agent_beside_the_message() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        said: dict[str, Any] = {"temperature": 0.2, "metadata": {"tags": ["a"]}}
        await registry.send("s1", "hello", params=said)
        said["metadata"]["tags"].append("b")
        params = (await agent.run()).turn.params
        assert params == {"temperature": 0.2, "metadata": {"tags": ["a"]}}
        assert json.loads(json.dumps(params)) == copy.deepcopy(params) == params
        with pytest.raises(ReadOnlyMessage):
            params["metadata"]["tags"].append("c")
        await registry.send("s2", "hello")
        assert (await agent.run()).turn.params == {}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("hello", "hello"),
        ([{"type": "text", "text": "Hel"}, {"type": "image"}, {"type": "text", "text": "lo"}], "Hello"),
        ([], ""),
        ([None, 1, "x", {"text": None}, {"text": 5}], ""),
        ({"text": "x"}, ""),
        (None, ""),
        (7, ""),
    ],
)
def test_the_text_of_a_message_is_that_of_its_parts(message: Any, text: str) -> None:
    assert text_of(message) == text
