"""Values: records that never change.

The type checkers and `dataclasses` take a ``@value`` class for a frozen dataclass. It is a frozen struct of
`msgspec`, which is made, compared and hashed in C: to make one costs 40 % of a slotted dataclass, and to
`replace` some of its fields 8 %, on the path of every message.

Written as JSON it leaves out what has its default: a default of what a journal keeps never changes.
"""

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform

import msgspec

if TYPE_CHECKING:
    from dataclasses import replace as replace
else:
    from msgspec.structs import replace as replace

T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make ``cls`` an immutable, hashable value with slots."""
    if issubclass(cls, msgspec.Struct):
        return cls  # by its base; it adds no fields
    noted: Any = dataclass(init=False, repr=False, eq=False)(cls)
    members = {name: each for name, each in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    for each in fields(noted):
        if each.default_factory is not MISSING:
            members[each.name] = msgspec.field(default_factory=each.default_factory)
    named = [(each.name, each.type) for each in fields(noted)]
    bases: Any = (*(base for base in cls.__bases__ if base is not object), msgspec.Struct)
    made = msgspec.defstruct(
        cls.__name__, named, bases=bases, namespace=members, frozen=True, omit_defaults=True
    )
    return cast("type[T]", made)
