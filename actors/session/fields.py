"""The fields of a policy: what each may be, who may set it, and whether a send may only narrow it. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from turnkeeper.actors.model.exceptions import InvalidCap, InvalidDelay, InvalidRequest, UnknownPriority
from turnkeeper.actors.model.word import Word
from turnkeeper.actors.model.words import (
    Layer,
    OnCap,
    OnDisconnect,
    OnFull,
    OnRestart,
    Priority,
    Strategy,
    WhoMayStop,
)

#: What is refused by a code of its own, by the field's name.
REFUSALS: Final[Mapping[str, type[InvalidRequest]]] = {
    "after_seconds": InvalidDelay,
    "priority": UnknownPriority,
    **dict.fromkeys(
        ("max_in_flight", "max_in_flight_in_all", "max_of_agent", "max_waiting", "max_waiting_in_all"),
        InvalidCap,
    ),
}
#: A week. Longer is a mistake, and infinity or NaN would never come.
MAX_SECONDS = 7 * 24 * 3600.0


def invalid(text: str, name: str) -> InvalidRequest:
    """The refusal of a value that breaks the rule of this field."""
    return REFUSALS.get(name, InvalidRequest)(text, field=name)


def seconds(number: Any, name: str, *, above: float = -1.0, most: float = MAX_SECONDS) -> float:
    """Check a span of time and return it. Raises `InvalidRequest`, also for NaN and infinity."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not above < number <= most:
        least = "above 0" if above == 0.0 else "from 0"
        raise invalid(f"{name} must be a number of seconds {least} to {most:.0f}", name)
    if number < 0:
        raise invalid(f"{name} must not be negative", name)
    return float(number)


def whole(number: Any, name: str, least: int, most: int | None = None) -> int:
    """Check a whole number and return it. Raises `InvalidRequest`."""
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    if not is_whole or number < least or (most is not None and number > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise invalid(f"{name} must be a whole number {bounds}", name)
    return int(number)


# -- Checks -----------------------------------------------------------------------------------------

#: Returns a field's value as it is kept, or raises `InvalidRequest`, which names the field as it is called.
Check = Callable[[Any, str], Any]


def _word_of(kind: type[Word]) -> Check:
    # By name, because a look-up costs a tenth of calling the enum.
    members: dict[Any, Word] = {member.value: member for member in kind}

    def check(value: Any, name: str) -> Word:
        try:
            return members[value]
        except (KeyError, TypeError):
            raise invalid(f"{name} must be one of: {', '.join(kind)}", name) from None

    return check


def _from(least: int) -> Check:
    return lambda value, name: whole(value, name, least)


def _span(value: Any, name: str) -> float:
    return seconds(value, name)


def _time_limit(value: Any, name: str) -> float:
    return seconds(value, name, above=0.0)


def _or_none(check: Check) -> Check:
    return lambda value, name: None if value is None else check(value, name)


# -- The table --------------------------------------------------------------------------------------


class Field(NamedTuple):
    """A field of a policy.

    ``highest`` is the last layer that may set it; beyond that it takes a layer's ``allow``. ``tighten``: a
    send may only make it less. ``setting`` is what the default layer calls it, ``member`` what a send does.
    ``host``: only the host says it, and no layer can let a send set it.
    """

    name: str
    check: Check
    highest: Layer = Layer.REQUEST
    tighten: bool = False
    setting: str = ""
    member: str = ""
    host: bool = False


def _field(
    name: str,
    check: Check,
    highest: Layer = Layer.REQUEST,
    *,
    tighten: bool = False,
    setting: str | None = None,
    member: str | None = None,
    host: bool = False,
) -> Field:
    return Field(name, check, highest, tighten, setting or name, member or name, host)


_TABLE = (
    _field("strategy", _word_of(Strategy), setting="multitask_strategy", member="multitask_strategy"),
    _field("cancel_grace", _span, tighten=True),
    _field("turn_timeout", _or_none(_time_limit), tighten=True, member="timeout"),
    _field("stall_timeout", _or_none(_time_limit), tighten=True),
    _field("wind_grace", _span, tighten=True),
    _field("max_hold", _span, tighten=True),
    _field("queue_limit", _from(0), Layer.USER, tighten=True),
    _field("on_full", _word_of(OnFull)),
    _field("collapse_parts", _from(2), Layer.USER, tighten=True),
    _field("collapse_window", _span),
    _field("on_cap", _word_of(OnCap), Layer.USER, host=True),
    _field("max_in_flight", _from(1), Layer.USER, tighten=True),
    _field("max_of_agent", _or_none(_from(1)), Layer.AGENT, host=True),
    _field("priority", _word_of(Priority), Layer.USER),
    _field("max_events", _or_none(_from(1)), tighten=True),
    _field("max_event_bytes", _or_none(_from(1)), tighten=True),
    _field("max_tokens", _or_none(_from(1)), tighten=True),
    _field("on_disconnect", _word_of(OnDisconnect)),
    _field("abandon_after", _span, tighten=True),
    _field("on_restart", _word_of(OnRestart), Layer.USER),
    _field("who_may_stop", _word_of(WhoMayStop), Layer.USER),
)
#: All of them, by name.
FIELDS: Final[Mapping[str, Field]] = {field.name: field for field in _TABLE}
#: Those that a send may set where no layer says otherwise.
OPEN: Final = frozenset(field.name for field in _TABLE if field.highest is Layer.REQUEST)


#: Those that a send may ever set.
SENDABLE: Final = tuple(field.name for field in _TABLE if not field.host)


def known_fields(names: Any, what: str) -> frozenset[str]:
    """Check that these are fields that a send may ever set, and return them.

    Raises `InvalidRequest`, which says ``what``.
    """
    if isinstance(names, Iterable) and not isinstance(names, str):
        given = list(names)
        if all(isinstance(each, str) and each in SENDABLE for each in given):
            return frozenset(given)
    raise InvalidRequest(f"{what} must be names of: {', '.join(SENDABLE)}", field=what)
