import pytest

from tests.fakes import names, opened, read_to_end, settle, virtual_time
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.testing import cancel_at_every_await
from turnkeeper.web.agents import builtin as agents
from turnkeeper.web.agents.builtin import echo, stubborn


async def test_echo_streams_the_message_back_word_by_word_and_remembers_it() -> None:
    async with virtual_time() as clock, opened(echo) as registry:
        subscription = await registry.subscribe("s")
        receipt = await registry.send("s", "one two\nthree ")
        assert await receipt.result() == "one two\nthree "
        assert clock.elapsed == pytest.approx(3 * agents.WORD_PAUSE, abs=0.1)
        await registry.close("s")
        events = await read_to_end(subscription)

    words = [event.data["text"] for event in events if event.name == "delta"]
    assert words == ["one ", "two\n", "three "]
    assert names(events)[-2:] == ["turn.completed", "close"]


async def test_echo_has_nothing_to_say_to_nothing() -> None:
    async with opened(echo) as registry:
        assert await (await registry.send("s", [{"type": "image", "url": "x"}])).result() == ""


async def test_echo_that_is_stopped_keeps_what_it_had_said_as_cut_off() -> None:
    async with virtual_time() as clock, opened(echo) as registry:
        await registry.send("s", "one two three")
        await clock.advance(agents.WORD_PAUSE * 1.5)
        answer = await registry.cancel("s")
        assert answer.verdict is Verdict.CANCELLED
        assert (await registry.messages("s")).messages == (
            {"role": "user", "content": "one two three"},
            {"role": "assistant", "content": "one ", "cut_off": True},
        )


async def test_stubborn_does_not_listen_and_ends_by_itself() -> None:
    async with virtual_time() as clock, opened(stubborn) as registry:
        receipt = await registry.send("s", "hello")
        answer = await registry.cancel("s")
        assert answer.verdict is Verdict.UNRESPONSIVE
        await clock.advance(61)
        await settle()
        record = await registry.turn("s", receipt.turn_id)

    assert record.ended_late is not None
    assert record.ended_late.outcome is TurnStatus.COMPLETED


async def test_echo_can_be_stopped_at_any_moment_and_stubborn_at_none() -> None:
    (await cancel_at_every_await(echo, "one two three")).assert_clean()
    assert (await cancel_at_every_await(stubborn)).codes == ("unresponsive",)
