"""A chat over HTTP: send, resume, stop, and all that comes between."""

import asyncio
import threading
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, done, plain
from tests.web.fakes_web import by_token, serving, until
from tests.web.wires.ai_sdk.chats import ChatApi, sends
from turnkeeper.actors import Agent
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.words import CancelCode, SessionState, TurnStatus
from turnkeeper.actors.turn.turn import Turn

SPEAKS: dict[str, Any] = {"speaks": ["ai-sdk"]}
WORDS = ["one ", "two ", "three "]


def say(agent: ScriptedAgent, text: str, run: int = -1) -> None:
    """Have a run of the agent say this."""
    agent.runs[run].turn.emit("delta", {"text": text})


async def idle(house: Any) -> None:
    """The chat does nothing."""

    async def is_idle() -> bool:
        return (await house.registry.session("c1")).state is SessionState.IDLE

    await until(is_idle)


# -- Send -------------------------------------------------------------------------------------------


async def test_a_message_is_replied_to_chunk_by_chunk() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house, ChatApi(house).sent() as reply:
        run = await agent.run()
        assert run.turn.message == "hello"
        for word in WORDS:
            say(agent, word)
            assert (await reply.of_kind("text-delta"))["delta"] == word
        run.finish()
        message = await reply.whole()
    assert (message.text, message.finished, message.whole) == ("one two three ", "stop", True)
    assert message.metadata == {"activeStreamId": message.id, "status": "completed"}


async def test_each_message_is_a_turn_of_the_same_conversation() -> None:
    async def agent(turn: Turn) -> str:
        return " ".join(message["content"] for message in turn.context.messages)

    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        assert (await chat.reply("a")).text == ""
        # What the client has of the conversation makes no difference.
        assert (await chat.reply("b", "m2")).text == "a"
        assert (await chat.reply("c", "m3")).text == "a b a"


async def test_what_else_a_send_says_reaches_its_turn() -> None:
    async def coder(turn: Turn) -> str:
        return f"{turn.agent} {turn.params['temperature']} {turn.spec.strategy}"

    async with serving({"default": done, "coder": coder}, **SPEAKS) as house:
        more = {"agent": "coder", "params": {"temperature": 0}, "multitask_strategy": "enqueue"}
        assert (await ChatApi(house).reply(**more)).text == "coder 0 enqueue"


async def test_thoughts_tools_and_data_arrive_as_parts() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("reasoning", {"text": "hm"})
        async with turn.tool_call("c1", "search", {"q": "x"}) as call:
            call.result(["y"])
        with pytest.raises(ValueError, match="no"):
            async with turn.tool_call("c2", "search"):
                raise ValueError("no")
        turn.emit("note", {"n": 1})
        turn.emit("delta", {"text": "hi"})
        turn.report_usage(input_tokens=3, output_tokens=4)

    async with serving(agent, **SPEAKS) as house:
        message = await ChatApi(house).reply()
    assert [part["type"] for part in message.shown] == [
        "reasoning",
        "dynamic-tool",
        "dynamic-tool",
        "data-note",
        "text",
    ]
    assert message.shown[1]["output"] == ["y"]
    assert message.shown[2]["errorText"] == "The tool has failed."
    assert message.metadata["usage"] == {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}


async def test_a_quiet_reply_beats() -> None:
    agent = ScriptedAgent()
    async with serving(agent, heartbeat=0.03, **SPEAKS) as house, ChatApi(house).sent() as reply:
        run = await agent.run()
        beating = asyncio.create_task(reply.of_kind("finish"))
        await until(lambda: reply.parser.comments > 1)
        run.finish()
        await beating


async def test_a_failed_turn_is_an_error_with_a_code_and_nothing_of_its_inside() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "so far"})
        raise ValueError("a secret")

    async with serving(agent, **SPEAKS) as house:
        message = await ChatApi(house).reply()
    assert message.error == "The turn has failed (agent_error)."
    assert (message.text, message.whole, message.metadata["code"]) == ("so far", True, "agent_error")


