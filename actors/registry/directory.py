"""Which sessions there are, who may see which, and which are due to sleep or to be forgotten. Pure.

An entry is in one of four places: `opening` (a turn is to start in it: its first one, or one that waits after
a restart), `active` (a turn holds it), `resting` (awake, nothing to do) or `asleep` (its actor has stopped;
what it remembers is kept). The latter two are in order of time: those that are due stand at the front.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.holdings import Held, Holdings
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.admission.sleepers import Sleepers
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Counts, LoopLag, SessionSummary
from turnkeeper.actors.model.records import Asker, Epoch, SessionId
from turnkeeper.actors.model.words import SessionState
from turnkeeper.actors.session.line import Line
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.slots import NO_AGENTS, capped_agents, weight_of
from turnkeeper.actors.session.states import Closed, Ending, Queued, Running, State
from turnkeeper.actors.session.views import InFlight, queued_turns, state_name
from turnkeeper.actors.turn.context_store import Left

#: How many sessions a pass over all of them takes before something else gets the loop.
PASS = 250
#: For how many seconds a session has to have been at rest for the moment before that to be noted.
QUIET = 60.0


class Entry(Held):
    """One known session. ``actor`` is its living part, ``None`` while it sleeps."""

    __slots__ = (
        "active_at",
        "active_before",
        "actor",
        "agent",
        "agents_behind",
        "counted",
        "counts",
        "delays",
        "head",
        "log",
        "parked_mail",
        "session_id",
        "state",
        "subscribers",
        "title",
        "touched_at",
    )

    def __init__(self, session_id: SessionId, state: State, now: float) -> None:
        self.session_id = session_id
        self.state = state
        self.touched_at = now
        #: When a turn last started or ended, and when that had been before the last `QUIET` seconds without.
        self.active_at = self.active_before = now
        self.title: str | None = None
        self.nap = None
        self.subscribers = 0
        #: How many bytes its turns' results take, and the large messages of the turn that holds it and of the
        #: one that waits.
        self.counted = 0
        #: Whether a turn of it counts that runs, or is about to, without a slot; and of which agent, once it
        #: runs. Those that have a slot are counted by that.
        self.counts = False
        self.agent: str | None = None
        #: The other agents of turns that wait and count already, for the caps of these agents.
        self.agents_behind: frozenset[str] = NO_AGENTS
        #: Whether turns of it wait for a moment, to ask for a slot then: one counts among those that wait.
        self.delays = False
        self.actor: Any = None
        #: Its event log.
        self.log: Any = None
        #: Where its log in the journal stood when its actor stopped; ``None`` if it has none.
        self.head: Any = None
        #: Messages, with their reply addresses, that wait until an actor that goes to sleep or has failed has
        #: reported what is left of the session; ``None`` while messages go straight to the actor.
        self.parked_mail: list[tuple[Any, Any]] | None = None

    @property
    def awaits_the_journal(self) -> bool:
        """Whether its actor has failed, and it is read again before its mail is delivered."""
        return self.actor is None and self.parked_mail is not None


#: A session as it can be listed: one that is open, or what is left of one beside its conversation.
Listed: TypeAlias = Entry | Left


class Directory:
    """The sessions of one registry, and what each user has of them."""

    def __init__(self, bounds: Bounds | None = None, caps: Caps | None = None) -> None:
        self.entries: dict[SessionId, Entry] = {}
        #: What each user has, beside the bounds.
        self.ledger: Ledger[Entry] = Ledger(bounds or Bounds.of(Settings()), caps or Caps.of(Settings()))
        #: Which turns have a slot, and which wait for one.
        self.scheduler = Scheduler(self.ledger, self.ledger.caps)
        #: Those whose first send is on its way to them, or whose turn waits.
        self.opening: dict[SessionId, Entry] = {}
        #: The states of those that are busy: a list of very many looks at nothing else.
        self.active: dict[SessionId, InFlight] = {}
        self.resting: dict[SessionId, Entry] = {}
        self.asleep: Sleepers[Entry] = Sleepers()
        #: The open streams, each with what its reader has, who need not be the session's owner.
        self.streams: dict[Any, Holdings[Entry]] = {}
        #: No session that is opened may draw an epoch that a forgotten one has drawn.
        self.epoch_floor: Epoch = 0

    def add(self, entry: Entry, owner: str, *, counts: bool = True) -> None:
        """A session of this user's is opened, for a send that comes next.

        Its turn ``counts`` already, unless it has to have a slot.
        """
        holdings = self.ledger.of(owner)
        holdings.add(entry)
        entry.counts = counts
        if counts:
            holdings.count_turns(1)
        self.entries[entry.session_id] = self.opening[entry.session_id] = entry

    def in_flight(self, asker: Asker) -> list[InFlight]:
        """A list of turns in flight that holds all that the asker may see.

        It is as long as the user has sessions, or as there are turns: whichever is less.
        """
        active = self.active
        if asker.sees_all or self._has_more(asker.user, len(active)):
            return list(active.values())
        own = self.ledger.sessions(asker.user)
        return [turn for entry in own if (turn := active.get(entry.session_id)) is not None]

    def idle(self, user: str | None = None) -> list[Entry]:
        """A list of sessions that holds all of this user's, or of all, that are awake and have nothing to do.

        It is as long as the user has sessions, or as there are idle ones: whichever is less.
        """
        if user is None or self._has_more(user, len(self.resting)):
            return list(self.resting.values())
        return self.ledger.sessions(user)

    def _has_more(self, user: str, number: int) -> bool:
        """Whether the user has more sessions than that, or more than are looked at in one pass."""
        return self.ledger.number_of_sessions(user) > min(number, PASS)

    def find(self, session_id: object, asker: Asker) -> Entry | None:
        """The session of that id if the asker may know of it."""
        if not isinstance(session_id, str):
            return None
        entries: dict[Any, Entry] = (
            self.entries
        )  # a `SessionId` is made by a call, and every send passes here
        entry = entries.get(session_id)
        return entry if entry is not None and asker.may_see(entry.holdings.user) else None

    def living(self, actor: Any, session_id: SessionId) -> Entry | None:
        """The session, if that actor is its living part, and not one of another life."""
        entry = self.entries.get(session_id)
        return entry if entry is not None and entry.actor is actor else None

    def report(self, actor: Any, state: State, now: float) -> bool:
        """A living session reports its state. False, and nothing changes, if this is another life's actor."""
        session_id = state.memory.home.session_id
        entry = self.entries.get(session_id)
        if entry is None or entry.actor is not actor:
            return False
        before, entry.state, entry.touched_at = entry.state, state, now
        memory, quarantined = state.memory, before.memory.quarantined
        if memory.quarantined is not quarantined:
            entry.holdings.count_unresponsive(len(memory.quarantined) - len(quarantined))
        holdings, size = entry.holdings, memory.results
        counts, agent, delays, behind = False, None, False, NO_AGENTS
        if type(state) is Running or type(state) is Ending:
            turn, line = state.turn, state.line
            size += turn.spec.size
            if line is not None:
                size += size_of_line(line)
                delays, behind = line.later != (), capped_agents(line, turn.spec.agent)
            if turn.ticket is None:
                head = turn.spec.head
                counts, agent = head.parent is None, head.agent
            if session_id not in self.active and (
                not self.opening or self.opening.pop(session_id, None) is None
            ):
                self.resting.pop(session_id, None)
                if now - entry.active_at > QUIET:
                    entry.active_before = entry.active_at
            self.active[session_id] = InFlight(state)
            entry.active_at = turn.started_at
        elif type(state) is Queued:
            size += size_of_line(state.line)
            counts, delays = weight_of(state)
            behind = capped_agents(state.line)
            if self.active.pop(session_id, None) is None and session_id not in self.opening:
                self.resting.pop(session_id, None)
            self.opening[session_id] = entry
        else:
            if self.active.pop(session_id, None) or self.opening.pop(session_id, None):
                entry.active_at = now
            else:
                self.resting.pop(session_id, None)
            self.resting[session_id] = entry  # at the end: the others have been at rest for longer
        if counts is not entry.counts:
            # Without calls to `Holdings.count_turns` and `Ledger.count_turn`: every turn passes here twice.
            entry.counts, number = counts, 1 if counts else -1
            holdings.turns += number
            holdings.in_all.turns += number
            if holdings.turns < 2 or holdings.waiting:
                holdings.moved()
        if agent is not entry.agent:
            of_agent, over, entry.agent = self.ledger.of_agent, entry.agent, agent
            if agent is not None:
                of_agent[agent] += 1
            if over is not None:
                of_agent[over] -= 1
        if delays is not entry.delays or behind is not entry.agents_behind:
            _count_waiting(self.ledger, entry, delays, behind)
        if size != entry.counted:
            holdings.keep(size - entry.counted)
            entry.counted = size
        return True

    def opened_stream(self, stream: Any, user: str) -> None:
        """A user reads along. Call `closed_stream` at the end, as often as you like."""
        holdings = self.streams[stream] = self.ledger.of(user)
        holdings.count_streams(1)

    def closed_stream(self, stream: Any) -> None:
        """The stream is at its end."""
        holdings = self.streams.pop(stream, None)
        if holdings is not None:
            holdings.count_streams(-1)
            self.ledger.tidy(holdings)

    def slept(self, entry: Entry, state: State, log: Any) -> None:
        """The session's actor has stopped; this is what is left of it."""
        self.resting.pop(entry.session_id, None)
        entry.actor, entry.state, entry.log = None, state, log
        self.asleep.add(entry)
        entry.holdings.move_to_end(entry)

    def woke(self, entry: Entry, actor: Any) -> None:
        """The session has an actor again."""
        self.asleep.discard(entry)
        entry.actor = actor
        self.resting[entry.session_id] = entry

    def remove(self, entry: Entry) -> None:
        """Forget the session."""
        session_id, holdings = entry.session_id, entry.holdings
        self.active.pop(session_id, None)
        self.opening.pop(session_id, None)
        _count_no_turn(self.ledger, entry)
        self.entries.pop(session_id, None)
        self.resting.pop(session_id, None)
        self.asleep.discard(entry)
        if entry.log is not None:
            entry.log.forget()
        holdings.keep(-entry.counted - size_of_title(entry.title))
        holdings.count_unresponsive(-len(entry.state.memory.quarantined))
        holdings.remove(entry)
        self.ledger.tidy(holdings)
        self.epoch_floor = max(self.epoch_floor, last_epoch(entry.state))

    def longest_idle(self, now: float, idle_ttl: float) -> Iterator[Entry]:
        """Those, awake or asleep, that nothing has touched for ``idle_ttl`` seconds, and closed ones asleep.

        If time passes meanwhile, look again at each: `may_sleep`, `may_be_forgotten`.
        """
        before = now - idle_ttl
        # Let go of one by one: those that are forgotten would all be freed at the end, in one go.
        resting = deque(self.resting.values())
        while resting and resting[0].touched_at <= before:
            yield resting.popleft()
        for entry in self.asleep:
            if entry.touched_at > before and not isinstance(entry.state, Closed):
                break
            yield entry

    def longest_asleep(self, user: str | None = None) -> Entry | None:
        """The session that has slept the longest, of this user's or of all, and may be forgotten."""
        entries: Iterable[Entry] = self.asleep if user is None else self.ledger.sessions(user)
        sleeping = (entry for entry in entries if entry in self.asleep)
        return next((entry for entry in sleeping if not entry.awaits_the_journal), None)

    def may_sleep(self, entry: Entry) -> bool:
        """Whether it is awake, has nothing to do and no readers, and is not on its way to sleep already."""
        at_rest = self.resting.get(entry.session_id) is entry and entry.parked_mail is None
        return at_rest and not entry.subscribers and not entry.state.memory.quarantined


