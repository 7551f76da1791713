"""asyncio for Pykka: actors that live on an event loop. Imports nothing else of turnkeeper.

::

    errors      what goes wrong when actors are used from the wrong place
    query       a message that carries the type of its reply
    promise     an answer that comes once: awaited on loops, waited for in threads
    future      a promise as Pykka knows it, and futures made of futures
    answers     how a handler answers a reply address
    run_queue   which of the actors that have mail is next
    ref         a reference to an actor, which holds its mail
    actor       an actor on an event loop
    batches     work on very many things, a batch in each pass of the loop
    timer       one alarm on a loop that can be moved
    patience    how long answers are waited for, with one alarm for all of them
    stack       how much room is left on the stack
    loop_watch  notices from a thread of its own when a loop is late

Pykka's documented behaviour is kept; `docs/reference/pykka.md` lists where it cannot be.
"""

from .actor import AsyncioActor, ask, forward
from .answers import answer, answer_foreign, refuse
from .batches import batches, in_batches
from .countdown import Countdown
from .errors import BlockingCallOnLoop, LoopClosed, RuntimeMisuse, TurnkeeperError
from .future import AsyncioFuture
from .loop_watch import LoopWatch
from .patience import Patience
from .promise import ActorLoopClosed, is_awaited
from .query import Query
from .ref import AsyncioRef, request_stop
from .run_queue import ReplyTo
from .timer import Timer

__all__ = [
    "ActorLoopClosed",
    "AsyncioActor",
    "AsyncioFuture",
    "AsyncioRef",
    "BlockingCallOnLoop",
    "Countdown",
    "LoopClosed",
    "LoopWatch",
    "Patience",
    "Query",
    "ReplyTo",
    "RuntimeMisuse",
    "Timer",
    "TurnkeeperError",
    "answer",
    "answer_foreign",
    "ask",
    "batches",
    "forward",
    "in_batches",
    "is_awaited",
    "refuse",
    "request_stop",
]
