"""How often what happened. Every counter is a constant here; nothing else spells a counter's name. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from .histogram import Histogram
from .turn_figures import ANSWERS, TurnFigures


class Counter(NamedTuple):
    """One thing that is counted: its name, and what it means, in a sentence."""

    name: str
    help: str


UNRESPONSIVE: Final = Counter(
    "unresponsive_total", "Coroutines that ignored being cancelled for the whole grace and were quarantined."
)
STALE_REPORTS: Final = Counter(
    "stale_reports_total", "Reports of a turn's end that came when the turn no longer held its session."
)
BUDGETS_EXCEEDED: Final = Counter(
    "budgets_exceeded_total", "Turns that were cancelled because they emitted or used more than they may."
)
EVENTS_OVER_BUDGET: Final = Counter(
    "events_over_budget_total",
    "Events that were dropped because their turn had exceeded its budget and was being cancelled for that.",
)
TURNS_STALLED: Final = Counter(
    "turns_stalled_total", "Turns that were cancelled because they emitted nothing for too long."
)
TURNS_ABANDONED: Final = Counter(
    "turns_abandoned_total", "Turns that were cancelled because they had no reader for too long."
)
SUPERSEDED: Final = Counter("superseded_total", "Turns whose place a newer message took, started or not.")
GAPS: Final = Counter("gaps_total", "Readers whose cursor could not be continued from, and who got a gap.")
SUBSCRIBER_OVERFLOW: Final = Counter(
    "sse_overflow_total", "Streams that were ended because their reader lagged too far behind."
)
STREAMS_STUCK: Final = Counter(
    "streams_stuck_total", "Streams that were cut because a write to them had been stuck for too long."
)
EVENTS_TOO_LARGE: Final = Counter(
    "events_too_large_total", "Events that agents could not emit because they were too large."
)
RESULTS_LEFT_OUT: Final = Counter(
    "results_left_out_total", "Results that were too large for the events that tell of their turns' ends."
)
RESULTS_NOT_KEPT: Final = Counter(
    "results_not_kept_total", "Results that were too large to be kept with the records of their turns."
)
EARLY_CANCELS_DROPPED: Final = Counter(
    "early_cancels_dropped_total",
    "Cancels before their sends that were forgotten because there were too many.",
)
MESSAGES_TOO_LARGE: Final = Counter(
    "messages_too_large_total", "Messages that were refused because they had too much text or too many parts."
)
TITLES_TOO_LONG: Final = Counter(
    "titles_too_long_total", "Titles of sessions that were refused because they were too long."
)
MESSAGES_ELIDED: Final = Counter(
    "messages_elided_total", "Messages of which readers are shown some parts only by their type and size."
)
MESSAGES_OMITTED: Final = Counter(
    "messages_omitted_total", "Messages that were dropped because their conversation had become too long."
)
REPLIES_CUT_OFF: Final = Counter(
    "replies_cut_off_total", "Replies of which only the beginning was recorded because they were too long."
)
CONVERSATIONS_FORGOTTEN: Final = Counter(
    "conversations_forgotten_total", "Conversations that were forgotten because there were too many of them."
)
CONNECTIONS_REFUSED: Final = Counter(
    "connections_refused_total", "Connections that were refused because the server had as many as it may."
)
PEER_CONNECTIONS_REFUSED: Final = Counter(
    "peer_connections_refused_total", "Connections that were refused because their address had too many."
)
CONNECTIONS_CLOSED_IDLE: Final = Counter(
    "connections_closed_idle_total", "Idle connections that were closed to make room for others."
)
CONNECTIONS_TIMED_OUT: Final = Counter(
    "connections_timed_out_total", "Connections whose request's head did not come in time."
)
BODIES_TOO_LARGE: Final = Counter(
    "bodies_too_large_total", "Requests that were refused because their body was larger than one may be."
)
BODIES_OF_MANY_VALUES: Final = Counter(
    "bodies_of_many_values_total", "Requests that were refused because their body held too many JSON values."
)
BODIES_TOO_SLOW: Final = Counter(
    "bodies_too_slow_total", "Requests that were refused because their body did not come in time."
)
TOO_MANY_UPLOADS: Final = Counter(
    "too_many_uploads_total",
    "Requests that were refused because a user sent too many large bodies at a time.",
)
UPLOADS_FULL: Final = Counter(
    "uploads_full_total", "Requests that were refused because all together sent too many large bodies."
)
QUEUE_FULL: Final = Counter(
    "queue_full_total", "Sends that were refused because too many turns waited for their session."
)
TOO_MANY_UNRESPONSIVE: Final = Counter(
    "too_many_unresponsive_total",
    "Sends that were refused because too many turns did not stop when they were cancelled.",
)
TOO_MANY_SESSIONS: Final = Counter(
    "too_many_sessions_total", "Sends that were refused because there were too many sessions."
)
TOO_MANY_TURNS: Final = Counter(
    "too_many_turns_total", "Sends that were refused because there were too many turns in flight."
)
TOO_MANY_OF_AGENT: Final = Counter(
    "too_many_of_agent_total", "Sends that were refused because their agent had too many turns in flight."
)
TOO_MANY_WAITING: Final = Counter(
    "too_many_waiting_total", "Sends that were refused because too many turns waited for a slot."
)
TOO_MANY_STREAMS: Final = Counter(
    "too_many_streams_total", "Streams that were refused because there were too many of them."
)
TOO_MUCH_KEPT: Final = Counter(
    "too_much_kept_total", "Sends that were refused because too many bytes were kept."
)
CHILDREN_STARTED: Final = Counter(
    "children_started_total", "Turns that were started because another turn had sent their messages."
)
CHILDREN_REFUSED: Final = Counter(
    "children_refused_total", "Messages that turns sent to other sessions and that were refused."
)
CHILDREN_NOT_AWAITED: Final = Counter(
    "children_not_awaited_total",
    "Turns that ended before the turns that they had sent for: these took too long to stop.",
)
TOO_DEEP: Final = Counter(
    "too_deep_total", "Messages of turns that were refused because their tree had too many levels."
)
TOO_MANY_CHILDREN: Final = Counter(
    "too_many_children_total", "Messages of turns that were refused because these had sent too many."
)
TOO_MANY_POLICIES: Final = Counter(
    "too_many_policies_total", "Policies of users that were refused because there were too many of them."
)
SESSIONS_FORGOTTEN_EARLY: Final = Counter(
    "sessions_forgotten_early_total", "Sleeping sessions that were forgotten to make room for new ones."
)
BULK_CANCELS_TRUNCATED: Final = Counter(
    "bulk_cancels_truncated_total",
    "Bulk cancels that left turns alone because more matched than one may stop.",
)
HISTORY_FORGOTTEN: Final = Counter(
    "history_forgotten_total", "Sessions that the journal forgot because it had more than it may keep."
)
TOO_MANY_OPEN_CALLS: Final = Counter(
    "too_many_open_calls_total", "Calls of tools that were refused because their turn had too many open."
)
CANCEL_HOOKS_FAILED: Final = Counter(
    "cancel_hooks_failed_total", "Hooks of turns that were stopped that failed."
)
CANCEL_HOOKS_OVERDUE: Final = Counter(
    "cancel_hooks_overdue_total",
    "Hooks of turns that were stopped that were cancelled, or not begun, because time was up.",
)
INTERRUPT_HOOKS_FAILED: Final = Counter(
    "interrupt_hooks_failed_total", "Hooks of the host's for stopped turns that failed."
)
INTERRUPT_HOOKS_OVERDUE: Final = Counter(
    "interrupt_hooks_overdue_total",
    "Hooks of the host's for stopped turns that were cancelled, or not begun, because time was up.",
)
TURN_END_HOOKS_FAILED: Final = Counter(
    "turn_end_hooks_failed_total", "Hooks of the host's for ends of turns that failed."
)
TURN_END_HOOKS_OVERDUE: Final = Counter(
    "turn_end_hooks_overdue_total",
    "Hooks of the host's for ends of turns that were cancelled, or not begun, because time was up.",
)
ROLLBACK_HOOKS_FAILED: Final = Counter(
    "rollback_hooks_failed_total", "Hooks that failed when they were to undo a turn."
)
ROLLBACK_HOOKS_OVERDUE: Final = Counter(
    "rollback_hooks_overdue_total",
    "Hooks that were cancelled, or not begun, because to undo their turn took too long.",
)
SECTIONS_ENTERED: Final = Counter("critical_sections_total", "Critical sections that turns have entered.")
SECTIONS_REFUSED: Final = Counter(
    "critical_sections_refused_total",
    "Critical sections that were refused because their turn was cancelled or is in too many.",
)
SECTIONS_CUT_SHORT: Final = Counter(
    "critical_sections_cut_short_total",
    "Turns that were cancelled in a critical section because its time was up or an admin wanted it.",
)
TASKS_FAILED: Final = Counter(
    "tasks_failed_total", "Tasks of turns that failed, and whose error their turn did not look at."
)
TOO_MANY_TASKS: Final = Counter(
    "too_many_tasks_total", "Tasks that were refused because their turn had too many."
)
TOO_MANY_PROCESSES: Final = Counter(
    "too_many_processes_total", "Processes that were refused because turns had too many."
)
JOURNAL_OVERFLOWS: Final = Counter(
    "journal_overflows_total",
    "Turns that were cancelled because too many bytes of events waited to be written into the journal.",
)
APPENDS_NOT_LANDED: Final = Counter(
    "appends_not_landed_total", "Appends that the journal could not write, each time that it was tried."
)

COUNTERS: Final = (
    UNRESPONSIVE,
    STALE_REPORTS,
    BUDGETS_EXCEEDED,
    EVENTS_OVER_BUDGET,
    TURNS_STALLED,
    TURNS_ABANDONED,
    SUPERSEDED,
    GAPS,
    SUBSCRIBER_OVERFLOW,
    STREAMS_STUCK,
    EVENTS_TOO_LARGE,
    RESULTS_LEFT_OUT,
    RESULTS_NOT_KEPT,
    EARLY_CANCELS_DROPPED,
    MESSAGES_TOO_LARGE,
    TITLES_TOO_LONG,
    MESSAGES_ELIDED,
    MESSAGES_OMITTED,
    REPLIES_CUT_OFF,
    CONVERSATIONS_FORGOTTEN,
    CONNECTIONS_REFUSED,
    PEER_CONNECTIONS_REFUSED,
    CONNECTIONS_CLOSED_IDLE,
    CONNECTIONS_TIMED_OUT,
    BODIES_TOO_LARGE,
    BODIES_OF_MANY_VALUES,
    BODIES_TOO_SLOW,
    TOO_MANY_UPLOADS,
    UPLOADS_FULL,
    QUEUE_FULL,
    TOO_MANY_UNRESPONSIVE,
    TOO_MANY_SESSIONS,
    TOO_MANY_TURNS,
    TOO_MANY_OF_AGENT,
    TOO_MANY_WAITING,
    TOO_MANY_STREAMS,
    TOO_MUCH_KEPT,
    CHILDREN_STARTED,
    CHILDREN_REFUSED,
    CHILDREN_NOT_AWAITED,
    TOO_DEEP,
    TOO_MANY_CHILDREN,
    TOO_MANY_POLICIES,
    SESSIONS_FORGOTTEN_EARLY,
    BULK_CANCELS_TRUNCATED,
    HISTORY_FORGOTTEN,
    TOO_MANY_OPEN_CALLS,
    CANCEL_HOOKS_FAILED,
    CANCEL_HOOKS_OVERDUE,
    INTERRUPT_HOOKS_FAILED,
    INTERRUPT_HOOKS_OVERDUE,
    TURN_END_HOOKS_FAILED,
    TURN_END_HOOKS_OVERDUE,
    ROLLBACK_HOOKS_FAILED,
    ROLLBACK_HOOKS_OVERDUE,
    SECTIONS_ENTERED,
    SECTIONS_REFUSED,
    SECTIONS_CUT_SHORT,
    TASKS_FAILED,
    TOO_MANY_TASKS,
    TOO_MANY_PROCESSES,
    JOURNAL_OVERFLOWS,
    APPENDS_NOT_LANDED,
)
"""All of them."""


class Gauge(NamedTuple):
    """What there is a number of now: its name, and what it means, in a sentence."""

    name: str
    help: str


class GaugeByLabel(NamedTuple):
    """The same for each value of one label."""

    name: str
    help: str
    label: str


class Meter:
    """What is counted of one registry since it opened: plain numbers, for anyone to write down.

    They are written on the loop, and may be read in any thread.
    """

    __slots__ = ("_counts", "agents", "connections", "gauges", "gauges_by_label", "refusals", "waits")

    def __init__(self, agents: Iterable[str] = (), lanes: Iterable[str] = ()) -> None:
        self._counts: dict[str, int] = {}
        #: What is counted of turns, by the agent's name.
        self.agents = defaultdict(TurnFigures, {name: TurnFigures() for name in agents})
        #: How many requests were refused, by the code of the refusal.
        self.refusals: dict[str, int] = {}
        #: For how long turns have waited for a slot that they came by, by their lane.
        self.waits: defaultdict[str, Histogram] = defaultdict(
            lambda: Histogram(ANSWERS), {lane: Histogram(ANSWERS) for lane in lanes}
        )
        #: What is not counted here, but where it is, each with how many there are now.
        self.gauges: list[tuple[Gauge, Callable[[], int]]] = []
        self.gauges_by_label: list[tuple[GaugeByLabel, Callable[[], Mapping[Any, int]]]] = []
        #: How many connections are open, where the server counts them.
        self.connections: int | None = None

    def count(self, counter: Counter, times: int = 1) -> None:
        """One more, or so many."""
        name, counts = counter[0], self._counts
        counts[name] = counts.get(name, 0) + times

    def refuse(self, code: str) -> None:
        """One more request was refused with this code."""
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def counts(self) -> dict[str, int]:
        """How often each thing happened: by its counter's name, and each end of a turn by ``turn.<status>``.

        What never happened is left out.
        """
        counts = dict(self._counts)
        for figures in list(self.agents.values()):
            for (status, _), ended in list(figures.ends.items()):
                name = f"turn.{status}"
                counts[name] = counts.get(name, 0) + ended
            if figures.superseded:
                counts[SUPERSEDED.name] = counts.get(SUPERSEDED.name, 0) + figures.superseded
        return counts