def counts_of(directory: Directory, counters: Mapping[str, int], lag: LoopLag) -> Counts:
    """How many there are of what, with what was counted elsewhere."""
    return Counts(
        sessions=len(directory.entries),
        asleep=len(directory.asleep),
        turns_in_flight=len(directory.active),
        unresponsive=directory.ledger.in_all.unresponsive,
        subscribers=len(directory.streams),
        kept=directory.ledger.in_all.kept,
        counters=counters,
        loop_lag=lag,
    )


def may_be_forgotten(directory: Directory, entry: Entry, now: float, retention: float) -> bool:
    """Whether it sleeps, and is closed or was last touched ``retention`` seconds ago.

    Not while messages wait in it for the journal.
    """
    if entry not in directory.asleep or entry.awaits_the_journal:
        return False
    return isinstance(entry.state, Closed) or entry.touched_at <= now - retention


def _count_no_turn(ledger: Ledger[Entry], entry: Entry) -> None:
    """None of its turns counts any more."""
    if entry.counts:
        entry.holdings.count_turns(-1)
    if entry.agent is not None:
        ledger.count_turn(entry.agent, -1)
    _count_waiting(ledger, entry, False, NO_AGENTS)
    entry.counts, entry.agent = False, None


def _count_waiting(ledger: Ledger[Entry], entry: Entry, delays: bool, agents: frozenset[str]) -> None:
    """Whether a turn waits to ask for a slot, and turns of which agents wait in the session and count."""
    if delays is not entry.delays:
        entry.delays = delays
        entry.holdings.count_later(1 if delays else -1)
    for name in entry.agents_behind:
        ledger.waiting_of_agent[name] -= 1
    for name in agents:
        ledger.waiting_of_agent[name] += 1
    entry.agents_behind = agents


