"""Sessions whose turns wait for a slot: where they stand, how they come by one; none is lost (G8)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, VirtualClock, done, opened, settle, virtual_time, waiting
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.events.event import PLACES
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import PreconditionFailed, SessionLost
from turnkeeper.actors.model.messages import ChangeQueued, Submit
from turnkeeper.actors.model.slots import Standing
from turnkeeper.actors.model.words import Layer, Priority, SessionState, TurnStatus, Verdict, WaitsFor
from turnkeeper.actors.registry import decisions
from turnkeeper.actors.registry.durable import journaled
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.runtime import ReplyTo
from turnkeeper.actors.session.effects import Decision
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import State
from turnkeeper.actors.turn.agent import Agent


def in_use(registry: SessionRegistry) -> tuple[int, int, int]:
    """How many turns are in flight without a slot and with one, and how many wait for one."""
    in_all = registry.directory.ledger.in_all
    return in_all.turns, in_all.slots, in_all.waiting


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with virtual_time() as clock:
        yield clock


@pytest.fixture(params=["memory", "journal"])
def journal(request: pytest.FixtureRequest) -> MemoryJournal | None:
    return MemoryJournal() if request.param == "journal" else None


async def test_beyond_a_cap_a_turn_waits_and_starts_when_there_is_a_slot(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=2) as registry:
        sends = [await registry.send(f"s{n}", "hello", user=f"u{n}") for n in range(4)]
        assert [send.status for send in sends] == [TurnStatus.RUNNING] * 2 + [TurnStatus.QUEUED] * 2
        assert in_use(registry) == (0, 2, 2)
        (queued,) = await registry.queue("s3", user="u3")
        assert (queued.waits_for, queued.standing and queued.standing.waiting) == (WaitsFor.SERVER_CAP, 2)
        (await agent.run()).finish()
        (await agent.run()).finish()
        for _ in sends[2:]:
            (await agent.run()).finish()
        for send in sends:
            await send.result()
        assert in_use(registry) == (0, 0, 0)


async def test_a_receipt_says_where_its_turn_stands_and_so_does_a_retry(
    journal: MemoryJournal | None,
) -> None:
    agent, caps = ScriptedAgent(), {"max_in_flight": 1, "max_in_flight_in_all": 1}
    async with opened(agent, journal=journal, on_cap="wait", **caps) as registry:
        started = await registry.send("s1", "hello", user="ada")
        assert (started.position, started.waits_for, started.standing) == (None, None, None)
        await registry.send("s2", "hello", user="bob")
        await registry.send("s3", "hello", user="ada")
        for repeated in (False, True):
            sent = await registry.send("s4", "hello", user="ada", turn_id="t4")
            assert (sent.repeated, sent.status) == (repeated, TurnStatus.QUEUED)
            assert (sent.position, sent.not_before, sent.standing and sent.standing.position) == (0, None, 2)
            assert sent.waits_for in (WaitsFor.SERVER_CAP, WaitsFor.USER_CAP)
        await registry.cancel("s3")
        standing = (await registry.send("s4", "hello", user="ada", turn_id="t4")).standing
        assert standing is not None
        assert (standing.position, standing.waiting) == (1, 2)


async def test_what_has_its_slot_at_once_waits_only_for_its_start(
    clock: VirtualClock, journal: MemoryJournal | None
) -> None:
    """G3: what is said of it between its slot and its start. No turn of its session comes first."""
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "later", after=60.0)
        stream = await registry.subscribe("s1")
        waiting(stream)
        await clock.advance(61.0)
        await agent.run()
        [places] = [
            each.data["queue"] for each in waiting(stream) if each.name == PLACES and each.data["queue"]
        ]
        assert [(each["position"], each["waits_for"], "standing" in each) for each in places] == [
            (0, "start", False)
        ]
        stream.close()


async def test_the_answers_about_what_has_its_slot_at_once_say_that_it_is_to_start(
    journal: MemoryJournal | None,
) -> None:
    """G3."""
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait") as registry:
        await registry.send("s1", "later", turn_id="t1", after=60.0)
        [moved] = await registry.ask(ChangeQueued("s1", "t1", to="first"))
        assert (moved.position, moved.waits_for, moved.standing) == (0, WaitsFor.START, None)
        assert (await agent.run()).turn.turn_id == "t1"


async def test_a_send_that_has_its_slot_only_once_it_is_called_up_says_that_it_is_to_start(
    monkeypatch: pytest.MonkeyPatch, journal: MemoryJournal | None
) -> None:
    """G3: as where others might have come first, and did not."""
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait") as registry:
        monkeypatch.setattr(Scheduler, "take", lambda *_: False)
        sent = await registry.send("s1", "hello")
        said = (sent.status, sent.position, sent.waits_for, sent.standing)
        assert said == (TurnStatus.QUEUED, 0, WaitsFor.START, None)
        await agent.run()


async def test_a_snapshot_and_a_move_say_where_the_turn_stands_that_is_called_up(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        for name in ("a", "b", "c"):
            await registry.send("s2", name, turn_id=name, strategy="enqueue")
        moved = await registry.ask(ChangeQueued("s2", "c", to="first"))
        assert [(each.turn.turn_id, each.waits_for, each.standing) for each in moved] == [
            ("a", WaitsFor.SERVER_CAP, Standing(WaitsFor.SERVER_CAP, 1, 1)),
            ("c", WaitsFor.SESSION_BUSY, None),
            ("b", WaitsFor.SESSION_BUSY, None),
        ]
        async with aclosing(registry.events("s2")) as events:
            snapshot = (await anext(events)).data
        first, *others = snapshot["queue"]
        assert (first["position"], first["waits_for"]) == (0, "server_cap")
        assert first["standing"] == {"position": 1, "waiting": 1}
        assert not any("standing" in each for each in others)


async def test_a_turn_that_takes_the_place_of_one_that_waits_has_its_ticket(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        first, second = await registry.send("s2", "first"), await registry.send("s2", "second")
        assert (await registry.turn("s2", first.turn_id)).status is TurnStatus.CANCELLED
        assert second.status is TurnStatus.QUEUED
        assert in_use(registry) == (0, 1, 1)
        (await agent.run()).finish()
        run = await agent.run()
        assert run.turn.text == "second"
        run.finish()
        await second.result()
        assert in_use(registry) == (0, 0, 0)


async def test_a_successor_keeps_the_slot_of_the_turn_that_it_takes_the_place_of(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello", user="ada")
        other = await registry.send("s2", "hello", user="bob")
        instead = await registry.send("s1", "instead", user="ada")
        assert instead.status is TurnStatus.RUNNING
        assert (await registry.turn("s2", other.turn_id)).status is TurnStatus.QUEUED
        assert in_use(registry) == (0, 1, 1)


async def test_the_next_of_a_queue_asks_anew_so_that_others_have_their_turn(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "first", user="ada")
        behind = await registry.send("s1", "behind", user="ada", strategy="enqueue")
        await registry.send("s2", "other", user="bob")
        (await agent.run()).finish()
        run = await agent.run()
        assert run.turn.text == "other"
        (queued,) = await registry.queue("s1", user="ada")
        assert (queued.turn.turn_id, queued.waits_for) == (behind.turn_id, WaitsFor.SERVER_CAP)
        run.finish()
        (await agent.run()).finish()
        await behind.result()
        assert in_use(registry) == (0, 0, 0)


async def test_a_stopped_wait_leaves_at_once_and_a_late_grant_is_no_harm(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        await registry.send("s2", "hello")
        assert (await registry.cancel("s2")).verdict is Verdict.CANCELLED
        assert in_use(registry) == (0, 1, 0)
        assert (await registry.session("s2")).state is SessionState.IDLE
        await registry.send("s3", "hello")
        (await agent.run()).finish()
        assert (await agent.run()).turn.session_id == "s3"
        assert in_use(registry) == (0, 1, 0)


async def test_a_close_and_a_shutdown_give_back_what_is_held_and_asked_for(
    journal: MemoryJournal | None,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        await registry.send("s2", "hello")
        await registry.close("s2")
        assert in_use(registry) == (0, 1, 0)
        await registry.send("s3", "hello")
        await registry.drain()
        assert in_use(registry) == (0, 0, 0)


async def test_a_shutdown_lets_no_other_turn_in_and_another_process_goes_on_with_those_that_wait() -> None:
    """G11: a turn that starts now would be cut off at once."""
    agent, journal = ScriptedAgent(), MemoryJournal()
    caps = {"on_cap": "wait", "max_in_flight_in_all": 1, "max_waiting": 1_000}
    async with opened(agent, journal=journal, **caps) as registry:
        for n in range(300):
            await registry.send(f"s{n}", "hello")
        await registry.drain()
    assert len(agent.runs) == 1
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, **caps) as registry:
        await agent.run()
        assert sum([len(await registry.queue(f"s{n}")) for n in range(300)]) == 298
        assert in_use(registry) == (0, 1, 298)


async def test_a_session_whose_actor_failed_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        await registry.send("s2", "hello")

        def fail(*_args: object) -> None:
            monkeypatch.undo()
            raise ZeroDivisionError("a bug of ours")

        run = await agent.run()
        monkeypatch.setattr(decisions, "step", fail)
        run.finish()
        assert (await agent.run()).turn.session_id == "s2"
        await settle()
        assert in_use(registry) == (0, 1, 0)


async def test_a_turn_that_needs_no_slot_makes_room_when_it_fails_with_its_sessions_actor(
    monkeypatch: pytest.MonkeyPatch, journal: MemoryJournal | None
) -> None:
    """At once, and not with the next event."""
    agent = ScriptedAgent()
    agents = {"default": agent, "patient": Agent(agent, on_cap="wait")}
    async with opened(agents, journal=journal, max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        await registry.send("s2", "hello", agent="patient")
        assert in_use(registry) == (1, 0, 1)

        def fail(*_args: object) -> None:
            monkeypatch.undo()
            raise ZeroDivisionError("a bug of ours")

        run = await agent.run()
        monkeypatch.setattr(decisions if journal is None else journaled, "step", fail)
        run.finish()  # with no asker who could be answered, so that the actor fails
        await settle()
        assert in_use(registry) == (0, 1, 0)
        assert agent.last.turn.session_id == "s2"


async def test_turns_that_need_no_slot_count_too_and_make_room_when_they_end() -> None:
    agent = ScriptedAgent()
    agents = {"default": agent, "patient": Agent(agent, on_cap="wait")}
    async with opened(agents, max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        waits = await registry.send("s2", "hello", agent="patient")
        assert (waits.status, in_use(registry)) == (TurnStatus.QUEUED, (1, 0, 1))
        (await agent.run()).finish()
        (await agent.run()).finish()
        await waits.result()
        assert in_use(registry) == (0, 0, 0)


async def test_more_slots_are_given_out_at_once_and_fewer_stop_no_turn(journal: MemoryJournal | None) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        sends = [await registry.send(f"s{n}", "hello", user=f"u{n}") for n in range(5)]
        assert in_use(registry) == (0, 1, 4)
        assert (await registry.set_admission(max_in_flight_in_all=3)).in_flight == 3
        assert in_use(registry) == (0, 3, 2)
        now = await registry.set_admission(max_in_flight_in_all=1)
        assert (now.in_flight, now.active_users, now.share) == (3, 5, 0.2)
        assert now.waiting == {(Priority.NORMAL, WaitsFor.SERVER_CAP): 2}
        for left in ((0, 2, 2), (0, 1, 2), (0, 1, 1)):
            (await agent.run()).finish()
            await settle()
            assert in_use(registry) == left
        agent.release()
        for send in sends:
            await send.result()


async def test_a_policy_that_is_said_anew_lets_those_in_who_waited_for_it() -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight=1) as registry:
        for n in range(3):
            await registry.send(f"s{n}", "hello", user="ada")
        await registry.set_policy(Layer.USER, "ada", {"max_in_flight": 2})
        assert in_use(registry) == (0, 2, 1)
        await registry.set_admission(users={"ada": {}})
        assert in_use(registry) == (0, 2, 1)
        await registry.set_admission(max_in_flight=3)
        assert in_use(registry) == (0, 3, 0)


async def test_very_many_are_let_in_a_few_at_a_time() -> None:
    async with opened(done, on_cap="wait", max_in_flight=1, max_waiting=1_000) as registry:
        registry.directory.ledger.caps.in_all = 0
        sends = [await registry.send(f"s{n}", "hello", user=f"u{n}") for n in range(600)]
        assert in_use(registry) == (0, 0, 600)
        registry.directory.ledger.caps.in_all = 600
        shared = registry._shared
        assert shared is not None
        shared.slots.grant()
        assert in_use(registry) == (0, 250, 350)
        await asyncio.gather(*(send.result() for send in sends))
        assert in_use(registry) == (0, 0, 0)


async def test_a_slot_that_a_send_does_not_need_is_not_lost_with_the_next_one_of_the_same_append() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait") as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        run.finish()
        await settle()
        refused = asyncio.create_task(registry.send("s1", "hello", if_match="another"))
        sending = asyncio.create_task(registry.send("s1", "again"))
        await settle()
        journal.let_go()
        with pytest.raises(PreconditionFailed):
            await refused
        last = await sending
        assert in_use(registry) == (0, 1, 0)
        (await agent.run()).finish()
        await last.result()
        assert in_use(registry) == (0, 0, 0)


async def test_all_slots_are_given_back_that_were_taken_for_a_batch_which_cannot_be_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G8: those of later sends, too."""
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=3) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        run.finish()
        await settle()
        kept = [{"if_match": "another"}, {}, {"turn_id": "fails"}]
        sends = [asyncio.create_task(registry.send("s1", "hello", **more)) for more in kept]
        await settle()
        decide, taken = journaled.step, []

        def fail(state: State, message: Message, now: float, to: ReplyTo) -> Decision:
            if isinstance(message, Submit) and message.spec.turn_id == "fails":
                taken.append(in_use(registry))
                raise ZeroDivisionError("a bug of ours")
            return decide(state, message, now, to)

        monkeypatch.setattr(journaled, "step", fail)
        journal.let_go()
        assert len(await asyncio.gather(*sends, return_exceptions=True)) == 3
        await settle()
        assert taken == [(0, 2, 0)], "one for each of the two sends before it"
        assert in_use(registry) == (0, 0, 0)
        monkeypatch.undo()
        receipt = await registry.send("s1", "hello")
        (await agent.run()).finish()
        await receipt.result()
        assert in_use(registry) == (0, 0, 0)


