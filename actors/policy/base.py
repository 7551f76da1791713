"""What the host's layers come to, and what a send makes of that. Pure.

What the host says about a user replaces what it says about the agent, and that what the settings say, field
by field. What a send says replaces that again, where it may: a bound it may only narrow.
"""

from collections.abc import Mapping
from typing import Any

from turnkeeper.actors.model.exceptions import PolicyNotAllowed
from turnkeeper.actors.model.policy import STANDARD, Mark, Policy, policy_of
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.model.words import Layer, OnCap, Priority, Strategy
from turnkeeper.actors.session.fields import FIELDS, OPEN

from .said import Said, unknown


@value
class Base:
    """What holds for the sends of one user to this agent that say nothing themselves.

    ``may`` are the fields that such a send may set. ``kept`` is what its turn keeps of the policy: nothing
    where that is the standard one.
    """

    agent: str
    policy: Policy
    may: frozenset[str]
    kept: Policy | None


def base(agent: str, *layers: Said) -> Base:
    """What these layers come to for this agent, the lowest first, which says something about every field."""
    values: dict[str, Any] = {}
    marks: dict[str, Mark] = {}
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    for each in layers:
        values.update(each.fields)
        if each.layer is not Layer.DEFAULT:
            marks.update((name, Mark(name, each.layer, each.name)) for name in each.fields)
        if each.allow is not None:
            allow = each.allow if allow is None else allow & each.allow
        deny |= each.deny
    policy = policy_of(values, tuple(marks.values()))
    return Base(agent, policy, (OPEN | (allow or frozenset())) - deny, kept(policy))


def kept(policy: Policy) -> Policy | None:
    """What a turn keeps of its policy."""
    return None if policy == STANDARD else policy


def of_child(base: Base, priority: Priority | None) -> Base:
    """What holds for a send by another turn, which runs on the slot of that one and has its ``priority``.

    It never waits for a slot, and for its session only if it says so.
    """
    policy = base.policy
    values: dict[str, Any] = {"strategy": Strategy.REJECT, "on_cap": OnCap.REFUSE}
    if priority is not None:
        values["priority"] = priority
    said = {name: value for name, value in values.items() if value is not getattr(policy, name)}
    child = _changed(policy, said, {name: Mark(name, Layer.REQUEST) for name in said})
    return replace(base, policy=child, kept=kept(child))


def for_later(policy: Policy) -> Policy:
    """The policy of a turn that waits for a moment before it starts: it waits for a slot then.

    Until then it is not in flight, and none is kept free for it; and it was accepted, so that it cannot be
    refused any more.
    """
    if policy.on_cap is OnCap.WAIT:
        return policy
    return _changed(policy, {"on_cap": OnCap.WAIT}, {"on_cap": Mark("on_cap", Layer.REQUEST)})


def resolve(base: Base, request: Mapping[str, Any]) -> Policy:
    """The policy of a send that says this; a ``None`` says nothing.

    Raises `InvalidRequest`, and `PolicyNotAllowed` for a field that it may not set: their ``field`` is called
    as in a send.
    """
    policy = base.policy
    values: dict[str, Any] = {}
    marks: dict[str, Mark] = {}
    for name, asked in request.items():
        field = FIELDS.get(name)
        if field is None:
            raise unknown(name)
        if asked is None:
            continue
        if name not in base.may:
            raise PolicyNotAllowed(f"{field.member} may not be set by a send here", field=field.member)
        said = field.check(asked, field.member)
        if field.tighten and _is_wider(said, getattr(policy, name)):
            held = policy.decided(name)
            marks[name] = Mark(name, held.layer, held.name, said)
        else:
            values[name] = said
            marks[name] = Mark(name, Layer.REQUEST)
    return _changed(policy, values, marks)


def _is_wider(asked: float, bound: float | None) -> bool:
    return bound is not None and asked > bound


def _changed(policy: Policy, values: Mapping[str, Any], marks: Mapping[str, Mark]) -> Policy:
    if not marks:
        return policy
    others = tuple([mark for mark in policy.marks if mark.field not in marks])
    every = {name: values.get(name, getattr(policy, name)) for name in FIELDS}
    return policy_of(every, (*others, *marks.values()))
