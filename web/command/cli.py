"""The `turnkeeper` command: where it begins, and how it ends."""

import os
import sys
from collections.abc import Sequence

import click

from turnkeeper.web.client.errors import ClientError

from .commands import turnkeeper
from .exit_codes import CommandFailed, ExitCode, exit_code_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is an `ExitCode`, or 70 if a server had to be ended by force.

    Every failure is one line on the standard error. Raises nothing but `SystemExit`.
    """
    try:
        given = None if arguments is None else list(arguments)
        answer = turnkeeper.main(given, prog_name="turnkeeper", standalone_mode=False)
        return int(answer or 0)
    except click.exceptions.Exit as exited:
        return exited.exit_code
    except click.ClickException as error:
        return _complain(_usage(error), ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer has nowhere to go; flushing it at exit would raise once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except (CommandFailed, ClientError) as error:
        return _complain(str(error), exit_code_of(error))


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return f"{' '.join(error.format_message().split())}{hint}"


def _complain(text: str, exit_code: ExitCode) -> int:
    click.echo(f"turnkeeper: {text}", err=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
