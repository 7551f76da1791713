"""``GET /metrics`` over real HTTP."""

import asyncio
import sys
import threading

import pytest
from prometheus_client import REGISTRY as GLOBAL
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import ScriptedAgent, done
from tests.web.fakes_web import House, by_token, serving
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import create_app, metrics
from turnkeeper.web.http.mount import MOUNTS


async def scraped(house: House, **ask: str) -> dict[str, float]:
    """What a scraper reads, by name and labels."""
    answer = await house.get("/metrics", **ask)
    assert (answer.status, answer.headers["Content-Type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    ), answer.text
    return {
        f"{sample.name}{sorted(sample.labels.values()) or ''}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_the_figures_are_there_for_a_scraper_with_a_token_of_its_own() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token, metrics=True) as house:
        await house.sent("s", token="ada-token")
        async with house.stream("s", token="ada-token"):
            seen = await scraped(house, token="prometheus-token")
        assert (seen["turnkeeper_turns_in_flight"], seen["turnkeeper_streams"]) == (1, 1)
        assert seen["process_resident_memory_bytes"] > 0
        assert seen["process_open_fds"] > 0


async def test_each_refusal_is_counted_by_its_code() -> None:
    async with serving(done, authenticate=by_token, metrics=True) as house:
        before = await scraped(house, token="prometheus-token")
        await house.get("/metrics")
        await house.get("/chat/s", token="prometheus-token")
        await house.get("/chat/s", token="ada-token")
        await house.post("/chat/s/t/cancel", token="ada-token")
        await house.post("/chat/s/send", token="ada-token", data=b"{", headers={"Expect": "miracles"})
        after = await scraped(house, token="prometheus-token")
    moved = {name for name in after if "refusals" in name and after[name] != before[name]}
    codes = "UNAUTHORIZED", "SCOPE_MISSING", "UNKNOWN_SESSION", "UNKNOWN_TURN", "EXPECTATION_FAILED"
    assert moved == {f"turnkeeper_refusals_total['{code}']" for code in codes}


async def test_a_mount_that_does_not_ask_for_it_has_no_such_path() -> None:
    async with serving(done) as house:
        assert (await house.get("/metrics")).text == "404: Not Found"
    async with serving(done, metrics=True, prefix="/ai") as house:
        assert (await house.get("/metrics")).status == 200
        assert (await house.post("/metrics")).status == 405


def test_an_app_of_its_own_has_it() -> None:
    [mount] = create_app(done)[MOUNTS].values()
    assert mount.scrape is not None
    mount.scrape.close()


async def test_without_the_library_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("collector", "scrape"):
        monkeypatch.delattr(metrics, name, raising=False)
        monkeypatch.delitem(sys.modules, f"turnkeeper.web.metrics.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with serving(done, metrics=True) as house:
        answer = await house.get("/metrics")
        assert (answer.status, answer.code) == (501, "METRICS_NOT_INSTALLED")
        assert "turnkeeper[metrics]" in answer.body["detail"]


async def test_the_global_registry_of_the_library_is_left_alone() -> None:

    def names() -> list[str]:
        return [family.name for family in GLOBAL.collect()]

    before = await asyncio.to_thread(names)
    async with serving(done, metrics=True) as house:
        await scraped(house)
    assert await asyncio.to_thread(names) == before


async def test_the_figures_can_be_seen_while_agents_hold_every_thread_of_the_loop() -> None:
    free = threading.Event()

    async def agent(turn: Turn) -> None:
        turn.emit("begun")
        await asyncio.gather(*(asyncio.to_thread(free.wait, 60) for _ in range(64)))

    async with serving(agent, metrics=True) as house:
        await house.sent("s")
        try:
            assert (await scraped(house))["turnkeeper_turns_in_flight"] == 1
        finally:
            free.set()


async def test_two_mounts_have_figures_of_their_own() -> None:
    async with serving(done, metrics=True) as one, serving(done, metrics=True, prefix="/b") as other:
        await one.sent("s")
        name = "turnkeeper_turns_total['completed', 'default', 'interrupt']"
        assert ((await scraped(one))[name], (await scraped(other))[name]) == (1, 0)
