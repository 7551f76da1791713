import pytest

from tests.fakes import opened, read_to_end
from tests.web.audit.test_upstream import a_model
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.web.agents.load import load_agents
from turnkeeper.web.audit.agent import AGENT, UPSTREAM_VARIABLE, model
from turnkeeper.web.audit.log import RequestEnd
from turnkeeper.web.audit.plan import message
from turnkeeper.web.audit.tokens import TOKEN


def test_the_command_finds_it_by_its_name() -> None:
    assert load_agents(AGENT) == {"default": model}


async def test_it_streams_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_model() as upstream, opened(model) as registry:
        monkeypatch.setenv(UPSTREAM_VARIABLE, upstream.base)
        subscription = await registry.subscribe("s")
        await (await registry.send("s", message("s", 0))).ended()
        await registry.close("s")
        events = await read_to_end(subscription)
        text = "".join(event.data["text"] for event in events if event.name == "delta")
        assert [k for _, k in TOKEN.findall(text)] == list("01234")


async def test_a_cancel_is_answered_when_it_has_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_model() as upstream, opened(model) as registry:
        monkeypatch.setenv(UPSTREAM_VARIABLE, upstream.base)
        subscription = await registry.subscribe("s")
        await registry.send("s", message("s", 1))
        async for event in subscription.events():
            if event.name == "delta":
                break
        answer = await registry.cancel("s")
        assert answer.verdict is Verdict.CANCELLED
        upstream.upstream.close()  # what had not ended by now, would be AUDIT_OVER
        subscription.close()
        assert upstream.log.requests[0].end is RequestEnd.CLIENT_LEFT


async def test_a_model_that_refuses_fails_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_model() as upstream, opened(model) as registry:
        monkeypatch.setenv(UPSTREAM_VARIABLE, upstream.base + "/nowhere")
        receipt = await registry.send("s", message("s", 0))
        record = await receipt.ended()
        assert record.status is TurnStatus.FAILED
        assert record.error is not None
        assert record.error.type == "ClientResponseError"