def size_of_line(line: Line) -> int:
    """How many bytes the messages of turns that wait take."""
    size = 0 if line.front is None else line.front.spec.size
    if line.rest or line.later:
        size += sum([turn.spec.size for turn in (*line.rest, *line.later)])
    return size


def size_of_title(title: str | None) -> int:
    """About how many bytes a title takes."""
    return 0 if title is None else footprint(title)


def name(entry: Entry, title: str | None) -> None:
    """The session has this title from now on."""
    entry.holdings.keep(size_of_title(title) - size_of_title(entry.title))
    entry.title = title


def left_of(entry: Entry) -> Left:
    """What is left of a session that is forgotten, beside its conversation."""
    return Left(entry.session_id, entry.owner, entry.title, entry.active_at)


def summary(found: Listed) -> SessionSummary:
    """A session as it is listed."""
    if isinstance(found, Left):
        return SessionSummary(found.session_id, found.owner, found.title, SessionState.IDLE, found.active_at)
    state = found.state
    return SessionSummary(
        found.session_id,
        found.owner,
        found.title,
        state_name(state),
        found.active_at,
        int(isinstance(state, Running | Ending)),
        len(queued_turns(state)),
        len(state.memory.quarantined),
        found.subscribers,
    )


def followed(directory: Directory, actor: Any, session_id: SessionId, subscribers: int, now: float) -> None:
    """A living session reports how many readers it has."""
    entry = directory.living(actor, session_id)
    if entry is None:
        return
    entry.subscribers = subscribers
    entry.touched_at = now
    if directory.resting.pop(session_id, None) is not None:
        directory.resting[session_id] = entry


