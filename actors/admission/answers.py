"""What is answered to those who ask how turns are let in, or say it anew. Pure.

What is a field of a policy is said by its layers, as `SetPolicy` says it; the other caps are said of all. All
of it holds from now on, stops no turn, and is gone when the process ends.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypedDict

from turnkeeper.actors.model.exceptions import InvalidRequest, ScopeMissing
from turnkeeper.actors.model.messages import Admission, SetAdmission
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.layers import Layers, unknown_agent
from turnkeeper.actors.policy.said import MAX_FIELD, Said, of_whom, said
from turnkeeper.actors.session.settings import Settings

from .caps import SETTINGS
from .ledger import Ledger
from .scheduler import Scheduler

#: The fields of a policy that say how turns are let in.
FIELDS: Final = ("max_in_flight", "max_of_agent", "on_cap", "priority")
#: What may be said of single ones, by their names.
NAMED: Final = {"agents": Layer.AGENT, "users": Layer.USER}


class CapsOfUser(TypedDict, total=False):
    """How the turns of a user are let in. Each field is described at the setting of its name."""

    max_in_flight: int
    on_cap: str
    priority: str


class CapsOfAgent(CapsOfUser, total=False):
    """How the turns of an agent are let in: at most ``max_of_agent`` of all users together."""

    max_of_agent: int | None


class AdmissionFields(CapsOfAgent, total=False):
    """How turns are let in, by default, and by the names of agents and users.

    What is said of an agent or a user takes the place of all that was said of these fields about it.
    """

    max_in_flight_in_all: int
    max_waiting: int
    max_waiting_in_all: int
    lane_aging: float
    agents: Mapping[str, CapsOfAgent]
    users: Mapping[str, CapsOfUser]


def admission(layers: Layers, ledger: Ledger[Any], scheduler: Scheduler, asker: Asker) -> Admission:
    """How turns are let in now, and how that goes. Raises `ScopeMissing`."""
    _check(asker)
    in_all, caps = ledger.in_all, ledger.caps
    by_default = {name: getattr(caps, cap) for name, cap in SETTINGS.items()}
    users = {name: fields for name, each in layers.users.items() if (fields := _of_admission(each))}
    return Admission(
        fields={**by_default, **_of_admission(layers.default)},
        agents={name: _of_admission(each) for name, each in layers.agents.items()},
        users=users,
        in_flight=in_all.in_flight,
        of_agents={name: number for name in layers.agents if (number := ledger.of_agent.get(name, 0))},
        active_users=in_all.active,
        waiting=scheduler.numbers(),
    )


def set_admission(layers: Layers, ledger: Ledger[Any], message: SetAdmission) -> None:
    """Have turns be let in otherwise from now on.

    Raises `ScopeMissing`, `InvalidRequest`, `UnknownAgent` and `TooManyPolicies`; then nothing has changed.
    """
    _check(message.asker)
    given = _mapping(message.fields, "admission")
    for name in given:
        if name not in (*SETTINGS, *FIELDS, *NAMED):
            raise _unknown(name)
    caps = {name: value for name, value in given.items() if name in SETTINGS}
    checked = Settings(**caps)
    layers.say_all(list(_news(layers, given)))
    for name in caps:
        setattr(ledger.caps, SETTINGS[name], getattr(checked, name))


def _news(layers: Layers, given: Mapping[Any, Any]) -> Iterator[Said]:
    """What the layers say then, of those about which something is said."""
    by_default = {name: value for name, value in given.items() if name in FIELDS}
    if by_default:
        said_before = layers.default
        yield _replaced(said_before, {**said_before.fields, **said(Layer.DEFAULT, None, by_default).fields})
    for kind, layer in NAMED.items():
        before = layers.agents if layer is Layer.AGENT else layers.users
        for name, fields in _mapping(given.get(kind, {}), kind).items():
            if not isinstance(name, str):
                raise InvalidRequest(f"{kind} must be a mapping of names to caps", field=kind)
            if layer is Layer.AGENT and name not in before:
                raise unknown_agent(name, kind)
            known = before.get(name, Said(layer, name, {}))
            others = {field: value for field, value in known.fields.items() if field not in FIELDS}
            yield _replaced(known, {**others, **_said(layer, name, fields).fields})


def _said(layer: Layer, name: str, fields: Any) -> Said:
    try:
        for field in _mapping(fields, "caps"):
            if field not in FIELDS:
                raise _unknown(field)
        return said(layer, name, fields)
    except InvalidRequest as error:
        raise of_whom(error, f"{layer} {name[:MAX_FIELD]!r}") from None


def _replaced(before: Said, fields: Mapping[str, Any]) -> Said:
    return Said(before.layer, before.name, fields, before.allow, before.deny)


def _of_admission(each: Said) -> dict[str, Any]:
    return {name: each.fields[name] for name in FIELDS if name in each.fields}


def _check(asker: Asker) -> None:
    if not asker.sees_all:
        raise ScopeMissing("only an admin asks how turns are let in, and says it")


def _mapping(given: Any, what: str) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{what} must be a mapping of names to values", field=what)
    return given


def _unknown(name: Any) -> InvalidRequest:
    short = str(name)[:MAX_FIELD]
    return InvalidRequest(f"there is no {short!r} to say of how turns are let in", field=short)
