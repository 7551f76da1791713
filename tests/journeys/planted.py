"""Plants bugs in the living part, and asks the play of interleavings alone whether it finds them.

Each bug is a change of one place in `actors`, made in a copy: a wake-up that is dropped, a timer that is not
set, an answer that is lost, a task that is held for ever. It is looked for in a thousand scripts.

    python -m tests.journeys.planted              all of them, as a table; fails if one is not found
    python -m tests.journeys.planted "reader"     those whose names contain the text
"""

import re
import sys

from tests.journeys import planted_lines, planted_work
from tests.planting import Bug, Check, report

ROOM = ""

BUGS = (
    Bug(
        "subscribe: the reader is not added",
        "registry/session_actor",
        "            feed.add(reader)\n            self._count_readers()\n        return reader",
        "            self._count_readers()\n        return reader",
    ),
    Bug(
        "a reader that leaves is not unsubscribed",
        "registry/session_actor",
        "            self._actor_ref.tell_if_alive(Unsubscribe(reader))",
        "            pass",
    ),
    Bug(
        "asked for the end of a turn that has ended: no answer",
        "registry/session_actor",
        "        answer(reply_to, answer_about(message, record))",
        "        pass",
    ),
    Bug(
        "a stopped session leaves its askers waiting",
        "registry/session_actor",
        "        self._performer.abandon(self._decisions.state, error, StreamEnd.SHUTDOWN)",
        "        pass",
    ),
    Bug(
        "a failed session goes on before its turn has ended",
        "registry/session_actor",
        "            when_ended(task, grace, lambda: shared.report(failed), shared.cut_short)",
        "            shared.report(failed)",
    ),
    Bug(
        "a failed session publishes no end",
        "registry/performer",
        "        feed.append(event)\n        if event",
        "        if event",
    ),
    Bug(
        "the timer is set once only",
        "registry/performer",
        "            self._timer = Timer(shared.loop, self._tick)\n        self._timer.set(",
        "            self._timer = Timer(shared.loop, self._tick)\n            self._timer.set(",
    ),
    Bug(
        "those who await a turn are not answered",
        "registry/performer",
        "            self._waiters.answer(end)",
        "            pass",
    ),
    Bug(
        "the end is not reported to its sender",
        "registry/performer",
        "            answer_foreign(effect.ended_to, end)",
        "            pass",
    ),
    Bug(
        "a close leaves the streams open",
        "registry/performer",
        "        feed.end(StreamEnd.SESSION_CLOSED)",
        "        pass",
    ),
    Bug(
        "a Stop leaves the streams open",
        "registry/performer",
        "    feed.end(end)\n    if type(state) is Closed",
        "    if type(state) is Closed",
    ),
    Bug(
        "a replaced turn ends no stream",
        "registry/performer",
        "            self.feed.end(ENDS[record.status].stream, superseded=True)",
        "            pass",
    ),
    Bug(
        "the second cancel is not delivered",
        "turn/running",
        "        if self.task is not None:\n            self.task.cancel(str(reason.code))",
        "        if self.task is not None and not self.task.cancelling():\n            self.task.cancel()",
    ),
    Bug(
        "the task is cancelled, the flag not set",
        "turn/running",
        "            self.turn.ask_to_stop(reason)",
        "            pass",
    ),
    Bug(
        "the late end of a quarantined turn is not reported",
        "turn/running",
        "            turn = self._quarantined_in(task) or turn",
        "            turn = turn if self._quarantined_in(task) is None else None",
    ),
    Bug(
        "the late end of a quarantined turn is taken for the next turn's",
        "turn/running",
        "            self._quarantined = {**(self._quarantined or {}), turn: task}",
        "            self._quarantined = {}",
    ),
    Bug(
        "a task that was let go of is held for ever",
        "turn/running",
        "            task.add_done_callback(orphaned.discard)",
        "            pass",
    ),
    Bug(
        "a turn that ends in the pass in which it is given up is held for ever",
        "turn/running",
        "        if turn is not None and (task is not None or _works(turn)):",
        "        if turn is not None and ((task is not None and not task.done()) or _works(turn)):",
    ),
    Bug(
        "a failed session does not cancel its turn",
        "turn/running",
        "                task.cancel()\n                orphaned.add(task)",
        "                orphaned.add(task)",
    ),
    Bug(
        "a generator is left to the garbage collector",
        "turn/run",
        '    async with aclosing(items) if hasattr(items, "aclose") else nullcontext():',
        "    async with nullcontext():",
    ),
    Bug(
        "sys.exit() leaves the turn",
        "turn/exits",
        '        return AgentExited(f"the agent raised {error!r}")',
        "        return None",
    ),
    Bug(
        "a task's exit does not end its turn",
        "registry/children",
        "            self.forward(entry, report, None)\n",
        "            pass\n",
    ),
    Bug(
        "early readers are not counted",
        "registry/children",
        "            followed(self._directory, entry.actor, session, len(readers), now)",
        "            pass",
    ),
    Bug(
        "mail goes to an actor that has failed",
        "registry/children",
        "        if entry.parked_mail is None and actor is not None and not actor._stopped:",
        "        if entry.parked_mail is None and actor is not None:",
    ),
    Bug(
        "parked mail is lost",
        "registry/children",
        "        for message, to in parked:\n            self.forward(entry, message, to)",
        "        for message, to in parked[1:]:\n            self.forward(entry, message, to)",
    ),
    Bug(
        "mail goes to an actor that falls asleep",
        "registry/children",
        "        entry.parked_mail = []\n        entry.actor.tell(Sleep())",
        "        entry.actor.tell(Sleep())",
    ),
    Bug(
        "an event wakes no reader",
        "events/feed",
        "            self.readers.published(self.log.head)",
        "            pass",
    ),
    Bug(
        "another reader is unsubscribed",
        "events/readers",
        "        del self._subscriptions[reader]",
        "        del self._subscriptions[next(iter(self._subscriptions))]",
    ),
    Bug(
        "the end of a stream wakes no reader",
        "events/readers",
        "= mark, mark, head\n        if not self._passing:\n            self._begin()",
        "= mark, mark, head",
    ),
    Bug(
        "a reader that is closed is not woken",
        "events/subscription",
        "        self._on_end(self)\n        self.wake()",
        "        self._on_end(self)",
    ),
    Bug(
        "a reader that lags behind reads on over the hole",
        "events/subscription",
        "        if position < log.first or (waiting > self.max_lag and self.lag > self.max_lag):",
        "        if False:",
    ),
    Bug(
        "the shutdown's deadline does nothing",
        "registry/ending",
        "            self._left.clear()\n            self._finish_if_drained()",
        "            pass",
    ),
    Bug(
        "a drained registry still says that it accepts",
        "registry/front",
        "        self._draining = True\n        await self.ask",
        "        await self.ask",
    ),
    Bug(
        "a stopped registry stays the open one",
        "registry/front",
        "            opened.remove(self)",
        "            pass",
    ),
    Bug(
        "a turn that has ended still counts for its user",
        "registry/directory",
        "entry.counts, number = counts, 1 if counts else -1",
        "entry.counts, number = counts, 1 if counts else 0",
    ),
    Bug(
        "a reader that has left still counts",
        "registry/session_actor",
        "        self._shared.directory.closed_stream(reader)\n",
        "",
    ),
    Bug(
        "what a log has dropped still counts",
        "events/log",
        "        self._keep(self._bytes - before)\n",
        "",
    ),
    Bug(
        "another user's reader is given the session that is opened",
        "events/early_readers",
        "for reader, asker in waiting.items() if asker.may_see(owner)",
        "for reader, asker in waiting.items()",
    ),
    Bug(
        "a freed session is not forgotten",
        "registry/children",
        "            self._children.forget(entry)\n            if",
        "            if",
    ),
    *planted_lines.BUGS,
    *planted_work.BUGS,
)


def said(output: str) -> str:
    """The error, or what it is about."""
    found = re.search(r"^E +(?:\| )?(\w*(?:Error|Exit|Timeout|Failed).*)$", output, re.MULTILINE)
    return found[1] if found else output


def played(test: str) -> Check:
    """What plays a thousand scripts; what it finds need not be made short."""
    options = "-q", "-x", "-p", "no:cacheprovider", "--tb=short"
    command = "-m", "pytest", f"tests/journeys/{test}.py", *options
    return Check(ROOM, command, said, {"INTERLEAVINGS": "1000", "HYPOTHESIS_PROFILE": "first"})


if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, played("test_interleavings")))
