"""The routes of responses, over HTTP and with the official client for Python."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes import ScriptedAgent, done, plain
from tests.web.fakes_web import House, by_token, serving
from tests.web.wires.openai.official import Response, events, object_of
from turnkeeper.actors.journal.sqlite import SqliteJournal
from turnkeeper.actors.model.records import TurnRecord, TurnRef
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.wires.openai.ids import response_id, turn_of

URL = "/v1/responses"


async def wordy(turn: Turn) -> None:
    """Says the words of its message."""
    for word in turn.text.split():
        turn.emit("delta", {"text": f"{word} "})


async def seen(turn: Turn) -> str:
    """Returns what it was given, as JSON."""
    return json.dumps([turn.context.messages, turn.message, dict(turn.params)])


class Talker(ScriptedAgent):
    """Says a word, and goes on when the test lets it."""

    async def __call__(self, turn: Turn) -> Any:
        turn.emit("delta", {"text": "well "})
        return await super().__call__(turn)


@asynccontextmanager
async def client(house: House, token: str = "none", **more: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=house.url("/v1"), api_key=token, max_retries=0, **more) as made:
        yield made


async def stream(house: House, method: str, path: str, **more: Any) -> list[Any]:
    """All events of a stream, held to their types."""
    url = house.url(path)
    async with house.client.request(method, url, headers=house._headers(None, None), **more) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        return events(await answer.read())


async def created(house: House, said: Any = "hello", token: str | None = None, **more: Any) -> Any:
    """A response, once its request is answered."""
    answer = await house.post(URL, json={"input": said, **more}, token=token)
    assert answer.status == 200, answer.text
    object_of(Response, answer.body)
    return answer.body


def text_of(response: Any) -> str:
    return "".join(
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    )


# -- Send -----------------------------------------------------------------------------------------------


async def test_a_response_is_a_turn_of_the_agent_that_is_its_model() -> None:
    async with serving({"writer": wordy, "coder": done}, speaks=["openai"]) as house:
        async with client(house) as official:
            response = await official.responses.create(model="coder", input="hello")
        assert (response.output_text, response.model, response.status) == (
            "done: hello",
            "coder",
            "completed",
        )
        turn = turn_of(response.id)
        record = await house.registry.turn(turn.session_id, turn.turn_id)
        assert (record.agent, record.status) == ("coder", TurnStatus.COMPLETED)


async def test_it_may_be_streamed() -> None:
    async with serving(wordy, speaks=["openai"]) as house:
        said = await stream(house, "POST", URL, json={"input": "one two", "stream": True})
        assert [each["delta"] for each in said if each["type"].endswith("delta")] == ["one ", "two "]
        assert said[-1]["type"] == "response.completed"
        async with (
            client(house) as official,
            official.responses.stream(model="default", input="a b") as helper,
        ):
            deltas = [each.delta async for each in helper if each.type == "response.output_text.delta"]
            assert deltas == ["a ", "b "]
            assert (await helper.get_final_response()).output_text == "a b "


async def test_a_conversation_goes_on_from_its_latest_response() -> None:
    async with serving(seen, speaks=["openai"]) as house:
        first = await created(house, "one")
        second = await created(house, "two", previous_response_id=first["id"])
        assert second["conversation"] == first["conversation"]
        history = json.loads(text_of(second))[0]
        assert history[0] == {"role": "user", "content": "one"}
        refused = await house.post(URL, json={"input": "x", "previous_response_id": first["id"]})
        assert (refused.status, refused.body["error"]["code"]) == (400, "previous_response_not_latest")
        text = f"{first['id']} is not the latest response of its conversation"
        assert refused.body["error"]["message"] == text
        third = await created(house, "three", conversation=first["conversation"]["id"])
        assert turn_of(third["id"]).session_id == first["conversation"]["id"]


async def test_a_history_that_is_brought_belongs_to_one_response() -> None:
    async with serving(seen, speaks=["openai"]) as house:
        before = [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"role": "assistant", "type": "message", "content": [{"type": "output_text", "text": "1"}]},
        ]
        response = await created(house, [*before, {"role": "user", "content": "two"}])
        history, message, _ = json.loads(text_of(response))
        assert history == [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "one"}]},
            {"role": "assistant", "content": "1"},
        ]
        assert message == "two"
        assert response["conversation"] is None
        refused = await house.post(URL, json={"input": "x", "previous_response_id": response["id"]})
        assert refused.status == 400
        assert "send that again" in refused.body["error"]["message"]
        session = turn_of(response["id"]).session_id
        refused = await house.post(URL, json={"input": "x", "conversation": session})
        assert (refused.status, refused.body["error"]["param"]) == (400, "conversation")


@pytest.mark.parametrize("said", [{}, {"stream": True}, {"background": True}, {"store": False}])
async def test_an_agent_refuses_images_that_it_does_not_take_in_a_history_too(said: dict[str, Any]) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    before = [{"role": "user", "content": [image]}, {"role": "assistant", "content": "a cat"}]
    began: list[Turn] = []

    async def blind(turn: Turn) -> None:
        began.append(turn)

    async with serving({"default": Agent(blind, takes=["text"]), "any": done}, speaks=["openai"]) as house:
        for history in (before, before[:1]):
            body = {"input": [*history, {"role": "user", "content": "and now?"}], **said}
            refused = await house.post(URL, json=body)
            error = refused.body["error"]
            assert (refused.status, error["code"], error["param"]) == (400, "part_not_taken", "input")
            assert "takes no parts of type 'image_url'" in error["message"]
            assert not began
        assert (await house.post(URL, json={**body, "model": "any"})).status == 200


async def test_what_is_for_the_agent_reaches_it_and_is_in_the_response() -> None:
    said = {"temperature": 0.5, "instructions": "Be short.", "metadata": {"ticket": "4711"}, "user": "u"}
    async with serving(seen, speaks=["openai"]) as house:
        response = await created(house, **said, text={"verbosity": "low"})
        assert json.loads(text_of(response))[2] == {**said, "text": {"verbosity": "low"}}
        assert {name: response[name] for name in said} == said
        again = (await house.get(f"{URL}/{response['id']}")).body
        assert {name: again[name] for name in said} == said


async def test_a_key_stands_for_one_response() -> None:
    async with serving(done, speaks=["openai"]) as house:
        key = {"Idempotency-Key": "k1"}
        first = await house.post(URL, json={"input": "hello"}, headers=key)
        again = await house.post(URL, json={"input": "hello"}, headers=key)
        assert first.body == again.body
        other = await house.post(URL, json={"input": "another"}, headers=key)
        assert (other.status, other.body["error"]["code"]) == (400, "idempotency_key_reused")


# -- Resume ---------------------------------------------------------------------------------------------


async def test_a_stream_that_is_cut_at_any_event_goes_on_behind_it() -> None:
    async with serving(wordy, speaks=["openai"]) as house, client(house) as official:
        whole = [
            each.to_dict()
            async for each in await official.responses.create(
                model="default", input="one two three", stream=True, background=True
            )
        ]
        name: Any = whole[0]["response"]
        for cut, event in enumerate(whole):
            resumed = await official.responses.retrieve(
                name["id"],
                stream=True,
                starting_after=event["sequence_number"],  # type: ignore[call-overload]
            )
            assert [each.to_dict() async for each in resumed] == whole[cut + 1 :]
        assert await stream(house, "GET", f"{URL}/{name['id']}?stream=true") == whole


async def test_a_response_that_goes_on_is_read_from_where_it_was_left() -> None:
    agent = Talker()
    async with serving(agent, speaks=["openai"]) as house, client(house) as official:
        response = await official.responses.create(model="default", input="hi", background=True)
        run = await agent.run()
        resumed = await official.responses.retrieve(response.id, stream=True, starting_after=3)
        async for each in resumed:
            assert each.type == "response.output_text.delta"
            break
        run.finish()
        assert [each.type async for each in resumed][-1] == "response.completed"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=true&starting_after=99", "starting_after"),
        ("stream=true&starting_after=-1", "starting_after"),
        ("stream=true&starting_after=x", "starting_after"),
        ("stream=true&starting_after=" + "9" * 40, "starting_after"),
        ("starting_after=1", "starting_after"),
        ("stream=yes", "stream"),
        ("include[]=x", "include[]"),
    ],
)
async def test_a_place_that_there_is_not_is_refused(query: str, param: str) -> None:
    async with serving(done, speaks=["openai"]) as house:
        response = await created(house)
        answer = await house.get(f"{URL}/{response['id']}?{query}")
        assert (answer.status, answer.body["error"]["param"]) == (400, param)


async def test_a_response_that_only_the_journal_has_whole_is_given_and_resumed_whole(tmp_path: Path) -> None:
    async with serving(wordy, speaks=["openai"], journal=tmp_path / "chats.db", log_events=50) as house:
        words = [f"{n} " for n in range(700)]
        name = (await created(house, "".join(words), background=True))["id"]
        while (response := (await house.get(f"{URL}/{name}")).body)["status"] != "completed":
            pass
        assert text_of(response) == "".join(words)
        said, after = list[Any](), -1
        while not said or said[-1]["type"] != "response.completed":
            query = "" if after < 0 else f"&starting_after={after}"
            said += await stream(house, "GET", f"{URL}/{name}?stream=true{query}")
            after = said[-1]["sequence_number"]
            assert said
        assert [each["delta"] for each in said if each["type"].endswith("text.delta")] == words
        assert (await house.get(f"{URL}/{name}?stream=true&starting_after={after + 1}")).status == 400


# -- Stop -----------------------------------------------------------------------------------------------


async def test_a_stopped_response_is_cancelled_and_keeps_what_was_said() -> None:
    agent = Talker()
    async with serving(agent, speaks=["openai"]) as house, client(house) as official:
        streamed = await official.responses.create(model="default", input="hi", stream=True)
        said = [await anext(streamed)]
        run = await agent.run()
        name = said[0].response.id  # type: ignore[union-attr]
        stopped = await official.responses.cancel(name)
        assert (stopped.status, stopped.output_text) == ("cancelled", "well ")
        assert stopped.turnkeeper["verdict"] == "cancelled"  # type: ignore[attr-defined]
        assert stopped.turnkeeper["settled_after_ms"] >= 0  # type: ignore[attr-defined]
        said += [each async for each in streamed]
        assert said[-1].type == "response.incomplete"
        assert said[-1].response.to_dict() == stopped.to_dict()
        assert run.cancels == 1
        assert (await official.responses.cancel(name)).to_dict() == stopped.to_dict()
        assert (await official.responses.retrieve(name)).to_dict() == stopped.to_dict()


async def test_a_stop_of_one_that_has_ended_leaves_the_next_one_alone() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house, client(house) as official:
        first = await official.responses.create(model="default", input="hi", background=True)
        (await agent.run()).finish("one")
        following = await official.responses.retrieve(first.id, stream=True)
        assert [each.type async for each in following][-1] == "response.completed"
        second = await official.responses.create(
            model="default", input="more", background=True, previous_response_id=first.id
        )
        run = await agent.run()
        assert (await official.responses.cancel(first.id)).status == "completed"
        assert run.cancels == 0
        run.finish()
        assert second.id != first.id


async def test_a_second_client_supersedes_the_first() -> None:
    agent = Talker()
    async with serving(agent, speaks=["openai"]) as house, client(house) as one, client(house) as other:
        streamed = await one.responses.create(model="default", input="hi", stream=True, conversation="c1")
        await anext(streamed)
        await agent.run()
        second = await other.responses.create(
            model="default", input="no, wait", conversation="c1", background=True
        )
        (await agent.run()).finish()
        last: Any = [each async for each in streamed][-1]
        assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
        assert last.response.output_text == "well "
        assert last.response.turnkeeper["reason"]["code"] == "superseded"
        assert last.response.turnkeeper["superseded_by"] == turn_of(second.id).turn_id


async def test_a_response_in_flight_may_lock_its_conversation() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent, speaks=["openai"], multitask_strategy="reject") as house,
        client(house) as official,
    ):
        await official.responses.create(model="default", input="hi", conversation="c1", background=True)
        await agent.run()
        with pytest.raises(openai.ConflictError) as refused:
            await official.responses.create(model="default", input="hi", conversation="c1")
        assert refused.value.code == "conversation_locked"
        queued = await official.responses.create(
            model="default",
            input="hi",
            conversation="c1",
            background=True,
            extra_body={"turnkeeper": {"multitask_strategy": "enqueue"}},
        )
        assert queued.status == "queued"
        assert (await official.responses.cancel(queued.id)).status == "cancelled"


async def test_a_response_that_waits_is_there_at_once() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house, client(house) as official:
        await official.responses.create(model="default", input="hi", conversation="c1", background=True)
        first = await agent.run()
        waits = await official.responses.create(
            model="default",
            input="hi",
            conversation="c1",
            stream=True,
            extra_body={"turnkeeper": {"multitask_strategy": "enqueue"}},
        )
        created: Any = await anext(waits)
        assert (created.type, created.response.status) == ("response.created", "queued")
        first.finish()
        (await agent.run()).finish("ok")
        assert [each.type async for each in waits][-1] == "response.completed"


async def test_a_response_that_does_not_stop_has_failed() -> None:
    agent = ScriptedAgent(swallows=9)
    async with serving(agent, speaks=["openai"], cancel_grace=0) as house, client(house) as official:
        response = await official.responses.create(model="default", input="hi", background=True)
        await agent.run()
        stopped = await official.responses.cancel(response.id)
        assert stopped.error is not None
        assert (stopped.status, stopped.error.code, stopped.error.type) == (
            "failed",
            "server_error",
            "unresponsive",
        )
        assert stopped.turnkeeper["verdict"] == "unresponsive"  # type: ignore[attr-defined]


# -- Whose it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["ada-token", "bob-token"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")],
    ids=plain,
)
async def test_what_is_not_yours_is_unknown(method: str, path: str, token: str) -> None:
    async with serving(done, speaks=["openai"], authenticate=by_token) as house:
        mine = (await created(house, token="ada-token"))["id"]
        name = mine if token == "bob-token" else mine.replace("resp_", "resp_x")
        answer = await house.ask(method, f"{URL}/{name}{path}", token=token)
        assert answer.status == 404
        assert (await house.get(f"{URL}/{mine}", token="ada-token")).status == 200
        answer = await house.post(URL, json={"input": "x", "previous_response_id": name}, token=token)
        assert (answer.status, answer.body["error"]["param"]) == (404, "previous_response_id")


@pytest.mark.parametrize("name", ["x", "resp_", "resp_x", "resp_.s", "resp_t.", "resp_t.s.t", "t.s"])
async def test_what_is_no_id_is_unknown(name: str) -> None:
    async with serving(done, speaks=["openai"]) as house:
        assert (await house.get(f"{URL}/{name}")).status == 404


# -- The client goes ------------------------------------------------------------------------------------


async def hang_up(house: House, agent: ScriptedAgent, **said: Any) -> Any:
    """Send over a connection of its own, and close that once the agent runs; the agent's run."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = json.dumps({"input": "hi", **said}).encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    run = await agent.run()
    writer.close()
    return run


