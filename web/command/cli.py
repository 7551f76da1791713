"""The `turnkeeper` command: where it begins, and what it says where its libraries are missing."""

import sys
from collections.abc import Sequence

#: What `turnkeeper[cli]` adds.
LIBRARIES = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is one of `exits.Exit`, or 70 if a server had to be ended by force."""
    try:
        from .commands import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in LIBRARIES:
            raise
        print("turnkeeper: the command needs more: pip install 'turnkeeper[cli]'", file=sys.stderr)
        return 1
    return run(None if arguments is None else list(arguments))


if __name__ == "__main__":
    sys.exit(main())
