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
        "| WoundUp() | Recover():\n                facts.append((message, to))\n",
        "| WoundUp() | Recover():\n                pass\n",
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
