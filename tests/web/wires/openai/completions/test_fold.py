"""A turn's events as a chat completion."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.fakes import opened
from tests.turns import head
from tests.web.fakes_web import texts
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.wires.openai.completions.ends import EndAnswer, Failed
from turnkeeper.web.wires.openai.completions.fold import Chunks, Identity, Whole
from turnkeeper.web.wires.said import Said, StreamClosed, said
from turnkeeper.web.wires.writing import JsonEvents

TURN = {"task_id": "t1", "agent": "coder", "submitted_at": 1763842008.9, "attempt": 1}
IDENTITY = Identity(SessionId("s1"), head("t1", agent="coder", submitted_at=1763842008.9))


def event(name: str, data: Any = None, n: int = 0) -> Event:
    return Event(name, 1, n, json.dumps(data))


def started(attempt: int = 1) -> Event:
    return event("turn.started", {**TURN, "status": "running", "attempt": attempt, "message": "hi"})


def delta(text: str) -> Event:
    return event("delta", {"text": text})


def completed(result: Any = None, **usage: int | None) -> Event:
    used = {"input_tokens": None, "output_tokens": None, "cached_tokens": None, "reasoning_tokens": None}
    used |= usage
    used["total_tokens"] = (used["input_tokens"] or 0) + (used["output_tokens"] or 0)
    data = {**TURN, "status": "completed", "reason": None, "error": None, "result": result}
    return event("turn.completed", {**data, "usage": used if usage else None})


def cancelled() -> Event:
    reason = {"code": "user_request", "by": "ada", "text": None}
    return event("turn.cancelled", {**TURN, "status": "cancelled", "reason": reason, "error": None})


def cut_off(*, from_start: bool) -> Event:
    data = {**TURN, "status": "queued", "will_continue": True, "from_start": from_start, "kept": None}
    return event("turn.interrupted", data)


def heard(*events: Event) -> list[Said]:
    """What the events of a turn say."""
    return [found for each in events if (found := said(each)) is not None]


#: The stream ends before the turn does.
LOST, SHUT = StreamClosed(None), StreamClosed(StreamEnd.SHUTDOWN)


def chunks(*events: Event, close: StreamClosed | None = None, with_usage: bool = False) -> list[Any]:
    """All chunks of these events as JSON, each of the types that the protocol's own client has."""
    fold = Chunks(IDENTITY, with_usage=with_usage)
    found = [chunk for each in heard(*events) for chunk in fold(each)]
    if close is not None:
        found += fold(close)
    assert fold.completed != isinstance(found[-1], EndAnswer)
    made = [json.loads(msgspec.json.encode(chunk)) for chunk in found]
    for each in made:
        if "error" not in each:
            ChatCompletionChunk.model_validate(each, strict=True)
    return made


def deltas(made: list[Any]) -> list[Any]:
    """What each chunk adds, why it is the last one, or its error's code."""
    return [
        each["error"]["code"]
        if "error" in each
        else each.get("usage")
        if not each["choices"]
        else each["choices"][0]["finish_reason"] or each["choices"][0]["delta"]
        for each in made
    ]


ROLE = {"role": "assistant", "content": ""}


def test_a_reply_comes_in_chunks_of_one_completion() -> None:
    made = chunks(started(), event("reasoning", {"text": "hm"}), delta("a"), delta("b"), completed("ab"))
    assert deltas(made) == [ROLE, {"reasoning_content": "hm"}, {"content": "a"}, {"content": "b"}, "stop"]
    for each in made:
        assert (each["id"], each["created"], each["model"]) == ("chatcmpl-t1.s1", 1763842008, "coder")
        assert "usage" not in each


def test_what_an_agent_returned_is_the_reply_if_it_emitted_none() -> None:
    assert deltas(chunks(started(), completed("hello"))) == [ROLE, {"content": "hello"}, "stop"]
    assert deltas(chunks(started(), delta(""), completed("hello"))) == [ROLE, {"content": "hello"}, "stop"]
    assert deltas(chunks(started(), delta("hi"), completed("hello"))) == [ROLE, {"content": "hi"}, "stop"]
    assert deltas(chunks(started(), completed({"not": "a text"}))) == [ROLE, "stop"]


