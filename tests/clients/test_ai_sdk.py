"""The class behind `useChat` speaks to the AI SDK's wire: what it shows of a turn, and can do to it."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.clients.calls import Call
from tests.clients.node import IN_NODE, Driver, Made
from tests.clients.scripts import MANY, WORDS, many, say
from tests.fakes import FOREVER, Run, ScriptedAgent
from tests.web.fakes_web import Answer, House, by_token, serving
from turnkeeper.actors import Turn

pytestmark = IN_NODE
ADA, BOB = "ada-token", "bob-token"
SPEAKS = ["ai-sdk"]


async def chat_of(
    driver: Driver,
    house: House,
    chat_id: str = "c1",
    token: str = "none",
    *,
    messages: Sequence[Any] = (),
    **ways: Any,
) -> Made:
    """A chat, as a page of that user's has it that was opened with these messages."""
    headers = {"Authorization": f"Bearer {token}"}
    options = {"id": chat_id, "api": house.url("/api/chat"), "headers": headers, "messages": messages}
    return await driver.make("chat", options, **ways)


def text(state: Any) -> str:
    """The text of its last message, if that is the assistant's."""
    if not state["messages"] or state["messages"][-1]["role"] != "assistant":
        return ""
    return "".join(part["text"] for part in state["messages"][-1]["parts"] if part["type"] == "text")


def said(state: Any) -> list[tuple[str, str]]:
    """Who has said what in it."""
    return [
        (each["role"], "".join(part.get("text", "") for part in each["parts"])) for each in state["messages"]
    ]


async def shows(chat: Made, wanted: str, status: str = "streaming") -> Any:
    """Its next state that shows that text."""
    return await chat.by.until(lambda state: (text(state), state["status"]) == (wanted, status))


async def sending(chat: Made, agent: ScriptedAgent) -> tuple[Call, Run]:
    """A message of which two words have come, and its run."""
    call = chat.call("sendMessage", {"text": "hello"})
    run = await agent.run()
    say(run, *WORDS[:2])
    await shows(chat, "one two ")
    return call, run


def stream_id(state: Any) -> str:
    """What a stop is to name: the turn of the last message."""
    active: str = state["messages"][-1]["metadata"]["activeStreamId"]
    return active


async def stop(house: House, active: str | None, chat_id: str = "c1", **more: Any) -> Answer:
    """The stop call, as the AI SDK's guide has the page make it."""
    return await house.post(f"/api/chat/{chat_id}/stop", json={"activeStreamId": active}, **more)


# -- Send ---------------------------------------------------------------------------------------------


