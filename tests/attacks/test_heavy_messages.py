"""Messages of many parts, of many bytes, and uploads that never end."""

import json
import select
import socket
from contextlib import ExitStack
from itertools import pairwise
from typing import NamedTuple

from tests.attacks.clients import Bystander, Client, Stream
from tests.attacks.rig import HERE, PATIENCE, attack
from tests.attacks.server import Server
from tests.attacks.upstream import upstream

MIB = 2**20
TEXT = {"type": "text"}

# -- Tiny parts -------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """What one message costs the server, and another user meanwhile."""

    answer: str
    cpu_s: float
    next_turn_cpu_s: float
    bystander_worst_ms: float
    upstream_bytes: int


def cost(server: Server, client: Client, session: str, message: object, asked: list[int]) -> Cost:
    """Send this message to the model, then a small one in the same session."""
    # Written before: that would hold up the bystander, who is in this process too.
    body = json.dumps({"message": message}).encode()
    with Stream(server, session, patience=120.0) as stream, Bystander(server, patience=120.0) as bystander:
        spent, before = [server.cpu()], len(asked)
        answer = client.ask("POST", f"/chat/{session}/send", body)
        if answer.status == 202:
            stream.until("turn.completed", "turn.failed")
        spent.append(server.cpu())
        client.send(session, "hi")
        stream.until("turn.completed", "turn.failed")
        spent.append(server.cpu())
        health = client.get("/healthz").status
        assert health == 200
    said = f"{answer.status} {answer.code or 'accepted'}"
    first, second = (round(after - earlier, 2) for earlier, after in pairwise(spent))
    return Cost(said, first, second, bystander.worst, max(asked[before:], default=0))


PARTS = 32_000


@attack("32,000 tiny parts (under 1 MiB) hold the loop 7.9 s of CPU and everyone 28 s; the next turn 15 s")
def tiny_parts() -> dict[str, Cost]:
    messages = {
        "one part of as many bytes": [{**TEXT, "text": "a" * 900_000}],
        "1,000 parts": [{**TEXT, "text": "a" * 900} for _ in range(1_000)],
        f"{PARTS} parts": [{**TEXT, "text": "a"} for _ in range(PARTS)],
    }
    assert all(len(json.dumps(message)) < MIB for message in messages.values())
    with (
        upstream() as api,
        Server("--base-url", api.base_url, "--model", "m", agent="openai") as server,
        Client(server, patience=120.0) as client,
    ):
        client.run("warm", "hi")
        return {
            name: cost(server, client, f"s{number}", message, api.asked)
            for number, (name, message) in enumerate(messages.items())
        }


def test_many_parts_cost_no_more_than_one_part_of_as_many_bytes() -> None:
    seen = tiny_parts()
    one, thousand, many = seen.values()
    assert many.answer == "422 MESSAGE_TOO_LARGE"
    assert (one.answer, thousand.answer) == ("202 accepted", "202 accepted")
    # A tenth of a second is what the noise of the clock and of the bystander may come to.
    assert thousand.cpu_s <= 2 * one.cpu_s + 0.1
    assert many.cpu_s <= 2 * one.cpu_s + 0.1
    assert thousand.next_turn_cpu_s <= 2 * one.next_turn_cpu_s + 0.1


# -- An image for the model -------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000_000}}


@attack("an image of 10 MB holds the loop 0.1 s, most of it for writing the same JSON again and again")
def image_for_a_model() -> dict[str, Cost]:
    with (
        upstream() as api,
        Server("--base-url", api.base_url, "--model", "m", agent="openai") as server,
        Client(server) as client,
    ):
        client.run("warm", "hi")
        messages = {"a text": "hi", "an image of 10 MB": [IMAGE, {**TEXT, "text": "what is it?"}]}
        return {name: cost(server, client, name[-2:], each, api.asked) for name, each in messages.items()}


def test_a_large_image_reaches_the_model_whole_and_holds_nothing_up() -> None:
    text, image = image_for_a_model().values()
    for _ in range(2):  # a machine may stall for so long, but not each time
        if image.bystander_worst_ms > text.bystander_worst_ms + 500:
            text, image = image_for_a_model().values()
    assert (text.answer, image.answer) == ("202 accepted", "202 accepted")
    assert image.upstream_bytes > len(json.dumps(IMAGE))
    # Ten megabytes are read, decoded, looked at, written again and sent: some milliseconds for each.
    assert image.cpu_s <= text.cpu_s + 0.15
    assert image.bystander_worst_ms <= text.bystander_worst_ms + 500


# -- JSON of many values ----------------------------------------------------------------------------


class Refused(NamedTuple):
    """What a body costs."""

    answer: str
    megabytes: float
    cpu_s: float


@attack("a body over 1 MiB is refused before decoding if it holds more than 20,000 JSON values")
def many_values() -> dict[str, Refused]:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 15_000_000}}
    bodies = {
        "an image of 15 MB": json.dumps([image]),
        "7,000,000 small numbers": f'[{{"type": "x", "n": [{"1," * 7_000_000}1]}}]',
        "3,000,000 empty lists": f'[{{"type": "x", "n": [{"[]," * 3_000_000}1]}}]',
    }
    with Server(max_body=16 * MIB) as server, Client(server) as client:
        found = {}
        for number, (name, body) in enumerate(bodies.items()):
            before = server.cpu()
            answer = client.ask("POST", f"/chat/v{number}/send", body.encode())
            said = f"{answer.status} {answer.code or 'accepted'}"
            found[name] = Refused(said, round(len(body) / 1e6, 1), round(server.cpu() - before, 2))
        return found