@pytest.mark.parametrize("said", [{"stream": True}, {}, {"store": False}], ids=plain)
async def test_a_response_ends_with_its_request(said: dict[str, Any]) -> None:
    agent, ended = ScriptedAgent(), asyncio.Queue[TurnRecord]()
    async with serving(agent, speaks=["openai"], hooks={"on_turn_end": ended.put_nowait}) as house:
        run = await hang_up(house, agent, **said)
        await run.cancelled.wait()
        record = await ended.get()
        assert record.reason is not None
        assert (record.status, record.reason.code) == (
            TurnStatus.CANCELLED,
            CancelCode.CLIENT_DISCONNECTED,
        )


@pytest.mark.parametrize("streams", [True, False])
async def test_a_response_in_the_background_goes_on(streams: bool) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house, client(house) as official:
        run = await hang_up(house, agent, background=True, stream=streams)
        while any(entry.subscribers for entry in house.registry.directory.entries.values()):
            await asyncio.sleep(0)
        run.finish("done")
        name = f"resp_{run.turn.turn_id}.{run.turn.session_id}"
        assert [each.type async for each in await official.responses.retrieve(name, stream=True)][-1] == (
            "response.completed"
        )
        response = await official.responses.retrieve(name)
        assert (response.status, response.output_text, response.background) == ("completed", "done", True)


