"""Whether an agent takes what a request brings of what was said before."""

from typing import Any

import pytest

from turnkeeper.actors.model.exceptions import PartNotTaken
from turnkeeper.web.wires.openai.histories import refuse_history

TEXT, IMAGE = {"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x"}}
REFUSAL = {"type": "refusal", "refusal": "no"}


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("taken", "history", "part"),
    [
        (("text",), [], None),
        (("text",), [said("user", "see"), said("assistant", "I see"), said("user", [TEXT])], None),
        (("text",), [said("user", [TEXT, IMAGE]), said("assistant", "I see")], "image_url"),
        (("text", "image_url"), [said("user", [TEXT, IMAGE])], None),
        (None, [said("user", [TEXT, IMAGE])], None),
        (("text",), [said("assistant", [IMAGE])], "image_url"),
        (("text",), [said("tool", [TEXT, IMAGE])], "image_url"),
        (("text",), [said("assistant", [TEXT, REFUSAL])], None),
        (("text",), [{"role": "assistant", "tool_calls": []}, said("assistant", None)], None),
        (("input_audio",), [said("system", "Be short."), said("assistant", [TEXT])], None),
        (("input_audio",), [said("user", "see")], "text"),
        (("input_audio",), [said("user", [TEXT])], "text"),
    ],
)
def test_a_history_is_refused_by_the_first_part_that_its_agent_does_not_take(
    taken: tuple[str, ...] | None, history: list[Any], part: str | None
) -> None:
    if part is None:
        refuse_history("coder", taken, history)
        return
    with pytest.raises(PartNotTaken) as caught:
        refuse_history("coder", taken, history)
    assert (caught.value.part, caught.value.agent) == (part, "coder")