def test_a_large_body_of_many_values_is_refused_for_what_reading_it_costs() -> None:
    image, numbers, lists = many_values().values()
    assert image.answer == "202 accepted"
    for many in (numbers, lists):
        assert many.answer in ("413 MESSAGE_TOO_LARGE", "422 MESSAGE_TOO_LARGE")
        assert many.cpu_s <= 2 * image.cpu_s + 0.1


# -- Megabytes --------------------------------------------------------------------------------------


class Late(NamedTuple):
    """What a reader from the beginning sees of a turn with a large message."""

    answer: str
    started_bytes: int
    first_n: str
    gap: bool
    hole: bool


def late_reader(server: Server, client: Client, session: str, message: object) -> Late:
    answer = client.send(session, message)
    if answer.status != 202:
        return Late(f"{answer.status} {answer.code}", 0, "", False, False)
    client.ask("POST", f"/chat/{session}/cancel_send_task")
    with Stream(server, session, cursor="0", patience=1.0) as stream:
        events = stream.rest()
    numbers = [int(event.id.partition("-")[2]) for event in events if event.id]
    started = sum(len(event.data) for event in events if event.name == "turn.started")
    gap = any(event.name == "gap" for event in events)
    hole = not gap and numbers != list(range(len(numbers)))
    return Late("202 accepted", started, str(numbers[0]) if numbers else "none", gap, hole)


@attack("a 3 MB text pushes turn.started out of its own log without a gap")
def megabytes() -> dict[str, Late]:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000_000}}
    with Server(max_body=16 * MIB) as server, Client(server) as client:
        return {
            "a text of 3 MB": late_reader(server, client, "text", "hold " + "a" * 3_000_000),
            "ten texts of 300 kB": late_reader(
                server, client, "texts", [{**TEXT, "text": "hold " + "a" * 300_000}] * 10
            ),
            "an image of 3 MB": late_reader(server, client, "image", [{**TEXT, "text": "hold"}, image]),
            "a text of 1 MiB": late_reader(server, client, "most", "hold ".ljust(MIB, "a")),
        }


def test_a_large_message_leaves_no_hole_in_the_log() -> None:
    text, texts, image, most = megabytes().values()
    assert text.answer == texts.answer == "422 MESSAGE_TOO_LARGE"
    assert image.answer == most.answer == "202 accepted"
    for seen in (image, most):
        assert not seen.hole
        assert seen.first_n == "0"
    assert image.started_bytes < 64 * 1024, "the image is elided"


# -- Uploads ----------------------------------------------------------------------------------------


class Uploads(NamedTuple):
    """What bodies come to that are sent but for their last byte."""

    sent_mb: float
    memory_grew_mb: float
    refused_503: int
    refused_413: int
    healthz: int


UPLOADS, UPLOAD = 12, 15_000_000
A_MOMENT = 0.5


def upload(peer: socket.socket, data: bytes) -> tuple[int, bytes]:
    """Send this until an answer comes; how much was sent, and the answer."""
    sent = 0
    with memoryview(data) as view:
        while sent < len(data):
            readable, writable, _ = select.select([peer], [peer], [], PATIENCE)
            if readable:
                return sent, peer.recv(100)
            assert writable, "it neither reads nor answers"
            sent += peer.send(view[sent : sent + 262_144])
    return sent, b""


@attack("bodies being read take at most 128 MiB in all (503)")
def uploads() -> Uploads:
    with Server(max_body=16 * MIB) as server, Client(server) as client, ExitStack() as peers:
        before = server.memory()
        sent, answers = 0, list[bytes]()
        for number in range(UPLOADS):
            peer = peers.enter_context(socket.create_connection((HERE, server.port), PATIENCE))
            head = f"POST /chat/u{number}/send HTTP/1.1\r\nHost: {HERE}\r\n"
            head += f"Content-Length: {UPLOAD + 1}\r\n\r\n"
            more, answer = upload(peer, head.encode() + b" " * UPLOAD)
            # What it has not read yet lies in the kernel's buffers.
            if not answer and select.select([peer], [], [], A_MOMENT)[0]:
                answer = peer.recv(100)
            sent += more
            answers.append(answer)
        grown = server.memory() - before
        return Uploads(
            round(sent / 1e6),
            round(grown / 1e6),
            sum(b" 503" in answer[:13] for answer in answers),
            sum(b" 413" in answer[:13] for answer in answers),
            client.get("/healthz").status,
        )


def test_uploads_that_do_not_end_are_bounded_in_all() -> None:
    seen = uploads()
    assert seen.refused_503 >= UPLOADS - 128 * MIB // UPLOAD
    assert seen.refused_413 == 0
    assert seen.memory_grew_mb < 160
    assert seen.healthz == 200
