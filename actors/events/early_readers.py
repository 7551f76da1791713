"""Readers of sessions that are not open, or that they may not know of: they wait for one to be opened."""

from collections.abc import Callable

from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.model.words import CloseOn, StreamEnd
from turnkeeper.actors.runtime import in_batches
from turnkeeper.actors.session.states import Home, Idle, Memory

from .feed import Feed, FeedHost
from .readers import END_BATCH
from .subscription import Subscription


class EarlyReaders:
    """Those readers. They own nothing, and nothing is published to them: each reads of an idle session.

    ``on_gone`` is called when one of them leaves; `remove` is then due.
    """

    def __init__(self, host: FeedHost, on_gone: Callable[[Subscription], None]) -> None:
        self._host = host
        self._on_gone = on_gone
        self._nothing = Feed(host)
        self._by_session: dict[SessionId, dict[Subscription, Asker]] = {}
        self._session_of: dict[Subscription, SessionId] = {}

    def __len__(self) -> int:
        return len(self._session_of)

    def add(self, session: SessionId, asker: Asker, cursor: str | None, close_on: CloseOn) -> Subscription:
        """A reader. It is first given the snapshot of an idle session, after a gap if it missed events."""
        state = Idle(Memory(Home(session, asker.user, self._host.settings.limits)))
        reader = self._nothing.reader(state, cursor, self._on_gone, close_on)
        self._by_session.setdefault(session, {})[reader] = asker
        self._session_of[reader] = session
        return reader

    def take(self, session: SessionId, owner: str) -> list[Subscription]:
        """Hand over those who may see this session, which is opened now and is ``owner``'s."""
        waiting = self._by_session.get(session, {})
        taken = [reader for reader, asker in waiting.items() if asker.may_see(owner)]
        for reader in taken:
            self.remove(reader)
        return taken

    def remove(self, reader: Subscription) -> None:
        """Let go of this reader, if it is here."""
        session = self._session_of.pop(reader, None)
        if session is not None:
            del self._by_session[session][reader]
            if not self._by_session[session]:
                del self._by_session[session]

    def end(self, end: StreamEnd) -> None:
        """A `close` is due to all of them."""

        def close(readers: list[Subscription]) -> None:
            for reader in readers:
                reader.end(end)

        in_batches(self._host.loop, iter(list(self._session_of)), END_BATCH, close)
