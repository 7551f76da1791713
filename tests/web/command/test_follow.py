import asyncio
import io
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, done
from tests.web.command.terminal import Relay, relay
from tests.web.fakes_web import House, by_token, serving, until
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.agents.upstream_errors import UpstreamRateLimited
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import ClientError
from turnkeeper.web.command.exit_codes import CommandFailed, ExitCode, exit_code_of
from turnkeeper.web.command.follow import send
from turnkeeper.web.command.screen import Screen


class Desk:
    """A client before a house, and what it has shown."""

    def __init__(self, house: House, client: Client) -> None:
        self.house = house
        self.client = client
        self.out, self.err = io.StringIO(), io.StringIO()

    def send(self, text: str = "hello", **options: Any) -> "asyncio.Task[ExitCode]":
        screen = Screen(self.out, self.err)
        return asyncio.ensure_future(send(self.client, screen, "s", text, **options))

    async def shown(self, text: str) -> None:
        await until(lambda: text in self.out.getvalue() + self.err.getvalue())


@asynccontextmanager
async def desk(agent: Any, between: Relay | None = None, **settings: Any) -> AsyncGenerator[Desk]:
    async with serving(agent, **settings) as house:
        if between is not None:
            between.target = house.port
        url = house.url("") if between is None else between.url
        async with Client(url, house.token) as client:
            yield Desk(house, client)


async def speak(turn: Turn) -> str:
    turn.emit("delta", {"text": "hello "})
    turn.emit("tool", {"name": "search"})
    turn.emit("delta", {"text": "you\x1b[31m"})
    return "not shown"


async def silent(turn: Turn) -> str:
    return "the result"


async def broken(_turn: Turn) -> None:
    raise LookupError("not for everybody's ears")


# -- To the end -------------------------------------------------------------------------------------


async def test_the_answer_is_shown_as_it_comes_and_nothing_else() -> None:
    async with desk(speak) as at:
        assert await at.send() is ExitCode.OK

    assert (at.out.getvalue(), at.err.getvalue()) == ("hello you\\x1b[31m\n", "")


async def test_an_answer_that_was_only_returned_is_shown_too() -> None:
    async with desk(silent) as at:
        assert await at.send() is ExitCode.OK

    assert at.out.getvalue() == "the result\n"


async def test_as_json_every_event_of_the_turn_is_a_line() -> None:
    async with desk(speak) as at:
        await at.house.sent("s", "another turn")
        assert await at.send(as_json=True) is ExitCode.OK

    lines = [json.loads(line) for line in at.out.getvalue().splitlines()]
    assert [line["event"] for line in lines][-5:] == [
        "turn.started",
        "delta",
        "tool",
        "delta",
        "turn.completed",
    ]
    assert lines[-1]["data"]["result"] == "not shown"
    assert len({(line["id"] or "").partition("-")[0] for line in lines if line["id"]}) == 1


async def test_a_turn_that_fails_is_reported_without_its_secrets() -> None:
    async with desk(broken) as at:
        assert await at.send() is ExitCode.FAILED

    assert at.err.getvalue() == "turnkeeper: failed: agent_error (LookupError)\n"


async def test_a_model_that_did_not_deliver_is_reported_in_the_agents_words() -> None:
    async def refused(turn: Turn) -> None:
        turn.emit(
            "upstream_error", {"code": "upstream_rate_limited", "message": "no more for now (HTTP 429)"}
        )
        raise UpstreamRateLimited

    async with desk(refused) as at:
        assert await at.send() is ExitCode.FAILED

    assert at.err.getvalue() == "turnkeeper: failed: upstream_rate_limited: no more for now (HTTP 429)\n"


async def test_a_turn_that_takes_too_long_is_reported() -> None:
    async with desk(ScriptedAgent()) as at:
        assert await at.send(timeout=0.05) is ExitCode.FAILED

    assert "timed out: timeout" in at.err.getvalue()


class Held(Client):
    """A client whose send is on its way until the test lets it arrive."""

    arrives: asyncio.Event
    streams = 0

    async def send(self, *request: Any, **options: Any) -> Any:
        await self.arrives.wait()
        return await super().send(*request, **options)

    def stream(self, *path: str, **how: Any) -> Any:
        self.streams += 1
        return super().stream(*path, **how)


async def _reads(house: House) -> bool:
    """Whether a stream is open."""
    return (await house.registry.counts()).subscribers > 0


