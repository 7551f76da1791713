"""What the docs say is so: their examples run, their tables are the code's."""

import ast
import asyncio
import configparser
import importlib.util
import inspect
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from tests.clients.node import IN_NODE, NODE
from tests.fakes import Run, ScriptedAgent
from tests.web import fakes_web
from tests.web.agents.upstream import says, upstream
from tests.web.fakes_web import by_token, running, serving, until
from turnkeeper.actors import Receipt, SessionIdTaken, SessionRegistry, Turn, services, testing
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.testing import FaultCode, VirtualClock, cancel_at_every_await
from turnkeeper.web import REGISTRY, setup

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
README = (ROOT / "README.md").read_text()
JOIN_MESSAGES = (ROOT / "docs/howto/join-messages.md").read_text()
SET_POLICIES = (ROOT / "docs/howto/set-policies.md").read_text()


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_ten_lines_of_the_readme_are_the_example_that_runs() -> None:
    assert (EXAMPLES / "ten_lines.py").read_text() in code_blocks(README, "python")


OPENAI_CLIENT = (EXAMPLES / "openai_client.py").read_text()


def test_what_an_openai_client_does_in_the_readme_is_the_example_that_runs() -> None:
    assert OPENAI_CLIENT in code_blocks(README, "python")


async def test_an_openai_client_talks_to_the_server_as_in_the_readme() -> None:
    async with fakes_web.served() as (_, door):
        program = OPENAI_CLIENT.replace(":8000/", f":{door.port}/")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"one two three\n")


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).is_file()] == []


ROOMS = "actors|events|metrics|model|registry|runtime|session|turn|web"
NAMED = re.compile(rf"`((?:{ROOMS})/[a-z_/]+)(?:\.py)?`")


def test_every_file_that_the_explanations_name_is_there() -> None:
    """Below `actors/`, unless it begins with `web/`; with or without its ending."""
    pages = [page.read_text() for page in (ROOT / "docs/explanation").glob("*.md")]
    named = {name for page in pages for name in NAMED.findall(page)}
    assert len(named) > 20
    paths = {ROOT / (name if name.startswith(("actors/", "web/")) else f"actors/{name}") for name in named}
    assert not {path for path in paths if not path.is_dir() and not path.with_suffix(".py").is_file()}


def test_every_install_line_is_of_the_clone_and_its_extras_exist() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(setup["options.extras_require"])
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    lines = [line for page in pages for line in re.findall(r"pip install[^`\n#]*", page.read_text())]
    for line in lines:
        assert "turnkeeper[" not in line.replace("/turnkeeper[", ""), f"there is no release: {line}"
        named = re.search(r"\[(.+?)\]", line)
        assert named is None or set(named[1].split(",")) <= extras, line
    assert any("[" in line for line in lines)


async def test_the_ten_lines_serve_a_chat_that_streams(aiohttp_client: AiohttpClient) -> None:
    app: web.Application = load(EXAMPLES / "ten_lines.py").app
    client = await aiohttp_client(app)
    await client.post("/chat/s1/send", json={"message": "hello big world"})
    async with client.get("/chat/s1/events", params={"last_event_id": "0"}) as stream:
        text = ""
        while "turn.completed" not in text:
            text += (await stream.content.readuntil(b"\n\n")).decode()
    assert [json.loads(data)["text"] for data in re.findall(r"event: delta\ndata: (.*)", text)] == [
        "hello ",
        "big ",
        "world ",
    ]


