"""A request of a user's to a route that is not one of turnkeeper's own: a wire protocol's, or a host's."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypedDict, TypeVar, Unpack, overload

from aiohttp import hdrs, web

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.turn_reader import TurnReader, WholeTurn
from turnkeeper.actors.metrics.meter import TOO_MANY_STREAMS
from turnkeeper.actors.model.exceptions import InvalidRequest, SessionError
from turnkeeper.actors.model.messages import (
    Accepted,
    Cancel,
    CancelAnswer,
    FollowTurn,
    Query,
    ReplyAddress,
    Send,
    TurnEnd,
)
from turnkeeper.actors.model.records import Asker, SessionId, TurnOptions
from turnkeeper.actors.model.words import Layer, OnDisconnect, QueueMode
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime.future import AsyncioFuture
from turnkeeper.web.openapi.operation import Who

from .body import as_kind, decode_json
from .mount import MOUNTS, Endpoint, Mount, Refuse, preflight
from .settings import WebSettings
from .stream import Writing

R = TypeVar("R")
T = TypeVar("T")

#: The status of a request whose peer has hung up before its answer, for logs: nginx uses it, too.
HUNG_UP: Final = 499
#: For how many seconds a turn may have no reader that ends with its reader. Until that has come the request
#: waits for the turn's end itself.
ALONE = 0.05


class Sending(TypedDict, total=False):
    """How a message is sent: see `SessionRegistry.send`.

    ``ended_to`` is given the turn's end, unless the message was sent before.
    """

    agent: str | None
    strategy: str | None
    turn_id: str | None
    timeout: float | None
    options: TurnOptions | None
    if_match: str | None
    key: str | None
    policy: Mapping[str, Any] | None
    params: Mapping[str, Any] | None
    ended_to: ReplyAddress | None


class _Coming:
    """Waits for the ends of turns whose readers have not come yet: on a busy loop they come late."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def wait(self, ended_to: ReplyAddress | None) -> ReplyAddress:
        """Where a turn's end goes, and is awaited."""
        end = AsyncioFuture[TurnEnd]() if ended_to is None else ended_to
        if isinstance(end, AsyncioFuture):
            self._tasks.append(asyncio.create_task(_wait_for(end)))
        return end

    def let_go(self) -> None:
        """Readers have come, or will not: a turn without any has no one from here on."""
        while self._tasks:
            self._tasks.pop().cancel()


