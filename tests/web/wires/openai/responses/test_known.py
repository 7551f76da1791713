"""What is known of a response that is asked for when its events are gone."""

from typing import Any

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import House, serving
from tests.web.wires.openai.official import Response, object_of
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

URL = "/v1/responses"


async def wordy(turn: Turn) -> str | None:
    """Says ten words, or returns one."""
    if turn.text == "quiet":
        return "done"
    for n in range(10):
        turn.emit("delta", {"text": f"{n} "})
    if turn.text == "bad":
        raise ValueError
    return None


async def created(house: House, said: str, **more: Any) -> Any:
    return (await house.post(URL, json={"input": said, "conversation": "c1", **more})).body


async def asked(house: House, response: Any) -> Any:
    answer = await house.get(f"{URL}/{response['id']}")
    assert answer.status == 200, answer.text
    object_of(Response, answer.body)
    return answer.body


async def is_gone(house: House, response: Any, query: str = "") -> bool:
    answer = await house.get(f"{URL}/{response['id']}{query}")
    return (answer.status, answer.body["error"]["code"]) == (400, "events_lost")


def text_of(response: Any) -> list[str]:
    return [part["text"] for item in response["output"] for part in item["content"]]


async def test_what_an_agent_has_returned_is_kept_with_its_turn() -> None:
    async with serving(wordy, speaks=["openai"], log_events=5) as house:
        response = await created(house, "quiet")
        await created(house, "words")
        assert await is_gone(house, response, "?stream=true")
        assert await asked(house, response) == response
        assert text_of(response) == ["done"]


async def test_the_last_reply_is_in_the_conversation() -> None:
    async with serving(wordy, speaks=["openai"], log_events=5) as house:
        first = await created(house, "words", background=True)
        again = await asked(house, first)
        assert (again["status"], text_of(again)) == ("completed", ["0 1 2 3 4 5 6 7 8 9 "])
        await created(house, "quiet")
        assert await is_gone(house, first)


async def test_a_reply_that_is_not_kept_whole_is_not_given_for_it() -> None:
    async with serving(wordy, speaks=["openai"], log_events=5, recorded_reply=10) as house:
        assert await is_gone(house, await created(house, "words", background=True))


async def test_a_conversation_that_the_host_keeps_is_not_asked_for_a_reply() -> None:
    async def load(log_id: str, username: str) -> Context:
        return Context(log_id, username, messages=[{"role": "assistant", "content": "another's"}])

    async with serving(wordy, speaks=["openai"], log_events=5, hooks={"load_context": load}) as house:
        assert await is_gone(house, await created(house, "words", background=True))


async def test_how_a_response_ended_is_known_without_what_it_said() -> None:
    async with serving(wordy, speaks=["openai"], log_events=5) as house:
        bad = await created(house, "bad", background=True)
        await created(house, "quiet")
        again = await asked(house, bad)
        assert (again["status"], again["error"]["type"], again["output"]) == ("failed", "agent_error", [])


async def test_one_that_goes_on_has_put_out_nothing_yet() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house:
        response = await created(house, "hello", background=True)
        run = await agent.run()
        run.turn.emit("delta", {"text": "well"})
        again = await asked(house, response)
        assert (again["status"], again["output"]) == ("in_progress", [])
        run.finish()


async def test_what_was_too_long_to_be_kept_is_said_to_be_cut_off() -> None:
    async with serving(wordy, speaks=["openai"], recorded_reply=10) as house:
        response = await created(house, "words")
        assert (response["status"], response["turnkeeper"]["cut_off"]) == ("completed", True)
        assert await asked(house, response) == response
