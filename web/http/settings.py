"""What can be set about the server, beside what can be set about sessions."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final

from turnkeeper.actors.events.reaction import close_on_named
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.session.fields import seconds, whole
from turnkeeper.actors.session.settings import Settings, flag

#: Stands for all origins there are.
ANY_ORIGIN: Final = "*"
#: The schemes of the origins whose pages a browser shows, each with the port that a browser leaves out.
DEFAULT_PORTS = {"http": "80", "https": "443"}
#: The name of a header (RFC 9110, section 5.1).
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"(?P<scheme>https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?")


class LogFormat(StrEnum):
    """How a server writes its log."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on a server writes turnkeeper's own records."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings(Settings):
    """All settings. Each can be given as ``TURNKEEPER_<NAME>`` in the environment.

    Raises `InvalidRequest` for a value out of its range.
    """

    host: str = "127.0.0.1"
    """The address to listen on. Without tokens only a loopback address is accepted."""
    port: int = 8000
    """The port to listen on; 0 takes a free one."""
    heartbeat: float = 15.0
    """After how many quiet seconds a stream gets a comment, which also finds out who has left."""
    write_timeout: float = 30.0
    """How many seconds a write to a stream may be stuck before its connection is cut."""
    retry: float = 2.0
    """After how many seconds an EventSource is to reconnect."""
    close_on: str = "cancelled"
    """What ends a stream that does not say itself: a word of `CloseOn`."""
    max_body: int = 16_777_216
    """The largest request body, in bytes."""
    max_uploads: int = 33_554_432
    """How many bytes of bodies that are being read a user may have."""
    max_uploads_in_all: int = 134_217_728
    """How many bytes of bodies that are being read all users together may have."""
    body_values: int = 20_000
    """How many JSON values a body may hold that is larger than 1 MiB."""
    header_timeout: float = 10.0
    """How many seconds the head of a request may take. Only in `turnkeeper serve`."""
    body_timeout: float = 60.0
    """How many seconds the body of a request may take."""
    keep_alive: float = 75.0
    """How many seconds an idle connection is kept for another request. Only in `turnkeeper serve`."""
    max_connections: int | None = None
    """How many connections there may be. ``None``: as file descriptors allow. Only in `turnkeeper serve`."""
    connections_per_peer: int = 256
    """How many of them one address may have that is neither loopback nor a trusted proxy."""
    trusted_proxies: str = ""
    """The IP addresses of reverse proxies, separated by commas: `connections_per_peer` is not for them."""
    allow_origin: str = ""
    """The origins whose pages may use the API from a browser, separated by commas; ``*``: all of them."""
    allow_credentials: bool = False
    """Whether the requests of such pages may carry cookies, for an `authenticate` that reads them."""
    single_process: bool = True
    """Whether a second worker of the same master is refused, which knows nothing of the first one's turns."""
    ticket_ttl: float = 60.0
    """How many seconds a stream's ticket lives unused, and after its stream has ended."""
    session_headers: str = "X-Turnkeeper-Session, X-OpenWebUI-Chat-Id"
    """The headers that may name a chat completion's session, separated by commas: the first one there is."""
    task_headers: str = "X-OpenWebUI-Task"
    """The headers that say that a chat completion is a task of its front end's own, such as a title."""
    log_format: str = "text"
    """How the log is written: ``text``, or ``json``, one object a line. Only in `turnkeeper serve`."""
    log_level: str = "info"
    """From which level on: ``debug``, ``info``, ``warning`` or ``error``. Only in `turnkeeper serve`."""
    access_log: bool = False
    """Whether each request is logged, without its query. Only in `turnkeeper serve`."""

    def __post_init__(self) -> None:
        """Refuse what is out of range: hosts and environments hand in anything."""
        Settings.__post_init__(self)
        for name in (
            "heartbeat",
            "write_timeout",
            "retry",
            "ticket_ttl",
            "header_timeout",
            "body_timeout",
            "keep_alive",
        ):
            seconds(getattr(self, name), name, above=0.0)
        close_on_named(self.close_on)
        whole(self.port, "port", 0, 65_535)
        for name in ("max_body", "max_uploads", "max_uploads_in_all", "body_values", "connections_per_peer"):
            whole(getattr(self, name), name, 1)
        if self.max_connections is not None:
            whole(self.max_connections, "max_connections", 1)
        flag(self.single_process, "single_process")
        flag(self.allow_credentials, "allow_credentials")
        if ANY_ORIGIN in origins(self.allow_origin, "allow_origin") and self.allow_credentials:
            text = (
                "allow_origin must name the origins where allow_credentials is true: * is every page there is"
            )
            raise InvalidRequest(text, field="allow_origin")
        flag(self.access_log, "access_log")
        one_of(LogFormat, self.log_format, "log_format")
        one_of(LogLevel, self.log_level, "log_level")
        addresses(self.trusted_proxies, "trusted_proxies")
        header_names(self.session_headers, "session_headers")
        header_names(self.task_headers, "task_headers")
        host: Any = self.host
        if not isinstance(host, str) or not host:
            raise InvalidRequest("host must be an address or a name", field="host")


def one_of(names: type[StrEnum], value: Any, name: str) -> None:
    """Check that it is one of these names. Raises `InvalidRequest`."""
    if value not in [*names]:
        raise InvalidRequest(f"{name} must be one of: {', '.join(names)}", field=name)


def origins(text: Any, name: str) -> frozenset[str]:
    """The origins in a text, separated by commas, as browsers write them. Raises `InvalidRequest`."""
    if isinstance(text, str):
        found = frozenset(each.strip().lower() for each in text.split(",") if each.strip())
        if all(each == ANY_ORIGIN or _is_origin(each) for each in found):
            return found
    raise InvalidRequest(f"{name} must be origins like https://chat.example.com, or *", field=name)


def _is_origin(text: str) -> bool:
    match = _ORIGIN.fullmatch(text)
    return match is not None and match["port"] != DEFAULT_PORTS[match["scheme"]]


def addresses(text: Any, name: str) -> frozenset[str]:
    """The addresses in a text, separated by commas. Raises `InvalidRequest`."""
    try:
        if isinstance(text, str):
            return frozenset(str(ip_address(each.strip())) for each in text.split(",") if each.strip())
    except ValueError:
        pass
    raise InvalidRequest(f"{name} must be IP addresses separated by commas", field=name)


def header_names(text: Any, name: str) -> tuple[str, ...]:
    """The names of headers in a text, separated by commas. Raises `InvalidRequest`."""
    if isinstance(text, str):
        found = tuple(each.strip() for each in text.split(",") if each.strip())
        if all(map(HEADER_NAME.fullmatch, found)):
            return found
    raise InvalidRequest(f"{name} must be names of headers separated by commas", field=name)