class Call:
    """A request of a user who was identified, and what can be done for that user.

    Everything here is done in the user's name: what is not theirs is unknown. What is refused is raised, and
    becomes the route's answer.
    """

    __slots__ = ("_coming", "_followed", "_has_room", "_mount", "asker", "gone", "request")

    def __init__(self, mount: Mount, request: web.Request, asker: Asker) -> None:
        self._mount = mount
        self.request = request
        #: Who asks, for messages to the registry.
        self.asker = asker
        #: Whether it was noticed that the peer has hung up.
        self.gone = False
        #: Whether room is kept for a reader.
        self._has_room = False
        #: The readers that were not used yet, each with its session.
        self._followed: dict[TurnReader, str] = {}
        self._coming = _Coming()

    @property
    def registry(self) -> SessionRegistry:
        """The mount's. What its own calls do is done in the host's name, unless they name a user."""
        return self._mount.registry

    @property
    def settings(self) -> WebSettings:
        """The mount's."""
        return self._mount.settings

    @property
    def user(self) -> str:
        """The user's name."""
        return self.asker.user

    # -- The request ----------------------------------------------------------------------------------

    async def body(self) -> bytearray:
        """The body, bounded as the settings say: ``max_body``, ``max_uploads`` and more.

        Raises `Problem`. Cancelling it leaves the rest unread.
        """
        return await self._mount.uploads.read(self.request, self.asker)

    @overload
    async def json(self) -> Any: ...

    @overload
    async def json(self, kind: type[T]) -> T: ...

    async def json(self, kind: Any = Any) -> Any:
        """The JSON in the body, if it is given as that ``kind``: a dataclass, `TypedDict` or msgspec struct.

        Raises `Problem`, 422 ``INVALID_JSON`` for what is none, and `InvalidRequest` for another kind.
        """
        return as_kind(decode_json(await self.body()), kind)

    # -- The registry ---------------------------------------------------------------------------------

    async def ask(self, query: Query[R]) -> R:
        """Ask any query; it names its asker itself. Cancelling it does not take it back."""
        return await self.registry.ask(query)

    async def send(
        self, session_id: str, message: Any, *, wait: bool = False, **ways: Unpack[Sending]
    ) -> Accepted:
        """Send a message, as `SessionRegistry.send` does. Answered at once, unless ``wait``.

        Raises `SessionError`. Cancelling it does not take the send back.
        """
        if (ways.get("policy") or {}).get("on_disconnect") == OnDisconnect.CANCEL:
            ways["ended_to"] = self._coming.wait(ways.get("ended_to"))
        send = Send(session_id, message, self.asker, wait=wait, **ways)
        return await self.registry.ref.ask_now(send)

    async def cancel(
        self,
        session_id: str,
        turn_id: str | None = None,
        *,
        wait: bool = True,
        if_match: str | None = None,
        queue: QueueMode | None = None,
    ) -> CancelAnswer:
        """Stop a turn, or whatever the session does, and wait as long as the cancel routes do.

        Raises `SessionError`. Cancelling it does not take the cancel back.
        """
        cancel = Cancel(session_id, turn_id, self.asker, wait, if_match=if_match, queue=queue)
        registry = self.registry
        left = lambda: registry.hold_left(SessionId(session_id))  # noqa: E731
        return await self._mount.patience.ask(registry.ref, cancel, left)

    def ends_with_its_reader(self, agent: str | None = None) -> Mapping[str, Any]:
        """The policy of a turn that is to end when the request goes away, for `send`.

        It is empty where the host says itself, about the agent or the user, what a hang-up does. Raises
        `UnknownAgent`.
        """
        base = self.registry.layers.base(agent, self.user)
        said = {"on_disconnect": OnDisconnect.CANCEL, "abandon_after": ALONE}
        by_default = all(base.policy.decided(name).layer is Layer.DEFAULT for name in said)
        return said if by_default and base.may.issuperset(said) else {}

    # -- One turn -------------------------------------------------------------------------------------

    async def run(self, session_id: str, message: Any, **ways: Unpack[Sending]) -> TurnReader:
        """Send a message, and follow its turn, which ends with this request: `send` and `follow` in one.

        Where the peer goes away before the turn's end, and nothing else reads the turn, it is cancelled
        (``client_disconnected``), unless the host or ``policy`` says what a hang-up does. A message that was
        sent before, by its ``turn_id`` or ``key``, is followed from its beginning. Hand the reader on to
        `stream` or `events` at once. Raises what `send` and `follow` raise.
        """
        ways["policy"] = {**self.ends_with_its_reader(ways.get("agent")), **(ways.get("policy") or {})}
        with self.room():
            accepted = await self.send(session_id, message, **ways)
            return await self.follow(session_id, accepted.merged_into or accepted.turn_id)

    @contextmanager
    def room(self) -> Generator[None]:
        """Keep room for one reader within the block, in which a turn is sent and then followed.

        Without it a turn may run whose sender has been refused the stream. Raises `TooManyStreams`.
        """
        registry, asker = self.registry, self.asker
        ledger = registry.directory.ledger
        no_room = ledger.no_stream(asker.user, bounded=asker.bounded)
        if no_room is not None:
            registry.meter.count(TOO_MANY_STREAMS)
            raise no_room
        with ledger.room_for_stream(asker.user):
            self._has_room = True
            try:
                yield
            finally:
                self._has_room = False

    async def follow(self, session_id: str, turn_id: str, *, after: str | None = None) -> TurnReader:
        """Follow a turn from its event 0, or from the one after the id ``after``, to its end.

        Raises `UnknownSession`, `UnknownTurn`, `TooManyStreams`, `EventsLost` and `InvalidRequest`.
        Cancelling it gives back what it would have got. Hand the reader on to `stream` or `events`: else it
        is closed with the request.
        """
        follow = FollowTurn(session_id, turn_id, after, self.asker, self._has_room)
        reader = await self.registry.follow(follow)
        self._coming.let_go()
        self._followed[reader] = session_id
        return reader

    async def stream(self, reader: TurnReader, writing: Writing) -> web.StreamResponse:
        """Answer with the reader's events, as ``writing`` does, until its turn ends or the peer goes away.

        While nothing happens the stream gets heartbeats; where its peer does not read it is cut after
        ``write_timeout`` seconds. The reader is closed, at once when the peer hangs up. Cancelling it ends
        the connection; the turn goes on. Raises `RuntimeError` for a reader that was used before.
        """
        return await self._mount.streams.serve(self.request, self._whole(reader), writing)

    async def events(self, reader: TurnReader) -> AsyncGenerator[list[Event]]:
        """The reader's events, in batches, for an answer that is given when the turn has ended.

        The reader is closed at the end. Raises `ConnectionError` as soon as the peer has hung up, which needs
        no answer then, and `RuntimeError` for a reader that was used before.
        """
        turn = self._whole(reader)

        def hung_up() -> None:
            self.gone = True
            turn.close()

        try:
            with self._mount.streams.hangups.watching(self.request, hung_up):
                while (batch := await turn.read()) or not turn.ended:
                    if batch:
                        yield batch
        finally:
            turn.close()
        if self.gone:
            raise ConnectionResetError("the peer has hung up")

    def _end(self) -> None:
        """The request is answered: close the readers that were not used, and wait for none."""
        for reader in self._followed:
            reader.close()
        self._coming.let_go()

    def _whole(self, reader: TurnReader) -> WholeTurn:
        """What that reader gives, and all that follows. Raises `RuntimeError` where it has been used."""
        session_id = self._followed.pop(reader, None)
        if session_id is None:
            raise RuntimeError("a reader is used once, by the call that has made it: follow the turn again")
        return _whole_turn(reader, session_id, self)


