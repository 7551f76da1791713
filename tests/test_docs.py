"""What the docs say is so: their examples run, their tables are the code's."""

import asyncio
import configparser
import importlib.util
import json
import os
import re
import shutil
import signal
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

from tests.fakes import Run, ScriptedAgent
from tests.web.agents.upstream import says, upstream
from tests.web.fakes_web import running, serving, until
from turnkeeper.actors import Receipt, SessionIdTaken, SessionRegistry, Turn, services
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.web import setup

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


@pytest.mark.blocks_the_loop("an app is made anew with a file that is there")
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
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=20)
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
