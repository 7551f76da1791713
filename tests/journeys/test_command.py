"""Journeys with the real command, in a process of its own, against a real server."""

import json
import re
from pathlib import Path

import pytest

from tests.fakes import FOREVER, ScriptedAgent
from tests.web.command.terminal import CTRL_C, answering, at_terminal, command, http, relay, said
from tests.web.fakes_web import by_token, serving
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.agents.builtin import echo
from turnkeeper.web.command.tables import SESSIONS_COLUMNS

pytestmark = pytest.mark.usefixtures("forks")

ESCAPE = "\x1b"


async def words(turn: Turn) -> None:
    for word in turn.text.split():
        turn.emit("delta", {"text": f"{word} "})


# -- In pipes ---------------------------------------------------------------------------------------


async def test_list_follow_and_stop_what_runs() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        url = house.url("")
        assert (await said("ps", url=url)).out.split() == [
            "SESSION", "USER", "AGENT", "TASK", "SINCE", "RUNS",
        ]  # fmt: skip
        async with command("send", "s1", "hello", url=url) as sending:
            (await agent.run()).turn.emit("delta", {"text": "first words"})
            await sending.until("first words")

            listed = await said("ps", url=url)
            assert re.search(
                r"^s1 +local +default +[0-9a-f]{32} +\d\d:\d\d:\d\d +\d+s$", listed.out, re.MULTILINE
            )
            assert ESCAPE not in listed.out
            listed = json.loads((await said("ps", "--json", url=url)).out)
            assert listed["s1"].keys() >= {"created_at", "task_id", "user", "agent"}

            stopped = await said("cancel", "s1", listed["s1"]["task_id"], url=url)
            assert stopped.code == 0
            assert re.fullmatch(r"cancelled after [\d.]+ ms\n", stopped.out)
            sent = await sending.ended()
        assert (sent.code, sent.out) == (1, "first words\n")
        assert sent.err == "turnkeeper: cancelled: user_request, by local\n"

        nothing = await said("cancel", "s1", url=url)
        assert (nothing.code, nothing.out) == (5, "nothing is running\n")
        assert json.loads((await said("cleanup", "--json", url=url)).out) == ["s1"]


async def test_sessions_are_listed_searched_and_renamed() -> None:
    async with serving(words, authenticate=by_token) as house:
        url, ada = house.url(""), {"token": "ada-token"}
        assert (await said("sessions", url=url, **ada)).out.split() == list(SESSIONS_COLUMNS)
        for session, text in (("s1", "Of the sea"), ("s2", "of mountains"), ("s3", "of rain")):
            await house.sent(session, text, **ada)
        listed = await said("sessions", url=url, **ada)
        assert (listed.code, listed.err) == (0, "")
        assert re.findall(r"^(s\d) +(.+?)  +ada +idle +\d\d:\d\d:\d\d$", listed.out, re.MULTILINE) == [
            ("s3", "of rain"), ("s2", "of mountains"), ("s1", "Of the sea"),
        ]  # fmt: skip

        cut = await said("sessions", "--q", "OF", "--state", "idle", "--limit", "2", "--json", url=url, **ada)
        assert [each["log_id"] for each in json.loads(cut.out)] == ["s3", "s2"]
        assert cut.err == "turnkeeper: there are more than these 2: --limit lists more of them\n"

        renamed = await said("rename", "s2", "My  chat", url=url, **ada)
        assert (renamed.code, renamed.out) == (0, "session s2 is now called My chat\n")
        found = await said(
            "sessions", "--q", "my chat", "--user", "ada", "--json", url=url, token="root-token"
        )
        assert [each["title"] for each in json.loads(found.out)] == ["My chat"]
        assert json.loads((await said("sessions", "--json", url=url, token="bob-token")).out) == []
        assert (await said("rename", "s2", "mine", url=url, token="bob-token")).code == 5
        assert (await said("rename", "s2", "x" * 2_000, url=url, **ada)).code == 2


async def test_an_answer_can_be_piped_and_a_text_come_in() -> None:
    async with serving(words) as house:
        sent = await said("send", "s", "one two", url=house.url(""))
        assert (sent.code, sent.out, sent.err) == (0, "one two \n", "")


async def test_a_stop_of_an_agent_that_ignores_it_ends_with_6() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, cancel_grace=0.05) as house:
        await house.sent("s")
        stopped = await said("cancel", "s", url=house.url(""))

        assert stopped.code == 6
        assert "did not stop: given up after" in stopped.out


