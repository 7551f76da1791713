"""Plants bugs in the scheduler, one at a time, and asks the search of small alphabets whether it finds them.

python -m tests.actors.admission.planted             all of them, as a table; fails if one is not found
python -m tests.actors.admission.planted "leave"     those whose names contain the text
"""

import sys

from tests.planting import Bug, Check, report

ROOM = "admission"

BUGS = (
    # -- Nothing is lost, and nothing is given twice
    Bug(
        "a withdrawal is forgotten",
        "scheduler",
        "            self._withdraw(waiting)\n",
        "            return claim\n",
    ),
    Bug("a grant is lost", "scheduler", "            granted.append(first.ticket)\n", ""),
    Bug(
        "a leave ignores a ticket that was granted",
        "scheduler",
        "claim = self._granted.pop(ticket, None)",
        "claim = None",
    ),
    Bug(
        "a leave ignores a ticket that waits",
        "scheduler",
        "elif (waiting := self._waiting.get(ticket)) is not None:",
        "elif (waiting := self._waiting.get(ticket)) is not None and False:",
    ),
    Bug(
        "a second leave gives the slot back again",
        "scheduler",
        "self._granted.pop(ticket, None)",
        "self._granted.get(ticket)",
    ),
    Bug(
        "a turn that is granted goes on waiting",
        "scheduler",
        "            self._withdraw(first)\n",
        "",
    ),
    Bug(
        "a leave does not make room for the agent",
        "scheduler",
        "            self._ledger.of_agent[claim.agent] -= 1\n",
        "",
    ),
    Bug(
        "something is kept of a user who has left",
        "scheduler",
        "            self._ledger.tidy(holdings)\n        return claim\n",
        "            pass\n        return claim\n",
    ),
    Bug(
        "an empty queue may be served",
        "scheduler",
        "            self._candidates.discard(queue)\n            queues =",
        "            queues =",
    ),
    Bug("one that has left rises", "scheduler", "        self._aging.remove(waiting)\n", ""),
    Bug(
        "those that have left are counted",
        "scheduling/queue",
        "            tree[number] -= 1\n",
        "            pass\n",
    ),
    # -- The caps
    Bug("one more than in all", "scheduler", "in_all.in_flight >= slots", "in_all.in_flight > slots"),
    Bug(
        "one more than a user may have",
        "scheduler",
        "            if holdings.in_flight >= self._caps.of_user(",
        "            if holdings.in_flight > self._caps.of_user(",
    ),
    Bug(
        "more than an agent may have",
        "scheduler",
        "                del agents[claim.agent]\n",
        "                pass\n",
    ),
    Bug(
        "what starts at once is not counted for its agent",
        "scheduler",
        "        self._ledger.of_agent[claim.agent] += 1\n",
        "",
    ),
    Bug(
        "caps that have changed are not looked at",
        "scheduler",
        "self._ledger.in_all.moved.update(dict.fromkeys(self._queues))",
        "pass",
    ),
    # -- No slot is free that a turn waits for
    Bug(
        "a head that its user's cap blocks, blocks the others",
        "scheduler",
        "                continue\n",
        "                return granted\n",
    ),
    Bug(
        "an agent that is full blocks the others",
        "scheduler",
        "                del agents[claim.agent]\n",
        "                return granted\n",
    ),
    Bug(
        "one that its user's cap blocked is never looked at again",
        "scheduler",
        "            self._look_at(holdings)\n",
        "            self._look_at(holdings, only_candidates=True)\n",
    ),
    Bug(
        "what ends without a slot is not noted",
        "holdings",
        "        if self.waiting:\n",
        "        if False:\n",
    ),
    Bug(
        "the rest of a queue is forgotten when its head leaves",
        "scheduler",
        "            if len(waiting.queue):\n                self._candidates.put(waiting.queue)\n",
        "            self._candidates.discard(waiting.queue)\n",
    ),
    # -- Who goes first
    Bug(
        "last in, first out",
        "scheduling/queue",
        "        return row[self._first]\n",
        "        return next(waiting for waiting in reversed(row) if not waiting.left)\n",
    ),
    Bug(
        "no fairness among users",
        "scheduling/candidates",
        "queue.entry = entry = (first.level, holdings.served, ",
        "queue.entry = entry = (first.level, 0, ",
    ),
    Bug("no share comes first", "scheduling/candidates", "(in_flight * active >= slots, ", "(False, "),
    Bug(
        "one who has just a share comes first",
        "scheduling/candidates",
        "in_flight * active >= slots",
        "in_flight * active > slots",
    ),
    Bug(
        "the share is that of a user alone",
        "scheduling/candidates",
        "in_flight * active >= slots",
        "in_flight >= slots",
    ),
    Bug(
        "all lanes are one",
        "scheduling/candidates",
        "queue.entry = entry = (first.level, ",
        "queue.entry = entry = (0, ",
    ),
    Bug(
        "the highest lane comes last",
        "scheduling/candidates",
        "queue.entry = entry = (first.level, ",
        "queue.entry = entry = (-first.level, ",
    ),
    Bug(
        "no turn rises",
        "scheduling/aging",
        "is not None and now >=",
        "is not None and False and now >=",
    ),
    Bug("a turn rises later and later", "scheduling/aging", "waiting.level + 1) *", "waiting.level + 2) *"),
    Bug(
        "that the first of a queue has risen is not noticed",
        "scheduler",
        "if waiting is waiting.queue.first:",
        "if False:",
    ),
    Bug(
        "a user who was served stays in place",
        "scheduler",
        "        holdings.served = self._served\n        holdings.count_slots(1)\n",
        "        holdings.count_slots(1)\n",
    ),
    Bug("newcomers come first", "scheduler", "        if not holdings.served:\n", "        if False:\n"),
    Bug(
        "a send overtakes those that wait",
        "scheduler",
        "(self._waiting and self._may_grant())",
        "False",
    ),
    Bug(
        "a send overtakes those that have yet to be looked at",
        "scheduler",
        "bool(self._ledger.in_all.moved) or ",
        "",
    ),
    Bug(
        "a user who only waits is not active",
        "holdings",
        "bool(self.turns or self.slots or self.waiting)",
        "bool(self.turns or self.slots)",
    ),
    # -- What is said
    Bug(
        "the position counts from 0",
        "scheduler",
        "Standing(waits_for, before + 1,",
        "Standing(waits_for, before,",
    ),
    Bug(
        "the position is one among all lanes",
        "scheduler",
        " if queue.claim.lane is claim.lane]",
        "]",
    ),
    Bug(
        "the position is one in the agent's queue",
        "scheduler",
        "if queue.claim.lane is claim.lane]",
        "if queue.claim == claim]",
    ),
    Bug(
        "it is said to wait for the server, whatever it waits for",
        "scheduler",
        "self._blocked_by(claim, holdings) or WaitsFor",
        "WaitsFor",
    ),
)


def said(output: str) -> str:
    """What the search says of a violation."""
    return output.partition("FOUND in ")[2].partition("\n")[0]


SEARCH = Check(ROOM, ("-m", "tests.actors.admission.search"), said)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, SEARCH))
