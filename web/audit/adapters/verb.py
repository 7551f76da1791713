"""A request with placeholders, and the values in its answer. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

JSON_TYPE = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to the server under test."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """A request with placeholders, such as ``{session}`` and ``{message}``."""

    method: str = "POST"
    path: str = ""
    body: str = ""
    """A text, usually JSON; values are escaped as inside a JSON string."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def given(self, **words: str) -> "Verb":
        """The request with these placeholders filled in, each as its place needs it."""
        return replace(
            self,
            path=_fill(self.path, {name: quote(word, safe="") for name, word in words.items()}),
            body=_fill(self.body, {name: json.dumps(word)[1:-1] for name, word in words.items()}),
            headers={name: _fill(value, words) for name, value in self.headers.items()},
        )

    def fill(self, **words: str) -> Call:
        """What is sent, with these placeholders filled in."""
        verb = self.given(**words)
        headers = dict(verb.headers)
        if not verb.body:
            return Call(self.method, verb.path, headers)
        return Call(self.method, verb.path, JSON_TYPE | headers, verb.body.encode())

    @property
    def placeholders(self) -> set[str]:
        """The names of its placeholders."""
        return {
            name for text in (self.path, self.body, *self.headers.values()) for name in _HOLE.findall(text)
        }


_HOLE = re.compile(r"\{(\w+)\}")


def _fill(text: str, words: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda hole: words.get(hole[1], hole[0]), text)


def look_up(data: Any, path: str) -> Any:
    """The value at a path such as ``a.b.0`` in JSON data; ``None`` if there is none."""
    for name in path.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


def word_at(data: Any, path: str) -> str:
    """The value at a path, as text; empty if there is none, or no path."""
    found = look_up(data, path) if path else None
    if isinstance(found, bool):
        return str(found).lower()
    return "" if found is None else str(found)
