"""Event -> bytes of Server-Sent Events (WHATWG HTML, section 9.2). Pure."""

from collections.abc import Iterable, Iterator

from turnkeeper.actors.events.event import Event


def _wire(event: Event) -> bytes:
    """An event as SSE bytes. The text of one without JSON stands where the others have theirs."""
    if event.epoch is None:
        return f"event: {event.name}\ndata: {event.json}\n\n".encode()
    return f"id: {event.epoch}-{event.n}\nevent: {event.name}\ndata: {event.json}\n\n".encode()


def encode_event(event: Event) -> bytes:
    """An event as SSE bytes, made once however many read it."""
    wire = event.encoded
    if wire is None:
        wire = event.encoded = _wire(event)
    return wire


#: About how many bytes go out with one write. A peer that does not read holds up no more than that.
PIECE = 65_536


def encode_events(events: Iterable[Event]) -> Iterator[bytes]:
    """Events as SSE bytes, joined into as few pieces of about `PIECE` bytes as may be."""
    wires = [encode_event(event) for event in events]
    if sum(map(len, wires)) <= PIECE:
        yield b"".join(wires)
        return
    piece: list[bytes] = []
    size = 0
    for wire in wires:
        piece.append(wire)
        size += len(wire)
        if size >= PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def encode_all(events: list[Event]) -> bytes:
    """Events as SSE bytes, as a connection carries them that ends with the stream (HTTP/1.0).

    For all readers at one position at once: the events do not keep what is made of them here.
    """
    return _wire(events[0]) if len(events) == 1 else b"".join(map(_wire, events))


#: One chunk of a chunked body, of its length and its bytes (RFC 9112, section 7.1).
CHUNK = b"%x\r\n%b\r\n"


def encode_chunk(events: list[Event]) -> bytes:
    """Events as SSE bytes, as one chunk of a chunked body."""
    wire = encode_all(events)
    return CHUNK % (len(wire), wire)


def encode_retry(seconds: float) -> bytes:
    """The field by which an EventSource knows when to reconnect."""
    return f"retry: {int(seconds * 1000)}\n\n".encode()


HEARTBEAT = b":\n\n"
