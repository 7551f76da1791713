"""What a send says to the agent beside its message: checked, and kept as JSON. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest, MessageTooLarge
from turnkeeper.actors.model.frozen import DEPTH, FrozenDict
from turnkeeper.actors.model.records import params_of


def written(params: Any, most: int) -> str | None:
    """The params of a send as JSON of at most ``most`` bytes; ``None`` for none.

    Raises `InvalidRequest` for what is no object of JSON, and `MessageTooLarge`.
    """
    if params is None:
        return None
    if not isinstance(params, Mapping):
        raise InvalidRequest("params must be an object", field="params")
    try:
        said = dict(params)
        text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())  # raises for half of a surrogate pair, too
        fits = size <= most and type(params_of(text)) is FrozenDict
    except Exception:  # noqa: BLE001 - a host's own kinds of objects may raise anything
        raise InvalidRequest("params cannot be written as JSON", field="params") from None
    if not all(isinstance(name, str) for name in said):
        raise InvalidRequest("the names in params must be texts", field="params")
    if size > most:
        raise MessageTooLarge(f"params must not take more than {most} bytes as JSON", field="params")
    if not fits:
        raise InvalidRequest(f"params must not be nested more than {DEPTH} deep", field="params")
    return text if said else None
