"""The settings of `turnkeeper serve`, from all their layers, and where each came from.

A flag overrides the environment, the environment overrides the file, the file overrides the default. What is
said about agents and users stands in the file alone: in its sections ``[agents.NAME]`` and ``[users.NAME]``.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.policy import STANDARD
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.policy.said import ALLOW, DENY, PolicyFields, said
from turnkeeper.actors.session.fields import FIELDS
from turnkeeper.actors.session.settings import ENVIRONMENT_PREFIX
from turnkeeper.actors.turn.agent import part_types
from turnkeeper.web.http.access.tokens import Tokens, read_tokens
from turnkeeper.web.http.settings import WebSettings
from turnkeeper.web.wires.speaking import WIRES

#: The options of `serve` that are not settings, with their defaults.
OPTIONS: dict[str, str | None] = {
    "agent": "echo",
    "data": "turnkeeper.db",
    "speaks": ",".join(WIRES),
    "base_url": None,
    "model": None,
    "system": None,
    "temperature": None,
    "model_timeout": None,
}
#: The options that are numbers.
NUMBERS = frozenset({"temperature", "model_timeout"})
#: The tokens add up from everywhere; in the environment they are separated by spaces.
TOKENS, TOKEN_FILE = "tokens", "token_file"
#: The settings that can be ``none``: TOML has no word for it.
OPTIONAL = frozenset(field.name for field in fields(WebSettings) if field.default is None)
#: The sections of the file, each of which has one for each name, with the layer that it is.
SECTIONS = {"agents": Layer.AGENT, "users": Layer.USER}
#: What stands in one of those.
POLICY_NAMES = (*FIELDS, ALLOW, DENY)
#: And in one about an agent.
TAKES = "takes"
NAMES = (*(field.name for field in fields(WebSettings)), *OPTIONS, TOKENS, TOKEN_FILE)
#: Variables with the same prefix that are read elsewhere: by the commands that ask a server, and the audit.
READ_ELSEWHERE = ("TURNKEEPER_CONFIG", "TURNKEEPER_URL", "TURNKEEPER_TOKEN", "TURNKEEPER_AUDIT_UPSTREAM")
_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and its source: ``default``, a file and its line, a variable, or a flag."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """What `turnkeeper serve` runs with."""

    settings: WebSettings
    options: Mapping[str, Any]
    """The options that are given or have a default."""
    tokens: tuple[str, ...]
    agents: Mapping[str, PolicyFields]
    """What the file says about agents, by their names."""
    users: Mapping[str, PolicyFields]
    """The same about users."""
    takes: Mapping[str, Sequence[str]]
    """Which types of parts it says that agents take, by their names."""
    rows: tuple[Setting, ...]
    """Every setting, option and token with its source, for ``--show-config``. Tokens have no secrets here."""


def combine(path: str | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """Combine all layers. A flag that is ``None`` was not given.

    Raises `InvalidRequest`, which names the file and line, the variable or the flag that is wrong.
    """
    found = {field.name: Setting(field.name, field.default, "default") for field in fields(WebSettings)}
    found |= {name: Setting(name, value, "default") for name, value in OPTIONS.items()}
    tokens: list[Setting] = []
    token_file: Setting | None = None
    file = _read(path)
    policies = list(_policies(file))
    for given in (*_from_file(file), *_from_environment(environ), *_from_flags(flags)):
        if given.name == TOKENS:
            tokens += _tokens(given)
        elif given.name == TOKEN_FILE:
            token_file = given
        else:
            found[given.name] = _checked(given)
    if token_file is not None:
        source = f"{token_file.source}: {token_file.value}"
        tokens += _tokens(Setting(TOKENS, read_tokens(token_file.value), source))
    settings = WebSettings(**{field.name: found[field.name].value for field in fields(WebSettings)})
    options = {name: found[name].value for name in OPTIONS if found[name].value is not None}
    secretless = (Setting("token", _without_secret(each.value), each.source) for each in tokens)
    rows = (*found.values(), *secretless, *(row for policy in policies for row in policy.rows()))
    agents, users = ({each.name: each.fields for each in policies if each.kind == kind} for kind in SECTIONS)
    takes = {each.name: each.takes for each in policies if each.takes is not None}
    return Config(settings, options, tuple(each.value for each in tokens), agents, users, takes, rows)


# -- Layers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    """A settings file: what it says, and on which lines."""

    path: str
    data: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int]

    def source(self, *key: str) -> str:
        """Where a key, or a section, begins."""
        return f"{self.path} line {self.lines.get(key) or self.lines.get(key[:1], 1)}"


def _read(path: str | None) -> _File | None:
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}", field="config") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"cannot read {path}: it is not UTF-8", field="config") from None
    try:
        return _File(path, tomllib.loads(text), _lines(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidRequest(_broken(path, str(error)), field="config") from None


def _from_file(file: _File | None) -> Iterator[Setting]:
    if file is None:
        return
    for key, value in file.data.items():
        if key in SECTIONS:
            continue
        source = file.source(key)
        name = key.replace("-", "_")
        if isinstance(value, dict) and name not in NAMES:
            text = f"{source}: there is no section {key[:100]!r}: settings go outside of sections"
            raise InvalidRequest(text, field=key[:100])
        if name not in NAMES:
            hint = _near(name, NAMES)
            raise InvalidRequest(f"{source}: there is no setting {key[:100]!r}{hint}", field=key[:100])
        if name == TOKENS:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise InvalidRequest(f"{source}: tokens must be a list of strings", field=TOKENS)
        elif name == TOKEN_FILE:
            value = str(Path(file.path).parent / _text(name, value, source))  # noqa: PLW2901
        elif name in OPTIONAL and value == "none":
            value = None  # noqa: PLW2901
        yield Setting(name, value, source)


@dataclass(frozen=True, slots=True)
class _Policy:
    """What the file says about an agent or a user."""

    kind: str
    name: str
    fields: PolicyFields
    takes: Sequence[str] | None
    source: str

    def rows(self) -> Iterator[Setting]:
        """Each field, for ``--show-config``."""
        for field, value in self.fields.items():
            yield Setting(f"{self.kind}.{self.name}.{field}", value, self.source)
        if self.takes is not None:
            yield Setting(f"{self.kind}.{self.name}.{TAKES}", list(self.takes), self.source)


def _policies(file: _File | None) -> Iterator[_Policy]:
    """What stands in the sections of the file. Raises `InvalidRequest`, which names section and key."""
    if file is None:
        return
    for kind, layer in SECTIONS.items():
        sections = file.data.get(kind, {})
        if not isinstance(sections, dict) or not all(isinstance(each, dict) for each in sections.values()):
            raise InvalidRequest(f"{file.source(kind)}: {kind} are sections [{kind}.NAME]", field=kind)
        for name, given in sections.items():
            source = file.source(kind, name)
            where = f"{source}, [{kind}.{name[:100]}]"
            more = (TAKES,) if layer is Layer.AGENT else ()
            fields = dict(_policy_fields(given, where, more))
            try:
                takes = part_types(fields.pop(TAKES, None))
                said(layer, name, fields)
            except InvalidRequest as error:
                raise _located(error, where) from None
            yield _Policy(kind, name, cast("PolicyFields", fields), takes, source)


def _policy_fields(given: Mapping[str, Any], where: str, more: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    names = (*POLICY_NAMES, *more)
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in names:
            hint = _near(name, names)
            raise InvalidRequest(f"{where}: there is no field {key[:100]!r}{hint}", field=key[:100])
        may_be_none = name in FIELDS and getattr(STANDARD, name) is None
        yield name, None if may_be_none and value == "none" else value


def _from_environment(environ: Mapping[str, str]) -> Iterator[Setting]:
    settings = {field.name for field in fields(WebSettings)}
    for name in NAMES:
        variable = ENVIRONMENT_PREFIX + name.upper()
        text = environ.get(variable)
        if text is None:
            continue
        if name in settings:
            try:
                value: Any = getattr(WebSettings.from_environment({variable: text}), name)
            except InvalidRequest as error:
                raise _located(error, variable) from None
            yield Setting(name, value, variable)
        elif name == TOKENS:
            yield Setting(name, text.split(), variable)
        elif text:
            yield Setting(name, text, variable)


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that looks like a setting but is not one.

    They are reported and not refused: some platforms add variables of their own.
    """
    known = [ENVIRONMENT_PREFIX + name.upper() for name in NAMES]
    for variable in environ:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in (*known, *READ_ELSEWHERE):
            yield f"{variable}: there is no such setting{_near(variable, known)}"


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _from_flags(flags: Mapping[str, Any]) -> Iterator[Setting]:
    for name, value in flags.items():
        if name == TOKENS:
            yield Setting(TOKENS, list(value), "--token")
        elif value is not None:
            yield Setting(name, value, "--" + name.replace("_", "-"))


