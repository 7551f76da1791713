"""Request bodies on their way in: how much of them is read, and what is refused before it is decoded."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import done
from tests.web.fakes_web import Answer, House, any_json, read_answer, running, serving, until
from turnkeeper.actors.metrics.meter import (
    BODIES_OF_MANY_VALUES,
    BODIES_TOO_LARGE,
    TOO_MANY_UPLOADS,
    UPLOADS_FULL,
    Counter,
    Meter,
)
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.web.http.mount import problem_response
from turnkeeper.web.http.problems import Problem
from turnkeeper.web.http.settings import WebSettings
from turnkeeper.web.http.uploads import SMALL, UNCOUNTED, Uploads, values_in

PLENTY = 10**9

# -- How many values --------------------------------------------------------------------------------


def counted(value: Any) -> int:
    """How many values there are, as decoded."""
    match value:
        case list():
            return 1 + sum(map(counted, value))
        case dict():
            return 1 + sum(map(counted, value.values()))
        case _:
            return 1


#: Texts of what means something in JSON outside of texts, and of what ends them.
nasty_texts = st.text(st.sampled_from('"\\,:[]{}n \n\té\ud800😀'))
nasty_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | nasty_texts,
    lambda inner: st.lists(inner) | st.dictionaries(nasty_texts, inner),
)


@given(any_json | nasty_json, st.booleans(), st.sampled_from([None, 0, 3, "\t"]))
def test_the_values_in_a_body_are_as_many_as_there_are_when_it_is_decoded(
    value: Any, ascii_only: bool, indent: Any
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    body = text.encode(errors="surrogatepass")
    values = counted(value)
    assert values_in(body, PLENTY) == values_in(bytearray(body), values) == values
    assert values_in(body, values - 1) > values - 1


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"1", 1),
        (b"[]", 1),
        (b" [ \n] ", 1),
        (b"{ }", 1),
        (b"[[],{},[{}]]", 5),
        (b'["\\\\"]', 2),
        (b'["\\\\\\"", "\\"[1,2]"]', 3),
        (b'{"a,[": {"\\"": 1}}', 3),
    ],
)
def test_values_are_counted_beside_strings_and_escapes(body: bytes, values: int) -> None:
    assert values_in(body, PLENTY) == values


@given(st.text('"\\,[]{}:1a '), st.integers(0, 50))
def test_what_a_decoder_reads_before_it_notices_is_counted(text: str, most: int) -> None:
    """It fails where JSON ends, and what was decoded until then is at most what was counted."""
    decoded = 0

    def note(_: Any) -> Any:
        nonlocal decoded
        decoded += 1

    try:
        json.loads(text, parse_int=note)
    except ValueError:
        assert values_in(text.encode(), PLENTY) >= decoded


# -- How much is read -------------------------------------------------------------------------------


class Reading(NamedTuple):
    """A server that only reads bodies, and answers how long they were."""

    house: House
    uploads: Uploads
    meter: Meter

    async def post(self, body: bytes, query: str = "") -> Answer:
        return await self.house.post(f"/{query}", data=io.BytesIO(body))

    def counted(self, counter: Counter) -> int:
        return self.meter.counts().get(counter.name, 0)

    async def has_read(self, size: int) -> None:
        await until(lambda: self.uploads.size == size)


@asynccontextmanager
async def reading(**settings: Any) -> AsyncIterator[Reading]:
    meter = Meter()
    uploads = Uploads(WebSettings(**settings), meter)

    async def read(request: web.Request) -> web.Response:
        try:
            asker = Asker(request.query.get("user", "ada"), bounded="unbounded" not in request.query)
            return web.json_response(len(await uploads.read(request, asker)))
        except Problem as problem:
            return problem_response(problem, meter)

    app = web.Application()
    app.router.add_post("/", read)
    async with running(app, SessionRegistry(done)) as house:
        yield Reading(house, uploads, meter)


async def test_a_body_may_be_as_large_as_said_and_no_larger() -> None:
    """G8."""
    async with reading(max_body=1_000) as server:
        assert (await server.post(b"x" * 1_000)).body == 1_000
        too_large = await server.post(b"x" * 1_001)
        assert (too_large.status, too_large.code) == (413, "BODY_TOO_LARGE")
        assert server.counted(BODIES_TOO_LARGE) == 1


async def test_a_large_body_of_many_values_is_refused_and_a_small_one_is_not() -> None:
    """G8."""
    async with reading(body_values=100) as server:
        for values, status in ((100, 200), (101, 422)):
            body = json.dumps([0] * (values - 1)).encode()
            assert (await server.post(body.ljust(UNCOUNTED + 1))).status == status
            assert (await server.post(body.ljust(UNCOUNTED))).status == 200
        assert (await server.post(b"[[" * UNCOUNTED)).code == "MESSAGE_TOO_LARGE"
        assert server.counted(BODIES_OF_MANY_VALUES) == 2


class Upload:
    """A request whose body has not been sent to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def more(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Answer:
        return await read_answer(self._reader)


@asynccontextmanager
async def uploading(server: Reading, size: int, begin: bytes) -> AsyncIterator[Upload]:
    """A request whose body has so many bytes, of which these are sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.house.port)
    head = f"POST / HTTP/1.1\r\nHost: {server.house.host}\r\nContent-Length: {size}\r\n\r\n"
    upload = Upload(reader, writer)
    await upload.more(head.encode() + begin)
    try:
        yield upload
    finally:
        writer.transport.abort()


SIZE = 4 * SMALL


async def test_all_bodies_that_are_being_read_are_bounded_together() -> None:
    """G8."""
    async with reading(max_uploads_in_all=SIZE) as server:
        async with uploading(server, SIZE, b"x" * (SIZE - 1)) as first:
            await server.has_read(SIZE - 1)
            second = await server.post(b"x" * SIZE)
            assert (second.status, second.code) == (503, "UPLOADS_FULL")
            assert second.headers["Retry-After"] == "1"
            assert second.headers["Connection"] == "close"
            assert server.counted(UPLOADS_FULL) == 1

            await first.more(b"x")
            assert (await first.answer()).body == SIZE
        assert (await server.post(b"x" * SIZE)).body == SIZE


async def test_a_small_body_is_read_however_many_large_ones_are() -> None:
    """G8, G14: who uploads images does not keep others from saying hello."""
    async with reading(max_uploads_in_all=SIZE) as server, uploading(server, SIZE, b"x" * (SIZE - 1)):
        await server.has_read(SIZE - 1)
        assert (await server.post(b"x" * SMALL)).body == SMALL
        assert (await server.post(b"x" * (SMALL + 1))).code == "UPLOADS_FULL"


async def test_the_bodies_of_one_user_are_bounded_and_leave_room_for_others() -> None:
    """G8, G14."""
    async with reading(max_uploads=SIZE) as server:
        async with uploading(server, SIZE, b"x" * (SIZE - 1)):
            await server.has_read(SIZE - 1)
            mine = await server.post(b"x" * SIZE)
            assert (mine.status, mine.code) == (429, "TOO_MANY_UPLOADS")
            assert (mine.headers["Retry-After"], mine.headers["Connection"]) == ("1", "close")
            assert server.counted(TOO_MANY_UPLOADS) == 1
            assert (await server.post(b"x" * SMALL)).body == SMALL
            assert (await server.post(b"x" * SIZE, "?user=bob")).body == SIZE
            assert (await server.post(b"x" * SIZE, "?unbounded")).body == SIZE
        await server.has_read(0)
        assert (await server.post(b"x" * SIZE)).body == SIZE


async def test_an_upload_that_breaks_off_leaves_its_room_to_others() -> None:
    """G8."""
    async with reading(max_uploads_in_all=SIZE) as server:
        for _ in range(3):
            async with uploading(server, SIZE, b"x" * (SIZE - 1)):
                await server.has_read(SIZE - 1)
            await server.has_read(0)
        assert (await server.post(b"x" * SIZE)).body == SIZE


async def test_a_mount_reads_all_bodies_within_its_bounds() -> None:
    """G8."""
    async with serving(done, max_body=1_000) as house:
        for path in ("/chat/s/send", "/chat/ticket"):
            assert (await house.post(path, data=b"x" * 1_001)).code == "BODY_TOO_LARGE"
        assert await house.counted("bodies_too_large_total") == 2
