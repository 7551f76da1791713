"""Bugs in what becomes of turns that wait, are undone or are held to budgets, for `planted` to plant."""

from tests.planting import Bug

BUGS = (
    Bug(
        "the last one in is the first one out",
        "session/line",
        "replace(line, rest=(*line.rest, turn))",
        "replace(line, rest=(turn, *line.rest))",
    ),
    Bug(
        "the newest is dropped to make room",
        "session/steps/sends",
        "drop(state.memory, (own[0],), asked, now, spec.turn_id)\n"
        "            return with_line(state, memory, without(line, own[0]))",
        "drop(state.memory, (own[-1],), asked, now, spec.turn_id)\n"
        "            return with_line(state, memory, without(line, own[-1]))",
    ),
    Bug(
        "a message that joins another one is lost",
        "session/steps/joins",
        "joined(spec.message, other.message, ",
        "joined(spec.message, spec.message, ",
    ),
    Bug(
        "another sender's is dropped to make room",
        "session/steps/sends",
        "if turn.spec.user == spec.user]",
        "if turn]",
    ),
    Bug(
        "a message joins another sender's",
        "session/steps/joins",
        "other.user == head.user",
        "other.user",
    ),
    Bug(
        "what another user sent is edited",
        "registry/admitting/changes",
        "return None if message.by == spec.user else",
        "return None if True else",
    ),
    Bug(
        "the owner stops what only its sender may stop",
        "session/rights",
        "            return asker == turn.head.user",
        "            return asker in (owner, turn.head.user)",
    ),
    Bug(
        "an edited turn says what it said",
        "session/steps/rearranging",
        "replace(spec, message=edit.message, size=",
        "replace(spec, size=",
    ),
    Bug(
        "a cancel without a name keeps those who wait",
        "policy/resolve",
        "    return turn_id is None if queue is None else",
        "    return False if queue is None else",
    ),
    Bug(
        "a key stands for another turn each time",
        "policy/resolve",
        "ids.keyed_turn_id(user, session, send.key), _digest(message, agent, params)",
        "new_turn_id, _digest(message, agent, params)",
    ),
    Bug(
        "a retry with a key is not known again",
        "policy/resolve",
        "ids.keyed_turn_id(user, session, send.key), _digest(message, agent, params)",
        "ids.keyed_turn_id(user, session, send.key), None",
    ),
    Bug(
        "what a layer says anew does not hold",
        "policy/layers",
        "        self._default, self._agents, self._users = default, agents, users\n        self._work_out()",
        "        self._default, self._agents, self._users = default, agents, users",
    ),
    Bug(
        "readers are shown the places as they were",
        "registry/performer",
        "        return places_event(shared.slots.shown(state))",
        "        return places_event(shared.slots.shown(state)[:1])",
    ),
    Bug(
        "readers do not hear that a turn was edited",
        "registry/performer",
        "    if effect.by is not None:",
        "    if False:",
    ),
    Bug(
        "the answer to a change is not given",
        "registry/registry_actor",
        "    children.forward(children.known(message.session_id, message.asker), change, reply_to)",
        "    children.forward(children.known(message.session_id, message.asker), change, None)",
    ),
    Bug(
        "hooks run in the order in which they were registered",
        "registry/turns/winding",
        "for hook in reversed(hooks)]",
        "for hook in hooks]",
    ),
    Bug(
        "hooks for a stop are not called",
        "registry/turns/winding",
        "    if turn is not None and was_stopped and reason is not None:",
        "    if False:",
    ),
    Bug(
        "hooks for a stop run in the opposite order",
        "registry/turns/winding",
        "for hook in own.on_cancel]",
        "for hook in reversed(own.on_cancel)]",
    ),
    Bug(
        "a turn ends before its hooks for a stop are done",
        "registry/turns/winding",
        "    shared.orphaned_tasks.add(winding.task)\n",
        "    shared.orphaned_tasks.add(winding.task)\n"
        "    if not effect.undo:\n        actor.tell_if_alive(WoundUp(epoch))\n",
    ),
    Bug(
        "a hook that fails counts as done",
        "turn/winding/winding_up",
        "        self.failed[step.kind] += 1",
        "        pass",
    ),
    Bug(
        "a hook that takes too long goes on",
        "turn/winding/winding_up",
        "        self.task.cancel()  # of no effect",
        "        pass  # of no effect",
    ),
    Bug(
        "the end of the hooks is not reported",
        "registry/turns/winding",
        "        actor.tell_if_alive(WoundUp(epoch, failed[Kind.ON_ROLLBACK], children), now=True)",
        "        pass",
    ),
    Bug(
        "the host's hook is not run",
        "registry/turns/winding",
        "        steps.append(Step(Kind.ON_ROLLBACK, partial(host.on_rollback, undone)))",
        "        pass",
    ),
    Bug(
        "the conversation of a turn that was undone is kept",
        "registry/turns/left",
        "    if record.rollback is not None:\n        return Left(n)",
        "    if False:\n        return Left(n)",
    ),
    Bug(
        "a turn is not held to its terms",
        "registry/performer",
        "        turn.guard = None if spec.head.own_policy is None else",
        "        turn.guard = None if True else",
    ),
    Bug(
        "what a turn emits does not put off that it stalls",
        "turn/guard/guard",
        "            self._silence.put_off()",
        "            pass",
    ),
    Bug(
        "a turn that has stalled is said to have no reader",
        "turn/guard/guard",
        "Reason(CancelCode.STALLED,",
        "Reason(CancelCode.CLIENT_DISCONNECTED,",
    ),
    Bug(
        "a dry run stops what it finds",
        "registry/bulk/cancels",
        "        if message.dry_run:",
        "        if False:",
    ),
    Bug(
        "a bulk cancel finds other users' turns",
        "registry/bulk/which",
        "            self.asker.may_see(owner)\n            and",
        "            True\n            and",
    ),
    Bug(
        "a bulk cancel takes longer than it may",
        "registry/bulk/cancels",
        "(PATIENCE if self._within is None else self._within)",
        "PATIENCE",
    ),
    Bug(
        "what a turn that waits takes up is not counted",
        "registry/directory",
        "    size = 0 if line.front is None else line.front.spec.size",
        "    size = 0",
    ),
    Bug(
        "a session sleeps while turns wait in it",
        "registry/session_actor",
        "or not isinstance(state, Idle | Closed):",
        "or False:",
    ),
)
