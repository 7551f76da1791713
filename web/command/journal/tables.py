"""How much is in a journal's file, as tables. Pure."""

from pathlib import Path

from turnkeeper.actors.journal.tools.figures import Figures
from turnkeeper.web.command.tables import Table
from turnkeeper.web.command.wording import moment, size


def figures_table(found: Figures, path: Path, now: float) -> Table:
    """How much there is of what."""
    rows = [
        ("file", str(path)),
        ("size", f"{size(found.file_bytes)}, {size(found.free_bytes)} of it free"),
        ("logs", size(found.log_bytes)),
        ("users", f"{found.users:,}"),
        ("sessions", f"{found.sessions:,}"),
        ("turns", f"{found.turns:,}, {found.open_turns:,} of them not ended"),
        ("entries", f"{found.entries:,}"),
        ("messages", f"{found.messages:,}"),
    ]
    for name, at in (("first active", found.first_active_at), ("last active", found.last_active_at)):
        if at is not None:
            rows.append((name, moment(at, now)))
    return Table(("WHAT", "HOW MUCH"), rows)


def users_table(found: Figures) -> Table:
    """Those who have the most."""
    rows = [(each.user, f"{each.sessions:,}", size(each.bytes)) for each in found.largest]
    return Table(("USER", "SESSIONS", "LOGS"), rows)
