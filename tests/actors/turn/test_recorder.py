"""What is kept of a turn that does not write its conversation itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FOREVER, ScriptedAgent, done, opened, plain, settle, virtual_time
from turnkeeper.actors.model.exceptions import AgentError, EventNotJson, TurnFailed
from turnkeeper.actors.model.frozen import FrozenDict, FrozenList, frozen
from turnkeeper.actors.model.records import TurnOptions
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.recorder import Reply, Said, recorded
from turnkeeper.actors.turn.turn import Turn

MOST = 1_000


def heard(*texts: Any, most: int = MOST) -> Said:
    said = Said(most)
    for text in texts:
        said.hear({"text": text})
    return said


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str, **marks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **marks}


# -- What was said ------------------------------------------------------------------------------------------


class Text(str):
    """A host's own kind of text."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("not today")

    __str__ = __getitem__ = __len__  # type: ignore[assignment]


class Data(dict[str, Any]):
    """A host's own kind of dict."""

    def get(self, *_: Any) -> Any:
        raise RuntimeError("not today")

    __getitem__ = get


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=9))
def test_the_pieces_of_a_reply_are_joined_as_they_are(pieces: list[str]) -> None:
    said = heard(*pieces, most=10_000)
    assert (said.text, said.is_whole) == ("".join(pieces), True)


def test_line_ends_stay_what_they_are() -> None:
    assert heard("one\r", "\ntwo\r", "three\n").text == "one\r\ntwo\rthree\n"


@pytest.mark.parametrize("data", [None, "text", 5, ["text"], {}, {"text": None}, {"text": 5}, {"word": "x"}])
def test_what_has_no_text_is_not_a_piece(data: Any) -> None:
    said = heard("one")
    said.hear(data)
    assert said.text == "one"


def test_texts_and_data_of_the_hosts_own_kinds_are_taken_for_what_they_say() -> None:
    said = heard(Text("one "))
    said.hear(Data(text="two"))
    assert said.text == "one two"
    assert type(said.text) is str


@pytest.mark.parametrize(
    ("pieces", "kept", "whole"),
    [
        (["12345", "67890"], "1234567890", True),
        (["12345", "67890", ""], "1234567890", True),
        (["12345", "678901"], "1234567890", False),
        (["1234567890", "x", "y"], "1234567890", False),
        (["x" * 100], "x" * 10, False),
        (["12345", "x" * 100, "y"], "12345xxxxx", False),
    ],
)
def test_so_much_of_it_is_taken_and_no_more(pieces: list[str], kept: str, whole: bool) -> None:
    """G8."""
    said = heard(*pieces, most=10)
    assert (said.text, said.is_whole) == (kept, whole)


@pytest.mark.parametrize(
    ("text", "kept", "whole"),
    [
        ("1234567890", "1234567890", True),
        ("12345678901", "1234567890", False),
        ("äöüäö", "äöüäö", True),
        ("äöüäöü", "äöüäö", False),
        ("xäöüäö", "xäöüä", False),
        ("😀😀😀", "😀😀", False),
        ("€€€x", "€€€x", True),
    ],
)
@pytest.mark.parametrize("way", ["said", "returned"])
def test_a_reply_is_cut_off_between_two_characters(text: str, kept: str, whole: bool, way: str) -> None:
    """G8: the bound is one of bytes."""
    reply = Reply(heard(text, most=10), None, 10) if way == "said" else Reply(None, text, 10)
    assert (reply.text, reply.is_whole) == (kept, whole)
    assert len(reply.text.encode()) <= 10


def test_a_returned_text_is_the_reply_only_where_nothing_was_said() -> None:
    assert Reply(heard("said"), "returned", MOST).text == "said"
    assert Reply(heard(""), "returned", MOST).text == "returned"
    assert Reply(None, Text("returned"), MOST).text == "returned"
    assert [Reply(None, result, MOST).text for result in (None, 5, ["x"], {"text": "x"}, b"x")] == [""] * 5


def test_a_text_that_cannot_be_sent_is_made_one_that_can() -> None:
    assert Reply(None, "one \ud83d\ude00 two \ud800", MOST).text == "one 😀 two \ufffd"
    (asked,) = recorded(Changes(0), (), "half \udfff", Reply(None, None, MOST)).add
    assert asked == user("half \ufffd")