# -- The same message again -------------------------------------------------------------------------


async def test_a_message_that_is_sent_twice_runs_once_and_both_read_the_same_reply() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first:
            run = await agent.run()
            say(agent, "one ")
            await first.of_kind("text-delta")
            async with chat.sent() as second:
                say(agent, "two")
                run.finish()
                replies = await first.whole(), await second.whole()
        late = await chat.reply()
        assert [each.parts for each in (*replies, late)] == [late.parts] * 3
        assert (late.text, len(agent.runs)) == ("one two", 1)


async def test_a_message_whose_reply_was_lost_can_be_sent_again_at_any_time() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            run = await agent.run()
        say(agent, "one ")
        # By the client's own word for that, too: `sendMessage()`.
        for more in ({}, {"messageId": "m1"}):
            async with chat.sent(**more) as reply:
                await reply.of_kind("text-delta")
        run.finish()
        await idle(house)
        for more in ({}, {"messageId": "m1"}):
            assert (await chat.reply(**more)).finished == "stop"
        assert len(agent.runs) == 1


async def test_what_was_said_is_not_changed() -> None:
    async with serving(done, **SPEAKS) as house:
        chat = ChatApi(house)
        await chat.reply("a")
        refused = [
            await chat.post(sends("other", "m1")),
            await chat.post(sends("other", "m1", messageId="m1")),
            await chat.post(sends("new", "m2", messageId="m2")),
            await chat.post(sends("a", "m1", trigger="regenerate-message")),
        ]
        await chat.reply("b", "m3")
        # What came after it would be gone.
        refused.append(await chat.post(sends("a", "m1", messageId="m1")))
        for answer in refused:
            assert (answer.status, answer.headers["Content-Type"]) == (422, "text/plain; charset=utf-8")
            assert answer.headers["Turnkeeper-Code"] in ("IDEMPOTENCY_KEY_REUSED", "UNSUPPORTED_PARAMETER")
        assert len((await house.registry.messages("c1")).messages) == 4


async def test_a_page_may_say_which_reply_its_message_is_an_answer_to() -> None:
    async with serving(done, **SPEAKS) as house:
        chat = ChatApi(house)
        seen = (await chat.reply()).id
        answer = await chat.post(sends("again", "m2"), If_Match='"another"')
        assert (answer.status, answer.headers["Turnkeeper-Code"]) == (412, "PRECONDITION_FAILED")
        assert (await chat.post(sends("again", "m2"), If_Match=f'"{seen}"')).status == 200


# -- Resume -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", range(8))
async def test_a_reply_that_is_cut_anywhere_can_be_read_anew_and_whole(read: int) -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            run = await agent.run()
            run.turn.emit("reasoning", {"text": "hm"})
            for word in WORDS:
                say(agent, word)
            for _ in range(read):
                await reply.chunk()
        async with chat.resumed() as resumed:
            say(agent, "four")
            run.finish()
            message = await resumed.whole()
    assert message.text == "one two three four"
    assert [part["type"] for part in message.shown] == ["reasoning", "text"]
    assert message.id == reply.turn_id


async def test_there_is_nothing_to_resume_where_nothing_is_on_its_way() -> None:
    async with serving(done, **SPEAKS) as house:
        chat = ChatApi(house)
        assert (await chat.resume("new")).status == 204
        await chat.reply()
        answer = await chat.resume()
        assert (answer.status, answer.text, answer.headers["Cache-Control"]) == (204, "", "no-store")