async def test_a_response_that_could_not_be_given_is_not_begun() -> None:
    """G8: its turn ran, and clients send again what is refused with 429."""
    async with serving(done, max_streams=1, authenticate=by_token, speaks=["openai"]) as house:
        held = await house.registry.subscribe("other", user="ada")
        for more in ({}, {"stream": True}, {"stream": True, "background": True}, {"store": False}):
            answer = await house.post(URL, json={"input": "hello", **more}, token="ada-token")
            assert (answer.status, answer.body["error"]["code"]) == (429, "too_many_streams")
        assert (await house.registry.counts()).sessions == 0
        await created(house, token="ada-token", background=True)
        held.close()
        await created(house, token="ada-token")


@pytest.mark.parametrize("streams", [True, False])
async def test_nothing_is_left_of_a_response_that_is_not_stored(streams: bool) -> None:
    async with serving(wordy, speaks=["openai"]) as house:
        if streams:
            said = await stream(house, "POST", URL, json={"input": "a b", "store": False, "stream": True})
            response = said[-1]["response"]
        else:
            response = await created(house, "a b", store=False)
        assert text_of(response) == "a b "
        while house.registry.directory.entries:
            await asyncio.sleep(0)
        assert (await house.get(f"{URL}/{response['id']}")).status == 404


