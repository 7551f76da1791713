"""What a turn has that most turns do not: one object, made when it is first needed."""

from collections.abc import Callable

from turnkeeper.actors.model.records import Extras, Outcome, Returned, Usage
from turnkeeper.actors.turn.family.branch import Branch
from turnkeeper.actors.turn.tools.open_calls import OpenCalls
from turnkeeper.actors.turn.winding.hooks import CancelHook, HostHooks, Undo
from turnkeeper.actors.turn.work.begun import Begun


class Sections:
    """The critical sections that a turn is in, or asks for."""

    __slots__ = ("_last", "count", "then", "waits")

    def __init__(self) -> None:
        self._last = 0
        #: How many there are.
        self.count = 0
        #: Whether a cancel waits for their end.
        self.waits = False
        #: What cancels the turn then, if its session does not.
        self.then: Callable[[], object] | None = None

    def begin(self) -> int:
        """One more: its number."""
        self._last += 1
        self.count += 1
        return self._last

    def end(self) -> None:
        """One less."""
        self.count -= 1
        then = self.then
        if not self.count and then is not None:
            self.then = None
            then()


class Own:
    """What belongs to one turn because its agent uses what most agents do not: ``None`` until it does.

    Where the host has hooks for every turn, each has one from its start.
    """

    __slots__ = (
        "begun",
        "branch",
        "calls",
        "context_is_open",
        "host",
        "on_cancel",
        "sections",
        "undo",
        "usage",
        "winds_up",
    )

    def __init__(self) -> None:
        #: The hooks of the host.
        self.host: HostHooks | None = None
        #: What is to be called if it is stopped, the first one registered first.
        self.on_cancel: list[CancelHook] | None = None
        #: The critical sections that it is in.
        self.sections: Sections | None = None
        #: What it has used, as far as it has said.
        self.usage: Usage | None = None
        #: What is to be done to undo it.
        self.undo: Undo | None = None
        #: Whether what its end runs is being run.
        self.winds_up = False
        #: Whether its context may be used although nothing more of it is published.
        self.context_is_open = False
        #: Its calls of tools, once there was one.
        self.calls: OpenCalls | None = None
        #: What it has begun beside its coroutine.
        self.begun: Begun | None = None
        #: What it is in a tree of turns.
        self.branch: Branch | None = None

    @property
    def made_begun(self) -> Begun:
        """What it has begun, to which more is added."""
        if self.begun is None:
            self.begun = Begun()
        return self.begun

    @property
    def awaits_children(self) -> bool:
        """Whether its coroutine has returned, and turns run that it has sent for."""
        begun, branch = self.begun, self.branch
        return branch is not None and branch.running > 0 and begun is not None and begun.outcome is not None

    def winds(self, outcome: Outcome | None) -> bool:
        """Whether there may be something to run when the turn has ended like that, or was given up.

        Whether it was cancelled, which some of it depends on, the session knows.
        """
        host = self.host
        if outcome is not None and self.awaits_children:
            return True
        if host is not None and host.on_turn_end is not None:
            return True
        if type(outcome) is Returned:
            return False
        return bool(self.on_cancel) or (host is not None and host.on_interrupt is not None)

    def extras(self, *, stops: bool, returned: bool = False) -> Extras | None:
        """What its record has of all this; ``stops``: the turn is on its way out.

        ``returned``: its coroutine has returned, so that no call of a tool was cut off by its end.
        """
        still_running = None if self.begun is None or not stops else self.begun.still_running
        children = () if self.branch is None else tuple(self.branch.sent.values())
        calls = self.calls
        open_calls = () if calls is None else calls.running if returned else calls.open
        if self.usage is None and still_running is None and not children and not open_calls:
            return None
        return Extras(self.usage, still_running, children, open_calls)
