"""Which turns a bulk cancel is about. Pure."""

import math
from collections.abc import Collection, Iterator
from typing import Any, Final, TypeVar

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import CancelMany
from turnkeeper.actors.model.records import Asker, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.word import Word
from turnkeeper.actors.model.words import QueueMode, Strategy, TurnStatus, is_terminal
from turnkeeper.actors.policy.layers import unknown_agent
from turnkeeper.actors.policy.resolve import forces
from turnkeeper.actors.registry.directory import PASS, Directory
from turnkeeper.actors.session.fields import seconds, whole
from turnkeeper.actors.session.views import queued_turns

#: How many turns one bulk cancel stops, unless it says otherwise.
MOST: Final = 10_000
#: The statuses of turns that have not ended.
LIVE: Final = tuple(status for status in TurnStatus if not is_terminal(status))
W = TypeVar("W", bound=Word)


@value
class Which:
    """The filters of one bulk cancel, checked. Each that is ``None`` lets every turn through.

    ``turns`` and ``sessions`` keep the order in which they were named.
    """

    asker: Asker
    as_of: float
    turns: dict[tuple[SessionId, TurnId], None] | None
    sessions: dict[SessionId, None] | None
    owner: str | None
    agent: str | None
    state: TurnStatus | None
    strategy: Strategy | None
    older_than: float

    @classmethod
    def of(cls, message: CancelMany, agents: Collection[str], now: float) -> "Which":
        """The filters of this message. Raises `InvalidRequest`, `UnknownAgent` and `ScopeMissing`."""
        forces(message)
        said: tuple[Any, ...] = (
            message.turns,
            message.sessions,
            message.owner,
            message.agent,
            message.state,
            message.strategy,
            message.older_than,
        )
        if not isinstance(message.all, bool):
            raise InvalidRequest("all must be true or false", field="all")
        if not message.all and all(each is None for each in said):
            raise InvalidRequest("all must be true where no filter says which turns to stop", field="all")
        _named(message.queue, tuple(QueueMode), "queue")
        if message.agent is not None and message.agent not in agents:
            raise unknown_agent(message.agent)
        if not isinstance(message.owner, str | None):
            raise InvalidRequest("owner must be a user's name", field="owner")
        return cls(
            message.asker,
            now if message.as_of is None else min(now, _moment(message.as_of)),
            None if message.turns is None else dict.fromkeys(map(_named_turn, message.turns)),
            None if message.sessions is None else dict.fromkeys(map(ids.session_id, message.sessions)),
            message.owner,
            message.agent,
            _named(message.state, LIVE, "state"),
            _named(message.strategy, tuple(Strategy), "strategy"),
            0.0 if message.older_than is None else seconds(message.older_than, "older_than"),
        )

    def candidates(self, directory: Directory) -> list[SessionId]:
        """Sessions among which are all that may have such a turn, each once: nothing but a copy of ids."""
        if self.turns is not None:
            return list(dict.fromkeys(session for session, _ in self.turns))
        if self.sessions is not None:
            return list(self.sessions)
        user = self.owner if self.asker.sees_all else self.asker.user
        if user is not None and directory.ledger.number_of_sessions(user) <= PASS:
            return [entry.session_id for entry in directory.ledger.sessions(user)]
        return [*directory.active, *directory.opening]

    def takes_session(self, session: SessionId, owner: str) -> bool:
        """Whether turns in this session, which is that user's, may be meant."""
        return (
            self.asker.may_see(owner)
            and self.owner in (None, owner)
            and (self.sessions is None or session in self.sessions)
        )

    def takes(self, session: SessionId, turn: TurnRecord) -> bool:
        """Whether a turn that has not ended is meant, in a session that may be."""
        return (
            (self.turns is None or (session, turn.turn_id) in self.turns)
            and turn.submitted_at <= self.as_of - self.older_than
            and self.agent in (None, turn.agent)
            and self.state in (None, turn.status)
            and self.strategy in (None, turn.strategy)
        )


def live_turns(directory: Directory, session: SessionId) -> Iterator[TurnRecord]:
    """The turns of a session that have not ended. Those that wait come first: none starts for another."""
    held = directory.active.get(session)
    if held is not None or session in directory.opening:
        yield from queued_turns(directory.entries[session].state)
    if held is not None:
        yield held.turn


def limit_of(message: CancelMany) -> int:
    """How many turns are to be stopped at most. Raises `InvalidRequest`."""
    return MOST if message.limit is None else whole(message.limit, "limit", 1)


def _named_turn(pair: Any) -> tuple[SessionId, TurnId]:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise InvalidRequest("turns must be pairs of a session's id and a turn's", field="turns")
    return ids.session_id(pair[0]), ids.turn_id(pair[1])


def _moment(at: Any) -> float:
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        raise InvalidRequest("as_of must be a moment in Unix seconds", field="as_of")
    return float(at)


def _named(name: Any, words: tuple[W, ...], field: str) -> W | None:
    """The word of that name. Raises `InvalidRequest`."""
    found = next((word for word in words if word == name), None)
    if found is None and name is not None:
        raise InvalidRequest(f"{field} must be one of: {', '.join(words)}", field=field)
    return found