# -- The messages -------------------------------------------------------------------------------------------


def test_what_was_said_comes_after_what_was_there_before() -> None:
    before = frozen([user("one"), assistant("two")])
    changes = recorded(Changes(7, (), {"x": 1}), before, "hello", Reply(None, "hi", MOST))
    assert changes == Changes(7, (user("hello"), assistant("hi")), {"x": 1})
    assert [type(each) for each in changes.add] == [FrozenDict, FrozenDict]


def test_a_turn_that_says_nothing_leaves_the_users_message_alone() -> None:
    assert recorded(Changes(0), (), "hello", Reply(None, None, MOST)).add == (user("hello"),)


@pytest.mark.parametrize(
    ("marks", "shown"),
    [
        ({"stopped": True}, {"cut_off": True}),
        ({"stopped": True, "error": "agent_error"}, {"cut_off": True, "error": "agent_error"}),
    ],
)
@pytest.mark.parametrize("text", ["", "one "])
def test_a_reply_that_did_not_come_to_its_end_says_so(marks: Any, shown: Any, text: str) -> None:
    changes = recorded(Changes(0), (), "hello", Reply(heard(text), None, MOST), **marks)
    assert changes.add == (user("hello"), assistant(text, **shown))


def test_a_reply_that_is_too_long_says_so() -> None:
    changes = recorded(Changes(0), (), "hello", Reply(heard("12345", most=2), None, 2))
    assert changes.add[1] == assistant("12", cut_off=True)


IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ("hello", "hello"),
        ([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], "Hello"),
        ([{"type": "text", "text": "look"}, IMAGE], [{"type": "text", "text": "look"}, IMAGE]),
        ([IMAGE], [IMAGE]),
        ([], []),
        ({"command": "go"}, {"command": "go"}),
        (None, None),
    ],
    ids=plain,
)
def test_a_message_is_kept_as_a_text_or_with_all_its_parts(message: Any, content: Any) -> None:
    (asked,) = recorded(Changes(0), (), message, Reply(None, None, MOST)).add
    assert asked == user(content)
    if isinstance(content, list):
        assert type(asked["content"]) is FrozenList


@pytest.mark.parametrize("message", ["hello", [{"type": "text", "text": "look"}, IMAGE]], ids=plain)
def test_a_message_that_is_sent_again_after_a_try_that_brought_nothing_is_kept_once(message: Any) -> None:
    vain = recorded(Changes(3), (), message, Reply(None, None, MOST), stopped=True, error="agent_error").add
    changes = recorded(Changes(9), ("before", *vain), message, Reply(None, "hi", MOST))
    assert changes == Changes(7, (user(message), assistant("hi")))


@pytest.mark.parametrize(
    "before",
    [
        (),
        (user("hello"),),
        (assistant("", cut_off=True),),
        (user("hello"), assistant("par", cut_off=True)),
        (user("hello"), assistant("whole")),
        (user("hello"), assistant("")),
        (user("hello!"), assistant("", cut_off=True)),
        (user("hello"), assistant("", cut_off=True), user("other")),
        ("hello", ""),
        (user("hello"), None),
        (user("hello"), Data(role="assistant", content="x", cut_off=True)),
    ],
    ids=plain,
)
def test_nothing_that_was_said_gives_way_to_a_message(before: Any) -> None:
    changes = recorded(Changes(9), before, "hello", Reply(None, "hi", MOST))
    assert changes.keep == 9


# -- In a turn ----------------------------------------------------------------------------------------------


async def said_in(registry: SessionRegistry, session: str = "s1") -> list[Any]:
    return [*(await registry.messages(session)).messages]


async def streams(turn: Turn) -> str:
    """The agent of the README."""
    for word in turn.text.split():
        turn.emit("delta", {"text": word + " "})
        await turn.checkpoint()
    return "done"


async def yields(turn: Turn) -> AsyncIterator[Any]:
    """The same as a generator, with events that are no text of its reply."""
    yield "progress", {"text": "no"}
    for word in turn.text.split():
        yield word + " "
    yield "delta", {"words": 5}
    yield "delta", "no"


