"""Plants bugs between a decision and its landing, and asks the plays of interleavings whether they find them.

Each bug is a change of one place in `actors/registry/durable`, made in a copy.

    python -m tests.actors.registry.durable.planted              all of them, as a table
    python -m tests.actors.registry.durable.planted "events"     those whose names contain the text
"""

import re
import sys

from tests.planting import Bug, Check, report

ROOM = "registry/durable"

BUGS = (
    Bug(
        "a cancel that is not durable does not wait for a critical section",
        "prompt",
        "            if type(effect) is HoldCancel or (",
        "            if type(effect) is HoldCancel:\n"
        "                self._performer.turns.cancel(effect.reason)\n"
        "            elif (",
    ),
    Bug(
        "effects come before the commit",
        "journaled",
        "                self._append(mail, state, effects, entries)\n",
        "                self._do(mail, state, effects, now)\n"
        "                self._append((), state, (), entries)\n",
    ),
    Bug(
        "a batch of events is dropped that could not be written",
        "cargo",
        "        self.outbox.put_back(packed.events)\n",
        "        pass\n",
    ),
    Bug(
        "a cancel that could not be written is lost",
        "journaled",
        "                facts.append((message, None))\n",
        "                pass\n",
    ),
    Bug(
        "the end of a turn that could not be written is lost",
        "journaled",
        "| WoundUp() | Granted() | Recover():\n                facts.append((message, to))\n",
        "| WoundUp() | Granted() | Recover():\n                pass\n",
    ),
    Bug(
        "what came meanwhile is not tried again",
        "journaled",
        "        if self._flight is None and not self.settled:\n",
        "        elif not self.settled:\n",
    ),
    Bug(
        "what waits is decided on a state that has not landed",
        "journaled",
        "while self._waiting and self._flight is None:",
        "while self._waiting:",
    ),
    Bug(
        "a retry of a turn that only the log has starts it again",
        "repeats",
        "past=answer.turn",
        "past=None",
    ),
    Bug(
        "a send is decided before the journal has said whether it is a retry",
        "repeats",
        "None if self._answer is None else self._decidable(self._answer)",
        "self._decidable(self._answer or TurnRead(message))",
    ),
    Bug(
        "of two tries that come together the second is asked about too soon",
        "repeats",
        "each.spec.turn_id == message.spec.turn_id for",
        "False for",
    ),
    Bug(
        "whether a turn is known is looked at before the others are decided",
        "journaled",
        "    while waiting and (ready := repeats.ready(waiting[0], state, mail)) is not None:\n",
        "    landed = state\n"
        "    while waiting and (ready := repeats.ready(waiting[0], landed, mail)) is not None:\n",
    ),
    Bug(
        "the head is not moved on",
        "journaled",
        "            self._head = head  #",
        "            self._head = self._head or head  #",
    ),
    Bug(
        "events are written with the number of the last one",
        "cargo",
        "yield Events(epoch, some[0].n, pairs)",
        "yield Events(epoch, some[-1].n, pairs)",
    ),
    Bug(
        "a turn's end is not sealed",
        "sealing",
        "return NOTHING_SEALED if left is None else",
        "return NOTHING_SEALED if True else",
    ),
    Bug(
        "what a turn leaves is not written",
        "sealing",
        "keep, add = changes.keep, _raw(changes.add)",
        "keep, add = changes.keep, _raw(())",
    ),
)


def said(output: str) -> str:
    """The first seed that failed."""
    found = re.search(r"^(?:FAILED|ERROR) \S+::(.*)$", output, re.MULTILINE)
    return "" if found is None else found[1]


INTERLEAVINGS = Check(
    ROOM,
    (
        "-m",
        "pytest",
        "-q",
        "-x",
        "--show-capture=no",
        "-p",
        "no:cacheprovider",
        "tests/actors/registry/durable/test_interleavings.py",
    ),
    said,
    {"INTERLEAVINGS": "1000"},
)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, INTERLEAVINGS))
