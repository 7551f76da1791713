"""An output that is a terminal, and turns to show on it."""

import io
from typing import Any

NOW = 1_700_000_000.0
ACTIVE: dict[str, Any] = {
    "later": {"active": True, "created_at": NOW - 5, "task_id": "b" * 32, "user": "bob", "agent": "coder"},
    "a-session-with-a-rather-long-name": {
        "active": True, "created_at": NOW - 100_000, "task_id": "a" * 32, "user": "ada\x1b[31m\nx",
    },
}  # fmt: skip


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True
