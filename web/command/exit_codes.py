"""How the command ends: the exit codes scripts can use, and the one line that goes with each."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command. `docs/reference/command.md` tells them to people."""

    OK = 0
    """It is done, and a turn that was followed has completed."""
    FAILED = 1
    """It could not be done, or the turn has ended in another way than `completed`."""
    USAGE = 2
    """The command was asked wrongly, or the server found the request wrong."""
    UNREACHABLE = 3
    """No turnkeeper of this version answers at that address, or it is shutting down."""
    NOT_ALLOWED = 4
    """The token is missing, not valid, or not enough."""
    UNKNOWN = 5
    """There is no such session or turn, or nothing to cancel."""
    UNRESPONSIVE = 6
    """The turn ignores being cancelled and may still be running."""
    INTERRUPTED = 130
    """Ctrl-C."""
    NOBODY_READS = 141
    """Whoever read the output has gone, as in ``turnkeeper tail s1 | head``."""


class Failure(Exception):
    """The command cannot go on. Its text is one line for people."""

    def __init__(self, exit_code: Exit, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code
