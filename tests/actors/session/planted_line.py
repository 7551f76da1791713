"""Plants bugs among those who wait, and asks the searches from their seeds, and of the small alphabets.

python -m tests.actors.session.planted_line            all of them, as a table; fails if one is not found
python -m tests.actors.session.planted_line "clear"    those whose names contain the text
"""

import sys

from tests.actors.session.planted import ROOM, said
from tests.planting import Bug, Check, report

BUGS = (
    # -- Messages that become one
    Bug("it joins another sender's message", "steps/joins", "other.user == head.user", "other.user"),
    Bug("it joins one that has run", "steps/joins", "front is None or not front.is_new", "front is None"),
    Bug(
        "it joins none that is called up",
        "steps/joins",
        "= () if front is None or not front.is_new else (front,)",
        "= ()",
    ),
    Bug(
        "it joins the one that is called up before the last one",
        "steps/joins",
        "reversed((*first, *line.rest, *[each for each in line.later if each.collects]))",
        "reversed((*line.rest, *[each for each in line.later if each.collects], *first))",
    ),
    Bug("it joins a message that was sent for later", "steps/joins", "if each.collects]", "]"),
    Bug("one too many joins", "steps/joins", "count > spec.policy", "count - 1 > spec.policy"),
    Bug("what has joined before is not counted", "steps/joins", "joined=count", "joined=taker.joined"),
    Bug(
        "it is put before what it joins",
        "steps/joins",
        "(spec.message, other.message,",
        "(other.message, spec.message,",
    ),
    Bug("it is said to have joined itself", "steps/joins", "into = taker.", "into = turn."),
    Bug("the log does not have it", "steps/joins", "(EditWaiting(both.spec, both.joined), ", "(*(), "),
    Bug(
        "a message for later starts its window when it is sent",
        "steps/sends",
        "    if turn.spec.strategy is COLLAPSE and not first.collects:",
        "    if False:",
    ),
    Bug(
        "the window starts anew with each message",
        "steps/joins",
        "joined=count)",
        "joined=count, not_before=taker.not_before and taker.not_before + 1.0)",
    ),
    Bug("a moved one is still in its window", "steps/rearranging", ", collects=False", ""),
    # -- Their order
    Bug(
        "the last one starts first",
        "line",
        "return line.rest[0], line_of(None, line.rest[1:], line.later)",
        "return line.rest[-1], line_of(None, line.rest[:-1], line.later)",
    ),
    Bug(
        "one that starts goes on waiting",
        "line",
        "return line.rest[0], line_of(None, line.rest[1:], line.later)",
        "return line.rest[0], line_of(None, line.rest, line.later)",
    ),
    Bug(
        "those behind the one called up are lost",
        "line",
        "line_of(None, line.rest, line.later)",
        "line_of(None, (), line.later)",
    ),
    Bug(
        "an interrupting send clears the line",
        "line",
        "return line_of(turn, line.rest, line.later)",
        "return line_of(turn, (), line.later)",
    ),
    Bug("enqueued before the others", "line", "rest=(*line.rest, turn))", "rest=(turn, *line.rest))"),
    Bug(
        "the one sent last comes due first",
        "line",
        "sorted((*line.later, turn), key=lambda each: each.not_before or 0.0)",
        "(turn, *line.later)",
    ),
    Bug(
        "the one called up counts in the limit",
        "steps/sends",
        "len(line.rest) + len(line.later) <",
        "len(line.turns) <",
    ),
    Bug(
        "those that wait for a moment take no room",
        "steps/sends",
        "len(line.rest) + len(line.later) <",
        "len(line.rest) <",
    ),
    Bug("one more may wait", "steps/sends", "len(line.later) < policy", "len(line.later) <= policy"),
    Bug(
        "another user's is dropped to make room",
        "steps/sends",
        "if turn.spec.user == spec.user]",
        "if turn]",
    ),
    Bug("the newest is dropped to make room", "steps/sends", "(own[0],)", "(own[-1],)"),
    Bug(
        "the position counts from 0",
        "steps/sends",
        "position=len(line.rest),",
        "position=len(line.rest) - 1,",
    ),
    Bug(
        "one that comes due goes on waiting for its moment",
        "steps/sends",
        "turn, line = replace(first, not_before=None, collects=False), without(line, first)",
        "turn, line = replace(first, not_before=None, collects=False), line",
    ),
    Bug(
        "one that comes due waits in two places after a restart",
        "steps/places",
        "effects = (MoveWaiting(turn_id, Place.REST),)",
        "effects = ()",
    ),
    Bug(
        "one that rejects interrupts when its moment comes",
        "steps/sends",
        "case Strategy.REJECT if is_free(state, line):",
        "case Strategy.REJECT:",
    ),
    Bug(
        "one that was sent for a moment which is over waits for it",
        "steps/sends",
        "if moment is not None and now < moment:\n"
        "        return _wait_for_a_moment(state, message, moment, now, to)\n    if type(state) is Queued",
        "if moment is not None:\n"
        "        return _wait_for_a_moment(state, message, moment, now, to)\n    if type(state) is Queued",
    ),
    Bug(
        "a late Stop clears those that came after its turn",
        "steps/stops",
        "if not message.clear or not alive:",
        "if not message.clear:",
    ),
    Bug("keep clears", "steps/stops", "if not message.clear or not alive:", "if not alive:"),
    Bug("clear keeps", "steps/stops", "if not message.clear or not alive:", "if True:"),
    Bug(
        "what a Stop has cleared is not said",
        "steps/stops",
        "CancelAnswer(Verdict.CANCELLED, record, 0.0, cleared=_ids(others))",
        "CancelAnswer(Verdict.CANCELLED, record, 0.0)",
    ),
    Bug(
        "the streams end although the next one starts",
        "holding",
        "if ends_streams and (line is None or line.next is None):",
        "if ends_streams:",
    ),
    Bug(
        "the next one does not start when a turn has returned",
        "machine",
        "effects = go(memory, state.line, now, None, slot_of(state))\n    return after, (ended, *effects)",
        "_ = 0, 0\n    return Queued(memory, state.line), (ended,)",
    ),
    Bug(
        "a closed session keeps its line",
        "steps/closes",
        "behind=holder)\n    return memory, None, effects",
        "behind=holder)\n    return memory, line, effects",
    ),
    Bug(
        "one that is moved first stands last",
        "steps/places",
        "in_front(line, turn)",
        "behind(line, turn)",
    ),
    Bug(
        "one that was moved first stands last after a restart",
        "steps/places",
        "Place.REST, first=True",
        "Place.REST",
    ),
    Bug(
        "one that is to come now is still waiting behind",
        "steps/rearranging",
        "put(state, without(line, turn), moved",
        "put(state, line, moved",
    ),
    Bug(
        "one that is moved to come now is said to have come by itself",
        "steps/rearranging",
        "moved, to, now, message.by)",
        "moved, to, now, turn.spec.user)",
    ),
    Bug(
        "what a Stop has cleared is kept although no asker waits",
        "steps/stops",
        "if waits else Ask(None, now, message.reason)",
        "if waits else Ask(None, now, message.reason, cleared)",
    ),
    Bug(
        "the one that is called up can be moved",
        "steps/rearranging",
        "return turn is not line.front or (",
        "return True or (",
    ),
    Bug(
        "the one that is called up cannot be edited",
        "steps/rearranging",
        "(message.edited is not None and turn.is_new)",
        "False",
    ),
    Bug("one that has run is edited", "steps/rearranging", " and turn.is_new)", ")"),
    Bug(
        "an edit of the one that is called up is lost",
        "line",
        "front = other if line.front is turn else line.front",
        "front = line.front",
    ),
    Bug(
        "an edit is refused at the bound that takes no more room",
        "steps/rearranging",
        "message.no_room is not None and edited.size > turn.spec.size",
        "message.no_room is not None",
    ),
    Bug(
        "an edited turn loses its size",
        "steps/rearranging",
        "message=edit.message, size=edit.size + spec.size_besides",
        "message=edit.message",
    ),
)
SEARCH = Check(ROOM, ("-m", "tests.actors.session.search", "--first", "--line", "6"), said)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, SEARCH))
