"""How a chat is told that something is refused."""

import pytest

from tests.fakes import plain
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.ai_sdk.refusals import refuse


@pytest.mark.parametrize("code", Code, ids=plain)
def test_every_refusal_is_a_text_with_its_code_in_a_header(code: Code) -> None:
    answer = refuse(Problem(code, "it is so", headers={"Retry-After": "1"}))
    assert answer.content_type == "text/plain"
    assert answer.text is not None
    assert (answer.text == "it is so") == (code is not Code.IDEMPOTENCY_KEY_REUSED)
    assert answer.headers["Turnkeeper-Code"] == code
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.status == (422 if code is Code.UNSUPPORTED_PARAMETER else code.status)


def test_another_message_under_the_same_id_is_called_a_change() -> None:
    answer = refuse(Problem(Code.IDEMPOTENCY_KEY_REUSED, "the key stands for another message: turn 'key-1'"))
    assert answer.text is not None
    assert "cannot be changed" in answer.text
    assert "key" not in answer.text