# -- Checks -----------------------------------------------------------------------------------------


def _checked(given: Setting) -> Setting:
    if given.name in NUMBERS:
        return Setting(given.name, _number(given.name, given.value, given.source), given.source)
    if given.name in OPTIONS:
        return Setting(given.name, _text(given.name, given.value, given.source), given.source)
    try:
        WebSettings(**{given.name: given.value})
    except InvalidRequest as error:
        raise _located(error, given.source) from None
    return given


def _text(name: str, value: Any, source: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{source}: {name} must be a string", field=name)
    return value


def _number(name: str, value: Any, source: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{source}: {name} must be a number", field=name) from None


def _tokens(given: Setting) -> list[Setting]:
    try:
        Tokens(given.value)
    except InvalidRequest as error:
        raise _located(error, given.source) from None
    return [Setting("token", token, given.source) for token in given.value]


def _located(error: InvalidRequest, source: str) -> InvalidRequest:
    text = str(error)
    return InvalidRequest(text if text.startswith(source) else f"{source}: {text}", field=error.field)


def _without_secret(token: str) -> str:
    user, _, rest = token.partition(":")
    role = rest.partition(":")[2]
    return f"{user}:***{':' + role if role else ''}"


# -- Lines ------------------------------------------------------------------------------------------


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line on which each top-level key and each section begins, which tomllib does not report.

    The text before the first section is parsed in ever longer pieces. A piece that ends inside a value is not
    TOML, so a key that first appears in a piece began on the line after the last piece that was.
    """
    begins: dict[tuple[str, ...], int] = {}
    lines = text.splitlines()
    whole = 0
    for end in range(1, len(lines) + 1):
        if whole == end - 1 and lines[whole].lstrip().startswith("["):
            break
        try:
            data = tomllib.loads("\n".join(lines[:end]))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        for key in data:
            begins.setdefault((key,), whole + 1)
        whole = end
    for number, line in enumerate(lines[whole:], whole + 1):
        for section in _opened(line):
            begins.setdefault(section, number)
    return begins


def _opened(line: str) -> Iterator[tuple[str, ...]]:
    """The sections that a line begins."""
    if not line.lstrip().startswith("["):
        return
    try:
        data = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return
    for key, inner in data.items():
        yield (key,)
        for name in inner if isinstance(inner, dict) else ():
            yield key, name


def _broken(path: str, complaint: str) -> str:
    position = _POSITION.search(complaint)
    if position is None:
        return f"{path}, at its end: {complaint.partition(' (at ')[0]}"
    return f"{path} line {position[1]} column {position[2]}: {complaint[: position.start()].strip()}"
