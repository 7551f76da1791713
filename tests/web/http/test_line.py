"""How it is noticed that the peer of a request has gone."""

import asyncio
from typing import Any

from tests.fakes import VirtualClock
from turnkeeper.web.http.line import LINE, LOOK, Hangups


class Transport:
    """One that a test closes."""

    closing = False

    def is_closing(self) -> bool:
        return self.closing


class KeptLine:
    """The line of a server that keeps its connections."""

    on_gone: Any = None

    def stream(self, on_gone: Any) -> None:
        self.on_gone = on_gone

    def end_stream(self) -> None:
        self.on_gone = None


class Request(dict[Any, Any]):
    """A request, as far as it matters here."""

    transport: Any = None


def request_over(transport: Any) -> Any:
    request = Request()
    request.transport = transport
    return request


async def test_a_peer_that_hangs_up_is_noticed_at_the_next_look(virtual_clock: VirtualClock) -> None:
    gone: list[str] = []
    hangups, one, other = Hangups(), Transport(), Transport()
    with (
        hangups.watching(request_over(one), lambda: gone.append("one")),
        hangups.watching(request_over(other), lambda: gone.append("other")),
    ):
        await virtual_clock.advance(10 * LOOK)
        assert gone == []
        one.closing = True
        await virtual_clock.advance(LOOK)
        assert gone == ["one"]
        await virtual_clock.advance(10 * LOOK)
        assert gone == ["one"], "once"
    assert len(hangups) == 0


async def test_nothing_is_looked_at_once_no_request_is_watched(virtual_clock: VirtualClock) -> None:
    gone: list[str] = []
    hangups, transport = Hangups(), Transport()
    with hangups.watching(request_over(transport), lambda: gone.append("it")):
        pass
    transport.closing = True
    await virtual_clock.advance(10 * LOOK)
    assert gone == []
    assert len(hangups) == 0


async def test_a_request_without_a_connection_has_a_peer_that_has_gone() -> None:
    gone = asyncio.Event()
    hangups = Hangups()
    with hangups.watching(request_over(None), gone.set):
        await gone.wait()


async def test_a_server_that_keeps_its_connections_says_so_itself() -> None:
    gone: list[str] = []
    hangups, line = Hangups(), KeptLine()
    request = request_over(Transport())
    request[LINE] = line
    with hangups.watching(request, lambda: gone.append("it")):
        assert len(hangups) == 0, "it is not looked at"
        line.on_gone()
        assert gone == ["it"]
    assert line.on_gone is None


async def test_one_that_is_closed_watches_no_more(virtual_clock: VirtualClock) -> None:
    gone: list[str] = []
    hangups, transport = Hangups(), Transport()
    with hangups.watching(request_over(transport), lambda: gone.append("it")):
        hangups.close()
        transport.closing = True
        await virtual_clock.advance(10 * LOOK)
    assert gone == []
