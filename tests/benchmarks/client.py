"""The other end of a connection, in a process of its own: what it costs falls on the other core.

``client.py post PORT CONNECTIONS REQUESTS PATH...`` posts to the paths in turns (``{n}`` is the number of
the connection) and prints ``done`` when all are answered. ``client.py read PORT CONNECTIONS
EVENTS PATH`` opens that many event streams, prints ``open``, and prints ``done`` when each has brought so
many ``word`` events. ``client.py tokens PORT CONNECTIONS EVENTS PATH`` does the same with a stream for each
``{n}``; instead of ``done`` it prints how many microseconds, p50 and p99, passed from the moment ``at`` that
an event carries to its arrival.
"""

import asyncio
import re
import selectors
import socket
import sys
import time

BODY = b'{"message": "hello"}'


def request(port: int, path: str) -> bytes:
    """A POST with a message."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
        + BODY
    )


async def answered(reader: asyncio.StreamReader) -> None:
    """Read one answer. Raises `RuntimeError` if it is a refusal."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not 200 <= int(head[9:12]) < 300:
        raise RuntimeError(f"refused: {head!r}")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))


async def _post(port: int, number: int, requests: int, paths: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = [request(port, path.format(n=number)) for path in paths]
    for turn in range(requests):
        writer.write(asked[turn % len(asked)])
        await answered(reader)
    writer.close()


async def post(port: int, connections: int, requests: int, paths: list[str]) -> None:
    """Post on all connections at once, on each one after the other."""
    await asyncio.gather(*(_post(port, number, requests, paths) for number in range(connections)))
    print("done", flush=True)


async def _open(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _read(reader: asyncio.StreamReader, events: int) -> None:
    seen, rest = 0, b""
    while seen < events:
        data = await reader.read(1 << 20)
        if not data:
            raise RuntimeError(f"the stream ended after {seen} of {events} events")
        data = rest + data
        seen += data.count(b"event: word\n")
        rest = data[-len(b"event: word\n") + 1 :]


async def read(port: int, connections: int, events: int, path: str) -> None:
    """Read all streams to that many events."""
    streams = [await _open(port, path) for _ in range(connections)]
    print("open", flush=True)
    await asyncio.gather(*(_read(reader, events) for reader, _ in streams))
    print("done", flush=True)
    for _, writer in streams:
        writer.close()


AT = re.compile(rb'"at": ?(\d+)[,}]')


def _head(stream: socket.socket) -> bytes:
    """Read the head of an answer; what came with it of the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(65_536)
        if not more:
            raise RuntimeError(f"hung up on within {data!r}")
        data += more
    return data.partition(b"\r\n\r\n")[2]


def tokens(port: int, connections: int, events: int, path: str) -> None:
    """Read all streams to that many events, without a loop that would take time of its own."""
    ready = selectors.DefaultSelector()
    for number in range(connections):
        stream = socket.create_connection(("127.0.0.1", port))
        asked = f"GET {path.format(n=number)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        stream.sendall(asked.encode())
        ready.register(stream, selectors.EVENT_READ, [_head(stream)])
    print("open", flush=True)
    taken: list[int] = []
    while len(taken) < connections * events:
        for key, _ in ready.select():
            stream, rest = key.fileobj, key.data
            assert isinstance(stream, socket.socket)
            data = stream.recv(1 << 20)
            now = time.monotonic_ns()
            if not data:
                raise RuntimeError(f"a stream ended after {len(taken)} of {connections * events} events")
            data = rest.pop() + data
            taken += [now - int(at) for at in AT.findall(data)]
            rest.append(data[data.rfind(b"\n") + 1 :])
    taken.sort()
    print([taken[len(taken) * part // 100] / 1_000 for part in (50, 99)], flush=True)


if __name__ == "__main__":
    what, port_, connections_, count_, *paths_ = sys.argv[1:]
    if what == "post":
        asyncio.run(post(int(port_), int(connections_), int(count_), paths_))
    elif what == "tokens":
        tokens(int(port_), int(connections_), int(count_), paths_[0])
    else:
        asyncio.run(read(int(port_), int(connections_), int(count_), paths_[0]))
