"""What can be set about the server, beside what can be set about sessions."""

from dataclasses import dataclass

from turnkeeper.actors.exceptions import InvalidRequest
from turnkeeper.actors.policy import Settings


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
        Settings.__post_init__(self)
        for name in ("heartbeat", "write_timeout", "retry", "ticket_ttl"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 86_400:
                raise InvalidRequest(f"{name} must be a number of seconds above 0", field=name)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65_535:
            raise InvalidRequest("port must be a whole number from 0 to 65535", field="port")
        if isinstance(self.max_body, bool) or not isinstance(self.max_body, int) or self.max_body < 1:
            raise InvalidRequest("max_body must be a whole number above 0", field="max_body")
        if not isinstance(self.host, str) or not self.host:
            raise InvalidRequest("host must be an address or a name", field="host")