async def test_a_message_is_answered_word_by_word(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        assert run.turn.text == "hello"
        say(run, WORDS[2])
        run.finish()
        end = await call.result()
        assert [message["role"] for message in end["messages"]] == ["user", "assistant"]
        assert (text(end), end["status"], end["error"]) == ("one two three", "ready", None)
        assert {"submitted", "streaming"} <= {state["status"] for state in chat.by.events[1:]}


async def test_what_an_agent_thinks_does_and_emits_is_shown_as_parts(ai_sdk: Driver) -> None:
    async def busy(turn: Turn) -> None:
        turn.emit("reasoning", {"text": "hm"})
        async with turn.tool_call("t1", "look", {"at": "it"}) as call:
            call.result("seen")
        turn.emit("weather", {"sun": True})
        turn.emit("delta", {"text": "done"})

    async with serving(busy, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        end = await chat.ask("sendMessage", {"text": "hello"})
        parts = {part["type"]: part for part in end["messages"][-1]["parts"]}
        assert list(parts) == ["step-start", "reasoning", "dynamic-tool", "data-weather", "text"]
        assert parts["reasoning"]["text"] == "hm"
        tool = parts["dynamic-tool"]
        assert (tool["toolName"], tool["input"], tool["output"]) == ("look", {"at": "it"}, "seen")
        assert tool["state"] == "output-available"
        assert parts["data-weather"]["data"] == {"sun": True}
        assert end["data"] == [{"type": "data-weather", "data": {"sun": True}}]


# -- Cut and resume ---------------------------------------------------------------------------------------


#: The events of a turn that has said its words and goes on: three beginnings, and the words.
LIVE = 6


async def test_a_stream_that_was_cut_anywhere_is_resumed(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        for n in range(1, LIVE + 1):
            chat = await chat_of(ai_sdk, house, f"c{n}", cut=n)
            call = chat.call("sendMessage", {"text": "hello"})
            run = await agent.run()
            say(run, *WORDS)
            cut = await call.result()
            assert cut["finished"][-1]["isDisconnect"]
            chat.by.forget()
            resumed = chat.call("resumeStream")
            await shows(chat, "one two three")
            run.finish()
            end = await resumed.result()
            assert (text(end), end["status"], end["error"]) == ("one two three", "ready", None)
            assert len(end["messages"]) == 2


async def test_a_stream_that_was_cut_in_its_end_is_whole(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        n, lost = LIVE, True
        while lost:
            n += 1
            chat = await chat_of(ai_sdk, house, f"c{n}", cut=n)
            call = chat.call("sendMessage", {"text": "hello"})
            run = await agent.run()
            say(run, *WORDS)
            run.finish()
            lost = (await call.result())["status"] == "error"
            end = await chat.ask("resumeStream")
            assert (text(end), end["status"], end["error"]) == ("one two three", "ready", None)
        assert n > LIVE + 3


async def test_a_page_that_is_loaded_anew_shows_the_turn_from_its_beginning(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        anew = await chat_of(ai_sdk, house)
        resumed = anew.call("resumeStream")
        await shows(anew, "one two ")
        say(run, WORDS[2])
        run.finish()
        assert text(await call.result()) == text(await resumed.result()) == "one two three"


async def test_a_page_that_is_loaded_anew_with_what_was_said_shows_it_all_and_goes_on(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        run.finish()
        await call.result()
        call, run = await sending(chat, agent)
        anew = await chat_of(ai_sdk, house, messages=(await house.get("/api/chat/c1")).body["messages"])
        resumed = anew.call("resumeStream")
        during = await shows(anew, "one two ")
        say(run, WORDS[2])
        run.finish()
        end = await resumed.result()
        assert said(during) == [
            ("user", "hello"),
            ("assistant", "one two "),
            ("user", "hello"),
            ("assistant", "one two "),
        ]
        assert said(end) == said(await call.result()) == [*said(during)[:3], ("assistant", "one two three")]
        assert (end["status"], end["error"]) == ("ready", None)
        again = await chat_of(ai_sdk, house, messages=(await house.get("/api/chat/c1")).body["messages"])
        assert said(await again.ask("resumeStream")) == said(end)


async def test_nothing_is_resumed_where_nothing_runs(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        state = await chat.ask("resumeStream")
        assert (state["messages"], state["status"], state["error"]) == ([], "ready", None)


# -- Stop -------------------------------------------------------------------------------------------------


async def test_a_stop_ends_the_turn_and_keeps_what_it_said(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        answer = await stop(house, stream_id(chat.by.events[-1]))
        assert answer.status == 200
        assert run.cancels == 1
        end = await call.result()
        assert (text(end), end["status"], end["error"]) == ("one two ", "ready", None)
        assert end["messages"][-1]["metadata"]["status"] == "cancelled"


async def test_a_stop_that_comes_too_late_leaves_the_successor_alone(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        stale = stream_id(chat.by.events[-1])
        run.finish()
        await call.result()
        call, run = await sending(chat, agent)
        answer = await stop(house, stale)
        assert answer.status == 200
        say(run, WORDS[2])
        run.finish()
        assert text(await call.result()) == "one two three"
        assert run.cancels == 0


async def test_leaving_the_page_does_not_stop_the_turn(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        left = await chat.ask("stop")
        assert (text(left), left["status"]) == ("one two ", "ready")
        await call.result()
        resumed = chat.call("resumeStream")
        say(run, WORDS[2])
        await shows(chat, "one two three")
        run.finish()
        assert text(await resumed.result()) == "one two three"
        assert run.cancels == 0


async def test_leaving_the_page_stops_the_turn_where_the_host_says_so(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, on_disconnect="cancel", abandon_after=0.05) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        await chat.ask("stop")
        await call.result()
        await run.cancelled.wait()


# -- Others -----------------------------------------------------------------------------------------------


async def test_a_second_page_takes_the_place_of_the_first(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        one, two = await chat_of(ai_sdk, house), await chat_of(ai_sdk, house)
        first, run = await sending(one, agent)
        second, later = await sending(two, agent)
        assert run.cancels == 1
        end = await first.result()
        assert (text(end), end["status"], end["error"]) == ("one two ", "ready", None)
        assert end["messages"][-1]["metadata"]["supersededBy"] == stream_id(two.by.events[-1])
        say(later, WORDS[2])
        later.finish()
        assert text(await second.result()) == "one two three"


async def test_a_message_is_refused_where_one_is_in_flight(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, multitask_strategy="reject") as house:
        one, two = await chat_of(ai_sdk, house), await chat_of(ai_sdk, house)
        first, run = await sending(one, agent)
        refused = await two.ask("sendMessage", {"text": "me too"})
        assert refused["status"] == "error"
        assert refused["error"]["message"]
        say(run, WORDS[2])
        run.finish()
        assert text(await first.result()) == "one two three"


async def test_what_belongs_to_another_user_is_out_of_reach(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, authenticate=by_token) as house:
        ada, bob = await chat_of(ai_sdk, house, token=ADA), await chat_of(ai_sdk, house, token=BOB)
        call, run = await sending(ada, agent)
        active = stream_id(ada.by.events[-1])
        nothing = await bob.ask("resumeStream")
        assert (nothing["messages"], nothing["status"]) == ([], "ready")
        refused = await bob.ask("sendMessage", {"text": "mine"})
        assert (text(refused), refused["status"]) == ("", "error")
        assert (await stop(house, active, token=BOB)).body["verdict"] == "not_running"
        assert run.cancels == 0
        run.finish()
        await call.result()


# -- Readers and bad ends ------------------------------------------------------------------------------


async def test_a_slow_reader_gets_every_word(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house, hold=2)
        call = chat.call("sendMessage", {"text": "hello"})
        run = await agent.run()
        words = many(300)
        assert len(words) == MANY
        say(run, *words)
        run.finish()
        await run.ended.wait()
        chat.by.go_on()
        assert text(await call.result()) == "".join(words)


async def test_a_turn_that_will_not_stop_is_an_error(ai_sdk: Driver) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, speaks=SPEAKS, cancel_grace=0.05) as house:
        chat = await chat_of(ai_sdk, house)
        call, _ = await sending(chat, agent)
        await stop(house, stream_id(chat.by.events[-1]))
        end = await call.result()
        assert end["status"] == "error"
        assert text(end) == "one two "


async def test_a_turn_whose_agent_raises_is_an_error(ai_sdk: Driver) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        run.fail(RuntimeError("the model is gone"))
        end = await call.result()
        assert end["status"] == "error"
        assert text(end) == "one two "


@pytest.mark.parametrize(("way", "why"), [("regenerate", "generated again"), ("edit", "cannot be changed")])
async def test_what_would_change_the_past_is_refused(ai_sdk: Driver, way: str, why: str) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        chat = await chat_of(ai_sdk, house)
        call, run = await sending(chat, agent)
        run.finish()
        end = await call.result()
        if way == "regenerate":
            refused = await chat.ask("regenerate")
        else:
            mine = end["messages"][0]["id"]
            refused = await chat.ask("sendMessage", {"text": "hi", "messageId": mine})
        assert refused["status"] == "error"
        assert why in refused["error"]["message"]
        assert len(agent.runs) == 1
