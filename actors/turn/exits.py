"""What would end the process if it left a turn: ``sys.exit()`` and KeyboardInterrupt.

asyncio lets both through: a task that one of them leaves takes the whole event loop along. In a turn they are
an error of the agent's like any other, unless the operator has pressed Ctrl-C.
"""

import inspect
import signal
import threading
from functools import partial
from traceback import walk_tb
from types import CodeType

from turnkeeper.actors.model.exceptions import AgentError, AgentExited, AgentInterrupted


def contained(error: KeyboardInterrupt | SystemExit) -> AgentError | None:
    """The agent's error that this is; ``None`` for the operator's Ctrl-C, which is to go its way."""
    if isinstance(error, SystemExit):
        return AgentExited(f"the agent raised {error!r}")
    return None if is_operators(error) else AgentInterrupted(f"the agent raised {error!r}")


def is_operators(error: KeyboardInterrupt) -> bool:
    """Whether Ctrl-C made it.

    Python's own handler of SIGINT leaves no trace: while that one is in force, each counts as the operator's.
    Any other handler's frame is where the exception began. Signals are handled in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    handler = signal.getsignal(signal.SIGINT)
    return handler is signal.default_int_handler or _began_in(error, _code_of(handler))


def _began_in(error: BaseException, code: CodeType | None) -> bool:
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_code is code


def _code_of(handler: object) -> CodeType | None:
    while isinstance(handler, partial):  # asyncio's is one
        handler = handler.func
    function = handler if inspect.isroutine(handler) else getattr(handler, "__call__", None)  # noqa: B004
    code: CodeType | None = getattr(function, "__code__", None)
    return code