async def test_the_in_process_example_stops_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    await load(EXAMPLES / "in_process.py").main()
    said = capsys.readouterr().out
    assert re.search(r"^cancelled after \d+ ms\ncancelled$", said, re.MULTILINE)
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_the_example_for_responses_goes_on_resumes_and_stops(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def agent(turn: Turn) -> None:
        for word in turn.text.split():
            turn.emit("delta", {"text": f"{word} "})
            await asyncio.sleep(3600 if word == "wait" else 0)

    async with serving(agent, speaks=["openai"]) as house:
        await load(EXAMPLES / "responses.py").main(house.url("/v1"))
    assert capsys.readouterr().out == "hello you \nand now more \ncancelled\n"


async def test_the_example_for_chat_completions_prints_the_reply(capsys: pytest.CaptureFixture[str]) -> None:
    async def agent(turn: Turn) -> None:
        assert (turn.session_id, [said["role"] for said in turn.context.messages]) == ("s1", ["system"])
        for word in turn.text.split():
            turn.emit("delta", {"text": f"{word} "})

    async with serving(agent, speaks=["openai"]) as house:
        await load(EXAMPLES / "completions.py").main(house.url("/v1"))
    assert capsys.readouterr().out == "hello you \n"


DRIVES_USE_CHAT = """
import { openChat, saidBefore, stopReply } from "./use_chat.mjs";

const [server, locked] = process.argv.slice(2);
const why = (refused) => refused.then(() => "no error", ({ message }) => message);
const refusals = [
  await why(stopReply(openChat("c1", [], locked), locked)),
  await why(saidBefore("c1", locked)),
];
const chat = openChat("c1", await saidBefore("c1", server), server);
await chat.sendMessage({ text: "first" });
const textOf = ({ parts }) => parts.map(({ text }) => text ?? "").join("");
const saying = async (text, which = chat) => {
  while (textOf(which.lastMessage) !== text) await new Promise(setImmediate);
};
const shown = (message) => [message.role, textOf(message), message.metadata?.status];
const loaded = async () => openChat("c1", await saidBefore("c1", server), server);

const second = chat.sendMessage({ text: "second" });
await saying("so far");
const [reloaded, late] = [await loaded(), await loaded()];
const onLoad = reloaded.messages.map(shown);
const resuming = reloaded.resumeStream();
await saying("so far", reloaded);
const stopped = await stopReply(await loaded(), server);
await Promise.all([second, resuming]);
await late.resumeStream();
const reloads = [reloaded, late].map(({ messages }) => messages.map(shown));

const online = globalThis.fetch;
let lose;
globalThis.fetch = async (...request) => {
  const response = await online(...request);
  const error = new TypeError("network error");
  const line = new TransformStream({ start: (out) => (lose = () => out.error(error)) });
  return new Response(response.body.pipeThrough(line), response);
};
const third = chat.sendMessage({ text: "third" });
await saying("half ");
lose();
await third;
globalThis.fetch = online;
const lost = [textOf(chat.lastMessage), chat.status];
while ((await (await fetch(`${server}/chat/c1`)).json()).state !== "idle");
await chat.resumeStream();

const said = await saidBefore("c1", server);
const before = said.map(shown);
const cutOff = said.filter(({ metadata }) => metadata?.cutOff).map(textOf);
const all = { verdict: stopped.verdict, onLoad, reloads, lost, before, cutOff, refusals };
console.log(JSON.stringify({ ...all, shown: chat.messages.map(shown) }));
"""


@pytest.fixture
def use_chat(tmp_path: Path) -> Path:
    """What drives the example, beside it and the client that it is for."""
    (tmp_path / "use_chat.mjs").write_text((EXAMPLES / "use_chat.js").read_text())
    (tmp_path / "node_modules").symlink_to(ROOT / "tests/clients/node_modules")
    drives = tmp_path / "drives.mjs"
    drives.write_text(DRIVES_USE_CHAT)
    return drives


@IN_NODE
async def test_the_example_for_use_chat_sends_stops_resumes_and_knows_what_was_said(use_chat: Path) -> None:
    async def agent(turn: Turn) -> str | None:
        match turn.text:
            case "first":
                return "done"
            case "second":
                turn.emit("delta", {"text": "so far"})
                await asyncio.sleep(3600)
            case "third":
                turn.emit("delta", {"text": "half "})
                await until(lambda: house.registry.directory.entries["c1"].subscribers)
                await until(lambda: not house.registry.directory.entries["c1"].subscribers)
                turn.emit("delta", {"text": "whole"})
        return None

    async with (
        serving(agent, speaks=["ai-sdk"]) as house,
        serving(speaks=["ai-sdk"], authenticate=by_token) as locked,
    ):
        pipe = asyncio.subprocess.PIPE
        command = (str(NODE), str(use_chat), house.url(""), locked.url(""))
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        out, complaint = await process.communicate()
        assert (process.returncode, complaint.decode()) == (0, "")
    said = json.loads(out)
    assert said["verdict"] == "cancelled"
    assert said["lost"] == ["half ", "error"]
    assert said["shown"] == [
        ["user", "first", None],
        ["assistant", "done", "completed"],
        ["user", "second", None],
        ["assistant", "so far", "cancelled"],
        ["user", "third", None],
        ["assistant", "half whole", "completed"],
    ]
    assert said["onLoad"] == [["user", "first", None], ["assistant", "done", None], ["user", "second", None]]
    assert said["reloads"] == 2 * [[*said["onLoad"], ["assistant", "so far", "cancelled"]]]
    assert said["before"] == [[role, text, None] for role, text, _ in said["shown"]]
    assert said["cutOff"] == ["so far"]
    assert said["refusals"] == 2 * ["a valid token is needed"]


async def test_the_example_follows_several_sessions_until_each_has_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent, said = ScriptedAgent(), list[str]()

    def has_said(text: str) -> bool:
        said.append(capsys.readouterr().out)
        return text in "".join(said)

    async with serving(agent) as house:
        runs: dict[str, Run] = {}
        for session in ("a", "b", "c"):
            await house.sent(session)
            runs[session] = await agent.run()
            runs[session].turn.emit("delta", {"text": f"{session}1"})
        watch = load(EXAMPLES / "several_sessions.py").watch
        watching = asyncio.create_task(watch(house.url(""), ["a", "b"], ["c"]))
        await until(lambda: has_said("b b1\n"))
        assert not has_said("c1")
        runs["a"].finish()
        await until(lambda: has_said("c c1\n"))
        runs["b"].finish()
        runs["c"].finish()
        await watching
    assert "".join(said).count("\n") == 3


async def test_the_example_for_another_framework_streams_stops_and_ends_with_its_app() -> None:
    example = load(EXAMPLES / "another_framework.py")
    app = SimpleNamespace(state=SimpleNamespace())
    async with example.lifespan(app):
        registry = app.state.registry
        sent = await example.send(registry, "s1", "hello big world", "ada")
        text = ""
        async with aclosing(example.events(registry, "s1", "0", "ada")) as stream:
            async for part in stream:
                text += part
                if "turn.completed" in part:
                    break
        assert re.findall(r'^id: \d+-(\d)\nevent: delta\ndata: {"text":"(\w+ )"}\n$', text, re.MULTILINE) == [
            ("1", "hello "),
            ("2", "big "),
            ("3", "world "),
        ]
        stopped = await example.stop(registry, "s1", sent["task_id"], "ada")
        assert stopped == {"status": "finished_first", "settled_after_ms": 0.0}
        with pytest.raises(SessionIdTaken):
            await example.send(registry, "s1", "mine", "bob")
    assert not registry.accepting


async def test_the_mounting_example_has_users_agents_and_routes_of_its_own(
    aiohttp_client: AiohttpClient,
) -> None:
    client = await aiohttp_client(load(EXAMPLES / "mount.py").make_app())
    assert (await client.post("/ai/chat/s1/send", json={"message": "hi"})).status == 401
    ada = {"X-Api-Key": "key-of-ada"}
    for agent in ("default", "shout"):
        answer = await client.post("/ai/chat/s1/send", json={"message": "hi", "agent": agent}, headers=ada)
        assert answer.status == 202
    assert (await (await client.get("/busy")).json()) == {"busy_sessions": 0}
    bob = {"X-Api-Key": "key-of-bob"}
    assert (await client.get("/ai/chat/s1", headers=bob)).status == 404


def test_the_lines_about_a_protocol_of_ones_own_do_what_they_say_pasted_as_they_are() -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    (script,) = code_blocks((ROOT / "docs/howto/own-protocol.md").read_text(), "bash")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    run = f"from aiohttp import web; run = web.run_app; web.run_app = lambda app, **k: run(app, port={port})"
    main = "import runpy; runpy.run_path('docs/examples/own_protocol.py', run_name='__main__')"
    served = f'{sys.executable} -c "{run}; {main}" > /dev/null &'
    script = script.replace("python docs/examples/own_protocol.py &", served).replace("8000", port)
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    *streamed, answers = done.stdout.split("\n\n")
    assert streamed == [f"data: {each}" for each in ('"one "', '"two "', '"three "', '{"end":"completed"}')]
    whole, refused = answers.split("}", 1)
    assert json.loads(whole + "}") == {"text": "one two three "}
    assert json.loads(refused)["oops"] == "INVALID_REQUEST"


@pytest.mark.blocks_the_loop("an app is made anew with a file that is there")
async def test_the_example_of_a_protocol_of_ones_own_says_what_a_stop_came_to() -> None:
    app = load(EXAMPLES / "own_protocol.py").make_app()
    async with running(app, app[REGISTRY]) as house:
        await house.post("/say", json={"chat": "c1", "text": "hello"})
        assert (await house.post("/stop/c1")).body == {"stopped": "not_running"}


async def test_the_chats_of_the_history_example_outlive_its_app(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    example = load(EXAMPLES / "keep_history.py")

    async def answer(client: TestClient[web.Request, web.Application]) -> str:
        sent = await (await client.post("/chat/s1/send", json={"message": "hi"})).json()
        stream = await client.get(f"/chat/s1/turns/{sent['task_id']}/events")
        return await stream.text()

    first = await aiohttp_client(example.make_app(tmp_path / "turnkeeper.db"))
    assert "said 0 things" in await answer(first)
    await first.close()
    second = await aiohttp_client(example.make_app(tmp_path / "turnkeeper.db"))
    assert "said 1 things" in await answer(second)


async def test_the_tutorials_agent_remembers() -> None:
    example = load(EXAMPLES / "parrot.py")
    async with SessionRegistry(example.parrot) as registry:
        assert await (await registry.send("s1", "one")).result() == 1
        assert await (await registry.send("s1", "two")).result() == 2


async def test_the_stages_example_censors_asks_stores_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    example = load(EXAMPLES / "stages.py")
    await example.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "tell me a ****** (searched)"
    assert [line.split()[0] for line in said[1:-1]] == ["submitted", "started", "first_event", "ended"]
    assert said[-1] == "TurnError(code='stage_failed', type='ValueError', stage='pre_process_msg:length')"
    assert example.STORED == ["tell me a ****** (searched)"]


async def test_the_restart_example_goes_on_where_it_was_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    example = load(EXAMPLES / "restart.py")
    await example.main(MemoryJournal())
    *events, reply = capsys.readouterr().out.splitlines()
    assert reply.split() == example.WORDS
    said = [line.split()[1] for line in events if line.startswith("delta ")]
    assert said == example.WORDS
    assert [line for line in events if line.startswith("turn.")] == [
        "turn.started running",
        "turn.interrupted queued",
        "turn.started running",
        "turn.completed completed",
    ]


async def test_the_policies_example_prints_what_its_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    await load(EXAMPLES / "policies.py").main()
    said = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    assert [said] == code_blocks(SET_POLICIES, "text")


def test_the_table_of_policies_is_what_the_code_says() -> None:
    table = load(ROOT / "docs" / "policies_table.py")
    text = table.PAGE.read_text()
    assert text == table.page(text), "run python docs/policies_table.py"


async def test_the_retry_example_sends_once_although_its_first_answer_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sends = 0

    @web.middleware
    async def lossy(request: web.Request, handler: Any) -> Any:
        nonlocal sends
        answer, sends = await handler(request), sends + 1
        if sends == 1:
            assert request.transport is not None
            request.transport.abort()
        return answer

    agent, app = ScriptedAgent(), web.Application(middlewares=[lossy])
    registry = setup(app, agent)
    async with running(app, registry) as house:
        task = await load(EXAMPLES / "retry_safely.py").send_once(house.url(""), "s1", "hello", pause=0.0)
        agent.release()
    assert [run.turn.turn_id for run in agent.runs] == [task]
    assert sends == 2
    lost, found = capsys.readouterr().out.splitlines()
    assert lost.startswith("no answer")
    assert found == "an earlier try had arrived"


async def test_the_example_stops_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    await load(EXAMPLES / "stop_many.py").main()
    assert capsys.readouterr().out.splitlines() == [
        "would stop s2 s4",
        "ada {'cancelled': 3}",
        "bob {'cancelled': 3}",
    ]


async def test_the_example_of_joined_messages_prints_what_its_page_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "collapse.py").main()
    assert [capsys.readouterr().out] == code_blocks(JOIN_MESSAGES, "text")


def test_the_curl_line_about_joined_messages_does_what_it_says(served: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    (line,) = code_blocks(JOIN_MESSAGES, "bash")
    command = line.replace("http://127.0.0.1:8000", served).replace("curl ", "curl -s ")
    statuses = []
    for _ in range(3):
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=60)
        statuses.append(json.loads(done.stdout)["task_status"])
    assert statuses == ["running", "queued", "merged"]


async def test_the_example_of_a_queue_moves_and_clears_it(capsys: pytest.CaptureFixture[str]) -> None:
    await load(EXAMPLES / "queue_messages.py").main()
    assert capsys.readouterr().out.splitlines() == [
        "food queued",
        "rain queued",
        "costs queued",
        "1: The costs?",
        "2: Where to eat?",
        "3: If it rains?",
        "cancelled costs food rain",
    ]


def test_the_curl_lines_about_the_queue_do_what_they_say(served: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    page = (ROOT / "docs" / "howto" / "queue-messages.md").read_text()
    block = page.split("<!-- curl: a test runs these lines -->")[1]
    script = code_blocks(block, "console")[0].replace("127.0.0.1:8000", served).replace("$ ", "")
    done = subprocess.run(
        ["bash", "-eu", "-c", script.replace("curl ", "curl -s ")],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True,
    )  # fmt: skip
    _, food, rain, queue, moved, edited, one, cleared = map(json.loads, done.stdout.splitlines())
    assert (food["position"], food["waits_for"], rain["waits_for"]) == (1, "session_busy", "not_before")
    orders = [[each["task_id"] for each in answer["queue"]] for answer in (queue, moved, edited)]
    assert orders == [["food", "rain"], ["rain", "food"], ["rain", "food"]]
    assert edited["queue"][1]["message"] == "and where to drink?"
    assert (one["verdict"], one["cleared"]) == ("cancelled", [])
    assert (cleared["verdict"], cleared["cleared"]) == ("cancelled", ["food"])


async def test_the_example_of_a_shared_server_serves_who_has_less_before_a_flood(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "share_a_server.py").main()
    waits, done = capsys.readouterr().out.splitlines()
    assert waits.startswith("bob's message is queued and waits for server_cap Standing(")
    assert "position=1, waiting=38" in waits
    found = re.fullmatch(r"it is done; (\d+) of ada's still wait", done)
    assert found is not None
    assert int(found[1]) > 20


async def test_a_flood_ends_by_itself_and_another_user_hardly_waits_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flood, agent = load(EXAMPLES / "flood.py"), ScriptedAgent()
    limits = {"on_cap": "wait", "max_in_flight_in_all": 2, "max_waiting": 20}
    async with serving(agent, authenticate=by_token, **limits) as house:
        monkeypatch.setattr(flood, "URL", f"http://{house.host}")
        monkeypatch.setenv("TURNKEEPER_TOKEN", "ada-token")
        flooding = asyncio.create_task(flood.main(30))
        await until(lambda: house.counted("too_many_waiting_total"))
        await house.post("/chat/b/send", json={"message": "hello", "task_id": "b"}, token="bob-token")
        (await agent.run()).finish()
        await until(lambda: len(agent.runs) == 3)
        assert agent.last.turn.session_id == "b"
        agent.release()
        answers = await flooding
    assert answers == {"running": 2, "queued": 20, "TOO_MANY_WAITING": 8}
    assert "all are over after" in capsys.readouterr().out


async def test_the_example_of_bounds_says_why_each_turn_was_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "bounded.py").main()
    assert capsys.readouterr().out.splitlines() == [
        "babble cancelled budget_exceeded: more than 100 events",
        "hang cancelled stalled: no event for 0.5 s",
        "lonely cancelled client_disconnected: no reader for 0.5 s",
    ]


def test_the_curl_lines_about_bounds_do_what_they_say(served: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    page = (ROOT / "docs" / "howto" / "bound-a-turn.md").read_text()
    block = page.split("<!-- curl: a test runs these lines -->")[1]
    script = code_blocks(block, "console")[0].replace("127.0.0.1:8000", served)
    over = f"until curl -s http://{served}/chat/s2/turns/t2 | grep -q 'ended_at\":[0-9]'; do sleep 0.02; done"
    done = subprocess.run(
        ["bash", "-eu", "-c", script.replace("sleep 2", over)],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True,
    )  # fmt: skip
    stalled = re.search(r"^event: turn.cancelled\ndata: (.+)$", done.stdout, re.MULTILINE)
    assert stalled is not None
    assert json.loads(stalled[1])["reason"] == {"code": "stalled", "by": None, "text": "no event for 0.1 s"}
    abandoned = json.loads(done.stdout.splitlines()[-1])
    assert abandoned["reason"] == {"code": "client_disconnected", "by": None, "text": "no reader for 0.5 s"}


async def test_the_example_of_undoing_leaves_nothing_of_the_turn(capsys: pytest.CaptureFixture[str]) -> None:
    await load(EXAMPLES / "undo.py").main()
    assert capsys.readouterr().out.splitlines() == [
        "True ordered apples ['apples']",
        "['apples', 'ordered apples']",
    ]


async def test_the_example_of_a_protected_step_prints_what_its_page_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "protect.py").main()
    assert capsys.readouterr().out == code_blocks(PROTECT_A_STEP, "text")[0]


async def test_the_example_of_what_a_turn_starts_leaves_nothing_running(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The rig looks for threads, tasks and processes."""
    await load(EXAMPLES / "stop_everything.py").main()
    assert capsys.readouterr().out == code_blocks(STOP_EVERYTHING, "text")[0]


async def test_the_example_of_cleaning_up_leaves_no_call_without_a_result(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "clean_up.py").main()
    answer, said = capsys.readouterr().out.splitlines()
    interrupted = "t1 of ada: cancelled, in ['weather'], said 'Let me see. '"
    assert answer == f"cancelled {[interrupted, 't1 ended: cancelled']}"
    assert [content for role, content in ast.literal_eval(said)] == [
        "How is the weather?",
        None,
        "weather was stopped: user_request",
        "Let me see. ",
    ]


async def test_the_example_of_usage_prints_what_its_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    await load(EXAMPLES / "usage.py").main()
    assert capsys.readouterr().out == code_blocks(REPORT_USAGE, "text")[0]


async def test_the_example_of_parameters_prints_what_its_page_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "parameters.py").main()
    assert capsys.readouterr().out == code_blocks(PASS_PARAMETERS, "text")[0]


async def test_the_example_of_a_turn_that_sends_prints_what_its_page_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "send_from_a_turn.py").main()
    assert capsys.readouterr().out == code_blocks(SEND_FROM_A_TURN, "text")[0]


def test_the_curl_lines_about_undoing_do_what_they_say(served: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    page = (ROOT / "docs" / "howto" / "undo-a-turn.md").read_text()
    block = page.split("<!-- curl: a test runs these lines -->")[1]
    script = code_blocks(block, "console")[0].replace("127.0.0.1:8000", served)
    answers = []
    for command in script.splitlines():
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True
        )
        answers.append(json.loads(done.stdout))
    assert answers[1]["superseded"]["rolled_back"] is True
    assert (answers[2]["status"], answers[2]["rolled_back"]) == ("cancelled", True)


async def test_the_example_with_a_model_answers_and_closes_its_connections(
    aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(says("fine")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        client = await aiohttp_client(load(EXAMPLES / "openai_app.py").make_app())
        await client.post("/chat/s1/send", json={"message": "how are you?", "agent": "noted"})
        async with client.get("/chat/s1/events", params={"last_event_id": "0"}) as stream:
            text = ""
            while "turn.completed" not in text:
                text += (await stream.content.readuntil(b"\n\n")).decode()
        assert re.findall(r"^event: (\w+)$", text, re.MULTILINE) == ["status", "delta", "usage"]
        await client.close()  # the app with it, while the model's server still runs


def test_what_is_not_provided_of_the_old_functions_is_not_there_and_its_replacement_is() -> None:
    text = (ROOT / "docs/reference/differences.md").read_text().split("These are not provided:")[1]
    rows = re.findall(r"^\| `(\w+)[^|]*\| ([^|]+) \|$", text, re.MULTILINE)
    assert {name for name, _ in rows} >= {"cancel_active_response", "run_task", "sse_clients"}
    for name, instead in rows:
        assert not hasattr(services, name)
        for owner, method in re.findall(r"`(?:\w+ = )?(?:await )?(registry|turn|receipt)\.(\w+)\(", instead):
            assert hasattr({"registry": SessionRegistry, "turn": Turn, "receipt": Receipt}[owner], method)


def test_the_settings_page_is_what_the_code_says() -> None:
    table = load(ROOT / "docs" / "settings_table.py")
    assert table.PAGE.read_text() == table.page(), "run python docs/settings_table.py"


def test_the_tables_of_the_http_page_are_what_the_code_says() -> None:
    tables = load(ROOT / "docs" / "http_tables.py")
    text = tables.PAGE.read_text()
    assert text == tables.page(text), "run python docs/http_tables.py"


#: The command, with an echo that takes its time: it still speaks when the next line has been typed, also on
#: a machine that types very slowly.
SERVE = """
import sys
from turnkeeper.web.agents import builtin as agents
from turnkeeper.web.command import cli
agents.WORD_PAUSE = 60.0
sys.exit(cli.main(["serve", "--port", "0", *sys.argv[1:]]))
"""


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a real `turnkeeper serve`, with the options that its parameter has."""
    command = [sys.executable, "-c", SERVE, *getattr(request, "param", ())]
    environ = {**os.environ, "TURNKEEPER_SHUTDOWN_DEADLINE": "3"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split("http://")[1].split("/")[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def test_the_readmes_curl_lines_do_what_it_says(served: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    block = README.split("<!-- curl: a test runs these lines -->")[1]
    script = code_blocks(block, "console")[0].replace("127.0.0.1:8000", served)
    # In the block the stream is followed in the background; here its beginning and its end are waited for.
    follow = "/events > events.txt &\nuntil [ -s events.txt ]; do sleep 0.02; done"
    script = script.replace("/events &", follow) + "\nwait\n"
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True
    )
    sent, listed, again, cancelled, session = map(json.loads, done.stdout.splitlines())
    assert sent["superseded"] is None
    assert list(listed["active_tasks"]) == ["s1"]
    assert again["superseded"] == {**again["superseded"], "task_id": sent["task_id"], "verdict": "cancelled"}
    assert cancelled["status"] == "cancelled"
    assert session["turn"]["status"] == "cancelled"
    events = (tmp_path / "events.txt").read_text()
    assert events.endswith("event: close\ndata: Task cancelled\n\n")
    assert events.count("event: turn.cancelled") == 2


def test_the_curl_lines_of_the_page_on_retries_send_once(served: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    (script,) = code_blocks((ROOT / "docs/howto/retry-safely.md").read_text(), "bash")
    script = script.replace("127.0.0.1:8000", served)
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["task_id"] == second["task_id"]
    assert (first["repeated"], second["repeated"]) == (False, True)


def test_the_curl_lines_of_the_page_on_many_turns_stop_them(served: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    (lines,) = code_blocks((ROOT / "docs/howto/stop-many.md").read_text(), "bash")
    # The agent of this server is called otherwise, and its turns have just been sent.
    lines = lines.replace('"coder"', '"echo"').replace("600", "0").replace("127.0.0.1:8000", served)
    send = f"""curl -s http://{served}/chat/SESSION/send -d '{{"message": "hello"}}'\n"""
    looked, stopped, rest = lines.splitlines()
    script = "\n".join(
        [
            *(send.replace("SESSION", name) for name in "ab"),
            looked,
            stopped,
            send.replace("SESSION", "c"),
            rest,
        ]
    )
    done = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    *_, looked_at, of_coder, _sent, of_all = map(json.loads, done.stdout.splitlines())
    assert (looked_at["matched"], looked_at["dry_run"], looked_at["cancelled"]) == (2, True, 0)
    assert (of_coder["matched"], of_coder["cancelled"]) == (2, 2)
    assert [each["log_id"] for each in of_all["results"]] == ["c"]


@pytest.fixture
def policed(tmp_path: Path) -> None:
    """The file of the page on policies."""
    (text,) = code_blocks(SET_POLICIES, "toml")
    (tmp_path / "turnkeeper.toml").write_text(text)


@pytest.mark.parametrize("served", [["--config", "turnkeeper.toml"]], indirect=True)
def test_the_curl_lines_of_the_page_on_policies_do_what_it_says(policed: None, served: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    (script,) = code_blocks(SET_POLICIES, "bash")
    done = subprocess.run(
        ["bash", "-eu", "-c", script.replace("127.0.0.1:8000", served)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    sent, shown, refused = map(json.loads, done.stdout.splitlines())
    said = {"value": 60.0, "layer": "agent", "name": "echo"}
    assert sent["capped"] == {"turn_timeout": {**said, "capped": 600.0}}
    assert shown["policy"]["turn_timeout"] == {**said, "member": "timeout", "narrow_only": True}
    assert shown["policy"]["queue_limit"]["name"] == "local"
    assert (refused["status"], refused["code"], refused["field"]) == (403, "POLICY_NOT_ALLOWED", "on_restart")


# -- Testing an agent ---------------------------------------------------------------------------------------

PASS_PARAMETERS = (ROOT / "docs" / "howto" / "pass-parameters.md").read_text()
REPORT_USAGE = (ROOT / "docs" / "howto" / "report-usage.md").read_text()
SEND_FROM_A_TURN = (ROOT / "docs" / "howto" / "send-from-a-turn.md").read_text()
STOP_EVERYTHING = (ROOT / "docs" / "howto" / "stop-what-a-turn-starts.md").read_text()
PROTECT_A_STEP = (ROOT / "docs" / "howto" / "protect-a-step.md").read_text()
TEST_YOUR_AGENT = (ROOT / "docs/howto/test-your-agent.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "test_it_repeats_what_it_is_told",
        "test_a_stop_keeps_what_it_had_said",
        "test_it_can_be_stopped_at_any_moment",
    ],
)
async def test_the_tests_of_the_example_of_testing_an_agent_pass(
    name: str, virtual_clock: VirtualClock
) -> None:
    test = getattr(load(EXAMPLES / "test_my_agent.py"), name)
    await (test(virtual_clock) if inspect.signature(test).parameters else test())


async def test_the_page_about_testing_an_agent_shows_the_report_and_every_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await load(EXAMPLES / "hard_to_stop.py").main()
    assert capsys.readouterr().out in code_blocks(TEST_YOUR_AGENT, "text")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", TEST_YOUR_AGENT, re.MULTILINE)
    assert rows == [(str(code), code.meaning) for code in FaultCode]


def test_the_reference_has_every_name_of_a_turn_that_a_guide_uses() -> None:
    guides = "".join(page.read_text() for page in (ROOT / "docs/howto").glob("*.md"))
    guides = guides.replace(TEST_YOUR_AGENT, "")  # its turns are of another kind
    used = {name for name in re.findall(r"\bturn\.([a-z_]+)", guides) if hasattr(Turn, name)}
    reference = (ROOT / "docs/reference/python.md").read_text()
    members = reference.split(".. autoclass:: turnkeeper.actors.Turn\n   :members: ")[1].splitlines()[0]
    assert used <= {*members.split(", ")}, used - {*members.split(", ")}
    assert {"create_task", "in_thread", "process"} <= used


def test_the_reference_has_every_name_of_the_kit() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    missing = [
        name for name in testing.__all__ if not re.search(rf":: .*testing\.{name}$", page, re.MULTILINE)
    ]
    assert not missing


@pytest.mark.parametrize(
    ("file", "agent"),
    [
        ("ag_ui", "echo"),
        ("another_framework", "agent"),
        ("bounded", "hang"),
        ("clean_up", "agent"),
        ("collapse", "answer"),
        ("in_process", "counter"),
        ("keep_history", "count"),
        ("mount", "talk"),
        ("mount", "shout"),
        ("own_protocol", "echo"),
        ("parameters", "agent"),
        ("parrot", "parrot"),
        ("policies", "code"),
        ("protect", "agent"),
        ("queue_messages", "work"),
        ("restart", "write"),
        ("restart", "search"),
        ("restart", "pay"),
        ("share_a_server", "work"),
        ("stages", "agent"),
        ("stop_many", "work"),
        ("ten_lines", "agent"),
        ("undo", "agent"),
        ("usage", "agent"),
    ],
)
async def test_the_agents_of_the_examples_can_be_stopped_at_any_moment(file: str, agent: str) -> None:
    function = getattr(load(EXAMPLES / f"{file}.py"), agent)
    (await cancel_at_every_await(function, "one two three", most_awaits=10)).assert_clean()
