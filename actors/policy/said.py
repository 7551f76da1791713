"""What one layer says about how turns are run. Pure."""

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.session.fields import FIELDS, known_fields
from turnkeeper.actors.session.settings import Settings, field_names

#: How much of a name that no field has is repeated in the refusal.
MAX_FIELD: Final = 100
#: What a layer of the host's may say beside fields: which of them a send may set, and which not.
ALLOW, DENY = "allow", "deny"


class PolicyFields(TypedDict, total=False):
    """What a host may say about an agent or a user. Each field is described at the setting of its name.

    ``allow`` are further fields that a send may set, such as ``priority``: those only that every layer names
    that has an ``allow``. ``deny`` are fields that no send may set.
    """

    strategy: str
    cancel_grace: float
    turn_timeout: float | None
    stall_timeout: float | None
    wind_grace: float
    max_hold: float
    queue_limit: int
    on_full: str
    collapse_parts: int
    collapse_window: float
    priority: str
    max_in_flight: int
    max_of_agent: int | None
    on_cap: str
    max_events: int | None
    max_event_bytes: int | None
    max_tokens: int | None
    on_disconnect: str
    abandon_after: float
    on_restart: str
    who_may_stop: str
    allow: tuple[str, ...]
    deny: tuple[str, ...]


@value
class Said:
    """What one layer of the host's says, and its agent's or user's name.

    ``allow`` is ``None`` where it does not say which further fields a send may set.
    """

    layer: Layer
    name: str | None
    fields: Mapping[str, Any]
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()


def said(layer: Layer, name: str | None, fields: Any) -> Said:
    """What these fields say, each checked. Raises `InvalidRequest`, whose ``field`` names the wrong one."""
    if not isinstance(fields, Mapping):
        raise InvalidRequest("a policy must be a mapping of fields to values", field="policy")
    given = dict(fields)
    allow = known_fields(given.pop(ALLOW), ALLOW) if ALLOW in given else None
    deny = known_fields(given.pop(DENY, ()), DENY)
    checked = {each: _checked(each, value, layer) for each, value in given.items()}
    return Said(layer, name, checked, allow, deny)


def _checked(name: Any, value: Any, layer: Layer) -> Any:
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None:
        raise unknown(name)
    if layer is Layer.USER and field.highest is Layer.AGENT:
        raise InvalidRequest(f"{name} is for an agent to say, not for a user", field=name)
    return field.check(value, name)


def unknown(name: Any) -> InvalidRequest:
    """The refusal of a name that no field has."""
    short = str(name)[:MAX_FIELD]
    return InvalidRequest(f"a policy has no field {short!r}", field=short)


def of_users(users: Any) -> dict[str, Said]:
    """What is said about each of these users. Raises `InvalidRequest`, which names user and field."""
    if users is None:
        return {}
    if not isinstance(users, Mapping) or not all(isinstance(name, str) for name in users):
        raise InvalidRequest("users must be a mapping of names to policies", field="users")
    return {name: _of_user(name, fields) for name, fields in users.items()}


def _of_user(name: str, fields: Any) -> Said:
    try:
        return said(Layer.USER, name, fields)
    except InvalidRequest as error:
        raise of_whom(error, f"user {name[:MAX_FIELD]!r}") from None


def of_whom(error: InvalidRequest, whom: str) -> InvalidRequest:
    """The same refusal, which says about whom it is."""
    return type(error)(f"{whom}: {error}", field=error.field)


def over(above: Said, below: Said) -> Said:
    """What holds where one of two says something and the other one more: field by field the first one's."""
    allow = below.allow if above.allow is None else above.allow
    fields = {**below.fields, **above.fields}
    return Said(above.layer, above.name, fields, allow, above.deny | below.deny)


def default(settings: Settings) -> Said:
    """What the settings say, about every field."""
    fields = {
        field.name: field.check(getattr(settings, field.setting), field.setting) for field in FIELDS.values()
    }
    allow = None if settings.policy_allow is None else field_names(settings.policy_allow, "policy_allow")
    return Said(Layer.DEFAULT, None, fields, allow, field_names(settings.policy_deny, "policy_deny"))
