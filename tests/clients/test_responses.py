"""OpenAI's clients speak to the Responses wire: what they see of a turn, and can do to it."""

import contextlib
from typing import Any

import pytest
from aiohttp import web

from tests.clients.calls import Call, ClientError
from tests.clients.openai_clients import OpenAIClient, OpenAIClients
from tests.clients.scripts import KEPT, MANY, WORDS, many, of_type, say
from tests.fakes import FOREVER, Run, ScriptedAgent
from tests.web.fakes_web import PEOPLE, House, by_token, serving
from turnkeeper.web import Principal

ADA, BOB = "ada-token", "bob-token"
DELTA = "response.output_text.delta"
SPEAKS = ["openai"]


def text(response: Any) -> str:
    """The text of a response."""
    return "".join(
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    )


def said(events: list[Any]) -> str:
    """The text of a stream."""
    return "".join(event["delta"] for event in of_type(events, DELTA))


async def client_of(clients: OpenAIClients, house: House, token: str = "none") -> OpenAIClient:
    return await clients.client(house.url("/v1"), token)


async def begun(call: Call) -> str:
    """The id of the response that has begun."""
    event = await call.until(lambda event: event["type"] == "response.created")
    response_id: str = event["response"]["id"]
    return response_id


async def heard(call: Call, n: int) -> None:
    """Wait until it has come to so many words."""
    while len(of_type(call.events, DELTA)) < n:
        await call.until(lambda event: event["type"] == DELTA)


async def streaming(client: OpenAIClient, agent: ScriptedAgent, **params: Any) -> tuple[Call, Run, str]:
    """A stream of which two words have come, its run and its id."""
    call = client.call("responses.create", model="default", input="hello", stream=True, **params)
    run = await agent.run()
    say(run, *WORDS[:2])
    response_id = await begun(call)
    await heard(call, 2)
    return call, run, response_id


async def conversation(client: OpenAIClient) -> str:
    made = await client.ask("conversations.create", metadata={})
    conversation_id: str = made["id"]
    return conversation_id


# -- Send ---------------------------------------------------------------------------------------------