async def test_the_token_in_the_environment_says_who_asks() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token) as house:
        await house.sent("s", token="ada-token")
        url = house.url("")
        assert (await said("ps", url=url, token="root-token")).out.splitlines()[1].split()[:2] == ["s", "ada"]
        assert (await said("ps", url=url, token="bob-token")).out.splitlines()[1:] == []

        wrong = await said("ps", url=url, token="wrong")
        assert (wrong.code, wrong.out) == (4, "")
        assert wrong.err.startswith("turnkeeper: the server does not accept the token in TURNKEEPER_TOKEN")
        foreign = await said("send", "s", "hello", url=url, token="bob-token")
        assert (foreign.code, foreign.err.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [http("<h1>It works!</h1>", kind="text/html"), b"SSH-2.0-x\r\n", b"",
     http('{"status": "ok", "incarnation": "1", "version": "9.0.0"}')],
    ids=["a page", "not HTTP", "nothing", "another version"],
)  # fmt: skip
async def test_something_else_on_that_port_is_reported_in_one_line(answer: bytes) -> None:
    async with answering(answer) as (url, _):
        for arguments in (("ps",), ("send", "s", "x"), ("tail", "s")):
            output = await said(*arguments, url=url, token="s3cret")
            assert (output.code, output.out) == (3, "")
            assert re.fullmatch(r"turnkeeper: [^\n]+\n", output.err)


async def test_tail_goes_on_over_a_lost_connection_and_ends_with_the_stream() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent) as house,
        relay(house.port) as between,
        command("tail", "s", "--json", url=between.url) as tailing,
    ):
        await tailing.until('"snapshot"')
        await house.sent("s")
        run = await agent.run()
        run.turn.emit("delta", {"text": "one"})
        await tailing.until('"one"')
        between.cut()
        run.turn.emit("delta", {"text": "two"})
        await tailing.until('"two"')
        await house.post("/chat/s/cancel_send_task")
        output = await tailing.ended()

    events = [json.loads(line) for line in output.out.splitlines()]
    assert [each["event"] for each in events] == [
        "snapshot", "turn.started", "delta", "delta", "turn.cancelled", "close",
    ]  # fmt: skip
    assert output.code == 0
    assert "trying again" in output.err or "connected again" in output.err


async def test_tail_shows_several_sessions_each_until_a_cancel_or_its_close() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, relay(house.port) as between:
        async with command("tail", "a", "longer", "a", url=between.url) as tailing:
            await tailing.until("longer -")
            for session in ("a", "longer"):
                await house.sent(session)
                (await agent.run()).turn.emit("delta", {"text": f"of {session}"})
            await tailing.until("of longer")
            between.cut()
            agent.runs[0].turn.emit("delta", {"text": "connected again"})
            await tailing.until("connected again")
            await house.post("/chat/a/cancel_send_task")
            await tailing.until("Task cancelled")
            agent.last.turn.emit("delta", {"text": "still there"})
            await tailing.until("still there")
            await house.delete("/chat/longer")
            output = await tailing.ended()
        assert output.code == 0
        lines = [line.split(maxsplit=3) for line in output.out.splitlines()]
        assert [name for session, _, name, *_ in lines if session == "a"] == [
            "snapshot", "turn.started", "delta", "delta", "turn.cancelled", "close",
        ]  # fmt: skip
        assert [name for session, _, name, *_ in lines if session == "longer"] == [
            "snapshot", "turn.started", "delta", "delta", "turn.cancelled", "close",
        ]  # fmt: skip
        assert re.search(r"^a      \d+-1 +delta {", output.out, re.MULTILINE)

        kept = await said("tail", "a", "longer", "--no-follow", "--json", url=house.url(""))
        assert {json.loads(line)["log_id"] for line in kept.out.splitlines()} == {"a", "longer"}
        refused = await said("tail", *(f"s{number}" for number in range(40)), url=house.url(""))
        assert (refused.code, refused.out) == (2, "")


async def test_tail_shows_one_turn_from_its_first_event_to_its_last() -> None:
    async with serving(words) as house:
        url = house.url("")
        for task, text in (("t1", "one two"), ("t2", "three")):
            receipt = await house.registry.send("s", text, turn_id=task)
            await receipt.ended()
        for more in ((), ("--no-follow",)):
            shown = await said("tail", "s", "--turn", "t1", *more, url=url)
            assert (shown.code, shown.err) == (0, "")
            events = [re.split(r" +", line)[-2:] for line in shown.out.splitlines()]
            assert len(events) == 5, shown.out
            assert '"t2"' not in shown.out
        for wrong, code in ((("--turn", "t9"), 5), (("--turn", "t1", "--follow"), 2), (("--turn", "a/b"), 2)):
            output = await said("tail", "s", *wrong, url=url)
            assert output.code == code, output
            assert re.fullmatch(r"turnkeeper: [^\n]+\n", output.err)


