"""Collects the figures of one registry for `prometheus_client`, when they are asked for.

Nothing is measured here: the registry's meter and directory have the numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isinf
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.metrics.histogram import Histogram
from turnkeeper.actors.metrics.meter import COUNTERS, GaugeByLabel, Meter
from turnkeeper.actors.metrics.turn_figures import TurnFigures
from turnkeeper.actors.model.messages import Counts
from turnkeeper.actors.model.words import TERMINAL, Priority, Strategy, WaitsFor
from turnkeeper.actors.registry.directory import counts_of
from turnkeeper.actors.registry.front import SessionRegistry

#: What every name begins with.
PREFIX: Final = "turnkeeper_"
#: What turns wait for that wait for a slot.
FOR_A_SLOT: Final = (WaitsFor.SERVER_CAP, WaitsFor.USER_CAP, WaitsFor.AGENT_CAP)
#: What is measured of the turns of each agent: the name, what it is, and where it stands.
SPANS: Final[tuple[tuple[str, str, Callable[[TurnFigures], Histogram]], ...]] = (
    ("turn_duration_seconds", "From a turn's start to its end.", lambda figures: figures.duration),
    (
        "turn_first_event_seconds",
        "From a turn's send to its agent's first event.",
        lambda figures: figures.first_event,
    ),
    (
        "queue_wait_seconds",
        "From a turn's send to its start, of turns that had to wait: for another one to settle, or a slot.",
        lambda figures: figures.queue_wait,
    ),
    (
        "cancel_latency_seconds",
        "From a turn's first cancel to its end: to when its coroutine had stopped, or was given up.",
        lambda figures: figures.cancel_latency,
    ),
)


class MetricsCollector(Collector):
    """A collector for the figures of one registry. It may be asked in any thread.

    ``streams`` says how many streams are open over HTTP, and ``codes`` are the codes that a request may be
    refused with. To have the figures among a host's own, register it: ``REGISTRY.register(collector)``.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        version: str,
        *,
        streams: Callable[[], int] | None = None,
        codes: Iterable[str] = (),
    ) -> None:
        self._registry = registry
        self._version = version
        self._streams = streams
        self._codes = tuple(codes)

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        registry, meter = self._registry, self._registry.meter
        counts = counts_of(registry.directory, meter.counts(), registry.loop_lag)
        yield InfoMetricFamily(
            f"{PREFIX}server",
            "Which server this is. Another incarnation: it was started again.",
            {"version": self._version, "incarnation": registry.incarnation},
        )
        yield _gauge(
            "accepting", "1 if sends are taken, 0 if the server is shutting down.", registry.accepting
        )
        yield from _gauges(counts)
        if self._streams is not None:
            yield _gauge("streams", "Streams that are open over HTTP.", self._streams())
        if meter.connections is not None:
            yield _gauge("connections", "Connections that are open.", meter.connections)
        if registry.journal is not None:
            yield from _of_journal(registry.journal, registry.unwritten)
        yield _turns(meter)
        yield _tokens(meter)
        for name, text, histogram in SPANS:
            by_agent = {agent: histogram(each) for agent, each in list(meter.agents.items())}
            yield _spans(name, text, "agent", by_agent)
        for gauge, number in meter.gauges:
            yield _gauge(gauge.name, gauge.help, number())
        for by_label, numbers in meter.gauges_by_label:
            yield _gauge_by_label(by_label, numbers())
        yield from _of_slots(registry.directory.ledger)
        yield _waiting(registry.directory.scheduler.numbers())
        yield _spans(
            "slot_wait_seconds",
            "For how long turns waited for a slot before they came by it, of those that had to.",
            "lane",
            {lane: meter.waits[lane] for lane in Priority},
        )
        for counter in COUNTERS:
            yield _counter(counter.name, counter.help, counts.counters.get(counter.name, 0))
        yield _refusals(meter, self._codes)
        lag = counts.loop_lag
        yield _gauge("loop_lag_seconds", "How late the event loop is.", lag.now)
        yield _gauge("loop_lag_max_seconds", "The same at its worst since the start.", lag.max)
        yield _counter("loop_stalls_total", "How often the event loop was later than slow_loop.", lag.count)


def _gauges(counts: Counts) -> Iterator[Metric]:
    yield _gauge("sessions", "Sessions that are known, asleep or not.", counts.sessions)
    yield _gauge("sessions_asleep", "Sessions that sleep.", counts.asleep)
    yield _gauge("turns_in_flight", "Turns that hold a session.", counts.turns_in_flight)
    yield _gauge("unresponsive_turns", "Turns that were given up and still run.", counts.unresponsive)
    yield _gauge("subscribers", "Readers of sessions, over HTTP and in the process.", counts.subscribers)
    yield _gauge("kept_bytes", "About how many bytes of events and messages are kept.", counts.kept)


def _of_journal(journal: Journal, unwritten: int) -> Iterator[Metric]:
    yield _gauge(
        "journal_up", "1 if the journal could be written last time, 0 if it is down.", journal.down is None
    )
    yield _gauge(
        "journal_unwritten_bytes", "How many bytes of events wait to be written into the journal.", unwritten
    )


def _turns(meter: Meter) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}turns",
        "Turns that have ended, by their status, their agent and the strategy of their send.",
        labels=("status", "agent", "strategy"),
    )
    for agent, figures in list(meter.agents.items()):
        ends = dict(figures.ends)
        for status in sorted(TERMINAL):
            for strategy in Strategy:
                family.add_metric((status, agent, strategy), ends.get((status, strategy), 0))
    return family


def _tokens(meter: Meter) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}tokens",
        "Tokens that turns which have ended have used, as their agents have reported it, by agent and kind.",
        labels=("agent", "kind"),
    )
    for agent, figures in list(meter.agents.items()):
        for kind, count in dict(figures.tokens).items():
            family.add_metric((agent, kind), count)
    return family


def _spans(name: str, text: str, label: str, spans: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=(label,))
    for of, histogram in spans.items():
        total = histogram.sum
        buckets = [("+Inf" if isinf(bound) else str(bound), float(n)) for bound, n in histogram.below]
        family.add_metric((of,), buckets, total)
    return family


def _of_slots(ledger: Ledger[Any]) -> Iterator[Metric]:
    slots, in_all = ledger.caps.in_all, ledger.in_all
    yield _gauge("slots", "How many turns may be in flight, as the cap in all is now.", slots)
    yield _gauge("slots_held", "How many of them are taken, with those about to start.", in_all.in_flight)
    yield _gauge("users_active", "Users with turns in flight, or waiting for a slot.", in_all.active)
    yield _gauge(
        "user_share",
        "How many slots are an active user's share: those who have fewer go first.",
        slots / max(in_all.active, 1),
    )


def _waiting(numbers: Mapping[tuple[Priority, WaitsFor], int]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}turns_waiting",
        "Turns that wait for a slot, by their lane and by what it is that they wait for.",
        labels=("lane", "waits_for"),
    )
    for lane in Priority:
        for waits_for in FOR_A_SLOT:
            family.add_metric((lane, waits_for), numbers.get((lane, waits_for), 0))
    return family


def _refusals(meter: Meter, codes: Iterable[str]) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}refusals", "Requests that were refused, by the code of the refusal.", labels=("code",)
    )
    refused = dict(meter.refusals)
    for code in codes:
        family.add_metric((code,), refused.get(code, 0))
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value)


def _gauge_by_label(gauge: GaugeByLabel, numbers: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(PREFIX + gauge.name, gauge.help, labels=(gauge.label,))
    for value, number in numbers.items():
        family.add_metric((value,), number)
    return family


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value)
