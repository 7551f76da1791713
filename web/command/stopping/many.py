"""Many turns are found, shown and stopped: those that were shown and no others, some at a time."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnkeeper.web.client.client import Client
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.command.outcomes import cancel_exit_code, still_running_of
from turnkeeper.web.command.screen import Screen

from .tables import found_table, outcomes_table

Turn = Mapping[str, Any]
#: How many turns one request stops, and how many requests are made at a time.
CHUNK, AT_ONCE = 100, 5


async def stop_many(
    client: Client,
    screen: Screen,
    filters: Mapping[str, Any],
    *,
    queue: str | None,
    force: bool,
    dry_run: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> ExitCode:
    """Stop the turns that the filters let through; ``dry_run``: only show them.

    If they are several, a person at a terminal is asked first, unless ``yes``. ``queue`` is what
    becomes of those that wait and were not found: ``keep`` or ``clear``. ``force``, for admins, waits for no
    step that must not be interrupted. Raises `ClientError`.
    Cancelling it leaves those running that were not asked to stop.
    """
    await client.hello()
    found = await client.cancel_many(dry_run=True, **filters)
    turns: list[Turn] = found["results"]
    if found["truncated"]:
        screen.note(f"{found['truncated']} more match: run it again for them")
    if dry_run or not turns:
        _show(screen, {**found, "dry_run": dry_run}, None if not turns else found_table, as_json=as_json)
        if not turns:
            screen.note("there are no such turns")
        return ExitCode.OK if turns else ExitCode.UNKNOWN
    if len(turns) > 1 and not yes and _is_attended():
        if not as_json:
            screen.table(found_table(turns, screen.width))
        if not await _agreed(f"Stop these {len(turns)} turns?"):
            screen.note("nothing was stopped")
            return ExitCode.FAILED
    with screen.progress("stopping") as progress:
        turns = await _stopped(client, turns, progress, wait=wait, queue=queue, force=force)
    cancelled = sum(each["verdict"] == "cancelled" for each in turns)
    answer = {**found, "dry_run": False, "cancelled": cancelled, "results": turns}
    if left := still_running_of(turns):
        answer["still_running"] = left
    _show(screen, answer, outcomes_table, as_json=as_json)
    return exit_code_of(turns, waited=wait)


def _show(
    screen: Screen, answer: Turn, table: "Callable[[Sequence[Turn], int], Any] | None", *, as_json: bool
) -> None:
    if as_json:
        screen.json(answer)
    elif table is not None:
        screen.table(table(answer["results"], screen.width))


async def _stopped(
    client: Client,
    turns: Sequence[Turn],
    progress: Callable[[int, int], None],
    *,
    wait: bool,
    queue: str | None,
    force: bool,
) -> list[Turn]:
    """The turns with what came of each; as they were found if they have ended meanwhile."""
    outcomes: dict[tuple[str, str], Turn] = {}
    forced = {"force": True} if force else {}  # an older server does not know it
    chunks = iter([turns[start : start + CHUNK] for start in range(0, len(turns), CHUNK)])
    done = 0

    async def stop_some() -> None:
        nonlocal done
        for chunk in chunks:
            named = [{"log_id": each["log_id"], "task_id": each["task_id"]} for each in chunk]
            answer = await client.cancel_many(turns=named, wait=wait, queue=queue, **forced)
            outcomes.update({_name(each): each for each in answer["results"]})
            done += len(chunk)
            progress(done, len(turns))

    progress(0, len(turns))
    stopping = [asyncio.ensure_future(stop_some()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*stopping)
    finally:
        for each in stopping:
            each.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)
    return [outcomes.get(_name(each), each) for each in turns]


def _name(turn: Turn) -> tuple[str, str]:
    return turn["log_id"], turn["task_id"]


def exit_code_of(turns: Sequence[Turn], *, waited: bool) -> ExitCode:
    """The exit code of a bulk cancel with these outcomes: that of the worst of them."""
    codes = {_exit_code_of(each, waited=waited) for each in turns}
    worst = ExitCode.UNRESPONSIVE, ExitCode.FAILED
    return next((code for code in worst if code in codes), ExitCode.OK)


def _exit_code_of(turn: Turn, *, waited: bool) -> ExitCode:
    if turn["verdict"] is None:
        return ExitCode.FAILED if turn.get("error") else ExitCode.OK
    return cancel_exit_code(turn, waited=waited)


def _is_attended() -> bool:
    """Whether a person can be asked: both the input and where the question is put are a terminal."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


async def _agreed(question: str) -> bool:
    """Whether the person at the terminal says yes. Ctrl-C is heard meanwhile."""
    loop, number = asyncio.get_running_loop(), sys.stdin.fileno()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    typed: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        loop.remove_reader(number)
        typed.set_result(sys.stdin.readline())

    try:
        loop.add_reader(number, read)
    except NotImplementedError:  # a loop that cannot watch it
        line = await asyncio.to_thread(sys.stdin.readline)
    else:
        try:
            line = await typed
        finally:
            loop.remove_reader(number)
    return line.strip().casefold() in ("y", "yes")