def test_the_usage_comes_last_if_it_is_asked_for_and_known() -> None:
    end = completed(input_tokens=3, output_tokens=4, cached_tokens=1, reasoning_tokens=2)
    *before, last = chunks(started(), end, with_usage=True)
    assert all(each["usage"] is None for each in before)
    assert (last["choices"], last["usage"]) == (
        [],
        {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    )
    assert deltas(chunks(started(), end))[-1] == "stop"
    for unknown in (completed(), completed(input_tokens=3), completed(output_tokens=3)):
        assert deltas(chunks(started(), unknown, with_usage=True))[-1] == "stop"


def test_a_turn_that_was_stopped_ends_in_an_error() -> None:
    made = chunks(started(), delta("a"), cancelled())
    assert deltas(made) == [ROLE, {"content": "a"}, "user_request"]
    assert made[-1]["error"]["turn"]["reason"]["code"] == "user_request"
    assert deltas(chunks(cancelled())) == ["user_request"]


def test_events_that_end_before_the_turn_does_end_in_an_error() -> None:
    assert deltas(chunks(started(), delta("a"), close=LOST)) == [ROLE, {"content": "a"}, "events_lost"]
    assert deltas(chunks(close=LOST)) == ["events_lost"]
    assert deltas(chunks(started(), cut_off(from_start=True), close=SHUT)) == [ROLE, "shutting_down"]


def test_a_turn_that_goes_on_after_a_restart_goes_on_here() -> None:
    events = started(), delta("a"), cut_off(from_start=False), started(2), delta("b"), completed()
    assert deltas(chunks(*events)) == [ROLE, {"content": "a"}, {"content": "b"}, "stop"]


def test_what_was_given_out_cannot_be_said_again() -> None:
    events = started(), delta("a"), cut_off(from_start=True), started(2), delta("b"), completed()
    assert deltas(chunks(*events)) == [ROLE, {"content": "a"}, "restarted"]
    events = started(), cut_off(from_start=True), started(2), delta("b"), completed()
    assert deltas(chunks(*events)) == [ROLE, {"content": "b"}, "stop"]


def test_what_else_an_agent_emits_is_left_out() -> None:
    call = event("turn.tool_call", {"id": "c", "name": "search"})
    result = event("turn.tool_result", {"id": "c", "name": "search", "outcome": "done", "ms": 1})
    assert deltas(chunks(started(), call, event("picture", 1), result, completed())) == [ROLE, "stop"]


def test_a_model_that_has_not_said_all_does_not_end_in_stop() -> None:
    short = event("finish_reason", {"reason": "length"})
    assert deltas(chunks(started(), delta("a"), short, completed()))[-1] == "length"
    assert whole(started(), delta("a"), short, completed())[1]["choices"][0]["finish_reason"] == "length"
    again = started(), short, cut_off(from_start=True), started(2), delta("a"), completed()
    assert deltas(chunks(*again))[-1] == "stop"
    assert whole(*again)[1]["choices"][0]["finish_reason"] == "stop"


def whole(*events: Event, why: StreamEnd | None = None) -> tuple[int, Any]:
    reply = Whole(IDENTITY)
    for each in heard(*events):
        reply.take(each)
    answer = reply.answer(1_000_000, why)
    if isinstance(answer, Failed):
        return answer.status, json.loads(msgspec.json.encode(answer.answer))
    made = json.loads(msgspec.json.encode(answer))
    ChatCompletion.model_validate(made, strict=True)
    return 200, made


def test_a_reply_as_a_whole() -> None:
    status, made = whole(started(), event("reasoning", {"text": "hm"}), delta("a"), delta("b"), completed())
    assert status == 200
    assert made == {
        "id": "chatcmpl-t1.s1",
        "object": "chat.completion",
        "created": 1763842008,
        "model": "coder",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "reasoning_content": "hm",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


def test_the_usage_is_part_of_the_whole() -> None:
    assert whole(started(), completed(input_tokens=1, output_tokens=2))[1]["usage"]["total_tokens"] == 3


def test_a_turn_that_was_stopped_is_an_error_with_what_it_had_said() -> None:
    status, made = whole(started(), delta("a"), delta("b"), cancelled())
    assert (status, made["error"]["code"], made["error"]["text"]) == (409, "user_request", "ab")


def test_a_turn_that_was_cut_off_is_an_error_unless_it_went_on() -> None:
    status, made = whole(started(), delta("a"), cut_off(from_start=False), why=StreamEnd.SHUTDOWN)
    assert (status, made["error"]["code"], made["error"]["text"]) == (503, "shutting_down", "a")
    again = started(), delta("a"), cut_off(from_start=True), started(2), delta("b"), completed()
    assert whole(*again)[1]["choices"][0]["message"]["content"] == "b"
    assert whole(started(), delta("a"))[1]["error"]["code"] == "events_lost"


def test_a_whole_has_a_bound() -> None:
    reply = Whole(IDENTITY)
    for each in heard(started(), delta("ab"), event("reasoning", {"text": "c"}), completed()):
        reply.take(each)
    assert not isinstance(reply.answer(3), Failed)
    failed = reply.answer(2)
    assert isinstance(failed, Failed)
    assert failed.answer.error.code == "reply_too_long"


#: What an agent may emit, by the names of the events.
emitted = st.lists(
    st.tuples(st.sampled_from(["delta", "reasoning", "picture"]), st.fixed_dictionaries({"text": texts}))
)


@given(emitted, st.data())
def test_however_the_events_are_cut_into_batches_the_stream_is_the_same(
    what: list[Any], data: st.DataObject
) -> None:
    events = [started(), *(event(name, of) for name, of in what), completed("result")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)))))
    written = []
    for ends in ([], cuts):
        writing = JsonEvents(Chunks(IDENTITY, with_usage=True))
        begins = [0, *ends]
        batches = zip(begins, [*ends, len(events)], strict=True)
        written.append(b"".join(writing.write(events[a:b]) for a, b in batches) + writing.end())
    assert written[0] == written[1]
    text = "".join(of["text"] for name, of in what if name == "delta")
    made = [json.loads(each.removeprefix(b"data: ")) for each in written[0].split(b"\n\n")[:-1]]
    contents = [each["choices"][0]["delta"].get("content", "") for each in made]
    assert "".join(contents) == (text or "result")
    assert whole(*events)[1]["choices"][0]["message"]["content"] == (text or "result")


async def test_the_events_of_a_real_turn_are_understood() -> None:
    async def agent(turn: Turn) -> str:
        turn.emit("delta", {"text": "hi"})
        turn.report_usage(input_tokens=1, output_tokens=2)
        return "hi"

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        events = [each async for each in receipt.events()]
    assert deltas(chunks(*events, with_usage=True))[:3] == [ROLE, {"content": "hi"}, "stop"]
    assert whole(*events)[0] == 200
