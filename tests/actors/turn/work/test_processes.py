"""Processes of turns: real ones, in groups of their own."""

import asyncio
import signal
import threading
from typing import Any

import pytest
import uvloop

from tests.fakes import opened, settle
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    ProcessNotStarted,
    TooManyProcesses,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.work import group

#: A tool's shell with children of its own: one that ends with SIGTERM, and one that ignores it.
TOOL = 'sleep 1000 & (trap "" TERM; echo ready; sleep 1000; sleep 1000) & wait'


def members(leader: int) -> list[int]:
    """The processes of that group and session that run."""
    return [member.pid for member in group.Table().of(leader) if not member.ended]


async def result_of(registry: SessionRegistry, text: str = "hello") -> Any:
    return await (await registry.send("s1", text)).result()


class Tool:
    """An agent that runs a shell, and says when that is ready."""

    def __init__(self, command: str = TOOL, swallows: bool = False) -> None:
        self.ready = asyncio.Event()
        self.leader = 0
        self._command = command

    async def __call__(self, turn: Turn) -> None:
        async with turn.process("bash", "-c", self._command) as process:
            assert process.stdout is not None
            self.leader = process.pid
            assert await process.stdout.readline() == b"ready\n"
            self.ready.set()
            await process.wait()


async def test_a_stop_is_answered_when_the_shell_and_all_that_it_has_started_are_gone() -> None:
    """G3, G13: also what ignores SIGTERM, which is killed at half of the grace."""
    tool = Tool()
    async with opened(tool, cancel_grace=2.0) as registry:
        await registry.send("s1", "hello")
        await tool.ready.wait()
        assert len(members(tool.leader)) >= 3
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert members(tool.leader) == []


async def test_what_ends_with_sigterm_is_gone_long_before_half_of_the_grace() -> None:
    tool = Tool("sleep 1000 & echo ready; wait")
    async with opened(tool, cancel_grace=1000) as registry:
        await registry.send("s1", "hello")
        await tool.ready.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert members(tool.leader) == []


async def test_jobs_in_groups_of_their_own_are_found_by_their_session() -> None:
    """As in a shell with job control."""
    if not group.HAS_PROC:
        return
    tool = Tool('set -m; (trap "" TERM; echo ready; sleep 1000) & wait')
    async with opened(tool, cancel_grace=2.0) as registry:
        await registry.send("s1", "hello")
        await tool.ready.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert members(tool.leader) == []


async def test_a_turn_that_returns_with_a_process_in_another_task_ends_when_that_is_gone() -> None:
    """G13."""
    tool = Tool()
    tasks: list[asyncio.Future[None]] = []

    async def agent(turn: Turn) -> str:
        tasks.append(asyncio.ensure_future(tool(turn)))
        await tool.ready.wait()
        return "done"

    async with opened(agent, cancel_grace=2.0) as registry:
        assert await result_of(registry) == "done"
        assert members(tool.leader) == []
        await asyncio.wait(tasks)


async def test_a_process_is_as_asyncios() -> None:
    async def agent(turn: Turn) -> Any:
        async with turn.process("cat", stdin=asyncio.subprocess.PIPE) as process:
            said = await process.communicate(b"hello")
        async with turn.process("sh", "-c", "echo $WHO; pwd; exit 3", env={"WHO": "ada"}, cwd="/") as other:
            told = await other.communicate()
        return said, process.returncode, told, other.returncode, await other.wait()

    async with opened(agent) as registry:
        assert await result_of(registry) == ((b"hello", None), 0, (b"ada\n/\n", None), 3, 3)


async def test_what_no_one_reads_holds_nothing_up() -> None:
    """More than a pipe takes, and its writer does not end before that is read."""

    async def agent(turn: Turn) -> str:
        async with turn.process("sh", "-c", "yes; true") as process:
            assert process.stdout is not None
            await process.stdout.readline()
        return "done"

    async with opened(agent) as registry:
        assert await result_of(registry) == "done"


async def test_what_is_left_of_it_is_stopped_where_its_block_ends() -> None:
    """Its shell has ended, and what that has started runs on until then."""
    leaders: list[int] = []

    async def agent(turn: Turn) -> str:
        async with turn.process("bash", "-c", "sleep 1000 >/dev/null & exit 0", stdout=None) as process:
            leaders.append(process.pid)
            assert await process.wait() == 0
            assert members(process.pid) != []
        assert members(process.pid) == []
        return "done"

    async with opened(agent) as registry:
        assert await result_of(registry) == "done"


async def test_a_job_with_a_group_of_its_own_does_not_outlive_the_shell_that_has_ended() -> None:
    """G13: it is of the shell's session."""
    if not group.HAS_PROC:
        return
    leaders: list[int] = []

    async def agent(turn: Turn) -> str:
        async with turn.process("bash", "-c", "set -m; sleep 1000 >/dev/null & exit 0") as process:
            leaders.append(process.pid)
            assert await process.wait() == 0
            assert members(process.pid) != []
        assert members(process.pid) == []
        return "done"

    async with opened(agent) as registry:
        assert await result_of(registry) == "done"


