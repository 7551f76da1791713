"""A small client of the HTTP API: its requests by name, and a session's events across lost connections."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, assert_never

from turnkeeper.actors.admission.page import MOST
from turnkeeper.actors.events.event import CLOSE
from turnkeeper.actors.model.words import FINAL_ENDS, CloseOn, StreamEnd

from .connection import JSON, Connection
from .resuming import resumed
from .several import SessionEvent, Several
from .sse_parser import StreamEvent


class Client(Connection):
    """A client of one server, used as ``async with Client(url, token) as client``.

    ``patience`` is how many seconds `events` keeps trying to connect again. Raises `ClientError` and nothing
    else.
    """

    def __init__(self, url: str, token: str | None = None, *, patience: float = 60.0) -> None:
        super().__init__(url, token)
        self._patience = patience

    async def send(self, session: str, task: str, text: str, **options: Any) -> JSON:
        """Send a text as the turn ``task``; returns once the turn has started or ended."""
        body = {name: value for name, value in options.items() if value is not None}
        body |= {"message": text, "task_id": task}
        return await self.ask("POST", "chat", session, "send", body=body, within=None)

    async def cancel(
        self,
        session: str,
        task: str | None = None,
        *,
        wait: bool = True,
        queue: str | None = None,
        force: bool = False,
    ) -> JSON:
        """Cancel a turn, or whatever the session does; the answer's ``verdict`` is the outcome.

        ``queue`` is what becomes of the turns that wait: ``keep`` or ``clear``. ``force``, for admins, waits
        for no step that must not be interrupted.
        """
        path = [session, "cancel_send_task"] if task is None else [session, task, "cancel"]
        query = {} if wait else {"wait": "false"}
        if queue is not None:
            query["queue"] = queue
        if force:
            query["force"] = "true"
        return await self.ask("POST", "chat", *path, query=query or None, within=None)

    async def cancel_many(self, *, wait: bool = True, **filters: Any) -> JSON:
        """Cancel the turns that these members of the request's body let through; what came of each."""
        query = None if wait else {"wait": "false"}
        return await self.ask("POST", "chat", "cancel_send_tasks", body=filters, query=query, within=None)

    async def active(self) -> dict[str, JSON]:
        """The turns in flight, by session: the user's own, or all for an admin."""
        answer = await self.ask("GET", "chat", "active_send_tasks")
        found: dict[str, JSON] = answer["active_tasks"]
        return found

    async def busy(self) -> dict[str, JSON]:
        """The same, and behind them the turns that wait for a slot: of these, ``active`` is false."""
        answer = await self.ask("GET", "chat", "active_send_tasks")
        return {**answer["active_tasks"], **answer["waiting_tasks"]}

    async def admission(self) -> JSON:
        """How turns are let in: the caps and lanes, and what goes on ``now``. For admins."""
        return await self.ask("GET", "chat", "admission")

    async def set_admission(self, **fields: Any) -> JSON:
        """Let turns in otherwise from now on: these members of the request's body change. For admins.

        What is said of an agent or a user takes the place of all that was said about it; the answer is how
        turns are let in then.
        """
        return await self.ask("PUT", "chat", "admission", body=fields)

    async def sessions(
        self,
        most: int | None = None,
        *,
        user: str | None = None,
        state: str | None = None,
        q: str | None = None,
        page: int = MOST,
    ) -> list[JSON]:
        """The sessions, the last active first: all of them, or ``most`` at most.

        Only those of that user, in that state, with ``q`` in their titles. It asks for ``page`` at a time.
        """
        query = {"user": user, "state": state, "q": q}
        wanted = {name: text for name, text in query.items() if text is not None}
        found: list[JSON] = []
        while most is None or len(found) < most:
            wanted["limit"] = str(page if most is None else min(page, most - len(found)))
            answer = await self.ask("GET", "chat", query=wanted)
            found += answer["sessions"]
            if answer["before"] is None:
                break
            wanted["before"] = answer["before"]
        return found

    async def set_title(self, session: str, title: str) -> JSON:
        """Give a session a title; the session as it is listed."""
        return await self.ask("PATCH", "chat", session, body={"title": title})

    async def free(self, session: str) -> JSON:
        """Close a session and have it forgotten, with its turns cancelled. For admins."""
        return await self.ask("DELETE", "chat", session, query={"free": "true"})

    async def session(self, session: str) -> JSON:
        """One session: its state and its turns."""
        return await self.ask("GET", "chat", session)

    async def turn(self, session: str, task: str) -> JSON:
        """One turn with its timeline."""
        return await self.ask("GET", "chat", session, "turns", task)

    async def queue(self, session: str) -> list[JSON]:
        """The turns that wait for a session, in order, each with its place and what it waits for."""
        return list((await self.ask("GET", "chat", session, "queue"))["queue"])

    async def cleanup(self) -> list[str]:
        """Put idle sessions to sleep; their ids."""
        return list((await self.ask("POST", "chat", "cleanup_completed_tasks"))["cleaned_up"])

    async def kept(
        self, session: str, after: str = "0", task: str | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events of a session, or of one turn, that the server keeps, each once and in order."""
        what = _session(session, CloseOn.NEVER) if task is None else _turn(session, task)
        query = {**what.query, "follow": "false"}
        cursor: str | None = after
        while cursor is not None:
            asked = self.stream(*what.path, cursor=cursor, query=query, spent=what.spent)
            # An answer is a part of what is kept, which may be long. Only the last one is empty, or ends with
            # an event without an id.
            cursor = None
            async with aclosing(asked) as events:
                async for event in events:
                    cursor = event.id
                    yield event

    def events(
        self,
        session: str,
        after: str | None = None,
        *,
        close_on: CloseOn = CloseOn.CANCELLED,
        notice: Callable[[str], None],
    ) -> AsyncGenerator[StreamEvent, None]:
        """A session's events until the `close` that ends them, each once and in order.

        Which one that is ``close_on`` says, whatever the server is set to. A lost connection is resumed after
        the last event; ``notice`` is called with a line about it. Raises `Unreachable` if none can be made
        for ``patience`` seconds. Closing the generator closes the connection and nothing else.
        """
        return self._follow(_session(session, close_on), after, notice)

    def turn_events(
        self, session: str, task: str, after: str | None = None, *, notice: Callable[[str], None]
    ) -> AsyncGenerator[StreamEvent, None]:
        """All events of one turn, from its first to its last, then a `close`. Otherwise as `events`.

        Raises `Refused` with the code ``EVENTS_LOST`` if the server no longer keeps what comes next.
        """
        return self._follow(_turn(session, task), after, notice)

    def several(self, cursors: Mapping[str, str | None], *, notice: Callable[[str], None]) -> Several:
        """Several sessions on one stream, each after the event with that id, or from its `snapshot` on.

        ``notice`` is called with a line about each connection that was lost, and made again.
        """
        return Several(self, cursors, self._patience, notice)

    async def events_of(
        self,
        sessions: Iterable[str],
        *,
        close_on: CloseOn = CloseOn.CANCELLED,
        notice: Callable[[str], None],
    ) -> AsyncGenerator[SessionEvent, None]:
        """The events of several sessions on one stream: of each until its `close`, as in `events`.

        It ends with the last of them.
        """
        several = self.several(dict.fromkeys(sessions), notice=notice)
        async with aclosing(several.events()) as events:
            async for found in events:
                yield found
                if found.event.name == CLOSE and _ends(close_on, found.event.text):
                    await several.drop(found.session)
                if not several.cursors:
                    return

    async def _follow(
        self, what: "_Followed", after: str | None, notice: Callable[[str], None]
    ) -> AsyncGenerator[StreamEvent, None]:
        cursor = after

        def connect() -> AsyncGenerator[StreamEvent, None]:
            return self.stream(*what.path, cursor=cursor, query=what.query, spent=what.spent)

        async with aclosing(resumed(self, connect, self._patience, notice)) as events:
            async for event in events:
                cursor = event.cursor or cursor
                yield event
                if event.name == CLOSE and (what.close_on is None or _ends(what.close_on, event.text)):
                    return


class _Followed(NamedTuple):
    """What is followed: a session until ``close_on``, or one turn to its end."""

    path: tuple[str, ...]
    close_on: CloseOn | None
    spent: StreamEnd

    @property
    def query(self) -> dict[str, str]:
        return {} if self.close_on is None else {"close_on": self.close_on.value}


def _session(session: str, close_on: CloseOn) -> _Followed:
    return _Followed(("chat", session, "events"), close_on, StreamEnd.SESSION_CLOSED)


def _turn(session: str, task: str) -> _Followed:
    return _Followed(("chat", session, "turns", task, "events"), None, StreamEnd.TASK_FINISHED)


def _ends(close_on: CloseOn, text: str) -> bool:
    """Whether the `close` with this text ends a stream that was asked for like this."""
    match close_on:
        case CloseOn.CANCELLED | CloseOn.SUPERSEDED:
            return True
        case CloseOn.NEVER:
            return text in FINAL_ENDS
        case _:
            assert_never(close_on)
