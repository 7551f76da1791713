"""The response object."""

from typing import Any

import pytest

from tests.turns import head, record
from tests.web.wires.openai.official import Response, object_of
from tests.web.wires.openai.responses.test_asked import TO_THE_AGENT
from tests.web.wires.openai.responses.turns import ended, identity
from turnkeeper.actors.events.wire import turn_data
from turnkeeper.actors.model.records import Extras, SessionId, TurnError, TurnId, TurnRef, Usage
from turnkeeper.actors.model.words import TERMINAL, TurnStatus
from turnkeeper.web.wires.openai.responses.response import Identity, ending, status_of


def response(status: TurnStatus = TurnStatus.COMPLETED, turn: Any = None, **params: Any) -> Any:
    made = identity(**params).response(status, turn, ())
    object_of(Response, made)
    return made


@pytest.mark.parametrize("status", TurnStatus)
def test_every_status_has_a_word(status: TurnStatus) -> None:
    assert response(status)["status"] == status_of(status)
    if status in TERMINAL:
        assert ending(status).startswith("response.")
    else:
        with pytest.raises(ValueError, match="has not ended"):
            ending(status)


def test_it_repeats_what_the_request_said() -> None:
    made = response(**TO_THE_AGENT)
    assert {name: made[name] for name in TO_THE_AGENT} == TO_THE_AGENT


def test_it_does_not_repeat_what_this_api_does_not_know() -> None:
    strange = {"temperature": "hot", "metadata": [1], "tool_choice": {"x": 1}, "style": "loud"}
    assert response(**strange) == response()
    assert response()["tool_choice"] == "auto"


def test_it_says_what_was_used_where_that_is_known() -> None:
    def usage(*counts: int | None) -> Any:
        end = ended(extras=Extras(usage=Usage(*counts)))
        return response(turn=end.turn)["usage"]

    assert usage(5, 7, 3, 2) == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }
    assert usage(5, 0)["total_tokens"] == 5
    assert usage(None, 7) is usage(5, None) is None


def test_a_stop_is_said_in_our_words_too() -> None:
    said = response(TurnStatus.CANCELLED, ended(TurnStatus.CANCELLED).turn)["turnkeeper"]
    assert (said["verdict"], said["settled_after_ms"]) == ("cancelled", 500.0)
    assert said["reason"] == {"code": "user_request", "by": "ada", "text": None}
    assert "verdict" not in response(turn=ended().turn)["turnkeeper"]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("AGENT_ERROR", "server_error"),
        ("upstream_rate_limited", "rate_limit_exceeded"),
        ("unsupported_message", "invalid_prompt"),
    ],
)
def test_an_error_has_a_code_of_this_api_and_ours(code: str, shown: str) -> None:
    end = ended(TurnStatus.FAILED, error=TurnError(code, "ValueError"))
    error = response(TurnStatus.FAILED, end.turn)["error"]
    assert (error["code"], error["type"]) == (shown, code.lower())
    assert code.lower() in error["message"]


def test_one_that_has_brought_its_history_belongs_to_no_conversation() -> None:
    alone = Identity(TurnRef(SessionId("once_1"), TurnId("t")), head("t"))
    assert alone.response(TurnStatus.QUEUED, None, ())["conversation"] is None
    assert response()["conversation"] == {"id": "conv_1"}


def test_a_turn_in_flight_has_one_too() -> None:
    running = record("t.1", status=TurnStatus.RUNNING, started_at=2.0)
    made = identity().response(running.status, turn_data(running), ())
    object_of(Response, made)
    assert (made["status"], made["completed_at"]) == ("in_progress", None)