def _whole_turn(reader: TurnReader, session_id: str, call: Call) -> WholeTurn:
    async def again(after: str | None) -> TurnReader | None:
        with suppress(SessionError):  # what comes next is not kept, or the server shuts down
            return await call.registry.follow(FollowTurn(session_id, reader.turn_id, after, call.asker))
        return None

    return WholeTurn(reader, again)


async def _wait_for(end: AsyncioFuture[TurnEnd]) -> None:
    with suppress(Exception):  # whatever it is, it is no news here
        await end


#: What answers a request of a user's.
Answering: TypeAlias = Callable[[Call], Awaitable[web.StreamResponse]]


def _endpoint(mount: Mount, answering: Answering, refuse: Refuse | None) -> Endpoint:
    """The handler of a route of that mount, as aiohttp wants it."""

    async def handle(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
        call = Call(mount, request, asker)
        try:
            return await answering(call)
        except ConnectionError:
            if not call.gone:
                raise
            return web.Response(status=HUNG_UP)
        finally:
            call._end()

    return mount.endpoint(handle, Who.USERS, refuse)


def add_route(
    app: web.Application, mount: Mount, method: str, path: str, answering: Answering, refuse: Refuse | None
) -> None:
    """Add a route for the users of that mount, and what answers a browser that asks whether it may use it."""

    def add(method: str, endpoint: Endpoint) -> None:
        app.router.add_route(method, path, endpoint, expect_handler=mount.expect)

    there = {each.method for each in app.router.routes() if each.resource and each.resource.canonical == path}
    if mount.cors and method != hdrs.METH_OPTIONS and not there & {hdrs.METH_OPTIONS, hdrs.METH_ANY}:
        # It comes first: nothing can be added behind a route for all methods.
        add(hdrs.METH_OPTIONS, mount.endpoint(preflight, Who.VISITORS, refuse))
    add(method, _endpoint(mount, answering, refuse))


def route(
    app: web.Application,
    method: str,
    path: str,
    answering: Answering,
    *,
    prefix: str = "",
    refuse: Refuse | None = None,
) -> None:
    """Add a route of the host's own, for the users of the mount under ``prefix``.

    ``path`` is the whole path, as aiohttp's router takes it. Each request is authenticated as the mount says,
    and ``answering`` answers it. What that raises becomes a problem body, or what ``refuse`` makes of the
    `Problem`. Pages of other origins may use it as they may the mount's own routes. Raises `InvalidRequest`
    where nothing is mounted under that prefix, and for a path below the mount's own ``/chat``.
    """
    mount = app.get(MOUNTS, {}).get(prefix)
    if mount is None:
        text = f"turnkeeper is not mounted under {prefix or '/'!r}: call setup first"
        raise InvalidRequest(text, field="prefix")
    if f"{path}/".startswith(f"{prefix}/chat/"):
        raise InvalidRequest(f"{prefix}/chat and all paths below are turnkeeper's own", field="path")
    add_route(app, mount, method, path, answering, refuse)
