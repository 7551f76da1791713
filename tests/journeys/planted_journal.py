"""Plants bugs in what happens between a decision and its landing, and asks the play with a slow journal.

python -m tests.journeys.planted_journal            all of them, as a table; fails if one is not found
python -m tests.journeys.planted_journal "cancel"   those whose names contain the text
"""

import sys

from tests.journeys.planted import played
from tests.planting import Bug, report

BUGS = (
    Bug(
        "effects before the commit",
        "registry/durable/journaled",
        "                self._append(mail, state, effects, entries)",
        "                self._append(mail, state, (), entries)\n"
        "                self._performer.perform(effects, state)",
    ),
    Bug(
        "a state that is ahead of its log",
        "registry/durable/journaled",
        "                self._append(mail, state, effects, entries)",
        "                self._append(mail, state, effects, entries)\n                self._take(state, now)",
    ),
    Bug(
        "a batch of events is dropped when its append is refused",
        "registry/durable/cargo",
        "        self.put_back(Packed(packed.events, [(message, None) for message, _ in packed.titles]))",
        "        self.put_back(Packed([], [(message, None) for message, _ in packed.titles]))",
    ),
    Bug(
        "a batch of events is dropped when another process was first",
        "registry/durable/journaled",
        "        self._cargo.put_back(flight.packed)",
        "        self._cargo.landed(flight.packed)",
    ),
    Bug(
        "a cancel is lost behind a retry",
        "registry/durable/journaled",
        "                facts.append((message, None))",
        "                pass",
    ),
    Bug(
        "a cancel waits for the disk",
        "registry/durable/prompt",
        "                    self._performer.perform((effect,), after)\n            elif",
        "                    pass\n            elif",
    ),
    Bug(
        "an early cancel expires while its send waits for the disk",
        "registry/durable/mail",
        "            if early is not None:",
        "            if False:",
    ),
    Bug(
        "an early cancel is remembered for less than its answer says",
        "session/steps/stops",
        "max(0.0, answer.remembered_for - by)",
        "answer.remembered_for",
    ),
    Bug(
        "the end of a coroutine is lost behind a retry",
        "registry/durable/journaled",
        "| WoundUp() | Granted() | Recover():\n                facts.append((message, to))",
        "| WoundUp() | Granted() | Recover():\n                pass",
    ),
    Bug(
        "a refused send is tried again",
        "registry/durable/journaled",
        "            case Submit() | Rearrange():\n                refuse(to, error)",
        "            case Submit() | Rearrange():\n                refuse(to, error)\n"
        "                facts.append((message, None))",
    ),
    Bug(
        "a shutdown is written as a close",
        "session/holding",
        "    noted = () if closing.for_good is None else (NoteClosed(closing.for_good, now),)",
        "    noted = (NoteClosed(closing.for_good or closing.reason, now),)",
    ),
    Bug(
        "the place of a turn on its way is not given back",
        "registry/durable/journaled",
        "        self._flight = None\n        flight.arrive()",
        "        self._flight = None\n        if isinstance(message, Landed):\n            flight.arrive()",
    ),
    Bug(
        "the place of a session that came to nothing is not given back",
        "registry/durable/journaled",
        "            self._come_to_nothing(self._cargo.title)",
        "            pass",
    ),
    Bug(
        "titles are lost when the append is refused",
        "registry/durable/cargo",
        "[(message, None) for message, _ in packed.titles]))",
        "[]))",
    ),
    Bug(
        "titles are not written",
        "registry/durable/cargo",
        "        if self.titles:\n            yield",
        "        if False:\n            yield",
    ),
    Bug(
        "the answer of another life is believed",
        "registry/durable/journaled",
        "        if flight is None or message.key != flight.key:",
        "        if flight is None:",
    ),
    Bug(
        "another process's entries are passed over",
        "registry/durable/journaled",
        "        after, effects = taken_over(self.state, message.entries, now)",
        "        after, effects = taken_over(self.state, (), now)",
    ),
    Bug(
        "events that land hide another process's entries",
        "registry/durable/journaled",
        "        if flight.mail or self._head is None:\n            self._head = head",
        "        if True:\n            self._head = head",
    ),
    Bug(
        "nothing is tried again",
        "registry/durable/journaled",
        "        self._actor.tell_if_alive(Flush())",
        "        pass",
    ),
    Bug(
        "a session sleeps with an append on its way",
        "registry/durable/journaled",
        "        return self._flight is None and not self._waiting and not self._cargo",
        "        return True",
    ),
    Bug(
        "what waits is decided beside an append on its way",
        "registry/durable/journaled",
        "        while self._waiting and self._flight is None:",
        "        while self._waiting:",
    ),
    Bug(
        "those whose append is on its way at the end are not answered",
        "registry/durable/journaled",
        "            _refuse_all(flight.mail, error)\n        self._cargo.abandon",
        "            pass\n        self._cargo.abandon",
    ),
    Bug(
        "those who wait behind it at the end are not answered",
        "registry/durable/journaled",
        "        _refuse_all(self._waiting, error)\n        self._waiting.clear()",
        "        self._waiting.clear()",
    ),
    Bug(
        "events that have landed count as unwritten",
        "registry/durable/outbox",
        '        """These are durable."""\n        self._all.unwritten -= size_of(events)',
        '        """These are durable."""',
    ),
    Bug(
        "mail for a session that is read is lost",
        "registry/durable/loading",
        "self._held.pop(report.session_id, []) + reading[1]",
        "self._held.pop(report.session_id, []) + reading[1][1:]",
    ),
    Bug(
        "mail for a session that has failed is lost",
        "registry/durable/restoring",
        "        for message, to in parked:",
        "        for message, to in parked[1:]:",
    ),
    Bug(
        "mail for a session that is forgotten before it is read again is lost",
        "registry/directory",
        "    if entry not in directory.asleep or entry.awaits_the_journal:",
        "    if entry not in directory.asleep:",
    ),
    Bug(
        "a session that sleeps stays in memory",
        "registry/children",
        "            self.let_go(entry)  # the journal has all of it",
        "            pass",
    ),
    Bug(
        "a session is put into memory without its head",
        "registry/durable/restoring",
        "        entry.head = loaded.head\n",
        "",
    ),
    Bug(
        "a turn that ended while it was given up is held for ever",
        "turn/running",
        "        if task is self.task:",
        "        if False:",
    ),
    Bug(
        "a shutdown waits for the disk",
        "registry/durable/prompt",
        "            if type(message) is Shut and may_be_refused(message):",
        "            if type(message) is Shut:",
    ),
    Bug(
        "the timer that writes events outlives the registry",
        "registry/shared",
        "        self._flusher.cancel()",
        "        pass",
    ),
    Bug(
        "a turn that waits is in the log at another place",
        "journal/derive",
        "Accepted(spec, effect.queued_at, effect.place, effect.not_before)",
        "Accepted(spec, effect.queued_at)",
    ),
    Bug(
        "a move is not in the log",
        "journal/derive",
        "            entries.append(Placed(effect.turn_id, effect.place, effect.first, effect.not_before))",
        "            pass",
    ),
    Bug(
        "an edit is not in the log",
        "journal/derive",
        "            entries.append(Edited(edited.turn_id, message, edited.size, effect.joined, effect.by))",
        "            pass",
    ),
    Bug(
        "that a turn is to be undone is not in the log",
        "journal/derive",
        "            entries.append(UndoAsked(effect.turn_id, effect.asked_at))",
        "            pass",
    ),
    Bug(
        "an undone conversation is in the log",
        "registry/turns/left",
        "    if record.rollback is not None:\n        return Left(n)",
        "    if False:\n        return Left(n)",
    ),
    Bug(
        "those who wait are dropped at a shutdown",
        "session/holding",
        "    closed = Closed(memory, closing.reason, closing.for_good, line)",
        "    closed = Closed(memory, closing.reason, closing.for_good, None)",
    ),
)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, played("test_journal_interleavings")))