@pytest.mark.parametrize("setting", CloseOn)
async def test_a_stop_of_the_turn_before_is_read_past_whatever_the_server_is_set_to(
    setting: CloseOn,
) -> None:
    agent = ScriptedAgent()
    async with serving({"default": agent, "speak": speak}, close_on=setting) as house:
        await house.sent("s", "before")
        await agent.run()
        async with Held(house.url("")) as client:
            client.arrives = asyncio.Event()
            at = Desk(house, client)
            sent = at.send(agent="speak")
            await until(lambda: _reads(house))
            async with house.stream("s", "?close_on=never") as stream:
                await house.post("/chat/s/cancel_send_task")
                await stream.until("close")
            client.arrives.set()
            assert await sent is ExitCode.OK
            assert client.streams == 2, "the Stop has ended the first one"

    assert at.out.getvalue() == "hello you\\x1b[31m\n"


@pytest.mark.parametrize("setting", CloseOn)
async def test_a_turn_that_another_user_stops_is_reported_whatever_the_server_is_set_to(
    setting: CloseOn,
) -> None:
    agent = ScriptedAgent()
    async with desk(agent, close_on=setting) as at:
        sent = at.send()
        (await agent.run()).turn.emit("delta", {"text": "begun"})
        await at.shown("begun")
        await at.house.post("/chat/s/cancel_send_task")
        assert await sent is ExitCode.FAILED

    assert "cancelled: user_request" in at.err.getvalue()


async def test_a_session_that_is_closed_before_the_turn_is_sent_is_reported_at_once() -> None:
    async with serving(done) as house, Held(house.url("")) as client:
        await house.sent("s")
        client.arrives = asyncio.Event()
        at = Desk(house, client)
        sent = at.send()
        await until(lambda: _reads(house))
        async with house.stream("s") as stream:
            await stream.until("snapshot")
            await house.delete("/chat/s")
        with pytest.raises(CommandFailed, match="the stream ended before the turn did: Session closed"):
            await sent


async def test_only_the_own_turn_is_shown_and_the_one_before_is_reported_stopped() -> None:
    agent = ScriptedAgent()
    async with desk(agent) as at:
        first = await at.house.sent("s", "first")
        (await agent.run()).turn.emit("delta", {"text": "of the first"})
        sent = at.send()
        run = await agent.run()
        run.turn.emit("delta", {"text": "of mine"})
        run.finish()
        assert await sent is ExitCode.OK

    assert at.out.getvalue() == "of mine\n"
    assert f"the previous turn, {first}: cancelled after " in at.err.getvalue()


async def test_being_superseded_is_reported() -> None:
    agent = ScriptedAgent()
    async with desk(agent) as at:
        sent = at.send()
        await agent.run()
        later = await at.house.sent("s", "later")
        assert await sent is ExitCode.FAILED

    assert f"cancelled: superseded by {later}" in at.err.getvalue()


async def test_being_superseded_before_it_has_started_is_reported() -> None:
    agent = ScriptedAgent(swallows=1)
    async with desk(agent) as at:
        await at.house.sent("s", "stubborn")
        stubborn = await agent.run()
        sent = at.send()
        await stubborn.cancelled.wait()
        later = asyncio.ensure_future(at.house.sent("s", "later"))
        assert await sent is ExitCode.FAILED
        stubborn.finish()
        task = await later

    assert f"cancelled before it began: superseded by {task}" in at.err.getvalue()


@pytest.mark.parametrize(
    ("options", "code"),
    [({"agent": "unknown"}, ExitCode.USAGE), ({"multitask_strategy": "reject"}, ExitCode.FAILED)],
)
async def test_a_send_that_is_refused_is_reported(options: dict[str, Any], code: ExitCode) -> None:
    async with desk(ScriptedAgent()) as at:
        await at.house.sent("s")
        with pytest.raises(ClientError) as failed:
            await at.send(**options)

    assert exit_code_of(failed.value) is code


async def test_an_id_of_another_users_is_not_sent_to() -> None:
    async with desk(ScriptedAgent(), authenticate=by_token, token="bob-token") as at:
        await at.house.sent("s", token="ada-token")
        with pytest.raises(ClientError, match="another user's") as failed:
            await at.send()

    assert exit_code_of(failed.value) is ExitCode.FAILED


async def test_the_end_of_the_server_is_reported() -> None:
    agent = ScriptedAgent()
    async with desk(agent) as at:
        sent = at.send()
        await agent.run()
        await at.house.registry.drain()
        assert await sent is ExitCode.FAILED

    assert "cancelled: shutdown" in at.err.getvalue()


# -- Connections that are lost ----------------------------------------------------------------------


