"""How a turn sends messages to other sessions, whose turns are its children."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, inside, opened, settle
from turnkeeper.actors.model.exceptions import (
    ChildNotStarted,
    InvalidRequest,
    OwnLineage,
    PolicyNotAllowed,
    SessionError,
    SessionIdTaken,
    TooDeep,
    TooManyChildren,
    TooManyOfAgent,
    TurnCancelled,
    TurnFailed,
    TurnMerged,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.messages import Send
from turnkeeper.actors.model.records import Reason, SessionId, TurnId, TurnRecord, TurnRef
from turnkeeper.actors.model.words import CancelCode, Layer, OnCap, Priority, Strategy, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn

Does = Callable[[Turn], Awaitable[Any]]
BY_PARENT = CancelCode.PARENT_CANCELLED


def team(parent: Does, child: Any = done, **others: Any) -> dict[str, Any]:
    """A parent that does this, and the agent of its children."""
    return {"default": parent, "child": child, **others}


async def send_on(turn: Turn) -> Any:
    """Send what was said to the session ``s2``."""
    return await turn.send("s2", turn.text, agent="child")


async def statuses(registry: SessionRegistry, *sessions: str) -> list[str]:
    """How the last turn of each of these sessions stands."""
    views = [await registry.session(session) for session in sessions]
    return [view.turn.status for view in views if view.turn is not None]


# -- The result ---------------------------------------------------------------------------------------


async def test_a_turn_gets_what_the_agent_of_another_session_has_returned() -> None:
    async with opened(team(send_on)) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        assert await receipt.result() == "done: hello"
        parent, (child,) = await receipt.ended(), (await registry.session("s2")).recent
        (known,) = parent.children
        assert (known.session_id, known.turn_id, known.status) == ("s2", child.turn_id, TurnStatus.COMPLETED)
        assert known.ended_at == child.ended_at
        assert child.parent == TurnRef(receipt.session_id, receipt.turn_id)
        assert (child.user, child.agent, child.strategy) == ("ada", "child", Strategy.REJECT)
        assert (await registry.counts()).counters["children_started_total"] == 1


async def test_a_child_has_what_its_send_says_beside_the_message_and_nothing_of_its_parents() -> None:
    async def parent(turn: Turn) -> Any:
        mine = await turn.send("s2", "hello", agent="child", key="k", params={**turn.params, "seed": 1})
        return mine, await turn.send("s3", "hello", agent="child")

    async def child(turn: Turn) -> Any:
        return dict(turn.params)

    async with opened(team(parent, child)) as registry:
        receipt = await registry.send("s1", "hello", params={"stop": ["."]})
        assert await receipt.result() == ({"stop": ["."], "seed": 1}, {})


async def test_the_child_is_known_while_its_parent_runs() -> None:
    agent = ScriptedAgent()
    async with opened(team(send_on, agent)) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        parent = await registry.turn("s1", receipt.turn_id)
        assert [(each.turn_id, each.status) for each in parent.children] == [(run.turn.turn_id, None)]
        run.finish("so")
        assert await receipt.result() == "so"


async def test_a_child_that_fails_is_an_error_in_its_parent() -> None:
    agent, error = ScriptedAgent(), KeyError("x")
    caught: list[BaseException] = []

    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send("s2", "go", agent="child"))
        except TurnFailed as failed:
            caught.append(failed)
            return "went on"

    async with opened(team(parent, agent)) as registry:
        receipt = await registry.send("s1", "hello")
        (await agent.run()).fail(error)
        assert await receipt.result() == "went on"
    assert caught[0].__cause__ is error


@pytest.mark.parametrize("how", ["cancel", "close", "supersede", "timeout"])
async def test_a_child_that_is_stopped_alone_is_an_ordinary_error_in_its_parent(
    how: str, clock: VirtualClock
) -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send("s2", "go", agent="child", timeout=7))
        except TurnCancelled as cancelled:
            return str(cancelled.reason)

    async with opened(team(parent, agent)) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        await agent.run()
        match how:
            case "cancel":
                await registry.cancel("s2", user="ada")
            case "close":
                await registry.close("s2", user="ada")
            case "supersede":
                await registry.send("s2", "me first", agent="child", user="ada")
            case _:
                await clock.advance(7)
        expected = {"cancel": "user_request", "close": "session_closed", "supersede": "superseded"}
        assert await receipt.result() == expected.get(how, "timeout")


async def test_a_parent_that_does_not_catch_the_end_of_its_child_fails_with_that() -> None:
    agent = ScriptedAgent()
    async with opened(team(send_on, agent)) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.run()
        await registry.cancel("s2")
        ended = await receipt.ended()
        assert ended.status is TurnStatus.FAILED
        assert ended.error is not None
        assert ended.error.code == "turn_cancelled"


async def test_two_children_run_at_once() -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turn.send(name, "go", agent="child")) for name in ("s2", "s3")]
        return [task.result() for task in tasks]

    async with opened(team(parent, agent)) as registry:
        receipt = await registry.send("s1", "hello")
        first, second = await agent.run(), await agent.run()
        second.finish(2)
        first.finish(1)
        assert await receipt.result() == [1, 2]
        assert len((await receipt.ended()).children) == 2


async def test_a_child_is_followed_by_its_events() -> None:
    async def chatters(turn: Turn) -> None:
        turn.emit("word", turn.text)

    async def parent(turn: Turn) -> list[str]:
        child = await turn.begin("s2", "hello", agent="child")
        return [event.name async for event in child.events()]

    async with opened(team(parent, chatters)) as registry:
        receipt = await registry.send("s1", "go")
        assert await receipt.result() == ["turn.started", "word", "turn.completed"]


async def test_a_parent_stops_one_of_its_children() -> None:
    async def parent(turn: Turn) -> tuple[Any, ...]:
        child = await turn.begin("s2", "hello", agent="child")
        answer = await child.cancel(text="enough")
        assert answer.turn is not None
        return answer.verdict, answer.turn.reason, (await child.ended()).status

    async with opened(team(parent, ScriptedAgent())) as registry:
        receipt = await registry.send("s1", "go")
        verdict, reason, status = await receipt.result()
        assert (verdict, status) == (Verdict.CANCELLED, TurnStatus.CANCELLED)
        assert (reason.code, reason.text) == (BY_PARENT, "enough")


async def test_a_call_that_is_given_up_stops_its_child_and_one_that_was_begun_goes_on() -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> Any:
        with suppress(TimeoutError):
            await asyncio.wait_for(turn.send("s2", "go", agent="child"), 0.01)
        child = await turn.begin("s3", "go", agent="child")
        with suppress(TimeoutError):
            await asyncio.wait_for(child.result(), 0.01)
        return await child.result()

    async with opened(team(parent, agent)) as registry:
        receipt = await registry.send("s1", "go")
        first, second = await agent.run(), await agent.run()
        await first.ended.wait()
        await settle()
        assert first.turn.reason is not None
        assert first.turn.reason.code is BY_PARENT
        second.finish("late")
        assert await receipt.result() == "late"


# -- A cancel -----------------------------------------------------------------------------------------


async def test_a_cancel_reaches_the_whole_tree_at_once_and_the_verdict_waits_for_the_deepest() -> None:
    deepest = ScriptedAgent(swallows=1)

    async def sends(turn: Turn) -> Any:
        return await turn.send("s3" if turn.session_id == "s2" else "s2", "go", agent=turn.text)

    async def middle(turn: Turn) -> Any:
        return await turn.send("s3", "go", agent="deepest")

    async with opened(team(sends, middle=middle, deepest=deepest)) as registry:
        await registry.send("s1", "middle", user="ada")
        run = await deepest.run()
        assert [turn.session_id for turn in await registry.active()] == ["s1", "s2", "s3"]
        cancel = asyncio.ensure_future(registry.cancel("s1", user="ada"))
        await run.cancelled.wait()
        views = {session: (await registry.session(session)).turn for session in ("s1", "s2", "s3")}
        # None of them has let go of its session, though only the deepest one does anything still.
        assert {view and view.status for view in views.values()} == {TurnStatus.CANCELLING}
        assert [view and view.reason for view in views.values()] == [
            Reason(CancelCode.USER_REQUEST, "ada"),
            Reason(BY_PARENT, "ada"),
            Reason(BY_PARENT, "ada"),
        ]
        assert not cancel.done()
        run.finish()
        answer = await cancel
        assert answer.verdict is Verdict.CANCELLED
        assert await statuses(registry, "s1", "s2", "s3") == ["cancelled", "cancelled", "completed"]
        ended = [(await registry.session(each)).recent[-1].ended_at or 0.0 for each in ("s3", "s2", "s1")]
        assert ended == sorted(ended)


async def test_every_coroutine_of_a_tree_is_cancelled_in_the_same_pass_of_the_loop() -> None:
    passes = 0
    cancelled: dict[str, int] = {}

    async def level(turn: Turn) -> Any:
        rest = turn.text[1:]
        try:
            if rest:
                return await turn.send(rest, rest)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled[turn.session_id] = passes
            raise

    async def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    async with opened(level) as registry:
        await registry.send("root", "abcdefg")
        await settle()
        counting = asyncio.create_task(count())
        await settle()
        await registry.cancel("root")
        counting.cancel()
    assert len(cancelled) == 7
    assert max(cancelled.values()) - min(cancelled.values()) <= 1


async def test_a_turn_that_returns_stops_the_children_that_it_does_not_wait_for() -> None:
    agent = ScriptedAgent(swallows=1)

    async def parent(turn: Turn) -> str:
        await turn.begin("s2", "go", agent="child")
        return "ok"

    async with opened(team(parent, agent)) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        await run.cancelled.wait()
        assert await statuses(registry, "s1") == ["running"]
        run.finish()
        ended = await receipt.ended()
        assert (ended.status, ended.reason) == (TurnStatus.COMPLETED, None)
        assert run.turn.reason == Reason(BY_PARENT)


async def test_what_a_turn_sends_for_when_it_has_returned_already_is_stopped_at_its_end() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        # As a task that it has left behind may do.
        await asyncio.create_task(run.turn.begin("s2", "go"), context=inside(run.turn))
        run.turn.close()
        child = await agent.run()
        await child.ended.wait()
        assert child.turn.reason == Reason(BY_PARENT)


async def test_a_parent_settles_when_the_time_of_its_end_is_up_and_its_children_go_on_alone(
    clock: VirtualClock,
) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(team(send_on, agent), cancel_grace=2, wind_grace=3) as registry:
        registry.layers.say(Layer.AGENT, "child", {"cancel_grace": 100})
        await registry.send("s1", "hello")
        run = await agent.run()
        answer = await registry.cancel("s1")
        assert answer.verdict is Verdict.CANCELLED
        assert clock.elapsed == pytest.approx(5)
        assert await statuses(registry, "s1", "s2") == ["cancelled", "cancelling"]
        run.finish()
        await settle()
        assert await statuses(registry, "s1", "s2") == ["cancelled", "completed"]


async def test_where_hooks_are_to_be_called_a_parent_waits_for_its_children_half_of_that_time(
    clock: VirtualClock,
) -> None:
    agent, called = ScriptedAgent(swallows=FOREVER), list[tuple[str, float]]()

    async def parent(turn: Turn) -> Any:
        turn.on_cancel(lambda reason, partial: called.append((reason.code, clock.elapsed)))
        return await turn.send("s2", "go", agent="child")

    async with opened(team(parent, agent), cancel_grace=2, wind_grace=4) as registry:
        registry.layers.say(Layer.AGENT, "child", {"cancel_grace": 100})
        await registry.send("s1", "hello")
        await agent.run()
        answer = await registry.cancel("s1")
        assert called == [("user_request", pytest.approx(4))]
        assert answer.verdict is Verdict.CANCELLED
        assert clock.elapsed == pytest.approx(4)
        assert (await registry.counts()).counters["children_not_awaited_total"] == 1


async def test_a_parent_whose_children_end_while_it_waits_for_them_ends_with_them(
    clock: VirtualClock,
) -> None:
    agent, at_end = ScriptedAgent(swallows=FOREVER), list[TurnRecord]()
    hook = at_end.append
    async with opened(team(send_on, agent), cancel_grace=2, wind_grace=4, on_turn_end=hook) as registry:
        registry.layers.say(Layer.AGENT, "child", {"cancel_grace": 100})
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        cancel = asyncio.ensure_future(registry.cancel("s1"))
        await clock.advance(3)
        assert not cancel.done()
        run.finish()
        assert (await cancel).verdict is Verdict.CANCELLED
        assert clock.elapsed == pytest.approx(3)
        counters = (await registry.counts()).counters
        assert not {"children_not_awaited_total", "stale_reports_total"} & {*counters}
        for record in (await receipt.ended(), at_end[-1]):
            assert [child.status for child in record.children] == ["completed"]


async def test_a_parent_ends_with_a_child_that_is_given_up_in_the_same_moment(clock: VirtualClock) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(team(send_on, agent), cancel_grace=2, wind_grace=4) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        answer = await registry.cancel("s1")
        assert answer.verdict is Verdict.CANCELLED
        assert clock.elapsed == pytest.approx(2)
        assert await statuses(registry, "s1", "s2") == ["cancelled", "unresponsive"]
        counters = (await registry.counts()).counters
        assert not {"children_not_awaited_total", "stale_reports_total"} & {*counters}
        assert [child.status for child in (await receipt.ended()).children] == ["unresponsive"]
        run.finish()
        await settle()


async def test_a_parent_that_does_not_stop_has_its_children_stopped_all_the_same(clock: VirtualClock) -> None:
    let_go = asyncio.Event()

    async def parent(turn: Turn) -> None:
        child = await turn.begin("s2", "go", agent="child")
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()
        await child.ended()

    async with opened(team(parent, ScriptedAgent())) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        assert await statuses(registry, "s1", "s2") == ["unresponsive", "cancelled"]
        let_go.set()
        await settle()


async def test_a_turn_that_is_to_stop_for_its_budget_stops_its_children_too() -> None:
    async def parent(turn: Turn) -> None:
        child = await turn.begin("s2", "go", agent="child")
        for n in range(100):
            turn.emit("word", n)
        await child.ended()

    async with opened(team(parent, ScriptedAgent()), max_events=3) as registry:
        receipt = await registry.send("s1", "hello")
        ended = await receipt.ended()
        assert ended.reason is not None
        assert ended.reason.code is CancelCode.BUDGET_EXCEEDED
        child = (await registry.session("s2")).recent[-1]
        assert child.reason is not None
        assert child.reason.code is BY_PARENT


async def test_a_message_that_takes_the_parents_place_waits_for_the_whole_tree() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(team(send_on, agent)) as registry:
        await registry.send("s1", "one")
        run = await agent.run()
        second = asyncio.ensure_future(registry.send("s1", "two", agent="child"))
        await run.cancelled.wait()
        await settle()
        assert not second.done()
        run.finish()
        receipt = await second
        assert receipt.superseded is not None
        assert receipt.superseded.verdict is Verdict.CANCELLED


async def test_a_rollback_of_the_parent_cancels_its_children_and_keeps_what_they_said() -> None:
    async def says(turn: Turn) -> str:
        return "said"

    async def parent(turn: Turn) -> Any:
        await turn.send("s2", "first", agent="child")
        await turn.send("s3", "second", agent="waits")
        return "never"

    async with opened(team(parent, says, waits=ScriptedAgent())) as registry:
        await registry.send("s1", "go")
        await settle()
        await registry.send("s1", "instead", agent="child", strategy="rollback")
        assert await statuses(registry, "s3") == ["cancelled"]
        messages = (await registry.messages("s2")).messages
        assert [each["content"] for each in messages] == ["first", "said"]


async def test_a_shutdown_stops_the_whole_tree() -> None:
    agent = ScriptedAgent()
    async with opened(team(send_on, agent)) as registry:
        receipt = await registry.send("s1", "one")
        run = await agent.run()
        await registry.drain()
        assert (await receipt.ended()).status is TurnStatus.CANCELLED
        assert run.cancels == 1


async def test_a_bulk_cancel_of_parent_and_child_stops_both() -> None:
    agent = ScriptedAgent()
    async with opened(team(send_on, agent)) as registry:
        await registry.send("s1", "one")
        run = await agent.run()
        answer = await registry.cancel_many(all=True)
        assert {each.verdict for each in answer.results} == {Verdict.CANCELLED}
        assert run.cancels == 1


# -- Where a turn may not send --------------------------------------------------------------------------


async def test_a_turn_does_not_send_to_its_own_lineage() -> None:
    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send("s1" if turn.text == "up" else "s2", "up"))
        except OwnLineage:
            return f"refused in {turn.session_id}"

    async with opened(parent) as registry:
        assert await (await registry.send("s1", "up")).result() == "refused in s1"
        assert await (await registry.send("s1", "down")).result() == "refused in s2"


async def test_a_tree_has_so_many_levels_and_a_turn_so_many_children() -> None:
    """G8."""

    async def deep(turn: Turn) -> str:
        try:
            return str(await turn.send(f"{turn.session_id}x", "deeper"))
        except TooDeep:
            return turn.session_id

    async def wide(turn: Turn) -> int:
        sent = 0
        with suppress(TooManyChildren):
            while True:
                await turn.send("other", "go", agent="done")
                sent += 1
        return sent

    agents = {"deep": deep, "wide": wide, "done": done}
    async with opened(agents, max_depth=4, max_children=3) as registry:
        assert await (await registry.send("s", "go", agent="deep")).result() == "sxxx"
        assert await (await registry.send("w", "go", agent="wide")).result() == 3
        counters = (await registry.counts()).counters
        assert (counters["too_deep_total"], counters["too_many_children_total"]) == (1, 1)
        assert counters["children_refused_total"] == 2


async def test_another_users_session_is_refused_and_the_child_belongs_to_the_owner() -> None:
    """G12."""

    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send(turn.text, "go", agent="child"))
        except SessionIdTaken:
            return "taken"

    async with opened(team(parent)) as registry:
        await registry.send("bobs", "hello", agent="child", user="bob")
        assert await (await registry.send("s1", "bobs", user="ada")).result() == "taken"
        await (await registry.send("s1", "s2", user="ada")).result()
        # What the host's own code, or an admin, sends there is still about her sessions.
        assert await (await registry.send("s1", "bobs")).result() == "taken"
        assert (await registry.session("s2")).user == "ada"


async def test_a_session_that_is_busy_refuses_and_one_that_is_closed_does() -> None:
    agent = ScriptedAgent()
    errors: list[Any] = []

    async def parent(turn: Turn) -> None:
        for name in ("busy", "closed"):
            try:
                await turn.send(name, "go", agent="child")
            except SessionError as error:
                errors.append(error.code)

    async with opened(team(parent, agent)) as registry:
        await registry.send("closed", "hello", agent="child")
        await registry.close("closed")
        await registry.send("busy", "hello", agent="child")
        ended = await (await registry.send("s1", "go")).ended()
        assert errors == ["SESSION_BUSY", "SESSION_CLOSED"]
        assert ended.children == ()


async def test_a_turn_sends_nothing_once_it_is_over_was_stopped_or_from_another_thread() -> None:
    turns: list[Turn] = []
    refused = asyncio.Event()

    async def parent(turn: Turn) -> None:
        turns.append(turn)
        with pytest.raises(WrongThread):
            await asyncio.to_thread(lambda: asyncio.run(turn.send("s2", "go")))
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(asyncio.CancelledError):
                await turn.begin("s2", "go")
            refused.set()

    async with opened(parent) as registry:
        await registry.send("s1", "go")
        while not turns:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        await registry.cancel("s1")
        assert refused.is_set()
        with pytest.raises(TurnOver):  # and not CancelledError, which would end the task that sends
            await turns[0].send("s2", "go")
        assert "s2" not in registry.directory.entries


async def test_a_turn_that_has_completed_sends_nothing_more() -> None:
    turns: list[Turn] = []

    async def parent(turn: Turn) -> None:
        turns.append(turn)
        await turn.send("s2", "go", agent="child")

    async with opened(team(parent)) as registry:
        await (await registry.send("s1", "go")).result()
        with pytest.raises(TurnOver):
            await turns[0].send("s2", "more", agent="child")


@pytest.mark.parametrize(
    "bad",
    [{"session_id": "no such id!"}, {"wait_timeout": -1}, {"key": ""}, {"strategy": "no"}, {"timeout": 0}],
)
async def test_bad_input_is_refused_and_the_turn_goes_on(bad: dict[str, Any]) -> None:
    async def parent(turn: Turn) -> str:
        with pytest.raises(InvalidRequest):
            await turn.send(**{"session_id": "s2", "message": "go", "agent": "child", **bad})
        return str(await turn.send("s2", "go", agent="child"))

    async with opened(team(parent)) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done: go"


async def test_a_message_that_names_a_parent_is_taken_from_that_parent_only() -> None:
    async with opened() as registry:
        receipt = await registry.send("s1", "hello")
        fake = TurnRef(receipt.session_id, receipt.turn_id)
        with pytest.raises(InvalidRequest) as caught:
            await registry.ask(Send("s2", "go", turn_id="t1", parent=fake))
        assert caught.value.field == "parent"
        assert "s2" not in registry.directory.entries


# -- Waiting --------------------------------------------------------------------------------------------


async def test_a_child_may_wait_for_its_session_and_no_longer_than_its_parent_lets_it(
    clock: VirtualClock,
) -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send("s2", turn.text, agent="child", strategy="enqueue", wait_timeout=5))
        except ChildNotStarted as error:
            return f"{error.code} {error}".replace(str(error.turn_id), "x")

    async with opened(team(parent, agent)) as registry:
        await registry.send("s2", "before", agent="child")
        before = await agent.run()
        late = await registry.send("s1", "late")
        assert await late.result() == "CHILD_NOT_STARTED turn x has waited 5 s for its session"
        assert clock.elapsed == pytest.approx(5)
        assert (await late.ended()).children[0].session_id == "s2"
        child = (await registry.session("s2")).recent[-1]
        assert (child.status, child.epoch) == (TurnStatus.CANCELLED, None)
        soon = await registry.send("s1", "soon")
        await clock.advance(4)
        before.finish()
        run = await agent.run()
        await clock.advance(60)
        run.finish("waited")
        assert await soon.result() == "waited"


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_child_that_takes_the_place_of_a_turn_which_does_not_stop_gives_up(
    strategy: str, clock: VirtualClock
) -> None:
    agent = ScriptedAgent(swallows=FOREVER)

    async def parent(turn: Turn) -> None:
        with pytest.raises(ChildNotStarted):
            await turn.send("s2", "go", agent="child", strategy=strategy)

    async with opened(team(parent, agent), cancel_grace=100, child_wait=3) as registry:
        await registry.send("s2", "before", agent="child")
        await agent.run()
        await (await registry.send("s1", "go")).result()
        assert clock.elapsed == pytest.approx(3)
        assert len(agent.runs) == 1


async def test_a_child_that_is_cancelled_while_it_waits_is_an_error_in_its_parent() -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send("s2", "go", agent="child", strategy="enqueue"))
        except TurnCancelled as cancelled:
            return str(cancelled.reason)

    async with opened(team(parent, agent)) as registry:
        await registry.send("s2", "before", agent="child")
        run = await agent.run()
        receipt = await registry.send("s1", "hello")
        await settle()
        (waiting,) = (await registry.session("s2")).queue
        await registry.cancel("s2", waiting.turn_id)
        assert await receipt.result() == "user_request"
        run.finish()


async def test_a_parent_that_is_stopped_takes_back_what_waits() -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> Any:
        return await turn.send("s2", "go", agent="child", strategy="enqueue")

    async with opened(team(parent, agent)) as registry:
        await registry.send("s2", "before", agent="child")
        run = await agent.run()
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert not (await registry.session("s2")).queue
        run.finish("undisturbed")
        await settle()
        assert await statuses(registry, "s1", "s2") == ["cancelled", "completed"]


async def test_a_child_whose_message_joined_another_ones_is_an_error_that_names_that() -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> str | None:
        try:
            return str(await turn.send("s2", "me too", agent="child", strategy="collapse"))
        except TurnMerged as merged:
            return merged.merged_into

    async with opened(team(parent, agent)) as registry:
        await registry.send("s2", "before", agent="child", user="ada")
        run = await agent.run()
        first = await registry.send("s2", "me", agent="child", strategy="collapse", user="ada")
        receipt = await registry.send("s1", "hello", user="ada")
        assert await receipt.result() == first.turn_id
        run.finish()


# -- Slots ----------------------------------------------------------------------------------------------


async def test_a_parent_that_holds_the_only_slot_gets_its_childs_result() -> None:
    async with opened(team(send_on), on_cap="wait", max_in_flight_in_all=1) as registry:
        first, second = await asyncio.gather(
            registry.send("s1", "one", user="ada"), registry.send("s3", "two", user="bob")
        )
        assert await first.result() == "done: one"
        with pytest.raises(TurnFailed):  # the session is ada's
            await second.result()
        child = (await registry.session("s2")).recent[-1]
        assert child.policy.on_cap is OnCap.REFUSE
        assert child.policy.decided("on_cap").layer is Layer.REQUEST


@pytest.mark.parametrize("on_cap", ["wait", "refuse"])
async def test_a_child_counts_with_its_parent_and_not_once_more(on_cap: str) -> None:
    agent = ScriptedAgent()
    caps = {"max_in_flight": 1, "max_in_flight_in_all": 2}
    async with opened(team(send_on, agent), on_cap=on_cap, **caps) as registry:
        receipt = await registry.send("s1", "one", user="ada")
        run = await agent.run()
        assert registry.directory.ledger.in_all.in_flight == 1
        assert await statuses(registry, "s1", "s2") == ["running", "running"]
        other = await registry.send("b", "two", agent="child", user="bob")
        assert other.status is TurnStatus.RUNNING
        run.finish()
        await receipt.result()
        assert registry.directory.ledger.in_all.in_flight == 1


async def test_a_child_is_refused_where_its_agent_has_as_many_turns_as_it_may() -> None:
    async def parent(turn: Turn) -> str:
        try:
            return str(await turn.send("s2", "go", agent="child"))
        except TooManyOfAgent:
            return "full"

    agent = ScriptedAgent()
    async with opened(team(parent, agent), on_cap="wait") as registry:
        registry.layers.say(Layer.AGENT, "child", {"max_of_agent": 1})
        await registry.send("s3", "hello", agent="child")
        run = await agent.run()
        assert await (await registry.send("s1", "go")).result() == "full"
        run.finish()
        await settle()
        receipt = await registry.send("s1", "go")
        child = await agent.run()
        assert registry.directory.ledger.of_agent["child"] == 1
        child.finish("room")
        assert await receipt.result() == "room"
        assert registry.directory.ledger.of_agent["child"] == 0


async def test_a_child_has_its_parents_priority_and_the_policy_of_its_own_agent_and_user() -> None:
    seen: list[Turn] = []

    async def looks(turn: Turn) -> None:
        seen.append(turn)

    async with opened(team(send_on, looks), users={"ada": {"stall_timeout": 9}}) as registry:
        registry.layers.say(Layer.AGENT, "child", {"cancel_grace": 3, "priority": "background"})
        registry.layers.say(Layer.AGENT, "default", {"priority": "interactive", "on_restart": "rerun"})
        await (await registry.send("s1", "go", user="ada")).result()
    policy = seen[0].spec.policy
    assert (policy.cancel_grace, policy.stall_timeout) == (3, 9)
    assert policy.priority is Priority.INTERACTIVE
    assert policy.on_restart == "interrupt"


async def test_a_strategy_that_no_send_may_set_is_refused_and_the_usual_one_is_not() -> None:
    async def parent(turn: Turn) -> str:
        with pytest.raises(PolicyNotAllowed):
            await turn.send("s2", "go", agent="child", strategy="enqueue")
        return str(await turn.send("s2", "go", agent="child"))

    async with opened(team(parent), policy_deny="strategy", multitask_strategy="enqueue") as registry:
        assert await (await registry.send("s1", "go")).result() == "done: go"


# -- A key ------------------------------------------------------------------------------------------------


async def test_a_key_stands_for_one_child_of_the_turn() -> None:
    agent = ScriptedAgent()

    async def parent(turn: Turn) -> tuple[Any, ...]:
        first = await turn.begin("s2", "go", agent="child", key="plan")
        with pytest.raises(InvalidRequest):
            await turn.begin("s2", "go", agent="child", key="plan")
        results = await first.result(), await turn.send("s2", "go", agent="child", key="plan")
        with pytest.raises(SessionError, match="another message"):
            await turn.send("s2", "other", agent="child", key="plan")
        return results

    async with opened(team(parent, agent)) as registry:
        receipt = await registry.send("s1", "go")
        (await agent.run()).finish("planned")
        assert await receipt.result() == ("planned", "planned")
        assert len(agent.runs) == 1
        other = await registry.send("s4", "go")
        (await agent.run()).finish("anew")
        assert await other.result() == ("anew", "anew")


# -- A restart --------------------------------------------------------------------------------------------


async def test_a_parent_that_is_run_again_finds_by_its_key_what_a_child_had_come_to(
    clock: VirtualClock,
) -> None:
    """G11."""
    runs: list[int] = []
    let_go = asyncio.Event()

    async def parent(turn: Turn) -> Any:
        runs.append(turn.attempt)
        found = await turn.send("s2", "plan", agent="child", key="plan")
        await turn.send("s3", "plan", agent="child")
        if turn.attempt == 1:
            await let_go.wait()
        return found

    agents = {"default": Agent(parent, on_restart="rerun"), "child": done}
    journal = SlowJournal()
    async with opened(agents, journal=journal) as registry:
        await registry.send("s1", "go", turn_id="t1", user="ada")
        while len((await registry.turn("s1", "t1")).children) < 2:
            await clock.advance(1.0)
        left = journal.after_a_kill()
    async with opened(agents, journal=left) as registry:
        assert await (await registry.send("s1", "go", turn_id="t1", user="ada")).result() == "done: plan"
        assert [len((await registry.turns(each)).turns) for each in ("s2", "s3")] == [1, 2]
        ended = await registry.turn("s1", "t1")
        assert ended.attempt == 2
        keyed, anew = (await registry.turns("s2")).turns[0], (await registry.turns("s3")).turns[0]
        assert [each.turn_id for each in ended.children] == [keyed.turn_id, anew.turn_id]
        assert keyed.parent == anew.parent == TurnRef(SessionId("s1"), ended.turn_id)
    assert runs == [1, 2]


async def test_a_child_whose_parent_is_gone_ends_as_its_own_policy_says(clock: VirtualClock) -> None:
    """G11."""
    agent, journal = ScriptedAgent(), SlowJournal()
    agents = {"default": Agent(send_on), "child": Agent(agent, on_restart="rerun")}
    async with opened(agents, journal=journal) as registry:
        await registry.send("s1", "go", turn_id="t1", user="ada")
        await agent.run()
        await clock.advance(1.0)
        left = journal.after_a_kill()
        agent.release()
    again = ScriptedAgent()
    agents["child"] = Agent(again, on_restart="rerun")
    async with opened(agents, journal=left) as registry:
        run = await again.run()
        assert (await registry.turn("s1", "t1")).status is TurnStatus.INTERRUPTED
        assert run.turn.spec.parent == TurnRef(SessionId("s1"), TurnId("t1"))
        # It is no one's child any more, and may still not send to where it came from.
        with pytest.raises(OwnLineage):
            await asyncio.create_task(run.turn.send("s1", "back", agent="child"), context=inside(run.turn))
        run.finish("alone")
        again.release()
        await settle()
        assert await statuses(registry, "s2") == ["completed"]
