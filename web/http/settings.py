"""What can be set about the server, beside what can be set about sessions."""

from dataclasses import dataclass
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.session.settings import Settings, seconds, whole


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
    """After how many seconds an EventSource is told to reconnect."""
    max_body: int = 1_048_576
    """The largest request body, in bytes."""
    ticket_ttl: float = 60.0
    """How many seconds a stream's ticket lives unused, and after its stream has ended."""

    def __post_init__(self) -> None:
        """Refuse what is out of range: hosts and environments hand in anything."""
        Settings.__post_init__(self)
        for name in ("heartbeat", "write_timeout", "retry", "ticket_ttl"):
            seconds(getattr(self, name), name, above=0.0)
        whole(self.port, "port", 0, 65_535)
        whole(self.max_body, "max_body", 1)
        host: Any = self.host
        if not isinstance(host, str) or not host:
            raise InvalidRequest("host must be an address or a name", field="host")
