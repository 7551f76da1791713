"""The streams of several sessions that are open on one server, and the names that their users gave them."""

from turnkeeper.actors.events.together import Follow, Together
from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.web.http.problems import Code, Problem

from .reader import Several


class SeveralStreams:
    """Those streams. A user's names are that user's alone."""

    def __init__(self) -> None:
        self._open: dict[Several, tuple[str, str | None]] = {}
        self._named: dict[tuple[str, str], Several] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, follow: Follow, asker: Asker, name: str | None, named: tuple[SessionId, ...]) -> Several:
        """A stream that follows nothing yet. An older one of that name ends: its reader has come back."""
        several = Several(Together(follow, asker), named, lambda: self._closed(several))
        self._open[several] = (asker.user, name)
        if name is not None:
            older = self._named.pop((asker.user, name), None)
            if older is not None:
                older.close()
            self._named[asker.user, name] = several
        return several

    def find(self, asker: Asker, name: str) -> Several:
        """The asker's stream of that name. Raises `Problem` 404."""
        several = self._named.get((asker.user, name))
        if several is None:
            raise Problem(Code.UNKNOWN_STREAM, "you have no open stream of that name")
        return several

    def _closed(self, several: Several) -> None:
        user, name = self._open.pop(several, ("", None))
        if name is not None and self._named.get((user, name)) is several:
            del self._named[user, name]

    def end(self) -> None:
        """End those that are left when the server shuts down: the ones that follow nothing."""
        for several in list(self._open):
            several.end(StreamEnd.SHUTDOWN)
