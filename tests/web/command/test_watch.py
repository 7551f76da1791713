import asyncio
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import virtual_time
from tests.web.command.fake_terminal import Tty
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import ClientError, Refused, Unreachable
from turnkeeper.web.command.screen import Screen
from turnkeeper.web.command.watch import watch

TURN = {"created_at": 1.0, "task_id": "t", "user": "ada", "agent": "default"}


class Scripted(Client):
    """A client that gets these lists one after the other, and then none any more."""

    def __init__(self, *answers: dict[str, Any] | ClientError) -> None:
        super().__init__("http://127.0.0.1:1")
        self._answers = list(answers)
        self.asked = 0

    async def hello(self) -> dict[str, Any]:
        return {}

    async def busy(self) -> dict[str, Any]:
        self.asked += 1
        if not self._answers:
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, ClientError):
            raise answer
        return answer


async def watched(client: Scripted, screen: Screen, *, as_json: bool = False) -> None:
    """Watch until the client has nothing more to say."""
    async with virtual_time() as clock:
        watching = asyncio.ensure_future(watch(client, screen, 1.0, as_json=as_json))
        await clock.advance(100)
        if watching.done():
            await watching
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def piped() -> tuple[io.StringIO, io.StringIO, Screen]:
    out, err = io.StringIO(), io.StringIO()
    return out, err, Screen(out, err)


async def test_a_pipe_gets_the_list_when_it_has_changed() -> None:
    out, _, screen = piped()
    client = Scripted({}, {}, {"s": TURN}, {"s": TURN}, {})
    await watched(client, screen, as_json=True)

    assert client.asked == 6
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [{}, {"s": TURN}, {}]


async def test_a_lost_connection_is_reported_once_and_retried() -> None:
    out, err, screen = piped()
    gone = Unreachable("gone")
    await watched(Scripted({}, gone, gone, {"s": TURN}, gone, {}), screen)

    assert err.getvalue() == "turnkeeper: gone; trying again\n" * 2
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["SESSION", "SESSION", "s", "SESSION"]


@pytest.mark.parametrize(
    ("answers", "asked"), [((Unreachable("gone"),), 1), (({}, Refused(401, "UNAUTHORIZED", "no")), 2)]
)
async def test_a_server_that_is_not_there_or_refuses_ends_the_watch(
    answers: tuple[Any, ...], asked: int
) -> None:
    client = Scripted(*answers)
    with pytest.raises(ClientError):
        await watched(client, piped()[2])
    assert client.asked == asked


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.delitem(sys.modules, "turnkeeper.web.command.rich_terminal", raising=False)
    for name in ["rich", *(name for name in sys.modules if name.startswith("rich."))]:
        monkeypatch.setitem(sys.modules, name, None)
    return lambda: None


@pytest.mark.usefixtures("without_rich")
async def test_without_rich_a_terminal_gets_the_list_when_it_has_changed_and_a_hint() -> None:
    out, err = Tty(), io.StringIO()
    await watched(Scripted({}, {}, {"s": TURN}), Screen(out, err))

    assert "pip install 'turnkeeper[cli]'" in err.getvalue()
    assert err.getvalue().count("\n") == 1
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["SESSION", "nothing", "SESSION", "s"]