async def test_nothing_is_left_of_one_whose_client_has_gone(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"], journal=tmp_path / "chats.db") as house:
        run = await hang_up(house, agent, store=False, stream=True)
        await run.ended.wait()
        while house.registry.directory.entries:
            await asyncio.sleep(0)
        session = run.turn.session_id
    async with serving(agent, speaks=["openai"], journal=tmp_path / "chats.db") as house:
        assert (await house.get(f"/chat/{session}")).status == 404
        assert (await house.get("/chat")).body["sessions"] == []


# -- Restart --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["continue", "rerun"])
async def test_a_response_goes_on_after_a_restart(tmp_path: Path, policy: Any) -> None:
    talker = Talker()
    agent, journal = Agent(talker, on_restart=policy), tmp_path / "chats.db"
    async with serving(agent, speaks=["openai"], journal=journal) as house, client(house) as official:
        streamed = await official.responses.create(model="default", input="hi", stream=True, background=True)
        said = [await anext(streamed) for _ in range(5)]
        assert said[-1].type == "response.output_text.delta"
        await house.registry.drain()
        said += [each async for each in streamed]
    *said, error = said
    assert (error.type, error.code) == ("error", "shutting_down")  # type: ignore[union-attr]
    assert error.sequence_number == said[-1].sequence_number
    name: Any = said[0]
    soon = {"journal": journal, "attempt_backoff": 0.001}
    async with serving(agent, speaks=["openai"], **soon) as house, client(house) as official:
        resumed = await official.responses.retrieve(
            name.response.id, stream=True, starting_after=error.sequence_number
        )
        said += [await anext(resumed) for _ in range(3)]
        talker.last.finish()
        said += [each async for each in resumed]
        last: Any = said[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == ("well well " if policy == "continue" else "well ")
        whole = [each async for each in await official.responses.retrieve(name.response.id, stream=True)]
        assert whole == said
        assert (await official.responses.retrieve(name.response.id)).to_dict() == last.response.to_dict()


async def test_a_request_whose_turn_will_go_on_elsewhere_is_answered_with_an_error(tmp_path: Path) -> None:
    talker = Talker()
    agent = Agent(talker, on_restart="continue")
    async with serving(agent, speaks=["openai"], journal=tmp_path / "chats.db") as house:
        asked = asyncio.create_task(house.post(URL, json={"input": "hi"}))
        turn = (await talker.run()).turn
        await house.registry.drain()
        answer = await asked
        error, response = answer.body["error"], response_id(TurnRef(turn.session_id, turn.turn_id))
        assert (answer.status, error["code"], error["response_id"]) == (503, "shutting_down", response)
        assert error["message"] == f"the server is shutting down: ask for {response} later"
        assert answer.headers["x-should-retry"] == "false"


async def test_what_brought_its_history_is_not_run_without_it_after_a_restart(tmp_path: Path) -> None:
    talker = Talker()
    agent, journal = Agent(talker, on_restart="rerun"), tmp_path / "chats.db"
    history = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}]
    async with serving(agent, speaks=["openai"], journal=journal) as house:
        response = await created(house, history, background=True)
        await talker.run()
    async with serving(agent, speaks=["openai"], journal=journal) as house:
        again = (await house.get(f"{URL}/{response['id']}")).body
        assert (again["status"], text_of(again)) == ("cancelled", "well ")
        assert again["turnkeeper"]["reason"]["code"] == "shutdown"
        assert len(talker.runs) == 1


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("policy", ["interrupt", "rerun", "continue"])
async def test_of_what_is_not_stored_a_shutdown_leaves_nothing(
    tmp_path: Path, policy: Any, streams: bool
) -> None:
    talker = Talker()
    agent, file = Agent(talker, on_restart=policy), tmp_path / "chats.db"
    async with serving(agent, speaks=["openai"], journal=file) as house:
        body = {"input": "hi", "store": False, "stream": streams}
        asked = asyncio.create_task(house.post(URL, json=body))
        await talker.run()
        await house.runner.cleanup()
        answer = await asked
        if not streams:
            assert answer.body["status"] == "cancelled"
    journal = SqliteJournal(file)
    assert await journal.open() == ()
    assert await journal.named("") == ()
    await journal.close()
    async with serving(agent, speaks=["openai"], journal=file) as house:
        assert await house.registry.active() == ()
    assert len(talker.runs) == 1


