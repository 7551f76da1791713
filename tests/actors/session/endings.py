"""How turns end, for alphabets: critical sections, what turns have begun, and what their ends run."""

from collections.abc import Iterator
from itertools import count

from tests.actors.session.alphabet import OUTCOMES, SAID, SESSION, USER, Letter
from tests.actors.session.facts import Facts, Rung
from turnkeeper.actors.model.messages import Hold, Recover, Stop, Tick, TurnEnded, TurnReturned, Unhold
from turnkeeper.actors.model.records import (
    ChildTurn,
    Extras,
    Returned,
    StillRunning,
    Stopped,
    ToolCall,
    TurnId,
    Usage,
)
from turnkeeper.actors.session.states import State

#: What is known of a turn that has ended, and of one that runs on.
USED = Extras(usage=Usage(1, 2))
LEFT = Extras(still_running=StillRunning(threads=1))
CHILDREN = Extras(children=(ChildTurn(SESSION, TurnId("child"), 1.0),))
#: What the log has of a turn that was cut off.
OPEN = Extras(open_calls=(ToolCall("c1", "ls"),))


def holds(facts: Facts, most: int = 2) -> Iterator[Letter]:
    """The turn in flight enters critical sections, one in another or beside it, and leaves them."""
    numbers = [section.number for section in facts.sections]
    if facts.holder is not None:
        number, epoch = next(n for n in count(1) if n not in numbers), facts.epoch
        if len(numbers) < most:
            yield Letter("hold", Hold(epoch, number))
            yield Letter("hold for 1 s", Hold(epoch, number, 1.0))
            yield Letter("hold for longer than may be", Hold(epoch, number, 99.0))
        if numbers and len(numbers) < most:
            yield Letter("hold inside the first", Hold(epoch, number, inside=numbers[0]))
        yield Letter("the first section is over", Unhold(epoch, (numbers or [number])[0]))
        if numbers[1:]:
            yield Letter("the last section is over", Unhold(epoch, numbers[-1]))
    yield Letter("a finished one holds", Hold(facts.over or 1, 1))
    yield Letter("a section of a finished one is over", Unhold(facts.over or 1, 1))


def passes(facts: Facts) -> Iterator[Letter]:
    """Time passes while the turn in flight is in critical sections: they may last for too long."""
    if facts.sections:
        yield Letter("time passes", Tick(), 2.0)


def forces(facts: Facts) -> Iterator[Letter]:
    """Cancels that wait for no critical section."""
    yield Letter("stop by force", Stop(None, USER, wait=False, force=True))
    if facts.line:
        yield Letter("stop by force, clearing", Stop(None, USER, wait=False, clear=True, force=True))


def waiting_forces(facts: Facts) -> Iterator[Letter]:
    """The same, and their askers wait for the verdict."""
    if len(facts.asked) < 2:
        yield Letter("stop by force, waiting", Stop(None, USER, force=True))
        yield Letter("stop by force, waiting and clearing", Stop(None, USER, clear=True, force=True))


def returns(facts: Facts) -> Iterator[Letter]:
    """Coroutines return, and what they have begun runs on."""
    if facts.holder is not None:
        yield Letter("the holder returned, its work goes on", TurnReturned(facts.epoch))
        for name, outcome in OUTCOMES[:2]:
            ended = TurnEnded(facts.epoch, outcome, SAID, began=True, extras=USED)
            yield Letter(f"the holder {name}, with extras", ended)
    for fled in facts.fled:
        yield Letter("the quarantined one returned, its work goes on", TurnReturned(fled.epoch))
    yield Letter("a finished one returned, its work goes on", TurnReturned(facts.over or 1))


def ends_with_hooks(facts: Facts) -> Iterator[Letter]:
    """The turn in flight ends, in each way, and its end runs something."""
    if facts.holder is not None:
        for name, outcome in OUTCOMES:
            ended = TurnEnded(facts.epoch, outcome, SAID, began=True, extras=USED, winds=True)
            yield Letter(f"the holder {name}, with hooks", ended)


def last_ticks(facts: Facts, now: float, *, hooks: bool = False, children: bool = False) -> Iterator[Letter]:
    """The end of the ladder, with what is known of the turn then; ``children``: only these run still."""
    if facts.holder is None or facts.rung is not Rung.SECOND or facts.timer is None:
        return
    due = max(0.0, facts.end - now)
    yield Letter("given up, with extras", Tick(SAID, began=True, extras=LEFT), due)
    if hooks:
        yield Letter("given up, with hooks", Tick(SAID, began=True, extras=LEFT, winds=True), due)
    if children:
        for name, outcome in (("returned", Returned("r")), ("stopped", Stopped())):
            ended = TurnEnded(facts.epoch, outcome, SAID, began=True, extras=CHILDREN, winds=True)
            yield Letter(f"only children run, it {name}", Tick(SAID, winds=True, ended=ended), due)
        ended = TurnEnded(facts.epoch, Stopped(), SAID, began=True, extras=CHILDREN)
        yield Letter("only children run, without hooks", Tick(SAID, ended=ended), due)


def restarts_with_hooks(state: State) -> Iterator[Letter]:
    """Another process loads the session, which has hooks for the ends of turns."""
    if state.memory.home.limits.durable:
        yield Letter("its process ends, one with hooks loads it", Recover(winds=True, extras=OPEN))