async def test_a_slot_is_given_back_that_was_taken_for_a_send_which_cannot_be_decided(
    monkeypatch: pytest.MonkeyPatch, journal: MemoryJournal | None
) -> None:
    """G8: its sender is answered, and the session may never be sent anything again."""
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        receipt = await registry.send("s1", "hello")
        (await agent.run()).finish()
        await receipt.result()

        def fail(*_args: object) -> None:
            monkeypatch.undo()
            raise ZeroDivisionError("a bug of ours")

        monkeypatch.setattr(decisions if journal is None else journaled, "step", fail)
        with pytest.raises((ZeroDivisionError, SessionLost)):
            await registry.send("s1", "hello")
        await settle()
        assert in_use(registry) == (0, 0, 0)


async def test_a_slot_that_was_to_be_given_back_behind_what_fails_is_given_back(
    monkeypatch: pytest.MonkeyPatch, journal: MemoryJournal | None
) -> None:
    """G8: the slot of a turn is given back behind the event of its end."""
    agent = ScriptedAgent()
    async with opened(agent, journal=journal, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()

        def fail(*_args: object) -> None:
            monkeypatch.undo()
            raise ZeroDivisionError("a bug of ours")

        monkeypatch.setattr(Performer, "_end_turn", fail)
        run.finish()
        await settle()
        assert in_use(registry) == (0, 0, 0)
