"""The fixtures of the kit, and that nothing else of it needs pytest."""

import subprocess
import sys
from collections.abc import Awaitable, Callable

from turnkeeper.actors import Turn
from turnkeeper.actors.testing import FakeTurn


async def agent(turn: Turn) -> str:
    return f"{turn.text}?"


async def test_turns_are_made_as_often_as_a_test_wants_them(
    fake_turn: Callable[..., Awaitable[FakeTurn]],
) -> None:
    one, two = await fake_turn("one"), await fake_turn("two", user="ada")
    assert (await one.run(agent), await two.run(agent)) == ("one?", "two?")


def test_the_kit_is_imported_without_pytest_and_the_domain_without_the_kit() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; import turnkeeper.actors; "
        "assert 'turnkeeper.actors.testing' not in sys.modules; "
        "from turnkeeper.actors.testing import FakeTurn, cancel_at_every_await, virtual_time"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