async def test_a_reply_that_has_ended_since_is_read_whole_by_a_client_that_names_it() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token, **SPEAKS) as house:
        chat = ChatApi(house, "ada-token")
        async with chat.sent() as reply:
            run = await agent.run()
            say(agent, "one ")
            await reply.of_kind("text-delta")
        query = f"?activeStreamId={reply.turn_id}"
        async with chat.resumed(query=query) as live:
            say(agent, "two")
            run.finish()
            assert (await live.whole()).text == "one two"
        # Without the name there is nothing to resume, and the client would keep what it has.
        assert (await chat.resume()).status == 204
        async with chat.resumed(query=query) as late:
            assert (await late.whole()).parts == live.message.parts
        unknown = await chat.resume(query="?activeStreamId=never")
        assert (unknown.status, unknown.headers["Turnkeeper-Code"]) == (404, "UNKNOWN_TURN")
        foreign = await ChatApi(house, "bob-token").resume(query=query)
        assert (foreign.status, foreign.headers["Turnkeeper-Code"]) == (404, "UNKNOWN_SESSION")
        assert (await chat.resume(query="?activeStreamId=a%20b")).status == 422


async def test_a_reply_whose_beginning_is_gone_is_not_resumed_as_if_it_were_whole() -> None:
    agent = ScriptedAgent()
    async with serving(agent, log_events=3, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await agent.run()
            for word in WORDS:
                say(agent, word)
                await reply.of_kind("text-delta")
            answer = await chat.resume()
    assert (answer.status, answer.headers["Turnkeeper-Code"]) == (410, "EVENTS_LOST")


# -- Stop -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aimed", [True, False])
async def test_a_stop_stops_and_says_so_and_keeps_what_was_said(aimed: bool) -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await agent.run()
            say(agent, "so far")
            await reply.of_kind("text-delta")
            answer = await chat.stop(**({"activeStreamId": reply.turn_id} if aimed else {}))
            assert agent.last.ended.is_set()
            message = await reply.whole()
        assert (answer["verdict"], answer["status"], answer["activeStreamId"]) == (
            "cancelled",
            "cancelled",
            None,
        )
        assert 0 <= answer["settled_after_ms"] == round(answer["settled_after_ms"], 3)
        assert answer["turn"]["task_id"] == reply.turn_id
        assert "still_running" not in answer
        assert (message.text, message.whole, message.aborted) == ("so far", True, "user_request")
        assert message.metadata["status"] == "cancelled"
        assert message.finished is None


async def test_a_stop_of_a_reply_that_is_there_leaves_the_next_one_alone_and_says_which_that_is() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first:
            (await agent.run()).finish()
            shown = await first.whole()
        async with chat.sent(message_id="m2") as second:
            run = await agent.run()
            # The second one has it in the message that the chat shows, as the SDK's own docs send it.
            for stale in (
                {"activeStreamId": first.turn_id},
                {"assistantMessage": {"id": shown.id, "metadata": shown.metadata, "parts": shown.parts}},
            ):
                answer = await chat.stop(**stale)
                assert (answer["verdict"], answer["status"]) == ("finished_first", "completed")
                assert answer["activeStreamId"] == second.turn_id
            unknown = await chat.stop(activeStreamId="never")
            assert (unknown["verdict"], unknown["activeStreamId"]) == ("not_running", second.turn_id)
            run.finish("still here")
            assert (await second.whole()).text == "still here"
        nothing = await chat.stop()
        assert (nothing["verdict"], nothing["activeStreamId"]) == ("not_running", None)


async def test_a_stop_may_come_before_the_reply_and_even_before_its_message() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await agent.run()
            answer = await chat.stop(messageId="m1")
            assert (answer["verdict"], answer["turn"]["task_id"]) == ("cancelled", reply.turn_id)
            assert (await reply.whole()).aborted == "user_request"
        early = await chat.stop(messageId="m2")
        assert (early["verdict"], early["turn"]) == ("not_running", None)
        assert 0 < early["remembered_for"] == round(early["remembered_for"], 3)
        assert (await chat.reply(message_id="m2")).aborted == "user_request"
        assert len(agent.runs) == 1


async def test_a_turn_that_does_not_stop_is_said_to_be_unresponsive() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, cancel_grace=0.05, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await agent.run()
            answer = await chat.stop()
            assert (answer["verdict"], answer["status"]) == ("unresponsive", "unresponsive")
            message = await reply.whole()
        assert message.error == "The turn did not stop in time, and was given up (unresponsive)."
        assert message.metadata["status"] == "unresponsive"


async def test_a_stop_names_what_of_the_turn_runs_on() -> None:
    may_end, ended = threading.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        def work() -> None:
            turn.emit("delta", {"text": "working"})
            may_end.wait()

        try:
            await turn.in_thread(work)
        finally:
            ended.set()

    async with serving(agent, cancel_grace=0.05, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await reply.of_kind("text-delta")
            answer = await chat.stop()
            message = await reply.whole()
        may_end.set()
        await ended.wait()
    assert answer["verdict"] == "unresponsive"
    one = {"tasks": 0, "threads": 1, "processes": 0}
    assert answer["still_running"] == message.metadata["stillRunning"] == one


async def test_a_stop_whose_outcome_takes_too_long_says_that_it_was_requested() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, cancel_grace=60, wind_grace=0, margin=-59.9, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            run = await agent.run()
            answer = await house.post("/api/chat/c1/stop")
            assert (answer.status, answer.body["verdict"]) == (202, "requested")
            assert answer.body["activeStreamId"] == reply.turn_id
            run.finish()


# -- More than one ----------------------------------------------------------------------------------


async def test_a_second_client_takes_over_and_the_first_one_hears_of_it() -> None:
    agent = ScriptedAgent(swallows=1)
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first:
            old = await agent.run()
            say(agent, "so far")
            await first.of_kind("text-delta")
            async with chat.sent(message_id="m2") as second:
                await old.cancelled.wait()
                # While the first one is on its way out, the second is what a chat waits for.
                async with chat.resumed() as resumed:
                    assert resumed.turn_id == second.turn_id
                    old.fail(asyncio.CancelledError())
                    message = await first.whole()
                    (await agent.run()).finish("new")
                    assert (await resumed.whole()).text == (await second.whole()).text == "new"
    assert (message.text, message.aborted) == ("so far", "superseded")
    assert message.metadata["supersededBy"] == second.turn_id


async def test_a_message_that_waits_begins_its_reply_at_once_and_says_it_when_its_turn_comes() -> None:
    agent = ScriptedAgent()
    async with serving({"default": Agent(agent, strategy="enqueue")}, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first, chat.sent(message_id="m2") as second:
            run = await agent.run()
            async with chat.resumed() as resumed:
                assert resumed.turn_id == first.turn_id
            run.finish("one")
            assert (await first.whole()).text == "one"
            (await agent.run()).finish("two")
            assert (await second.whole()).text == "two"


async def test_a_message_that_waits_is_stopped_by_its_own_stop() -> None:
    agent = ScriptedAgent()
    async with serving({"default": Agent(agent, strategy="enqueue")}, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first, chat.sent(message_id="m2") as second:
            answer = await chat.stop(activeStreamId=second.turn_id)
            assert (answer["verdict"], answer["activeStreamId"]) == ("cancelled", first.turn_id)
            message = await second.whole()
            assert (message.aborted, message.parts) == ("user_request", [])


async def test_a_stop_that_names_no_reply_clears_what_waits() -> None:
    agent = ScriptedAgent()
    async with serving({"default": Agent(agent, strategy="enqueue")}, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first, chat.sent(message_id="m2") as second:
            await agent.run()
            answer = await chat.stop()
            assert (answer["verdict"], answer["turn"]["task_id"]) == ("cancelled", first.turn_id)
            assert (answer["cleared"], answer["activeStreamId"]) == ([second.turn_id], None)
            assert [(await each.whole()).aborted for each in (first, second)] == ["user_request"] * 2


async def test_messages_that_are_joined_have_one_reply() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat, joins = ChatApi(house), {"multitask_strategy": "collapse"}
        async with chat.sent("a") as busy:
            run = await agent.run()
            async with chat.sent("b", "m2", **joins) as first, chat.sent("c", "m3", **joins) as second:
                assert first.turn_id == second.turn_id != busy.turn_id
                run.finish()
                (await agent.run()).finish("to both")
                assert (await first.whole()).text == (await second.whole()).text == "to both"
        assert agent.last.turn.text == "b\n\nc"


async def test_a_message_is_refused_where_the_turn_in_flight_is_not_to_be_disturbed() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            run = await agent.run()
            answer = await chat.post(sends("more", "m2", multitask_strategy="reject"))
            assert (answer.status, answer.headers["Turnkeeper-Code"]) == (409, "SESSION_BUSY")
            run.finish()
            assert (await reply.whole()).finished == "stop"


# -- Hang up ----------------------------------------------------------------------------------------


async def test_a_client_that_hangs_up_leaves_its_turn_running() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        async with ChatApi(house).sent() as reply:
            run = await agent.run()
            reply.response.close()
        await until(lambda: not house.registry.directory.entries["c1"].subscribers)
        run.finish("done")
        await idle(house)
        record = await house.registry.turn("c1", reply.turn_id)
        assert (record.status, record.cancellation) == (TurnStatus.COMPLETED, None)


async def test_where_the_host_says_so_a_turn_ends_with_its_last_reader_and_soon() -> None:
    agent = ScriptedAgent()
    policy = Agent(agent, on_disconnect="cancel", abandon_after=0.05)
    async with serving({"default": policy}, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as first:
            run = await agent.run()
            async with chat.resumed() as second:
                first.response.close()
                say(agent, "still here")
                await second.of_kind("text-delta")
                assert not run.cancelled.is_set()
                second.response.close()
            await run.cancelled.wait()
        record = await house.registry.turn("c1", first.turn_id)
        assert record.cancellation is not None
        assert record.cancellation.reason.code is CancelCode.CLIENT_DISCONNECTED
        run.finish()


# -- Who asks ---------------------------------------------------------------------------------------


async def test_another_user_has_no_part_in_a_chat() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token, **SPEAKS) as house:
        ada, bob = ChatApi(house, "ada-token"), ChatApi(house, "bob-token")
        async with ada.sent() as reply:
            run = await agent.run()
            taken = await bob.post(sends("mine", "m9"))
            assert (taken.status, taken.headers["Turnkeeper-Code"]) == (409, "SESSION_ID_TAKEN")
            assert (await bob.resume()).status == 204
            for body in ({}, {"activeStreamId": reply.turn_id}):
                stop = await bob.stop(**body)
                assert (stop["verdict"], stop["turn"], stop["activeStreamId"]) == ("not_running", None, None)
            assert not run.cancelled.is_set()
            run.finish()
            assert (await reply.whole()).finished == "stop"


async def test_a_user_who_is_not_known_is_refused_in_plain_words() -> None:
    async with serving(done, authenticate=by_token, **SPEAKS) as house:
        chat = ChatApi(house)
        for answer in (
            await chat.post(sends("hello", "m1")),
            await chat.resume(),
            await house.post("/api/chat/c1/stop"),
        ):
            assert (answer.status, answer.headers["Turnkeeper-Code"]) == (401, "UNAUTHORIZED")
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert answer.headers["WWW-Authenticate"]


# -- What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 422, "INVALID_JSON"),
        (b"", 422, "INVALID_JSON"),
        ({}, 422, "INVALID_REQUEST"),
        (sends("", "m1"), 422, "INVALID_REQUEST"),
        (sends("hello", "m1", chat="turns"), 422, "INVALID_REQUEST"),
        (sends("hello", "m1", agent="nobody"), 422, "UNKNOWN_AGENT"),
        (sends("hello", "m1", params=[1]), 422, "INVALID_REQUEST"),
        (sends("hello", "m1", tools={"x": 1}), 422, "UNSUPPORTED_PARAMETER"),
        (sends("x" * 5_000, "m1"), 422, "MESSAGE_TOO_LARGE"),
        (sends("x" * 50_000, "m1"), 413, "BODY_TOO_LARGE"),
    ],
    ids=lambda case: plain(case)[:60],
)
async def test_what_is_refused_is_said_in_plain_words_with_its_code(
    body: Any, status: int, code: str
) -> None:
    async with serving(done, max_body=20_000, message_text=4_000, **SPEAKS) as house:
        given = {"data": body} if isinstance(body, bytes) else {"json": body}
        answer = await house.post("/api/chat", **given)
        assert (answer.status, answer.headers["Turnkeeper-Code"]) == (status, code)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.text


async def test_a_path_with_an_id_that_is_none_is_refused() -> None:
    async with serving(done, **SPEAKS) as house:
        for answer in (await ChatApi(house).resume("a%20b"), await house.post("/api/chat/events/stop")):
            assert (answer.status, answer.headers["Turnkeeper-Code"]) == (422, "INVALID_REQUEST")
            assert answer.text.startswith("id must be")
        answer = await house.post("/api/chat/c1/stop", json={"activeStreamId": 1})
        assert answer.status == 422


async def test_a_reply_that_too_many_read_is_refused_for_a_while() -> None:
    agent = ScriptedAgent()
    async with serving(agent, max_streams=1, authenticate=by_token, **SPEAKS) as house:
        chat = ChatApi(house, "ada-token")
        async with chat.sent() as reply:
            answer = await chat.resume()
            assert (answer.status, answer.headers["Turnkeeper-Code"]) == (429, "TOO_MANY_STREAMS")
            assert answer.headers["Retry-After"]
            (await agent.run()).finish()
            await reply.whole()


async def test_a_message_whose_reply_could_not_be_streamed_is_not_sent() -> None:
    """G8: its turn ran on, and the chat was told that it had been refused."""
    agent = ScriptedAgent()
    async with serving(agent, max_streams=1, authenticate=by_token, **SPEAKS) as house:
        held = await house.registry.subscribe("other", user="ada")
        answer = await ChatApi(house, "ada-token").post(sends("hello", "m1"))
        assert (answer.status, answer.headers["Turnkeeper-Code"]) == (429, "TOO_MANY_STREAMS")
        assert (await house.registry.counts()).sessions == 0
        held.close()


# -- The end of the process -------------------------------------------------------------------------


async def test_a_shutdown_ends_a_stream_with_the_end_of_its_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await agent.run()
            await house.registry.drain()
            message = await reply.whole()
            assert (message.aborted, message.finished) == ("shutdown", None)
            refused = await chat.post(sends("hello", "m2"))
        assert (refused.status, refused.headers["Turnkeeper-Code"]) == (503, "SHUTTING_DOWN")


@pytest.mark.parametrize(("policy", "text"), [("continue", "one two"), ("rerun", "two")])
async def test_a_turn_that_outlives_its_process_is_resumed_in_the_next_one(policy: str, text: str) -> None:
    journal = MemoryJournal()
    settings: dict[str, Any] = {"attempt_backoff": 0, "journal": journal, **SPEAKS}
    before = ScriptedAgent()
    async with serving({"default": Agent(before, on_restart=policy)}, **settings) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            await before.run()
            say(before, "one ")
            await reply.of_kind("text-delta")
            await house.registry.drain()
            message = await reply.whole()
            assert message.error is not None
            assert "resume" in message.error
            assert (message.finished, message.aborted, message.whole) == (None, None, True)
    after = ScriptedAgent()
    async with serving({"default": Agent(after, on_restart=policy)}, **settings) as house:
        run = await after.run()
        say(after, "two")
        async with ChatApi(house).resumed() as resumed, ChatApi(house).sent() as again:
            run.finish()
            for each in (resumed, again):
                message = await each.whole()
                assert (message.id, message.text, message.finished) == (reply.turn_id, text, "stop")
        assert len(after.runs) == 1
