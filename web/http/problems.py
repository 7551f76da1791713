"""A refusal that HTTP itself has a word for."""

from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """A refusal that HTTP itself has a word for. ``more`` are further members of the body."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more
