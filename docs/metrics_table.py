"""Writes the table of `docs/howto/monitor.md` from the code: ``python docs/metrics_table.py``."""

from pathlib import Path

from prometheus_client.core import Metric

from turnkeeper.actors import SessionRegistry, Turn
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.turn.work.means import GAUGES, STILL_RUNNING
from turnkeeper.web.http.problems import Code
from turnkeeper.web.metrics.collector import MetricsCollector

PAGE = Path(__file__).parent / "howto" / "monitor.md"
BEGIN, END = "<!-- written by docs/metrics_table.py -->\n", "<!-- end -->\n"


async def agent(_turn: Turn) -> None:
    """An agent that has figures."""


def families() -> list[Metric]:
    """All that a server of its own shows of turnkeeper, before anything has happened."""
    registry = SessionRegistry(agent, journal=MemoryJournal())
    registry.meter.connections = 0
    registry.meter.gauges += [(gauge, int) for gauge in GAUGES]
    registry.meter.gauges_by_label.append((STILL_RUNNING, lambda: {"threads": 0}))
    registry.meter.agents["default"].tokens["input"] = 0
    return list(MetricsCollector(registry, "0", streams=int, codes=[code.value for code in Code]).collect())


def row(family: Metric) -> str:
    """A family, by the name that an expression has for it."""
    name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    named = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {family.type} | {named} | {family.documentation.rstrip('.')} |"


def page(text: str) -> str:
    """The page with its table as it must be."""
    before, _, rest = text.partition(BEGIN)
    head = ["| name | kind | labels | what it is |", "|---|---|---|---|"]
    table = "\n".join([*head, *map(row, families())])
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