# -- Delete ---------------------------------------------------------------------------------------------


async def test_a_response_that_is_alone_can_be_deleted() -> None:
    async with serving(done, speaks=["openai"]) as house, client(house) as official:
        response = await official.responses.create(model="default", input="hello")
        await official.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError, match=f"no response has the id '{response.id}'"):
            await official.responses.retrieve(response.id)
        with pytest.raises(openai.NotFoundError):
            await official.responses.delete(response.id)
        brought = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hello"}]
        name = (await created(house, brought))["id"]
        answer = await house.delete(f"{URL}/{name}")
        assert answer.body == {"id": name, "object": "response", "deleted": True}


async def test_a_response_of_a_conversation_is_deleted_with_that() -> None:
    async with serving(done, speaks=["openai"], kept_turns=1) as house:
        first = await created(house)
        second = await created(house, previous_response_id=first["id"])
        named = await created(house, conversation="c1")
        for name in (second["id"], named["id"]):
            answer = await house.delete(f"{URL}/{name}")
            assert (answer.status, answer.body["error"]["param"]) == (400, "response_id")
            assert turn_of(name).session_id in answer.body["error"]["message"]
            assert (await house.get(f"{URL}/{name}")).status == 200


# -- The rest -------------------------------------------------------------------------------------------


