"""How the command ends: the exit codes that scripts can use, and what each failure ends with."""

from enum import IntEnum

from turnkeeper.web.client.errors import ClientError, Refused, Unreachable


class ExitCode(IntEnum):
    """The exit codes of the command. `docs/reference/command.md` explains them."""

    OK = 0
    """Done; a turn that was followed has completed."""
    FAILED = 1
    """It could not be done, or the turn ended in another way than `completed`."""
    USAGE = 2
    """The command line is wrong, or the server found the request wrong."""
    UNREACHABLE = 3
    """No turnkeeper of this version answers at that address, or it is shutting down."""
    NOT_ALLOWED = 4
    """The token is missing, not valid, or does not permit this."""
    UNKNOWN = 5
    """There is no such session or turn, or nothing to cancel."""
    UNRESPONSIVE = 6
    """The turn ignores being cancelled and may still be running."""
    DAMAGED = 7
    """Something is wrong with the journal's file."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    BROKEN_PIPE = 141
    """The reader of the output has gone, as in ``turnkeeper tail s1 | head``."""


class CommandFailed(Exception):
    """The command cannot go on. The text is one line for people."""

    def __init__(self, exit_code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code


#: What a server's refusal ends with; any other status ends with FAILED.
_OF_STATUS = {
    401: ExitCode.NOT_ALLOWED,
    403: ExitCode.NOT_ALLOWED,
    404: ExitCode.UNKNOWN,
    422: ExitCode.USAGE,
    503: ExitCode.UNREACHABLE,
}


def exit_code_of(error: CommandFailed | ClientError) -> ExitCode:
    """The exit code of a failure."""
    match error:
        case CommandFailed():
            return error.exit_code
        case Refused():
            return _OF_STATUS.get(error.status, ExitCode.FAILED)
        case Unreachable():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.USAGE
