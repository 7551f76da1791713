"""The figures of a registry, in Prometheus' words."""

import asyncio
import math
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, done, opened, settle
from turnkeeper.actors.metrics.meter import COUNTERS
from turnkeeper.actors.model.words import TERMINAL, Strategy
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.http.problems import Code
from turnkeeper.web.metrics.collector import MetricsCollector

CODES = [code.value for code in Code]


class Scraped:
    """What Prometheus reads of a registry."""

    def __init__(self, registry: SessionRegistry, **more: Any) -> None:
        collector = MetricsCollector(registry, "1.2.3", codes=CODES, **more)
        self.families = {
            family.name: family
            for family in text_string_to_metric_families(generate_latest(collector).decode())
        }
        self.samples = {
            (sample.name.removeprefix("turnkeeper_"), frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def of(self, name: str) -> Iterator[dict[str, str]]:
        """The labels of each sample of that name."""
        return (dict(labels) for found, labels in self.samples if found == name)


async def test_what_there_is_and_what_was_counted_is_shown() -> None:
    agent = ScriptedAgent(swallows=0)
    async with opened({"coder": agent, "writer": done}) as registry:
        before = Scraped(registry)
        assert (before("turns_in_flight"), before("sessions"), before("accepting")) == (0, 0, 1)
        await registry.send("s1", "hello")
        await agent.run()
        await registry.send("s2", "hello", agent="writer")
        stream = await registry.subscribe("s1")
        await settle()
        now = Scraped(registry, streams=lambda: 7)
        assert (now("turns_in_flight"), now("sessions"), now("subscribers"), now("streams")) == (1, 2, 1, 7)
        assert now("turns_total", agent="writer", status="completed", strategy="interrupt") == 1
        assert now("turn_duration_seconds_count", agent="writer") == 1
        assert now("turn_duration_seconds_bucket", agent="writer", le="+Inf") == 1
        assert now("turn_duration_seconds_sum", agent="writer") > 0
        assert now("server_info", version="1.2.3", incarnation=registry.incarnation) == 1
        stream.close()
        await registry.cancel("s1")
        then = Scraped(registry)
        assert then("turns_total", agent="coder", status="cancelled", strategy="interrupt") == 1
        assert then("cancel_latency_seconds_count", agent="coder") == 1
    assert Scraped(registry)("accepting") == 0


async def test_who_waits_for_a_slot_and_what_a_user_s_share_is() -> None:
    agent = ScriptedAgent()
    agents = {
        "default": Agent(agent, on_cap="wait"),
        "urgent": Agent(agent, on_cap="wait", priority="interactive"),
    }
    async with opened(agents, max_in_flight_in_all=4, max_in_flight=3) as registry:
        for n in range(4):
            await registry.send(f"a{n}", "hello", user="ada")
        await registry.send("b0", "hello", user="bob")
        await registry.send("b1", "hello", user="bob", agent="urgent")
        now = Scraped(registry)
        assert (now("slots"), now("slots_held"), now("users_active"), now("user_share")) == (4, 4, 2, 2)
        assert now("turns_waiting", lane="normal", waits_for="user_cap") == 1
        assert now("turns_waiting", lane="interactive", waits_for="server_cap") == 1
        assert sum(now("turns_waiting", **labels) for labels in now.of("turns_waiting")) == 2
        assert now("slot_wait_seconds_count", lane="normal") == 0
        (await agent.run()).finish()
        await settle()
        then = Scraped(registry)
        assert then("slot_wait_seconds_count", lane="interactive") == 1
        assert then("slot_wait_seconds_count", lane="normal") == 0
        assert sum(then("turns_waiting", **labels) for labels in then.of("turns_waiting")) == 1


async def test_whether_the_journal_is_up_and_what_is_not_written_is_shown_where_there_is_one() -> None:
    journal = SlowJournal()
    agent = ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        now = Scraped(registry)
        assert (now("journal_up"), now("appends_not_landed_total")) == (1, 0)
        assert now("journal_unwritten_bytes") == 0
        journal.is_down = True
        run.turn.emit("word", "x" * 1_000)
        run.finish()
        await settle()
        then = Scraped(registry)
        assert (then("journal_up"), then("appends_not_landed_total")) == (0, 1)
        assert then("journal_unwritten_bytes") > 1_000
        journal.is_down = False
    async with opened(done) as registry:
        names = Scraped(registry).families
        assert not {"turnkeeper_journal_up", "turnkeeper_journal_unwritten_bytes"} & set(names)


async def test_a_quarantined_turn_is_counted_and_is_there_until_it_ends() -> None:
    agent = ScriptedAgent(swallows=math.inf)
    async with opened(agent, cancel_grace=0) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        await registry.cancel("s1")
        assert (Scraped(registry)("unresponsive_turns"), Scraped(registry)("unresponsive_total")) == (1, 1)
        run.finish()
        await settle()
        assert (Scraped(registry)("unresponsive_turns"), Scraped(registry)("unresponsive_total")) == (0, 1)


async def test_what_a_turn_has_begun_and_was_given_up_for_is_counted_by_its_kind_until_it_ends() -> None:
    go, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait(60)

    async def agent(turn: Turn) -> None:
        await turn.in_thread(work)

    def left(registry: SessionRegistry) -> dict[str, float]:
        now = Scraped(registry)
        return {kind: now("still_running", kind=kind) for kind in ("tasks", "threads", "processes")}

    async with opened(agent, cancel_grace=0) as registry:
        receipt = await registry.send("s1", "hello")
        await started.wait()
        assert left(registry) == {"tasks": 0, "threads": 0, "processes": 0}
        await registry.cancel("s1")
        assert left(registry) == {"tasks": 0, "threads": 1, "processes": 0}
        go.set()
        while (await registry.turn("s1", receipt.turn_id)).ended_late is None:
            await asyncio.sleep(0)
        assert left(registry) == {"tasks": 0, "threads": 0, "processes": 0}


def test_everything_that_can_happen_stands_there_as_nothing_before_it_has_happened() -> None:
    """A rate needs a first value; and a registry that is not open can be asked, too."""
    scraped = Scraped(SessionRegistry({"coder": done, "writer": done}))
    assert all(scraped(counter.name) == 0 for counter in COUNTERS)
    assert {labels["code"] for labels in scraped.of("refusals_total")} == set(CODES)
    ends = [(labels["status"], labels["strategy"]) for labels in scraped.of("turns_total")]
    assert sorted(ends) == sorted(
        (status, each) for status in TERMINAL for each in Strategy for _ in range(2)
    )
    assert scraped("loop_stalls_total") == 0


def test_what_only_a_server_of_ours_counts_is_left_out_elsewhere() -> None:
    registry = SessionRegistry(done)
    assert not {"turnkeeper_connections", "turnkeeper_streams"} & set(Scraped(registry).families)
    registry.meter.connections = 3
    assert Scraped(registry)("connections") == 3


def test_every_family_has_a_name_of_ours_a_text_and_one_kind() -> None:
    families = Scraped(SessionRegistry(done), streams=int).families
    for name, family in families.items():
        assert re.fullmatch(r"turnkeeper_[a-z_]+", name)
        assert re.fullmatch(r"[A-Z0-9].*\.", family.documentation)
        assert family.type in ("counter", "gauge", "histogram")


async def test_no_text_of_a_user_becomes_a_label() -> None:
    """Their number has a bound, whatever users do."""
    async with opened(done) as registry:
        before = set(Scraped(registry).samples)
        for n in range(20):
            await (await registry.send(f"s{n}", "hello", user=f"u{n}", turn_id=f"t{n}")).ended()
        assert set(Scraped(registry).samples) == before


async def test_a_host_may_register_it_among_its_own() -> None:
    own = CollectorRegistry()
    async with opened(done) as registry:
        own.register(MetricsCollector(registry, "1"))
        assert b"turnkeeper_turns_in_flight 0.0" in generate_latest(own)


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\\b"], ids=ascii)
async def test_the_name_of_an_agent_may_be_any_text(name: str) -> None:
    async def agent(_turn: Turn) -> None: ...

    async with opened({name: agent}) as registry:
        await (await registry.send("s", "hello")).ended()
        assert Scraped(registry)("turn_duration_seconds_count", agent=name) == 1


async def test_tokens_are_counted_by_agent_and_kind_also_of_turns_that_failed() -> None:
    async def agent(turn: Turn) -> None:
        turn.report_usage(input_tokens=5, cached_tokens=2)
        turn.report_usage(input_tokens=1)
        raise ValueError

    async with opened({"coder": agent, "writer": done}) as registry:
        await (await registry.send("s1", "hello")).ended()
        await (await registry.send("s2", "hello", agent="writer")).ended()
        now = Scraped(registry)
        assert now("tokens_total", agent="coder", kind="input") == 6
        assert now("tokens_total", agent="coder", kind="cached") == 2
        assert [each["agent"] for each in now.of("tokens_total")] == ["coder", "coder"]