@pytest.mark.parametrize("agent", [streams, yields])
async def test_what_an_agent_says_is_kept_as_the_reply_to_what_the_user_said(agent: Any) -> None:
    async with opened(agent) as registry:
        await (await registry.send("s1", "one two")).ended()
        ended = await (await registry.send("s1", "three")).ended()
        said = await registry.messages("s1")
        assert said.messages == (user("one two"), assistant("one two "), user("three"), assistant("three "))
        assert said.cursor is not None
        assert said.cursor.startswith(f"{ended.epoch}-"), "of the turn that changed it last"


async def test_a_returned_text_is_kept_where_nothing_was_said() -> None:
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == [user("hello"), assistant("done: hello")]


async def test_the_next_turn_finds_what_was_said() -> None:
    async def agent(turn: Turn) -> str:
        return f"{len(turn.context.messages)} messages"

    async with opened(agent) as registry:
        replies = [await (await registry.send("s1", "?")).result() for _ in range(3)]
        assert replies == ["0 messages", "2 messages", "4 messages"]


async def test_data_that_a_turn_has_changed_is_kept_along_with_it() -> None:
    async def agent(turn: Turn) -> int:
        turn.context.data["n"] = turn.context.data.get("n", 0) + 1
        turn.emit("delta", {"text": "x"})
        return int(turn.context.data["n"])

    async with opened(agent) as registry:
        assert [await (await registry.send("s1", "?")).result() for _ in range(2)] == [1, 2]
        assert await said_in(registry) == [user("?"), assistant("x")] * 2