async def test_one_that_ends_by_itself_behind_its_shell_is_no_longer_counted_or_signalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of its group may be another's by then."""

    async def agent(turn: Turn) -> str:
        async with turn.process("bash", "-c", "read line & exit 0", stdin=asyncio.subprocess.PIPE) as process:
            await process.wait()
            process.stdin.close()  # type: ignore[union-attr]
            while turn._host.means.processes.in_all:
                await asyncio.sleep(0.001)
            signalled: list[int] = []
            monkeypatch.setattr("os.killpg", lambda leader, number: signalled.append(leader))
            process.kill()
        return f"{signalled}"

    async with opened(agent) as registry:
        assert await result_of(registry) == "[]"


async def test_a_job_that_goes_on_starting_others_is_killed_with_all_of_them() -> None:
    tool = Tool(
        'set -m; bash -c "trap : TERM; echo ready; while :; do sleep 1000 & sleep 0.001; done" & wait'
    )
    async with opened(tool, cancel_grace=2.0) as registry:
        await registry.send("s1", "hello")
        await tool.ready.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert members(tool.leader) == []


async def test_what_ignores_sigterm_is_killed_where_its_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnkeeper.actors.turn.work.process.TERM_SPAN", 0.05)

    async def agent(turn: Turn) -> Any:
        async with turn.process("sh", "-c", 'trap "" TERM; echo ready; sleep 1000; sleep 1000') as process:
            assert process.stdout is not None
            await process.stdout.readline()
        return process.returncode

    async with opened(agent) as registry:
        assert await result_of(registry) == -signal.SIGKILL


async def test_a_signal_goes_to_the_whole_group() -> None:
    async def agent(turn: Turn) -> Any:
        async with turn.process("bash", "-c", "sleep 1000 & echo ready; wait") as process:
            assert process.stdout is not None
            await process.stdout.readline()
            process.terminate()
            await process.stdout.read()  # to its end: no one holds the pipe any more
            status = await process.wait()
        process.kill()  # too late for anything
        return status

    async with opened(agent) as registry:
        assert await result_of(registry) == -signal.SIGTERM


@pytest.mark.parametrize("argv", [("/nothing/of/that/name",), ("a\0b",), ("/",)])
async def test_a_process_that_cannot_start_is_an_error_of_its_own_and_the_session_goes_on(argv: Any) -> None:
    async def agent(turn: Turn) -> Any:
        if turn.text == "next":
            return "next"
        async with turn.process(*argv):
            return "started"

    async with opened(agent, max_processes=1) as registry:
        for _ in range(2):
            end = await (await registry.send("s1", "hello")).ended()
            assert end.error is not None
            assert (end.status, end.error.code) == ("failed", "process_not_started")
            assert end.error.type == ProcessNotStarted.__name__
        assert await result_of(registry, "next") == "next"


async def test_there_are_only_so_many_of_a_user_and_those_that_are_gone_do_not_count() -> None:
    async def agent(turn: Turn) -> str:
        for _ in range(3):
            async with turn.process("true") as process:
                await process.wait()
        async with turn.process("sleep", "1000"):
            with pytest.raises(TooManyProcesses):
                async with turn.process("true"):
                    pass
        return "done"

    async with opened(agent, max_processes=1) as registry:
        assert await result_of(registry) == "done"
        assert (await registry.counts()).counters["too_many_processes_total"] == 1


@pytest.mark.parametrize(
    ("argv", "options", "field"),
    [
        ((), {}, "argv"),
        ((1,), {}, "argv"),
        (("true",), {"start_new_session": False}, "start_new_session"),
        (("true",), {"preexec_fn": print}, "preexec_fn"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(argv: Any, options: Any, field: str) -> None:
    async def agent(turn: Turn) -> Any:
        with pytest.raises(InvalidRequest) as refused:
            turn.process(*argv, **options)
        return refused.value.field

    async with opened(agent) as registry:
        assert await result_of(registry) == field


async def test_none_is_started_twice_off_the_loop_or_when_the_turn_is_over() -> None:
    turns: list[Turn] = []

    async def start(turn: Turn) -> None:
        async with turn.process("true"):
            pass

    async def agent(turn: Turn) -> str:
        turns.append(turn)
        block = turn.process("true")
        async with block as process:
            await process.wait()
        with pytest.raises(InvalidRequest):
            await block.__aenter__()
        with pytest.raises(WrongThread):
            await asyncio.to_thread(lambda: asyncio.run(start(turn)))
        return "done"

    async with opened(agent) as registry:
        assert await result_of(registry) == "done"
        with pytest.raises(TurnOver):
            await start(turns[0])


async def test_a_cancel_that_comes_while_it_is_being_started_leaves_nothing_of_it() -> None:
    """G13: whenever it comes. The rig looks for what is left."""
    for passes in range(1, 12):

        async def agent(turn: Turn) -> None:
            async with turn.process("sleep", "1000"):
                await asyncio.Event().wait()

        async with opened(agent) as registry:
            await registry.send("s1", "hello")
            await settle(passes)
            assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED


def test_it_holds_on_uvloop_and_off_the_main_thread() -> None:
    async def main() -> None:
        await test_a_stop_is_answered_when_the_shell_and_all_that_it_has_started_are_gone()
        await test_a_process_is_as_asyncios()
        await test_what_is_left_of_it_is_stopped_where_its_block_ends()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    failed: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert failed == []