async def test_tail_shows_what_is_kept_and_exits_when_it_is_not_to_follow() -> None:
    async with serving(words) as house:
        url = house.url("")
        await said("send", "s", "one two", url=url)
        kept = await said("tail", "s", "--no-follow", url=url)
        assert (kept.code, kept.err) == (0, "")
        events = [line.split()[1] for line in kept.out.splitlines()]
        assert events == ["turn.started", "delta", "delta", "turn.completed"]
        cursor = kept.out.splitlines()[2].split()[0]
        rest = await said("tail", "s", "--no-follow", "--after", cursor, "--json", url=url)
        assert [json.loads(line)["event"] for line in rest.out.splitlines()] == ["turn.completed"]


async def test_tail_shows_what_a_turn_says_that_is_edited() -> None:
    image = {"type": "image_url", "image_url": {"url": "A" * 70_000}}
    async with serving(ScriptedAgent()) as house:
        await house.sent("s", task_id="t0")
        await house.sent("s", task_id="t1", multitask_strategy="enqueue")
        async with command("tail", "s", url=house.url("")) as tailing:
            await tailing.until("snapshot")
            edit = {"message": [{"type": "text", "text": "rather this"}, image]}
            assert (await house.patch("/chat/s/turns/t1", json=edit)).status == 200
            await house.delete("/chat/s")
            output = await tailing.ended()
        (edited,) = [line for line in output.out.splitlines() if " turn.edited " in line]
        assert '"by":"local"' in edited
        assert "rather this" in edited
        assert "[image, 70 kB]" in edited


async def test_show_says_why_a_turn_ended() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token) as house:
        url, ask = house.url(""), {"token": "ada-token"}
        assert (await said("show", "s", url=url, **ask)).code == 5
        await house.sent("s", task_id="t1", **ask)
        await agent.run()
        running = await said("show", "s", url=url, **ask)
        assert (running.code, running.err) == (0, "")
        assert re.search(r"^turn t1 runs, for \d+", running.out, re.MULTILINE)
        await house.sent("s", task_id="t2", **ask)
        await house.post("/chat/s/t2/cancel", token="root-token")

        shown = (await said("show", "s", url=url, **ask)).out.splitlines()
        assert shown[0] == "session s of ada is idle; 0 streams are open on it"
        assert re.fullmatch(r"turn t2 ended after \d.*: cancelled: admin, by root", shown[1])
        steps = [line.split(None, 3)[3] for line in shown[3:6]]
        assert steps[:2] == [
            "sent by ada, to the agent default",
            "began to wait (strategy is interrupt, said by the settings)",
        ]
        assert re.fullmatch(r"started, after a wait of \d+(\.\d+)? m?s", steps[2])
        assert re.match(r"t1 +ada +\S+ +.* cancelled: superseded by t2$", shown[-1])

        one = json.loads((await said("show", "s", "t1", "--json", url=url, **ask)).out)
        assert (one["task_id"], one["timeline"][-1]["status"]) == ("t1", "cancelled")
        all_of_it = json.loads((await said("show", "s", "--json", url=url, **ask)).out)
        assert (all_of_it["state"], all_of_it["turn"]["timeline"][0]["step"]) == ("idle", "submitted")
        unknown = await said("show", "s", "t3", url=url, **ask)
        assert (unknown.code, unknown.err) == (5, "turnkeeper: no turn 't3' in this session\n")


async def test_show_says_what_the_turns_wait_for() -> None:
    agent = ScriptedAgent()
    async with serving(agent, on_cap="wait", max_in_flight_in_all=1) as house:
        url = house.url("")
        await house.sent("busy")
        await agent.run()
        await house.sent("s", task_id="t1")
        await house.sent("s", task_id="t2", multitask_strategy="enqueue")
        await house.sent("later", task_id="t1", after_seconds=60)
        assert "turn t1 waits for server_cap; sent" in (await said("show", "s", "t1", url=url)).out
        assert "turn t1 waits for not_before; sent" in (await said("show", "later", "t1", url=url)).out
        others = [line.split()[-3:] for line in (await said("show", "s", url=url)).out.splitlines()[-2:]]
        assert others == [["queued", "for", "server_cap"], ["queued", "for", "session_busy"]]


