"""The attacks, what each one waits for, and a program that measures them all and writes a table.

``python -m tests.attacks.figures`` (``--only NAME``, ``--gunicorn``) writes Markdown. Each attack is a
function that measures and says nothing about what is right; the tests beside it hold the aims. All of it is
bounded, runs on 127.0.0.1 only, and uses nothing of turnkeeper but its public names and its command.

What the tests wait for (a test is named by how its name begins):

test_old_clients
    a_stop_ends             ``close_on=cancelled|superseded|never`` as a query and as a setting
    an_eventsource          a small ``retry:`` before an end that invites a reconnect, and only there
    a_reconnect             204 where nothing lies after the cursor of a closed session
    a_cursor                a cursor on an unknown id opens nothing; ``0`` is no gap
    a_message               422 ``INVALID_REQUEST`` for a message without content
    a_turn                  ``began`` in the record, and in a send's answer where it is known
test_old_callers
    message_objects         messages made plain, in one place
    a_message               the same refusal in the process
    a_tool                  ``{"status": "requested"}`` inside the very turn
    no_error_text           the text of `WaitsForItself`
    stopping_a_child        `TurnCancelled` inside a turn
    a_caller, a_parent      nothing: green before, to stay so
test_bad_agents
    an_agent, a_task        SystemExit and KeyboardInterrupt end the turn
    a_blocked_loop          the watchdog: one record a stall; its figures in ``/healthz``
    no_text                 exception texts escaped in the log
    an_expected             a failure of the upstream is a warning without a traceback
    what_cannot_work        signatures looked at in `setup`
test_heavy_messages
    many_parts              ``MESSAGE_TOO_LARGE`` over 1,000 parts; text parts joined; our own request body
    a_large_body            ``max_body`` 16 MiB; 20,000 JSON values counted before decoding
    a_large_message         ``MESSAGE_TOO_LARGE`` over 1 MiB of text; parts over 64 KiB elided
    uploads                 128 MiB of bodies being read in all, then 503
test_long_conversations
    a_turn                  ``context.messages`` copied on first access, and cheaply
    a_conversation, what    1,000 messages or 4 MiB kept; ``omitted`` counts what was dropped
test_connections
    half_open, idle         a cap below the descriptor limit; idle connections closed first near it
    the_soft_limit          raised to the hard one
    who_says_no_more        settings ``keep_alive``, ``header_timeout``, ``body_timeout``
    the_kernel              SO_SNDBUF of streams bounded
    a_half_closed, a_fin    a FIN ends a stream, and nothing else
    cut_connections         nothing: green before, to stay so
test_squatting
    a_reader, an_id         the first send decides the owner; 409 ``SESSION_ID_TAKEN``
    only_an_admin           ``DELETE ?free=true``
    the_server              ``POST /chat``
    what_came               `local_only` refuses proxies, other sites and userinfo
    only_an_allowed         ``serve --allow-origin``
test_workers
    no_cancel               the lock of the workers of one master
    a_turn                  ``TURN_OF_ANOTHER_PROCESS``, and the setting ``single_process``
test_crowds
    one_user                the bounds a user, and their codes
    a_users_list            the index by owner; raises the bounds by ``max_in_flight`` and ``max_sessions``
    no_principal            `HOST` a value of its own
    a_server                nothing: green before, to stay so
test_noise
    noise                   one line at the most for what a peer does wrong
    no_answer               ``Server:`` without versions; ``nosniff`` and ``no-store`` on JSON
    the_debug_log           what ``MR_DEBUG`` logs
    an_end                  nothing: green before, to stay so
"""

import argparse
import asyncio
import importlib
import inspect
import sys
import time
from pathlib import Path
from typing import Any

from tests.attacks.rig import ATTACKS

SUBJECTS = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))


def told(figures: Any) -> str:
    """A named tuple in words."""
    if not hasattr(figures, "_asdict"):
        return str(figures)
    return "; ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in figures._asdict().items())


def shown(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case str():
            return f"`{value}`" if value else "(empty)"
        case int() | float():
            return f"**{value:,}**"
        case list():
            return "[" + ", ".join(map(shown, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) + "}"
        case tuple() if hasattr(value, "_asdict"):
            return f"({told(value)})"
        case _:
            return str(value)


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())[:700]


def measure(only: list[str]) -> None:
    for subject in SUBJECTS:
        importlib.import_module(f"tests.attacks.{subject}")
    subject = ""
    for each in ATTACKS:
        name = each.measure.__name__
        if only and name not in only:
            continue
        if each.measure.__module__ != subject:
            subject = each.measure.__module__
            print(f"\n## {subject.rpartition('.test_')[2].replace('_', ' ')}\n")
            print("| attack | the issue says | case | measured |\n|---|---|---|---|")
        began = time.perf_counter()
        try:
            found = each.measure()
            if inspect.isawaitable(found):
                found = asyncio.run(_result(found))
        except Exception as error:  # noqa: BLE001 - the others are measured all the same
            found = f"could not be measured: {type(error).__name__}: {error}"
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
        rows = found if isinstance(found, dict) else {"": found}
        for number, (case, figures) in enumerate(rows.items()):
            first = (f"`{name}`", each.says) if number == 0 else ("", "")
            print(f"| {first[0]} | {cell(first[1])} | {cell(case)} | {cell(told(figures))} |", flush=True)


async def _result(found: Any) -> Any:
    return await found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every attack and write a table in Markdown.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument(
        "--gunicorn", action="store_true", help="install gunicorn in a folder of its own, and ask it too"
    )
    options = parser.parse_args()
    measure(options.only)
    if options.gunicorn:
        from tests.attacks.test_workers import behind_gunicorn

        print(f"\n`gunicorn -w 2 -k aiohttp.GunicornWebWorker`: {told(behind_gunicorn())}")


if __name__ == "__main__":
    main()