async def test_a_retry_finds_its_response_although_that_is_the_latest_by_now() -> None:
    async with serving(done, speaks=["openai"]) as house:
        first = await created(house)
        said = {"input": "more", "previous_response_id": first["id"]}
        second = await house.post(URL, json=said, headers={"Idempotency-Key": "k"})
        again = await house.post(URL, json=said, headers={"Idempotency-Key": "k"})
        assert again.body == second.body
        answer = await house.post(URL, json=said, headers={"Idempotency-Key": "l"})
        assert answer.body["error"]["code"] == "previous_response_not_latest"


async def test_a_key_needs_something_that_is_kept() -> None:
    async with serving(done, speaks=["openai"]) as house:
        answer = await house.post(URL, json={"input": "x", "store": False}, headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.body["error"]["param"]) == (400, "Idempotency-Key")


async def test_a_message_that_joins_another_one_is_answered_with_that_ones_response() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"], multitask_strategy="collapse") as house:
        said = {"conversation": "c1", "background": True}
        await created(house, "one", **said)
        first = await agent.run()
        second, third = await created(house, "two", **said), await created(house, "three", **said)
        assert second["id"] == third["id"]
        first.finish()
        run = await agent.run()
        assert run.turn.text == "two\n\nthree"
        run.finish("both")
        streamed = await stream(house, "GET", f"{URL}/{third['id']}?stream=true")
        assert text_of(streamed[-1]["response"]) == "both"