WRITES: dict[str, Any] = {
    "append": lambda context: context.messages.append("mine"),
    "assign": lambda context: setattr(context, "messages", ["mine"]),
    "add": lambda context: setattr(context, "messages", [*context.messages, "mine"]),
    "clear": lambda context: (context.messages.clear(), context.messages.append("mine")),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
async def test_an_agent_that_writes_its_conversation_itself_is_left_alone(write: Any) -> None:
    async def agent(turn: Turn) -> str:
        turn.emit("delta", {"text": "said"})
        write(turn.context)
        return "returned"

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == ["mine"]


async def test_an_agent_that_empties_its_conversation_finds_it_empty_even_if_it_was() -> None:
    async def agent(turn: Turn) -> str:
        turn.context.messages.clear()
        return "There is nothing left."

    async with opened(agent) as registry:
        await (await registry.send("s1", "forget it all")).ended()
        assert await said_in(registry) == []


async def test_what_a_stage_makes_of_a_message_is_what_is_kept_of_it_and_of_the_result() -> None:
    registry = SessionRegistry(done)

    @registry.stage("pre_process_msg")
    def censor(data: dict[str, Any], _context: Any) -> dict[str, Any]:
        return {**data, "message": data["message"].replace("secret", "***")}

    @registry.stage("process_results")
    def shout(data: dict[str, Any], _context: Any) -> dict[str, Any]:
        return {"results": data["results"].upper()}

    async with registry:
        await (await registry.send("s1", "my secret")).ended()
        assert await said_in(registry) == [user("my ***"), assistant("DONE: MY ***")]


async def test_a_turn_in_which_a_stage_writes_the_conversation_is_left_alone() -> None:
    registry = SessionRegistry(done)

    @registry.stage("pre_process_msg")
    def note(data: dict[str, Any], context: Any) -> dict[str, Any]:
        context.messages.append("the stage's")
        return data

    async with registry:
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == ["the stage's"]


# -- Turns that do not come to their end --------------------------------------------------------------------


async def test_a_stopped_turn_keeps_what_had_been_published() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.emit("delta", {"text": "one "})
        await registry.cancel("s1")
        assert await said_in(registry) == [user("hello"), assistant("one ", cut_off=True)]


async def test_a_superseded_turn_keeps_it_before_the_next_one_begins() -> None:
    seen: list[Any] = []
    agent = ScriptedAgent()

    async def looks(turn: Turn) -> None:
        seen.extend(turn.context.messages)

    async with opened({"default": agent, "looks": looks}) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.emit("delta", {"text": "one "})
        await (await registry.send("s1", "no, this", agent="looks")).ended()
        assert seen == [user("hello"), assistant("one ", cut_off=True)]
        assert await said_in(registry) == [*seen, user("no, this")]


async def test_a_turn_that_finished_before_its_cancel_did_is_whole() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        run.turn.emit("delta", {"text": "all of it"})
        run.finish()
        assert (await registry.cancel("s1")).verdict is Verdict.FINISHED_FIRST
        assert await said_in(registry) == [user("hello"), assistant("all of it")]


async def test_a_turn_that_took_too_long_keeps_what_had_been_published() -> None:
    agent = ScriptedAgent()
    async with virtual_time(), opened(agent, turn_timeout=5) as registry:
        receipt = await registry.send("s1", "hello")
        (await agent.run()).turn.emit("delta", {"text": "one "})
        assert (await receipt.ended()).status is TurnStatus.TIMED_OUT
        assert await said_in(registry) == [user("hello"), assistant("one ", cut_off=True)]


async def test_a_turn_that_was_given_up_keeps_what_had_been_published_and_nothing_later() -> None:
    """G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with virtual_time(), opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        run.turn.emit("delta", {"text": "one "})
        _ = run.turn.context.messages
        run.turn.context.data["mine"] = True
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        expected = [user("hello"), assistant("one ", cut_off=True)]
        assert await said_in(registry) == expected
        run.finish("late")
        await settle()
        assert await said_in(registry) == expected
        await registry.send("s1", "go on")
        assert (await agent.run()).turn.context.data == {}, "what it has changed is refused"


async def test_of_one_that_was_given_up_while_it_wrote_its_conversation_itself_nothing_is_kept() -> None:
    """G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with virtual_time(), opened(agent) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.context.messages.append("half")
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        assert await said_in(registry) == []


class Overloaded(AgentError):
    """A provider that has no time."""

    code = "OVERLOADED"
    expected = True


@pytest.mark.parametrize("said", ["", "one "])
async def test_a_failed_turn_keeps_the_message_and_what_had_been_published(said: str) -> None:
    async def agent(turn: Turn) -> None:
        if said:
            turn.emit("delta", {"text": said})
        raise Overloaded

    async with opened(agent) as registry:
        with pytest.raises(TurnFailed):
            await (await registry.send("s1", "hello")).result()
        assert await said_in(registry) == [user("hello"), assistant(said, cut_off=True, error="overloaded")]


async def test_a_message_that_is_tried_again_is_kept_once_however_often_it_failed() -> None:
    async def agent(turn: Turn) -> AsyncIterator[str]:
        if fails:
            raise Overloaded
        yield "hi"

    async with opened(agent) as registry:
        fails = True
        for _ in range(3):
            await (await registry.send("s1", "hello")).ended()
        assert len(await said_in(registry)) == 2
        fails = False
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == [user("hello"), assistant("hi")]
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == [user("hello"), assistant("hi")] * 2


async def test_a_message_that_no_agent_has_seen_is_not_kept() -> None:
    """G3: it may be sent again, as its record says."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "one")
        run = await agent.run()
        waiting = asyncio.ensure_future(registry.send("s1", "two", wait=True))
        await run.cancelled.wait()
        last = asyncio.ensure_future(registry.send("s1", "three", wait=True))
        await settle()
        run.finish("first")
        assert (await (await waiting).ended()).began is False
        receipt = await last
        (await agent.run()).finish("third")
        await receipt.ended()
        assert [each["content"] for each in await said_in(registry)] == ["one", "first", "three", "third"]


async def test_nor_is_one_that_was_stopped_while_a_stage_looked_at_it() -> None:
    """G3."""
    registry, looks = SessionRegistry(done), asyncio.Event()

    @registry.stage("pre_process_msg")
    async def ponder(_data: dict[str, Any], _context: Any) -> dict[str, Any]:
        looks.set()
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    async with registry:
        receipt = await registry.send("s1", "hello")
        await looks.wait()
        await registry.cancel("s1")
        assert (await receipt.ended()).began is False
        assert await said_in(registry) == []


async def test_a_turn_whose_stage_fails_leaves_nothing() -> None:
    registry = SessionRegistry(done)

    @registry.stage("pre_process_msg")
    def refuses(_data: dict[str, Any], _context: Any) -> dict[str, Any]:
        raise Overloaded

    async with registry:
        assert (await (await registry.send("s1", "hello")).ended()).began is False
        assert await said_in(registry) == []


# -- Where it does not record -------------------------------------------------------------------------------


async def test_it_can_be_switched_off() -> None:
    async with opened(streams, record=False) as registry:
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == []


async def test_a_context_that_the_caller_brings_is_the_callers() -> None:
    mine = Context("s1", "ada")
    async with opened(streams) as registry:
        await (await registry.send("s1", "hello", options=TurnOptions(context=mine))).ended()
        assert mine.messages == []
        assert await said_in(registry) == []


async def test_a_host_that_loads_the_conversation_itself_keeps_it_itself() -> None:
    contexts: list[Context] = []

    async def load(session: str, owner: str) -> Context | None:
        return contexts[-1] if contexts else None

    async def save(context: Context) -> None:
        contexts.append(context.copy())

    async with opened(streams, load_context=load, save_context=save) as registry:
        for _ in range(2):
            await (await registry.send("s1", "hello")).ended()
        assert [context.messages for context in contexts] == [[], []]
        assert await said_in(registry) == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_host_that_only_saves_is_given_what_is_recorded(fails: bool) -> None:
    saved: list[Any] = []

    async def save(context: Context) -> None:
        saved.append(context.messages[:])

    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "one "})
        if fails:
            raise Overloaded

    async with opened(agent, save_context=save) as registry:
        for _ in range(2):
            await (await registry.send("s1", "hello")).ended()
        marks = {"cut_off": True, "error": "overloaded"} if fails else {}
        once = [user("hello"), assistant("one ", **marks)]
        assert saved == [once, once * 2]
        assert await said_in(registry) == once * 2


async def test_a_host_that_only_saves_is_given_a_message_that_is_tried_again_once() -> None:
    saved: list[Any] = []

    async def save(context: Context) -> None:
        saved.append(context.messages[:])

    agent = ScriptedAgent()
    async with opened(agent, save_context=save) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        await registry.cancel("s1")
        receipt = await registry.send("s1", "hello")
        (await agent.run()).finish("hi")
        await receipt.ended()
        assert saved == [[user("hello"), assistant("", cut_off=True)], [user("hello"), assistant("hi")]]
        assert await said_in(registry) == saved[-1]


async def test_a_closed_session_keeps_nothing() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.emit("delta", {"text": "one "})
        await registry.close("s1")
        assert await said_in(registry) == []


# -- Bounds -------------------------------------------------------------------------------------------------


async def test_a_reply_that_is_too_long_is_cut_off_and_counted() -> None:
    """G8."""

    async def agent(turn: Turn) -> str:
        for _ in range(int(turn.text)):
            turn.emit("delta", {"text": "12345"})
        return "done"

    async with opened(agent, recorded_reply=10) as registry:
        await (await registry.send("s1", "2")).ended()
        assert (await registry.counts()).counters.get("replies_cut_off_total", 0) == 0
        await (await registry.send("s1", "3")).ended()
        said = await said_in(registry)
        assert [said[1], said[3]] == [assistant("1234512345"), assistant("1234512345", cut_off=True)]
        assert (await registry.counts()).counters["replies_cut_off_total"] == 1


async def test_what_is_recorded_counts_as_kept_and_for_the_bounds_of_the_conversation() -> None:
    """G8."""
    async with opened(done, conversation_messages=3, log_events=1) as registry:
        for n in range(3):
            await (await registry.send("s1", f"{n}" + "x" * 10_000)).ended()
        conversation = await registry.messages("s1")
        assert (len(conversation.messages), conversation.omitted) == (3, 3)
        assert (await registry.counts()).kept > 3 * 10_000
        await registry.close("s1", free=True)
        await settle()
        assert (await registry.counts()).kept == 0


async def test_an_event_that_was_refused_is_not_said() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "one"})
        with pytest.raises(EventNotJson):
            turn.emit("delta", {"text": "\ud800"})
        with pytest.raises(EventNotJson):
            turn.emit("delta", {"text": "two", "more": object()})

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        assert await said_in(registry) == [user("hello"), assistant("one")]