async def test_a_response_is_the_reply_of_a_turn(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call = client.call("responses.create", model="default", input="hello")
        run = await agent.run()
        assert run.turn.text == "hello"
        say(run, *WORDS)
        run.finish()
        response = await call.result()
        assert (response["status"], response["model"], text(response)) == (
            "completed",
            "default",
            "one two three",
        )


async def test_a_stream_says_word_by_word_what_the_turn_says(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run, _ = await streaming(client, agent)
        say(run, WORDS[2])
        run.finish()
        await call.result()
        assert [event["sequence_number"] for event in call.events] == list(range(len(call.events)))
        assert [event["delta"] for event in of_type(call.events, DELTA)] == list(WORDS)
        end = call.events[-1]
        assert end["type"] == "response.completed"
        assert text(end["response"]) == "one two three"


async def test_the_clients_own_helper_puts_the_stream_together(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call = client.call("responses.stream", model="default", input="hello")
        run = await agent.run()
        say(run, *WORDS)
        run.finish()
        response = await call.result()
        assert (response["status"], text(response)) == ("completed", "one two three")


async def test_a_background_response_is_polled(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        begun = await client.ask("responses.create", model="default", input="hello", background=True)
        run = await agent.run()
        assert begun["status"] in ("queued", "in_progress")
        say(run, *WORDS)
        run.finish()
        await run.ended.wait()
        whole = client.call("responses.retrieve", begun["id"], stream=True)
        await whole.result()
        response = await client.ask("responses.retrieve", begun["id"])
        assert (response["status"], text(response)) == ("completed", "one two three")
        assert response["output"] == whole.events[-1]["response"]["output"]


async def test_a_conversation_goes_on(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        first = client.call("responses.create", model="default", input="one")
        (await agent.run()).finish()
        previous = (await first.result())["id"]
        second = client.call("responses.create", model="default", input="two", previous_response_id=previous)
        run = await agent.run()
        run.finish()
        await second.result()
        assert run.turn.session_id == agent.runs[0].turn.session_id
        with pytest.raises(ClientError) as raised:
            await client.ask(
                "responses.create", model="default", input="three", previous_response_id=previous
            )
        assert (raised.value.kind, raised.value.status) == ("BadRequestError", 400)


# -- Cut and resume ---------------------------------------------------------------------------------------


async def test_a_stream_that_was_cut_anywhere_is_resumed(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        n, whole = 0, 1
        while n < whole:
            n += 1
            cut = client.call(
                "responses.create", model="default", input="hello", stream=True, background=True, cut=n
            )
            run = await agent.run()
            say(run, *WORDS[:2])
            response_id = await begun(cut)
            if n <= 2:
                await cut.result()
            rest = client.call("responses.retrieve", response_id, stream=True, starting_after=n - 1)
            say(run, WORDS[2])
            run.finish()
            await cut.result()
            await rest.result()
            events = cut.events + rest.events
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            assert said(events) == "one two three"
            assert events[-1]["type"] == "response.completed"
            whole = len(events)


# -- Stop -------------------------------------------------------------------------------------------------


async def test_a_cancel_stops_the_response_and_keeps_what_it_said(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run, response_id = await streaming(client, agent, background=True)
        stopped = await client.ask("responses.cancel", response_id)
        assert run.cancels == 1
        assert (stopped["status"], text(stopped)) == ("cancelled", "one two ")
        await call.result()
        end = call.events[-1]
        assert end["type"] == "response.incomplete"
        assert (end["response"]["status"], text(end["response"])) == ("cancelled", "one two ")
        again = await client.ask("responses.cancel", response_id)
        assert again["status"] == "cancelled"


async def test_a_cancel_that_comes_too_late_leaves_the_successor_alone(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        conv = await conversation(client)
        first, run, first_id = await streaming(client, agent, conversation=conv, background=True)
        run.finish()
        await first.result()
        second, run, _ = await streaming(client, agent, conversation=conv, background=True)
        stale = await client.ask("responses.cancel", first_id)
        assert stale["status"] == "completed"
        say(run, WORDS[2])
        run.finish()
        await second.result()
        assert run.cancels == 0
        assert said(second.events) == "one two three"


# -- Others -----------------------------------------------------------------------------------------------


async def test_a_second_client_takes_the_place_of_the_first(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        one, two = await client_of(openai_clients, house), await client_of(openai_clients, house)
        conv = await conversation(one)
        first, run, _ = await streaming(one, agent, conversation=conv)
        second, later, _ = await streaming(two, agent, conversation=conv)
        assert run.cancels == 1
        await first.result()
        assert first.events[-1]["type"] == "response.incomplete"
        assert first.events[-1]["response"]["status"] == "cancelled"
        assert said(first.events) == "one two "
        later.finish()
        await second.result()
        assert second.events[-1]["type"] == "response.completed"


async def test_a_send_is_refused_where_one_is_in_flight(openai_clients: OpenAIClients) -> None:
    agent, asked = ScriptedAgent(), []

    def anyone(request: web.Request) -> Principal:
        asked.append(request.path)
        return PEOPLE[ADA]

    async with serving(agent, speaks=SPEAKS, multitask_strategy="reject", authenticate=anyone) as house:
        one, two = await client_of(openai_clients, house), await client_of(openai_clients, house)
        conv = await conversation(one)
        first, run, _ = await streaming(one, agent, conversation=conv)
        with pytest.raises(ClientError) as raised:
            await two.ask("responses.create", model="default", input="me too", conversation=conv)
        assert (raised.value.kind, raised.value.code) == ("ConflictError", "conversation_locked")
        assert len(asked) == 3  # a client that is not told otherwise sends such a request again
        run.finish()
        await first.result()
        assert first.events[-1]["type"] == "response.completed"


async def test_what_belongs_to_another_user_is_unknown(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, authenticate=by_token) as house:
        ada, bob = await client_of(openai_clients, house, ADA), await client_of(openai_clients, house, BOB)
        conv = await conversation(ada)
        call, run, response_id = await streaming(ada, agent, conversation=conv, background=True)
        for method in ("responses.retrieve", "responses.cancel", "responses.delete"):
            with pytest.raises(ClientError) as raised:
                await bob.ask(method, response_id)
            assert raised.value.kind == "NotFoundError"
        with pytest.raises(ClientError) as raised:
            await bob.ask("responses.create", model="default", input="mine", conversation=conv)
        assert run.cancels == 0
        run.finish()
        await call.result()


# -- Readers ----------------------------------------------------------------------------------------------


async def test_a_slow_reader_gets_every_word(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, log_bytes=KEPT) as house:
        client = await client_of(openai_clients, house)
        call = client.call("responses.create", model="default", input="hello", stream=True, hold=2)
        run = await agent.run()
        words = many()
        say(run, *words)
        run.finish()
        await begun(call)
        await run.ended.wait()
        assert not of_type(call.events, DELTA)
        call.go_on()
        await call.result()
        deltas = [event["delta"] for event in of_type(call.events, DELTA)]
        assert deltas == words
        assert len(deltas) == MANY


async def test_a_hang_up_stops_a_response_in_the_foreground(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run, response_id = await streaming(client, agent)
        call.abort()
        await call.result()
        await run.cancelled.wait()
        whole = client.call("responses.retrieve", response_id, stream=True)
        await whole.result()
        assert whole.events[-1]["response"]["status"] == "cancelled"


async def test_a_hang_up_while_the_answer_is_awaited_stops_the_turn(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call = client.call("responses.create", model="default", input="hello")
        run = await agent.run()
        call.abort()
        with contextlib.suppress(ClientError):
            await call.result()
        await run.cancelled.wait()


async def test_a_hang_up_leaves_a_response_in_the_background_alone(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run, response_id = await streaming(client, agent, background=True)
        call.abort()
        await call.result()
        rest = client.call("responses.retrieve", response_id, stream=True)
        await begun(rest)
        say(run, WORDS[2])
        run.finish()
        await rest.result()
        assert run.cancels == 0
        assert said(rest.events) == "one two three"


async def test_a_hang_up_leaves_it_alone_where_the_host_says_so(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    carry_on = {"local": {"on_disconnect": "continue"}}
    async with serving(agent, speaks=SPEAKS, users=carry_on) as house:
        client = await client_of(openai_clients, house)
        call, run, response_id = await streaming(client, agent)
        call.abort()
        await call.result()
        rest = client.call("responses.retrieve", response_id, stream=True)
        await begun(rest)
        run.finish()
        await rest.result()
        assert run.cancels == 0
        assert rest.events[-1]["type"] == "response.completed"


# -- What was said ----------------------------------------------------------------------------------------


async def test_a_conversation_is_read_page_by_page(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        name = await conversation(client)
        for asked, reply in (("one", "1"), ("two", "2"), ("three", "3")):
            call = client.call("responses.create", model="default", input=asked, conversation=name)
            run = await agent.run()
            say(run, reply)
            run.finish()
            await call.result()
        assert (await client.ask("conversations.retrieve", name))["id"] == name
        for order, expected in (("asc", "one 1 two 2 three 3"), ("desc", "3 three 2 two 1 one")):
            pages = client.call("conversations.items.list", name, limit=2, order=order)
            await pages.result()
            assert " ".join(each["content"][0]["text"] for each in pages.events) == expected
            assert len({each["id"] for each in pages.events}) == 6
            assert {each["status"] for each in pages.events} == {"completed"}
        with pytest.raises(ClientError, match="limit must") as raised:
            await client.ask("conversations.items.list", name, limit=101)
        assert raised.value.code == "unsupported_parameter"


async def test_what_a_stopped_response_has_said_is_in_its_conversation(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        name = await conversation(client)
        call, _, response_id = await streaming(client, agent, conversation=name)
        await client.ask("responses.cancel", response_id)
        await call.result()
        items = client.call("conversations.items.list", name, order="asc")
        await items.result()
        kept = [(each["role"], each["status"], each["content"][0]["text"]) for each in items.events]
        assert kept == [("user", "completed", "hello"), ("assistant", "incomplete", "one two ")]


async def test_the_input_of_a_response_can_be_read(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run, response_id = await streaming(client, agent)
        for _ in range(2):
            items = client.call("responses.inputItems.list", response_id, order="asc")
            await items.result()
            (item,) = items.events
            assert (item["role"], item["content"]) == ("user", [{"type": "input_text", "text": "hello"}])
            run.finish()
            await call.result()


async def test_a_conversation_of_another_user_is_not_there(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, authenticate=by_token) as house:
        ada, bob = await client_of(openai_clients, house, ADA), await client_of(openai_clients, house, BOB)
        call, run, response_id = await streaming(ada, agent, conversation="c1")
        run.finish()
        await call.result()
        for path, name in (
            ("conversations.retrieve", "c1"),
            ("conversations.items.list", "c1"),
            ("responses.inputItems.list", response_id),
            ("conversations.delete", "c1"),
        ):
            with pytest.raises(ClientError) as raised:
                await bob.ask(path, name)
            assert raised.value.kind == "NotFoundError"
        assert (await ada.ask("conversations.delete", "c1"))["deleted"]


# -- Bad ends ---------------------------------------------------------------------------------------------


async def test_a_response_that_will_not_stop_has_failed(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, speaks=SPEAKS, cancel_grace=0.05) as house:
        client = await client_of(openai_clients, house)
        call, _, response_id = await streaming(client, agent, background=True)
        stopped = await client.ask("responses.cancel", response_id)
        assert stopped["status"] == "failed"
        assert stopped["error"]["code"]
        await call.result()
        assert call.events[-1]["type"] == "response.failed"


async def test_a_response_whose_agent_raises_has_failed(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run, _ = await streaming(client, agent)
        run.fail(RuntimeError("the model is gone"))
        await call.result()
        assert call.events[-1]["type"] == "response.failed"
        assert text(call.events[-1]["response"]) == "one two "