async def test_the_answer_goes_on_where_it_was_cut_off() -> None:
    agent = ScriptedAgent()
    async with relay(0) as between, desk(agent, between) as at:
        sent = at.send()
        run = await agent.run()
        run.turn.emit("delta", {"text": "one "})
        await at.shown("one ")
        between.cut()
        run.turn.emit("delta", {"text": "two"})
        run.finish()
        assert await sent is ExitCode.OK

    assert at.out.getvalue() == "one two\n", at.err.getvalue()


async def test_a_turn_that_outlives_its_server_is_followed_on_the_next_one() -> None:
    journal, scripted, more = MemoryJournal(), ScriptedAgent(), ScriptedAgent()
    first, second = (Agent(each, on_restart="continue") for each in (scripted, more))
    settings = {"journal": journal, "attempt_backoff": 0}
    async with relay(0) as between, desk(first, between, **settings) as at:
        sent = at.send()
        (await scripted.run()).turn.emit("delta", {"text": "one "})
        await at.shown("one ")
        await at.house.registry.drain()
        await at.shown("goes on with the turn")
        async with serving(second, **settings) as house:
            between.target = house.port
            between.cut()
            run = await more.run()
            assert run.turn.partial == "one "
            run.turn.emit("delta", {"text": "two"})
            run.finish()
            assert await sent is ExitCode.OK

    assert at.out.getvalue() == "one two\n", at.err.getvalue()


async def test_an_answer_to_the_send_that_got_lost_sends_nothing_twice() -> None:
    agent = ScriptedAgent(swallows=1)
    async with relay(0) as between, desk(agent, between) as at:
        await at.house.sent("s", "first")
        first = await agent.run()
        sent = at.send()
        await first.cancelled.wait()  # the send has arrived, and is not answered before the first has ended
        between.cut()
        first.finish()
        mine = await agent.run()
        mine.turn.emit("delta", {"text": "once"})
        mine.finish()
        assert await sent is ExitCode.OK

    assert at.out.getvalue() == "once\n"
    assert len(agent.runs) == 2


# -- Ctrl-C -----------------------------------------------------------------------------------------


async def test_ctrl_c_stops_the_turn_and_says_so() -> None:
    agent = ScriptedAgent()
    async with desk(agent) as at:
        sent = at.send()
        run = await agent.run()
        signal.raise_signal(signal.SIGINT)
        assert await sent is ExitCode.INTERRUPTED

    assert run.cancels == 1
    assert "turnkeeper: cancelled after " in at.err.getvalue()


async def test_ctrl_c_that_comes_too_late_says_that_it_did() -> None:
    agent = ScriptedAgent(swallows=1)
    async with desk(agent) as at:
        sent = at.send()
        run = await agent.run()
        signal.raise_signal(signal.SIGINT)
        await run.cancelled.wait()
        run.finish("the end")
        assert await sent is ExitCode.OK

    assert "finished before it could be stopped: completed" in at.err.getvalue()
    assert at.out.getvalue() == "the end\n"


async def test_a_turn_that_does_not_stop_is_reported_unresponsive() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with desk(agent, cancel_grace=0.05) as at:
        sent = at.send()
        await agent.run()
        signal.raise_signal(signal.SIGINT)
        assert await sent is ExitCode.UNRESPONSIVE

    assert "did not stop: given up after" in at.err.getvalue()


async def test_a_second_ctrl_c_leaves_at_once_and_says_what_it_left() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with desk(agent) as at:
        sent = at.send()
        run = await agent.run()
        signal.raise_signal(signal.SIGINT)
        await run.cancelled.wait()
        signal.raise_signal(signal.SIGINT)
        assert await sent is ExitCode.INTERRUPTED

    assert f"turn {run.turn.turn_id} of s may still be running" in at.err.getvalue()


async def test_ctrl_c_while_it_waits_for_the_turn_before_it_stops_only_its_own() -> None:
    agent = ScriptedAgent(swallows=1)
    async with desk(agent) as at:
        await at.house.sent("s", "first")
        first = await agent.run()
        sent = at.send()
        await first.cancelled.wait()
        signal.raise_signal(signal.SIGINT)
        assert await sent is ExitCode.INTERRUPTED
        first.finish()

    assert len(agent.runs) == 1


async def test_a_stop_that_does_not_arrive_is_reported() -> None:
    agent = ScriptedAgent()
    async with relay(0) as between, desk(agent, between) as at:
        sent = at.send()
        await agent.run()
        between.open = False
        between.cut()
        signal.raise_signal(signal.SIGINT)
        await at.shown("the turn could not be stopped and may still be running: cannot reach")
        signal.raise_signal(signal.SIGINT)
        assert await sent is ExitCode.INTERRUPTED