@pytest.mark.parametrize("setting", CloseOn)
async def test_tail_ends_with_a_cancel_whatever_the_server_is_set_to(setting: CloseOn) -> None:
    async with (
        serving(ScriptedAgent(), close_on=setting) as house,
        command("tail", "s", url=house.url("")) as tailing,
    ):
        await tailing.until("snapshot")
        await house.sent("s")
        await house.post("/chat/s/cancel_send_task")
        told = await tailing.ended()
        assert (told.code, told.err) == (0, "")
        assert "Task cancelled" in told.out


@pytest.mark.parametrize("setting", CloseOn)
async def test_tail_follows_on_after_a_cancel_when_asked_to(setting: CloseOn) -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent, close_on=setting) as house,
        command("tail", "s", "--follow", url=house.url("")) as tailing,
    ):
        await tailing.until("snapshot")
        await house.sent("s")
        await tailing.until("turn.started")
        await house.post("/chat/s/cancel_send_task")
        await tailing.until("Task cancelled")
        await house.sent("s", "again")
        await tailing.until('"again"')
        await house.delete("/chat/s")
        assert (await tailing.ended()).code == 0


async def test_a_reader_that_leaves_ends_tail_quietly_though_nothing_happens() -> None:
    async with serving(ScriptedAgent()) as house, command("tail", "s", url=house.url("")) as tailing:
        await tailing.until("snapshot")
        tailing.process.leave()
        assert tailing.process.stderr is not None
        assert await tailing.process.stderr.read() == b""
        assert await tailing.process.wait() == 141


async def test_a_reader_that_leaves_does_not_stop_the_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        async with command("send", "s", "hello", url=house.url("")) as sending:
            run = await agent.run()
            sending.process.leave()
            assert sending.process.stderr is not None
            assert await sending.process.stderr.read() == b""
            assert await sending.process.wait() == 141
        assert run.cancels == 0


async def test_ctrl_c_ends_a_watch_in_a_pipe_quietly() -> None:
    async with (
        serving(ScriptedAgent()) as house,
        command("ps", "--watch", "--json", url=house.url("")) as watching,
    ):
        await watching.until("{}")
        await house.sent("s")
        await watching.until('"s"')
        watching.interrupt()
        output = await watching.ended()

    assert (output.code, output.err) == (130, "")


@pytest.fixture
def misspelled(tmp_path: Path) -> Path:
    (tmp_path / "t.toml").write_text("prot = 1\n")
    return tmp_path


async def test_a_server_with_a_misspelled_setting_does_not_start_and_says_where_it_is(
    misspelled: Path,
) -> None:
    output = await said("serve", "--config", "t.toml", cwd=misspelled)

    assert (output.code, output.out) == (2, "")
    assert output.err == "turnkeeper: t.toml line 1: there is no setting 'prot'; did you mean port?\n"


# -- At a terminal ----------------------------------------------------------------------------------


async def test_ctrl_c_stops_the_turn_and_the_screen_says_the_truth() -> None:
    async with serving(echo) as house:
        async with at_terminal("send", "s", "one two three " * 30, url=house.url("")) as terminal:
            await terminal.until("two")
            terminal.press(CTRL_C)
            await terminal.until("Ctrl-C again")
            await terminal.until("cancelled after")
            assert await terminal.ended() == 130

        assert (await house.get("/chat/s")).body["turn"]["status"] == "cancelled"


async def test_a_second_ctrl_c_leaves_and_the_screen_says_what_may_still_run() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent) as house, at_terminal("send", "s", "hello", url=house.url("")) as terminal:
        run = await agent.run()
        terminal.press(CTRL_C)
        await run.cancelled.wait()
        terminal.press(CTRL_C)
        assert "may still be running" in await terminal.until("may still be running")
        assert await terminal.ended() == 130


@pytest.mark.parametrize("columns", [24, 60, 120])
async def test_watch_shows_what_comes_and_goes(columns: int) -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, relay(house.port) as between:
        watching = at_terminal("ps", "--watch", "--interval", "0.1", url=between.url, columns=columns)
        async with watching as terminal:
            await terminal.until("nothing is")
            await house.sent("chat-1")
            await terminal.until("chat-1")
            between.open = False
            between.cut()
            await terminal.until("no answer"[: columns - 1])
            terminal.press(CTRL_C)
            assert await terminal.ended() == 130
            assert "\x1b[?25h" in terminal.seen, "the cursor is there again"


async def test_a_terminal_gets_colours() -> None:
    async with serving(words) as house:
        await house.sent("s", "one")
        async with at_terminal("tail", "s", "--after", "0", url=house.url("")) as terminal:
            await terminal.until("turn.completed")
            terminal.press(CTRL_C)
            assert await terminal.ended() == 130
            assert ESCAPE in terminal.seen
