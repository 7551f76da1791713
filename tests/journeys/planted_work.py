"""Bugs in what becomes of what a turn has begun, and of the host's hook for its end, for `planted`."""

from tests.planting import Bug

BUGS = (
    Bug(
        "a turn ends before what it has begun",
        "turn/running",
        "            elif own.begun is not None and own.begun.runs:",
        "            elif False:",
    ),
    Bug(
        "what a turn leaves running is not stopped",
        "turn/running",
        "            turn.stop_asked = True\n            turn.own.begun.stop(again=again)",
        "            turn.stop_asked = True",
    ),
    Bug(
        "a task is cancelled once only",
        "turn/work/tasks",
        "        for task in tuple(self._running):\n            task.cancel()",
        "        for task in () if again else tuple(self._running):\n            task.cancel()",
    ),
    Bug(
        "the end of a thread is not heard of",
        "turn/work/threads",
        "        self._pool.leave(self._user)\n        self._begun.one_ended()",
        "        self._pool.leave(self._user)",
    ),
    Bug(
        "a thread that has returned keeps its place",
        "turn/work/threads",
        "        self._calls.discard(call)\n        self._pool.leave(self._user)",
        "        self._calls.discard(call)",
    ),
    Bug(
        "a turn is not held for what runs on of it",
        "turn/running",
        "        if turn is not None and (task is not None or _works(turn)):",
        "        if turn is not None and task is not None:",
    ),
    Bug(
        "what runs on of a turn that was given up is not counted",
        "turn/work/left",
        "            self._begun.add(begun)\n",
        "",
    ),
    Bug(
        "what has ended of a turn that was given up is still counted",
        "turn/work/begun",
        "        if then is not None:\n            then()\n        for kind",
        "        for kind",
    ),
    Bug(
        "a turn that goes on in a task is never given up",
        "turn/work/begun",
        "        return any(kind.running for kind in self.kinds if kind.counted_as is not None)",
        "        return False",
    ),
    Bug(
        "the host's hook is not called for a turn that completes",
        "turn/abilities/own",
        "        if host is not None and host.on_turn_end is not None:\n            return True\n",
        "",
    ),
    Bug(
        "the host's hook is called twice",
        "registry/turns/winding",
        "        at_end = partial(",
        "        steps.append(Step(None, partial(host.on_turn_end, record)))\n        at_end = partial(",
    ),
)