async def test_what_an_agent_has_used_is_the_responses_usage() -> None:
    async def counting(turn: Turn) -> str:
        turn.report_usage(input_tokens=5, output_tokens=7)
        return "ok"

    async with serving(counting, speaks=["openai"]) as house:
        assert (await created(house))["usage"]["total_tokens"] == 12


async def test_an_unknown_model_is_refused() -> None:
    async with serving(done, speaks=["openai"]) as house, client(house) as official:
        for stream in (True, False):
            with pytest.raises(openai.NotFoundError) as refused:
                await official.responses.create(model="gpt", input="hi", stream=stream)
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[]", 400, "body"),
        (b'{"input": ""}', 400, "input"),
        (b'{"input": "\\ud800"}', 400, "body"),
        (b'{"input": "x", "instructions": "\\ud800"}', 400, "body"),
        (
            b'{"input": [{"role": "user", "content": [{"type": "input_text", "text": "\\ud800"}]}]}',
            400,
            "body",
        ),
        (b'{"input": "x", "tools": [{"type": "web_search"}]}', 400, "tools"),
    ],
    ids=plain,
)
async def test_what_is_wrong_is_refused(body: bytes, status: int, param: str | None) -> None:
    async with serving(done, speaks=["openai"]) as house:
        answer = await house.post(URL, data=body)
        assert (answer.status, answer.body["error"]["param"]) == (status, param)
        assert answer.body["error"]["type"] == "invalid_request_error"
        assert not house.registry.directory.entries


async def test_the_field_of_a_refusal_is_called_the_same_in_its_text() -> None:
    async with serving(done, speaks=["openai"]) as house:
        error = (await house.post(URL, json={"input": ""})).body["error"]
        assert (error["param"], error["message"].split()[0]) == ("input", "input")


async def test_a_key_that_stands_for_another_request_is_refused_in_plain_words() -> None:
    async with serving(done, speaks=["openai"]) as house:
        key = {"Idempotency-Key": "k"}
        body = {"input": "one", "conversation": "c"}
        await house.post(URL, json=body, headers=key)
        error = (await house.post(URL, json={**body, "input": "two"}, headers=key)).body["error"]
        assert error["code"] == "idempotency_key_reused"
        assert error["message"] == "this Idempotency-Key was used for another request"