def reserve(directory: Directory, session_id: SessionId, *, waits: bool) -> Callable[[int], None] | None:
    """Count a turn that is about to be reported, unless it counts already: in flight, or where it ``waits``.

    Give its place back before that, by a call with -1.
    """
    entry = directory.entries.get(session_id)
    if entry is None or entry.counts:
        return None
    count = entry.holdings.count_later if waits else entry.holdings.count_turns
    count(1)
    return count


def came_to_nothing(directory: Directory, actor: Any, state: State, title: str | None) -> None:
    """Nothing starts in a session that was opened for that: it has nothing to do, and this title."""
    entry = directory.living(actor, state.memory.home.session_id)
    if entry is not None and entry.session_id in directory.opening:
        name(entry, title)
        directory.report(actor, state, entry.touched_at)


def renamed(directory: Directory, actor: Any, state: State, title: str) -> None:
    """The session's actor has this title to write: what came to nothing meanwhile may have taken it away."""
    entry = directory.living(actor, state.memory.home.session_id)
    if entry is not None:
        name(entry, title)


def put_back(directory: Directory, entry: Entry, owner: str) -> None:
    """A session is in memory again, asleep."""
    directory.ledger.of(owner).add(entry)
    directory.entries[entry.session_id] = entry
    directory.asleep.add(entry)
    entry.counted = entry.state.memory.results
    entry.holdings.keep(entry.counted)
    entry.holdings.count_unresponsive(len(entry.state.memory.quarantined))


def restore(entry: Entry, left: Left | None) -> None:
    """A session of which this was left is opened again."""
    if left is not None:
        name(entry, left.title)
        entry.active_before = left.active_at


def active_by(entry: Entry, moment: float) -> float | None:
    """When the session had last been active by that moment; ``None`` if it was not known then.

    Exact, unless it has had more turns since than it remembers: then it may be an earlier moment.
    """
    if entry.active_at <= moment:
        return entry.active_at
    memory = entry.state.memory
    times = [entry.active_before]
    for record in (*memory.records, *memory.quarantined):
        if record.started_at is not None:
            times.append(record.started_at)
            if record.ended_at is not None:
                times.append(record.ended_at)
    return max((at for at in times if at <= moment), default=None)


def last_epoch(state: State) -> Epoch:
    """The newest epoch the session has drawn."""
    if isinstance(state, Running | Ending):
        return state.turn.epoch
    return state.memory.last_epoch
