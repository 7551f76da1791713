"""What goes wrong when actors are used from the wrong place, and the base of all errors.

`turnkeeper.actors.model.exceptions` draws the whole tree.
"""

from typing import ClassVar


class TurnkeeperError(Exception):
    """Base of all errors that turnkeeper raises. ``code`` is stable and meant for programs."""

    code: ClassVar[str] = "INTERNAL"
    #: Whether it belongs to normal operation: a turn that ends with it is logged as a warning, in one line.
    expected: ClassVar[bool] = False


class RuntimeMisuse(TurnkeeperError, RuntimeError):
    """The actors were used from the wrong thread, loop or moment."""


class BlockingCallOnLoop(RuntimeMisuse):
    """A blocking ``ask``, ``get`` or ``stop`` on the event loop's own thread would never return."""

    code = "BLOCKING_CALL_ON_LOOP"


class LoopClosed(RuntimeMisuse):
    """The actors' event loop is closed, or there is none to start on."""

    code = "LOOP_CLOSED"
